//! What follows from a request and where it was routed to: properties that are computed when somebody asks.

use crate::deployment::api::{Api, Mapping, Resource, Version, full_name, version_text};
use crate::deployment::routes::sub_path;
use crate::deployment::uri_template::{Variables, decode};
use crate::flow::request::Request;
use crate::flow::token::{Caller, Claims, KeyType};
use crate::message::properties::{Known, Value};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// What is known of one request.
#[derive(Debug)]
pub struct Facts {
    pub request: Rc<Request>,
    pub client: Client,
    pub has_body: bool,
    /// Set when the request has a Content-Type.
    pub typed: bool,
    pub place: Place,
    /// What the request presents, where anybody's tokens are taken.
    pub caller: Option<Rc<Caller>>,
}

/// How the client spoke: it is answered in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub speech: Speech,
    /// It sent JSON, or asks for it.
    pub json: bool,
    /// It makes a gRPC call.
    pub grpc: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Rest,
    Soap11,
    Soap12,
}

#[derive(Debug)]
pub enum Place {
    Api(ApiFacts),
    Proxy {
        name: Arc<str>,
        /// Behind `/services/NAME`.
        below: usize,
    },
    Main,
}

pub struct ApiFacts {
    pub api: Arc<Api>,
    /// Behind context and version.
    pub below: usize,
    /// Which resource of its own, and its variables.
    resource: Option<(usize, Variables)>,
}

impl fmt::Debug for ApiFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {}", self.api.name, self.below)
    }
}

impl ApiFacts {
    pub fn new(api: &Arc<Api>, below: usize, resource: Option<(usize, Variables)>) -> ApiFacts {
        ApiFacts {
            api: Arc::clone(api),
            below,
            resource,
        }
    }

    fn resource(&self) -> Option<&Resource> {
        let (index, _) = self.resource.as_ref()?;
        Some(&self.api.resources[*index])
    }

    fn variables(&self) -> &[(Arc<str>, Range<usize>)] {
        self.resource.as_ref().map_or(&[], |(_, variables)| variables)
    }

    fn property(&self, name: &str, request: &Request) -> Option<Value> {
        let resource = self.resource();
        if let Some(variable) = name.strip_prefix("uri.var.") {
            let mut variables = self.variables().iter();
            let (_, range) = variables.find(|(known, _)| **known == *variable)?;
            let path = sub_path(&request.target, self.below);
            return Some(Value::text(decode(&path[range.clone()])));
        }
        if let Some(parameter) = name.strip_prefix("query.param.") {
            resource?;
            return query_parameter(request.query()?, parameter).map(Value::text);
        }
        Some(match name {
            "REST_SUB_REQUEST_PATH" => Value::text(sub_path(&request.target, self.below)),
            "REST_API_CONTEXT" => Value::text(&self.api.context),
            "REST_URL_PREFIX" => Value::text(format!("{}://{}", request.scheme, request.host())),
            "REST_METHOD" => Value::text(request.method.as_str()),
            "rest.url.pattern" => match &resource?.mapping {
                Mapping::Default => return None,
                Mapping::Url(mapping) => Value::text(mapping.to_string()),
                Mapping::Template(template) => Value::text(template.source()),
            },
            "SYNAPSE_REST_API" => Value::text(full_name(&self.api.name, self.api.version.as_ref())),
            "SYNAPSE_REST_API_VERSION" => Value::text(version_text(self.api.version.as_ref())),
            "SYNAPSE_REST_API_VERSION_STRATEGY" => Value::text(match &self.api.version {
                Some(Version::Url(_)) => "url",
                Some(Version::Context(_)) => "context",
                None => "",
            }),
            "SYNAPSE_RESOURCE" => Value::text(&resource?.name),
            "RESOURCE_PATH" if matches!(resource?.mapping, Mapping::Template(_)) => {
                Value::text(sub_path(&request.target, self.below))
            }
            _ => return None,
        })
    }

    fn names(&self, request: &Request) -> Vec<String> {
        const ALWAYS: [&str; 10] = [
            "REST_SUB_REQUEST_PATH",
            "REST_API_CONTEXT",
            "REST_URL_PREFIX",
            "REST_METHOD",
            "SYNAPSE_REST_API",
            "SYNAPSE_REST_API_VERSION",
            "SYNAPSE_REST_API_VERSION_STRATEGY",
            "rest.url.pattern",
            "SYNAPSE_RESOURCE",
            "RESOURCE_PATH",
        ];
        let mut names: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
        if self.resource.is_some() {
            names.extend(self.variables().iter().map(|(name, _)| format!("uri.var.{name}")));
            if let Some(query) = request.query() {
                for (name, _) in query_entries(query) {
                    let name = format!("query.param.{name}");
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        names.retain(|name| self.property(name, request).is_some());
        names
    }
}

impl Known for Facts {
    fn default_scope(&self, name: &str) -> Option<Value> {
        match name {
            "REST_FULL_REQUEST_PATH" if !matches!(self.place, Place::Proxy { .. }) => {
                return Some(Value::text(&self.request.target));
            }
            "TRANSPORT_IN_NAME" => return Some(Value::text(self.request.scheme)),
            "IS_CLIENT_DOING_REST" => return Some(Value::Boolean(self.client.speech == Speech::Rest)),
            "AM_KEY_TYPE" => return self.key_type().map(|key_type| Value::text(key_type.name())),
            "IS_CLIENT_DOING_SOAP11" => return Some(Value::Boolean(self.client.speech != Speech::Soap12)),
            _ => {}
        }
        if name.starts_with("TOKEN") || name.starts_with("api.ut.") {
            return self.claims()?.property(name);
        }
        match &self.place {
            Place::Api(api) => api.property(name, &self.request),
            Place::Proxy { name: proxy, .. } => (name == "proxy.name").then(|| Value::text(proxy)),
            Place::Main => None,
        }
    }

    fn axis2(&self, name: &str) -> Option<Value> {
        if let Some(text) = self.axis2_text(name) {
            return Some(Value::text(text));
        }
        Some(match name {
            "SERVICE_PREFIX" => Value::text(self.service_prefix()),
            "REMOTE_ADDR" | "REMOTE_HOST" => Value::text(self.request.remote.ip().to_canonical().to_string()),
            "NO_ENTITY_BODY" if !self.has_body => Value::Boolean(true),
            _ => return None,
        })
    }

    fn axis2_text(&self, name: &str) -> Option<&str> {
        Some(match name {
            "HTTP_METHOD" => self.request.method.as_str(),
            "REST_URL_POSTFIX" => self.postfix(),
            "TransportInURL" => &self.request.target,
            // What Synapse says of a request that has neither body nor type.
            "messageType" if !self.has_body && !self.typed => "application/xml",
            _ => return None,
        })
    }

    fn default_names(&self) -> Vec<String> {
        let mut names = vec!["TRANSPORT_IN_NAME".to_owned()];
        match &self.place {
            Place::Api(api) => {
                names.push("REST_FULL_REQUEST_PATH".to_owned());
                names.extend(api.names(&self.request));
            }
            Place::Proxy { .. } => names.push("proxy.name".to_owned()),
            Place::Main => names.push("REST_FULL_REQUEST_PATH".to_owned()),
        }
        if let Some(claims) = self.claims() {
            names.push("AM_KEY_TYPE".to_owned());
            let known = Claims::PROPERTIES.iter();
            let known = known.filter(|name| claims.property(name).is_some());
            names.extend(known.map(|name| (*name).to_owned()));
        }
        names
    }
}

impl Facts {
    fn claims(&self) -> Option<&Claims> {
        self.caller.as_ref()?.claims()
    }

    /// Of an API it is always known: without a token it is production, as for API Manager's resources that need none.
    fn key_type(&self) -> Option<KeyType> {
        let of_token = self.claims().map(|claims| claims.key_type);
        of_token.or(matches!(self.place, Place::Api(_)).then_some(KeyType::Production))
    }

    /// What address endpoints append to their address (`NhttpUtil.getRestUrlPostfix`, `API.process`).
    fn postfix(&self) -> &str {
        let target: &str = &self.request.target;
        match &self.place {
            Place::Api(api) => &target[api.below..],
            Place::Proxy { below, .. } => &target[*below..],
            Place::Main => target.strip_prefix('/').unwrap_or(target),
        }
    }

    fn service_prefix(&self) -> String {
        let before = match &self.place {
            Place::Proxy { below, .. } => &self.request.target[..*below],
            Place::Api(_) | Place::Main => "/",
        };
        format!("{}://{}{before}", self.request.scheme, self.request.local)
    }
}

/// Pieces of a query: a name, and the places of its value. A piece without `=` belongs to the value before it.
fn query_entries(query: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut at = 0;
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        loop {
            let now = rest?;
            let start = at;
            let piece = now.split('&').next().unwrap_or("");
            rest = now.get(piece.len() + 1..);
            at += piece.len() + 1;
            let Some((name, _)) = piece.split_once('=') else {
                continue;
            };
            let from = start + name.len() + 1;
            let mut to = start + piece.len();
            while let Some(next) = rest {
                let glued = next.split('&').next().unwrap_or("");
                if glued.contains('=') {
                    break;
                }
                to += 1 + glued.len();
                rest = next.get(glued.len() + 1..);
                at += glued.len() + 1;
            }
            return Some((name, from..to));
        }
    })
}

/// The value of a query parameter, decoded; of several the last.
fn query_parameter(query: &str, name: &str) -> Option<String> {
    let (_, range) = query_entries(query).filter(|(known, _)| *known == name).last()?;
    let value = &query[range];
    // Only what stood in the piece itself is decoded; what was glued to it is not.
    Some(match value.split_once('&') {
        Some((own, _)) => format!("{}{}", decode(own), &value[own.len()..]),
        None => decode(value),
    })
}

/// Whether a value in the query cannot be decoded: Synapse calls that the client's fault.
pub fn has_bad_escape(query: &str) -> bool {
    query_entries(query).any(|(_, range)| {
        let value = query[range].split('&').next().unwrap_or("");
        value.match_indices('%').any(|(at, _)| {
            value
                .as_bytes()
                .get(at + 1..at + 3)
                .is_none_or(|digits| !digits.iter().all(u8::is_ascii_hexdigit))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::routes::{Asked, Route, Routes};
    use crate::deployment::{api, tests::plan};
    use http::{HeaderMap, HeaderValue, Method};

    fn facts(target: &str) -> Facts {
        let xml = r#"<api name="A" context="/a" version="1" version-type="url">
            <resource uri-template="/x/{id}/{+rest}"><inSequence/></resource><resource url-mapping="/y/*"><inSequence/></resource></api>"#;
        let (apis, mistakes) = plan(xml, "api", api::build);
        assert_eq!(mistakes, "");
        let routes = Routes::new(&apis, &[]);
        let apis: Vec<Arc<Api>> = apis.into_iter().map(Arc::new).collect();
        let asked = Asked {
            method: &Method::GET,
            target,
            https: false,
            headers: &HeaderMap::new(),
            has_body: false,
        };
        let place = match routes.find(&apis, &[], &asked) {
            Route::Resource(matched) => Place::Api(ApiFacts::new(
                &apis[0],
                matched.below,
                Some((matched.resource, matched.variables)),
            )),
            Route::Elsewhere => Place::Main,
            other => panic!("{other:?}"),
        };
        let address = "127.0.0.1:8290".parse().expect("an address");
        let host = HeaderValue::from_static("gateway:8290");
        let request = Request::new(
            Method::GET,
            Arc::from(target),
            "http",
            Some(host),
            (address, address),
        );
        Facts {
            request: Rc::new(request),
            client: Client {
                speech: Speech::Rest,
                json: false,
                grpc: false,
            },
            has_body: false,
            typed: false,
            place,
            caller: None,
        }
    }

    fn check(target: &str, expected: &[(&str, &str)]) {
        let facts = facts(target);
        for (name, value) in expected {
            let found = match name.strip_prefix("axis2 ") {
                Some(name) => facts.axis2(name),
                None => facts.default_scope(name),
            };
            assert_eq!(
                found.map_or("(none)".to_owned(), |found| found.to_text().into_owned()),
                *value,
                "{name} of {target}"
            );
        }
    }

    #[test]
    fn a_request_to_an_api_tells_its_parts() {
        check(
            "/a/1/x/a%20b/c/d?q=1",
            &[
                ("uri.var.id", "a b"),
                ("uri.var.rest", "c/d?q=1"),
                ("query.param.q", "1"),
                ("query.param.r", "(none)"),
                ("REST_FULL_REQUEST_PATH", "/a/1/x/a%20b/c/d?q=1"),
                ("REST_SUB_REQUEST_PATH", "/x/a%20b/c/d?q=1"),
                ("RESOURCE_PATH", "/x/a%20b/c/d?q=1"),
                ("REST_METHOD", "GET"),
                ("REST_API_CONTEXT", "/a"),
                ("REST_URL_PREFIX", "http://gateway:8290"),
                ("rest.url.pattern", "/x/{id}/{+rest}"),
                ("SYNAPSE_REST_API", "A:v1"),
                ("SYNAPSE_REST_API_VERSION", "1"),
                ("SYNAPSE_REST_API_VERSION_STRATEGY", "url"),
                ("axis2 REST_URL_POSTFIX", "/x/a%20b/c/d?q=1"),
                ("axis2 TransportInURL", "/a/1/x/a%20b/c/d?q=1"),
                ("axis2 HTTP_METHOD", "GET"),
                ("axis2 REMOTE_ADDR", "127.0.0.1"),
                ("axis2 NO_ENTITY_BODY", "true"),
                ("axis2 SERVICE_PREFIX", "http://127.0.0.1:8290/"),
            ],
        );
        check(
            "/a/1/y",
            &[
                ("rest.url.pattern", "/y/*"),
                ("RESOURCE_PATH", "(none)"),
                ("axis2 REST_URL_POSTFIX", "/y"),
            ],
        );
    }

    #[test]
    fn a_request_to_main_has_no_api() {
        check(
            "/else?x=1",
            &[
                ("REST_METHOD", "(none)"),
                ("query.param.x", "(none)"),
                ("axis2 REST_URL_POSTFIX", "else?x=1"),
            ],
        );
    }

    #[test]
    fn query_parameters_follow_synapses_odd_rules() {
        for (query, name, value) in [
            ("a=1&b=2", "b", Some("2")),
            ("a=1&a=2", "a", Some("2")),
            ("a=x%20y+z", "a", Some("x y z")),
            ("a%20b=1", "a%20b", Some("1")),
            ("a=R&D&b=2", "a", Some("R&D")),
            ("a=R%26&D%26&b=2", "a", Some("R&&D%26")),
            ("a&b=2", "a", None),
            ("a&b=2", "b", Some("2")),
            ("a=", "a", Some("")),
            ("a==b", "a", Some("=b")),
            ("", "a", None),
        ] {
            assert_eq!(
                query_parameter(query, name).as_deref(),
                value,
                "{name} in {query}"
            );
        }
        assert!(
            has_bad_escape("a=%")
                && has_bad_escape("a=%zz")
                && !has_bad_escape("%=1")
                && !has_bad_escape("a=%20")
        );
    }

    #[test]
    fn all_names_have_values() {
        let facts = facts("/a/1/x/7/c?q=1&q=2");
        let names = facts.default_names();
        assert!(
            names.contains(&"uri.var.id".to_owned()) && names.contains(&"query.param.q".to_owned()),
            "{names:?}"
        );
        assert!(
            names.iter().all(|name| facts.default_scope(name).is_some()),
            "{names:?}"
        );
    }
}
