//! `<tls>` and `<proxy>` of an endpoint: whom it trusts, as whom it comes, and by which way.

use crate::plan::{Element, Planner};
use crate::text::{Diagnostic, Span};
use crate::wire::tls::{IdentityFiles, Tls, TlsOptions};
use crate::wire::verify::{Pin, Verify};
use crate::wire::{Profile, Proxy, Route};
use rustls_pki_types::ServerName;
use std::path::PathBuf;
use std::sync::Arc;

/// How the connections of a leaf are made, where it says something about that.
pub fn plan(leaf: &Element, planner: &mut Planner<'_>) -> Option<Arc<Profile>> {
    let tls = plan_tls(leaf, planner);
    let route = plan_route(leaf, planner);
    (tls.is_some() || route.is_some()).then(|| Arc::new(Profile { tls, route }))
}

pub fn plan_tls(leaf: &Element, planner: &mut Planner<'_>) -> Option<Arc<Tls>> {
    let element = leaf.child("tls")?;
    let before = planner.mistakes.errors();
    let span_of = |name: &str| {
        element
            .attribute(name)
            .map_or(element.span, |attribute| attribute.value.span)
    };
    let authority = path(element, "ca", planner);
    let identity = match (path(element, "cert", planner), path(element, "key", planner)) {
        (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let missing = if certificate.is_some() { "key" } else { "cert" };
            let message = format!("a client certificate needs `cert` and `key`; there is no `{missing}`");
            planner.mistake("E0202", element.span, message);
            None
        }
    };
    let server_name = planner.text(element, "server-name").and_then(|name| {
        let parsed = ServerName::try_from(name.trim().to_owned());
        if parsed.is_err() {
            let message = format!("`{name}` cannot be the name of a server");
            planner.mistake("E0203", span_of("server-name"), message);
        }
        parsed.ok()
    });
    let mut pins = Vec::new();
    for pin in planner
        .text(element, "pin")
        .iter()
        .flat_map(|pins| pins.split([',', ' ']))
    {
        match pin.parse::<Pin>() {
            Ok(pin) => pins.push(pin),
            Err(()) if pin.trim().is_empty() => {}
            Err(()) => {
                let mistake = Diagnostic::error("E0203", span_of("pin"), format!("`{pin}` is no pin"));
                planner.tell(mistake.help("a pin is `sha256/` and the hash of the public key in base64"));
            }
        }
    }
    let verify = planner
        .text(element, "verify")
        .and_then(|verify| verify.parse::<Verify>().ok())
        .unwrap_or_default();
    if let Some(danger) = verify.danger() {
        warn(danger, span_of("verify"), planner);
    }
    if planner.mistakes.errors() != before {
        return None;
    }
    let options = TlsOptions {
        authority,
        identity,
        server_name,
        pins,
        verify,
    };
    match Tls::load(options) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            planner.mistake("E0404", element.span, error.to_string());
            None
        }
    }
}

/// Loudly: where the configuration is checked and, as a warning of the load, where it starts.
fn warn(danger: &str, span: Span, planner: &mut Planner<'_>) {
    let warning = Diagnostic::warning(
        "W0505",
        span,
        format!("anybody can pass for this backend: {danger}"),
    );
    planner.tell(warning.help("name the backend's own authority or certificate in `ca` instead"));
}

fn path(element: &Element, attribute: &str, planner: &mut Planner<'_>) -> Option<PathBuf> {
    let value = element.attribute(attribute)?.value.clone();
    let name = planner.resolved(&value)?;
    let from = planner.file_of(&value).to_owned();
    Some(planner.lookup.path(name.trim(), &from))
}

fn plan_route(leaf: &Element, planner: &mut Planner<'_>) -> Option<Route> {
    let element = leaf.child("proxy")?;
    let url = planner.text(element, "url")?;
    if url.trim().is_empty() {
        return Some(Route::Direct);
    }
    let exceptions = planner.text(element, "no-proxy").unwrap_or_default();
    match Proxy::parse(&url) {
        Ok(proxy) => Some(Route::Proxy(Arc::new(proxy.except(&exceptions)))),
        Err(reason) => {
            let span = element
                .attribute("url")
                .map_or(element.span, |attribute| attribute.value.span);
            // The address itself may hold a password.
            planner.mistake("E0305", span, format!("this is no proxy: {reason}"));
            None
        }
    }
}
