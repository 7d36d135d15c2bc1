//! An endpoint: something that takes a message and brings back an answer.

use super::{Exchange, Fault};
use crate::message::payload::Payload;
use async_trait::async_trait;
use http::{HeaderMap, StatusCode};

#[async_trait(?Send)]
pub trait Endpoint: Send + Sync {
    /// Sends the exchange's message and brings back the backend's answer. The message is left usable for another attempt only when the
    /// fault says that a retry is possible.
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault>;

    /// The endpoint's name, or what it is, for logs.
    fn name(&self) -> &str;
}

/// What a backend answered.
pub struct Answer {
    pub status: StatusCode,
    pub reason: Option<String>,
    pub headers: HeaderMap,
    pub payload: Payload,
}
