//! At the door: an API that demands a token gets its caller's looked at before anything else happens.

use super::answer::plain;
use super::route::{Client, Speech};
use crate::deployment::api::Resource;
use crate::deployment::guard::Guard;
use crate::flow::Runtime;
use crate::flow::backend_jwt::Called;
use crate::flow::request::Request;
use crate::flow::token::{Caller, Refusal, code};
use crate::message::body::ByteStream;
use crate::message::json::Json;
use crate::message::soap::{Envelope, FaultCode, SoapFault, SoapVersion};
use crate::wire::Reply;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Lets a request in whose token is good, takes the token off it, and puts another one on it for the backend.
pub async fn admit(
    caller: Option<&Caller>,
    guard: &Guard,
    resource: Option<&Resource>,
    called: Called<'_>,
    headers: &mut HeaderMap,
    runtime: &Runtime,
) -> Result<(), Refusal> {
    let caller = caller.ok_or(Refusal::Missing)?;
    let claims = caller.demand(guard.demand).await?;
    let scopes = resource.map_or(&[][..], |resource| &resource.scopes);
    if !scopes.is_empty() && !scopes.iter().any(|scope| claims.scopes.contains(scope)) {
        return Err(Refusal::Scope(scopes.to_vec()));
    }
    for name in caller.headers_to_remove() {
        headers.remove(name);
    }
    if let Some(signer) = &runtime.signer {
        let now = runtime.clock.millis().div_euclid(1000);
        signer.stamp(headers, claims, called, now, || runtime.message_id());
    }
    Ok(())
}

/// The public keys of the tokens that backends get, if that is what is asked for.
pub fn jwks(request: &Request, runtime: &Runtime) -> Option<Reply> {
    if !matches!(request.path(), "/.wellknown/jwks" | "/.well-known/jwks.json")
        || request.method != Method::GET
    {
        return None;
    }
    let jwks = runtime.signer.as_ref()?.jwks()?;
    let mut reply = Reply::new(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    let keep = HeaderValue::from_static("public, max-age=300");
    reply.headers.insert(header::CONTENT_TYPE, json);
    reply.headers.insert(header::CACHE_CONTROL, keep);
    reply.body = ByteStream::from(Bytes::from(jwks));
    Some(reply)
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

/// What a caller of a blocked API hears, in API Manager's shape: XML if that is what it wants, else JSON.
pub fn blocked(accept: Option<&str>, client: Client) -> Reply {
    const CODE: i32 = 700_700;
    const MESSAGE: &str = "API blocked";
    const DESCRIPTION: &str = "This API has been blocked temporarily. Please try again later.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    if client.grpc || client.speech != Speech::Rest {
        return plain(status, &format!("{CODE} {MESSAGE}. {DESCRIPTION}"), client);
    }
    let accepted = accept.unwrap_or_default();
    let (xml, json) = (accepted.find("xml"), accepted.find("json"));
    let wants_xml = xml.is_some_and(|xml| json.is_none_or(|json| xml < json));
    let (content_type, body) = if wants_xml {
        let body = format!(
            "<am:fault xmlns:am=\"http://wso2.org/apimanager\"><am:code>{CODE}</am:code><am:type>Status report</am:type>\
             <am:message>{MESSAGE}</am:message><am:description>{DESCRIPTION}</am:description></am:fault>"
        );
        ("application/xml; charset=UTF-8", body)
    } else {
        let body = serde_json::json!({
            "code": CODE.to_string(), "type": "Status report", "message": MESSAGE, "description": DESCRIPTION,
        });
        ("application/json; charset=UTF-8", Json::to_string(&body))
    };
    let mut reply = Reply::new(status);
    let content_type = HeaderValue::from_static(content_type);
    reply.headers.insert(header::CONTENT_TYPE, content_type);
    reply.body = ByteStream::from(Bytes::from(body));
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
