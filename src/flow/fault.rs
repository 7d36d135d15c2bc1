//! A fault: a message that could not go on, with Synapse's number for the reason.

use super::SequenceId;
use crate::message::properties::{Properties, Value};
use crate::text::Span;
use std::fmt;
use std::num::NonZeroU8;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Synapse's error codes (`SynapseConstants`, the pass-through transport's `ErrorCodes`).
pub mod code {
    pub const MEDIATION: i32 = 0;
    pub const BAD_QUERY: i32 = 400;
    pub const UPGRADE_REQUIRED: i32 = 426;
    pub const RECEIVER_IO_SENDING: i32 = 101_000;
    pub const RECEIVER_IO_RECEIVING: i32 = 101_001;
    pub const SENDER_IO_SENDING: i32 = 101_500;
    pub const SENDER_IO_RECEIVING: i32 = 101_501;
    pub const CONNECTION_FAILED: i32 = 101_503;
    pub const TIMED_OUT: i32 = 101_504;
    pub const CONNECTION_CLOSED: i32 = 101_505;
    pub const PROTOCOL_VIOLATION: i32 = 101_506;
    pub const CONNECT_CANCELLED: i32 = 101_507;
    pub const CONNECT_TIMED_OUT: i32 = 101_508;
    pub const RESPONSE_PROCESSING: i32 = 101_510;
    pub const NONE_READY: i32 = 303_000;
    pub const NOT_READY: i32 = 303_001;
    pub const WSDL_NOT_READY: i32 = 303_002;
    pub const AUTHENTICATION: i32 = 303_003;
    pub const ENDPOINT_NOT_FOUND: i32 = 305_100;
    /// Not Synapse's: the address that a message asked for is not allowed.
    pub const NOT_ALLOWED: i32 = 305_403;
    pub const SESSION_NOT_READY: i32 = 309_001;
    pub const SESSION_PATH: i32 = 309_002;
    pub const SESSION_FAILED: i32 = 309_003;
    pub const BLOCKING_CALL: i32 = 401_001;
    pub const BLOCKING_SENDER: i32 = 401_002;
    pub const NON_BLOCKING_CALL: i32 = 401_003;
    pub const SOAP_FAULT: i32 = 500_000;
    pub const TEMPLATE_PARAMETER: i32 = 500_101;
    pub const MESSAGE_NOT_PARSED: i32 = 601_000;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    Number(i32),
    /// `throwError` puts its type where others put a number.
    Named(Box<str>),
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Client,
    Backend,
    Script,
    /// The configuration asks for something that cannot be.
    Author,
    Gateway,
}

/// May the same request be sent again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    No,
    /// It certainly never reached the backend.
    Safe,
    /// It may have reached the backend, and its method is one that may be repeated (RFC 9110 section 9.2.2).
    Idempotent,
    /// It may have reached the backend, which may have acted on it: sent again only where the configuration says so.
    Unsafe,
}

/// A message that could not go on. It is one word wide, as every step's outcome has room for one.
#[derive(Debug, Clone)]
pub struct Fault(Box<Told>);

/// What is told of a fault.
#[derive(Debug, Clone)]
pub struct Told {
    pub code: Code,
    pub reason: Box<str>,
    /// More for the author: ERROR_DETAIL.
    pub detail: Option<Box<str>>,
    pub origin: Origin,
    pub retry: Retry,
    /// The step that failed; stamped by the loop.
    pub at: Option<(Span, &'static str)>,
    /// What the client gets if nobody else answers and the table of `gateway/answer.rs` should not decide.
    pub status: Option<u16>,
    /// The status of a gRPC call, where it is known better than the code tells.
    pub grpc_status: Option<NonZeroU8>,
    /// When it may be worth while to ask again: `Retry-After`.
    pub retry_after: Option<Duration>,
    /// `responseAction` `discard`: the fault sequences are not asked.
    pub unhandled: bool,
    /// The `onError` sequence of the endpoint that failed: asked before all others.
    pub handler: Option<SequenceId>,
    /// The client is told what it is if nobody else answers: the clients of a mock are those who write it.
    pub told: bool,
}

impl Deref for Fault {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.0
    }
}

impl Fault {
    pub fn new(code: i32, origin: Origin, reason: impl Into<String>) -> Fault {
        Fault(Box::new(Told {
            code: Code::Number(code),
            reason: reason.into().into_boxed_str(),
            detail: None,
            origin,
            retry: Retry::No,
            at: None,
            status: None,
            grpc_status: None,
            retry_after: None,
            unhandled: false,
            handler: None,
            told: false,
        }))
    }

    /// Something in mediation that Synapse would throw as a `SynapseException`.
    pub fn mediation(reason: impl Into<String>) -> Fault {
        Fault::new(code::MEDIATION, Origin::Author, reason)
    }

    pub fn client(code: i32, reason: impl Into<String>) -> Fault {
        Fault::new(code, Origin::Client, reason)
    }

    pub fn backend(code: i32, reason: impl Into<String>) -> Fault {
        Fault::new(code, Origin::Backend, reason)
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Fault {
        self.detail = Some(detail.into().into_boxed_str());
        self
    }

    pub fn coded(mut self, code: Code) -> Fault {
        self.code = code;
        self
    }

    /// By the `onError` sequence of the endpoint that failed.
    pub fn handled_by(mut self, handler: Option<SequenceId>) -> Fault {
        self.handler = handler;
        self
    }

    pub fn retry(mut self, retry: Retry) -> Fault {
        self.retry = retry;
        self
    }

    pub fn status(mut self, status: u16) -> Fault {
        self.status = Some(status);
        self
    }

    pub fn retry_after(mut self, retry_after: Option<Duration>) -> Fault {
        self.retry_after = retry_after;
        self
    }

    pub fn number(&self) -> Option<i32> {
        match self.code {
            Code::Number(number) => Some(number),
            Code::Named(_) => None,
        }
    }

    /// Sets what fault sequences read (`FaultHandler.handleFault`). For a plain mediation fault Synapse leaves an ERROR_CODE that is already
    /// there, and with it its message: configurations set both by hand and then fail on purpose.
    pub fn describe_in(&self, properties: &mut Properties, place: Option<&str>) {
        let plain = self.code == Code::Number(code::MEDIATION);
        if !(plain && properties.get("ERROR_CODE").is_some()) {
            let code = match &self.code {
                Code::Number(number) => Value::Integer(*number),
                Code::Named(name) => Value::text(name),
            };
            properties.set("ERROR_CODE", code);
            properties.set(
                "ERROR_MESSAGE",
                Value::text(self.reason.lines().next().unwrap_or("")),
            );
            if self.code == Code::Number(code::TIMED_OUT) {
                // `TimeoutHandler` gives a code and a message alone, and the detail names the backend.
                properties.remove("ERROR_DETAIL");
                properties.remove("ERROR_EXCEPTION");
                return place_in(properties, place);
            }
            let detail = self.detail.clone().unwrap_or_else(|| match place {
                Some(place) => format!("{} (at {place})", self.reason).into_boxed_str(),
                None => self.reason.clone(),
            });
            properties.set("ERROR_DETAIL", Value::text(detail));
            properties.set("ERROR_EXCEPTION", Value::text(&self.reason));
        }
        place_in(properties, place);
    }
}

fn place_in(properties: &mut Properties, place: Option<&str>) {
    if let Some(place) = place {
        properties.set("ERROR_PLACE", Value::text(place));
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::Number(number) => write!(formatter, "{number}"),
            Code::Named(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.reason)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_fault_leaves_an_error_code_that_somebody_set() {
        // FaultHandler.handleFault sets its defaults only where ERROR_CODE is absent.
        let mut properties = Properties::default();
        properties.set("ERROR_CODE", Value::text("900"));
        Fault::mediation("second").describe_in(&mut properties, None);
        assert_eq!(properties.text("ERROR_CODE").as_deref(), Some("900"));
        assert_eq!(properties.text("ERROR_MESSAGE"), None);
        Fault::backend(code::TIMED_OUT, "no answer within 30 s")
            .describe_in(&mut properties, Some("a.xml:1:2"));
        assert_eq!(properties.text("ERROR_CODE").as_deref(), Some("101504"));
        assert_eq!(properties.text("ERROR_DETAIL"), None);
        assert_eq!(properties.text("ERROR_PLACE").as_deref(), Some("a.xml:1:2"));
    }
}
