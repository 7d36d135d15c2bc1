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
        let arrived_as = headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(Arc::from);
        Message {
            headers,
            payload,
            addressing: Addressing::default(),
            response: false,
            arrived_as,
        }
    }

    /// A header's first value, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
