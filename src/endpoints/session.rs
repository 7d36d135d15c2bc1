//! Sessions: what a client shows so that its messages go to the same child, and what a backend says that begins one.

use crate::flow::{Answer, Exchange, Fault};
use crate::message::soap::Envelope;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape};
use crate::text::Diagnostic;
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use std::time::Duration;

pub const SESSION: Child = Child::optional(
    "session",
    &[Attr::required(
        "type",
        Shape::Choice(&["http", "soap", "simpleClientSession"]),
        "`http`: any cookie that the backend sets. `soap`: Axis2's `ServiceGroupId`. `simpleClientSession`: the SOAP header `ClientID` in Synapse's namespace.",
    )],
    Children::of(&[Child::optional(
        "sessionTimeout",
        &[],
        Children::TEXT,
        "How long a session lives without a message, in milliseconds. 120000 without it.",
    )]),
    "Which messages belong together and go to the same child.",
);

/// How sessions are told, and how long they live.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    kind: Kind,
    pub lifetime: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Soap,
    Client,
}

const AXIS2: &str = "http://ws.apache.org/namespaces/axis2";
const SYNAPSE: &str = "http://ws.apache.org/ns/synapse";
/// Synapse's own (`SALSessions`).
const LIFETIME: Duration = Duration::from_millis(120_000);

/// Reads the `<session>` beside a group.
pub fn plan(endpoint: &Element, planner: &mut Planner<'_>) -> Option<Session> {
    let element = endpoint.child("session")?;
    if !crate::plan::table::check(element, SESSION.attributes, &SESSION.children, planner) {
        return None;
    }
    let kind = match element.get("type")?.trim().to_ascii_lowercase().as_str() {
        "soap" => Kind::Soap,
        "simpleclientsession" => Kind::Client,
        _ => Kind::Http,
    };
    let mut lifetime = LIFETIME;
    if let Some(text) = element.child("sessionTimeout").and_then(Element::trimmed_text) {
        match planner.resolved(&text)?.trim().parse::<u64>() {
            Ok(0) => (),
            Ok(millis) => lifetime = Duration::from_millis(millis),
            Err(_) => {
                let message = format!("`{}` is not a number of milliseconds", text.text);
                planner.tell(Diagnostic::error("E0203", text.span, message));
            }
        }
    }
    Some(Session { kind, lifetime })
}

impl Session {
    /// What a request shows, each of which may be a session.
    pub async fn shown(&self, exchange: &mut Exchange) -> Result<Vec<String>, Fault> {
        match self.kind {
            Kind::Http => Ok(cookies(&exchange.message.headers)),
            Kind::Soap => Ok(soap_header(exchange, AXIS2, "ServiceGroupId")
                .await?
                .into_iter()
                .collect()),
            Kind::Client => Ok(soap_header(exchange, SYNAPSE, "ClientID")
                .await?
                .into_iter()
                .collect()),
        }
    }

    /// The sessions that an answer begins. `shown` is what the request showed.
    pub async fn begun(&self, exchange: &Exchange, answer: &mut Answer, shown: Vec<String>) -> Vec<String> {
        match self.kind {
            Kind::Http => set_cookies(&answer.headers),
            Kind::Client => shown,
            Kind::Soap => service_group(exchange, answer).await.into_iter().collect(),
        }
    }
}

/// `name=value` of each cookie of a request.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';'));
    pairs
        .map(|pair| pair.trim().to_owned())
        .filter(|pair| pair.contains('='))
        .collect()
}

/// `name=value` of each cookie that an answer sets to something.
fn set_cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(SET_COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = values.filter_map(|value| value.split(';').next());
    pairs
        .map(|pair| pair.trim().to_owned())
        .filter(|pair| !pair.ends_with('=') && pair.contains('='))
        .collect()
}

async fn soap_header(exchange: &mut Exchange, namespace: &str, name: &str) -> Result<Option<String>, Fault> {
    if exchange.message.payload.is_empty() {
        return Ok(None);
    }
    let envelope = exchange.envelope().await?;
    Ok(header_text(envelope, namespace, name))
}

fn header_text(envelope: &Envelope, namespace: &str, name: &str) -> Option<String> {
    let tree = envelope.tree();
    let header = envelope.header()?;
    let block = tree
        .child_elements(header)
        .find(|block| tree.local_name(*block) == name && tree.namespace(*block) == namespace)?;
    Some(tree.string_value(block).trim().to_owned()).filter(|text| !text.is_empty())
}

/// `ReplyTo/ReferenceParameters/ServiceGroupId` of an answer. One that cannot be read begins no session, and goes on as it is.
async fn service_group(exchange: &Exchange, answer: &mut Answer) -> Option<String> {
    if answer.payload.is_empty() || !answer.payload.form().is_soap() {
        return None;
    }
    answer.payload.load(&exchange.catalog.limits).await.ok()?;
    let envelope = answer.payload.envelope(&exchange.catalog.build_context()).ok()?;
    let tree = envelope.tree();
    let mut at = envelope.header()?;
    for name in ["ReplyTo", "ReferenceParameters", "ServiceGroupId"] {
        at = tree
            .child_elements(at)
            .find(|child| tree.local_name(*child) == name)?;
    }
    Some(tree.string_value(at).trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn any_cookie_that_is_set_to_something_is_a_session() {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("sid=7; Path=/; HttpOnly"));
        headers.append(SET_COOKIE, HeaderValue::from_static("gone=; Max-Age=0"));
        assert_eq!(set_cookies(&headers), ["sid=7"]);
        headers.append(COOKIE, HeaderValue::from_static("a=1; sid=7"));
        assert_eq!(cookies(&headers), ["a=1", "sid=7"]);
    }
}
