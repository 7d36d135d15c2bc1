//! From a message to what the client gets: status, headers, body. And the last word on a fault that nobody answered.

use super::admission;
use super::route::{Client, Speech};
use crate::flow::fault::code;
use crate::flow::grpc::{self, Ending, GRPC_STATUS};
use crate::flow::{Exchange, Fault, Origin, token};
use crate::message::body::ByteStream;
use crate::message::format::{Body, EnvelopeRule, Target, Written};
use crate::message::json::Json;
use crate::message::media_type::{Charset, Form, MediaType};
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::message::soap::{Envelope, FaultCode, SoapFault, SoapVersion};
use crate::wire::Reply;
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use md5::{Digest, Md5};
use std::borrow::Cow;

/// 202 without a body: the message came, and there is nothing to say.
pub fn accepted() -> Reply {
    Reply::new(StatusCode::ACCEPTED)
}

/// A status without a body.
pub fn bare(status: StatusCode) -> Reply {
    Reply::new(status)
}

/// 405, with the methods there are.
pub fn not_allowed(allow: &str) -> Reply {
    with_allow(StatusCode::METHOD_NOT_ALLOWED, allow)
}

/// The engine's own answer to OPTIONS.
pub fn options(allow: &str) -> Reply {
    with_allow(StatusCode::OK, allow)
}

fn with_allow(status: StatusCode, allow: &str) -> Reply {
    let mut reply = Reply::new(status);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        reply.headers.insert(header::ALLOW, allow);
    }
    reply
}

/// The status and headers of the message without its body (`NIO-ACK-Requested`).
pub fn acknowledge(exchange: &mut Exchange) -> Reply {
    let mut reply = Reply::new(status(exchange));
    reply.close = closes(exchange);
    reply.reason = reason(exchange, reply.status);
    reply.headers = headers(exchange);
    drop_body_headers(&mut reply.headers);
    reply
}

/// The message as the client gets it. What cannot be read or written is a fault.
pub async fn respond(exchange: &mut Exchange, client: Client) -> Result<Reply, Fault> {
    if let Some(tunnel) = exchange.tunnel.take()
        && switches(exchange)
    {
        return Ok(Reply {
            headers: headers(exchange),
            tunnel: Some(tunnel),
            ..Reply::new(StatusCode::SWITCHING_PROTOCOLS)
        });
    }
    if exchange.properties.axis2_is_true("NO_ENTITY_BODY") {
        return Ok(acknowledge(exchange));
    }
    let target = target(exchange, client);
    let hash = exchange.properties.axis2_is_true("HTTP_ETAG");
    // A length needs the whole body, and so does a hash.
    let whole = hash
        || ["DISABLE_CHUNKING", "FORCE_HTTP_1.0"]
            .iter()
            .any(|name| exchange.properties.axis2_is_true(name));
    let catalog = std::sync::Arc::clone(&exchange.catalog);
    if whole {
        let kept = exchange.message.payload.keep(&catalog.limits).await;
        kept.map_err(|error| exchange.not_parsed(error))?;
    }
    if exchange.message.payload.must_load_for(&target) {
        exchange.load().await?;
    }
    let status = status(exchange);
    let reason = reason(exchange, status);
    let mut headers = headers(exchange);
    let empty = exchange.message.payload.is_empty();
    let payload = std::mem::replace(&mut exchange.message.payload, Payload::empty());
    let boundary = payload.media_type().and_then(|own| own.boundary.clone());
    let context = catalog.build_context();
    let Written {
        body,
        as_arrived,
        form,
        charset,
    } = match payload.write(&target, &context) {
        Ok(written) => written,
        Err(error) => return Err(exchange.not_parsed(error)),
    };
    // An answer to HEAD tells the length of the body that it has not.
    let untold = empty && !exchange.properties.are_of_the_request();
    if !as_arrived && !untold {
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    let body = match body {
        Body::Empty => ByteStream::empty(),
        Body::Stream(stream) => stream,
        Body::Bytes { bytes, trailers } => {
            if hash {
                let digest: String = Md5::digest(&bytes)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                if let Ok(value) = HeaderValue::from_str(&format!("\"{digest}\"")) {
                    headers.insert(header::ETAG, value);
                }
            }
            with_trailers(bytes, trailers)
        }
    };
    if !empty
        && let Some(content_type) =
            content_type(exchange, as_arrived, form, charset, boundary.as_deref(), client)
    {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    let mut reply = Reply {
        status,
        reason,
        headers,
        body,
        tunnel: None,
        close: closes(exchange),
    };
    if client.grpc {
        end_call(&mut reply, exchange);
    }
    if exchange.request.method == Method::HEAD {
        // The length is told, the body is not sent.
        if let Some(length) = reply.body.exact_length().filter(|length| *length > 0) {
            reply.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        reply.body = ByteStream::empty();
    }
    Ok(reply)
}

/// Whether a step wants the client's connection to end with this answer; HTTP/1.0 keeps none.
fn closes(exchange: &Exchange) -> bool {
    let set = exchange.properties.axis2_values();
    let is_true = |name: &str| set.get(name).is_some_and(Value::is_true);
    is_true("NO_KEEPALIVE") || is_true("FORCE_HTTP_1.0")
}

/// Whether the status is still the one of a backend that agreed to a WebSocket.
fn switches(exchange: &Exchange) -> bool {
    let status = exchange.properties.axis2("HTTP_SC");
    status.and_then(|status| status.as_integer()) == Some(101)
}

fn with_trailers(bytes: Bytes, trailers: Option<HeaderMap>) -> ByteStream {
    match trailers {
        None => ByteStream::from(bytes),
        Some(trailers) => {
            let frames = [Ok(Frame::data(bytes)), Ok(Frame::trailers(trailers))];
            ByteStream::new(http_body_util::StreamBody::new(futures_util::stream::iter(
                frames,
            )))
        }
    }
}

/// `HTTP_SC`, else 202 if `SC_ACCEPTED`, else 500 for a SOAP fault, else 200.
fn status(exchange: &Exchange) -> StatusCode {
    let properties = &exchange.properties;
    if properties.axis2_is_true("SC_ACCEPTED") {
        return StatusCode::ACCEPTED;
    }
    if let Some(given) = properties.axis2("HTTP_SC") {
        let number = given.as_integer().and_then(|number| u16::try_from(number).ok());
        match number
            .and_then(|number| StatusCode::from_u16(number).ok())
            .filter(|status| status.as_u16() >= 200)
        {
            Some(status) => return status,
            None => tracing::warn!(
                served_by = %exchange.served_by,
                value = %given.to_text(),
                "HTTP_SC is not a status; it is ignored."
            ),
        }
    }
    let fault = exchange
        .message
        .payload
        .built_envelope()
        .is_some_and(Envelope::is_fault);
    if fault && !properties.axis2_is_true("FAULTS_AS_HTTP_200") {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::OK
}

/// `HTTP_SC_DESC`; the backend's own phrase belongs to its own status alone.
fn reason(exchange: &Exchange, status: StatusCode) -> Option<String> {
    exchange.properties.axis2_text("HTTP_SC_DESC").or_else(|| {
        let (own, reason) = exchange.reason.as_ref()?;
        (*own == status).then(|| reason.clone())
    })
}

/// Headers that say something about a request, and would say something wrong about an answer.
fn is_for_requests(name: &HeaderName) -> bool {
    let name = name.as_str();
    // These three belong to answers.
    (name.starts_with("accept") && !matches!(name, "accept-ranges" | "accept-patch" | "accept-post"))
        || name.starts_with("if-")
        || matches!(
            name,
            "host"
                | "authorization"
                | "proxy-authorization"
                | "cookie"
                | "user-agent"
                | "expect"
                | "content-length"
                | "max-forwards"
                | "range"
                | "te"
                | "connection"
                | "keep-alive"
                | "proxy-connection"
                | "transfer-encoding"
                | "upgrade"
                | "http2-settings"
                | "trailer"
        )
}

/// The message's headers; of a request that is turned round those that make sense in an answer.
fn headers(exchange: &mut Exchange) -> HeaderMap {
    let headers = std::mem::take(&mut exchange.message.headers);
    if !exchange.properties.are_of_the_request() {
        return headers;
    }
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut last: Option<HeaderName> = None;
    for (name, value) in headers {
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| !is_for_requests(name)) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

fn drop_body_headers(headers: &mut HeaderMap) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
}

/// Which form the body takes: `messageType`, and the client's own envelope where a backend answered in another one.
fn target(exchange: &Exchange, client: Client) -> Target {
    let asked = exchange.message_type();
    let form = asked.as_deref().map_or(exchange.message.payload.form(), Form::of);
    let mut target = Target::of(form);
    target.charset = exchange
        .properties
        .axis2_text("CHARACTER_SET_ENCODING")
        .and_then(|name| Charset::named(&name));
    if let Some(form) = clients_envelope(exchange, client) {
        target.form = form;
        target.envelope = EnvelopeRule::Always;
    }
    target
}

/// The envelope that a backend's answer is put into for a client that speaks SOAP (`Axis2Sender.doSOAPFormatConversion`).
fn clients_envelope(exchange: &Exchange, client: Client) -> Option<Form> {
    let wanted = match client.speech {
        Speech::Rest => return None,
        Speech::Soap11 => Form::Soap11,
        Speech::Soap12 => Form::Soap12,
    };
    if exchange.properties.are_of_the_request() || exchange.message.payload.is_empty() {
        return None;
    }
    let arrived = exchange
        .message
        .arrived_as
        .as_deref()
        .map_or(Form::Unknown, Form::of);
    // What has attachments is an envelope of its own kind, and stays as it came.
    if arrived == Form::Multipart {
        return None;
    }
    let now = exchange.message.header("content-type").map_or(arrived, Form::of);
    let other = now.is_soap() && now != wanted;
    (!arrived.is_soap() || other).then_some(wanted)
}

fn content_type(
    exchange: &Exchange,
    as_arrived: bool,
    form: Form,
    charset: Charset,
    boundary: Option<&str>,
    client: Client,
) -> Option<HeaderValue> {
    let own = exchange.message.arrived_as.as_deref();
    let given = exchange.properties.axis2_text("ContentType");
    if as_arrived {
        return HeaderValue::from_str(given.as_deref().or(own)?).ok();
    }
    let asked = exchange.properties.axis2_text("messageType");
    let base: Cow<'_, str> = match (given, asked, own) {
        _ if clients_envelope(exchange, client).is_some() => form.essence().into(),
        (Some(given), ..) => given.into(),
        (None, Some(asked), _) => asked.into(),
        (None, None, Some(own)) if Form::of(own) == form => own.into(),
        _ => form.essence().into(),
    };
    let media_type = MediaType::parse(&base);
    let mut text = base.split(';').next().unwrap_or("").trim().to_owned();
    if text.is_empty() {
        form.essence().clone_into(&mut text);
    }
    for (name, value) in media_type
        .parameters
        .iter()
        .filter(|(name, _)| name != "charset" && name != "boundary")
    {
        text.push_str(&format!("; {name}=\"{}\"", value.replace(['"', '\\'], "")));
    }
    if let Some(boundary) = boundary.filter(|_| form == Form::Multipart) {
        text.push_str(&format!("; boundary=\"{boundary}\""));
    }
    let has_text = matches!(
        form,
        Form::Json | Form::Xml | Form::Soap11 | Form::Soap12 | Form::Text | Form::Unknown
    );
    let wanted = exchange.properties.axis2_text("setCharacterEncoding").as_deref() != Some("false");
    if has_text && wanted {
        text.push_str("; charset=");
        text.push_str(charset.name());
    }
    HeaderValue::from_str(&text).ok()
}

/// Gives the body of a gRPC answer its status, whatever becomes of it. Answers that are not gRPC are left for `to_grpc`.
fn end_call(reply: &mut Reply, exchange: &Exchange) {
    // Without a body the status is in the headers.
    if reply.status != StatusCode::OK
        || !grpc::is_grpc(&reply.headers)
        || reply.body.exact_length() == Some(0)
    {
        return;
    }
    let made_here = reply.body.as_bytes().is_some() || exchange.properties.are_of_the_request();
    let otherwise = if made_here {
        Ending::of(&mut reply.headers)
    } else {
        Ending::missing()
    };
    let body = std::mem::replace(&mut reply.body, ByteStream::empty());
    let limit = exchange.catalog.limits.grpc_message;
    reply.body = grpc::answer(body, limit, exchange.request.deadline, otherwise);
}

/// Any answer as a gRPC client understands it: another status than 200, or another body than gRPC's, becomes a status of gRPC alone.
pub fn to_grpc(mut reply: Reply) -> Reply {
    let is_grpc = grpc::is_grpc(&reply.headers);
    let told = reply.headers.contains_key(&GRPC_STATUS);
    if is_grpc && reply.status == StatusCode::OK && (told || reply.body.exact_length() != Some(0)) {
        return reply;
    }
    if !told {
        let (status, message) = match (is_grpc, reply.status) {
            // A backend that has said nothing at all.
            (true, StatusCode::OK) => (
                grpc::status::UNAVAILABLE,
                "the service behind this one ended the call without a status".to_owned(),
            ),
            (_, status) => (grpc::of_http(status), said(&reply)),
        };
        grpc::set_status(&mut reply.headers, status, &message);
    }
    drop_body_headers(&mut reply.headers);
    let content_type = HeaderValue::from_static("application/grpc");
    reply.headers.insert(header::CONTENT_TYPE, content_type);
    reply.status = StatusCode::OK;
    reply.reason = None;
    reply.body = ByteStream::empty();
    reply
}

/// A short text that is at hand, or what the status means.
fn said(reply: &Reply) -> String {
    const LONGEST: usize = 1024;
    let text = reply
        .body
        .as_bytes()
        .filter(|bytes| !bytes.is_empty() && bytes.len() <= LONGEST)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text {
        Some(text) => text.trim().to_owned(),
        None => format!("the answer is HTTP status {}", reply.status.as_u16()),
    }
}

/// How the client is told of a fault that no fault sequence answered.
pub fn of_fault(fault: &Fault, exchange: &Exchange, client: Client) -> Reply {
    let status = status_of(fault);
    // What is wrong with a caller's token has a shape of its own.
    let of_token = fault
        .number()
        .filter(|number| token::code::title(*number).is_some());
    let mut reply = match of_token {
        Some(number) => admission::answer(status, number, &fault.reason, client),
        None if fault.told => plain(status, fault.detail.as_ref().unwrap_or(&fault.reason), client),
        None => plain(status, words(status), client),
    };
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        // Whole seconds, and never "at once" (RFC 9110 section 10.2.3).
        let seconds = fault
            .retry_after
            .map_or(1, |after| after.as_millis().div_ceil(1000).max(1));
        reply
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        let version = HeaderValue::from_static("13");
        reply.headers.insert(header::SEC_WEBSOCKET_VERSION, version);
    }
    if client.grpc {
        grpc::set_status(&mut reply.headers, grpc::of_fault(fault, status), words(status));
    }
    if exchange.request.method == Method::HEAD {
        reply.body = ByteStream::empty();
    }
    reply
}

/// A short answer in the language of the client.
pub fn plain(status: StatusCode, text: &str, client: Client) -> Reply {
    let (content_type, body) = match client.speech {
        Speech::Soap11 => (
            "text/xml; charset=UTF-8",
            soap_fault(SoapVersion::Soap11, status, text),
        ),
        Speech::Soap12 => (
            "application/soap+xml; charset=UTF-8",
            soap_fault(SoapVersion::Soap12, status, text),
        ),
        // It becomes the message of a status.
        Speech::Rest if client.grpc => ("text/plain; charset=UTF-8", text.to_owned()),
        Speech::Rest if client.json => {
            let body = serde_json::json!({ "error": { "status": status.as_u16(), "message": text } });
            ("application/json; charset=UTF-8", Json::to_string(&body))
        }
        Speech::Rest => ("text/plain; charset=UTF-8", format!("{text}\n")),
    };
    let mut reply = Reply::new(status);
    reply
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.body = ByteStream::from(Bytes::from(body));
    reply
}

fn soap_fault(version: SoapVersion, status: StatusCode, text: &str) -> String {
    let whose = if status.is_client_error() {
        FaultCode::Sender
    } else {
        FaultCode::Receiver
    };
    let fault = SoapFault {
        code: Some(whose),
        reason: text.to_owned(),
        ..SoapFault::default()
    };
    let envelope = Envelope::of_fault(version, &fault);
    envelope.tree().to_text(envelope.root())
}

/// The one table from fault to status.
pub fn status_of(fault: &Fault) -> StatusCode {
    if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return status;
    }
    let by_origin = match fault.origin {
        Origin::Client => StatusCode::BAD_REQUEST,
        Origin::Backend => StatusCode::BAD_GATEWAY,
        Origin::Script | Origin::Author | Origin::Gateway => StatusCode::INTERNAL_SERVER_ERROR,
    };
    match fault.number() {
        Some(code::TIMED_OUT | code::CONNECT_TIMED_OUT) => StatusCode::GATEWAY_TIMEOUT,
        Some(
            code::CONNECTION_FAILED
            | code::CONNECTION_CLOSED
            | code::PROTOCOL_VIOLATION
            | code::CONNECT_CANCELLED
            | code::SENDER_IO_SENDING
            | code::SENDER_IO_RECEIVING
            | code::RESPONSE_PROCESSING
            | code::BLOCKING_CALL
            | code::BLOCKING_SENDER
            | code::NON_BLOCKING_CALL
            | code::SOAP_FAULT,
        ) => StatusCode::BAD_GATEWAY,
        Some(code::NONE_READY | code::NOT_READY | code::WSDL_NOT_READY) => StatusCode::SERVICE_UNAVAILABLE,
        Some(code::BAD_QUERY | code::RECEIVER_IO_SENDING | code::RECEIVER_IO_RECEIVING) => {
            StatusCode::BAD_REQUEST
        }
        _ => by_origin,
    }
}

/// What is said of a status. Reasons stay in the log: they name backends, files and steps.
fn words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request cannot be read.",
        StatusCode::NOT_FOUND => "There is nothing here.",
        StatusCode::REQUEST_TIMEOUT => "The request took too long to arrive.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large.",
        StatusCode::UPGRADE_REQUIRED => "Only WebSockets are served here.",
        StatusCode::BAD_GATEWAY => {
            "The service behind this one could not be reached, or did not answer properly."
        }
        StatusCode::SERVICE_UNAVAILABLE => "The service behind this one is not ready.",
        StatusCode::GATEWAY_TIMEOUT => "The service behind this one did not answer in time.",
        status if status.is_client_error() => "The request cannot be served.",
        _ => "The message could not be processed.",
    }
}
