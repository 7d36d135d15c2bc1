//! An endpoint: something that takes a message and brings back an answer.

use super::health::{Health, NotReady};
use super::{Catalog, Exchange, Fault, Runtime};
use crate::message::payload::Payload;
use crate::wire::{Tunnel, Url};
use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::Duration;

#[async_trait(?Send)]
pub trait Endpoint: Send + Sync {
    /// Sends the exchange's message and brings back the backend's answer. The message is left usable for another attempt only when the
    /// fault says that a retry is possible.
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault>;

    /// The endpoint's name, or what it is, for logs.
    fn name(&self) -> &str;

    /// Would it take a message just now? Groups skip children that would not.
    fn ready(&self, _: &Exchange) -> Result<(), NotReady> {
        Ok(())
    }

    /// Does sending change more of the message than its body? A group puts that back before it asks another child.
    fn alters(&self) -> bool {
        false
    }

    /// Does it choose among others, and go on to the next where one fails?
    fn chooses(&self) -> bool {
        false
    }

    /// How much of the work it is to get, beside others (`loadbalance.weight`).
    fn weight(&self) -> u32 {
        1
    }

    /// Which of its failures a group may send to another child.
    fn retry_rule(&self, _: &Exchange) -> RetryRule {
        RetryRule::Any
    }

    /// Its health, where it has one of its own: for groups that go by load, and for those who look after it.
    fn health(&self, _: &Exchange) -> Option<Arc<Health>> {
        None
    }

    /// Where and how it sends, if no message has a say in that, and none is changed on the way. A name is looked up in the catalog, where there is one.
    fn fixed(&self, _: Option<&Catalog>, _: &Runtime) -> Option<Fixed> {
        None
    }
}

/// Where and how an endpoint sends every message.
pub struct Fixed {
    pub url: Url,
    /// What is behind the resource's own path is put behind the address (`REST_URL_POSTFIX`).
    pub suffixed: bool,
    pub health: Arc<Health>,
    /// Where absent, the gateway's own holds.
    pub response: Option<Duration>,
}

/// `retryConfig`: which failures of a child its group may send to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RetryRule {
    #[default]
    Any,
    /// These alone, and these even where the request may have been acted upon.
    Enabled(Vec<i32>),
    /// All but these.
    Disabled(Vec<i32>),
}

impl RetryRule {
    /// May the message go to another child after this failure?
    pub fn allows(&self, code: i32) -> bool {
        match self {
            RetryRule::Any => true,
            RetryRule::Enabled(codes) => codes.contains(&code),
            RetryRule::Disabled(codes) => !codes.contains(&code),
        }
    }

    /// Has the author said in so many words that a message may be sent again after this failure, whatever it does?
    pub fn insists(&self, code: i32) -> bool {
        matches!(self, RetryRule::Enabled(codes) if codes.contains(&code))
    }
}

/// What a backend answered.
pub struct Answer {
    pub status: StatusCode,
    pub reason: Option<String>,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// There when the backend agreed to a WebSocket: status 101.
    pub tunnel: Option<Tunnel>,
}
