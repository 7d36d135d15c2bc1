//! What leaves of a message: its headers, and its payload written as the endpoint wants it.

use super::delivery::{AddressingVersion, Delivery, Format};
use super::{Exchange, Fault};
use crate::message::addressing::{self, Addressing};
use crate::message::body::ByteStream;
use crate::message::format::{Body, EnvelopeRule, Target, Written};
use crate::message::media_type::{Charset, Form, MediaType};
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::wire::client::Manner;
use crate::wire::url::Url;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue, SERVER};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use std::borrow::Cow;
use std::sync::Arc;

pub static SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

/// What leaves of a message.
pub struct Outgoing {
    pub headers: HeaderMap,
    pub body: ByteStream,
    /// The payload as it was, when it can be sent again.
    pub(super) kept: Option<Payload>,
    /// Whether `text/xml` in the answer may be XML without an envelope.
    pub(super) rest: bool,
}

/// The headers of the message, without what the last sender said of itself.
pub(super) fn headers(exchange: &Exchange) -> Result<HeaderMap, Fault> {
    let mut headers = exchange.message.headers.clone();
    // Requests seldom have one of these.
    if headers.keys().any(|name| *name == DATE || *name == SERVER) {
        headers.remove(DATE);
        headers.remove(SERVER);
    }
    headers.remove(HOST);
    if let Some(host) = exchange.properties.axis2_text("REQUEST_HOST_HEADER") {
        let value = HeaderValue::from_str(host.trim()).map_err(|_| {
            Fault::mediation(format!("`{host}` (REQUEST_HOST_HEADER) cannot be a Host header"))
        })?;
        headers.insert(HOST, value);
    }
    Ok(headers)
}

/// Takes the payload out of the message, written as the endpoint wants it, with headers that fit it.
pub async fn outgoing(
    exchange: &mut Exchange,
    method: &Method,
    delivery: &Delivery,
    out_only: bool,
) -> Result<Outgoing, Fault> {
    let mut headers = headers(exchange)?;
    let rest = exchange.message.payload.is_rest();
    if has_no_body(exchange, method, delivery) {
        headers.remove(CONTENT_ENCODING);
        let kept = exchange.message.payload.try_clone();
        exchange.message.payload = Payload::empty();
        return Ok(Outgoing {
            headers,
            body: ByteStream::empty(),
            kept,
            rest,
        });
    }
    let message_type = match (delivery.format, method) {
        (Some(Format::Rest), &Method::DELETE) => None,
        _ => exchange.message_type().map(Cow::into_owned),
    };
    let content_type = announced(exchange, delivery, message_type.as_deref());
    let target = asked_for(
        exchange,
        delivery,
        message_type.as_deref(),
        content_type.as_deref(),
    );
    if exchange.message.payload.must_load_for(&target) {
        Box::pin(exchange.load()).await?;
    }
    if delivery.addressing.is_none() && exchange.message.addressing.has_read() {
        leave_addressing_behind(exchange)?;
    }
    if out_only || wants_length(exchange) {
        // One-way, the client may be gone before the backend has all of it.
        let limits = &exchange.catalog.limits;
        if let Err(error) = Box::pin(exchange.message.payload.keep(limits)).await {
            return Err(exchange.not_parsed(error));
        }
    }
    if delivery
        .format
        .is_some_and(|format| matches!(format, Format::Soap11 | Format::Soap12))
    {
        exchange.message.payload.set_rest(false);
    }
    let rest = exchange.message.payload.is_rest();
    let payload = std::mem::replace(&mut exchange.message.payload, Payload::empty());
    let kept = payload.try_clone();
    let catalog = Arc::clone(&exchange.catalog);
    let context = catalog.build_context();
    let written = match payload.write(&target, &context) {
        Ok(written) => written,
        Err(error) => return Err(exchange.not_parsed(error)),
    };
    set_content_headers(exchange, &mut headers, &written, delivery, content_type)?;
    let body = match written.body {
        Body::Empty => ByteStream::empty(),
        Body::Stream(stream) => stream,
        Body::Bytes {
            bytes,
            trailers: None,
        } => ByteStream::from(bytes),
        Body::Bytes {
            bytes,
            trailers: Some(trailers),
        } => {
            let whole =
                http_body_util::Full::new(bytes).with_trailers(std::future::ready(Some(Ok(trailers))));
            ByteStream::new(whole.map_err(|never: std::convert::Infallible| match never {}))
        }
    };
    Ok(Outgoing {
        headers,
        body,
        kept,
        rest,
    })
}

/// GET and HEAD carry none that was made here, but nothing is lost of what a client sent with them. A message that arrived without a body
/// and got none since has none.
pub(super) fn has_no_body(exchange: &Exchange, method: &Method, delivery: &Delivery) -> bool {
    let payload = &exchange.message.payload;
    if (*method == Method::GET || *method == Method::HEAD)
        && (delivery.format == Some(Format::Get)
            || *method != exchange.request.method
            || !payload.is_of_client())
    {
        return true;
    }
    if !exchange.properties.axis2_is_true("NO_ENTITY_BODY") {
        return payload.is_empty() && payload.is_untouched();
    }
    *method == Method::DELETE || payload.is_empty() || payload.is_untouched()
}

/// The length is to be known before the first byte leaves.
fn wants_length(exchange: &Exchange) -> bool {
    ["DISABLE_CHUNKING", "FORCE_HTTP_1.0", "FORCE_HTTP_CONTENT_LENGTH"]
        .iter()
        .any(|name| exchange.properties.axis2_is_true(name))
}

/// How a backend that wants it otherwise is spoken to (`TargetRequest`).
pub(super) fn manner(exchange: &Exchange) -> Manner {
    let set = |name: &str| {
        let value = exchange.properties.axis2_values().get(name);
        value.is_some_and(Value::is_true)
    };
    Manner {
        close: set("NO_KEEPALIVE"),
        absolute: set("POST_TO_URI") || set("FULL_URI"),
        http10: set("FORCE_HTTP_1.0"),
    }
}

/// The media type to announce for a body that is written anew.
fn announced(exchange: &Exchange, delivery: &Delivery, message_type: Option<&str>) -> Option<String> {
    match delivery.format {
        Some(Format::Soap11) => Some(Form::Soap11.essence().to_owned()),
        Some(Format::Soap12) => Some(Form::Soap12.essence().to_owned()),
        Some(Format::Pox) => Some(Form::Xml.essence().to_owned()),
        _ => exchange
            .properties
            .axis2_text("ContentType")
            .or_else(|| message_type.map(str::to_owned)),
    }
}

fn asked_for(
    exchange: &Exchange,
    delivery: &Delivery,
    message_type: Option<&str>,
    content_type: Option<&str>,
) -> Target {
    let (form, envelope) = match delivery.format {
        // A multipart body stays one: its root part is the envelope.
        Some(Format::Soap11 | Format::Soap12) if exchange.message.payload.form() == Form::Multipart => {
            (Form::Multipart, EnvelopeRule::Always)
        }
        Some(Format::Soap11) => (Form::Soap11, EnvelopeRule::Always),
        Some(Format::Soap12) => (Form::Soap12, EnvelopeRule::Always),
        Some(Format::Pox) => (Form::Xml, EnvelopeRule::ByExchange),
        _ => (
            message_type.map_or(exchange.message.payload.form(), Form::of),
            EnvelopeRule::ByExchange,
        ),
    };
    let named = exchange
        .properties
        .axis2_text("CHARACTER_SET_ENCODING")
        .and_then(|name| Charset::named(&name));
    let announced = || {
        let with_parameters = content_type.filter(|text| text.contains(';'))?;
        Charset::named(&MediaType::parse(with_parameters).charset?)
    };
    Target {
        form,
        charset: named.or(delivery.charset).or_else(announced),
        envelope,
    }
}

fn set_content_headers(
    exchange: &Exchange,
    headers: &mut HeaderMap,
    written: &Written,
    delivery: &Delivery,
    content_type: Option<String>,
) -> Result<(), Fault> {
    if matches!(written.body, Body::Empty) {
        headers.remove(CONTENT_ENCODING);
        return Ok(());
    }
    let action = action(&exchange.message.addressing);
    let set_by_a_step = exchange.properties.axis2_values().get("ContentType").is_some();
    if !written.as_arrived {
        headers.remove(CONTENT_ENCODING);
        let text = with_parameters(exchange, headers, written, delivery, content_type, action);
        insert(headers, CONTENT_TYPE, &text)?;
    } else if delivery.format.is_none() && (set_by_a_step || !headers.contains_key(CONTENT_TYPE)) {
        // Bytes of a type nobody told stay without one.
        if let Some(text) = content_type {
            insert(headers, CONTENT_TYPE, &text)?;
        }
    }
    match (written.form, action) {
        (Form::Soap11, Some(action)) => insert(headers, SOAP_ACTION.clone(), &format!("\"{action}\""))?,
        // SOAP 1.1 asks for the header even when it says nothing.
        (Form::Soap11, None)
            if delivery.format == Some(Format::Soap11) && !headers.contains_key(&SOAP_ACTION) =>
        {
            headers.insert(SOAP_ACTION.clone(), HeaderValue::from_static("\"\""));
        }
        // SOAP 1.2 says it in the Content-Type.
        (Form::Soap12, _) if delivery.format == Some(Format::Soap12) => {
            headers.remove(&SOAP_ACTION);
        }
        _ => {}
    }
    Ok(())
}

fn with_parameters(
    exchange: &Exchange,
    headers: &HeaderMap,
    written: &Written,
    delivery: &Delivery,
    content_type: Option<String>,
    action: Option<&str>,
) -> String {
    let mut text = content_type.unwrap_or_else(|| written.form.essence().to_owned());
    if written.form == Form::Multipart {
        // Its boundary is the one it came with.
        return headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map_or(text, str::to_owned);
    }
    let asked = delivery.charset.is_some() || exchange.properties.axis2("CHARACTER_SET_ENCODING").is_some();
    let said = MediaType::parse(&text).charset.is_some();
    // Synapse preserves a Content-Type header that is there, and its formatters name the character set in a new one.
    let preserved = headers.contains_key(CONTENT_TYPE) && delivery.format.is_none();
    let never = exchange.properties.axis2_text("setCharacterEncoding").as_deref() == Some("false");
    if !said && written.form != Form::Binary && !never && (asked || !preserved) {
        text.push_str("; charset=");
        text.push_str(written.charset.name());
    }
    if let (Form::Soap12, Some(action)) = (written.form, action)
        && MediaType::parse(&text).action.is_none()
    {
        text.push_str(&format!("; action=\"{action}\""));
    }
    text
}

fn action(addressing: &Addressing) -> Option<&str> {
    addressing
        .soap_action
        .as_deref()
        .filter(|action| !action.is_empty())
        .or(addressing.action.as_deref())
        .filter(|action| !action.is_empty())
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Fault> {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name, value);
            Ok(())
        }
        Err(_) => Err(Fault::mediation(format!(
            "`{}` cannot be the value of the header {name}",
            value.escape_debug()
        ))),
    }
}

// WS-Addressing

/// The headers by which the message found its way to here are not for the next one (`MessageHelper.removeProcessedHeaders`). A message that nobody
/// has looked into keeps them.
fn leave_addressing_behind(exchange: &mut Exchange) -> Result<(), Fault> {
    let is_kept = |name: &str| exchange.properties.is_true(name);
    if is_kept("PRESERVE_WS_ADDRESSING") || is_kept("preserveProcessedHeaders") {
        return Ok(());
    }
    let catalog = Arc::clone(&exchange.catalog);
    let message = &mut exchange.message;
    if message
        .payload
        .built_envelope()
        .is_none_or(|envelope| envelope.header().is_none())
    {
        return Ok(());
    }
    match message.payload.envelope_mut(&catalog.build_context()) {
        Ok(envelope) => message.addressing.take_out(envelope),
        Err(error) => return Err(exchange.not_parsed(error)),
    }
    Ok(())
}

/// Writes the addressing headers of this hop; those of the last one go.
pub(super) async fn add_addressing(
    exchange: &mut Exchange,
    version: AddressingVersion,
    url: &Url,
) -> Result<(), Fault> {
    let action = action(&exchange.message.addressing).unwrap_or("").to_owned();
    let id = exchange
        .message
        .addressing
        .message_id
        .as_deref()
        .map_or_else(|| exchange.worker.runtime.message_id(), str::to_owned);
    let namespace = match version {
        AddressingVersion::Final => addressing::FINAL,
        AddressingVersion::Submission => addressing::SUBMISSION,
    };
    let preserved = exchange.properties.is_true("PRESERVE_WS_ADDRESSING");
    let envelope = exchange.envelope_mut().await?;
    let header = envelope.ensure_header();
    let tree = &mut envelope.tree;
    let present: Vec<_> = tree
        .child_elements(header)
        .filter(|block| [addressing::FINAL, addressing::SUBMISSION].contains(&tree.namespace(*block)))
        .collect();
    if preserved && !present.is_empty() {
        return Ok(());
    }
    for block in present {
        tree.detach(block);
    }
    tree.declare_namespace(header, "wsa", namespace);
    let anonymous = format!("{namespace}/role/anonymous");
    let mut blocks = vec![("To", url.to_string()), ("MessageID", id), ("Action", action)];
    if version == AddressingVersion::Submission {
        // The submission asks for it wherever an answer is expected.
        blocks.push(("ReplyTo", anonymous));
    }
    for (name, text) in blocks {
        let block = tree.create_element("wsa", namespace, name);
        if name == "ReplyTo" {
            let address = tree.create_element("wsa", namespace, "Address");
            tree.set_value(address, &text);
            tree.append(block, address);
        } else {
            tree.set_value(block, &text);
        }
        tree.append(header, block);
    }
    Ok(())
}
