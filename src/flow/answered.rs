//! What comes back of a request to a backend: its answer, or the fault of one that got none.

use super::delivery::{Patience, not_allowed};
use super::{Answer, Exchange, Fault, Origin, Retry, fault, grpc};
use crate::message::body::StreamOrigin;
use crate::message::encoding::Encoding;
use crate::message::media_type::{Form, MediaType};
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::wire::client::{ClientResponse, Reached, SendError, SendErrorKind};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::num::NonZeroU8;
use std::sync::Arc;

pub(super) fn answer(response: ClientResponse, request_type: Option<Arc<str>>, rest: bool) -> Answer {
    let ClientResponse {
        status,
        reason,
        headers,
        body,
        tunnel,
        ..
    } = response;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let payload = if body.exact_length() == Some(0) {
        Payload::empty()
    } else {
        // An answer that does not say what it is, is taken for what was asked.
        let media_type = text(CONTENT_TYPE)
            .or(request_type.as_deref())
            .map(MediaType::parse);
        let encoding = text(CONTENT_ENCODING).map_or(Encoding::Identity, Encoding::parse);
        let mut payload = Payload::stream(media_type, encoding, body);
        payload.set_rest(rest);
        payload
    };
    Answer {
        status,
        reason,
        headers,
        payload,
        tunnel,
    }
}

/// `FORCE_ERROR_ON_SOAP_FAULT`: a SOAP fault in the answer is a fault of the endpoint.
pub(super) async fn refuse_soap_fault(exchange: &mut Exchange, mut answer: Answer) -> Result<Answer, Fault> {
    let form = answer.payload.form();
    if answer.payload.is_empty() || !(form.is_soap() || form == Form::Xml) {
        return Ok(answer);
    }
    let catalog = Arc::clone(&exchange.catalog);
    let context = catalog.build_context();
    if let Err(error) = answer.payload.load(&catalog.limits).await {
        return Err(Fault::backend(
            fault::code::SENDER_IO_RECEIVING,
            error.to_string(),
        ));
    }
    let reason = match answer.payload.envelope(&context) {
        Ok(envelope) => envelope
            .is_fault()
            .then(|| envelope.fault_reason().unwrap_or_default()),
        Err(_) => None,
    };
    match reason {
        None => Ok(answer),
        Some(reason) => {
            exchange.message.payload = answer.payload;
            Err(Fault::backend(fault::code::SOAP_FAULT, reason))
        }
    }
}

/// The state of the connection in which a request failed, as Synapse counts them (`ProtocolState`).
fn protocol_state(error: &SendError) -> i32 {
    match (&error.kind, error.reached) {
        (SendErrorKind::Connect | SendErrorKind::ConnectTimeout, _) | (_, Reached::NothingSent) => 0,
        (SendErrorKind::ClientBody(_), _) => 2,
        (SendErrorKind::Timeout, _) | (_, Reached::Unknown) => 3,
        (_, Reached::Sent) => 4,
    }
}

/// The fault of a request that got no answer. `at` is where it went. `again` says whether the message is still there to be sent again, and whether
/// its method is idempotent.
pub fn failed(
    exchange: &mut Exchange,
    error: SendError,
    at: &str,
    patience: Patience,
    again: Option<bool>,
) -> Fault {
    let code = i32::try_from(error.code()).unwrap_or(fault::code::SENDER_IO_SENDING);
    let origin = match &error.kind {
        SendErrorKind::ClientBody(broken) => match broken.origin {
            StreamOrigin::Client => Origin::Client,
            StreamOrigin::Backend => Origin::Backend,
            StreamOrigin::Gateway => Origin::Gateway,
        },
        _ => Origin::Backend,
    };
    if error.kind == SendErrorKind::Refused {
        return not_allowed(error.message);
    }
    let detail = format!("{} ({at})", error.message);
    let reason = match error.kind {
        SendErrorKind::Timeout => "Send timeout".to_owned(),
        _ => detail.clone(),
    };
    let retry = match (error.reached, again) {
        (_, None) => Retry::No,
        _ if matches!(error.kind, SendErrorKind::ClientBody(_)) => Retry::No,
        (Reached::NothingSent, _) => Retry::Safe,
        (Reached::Unknown | Reached::Sent, Some(true)) => Retry::Idempotent,
        (Reached::Unknown | Reached::Sent, Some(false)) => Retry::Unsafe,
    };
    let mut fault = Fault::new(code, origin, reason).detail(detail).retry(retry);
    if let SendErrorKind::Reset(code) = error.kind {
        fault.grpc_status = NonZeroU8::new(grpc::of_reset(code));
    }
    if matches!(error.kind, SendErrorKind::ClientBody(_)) {
        // Whoever uploads and breaks off hears of it; no endpoint is to blame.
        return fault.status(error.status().as_u16());
    }
    if patience.discard && error.kind == SendErrorKind::Timeout {
        fault.unhandled = true;
        fault = fault.status(504);
    }
    // It was about this request; the answer that a fault sequence makes goes over another connection.
    exchange.properties.remove_axis2("NO_KEEPALIVE");
    exchange.properties.set(
        "PROTOCOL_STATE_ON_FAILURE",
        Value::Integer(protocol_state(&error)),
    );
    exchange.properties.set("BASE_ERROR_CODE", Value::Integer(code));
    fault
}
