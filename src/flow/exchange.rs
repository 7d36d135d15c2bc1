//! An exchange: one client request and everything that happens to it until its answer.

use super::request::Request;
use super::token::{Caller, Claims, KeyType};
use super::world::Around;
use super::{Answer, Catalog, Code, Fault, Flow, Origin, Outcome, SequenceId, Worker, fault};
use crate::expression::json_path::JsonPath;
use crate::expression::{Dynamic, Expression, ExpressionError, Scope};
use crate::message::Message;
use crate::message::body::{StreamErrorKind, StreamOrigin};
use crate::message::json::Json;
use crate::message::payload::{Payload, PayloadError, PayloadErrorKind};
use crate::message::properties::{Properties, Value};
use crate::message::soap::{Envelope, SoapVersion};
use crate::message::xml::NodeId;
use crate::text::Span;
use crate::wire::straight::NotAnswered;
use crate::wire::{ClientResponse, Tunnel};
use http::StatusCode;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub struct Exchange {
    pub message: Message,
    pub properties: Properties,
    pub request: Rc<Request>,
    pub catalog: Arc<Catalog>,
    pub worker: Rc<Worker>,
    /// Which artifact serves it, for logs: `api Orders POST /{id}`.
    pub served_by: Arc<str>,
    /// How deep named sequences call each other just now.
    pub depth: usize,
    /// The sequence that gets the response instead of the out side (`send receive=`).
    pub receive: Option<SequenceId>,
    /// The last fault, handled or not: what the client gets when nobody answers.
    pub fault: Option<Fault>,
    /// The backend's status, and its reason phrase if that is not the usual one.
    pub reason: Option<(StatusCode, String)>,
    /// When everything that is asked of backends must have come to an end: a total over all attempts.
    pub deadline: Option<Deadline>,
    /// It runs an errand: what is to be sent one way is waited for here, for nobody waits for the errand.
    pub errand: bool,
    /// What the request presents, where anybody's tokens are taken.
    pub caller: Option<Rc<Caller>>,
    /// The WebSocket that the client is to be connected with, if the answer stays 101.
    pub tunnel: Option<Tunnel>,
    /// What came of sending it by the short way, if that was tried: whoever sends it now heeds it.
    pub tried: Option<Box<NotAnswered>>,
    /// Who takes a backend's answer as the backend gave it.
    pub takers: Takers,
    /// Such an answer, on its way to the client past the message, which is still the request.
    pub passed: Option<Box<ClientResponse>>,
}

/// Who looks at a backend's answer before the client gets it. The default is that everybody may.
#[derive(Debug, Clone, Copy, Default)]
pub struct Takers {
    /// The client gets what `respond` finds, in the form in which it came.
    pub client: bool,
    /// The out side does nothing but send it back.
    pub out_side: bool,
}

/// An end for several attempts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    pub end: Instant,
    /// What there was of it at the beginning.
    whole: Duration,
}

impl Deadline {
    pub fn within(whole: Duration) -> Deadline {
        let end = Instant::now() + whole;
        Deadline { end, whole }
    }

    pub fn or_sooner(self, other: Option<Deadline>) -> Deadline {
        match other {
            Some(other) if other.end < self.end => other,
            _ => self,
        }
    }

    /// Have others used up most of it? Whoever fails within the rest had no fair chance.
    pub fn is_mostly_over(&self, left: Duration) -> bool {
        left < self.whole / 2
    }
}

impl Exchange {
    /// What the caller's token says, if there is a good one. It is looked at once.
    pub fn token(&self) -> Option<&Claims> {
        self.caller.as_ref()?.claims()
    }

    /// Which endpoints the caller may be sent to: `AM_KEY_TYPE` if a step has set it, else the token's; production without any.
    pub fn key_type(&self) -> KeyType {
        match self.properties.get("AM_KEY_TYPE") {
            Some(set) => KeyType::named(&set.to_text()),
            None => self.token().map_or(KeyType::Production, |claims| claims.key_type),
        }
    }

    /// Reads the payload into memory, if it still streams. Whatever looks inside does this first.
    pub async fn load(&mut self) -> Result<(), Fault> {
        if self.message.payload.is_loaded() {
            return Ok(());
        }
        let loaded = self.message.payload.load(&self.catalog.limits).await;
        loaded.map_err(|error| self.not_parsed(error))
    }

    pub async fn text(&mut self, expression: &Expression) -> Result<Option<String>, Fault> {
        self.load_for(expression).await?;
        self.text_at_once(expression)
    }

    pub async fn value(&mut self, expression: &Expression) -> Result<Option<Value>, Fault> {
        self.load_for(expression).await?;
        self.value_at_once(expression)
    }

    /// The text of an expression for which nothing has to be loaded, or has been.
    pub fn text_at_once(&mut self, expression: &Expression) -> Result<Option<String>, Fault> {
        self.evaluate(expression, Expression::text)
    }

    pub fn holds_at_once(&mut self, expression: &Expression) -> Result<bool, Fault> {
        self.evaluate(expression, Expression::holds)
    }

    pub fn value_at_once(&mut self, expression: &Expression) -> Result<Option<Value>, Fault> {
        self.evaluate(expression, Expression::value)
    }

    pub fn dynamic_at_once<'a>(&mut self, value: &'a Dynamic) -> Result<Cow<'a, str>, Fault> {
        match value {
            Dynamic::Literal(text) => Ok(Cow::Borrowed(text)),
            Dynamic::Expression(expression) => {
                Ok(Cow::Owned(self.text_at_once(expression)?.unwrap_or_default()))
            }
        }
    }

    /// The nodes of the message that an XPath selects. They are those of `envelope_mut` until somebody changes the message.
    pub async fn select(&mut self, expression: &Expression) -> Result<Vec<NodeId>, Fault> {
        self.load_for(expression).await?;
        self.evaluate(expression, Expression::selected)
    }

    /// The JSONPath over the body, if this expression is one; what stands in its braces is evaluated.
    pub async fn json_path<'a>(
        &mut self,
        expression: &'a Expression,
    ) -> Result<Option<Cow<'a, JsonPath>>, Fault> {
        self.load_for(expression).await?;
        self.evaluate(expression, Expression::json_path_of)
    }

    /// A literal as it is, an expression's text; an expression that selects nothing gives "".
    pub async fn dynamic<'a>(&mut self, value: &'a Dynamic) -> Result<Cow<'a, str>, Fault> {
        match value {
            Dynamic::Literal(text) => Ok(Cow::Borrowed(text)),
            Dynamic::Expression(expression) => {
                Ok(Cow::Owned(self.text(expression).await?.unwrap_or_default()))
            }
        }
    }

    /// The message as a SOAP envelope; other payloads stand in one (JSON converted).
    pub async fn envelope(&mut self) -> Result<&Envelope, Fault> {
        self.load().await?;
        let context = self.catalog.build_context();
        // Asked twice because a borrow that is returned on one path only is held on all.
        if let Err(error) = self.message.payload.envelope(&context) {
            return Err(self.not_parsed(error));
        }
        self.message.read_addressing();
        let context = self.catalog.build_context();
        Ok(self
            .message
            .payload
            .envelope(&context)
            .expect("it was built a line above"))
    }

    /// The envelope to be changed: from here on the XML is the message.
    pub async fn envelope_mut(&mut self) -> Result<&mut Envelope, Fault> {
        self.envelope().await?;
        let context = self.catalog.build_context();
        Ok(self
            .message
            .payload
            .envelope_mut(&context)
            .expect("it was built a line above"))
    }

    /// The message as JSON; XML is converted.
    pub async fn json(&mut self) -> Result<&Json, Fault> {
        self.load().await?;
        let context = self.catalog.build_context();
        if let Err(error) = self.message.payload.json(&context) {
            return Err(self.not_parsed(error));
        }
        let context = self.catalog.build_context();
        Ok(self
            .message
            .payload
            .json(&context)
            .expect("it was built a line above"))
    }

    /// Does nobody wait for what comes of a message that is sent now?
    pub fn is_one_way(&self) -> bool {
        self.properties.is_true("OUT_ONLY") && !self.errand
    }

    /// The same message for somebody else, if it can be copied. What becomes of it is the copy's own.
    pub fn copy(&self) -> Option<Exchange> {
        let message = Message {
            headers: self.message.headers.clone(),
            payload: self.message.payload.try_clone()?,
            addressing: self.message.addressing.clone(),
            response: self.message.response,
            arrived_as: self.message.arrived_as.clone(),
        };
        Some(Exchange {
            message,
            properties: self.properties.clone(),
            request: Rc::clone(&self.request),
            catalog: Arc::clone(&self.catalog),
            worker: Rc::clone(&self.worker),
            served_by: Arc::clone(&self.served_by),
            depth: self.depth,
            receive: None,
            fault: None,
            reason: None,
            deadline: self.deadline,
            errand: self.errand,
            caller: self.caller.clone(),
            tunnel: None,
            tried: None,
            takers: Takers::default(),
            passed: None,
        })
    }

    /// The same, shared: a later change of the message copies it first.
    pub async fn shared_json(&mut self) -> Result<Arc<Json>, Fault> {
        self.load().await?;
        let shared = self.message.payload.shared_json(&self.catalog.build_context());
        shared.map_err(|error| self.not_parsed(error))
    }

    /// Runs a named sequence in place.
    pub async fn run(&mut self, sequence: SequenceId) -> Outcome {
        let sequence = self.catalog.sequence(sequence);
        sequence.run(self).await
    }

    /// What has just arrived, a request or a backend's answer, goes through `pre-mediate` first. Anything but `Continue` is all that happens to it.
    pub async fn pre_mediate(&mut self) -> Outcome {
        match self.catalog.pre_mediate {
            Some(sequence) => Box::pin(self.run(sequence)).await,
            None => Ok(Flow::Continue),
        }
    }

    /// Gives a fault to a fault sequence. Nothing of the failed flow goes on afterwards.
    pub async fn handle(&mut self, fault: Fault, handler: SequenceId) -> Outcome {
        self.note_for_handler(&fault);
        let sequence = self.catalog.sequence(handler);
        // The handler may itself be nested as deep as the flow that failed.
        match sequence.run(self).await? {
            Flow::Continue => Ok(Flow::Drop),
            flow => {
                self.settle(flow);
                Ok(flow)
            }
        }
    }

    /// A fault sequence that says `<drop/>` has had the last word: the client gets 202, as for any dropped message. One that merely ends
    /// leaves the fault to be answered.
    pub fn settle(&mut self, flow: Flow) {
        if flow == Flow::Drop {
            self.fault = None;
        }
    }

    /// Sets what the handlers read, and keeps the fault for the answer.
    pub fn note_for_handler(&mut self, fault: &Fault) {
        if self.tunnel.take().is_some() {
            // The flow that was to connect the client has failed, so its answer is another one.
            self.properties.remove_axis2("HTTP_SC");
        }
        let place = fault.at.map(|(span, _)| self.catalog.place(span));
        fault.describe_in(&mut self.properties, place.as_deref());
        self.fault = Some(fault.clone());
    }

    /// One log line a fault, where it happened.
    pub(super) fn note_fault(&self, fault: &Fault, sequence: &str) {
        let (place, mediator) = match fault.at {
            Some((span, element)) => (self.catalog.place(span), element),
            None => (String::new(), ""),
        };
        tracing::warn!(
            served_by = %self.served_by,
            sequence,
            mediator,
            place,
            error_code = %fault.code,
            reason = %fault.reason,
            detail = fault.detail.as_deref().filter(|detail| **detail != *fault.reason),
            "A step failed."
        );
    }

    /// Whether the message is an answer. A text in the property `RESPONSE` decides, whatever the message is.
    pub fn is_response(&self) -> bool {
        match self.properties.get("RESPONSE").as_deref() {
            Some(Value::Text(text)) => text.eq_ignore_ascii_case("true"),
            _ => self.message.response,
        }
    }

    /// The backend's answer takes the place of the message: body, headers and axis2 properties are its own; default-scope properties and
    /// variables stay (`SynapseCallbackReceiver`).
    pub fn take(&mut self, answer: Answer) {
        let Answer {
            status,
            reason,
            headers,
            payload,
            tunnel,
        } = answer;
        self.tunnel = tunnel;
        let request_type = self.message.arrived_as.take();
        let soap_action = self.message.addressing.soap_action.take();
        self.message = Message {
            response: self.message.response,
            ..Message::new(headers, payload)
        };
        if self.message.arrived_as.is_none() {
            self.message.arrived_as = request_type;
        }
        drop(soap_action);
        self.properties.forget_axis2();
        self.properties
            .set_axis2("HTTP_SC", Value::Integer(i32::from(status.as_u16())));
        self.reason = reason.map(|reason| (status, reason));
    }

    /// Before a backend is asked: from here on a client that only wants to know that its message came need not wait (`FORCE_SC_ACCEPTED`).
    pub async fn before_backend(&mut self) -> Result<(), Fault> {
        if !self.request.accepted.get() && self.properties.axis2_is_true("FORCE_SC_ACCEPTED") {
            // Once it is answered the client may go, and its body with it.
            let kept = self.message.payload.keep(&self.catalog.limits).await;
            kept.map_err(|error| self.not_parsed(error))?;
            self.request.accepted.set(true);
        }
        Ok(())
    }

    /// The media type that decides how the payload is written: `messageType`, or what the message arrived as.
    pub fn message_type(&self) -> Option<Cow<'_, str>> {
        let set = self.properties.axis2_words("messageType");
        set.or_else(|| self.message.arrived_as.as_deref().map(Cow::Borrowed))
    }

    /// Sets `messageType` as the `property` mediator does: ContentType and the header follow.
    pub fn set_message_type(&mut self, media_type: &str) {
        let value = Value::text(media_type);
        self.properties.set_axis2("messageType", value.clone());
        self.properties.set_axis2("ContentType", value);
        if let Ok(header) = http::HeaderValue::from_str(media_type) {
            self.message.headers.insert(http::header::CONTENT_TYPE, header);
        }
    }

    /// Reads what an expression looks at, so that it can be answered at once.
    pub async fn load_for(&mut self, expression: &Expression) -> Result<(), Fault> {
        if expression.needs_payload() {
            self.load().await
        } else if expression.asks_addressing() {
            self.read_addressing().await
        } else {
            Ok(())
        }
    }

    /// For whoever wants to know where a message goes or what it is about: a SOAP message may say so in its header.
    pub async fn read_addressing(&mut self) -> Result<(), Fault> {
        if !self.message.may_be_addressed() || self.message.payload.is_empty() {
            return Ok(());
        }
        self.load().await?;
        let context = self.catalog.build_context();
        // A body that is no SOAP says nothing of addresses; whoever needs the body itself hears what is wrong with it.
        if self.message.payload.envelope(&context).is_ok() {
            self.message.read_addressing();
        }
        self.message.addressing.looked_at = true;
        Ok(())
    }

    fn evaluate<'a, T>(
        &mut self,
        expression: &'a Expression,
        question: impl FnOnce(&'a Expression, &mut Scope<'_>) -> Result<T, ExpressionError>,
    ) -> Result<T, Fault> {
        let around = Around {
            catalog: &self.catalog,
            worker: &self.worker,
            request: &self.request,
        };
        let mut scope = Scope {
            message: &mut self.message,
            properties: &self.properties,
            world: &around,
        };
        match question(expression, &mut scope) {
            Ok(answer) => Ok(answer),
            Err(ExpressionError::Payload(error)) => Err(self.not_parsed(error)),
            Err(ExpressionError::Failed(reason)) => {
                let mut fault = Fault::mediation(reason);
                fault.detail = Some(
                    format!(
                        "{} (in `{}` at {})",
                        fault.reason,
                        expression.source(),
                        self.catalog.place(expression.span())
                    )
                    .into_boxed_str(),
                );
                Err(fault)
            }
        }
    }

    /// A payload that cannot be read or parsed: code 601000, and an empty envelope in its place (`AbstractListMediator`).
    pub fn not_parsed(&mut self, error: PayloadError) -> Fault {
        self.message.payload = Payload::xml(Envelope::empty(SoapVersion::Soap11));
        let origin = match error.kind {
            PayloadErrorKind::Stream(ref error) if error.origin == StreamOrigin::Backend => Origin::Backend,
            _ if !self.properties.are_of_the_request() => Origin::Backend,
            _ => Origin::Client,
        };
        let code = match (&error.kind, origin) {
            (PayloadErrorKind::Stream(_), Origin::Backend) => fault::code::SENDER_IO_RECEIVING,
            (PayloadErrorKind::Stream(_), _) => fault::code::RECEIVER_IO_RECEIVING,
            _ => fault::code::MESSAGE_NOT_PARSED,
        };
        let fault = Fault::new(code, origin, error.to_string());
        match error.kind {
            PayloadErrorKind::TooLarge if origin == Origin::Client => fault.status(413),
            PayloadErrorKind::Stream(ref stream) if origin == Origin::Client => {
                fault.status(client_status(stream.kind))
            }
            _ => fault,
        }
    }

    /// For logs: where a step stands.
    pub fn place(&self, span: Span) -> String {
        self.catalog.place(span)
    }
}

/// What a client hears whose own upload broke.
fn client_status(kind: StreamErrorKind) -> u16 {
    match kind {
        StreamErrorKind::TimedOut => 408,
        StreamErrorKind::TooLarge => 413,
        _ => 400,
    }
}

impl From<&Code> for Value {
    fn from(code: &Code) -> Value {
        match code {
            Code::Number(number) => Value::Integer(*number),
            Code::Named(name) => Value::text(name),
        }
    }
}
