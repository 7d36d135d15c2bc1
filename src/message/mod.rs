//! What travels: headers, a payload, addressing, and the properties that go along.

pub mod addressing;
pub mod body;
mod build;
pub mod encoding;
pub mod format;
pub mod json;
pub mod media_type;
pub mod payload;
pub mod properties;
pub mod replay;
pub mod soap;
pub mod wsdl;
pub mod xml;

use self::addressing::Addressing;
use self::media_type::Form;
use self::payload::Payload;
use http::HeaderMap;
use std::sync::Arc;

/// A request or a response on its way.
pub struct Message {
    pub headers: HeaderMap,
    pub payload: Payload,
    pub addressing: Addressing,
    /// Synapse's `isResponse`: which of `<in>` and `<out>` sees it, and where `<send/>` sends it.
    pub response: bool,
    /// The Content-Type it arrived with: what `messageType` says until somebody sets it.
    pub arrived_as: Option<Arc<str>>,
}

impl Message {
    pub fn new(headers: HeaderMap, payload: Payload) -> Message {
        let content_type = headers.get(http::header::CONTENT_TYPE);
        let arrived_as = content_type.and_then(|value| value.to_str().ok()).map(Arc::from);
        Message::arrived(headers, payload, arrived_as)
    }

    /// With the Content-Type that its headers are known to have.
    pub fn arrived(headers: HeaderMap, payload: Payload, arrived_as: Option<Arc<str>>) -> Message {
        Message {
            headers,
            payload,
            addressing: Addressing::default(),
            response: false,
            arrived_as,
        }
    }

    /// Whether its WS-Addressing headers may say something that nobody has read yet.
    pub fn may_be_addressed(&self) -> bool {
        let soap = || {
            let arrived = self.arrived_as.as_deref().map(Form::of);
            arrived.is_some_and(|form| form.is_soap() || form == Form::Multipart)
        };
        !self.addressing.looked_at && soap()
    }

    /// Reads them, if the envelope has been built. Nobody parses a body for them alone.
    pub fn read_addressing(&mut self) {
        if self.may_be_addressed()
            && let Some(envelope) = self.payload.built_envelope()
        {
            self.addressing.read(envelope);
        }
    }

    /// A header's first value, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
