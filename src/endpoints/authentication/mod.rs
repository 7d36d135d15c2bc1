//! `<authentication>`: the credentials of an endpoint, whichever kind they are.

mod api_key;
mod basic;
mod challenge;
mod digest;
pub mod examples;
mod oauth;
mod token;

use crate::expression::Dynamic;
use crate::flow::credentials::Credentials;
use crate::flow::{Exchange, Fault, Origin, Retry, fault};
use crate::plan::{Child, Children, Element, Planner};
use crate::text::{Diagnostic, Placed};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub const AUTHENTICATION: Child = Child::optional(
    "authentication",
    &[],
    Children::of(&[basic::BASIC, oauth::OAUTH, digest::DIGEST, api_key::API_KEY]),
    "What proves to the backend who is asking: one of `basicAuth`, `oauth`, `digest` and `apiKey` (the last two are ours, not Synapse's). It takes the place of \
     what the client sent. Values are text, `{expression}`, or `$secret{alias}`: the environment's `alias`, or a file of that name in the folder \
     `MYELIN_SECRETS` (`/run/secrets` without it). They are never logged.",
);

const USERNAME: Child = Child::required("username", &[], Children::TEXT, "The name.");
const PASSWORD: Child = Child::required("password", &[], Children::TEXT, "The password.");

/// Reads the `<authentication>` of a leaf. `name` is the endpoint's.
pub fn plan(leaf: &Element, name: &Arc<str>, planner: &mut Planner<'_>) -> Option<Arc<dyn Credentials>> {
    let element = leaf.child("authentication")?;
    let mut kinds = element
        .elements()
        .filter(|kind| kind.is_synapse() && kind.name != "description");
    let Some(kind) = kinds.next() else {
        let message = "`<authentication>` is empty";
        let help = "put a `<basicAuth>`, `<oauth>`, `<digest>` or `<apiKey>` inside";
        planner.tell(Diagnostic::error("E0208", element.span, message).help(help));
        return None;
    };
    if let Some(second) = kinds.next() {
        let message = "`<authentication>` takes one kind of credentials";
        planner.tell(Diagnostic::error("E0207", second.span, message).also(kind.span, "the first one"));
        return None;
    }
    match kind.name.as_str() {
        "basicAuth" => basic::plan(kind, planner),
        "digest" => digest::plan(kind, name, planner),
        "apiKey" => api_key::plan(kind, planner),
        "oauth" => oauth::plan(kind, planner),
        // The table has told it.
        _ => None,
    }
}

/// A value that nobody is to see.
struct Secret(Dynamic);

impl Secret {
    async fn of<'a>(&'a self, exchange: &mut Exchange) -> Result<Cow<'a, str>, Fault> {
        exchange.dynamic(&self.0).await
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text of a child as a secret. Blank text is told.
fn secret_in(element: &Element, child: &str, planner: &mut Planner<'_>) -> Option<Secret> {
    let child = element.child(child)?;
    match child.trimmed_text() {
        Some(text) => secret(&text, child, planner),
        None => {
            let message = format!("`<{}>` is empty", child.name);
            planner.mistake("E0202", child.span, message);
            None
        }
    }
}

/// Text with `$secret{alias}` resolved, or an expression in braces.
fn secret(text: &Placed, element: &Element, planner: &mut Planner<'_>) -> Option<Secret> {
    if !text.text.contains(MARKER) {
        return planner.dynamic(text, element).map(Secret);
    }
    let mut resolved = String::new();
    let mut rest = text.text.as_str();
    while let Some((before, after)) = rest.split_once(MARKER) {
        resolved.push_str(before);
        let Some((alias, behind)) = after.split_once('}') else {
            planner.mistake("E0402", text.span, "this `$secret{` is never closed");
            return None;
        };
        match planner.lookup.secret(alias.trim()) {
            Ok(value) => resolved.push_str(&value),
            Err(unset) => {
                planner.tell(Diagnostic::error("E0402", text.span, unset.reason).maybe_help(unset.help));
                return None;
            }
        }
        rest = behind;
    }
    resolved.push_str(rest);
    Some(Secret(Dynamic::Literal(Arc::from(resolved))))
}

const MARKER: &str = "$secret{";

/// A header's value that logs and debuggers do not show.
fn hidden(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| refused("the credentials of the endpoint cannot be the value of a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// 303003: there are no credentials to send. The backend was not asked, so it is not to blame.
fn refused(reason: impl Into<String>) -> Fault {
    Fault::new(fault::code::AUTHENTICATION, Origin::Gateway, reason)
        .retry(Retry::Safe)
        .status(502)
}

/// A key for what is kept of these values.
fn key(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
