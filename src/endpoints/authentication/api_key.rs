//! `<apiKey>`: a key in a header or in the query.

use super::{Secret, hidden, refused, secret};
use crate::flow::credentials::{Credentials, Signer};
use crate::flow::{Exchange, Fault, Worker};
use crate::plan::{Attr, Child, Children, Element, Planner, Shape};
use crate::text::Diagnostic;
use crate::wire::client::ClientRequest;
use async_trait::async_trait;
use http::HeaderName;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::sync::Arc;

pub const API_KEY: Child = Child::optional(
    "apiKey",
    &[
        Attr::required("name", Shape::Text, "The header's or parameter's name."),
        Attr::optional("in", Shape::Choice(&["header", "query"]), "Where the key is put.").default("header"),
        Attr::required("value", Shape::Dynamic, "The key."),
    ],
    Children::NONE,
    "A key in a header or in the query; what the client sent by the same name is taken off.",
);

pub fn plan(element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Credentials>> {
    let name = planner.text(element, "name");
    let in_query = planner
        .text(element, "in")
        .is_some_and(|place| place.trim().eq_ignore_ascii_case("query"));
    let value = element.attribute("value")?.value.clone();
    let key = secret(&value, element, planner);
    let name = name?.trim().to_owned();
    let place = if in_query {
        Place::Query(name)
    } else {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) => Place::Header(header),
            Err(_) => {
                let span = element
                    .attribute("name")
                    .map_or(element.span, |attribute| attribute.value.span);
                planner.tell(Diagnostic::error(
                    "E0203",
                    span,
                    format!("`{name}` cannot be the name of a header"),
                ));
                return None;
            }
        }
    };
    Some(Arc::new(ApiKey { place, key: key? }))
}

#[derive(Debug)]
struct ApiKey {
    place: Place,
    key: Secret,
}

#[derive(Debug, Clone)]
enum Place {
    Header(HeaderName),
    Query(String),
}

struct Signature {
    place: Place,
    key: String,
}

#[async_trait(?Send)]
impl Credentials for ApiKey {
    async fn of(&self, exchange: &mut Exchange) -> Result<Box<dyn Signer>, Fault> {
        Ok(Box::new(Signature {
            place: self.place.clone(),
            key: self.key.of(exchange).await?.into_owned(),
        }))
    }
}

/// What stays as it is in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[async_trait(?Send)]
impl Signer for Signature {
    async fn sign(&self, _: &Worker, request: &mut ClientRequest) -> Result<(), Fault> {
        match &self.place {
            Place::Header(name) => {
                request.headers.insert(name, hidden(&self.key)?);
            }
            Place::Query(name) => {
                let path = &request.url.path_and_query;
                let with_key = in_query(path, name, &self.key);
                request.url.path_and_query = PathAndQuery::try_from(with_key)
                    .map_err(|_| refused("the API key of the endpoint cannot stand in an address"))?;
            }
        }
        Ok(())
    }
}

fn in_query(path: &PathAndQuery, name: &str, key: &str) -> String {
    let others = path.query().unwrap_or("").split('&').filter(|pair| {
        let written = pair.split('=').next().unwrap_or("");
        !pair.is_empty() && percent_decode_str(written).decode_utf8_lossy() != name
    });
    let own = format!(
        "{}={}",
        utf8_percent_encode(name, PLAIN),
        utf8_percent_encode(key, PLAIN)
    );
    let pairs: Vec<&str> = others.chain([own.as_str()]).collect();
    format!("{}?{}", path.path(), pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_query_takes_the_place_of_the_clients() {
        let check = |path: &'static str, expected: &str| {
            assert_eq!(
                in_query(&PathAndQuery::from_static(path), "api key", "a&b"),
                expected
            );
        };
        check("/x", "/x?api%20key=a%26b");
        check("/x?a=1&b", "/x?a=1&b&api%20key=a%26b");
        check("/x?api%20key=mine&a=1", "/x?a=1&api%20key=a%26b");
    }
}
