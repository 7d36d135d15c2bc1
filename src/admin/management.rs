//! `/management`: what the Micro Integrator's management answers about endpoints, and the states behind it; and what scripts spend and keep.

use super::scripts;
use super::token::{Keeper, Refused};
use crate::flow::health::{Registry, Snapshot, State};
use crate::gateway::mark::is_marked;
use crate::message::body::ByteStream;
use crate::script::js::{Meters, Stores};
use crate::text::suggest::did_you_mean;
use crate::wire::{Incoming, Reply};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Who may come in, and by which names.
#[derive(Debug)]
pub struct Access {
    pub keeper: Keeper,
    /// Beside those of this machine.
    pub hosts: Vec<String>,
}

/// What is told of, and can be ordered.
#[derive(Debug, Clone, Copy)]
pub struct Managed<'a> {
    pub registry: &'a Registry,
    pub stores: &'a Stores,
    pub meters: &'a Meters,
}

/// No order is longer.
const LONGEST_BODY: usize = 64 * 1024;

const METHODS: &str = "GET, HEAD, POST";

pub async fn answer(incoming: Incoming, access: &Access, managed: &Managed<'_>) -> Reply {
    let is_head = incoming.method == Method::HEAD;
    let mut reply = match refusal(&incoming, access) {
        Some(refusal) => refusal,
        None => routed(incoming, access, managed).await,
    };
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        reply.headers.insert(name, HeaderValue::from_static(value));
    }
    if is_head {
        reply.body = ByteStream::empty();
    }
    reply
}

// Who may come in

/// What is wrong with a request before anybody looks at what it wants. What a browser can be made to send by another site's page is refused first.
fn refusal(incoming: &Incoming, access: &Access) -> Option<Reply> {
    let headers = &incoming.headers;
    if is_marked(headers) {
        return Some(error(
            StatusCode::FORBIDDEN,
            "the management is not reached by way of the gateway",
        ));
    }
    if !knows_host(incoming.host(), incoming.local, &access.hosts) {
        return Some(error(
            StatusCode::MISDIRECTED_REQUEST,
            "the management does not go by this name; `admin-hosts` lists others",
        ));
    }
    if is_from_another_site(incoming) {
        return Some(error(StatusCode::FORBIDDEN, "pages of other sites may not ask"));
    }
    if !matches!(incoming.method, Method::GET | Method::HEAD | Method::POST) {
        let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "it takes GET, HEAD and POST");
        reply
            .headers
            .insert(header::ALLOW, HeaderValue::from_static(METHODS));
        return Some(reply);
    }
    if incoming.method == Method::POST && !is_json(headers) {
        return Some(error(
            StatusCode::FORBIDDEN,
            "the content type is to be application/json",
        ));
    }
    match access
        .keeper
        .admit(authorization(headers), incoming.remote.ip(), Instant::now())
    {
        Ok(()) => None,
        Err(Refused::Unknown) => {
            let mut reply = error(
                StatusCode::UNAUTHORIZED,
                "the token is missing, wrong, or over its time",
            );
            // Not Basic: a browser that knows the password would send it along for any page.
            reply.headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"myelin\""),
            );
            Some(reply)
        }
        Err(Refused::TooMany(wait)) => {
            let mut reply = error(StatusCode::TOO_MANY_REQUESTS, "too many wrong tries");
            let seconds = wait.as_secs() + 1;
            reply
                .headers
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Some(reply)
        }
    }
}

/// Names of this machine, the address that was called, and those listed. Under any other name a page of a site that points its name here could
/// ask (DNS rebinding).
fn knows_host(host: &str, local: SocketAddr, listed: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback()
            || address.to_canonical() == local.ip().to_canonical()
            || listed.iter().any(|name| name == bare);
    }
    let name = bare.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || listed.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

fn is_from_another_site(incoming: &Incoming) -> bool {
    let origin = incoming.headers.get(header::ORIGIN);
    let own = format!("{}://{}", incoming.scheme.as_str(), incoming.authority());
    let other_origin = origin.is_some_and(|origin| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()));
    let site = incoming.headers.get(HeaderName::from_static("sec-fetch-site"));
    let other_site = site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    other_origin || other_site
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

// What may be asked

async fn routed(incoming: Incoming, access: &Access, managed: &Managed<'_>) -> Reply {
    let registry = managed.registry;
    let query = query(incoming.target.query().unwrap_or(""));
    let asked = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let is_post = incoming.method == Method::POST;
    match incoming.target.path().trim_end_matches('/') {
        "/management/login" => match access.keeper.open_session(Instant::now()) {
            Ok(token) => json_reply(StatusCode::OK, &json!({ "AccessToken": token })),
            Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "no token can be made"),
        },
        "/management/logout" => {
            if let Some(authorization) = authorization(&incoming.headers) {
                access.keeper.close_session(authorization);
            }
            json_reply(StatusCode::OK, &json!({ "message": "logged out" }))
        }
        path @ ("/management/endpoints" | "/management/stores") if is_post => {
            let is_store = path == "/management/stores";
            match incoming.body.collect(LONGEST_BODY).await {
                Ok((body, _)) if is_store => match scripts::clear(&body, managed.stores) {
                    Ok(done) => json_reply(StatusCode::OK, &done),
                    Err((status, reason)) => error(status, &reason),
                },
                Ok((body, _)) => change(&body, registry),
                Err(_) => error(StatusCode::PAYLOAD_TOO_LARGE, "the order cannot be read whole"),
            }
        }
        "/management/stores" => json_reply(StatusCode::OK, &scripts::kept(managed.stores)),
        "/management/scripts" => json_reply(StatusCode::OK, &scripts::spent(managed.meters)),
        "/management/endpoints" => match (asked("endpointName"), asked("searchKey")) {
            (Some(name), _) => one(name, registry),
            (None, part) => list(part, registry),
        },
        _ => error(
            StatusCode::NOT_FOUND,
            "there are /management/endpoints, /management/scripts, /management/stores, /management/login and /management/logout",
        ),
    }
}

fn list(part: Option<&str>, registry: &Registry) -> Reply {
    let part = part.unwrap_or("").to_lowercase();
    let list: Vec<Value> = registry
        .snapshots()
        .iter()
        .filter(|endpoint| endpoint.name.to_lowercase().contains(&part))
        .map(shown)
        .collect();
    json_reply(StatusCode::OK, &json!({ "count": list.len(), "list": list }))
}

fn one(name: &str, registry: &Registry) -> Reply {
    match registry.find(name) {
        Some(health) => json_reply(StatusCode::OK, &shown(&health.snapshot())),
        None => unknown(name, registry),
    }
}

/// `{"name": "X", "status": "active|inactive|retry"}`, answered in the Micro Integrator's words.
fn change(body: &[u8], registry: &Registry) -> Reply {
    let order: Value = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(_) => return error(StatusCode::BAD_REQUEST, "the body is not JSON"),
    };
    let (Some(name), Some(status)) = (order["name"].as_str(), order["status"].as_str()) else {
        return error(
            StatusCode::BAD_REQUEST,
            "an order is {\"name\": \"…\", \"status\": \"active|inactive|retry\"}",
        );
    };
    let Some(health) = registry.find(name) else {
        return unknown(name, registry);
    };
    let message = match status {
        "active" => {
            health.switch_on();
            format!("{name} is switched On")
        }
        "inactive" => {
            health.switch_off();
            format!("{name} is switched Off")
        }
        "retry" => match health.state() {
            State::Off => {
                let reason = format!("{name} is switched Off: switch it on instead");
                return error(StatusCode::CONFLICT, &reason);
            }
            _ => {
                tracing::info!(
                    endpoint = name,
                    why = "an operator",
                    "An endpoint is tried again."
                );
                health.retry_now();
                format!("{name} is tried by the next request")
            }
        },
        other => {
            let reason = format!("there is no status `{other}`: it is active, inactive or retry");
            return error(StatusCode::BAD_REQUEST, &reason);
        }
    };
    json_reply(StatusCode::OK, &json!({ "message": message }))
}

/// An endpoint as the Micro Integrator lists it (the first three), and its state in the words of the log.
fn shown(endpoint: &Snapshot) -> Value {
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    json!({
        "name": &*endpoint.name,
        "type": endpoint.kind,
        "isActive": endpoint.state == State::Active,
        "address": &*endpoint.address,
        "state": endpoint.state.to_string(),
        "code": endpoint.cause.as_ref().map(|cause| cause.code),
        "reason": endpoint.cause.as_ref().map(|cause| cause.reason.as_str()),
        "attemptsLeft": endpoint.attempts_left,
        "retryAfterMs": millis(endpoint.retry_after),
        "isReady": endpoint.ready,
        "sinceMs": millis(endpoint.since),
        "inFlight": endpoint.in_flight,
        "waiting": endpoint.waiting,
        "sent": endpoint.sent,
        "failed": endpoint.failed,
        "authorities": endpoint.authorities.iter().map(shown).collect::<Vec<_>>(),
    })
}

fn unknown(name: &str, registry: &Registry) -> Reply {
    let names: Vec<_> = registry
        .snapshots()
        .into_iter()
        .map(|endpoint| endpoint.name)
        .collect();
    let help = did_you_mean(name, names.iter().map(|name| &**name));
    let help = help.map_or_else(String::new, |help| format!("; {help}"));
    error(
        StatusCode::NOT_FOUND,
        &format!("there is no endpoint `{name}`{help}"),
    )
}

fn error(status: StatusCode, reason: &str) -> Reply {
    json_reply(status, &json!({ "Error": reason }))
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Reply::new(status);
    reply
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.body = ByteStream::from(Bytes::from(format!("{value}\n")));
    reply
}

/// Names and values, decoded.
fn query(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::health::{Defaults, Identity, OwnBulkhead, Rules};
    use crate::flow::testing::wait;
    use crate::wire::Scheme;
    use std::sync::Arc;

    fn registry(names: &[&str]) -> Registry {
        let registry = Registry::new(Defaults::default());
        for name in names {
            registry.attach(&Identity {
                name: Arc::from(*name),
                kind: "http",
                definition: 0,
                rules: Rules::default(),
                bulkhead: OwnBulkhead::default(),
                address: Arc::from("http://backend/"),
                per_authority: false,
            });
        }
        registry
    }

    fn access() -> Access {
        Access {
            keeper: Keeper::new(Some("right")),
            hosts: vec!["gateway.example".to_owned()],
        }
    }

    /// `POST /path\nname: value\n\nbody`, with a token and a known host where it says nothing else.
    fn incoming(request: &str) -> Incoming {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:9164"));
        headers.insert("authorization", HeaderValue::from_static("Bearer right"));
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, value.trim().parse().unwrap());
        }
        Incoming {
            method: method.parse().unwrap(),
            target: target.parse().unwrap(),
            version: http::Version::HTTP_11,
            scheme: Scheme::Http,
            remote: "127.0.0.1:5000".parse().unwrap(),
            local: "10.1.2.3:9164".parse().unwrap(),
            headers,
            body: ByteStream::from(Bytes::from(body.to_owned())),
            websocket: false,
        }
    }

    fn ask(request: &str, access: &Access, registry: &Registry) -> (u16, Value) {
        wait(async {
            let managed = Managed {
                registry,
                stores: &Stores::default(),
                meters: &Meters::default(),
            };
            let reply = answer(incoming(request), access, &managed).await;
            assert_eq!(reply.headers["cache-control"], "no-store");
            assert!(!reply.headers.contains_key("access-control-allow-origin"));
            let status = reply.status.as_u16();
            let (body, _) = reply.body.collect(1 << 16).await.expect("a body");
            (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
        })
    }

    fn check(request: &str, expected: u16) {
        let (status, body) = ask(request, &access(), &registry(&["orders"]));
        assert_eq!(status, expected, "{request}\n{body}");
    }

    #[test]
    fn endpoints_are_listed_as_the_micro_integrator_lists_them() {
        let registry = registry(&["orders", "Stock & more"]);
        let (status, body) = ask("GET /management/endpoints", &access(), &registry);
        assert_eq!((status, &body["count"]), (200, &json!(2)));
        let expected = json!({
            "name": "orders", "type": "http", "isActive": true, "address": "http://backend/", "state": "ACTIVE", "code": null,
            "reason": null, "attemptsLeft": 0, "retryAfterMs": null, "isReady": true, "sinceMs": null, "inFlight": 0, "waiting": 0,
            "sent": 0, "failed": 0, "authorities": [],
        });
        assert_eq!(body["list"][1], expected);
        let (_, body) = ask("GET /management/endpoints?searchKey=STOCK", &access(), &registry);
        assert_eq!(body["count"], 1);
        let one = "GET /management/endpoints?endpointName=Stock+%26%20more";
        assert_eq!(ask(one, &access(), &registry).1["name"], "Stock & more");
        let (status, body) = ask(
            "GET /management/endpoints?endpointName=order",
            &access(),
            &registry,
        );
        assert_eq!(status, 404);
        assert_eq!(
            body["Error"],
            "there is no endpoint `order`; did you mean `orders`?"
        );
    }

    #[test]
    fn an_endpoint_that_fails_is_shown_with_what_failed_and_when_it_is_tried_again() {
        let registry = registry(&["orders"]);
        wait(async {
            let health = registry.find("orders").unwrap();
            health.admit().unwrap().failed(101_503, "connection refused");
        });
        let (_, body) = ask(
            "GET /management/endpoints?endpointName=orders",
            &access(),
            &registry,
        );
        assert_eq!(
            (&body["isActive"], &body["state"]),
            (&json!(false), &json!("SUSPENDED"))
        );
        assert_eq!(
            (&body["code"], &body["reason"]),
            (&json!(101_503), &json!("connection refused"))
        );
        let left = body["retryAfterMs"].as_u64().unwrap();
        assert!((1..=30_000).contains(&left), "{left}");
        assert_eq!(body["failed"], 1);
    }

    #[test]
    fn an_operator_switches_by_post() {
        let registry = registry(&["orders"]);
        let order = |status: &str| {
            let request = format!(
                "POST /management/endpoints\ncontent-type: application/json; charset=utf-8\n\n{{\"name\": \"orders\", \"status\": \"{status}\"}}"
            );
            let (code, body) = ask(&request, &access(), &registry);
            let said = body["message"].as_str().or(body["Error"].as_str());
            (code, said.unwrap_or("").to_owned())
        };
        assert_eq!(order("inactive"), (200, "orders is switched Off".to_owned()));
        assert_eq!(registry.find("orders").unwrap().state(), State::Off);
        assert_eq!(order("retry").0, 409);
        assert_eq!(order("active"), (200, "orders is switched On".to_owned()));
        assert_eq!(order("retry").0, 200);
        assert_eq!(order("Inactive").0, 400);
        assert_eq!(registry.find("orders").unwrap().state(), State::Active);
        check(
            "POST /management/endpoints\ncontent-type: application/json\n\n[",
            400,
        );
        check(
            "POST /management/endpoints\ncontent-type: application/json\n\n[]",
            400,
        );
        check(
            "POST /management/endpoints\ncontent-type: application/json\n\n{\"name\":\"x\",\"status\":\"active\"}",
            404,
        );
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        for header in [
            "origin: http://evil.example",
            "origin: null",
            "origin: https://127.0.0.1:9164",
            "sec-fetch-site: cross-site",
            "sec-fetch-site: same-site",
            "via: 1.1 myelin",
        ] {
            check(&format!("GET /management/endpoints\n{header}"), 403);
        }
        check("GET /management/endpoints\norigin: http://127.0.0.1:9164", 200);
        let order = "{\"name\":\"orders\",\"status\":\"inactive\"}";
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "text/plain; application/json",
        ] {
            check(
                &format!("POST /management/endpoints\ncontent-type: {media_type}\n\n{order}"),
                403,
            );
        }
        check(&format!("POST /management/endpoints\n\n{order}"), 403);
    }

    #[test]
    fn only_names_of_this_machine_and_listed_ones_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "[::1]:9164",
            "127.0.0.9",
            "10.1.2.3:9164",
            "Gateway.Example",
        ] {
            check(&format!("GET /management/endpoints\nhost: {host}"), 200);
        }
        for host in [
            "evil.example",
            "10.1.2.4",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            check(&format!("GET /management/endpoints\nhost: {host}"), 421);
        }
    }

    #[test]
    fn nobody_comes_in_without_the_token_and_a_login_gives_another() {
        check("GET /management/endpoints\nauthorization: Bearer wrong", 401);
        check("GET /management/login\nauthorization: Bearer wrong", 401);
        check("GET /management\nauthorization: Bearer wrong", 401);
        check("GET /management/nothing", 404);
        check("GET /management", 404);
        check("DELETE /management/endpoints", 405);
        let access = access();
        let registry = registry(&["orders"]);
        // admin:right
        let (status, body) = ask(
            "GET /management/login\nauthorization: Basic YWRtaW46cmlnaHQ=",
            &access,
            &registry,
        );
        assert_eq!(status, 200);
        let session = format!("authorization: Bearer {}", body["AccessToken"].as_str().unwrap());
        let list = format!("GET /management/endpoints\n{session}");
        assert_eq!(ask(&list, &access, &registry).0, 200);
        assert_eq!(
            ask(&format!("GET /management/logout\n{session}"), &access, &registry).0,
            200
        );
        assert_eq!(ask(&list, &access, &registry).0, 401);
        for _ in 0..9 {
            ask(
                "GET /management/endpoints\nauthorization: Bearer guess",
                &access,
                &registry,
            );
        }
        assert_eq!(ask("GET /management/endpoints", &access, &registry).0, 429);
    }
}
