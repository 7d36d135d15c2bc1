//! At the door: an API that demands a token gets its caller's looked at before anything else happens.

use super::answer::plain;
use super::route::{Client, Speech};
use crate::deployment::api::Resource;
use crate::deployment::guard::Guard;
use crate::flow::token::{Caller, Claims, Refusal, code};
use crate::message::body::ByteStream;
use crate::message::json::Json;
use crate::message::soap::{Envelope, FaultCode, SoapFault, SoapVersion};
use crate::wire::Reply;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Lets a request in whose token is good, and takes the token off it.
pub async fn admit<'c>(
    caller: Option<&'c Caller>,
    guard: &Guard,
    resource: Option<&Resource>,
    headers: &mut HeaderMap,
) -> Result<&'c Claims, Refusal> {
    let caller = caller.ok_or(Refusal::Missing)?;
    let claims = caller.demand(guard.demand).await?;
    let scopes = resource.map_or(&[][..], |resource| &resource.scopes);
    if !scopes.is_empty() && !scopes.iter().any(|scope| claims.scopes.contains(scope)) {
        return Err(Refusal::Scope(scopes.to_vec()));
    }
    for name in caller.headers_to_remove() {
        headers.remove(name);
    }
    Ok(claims)
}

/// What a caller hears who is not let in.
pub fn refused(refusal: &Refusal, client: Client) -> Reply {
    let mut reply = answer(refusal.status(), refusal.code(), refusal.description(), client);
    if let Ok(challenge) = HeaderValue::from_str(&challenge(refusal)) {
        reply.headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers.remove(header::WWW_AUTHENTICATE);
        reply
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    reply
}

/// RFC 6750 section 3.
fn challenge(refusal: &Refusal) -> String {
    let error = match refusal {
        Refusal::Scope(scopes) => {
            // What RFC 6749 lets a scope be; others are not told of.
            let plain = |scope: &&String| {
                scope
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
            };
            let scopes: Vec<&str> = scopes.iter().filter(plain).map(String::as_str).collect();
            format!(", error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "))
        }
        Refusal::Missing => String::new(),
        _ => ", error=\"invalid_token\"".to_owned(),
    };
    format!("Bearer realm=\"myelin\"{error}")
}

/// API Manager's shape: `code`, `message`, `description`; a SOAP fault for who speaks SOAP.
pub fn answer(status: StatusCode, number: i32, description: &str, client: Client) -> Reply {
    let title = code::title(number).unwrap_or("Authentication Failure");
    if client.grpc {
        return plain(status, title, client);
    }
    let soap = |version| {
        let fault = SoapFault {
            code: Some(FaultCode::Sender),
            reason: "Authentication Failure".to_owned(),
            ..SoapFault::default()
        };
        let mut envelope = Envelope::of_fault(version, &fault);
        if let Some(detail) = envelope.add_fault_detail() {
            let text = format!("{number} {title}. {description}");
            envelope.tree.set_value(detail, &text);
        }
        envelope.tree().to_text(envelope.root())
    };
    let (content_type, body) = match client.speech {
        Speech::Soap11 => ("text/xml; charset=UTF-8", soap(SoapVersion::Soap11)),
        Speech::Soap12 => ("application/soap+xml; charset=UTF-8", soap(SoapVersion::Soap12)),
        Speech::Rest => {
            let body = serde_json::json!({
                "code": number.to_string(), "message": title, "description": description,
            });
            ("application/json; charset=UTF-8", Json::to_string(&body))
        }
    };
    let mut reply = Reply::new(status);
    reply
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.body = ByteStream::from(Bytes::from(body));
    reply
}
