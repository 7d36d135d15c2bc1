//! Credentials against a backend in memory: what it gets, how often, and what is told.

use crate::endpoints::ALL;
use crate::flow::testing::{Scripted, ScriptedBackend, exchange, wait};
use crate::plan::{Kinds, testing};
use std::rc::Rc;

struct Sent {
    backend: Rc<ScriptedBackend>,
    /// The status, or the fault's code and reason, of each request.
    outcomes: Vec<String>,
}

impl Sent {
    fn headers(&self, name: &str) -> Vec<String> {
        let all = self.backend.seen();
        all.iter()
            .map(|seen| {
                let value = seen.headers.get(name);
                value.map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned())
            })
            .collect()
    }
}

/// Sends the same request so many times through one endpoint.
fn send(credentials: &str, request: &str, times: usize, script: &[&str]) -> Sent {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    let text = format!(
        r#"<endpoint name="e"><address uri="http://backend/orders"><authentication>{credentials}</authentication></address></endpoint>"#
    );
    let planned = testing::endpoint(kinds, &text, "");
    assert_eq!(planned.told(), Vec::<String>::new());
    let endpoint = planned.what.expect("the endpoint is sound");
    let backend = ScriptedBackend::new(script.iter().map(|answer| Scripted::parse(answer)));
    let mut first = exchange(request, planned.catalog, backend.clone());
    let mut outcomes = Vec::new();
    for _ in 0..times {
        let mut next = exchange(request, Default::default(), backend.clone());
        next.catalog = first.catalog.clone();
        next.worker = first.worker.clone();
        let outcome = wait(endpoint.deliver(&mut next));
        outcomes.push(match outcome {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(fault) => fault.to_string(),
        });
        first = next;
    }
    Sent { backend, outcomes }
}

fn told(credentials: &str) -> Vec<String> {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    let text = format!(
        r#"<endpoint name="e"><address uri="http://backend/"><authentication>{credentials}</authentication></address></endpoint>"#
    );
    testing::endpoint(kinds, &text, "").told()
}

const BASIC: &str = "<basicAuth><username>anna</username><password>a:b</password></basicAuth>";
const DIGEST: &str = "<digest><username>anna</username><password>hunter22</password></digest>";
const OAUTH: &str = "<oauth><clientCredentials><clientId>me</clientId><clientSecret>hunter22</clientSecret><tokenUrl>http://tokens/t?x=1</tokenUrl>\
    <requestParameters><parameter name=\"scope\">read write</parameter></requestParameters><customHeaders><header name=\"X-Tenant\">t</header></customHeaders></clientCredentials></oauth>";
const CHALLENGE: &str = "401\nwww-authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\n\nno";

#[test]
fn a_name_and_a_password_take_the_place_of_the_clients() {
    let sent = send(BASIC, "GET /\nauthorization: Bearer theirs", 1, &["200"]);
    assert_eq!(sent.headers("authorization"), ["Basic YW5uYTphOmI="]);
    let computed = "<basicAuth><username>{$trp:X-User}</username><password>p</password></basicAuth>";
    let sent = send(computed, "GET /\nx-user: otto", 1, &["200"]);
    assert_eq!(sent.headers("authorization"), ["Basic b3R0bzpw"]);
}

#[test]
fn an_api_key_goes_into_a_header_or_the_query() {
    let header = r#"<apiKey name="X-Key" value="k1"/>"#;
    let sent = send(header, "GET /\nx-key: theirs", 1, &["200"]);
    assert_eq!(sent.headers("x-key"), ["k1"]);
    let query = r#"<apiKey name="key" in="query" value="k 1"/>"#;
    let sent = send(query, "GET /", 1, &["200"]);
    assert!(
        sent.backend.only().url.ends_with("?key=k%201"),
        "{}",
        sent.backend.only().url
    );
}

#[test]
fn a_nonce_costs_one_call_more_and_is_used_from_then_on() {
    let sent = send(
        DIGEST,
        "POST /\ncontent-type: text/plain\nauthorization: Basic theirs\n\nbody",
        3,
        &[CHALLENGE, "200"],
    );
    assert_eq!(sent.outcomes, ["200", "200", "200"]);
    let headers = sent.headers("authorization");
    assert_eq!(headers.len(), 4);
    assert_eq!(headers[0], "-", "what the client sent is not for this backend");
    for (at, count) in [(1, "nc=00000001"), (2, "nc=00000002"), (3, "nc=00000003")] {
        assert!(headers[at].contains(count), "{headers:?}");
    }
    let bodies: Vec<_> = sent.backend.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies.iter().all(|body| body == "body"), "{bodies:?}");
}

#[test]
fn a_stale_nonce_is_replaced_and_a_wrong_password_is_tried_once() {
    let stale = "401\nwww-authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true\n\n";
    let sent = send(DIGEST, "GET /", 2, &[CHALLENGE, "200", stale, "204"]);
    assert_eq!(sent.outcomes, ["200", "204"]);
    assert!(sent.headers("authorization")[3].contains("nonce=\"n2\""));
    let sent = send(DIGEST, "GET /", 1, &[CHALLENGE]);
    assert_eq!((sent.outcomes[0].as_str(), sent.backend.seen().len()), ("401", 2));
}

#[test]
fn the_next_nonce_is_taken_up() {
    let sent = send(
        DIGEST,
        "GET /",
        2,
        &[CHALLENGE, "200\nauthentication-info: nextnonce=\"n9\"\n\n", "200"],
    );
    let last = sent.headers("authorization").pop().unwrap();
    assert!(
        last.contains("nonce=\"n9\"") && last.contains("nc=00000001"),
        "{last}"
    );
}

#[test]
fn a_token_is_asked_for_once_and_renewed_once_after_a_401() {
    let token = |text: &str| format!("200\n\n{{\"access_token\": \"{text}\", \"expires_in\": \"3600\"}}");
    let (one, two) = (token("t1"), token("t2"));
    let sent = send(
        OAUTH,
        "POST /\ncontent-type: text/plain\n\nbody",
        3,
        &[&one, "200", "200", "401", &two, "200"],
    );
    assert_eq!(sent.outcomes, ["200", "200", "200"]);
    assert_eq!(
        sent.headers("authorization"),
        [
            "Basic bWU6aHVudGVyMjI=",
            "Bearer t1",
            "Bearer t1",
            "Bearer t1",
            "Basic bWU6aHVudGVyMjI=",
            "Bearer t2"
        ]
    );
    let asked = &sent.backend.seen()[0];
    assert_eq!(asked.url, "http://tokens/t?x=1");
    assert_eq!(asked.body, "grant_type=client_credentials&scope=read%20write");
    assert_eq!(asked.headers.get("x-tenant").unwrap(), "t");
    assert_eq!(sent.backend.seen()[5].body, "body");
    let sent = send(OAUTH, "GET /", 1, &[&one, "401", &two, "401"]);
    assert_eq!((sent.outcomes[0].as_str(), sent.backend.seen().len()), ("401", 4));
}

#[test]
fn a_short_lived_token_is_not_used_to_its_end() {
    let short = "200\n\n{\"access_token\": \"t\", \"expires_in\": 0}";
    let sent = send(OAUTH, "GET /", 2, &[short, "200", short, "200"]);
    assert_eq!(sent.backend.seen().len(), 4);
}

#[test]
fn other_grants_are_asked_for_as_the_rfc_says() {
    let password = "<oauth><passwordCredentials><username>u</username><password>p&amp;</password><clientId>me</clientId><clientSecret>s</clientSecret>\
        <tokenUrl>http://tokens/</tokenUrl><authMode>payload</authMode></passwordCredentials></oauth>";
    let token = "200\n\n{\"access_token\": \"t\", \"refresh_token\": \"r2\", \"expires_in\": 0}";
    let sent = send(password, "GET /", 2, &[token, "200", token, "200"]);
    let seen = sent.backend.seen();
    assert_eq!(
        seen[0].body,
        "grant_type=password&username=u&password=p%26&client_id=me&client_secret=s"
    );
    assert!(seen[0].headers.get("authorization").is_none());
    assert_eq!(
        seen[2].body,
        "grant_type=refresh_token&refresh_token=r2&client_id=me&client_secret=s"
    );
    let code = "<oauth><authorizationCode><clientId>me</clientId><clientSecret>s</clientSecret><refreshToken>r1</refreshToken>\
        <tokenUrl>http://tokens/</tokenUrl></authorizationCode></oauth>";
    let sent = send(code, "GET /", 2, &[token, "200", token, "200"]);
    let seen = sent.backend.seen();
    assert_eq!(seen[0].body, "grant_type=refresh_token&refresh_token=r1");
    assert_eq!(seen[2].body, "grant_type=refresh_token&refresh_token=r2");
}

#[test]
fn without_a_token_it_is_a_fault_that_tells_why_and_no_secret() {
    let refused =
        "400\n\n{\"error\": \"invalid_client\", \"error_description\": \"hunter22 is wrong\\nreally\"}";
    let sent = send(OAUTH, "GET /", 1, &[refused]);
    assert_eq!(
        sent.outcomes,
        ["303003 no token from http://tokens/t: it answered 400: invalid_client: *** is wrong really"]
    );
    assert_eq!(sent.backend.seen().len(), 1, "the backend is not asked");
    let sent = send(OAUTH, "GET /", 1, &["200\n\n<html/>"]);
    assert!(
        sent.outcomes[0].ends_with("it answered 200 without an `access_token`"),
        "{:?}",
        sent.outcomes
    );
}

#[test]
fn a_token_that_does_not_come_costs_no_more_than_the_deadline() {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    let text = format!(
        r#"<endpoint><failover deadline="1000"><endpoint name="e"><address uri="http://backend/orders"><authentication>{OAUTH}</authentication></address></endpoint></failover></endpoint>"#
    );
    let planned = testing::endpoint(kinds, &text, "");
    let endpoint = planned.what.expect("the endpoint is sound");
    let backend = ScriptedBackend::new([Scripted::Silent]);
    let mut exchange = exchange("GET /", planned.catalog, backend.clone());
    wait(async {
        let began = tokio::time::Instant::now();
        let fault = endpoint
            .deliver(&mut exchange)
            .await
            .err()
            .expect("there is no token");
        assert_eq!(began.elapsed().as_millis(), 1000);
        assert_eq!(
            fault.to_string(),
            "101504 the time for all attempts together is over"
        );
    });
    let health = exchange.worker.runtime.health.find("e").expect("it is there");
    assert_eq!(health.state(), crate::flow::health::State::Active);
    assert_eq!(backend.seen().len(), 1, "the backend is not asked");
}

#[test]
fn what_is_wrong_with_credentials_is_told_at_load() {
    let check =
        |credentials: &str, expected: &[&str]| assert_eq!(told(credentials), expected, "{credentials}");
    check("", &["E0208 2:52 `<authentication>` is empty"]);
    check(
        "<basicAuth><username>a</username></basicAuth>",
        &["E0208 2:68 `<basicAuth>` needs a `<password>` inside"],
    );
    check(
        "<basicAuth><username> </username><password>$secret{none}</password></basicAuth>",
        &[
            "E0202 2:79 `<username>` is empty",
            "E0402 2:110 there is no secret `none`",
        ],
    );
    check(
        r#"<apiKey name="a b" value="x"/>"#,
        &["E0203 2:81 `a b` cannot be the name of a header"],
    );
    check("<oauth/>", &["E0208 2:68 `<oauth>` takes exactly one grant"]);
    check(
        &format!("{BASIC}{DIGEST}"),
        &["E0207 2:140 `<authentication>` takes one kind of credentials"],
    );
}

#[test]
fn nobody_sees_credentials_by_debugging() {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    for credentials in [BASIC.replace("a:b", "hunter22").as_str(), DIGEST, OAUTH] {
        let text = format!(
            "<endpoint><address uri=\"http://b/\"><authentication>{credentials}</authentication></address></endpoint>"
        );
        let sequence = format!(
            "<sequence xmlns=\"{}\">{text}</sequence>",
            crate::plan::element::SYNAPSE
        );
        let mut sources = crate::text::Sources::default();
        let file = sources.add("x.xml", sequence.clone());
        let root = crate::plan::element::parse(file, &sequence).unwrap();
        let leaf = root.child("endpoint").unwrap().child("address").unwrap();
        let mut planner = crate::plan::Planner::new(kinds, &Nowhere, sources);
        let planned = super::plan(leaf, &"e".into(), &mut planner).unwrap();
        let shown = format!("{planned:?}");
        assert!(!shown.contains("hunter22") && shown.contains("***"), "{shown}");
    }
}

struct Nowhere;

impl crate::plan::planner::Lookup for Nowhere {
    fn resource(&self, _: &str, _: &str) -> Option<(String, String)> {
        None
    }

    fn resource_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, _: &str) -> Result<Option<String>, crate::plan::planner::Unset> {
        Ok(None)
    }
}
