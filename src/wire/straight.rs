//! A request that goes on as it came, over a connection that is kept: its head is written from the client's headers where they are.
//!
//! It is a shorter way to the same bytes. What needs more (a new connection, a proxy, a body that still streams, another kind of address) goes
//! by `Client::send`.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, DATE, EXPECT, HOST, HeaderMap, HeaderName, SERVER, TE};

use super::client::{Client, ClientResponse, Gate, SendError, Times, Watch, is_stale};
use super::hop;
use super::sending::{Framing, Sending, field};
use super::upload::Outgoing;
use super::url::Url;
use crate::message::body::ByteStream;

/// What is sent. All of it is here.
pub struct Straight<'a> {
    /// One that is no HEAD.
    pub method: &'a Method,
    pub url: &'a Url,
    /// What belongs to a connection is left out, as is what the gateway says itself.
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// Until the headers of the answer.
    pub response: Duration,
    /// Which addresses the host may have; all where absent.
    pub gate: Option<&'a dyn Gate>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NotAnswered {
    NotSent,
    /// The connection turned out closed. It may be sent once more without harm, over a fresh one: another that is kept may be as stale.
    Stale,
    Failed(SendError),
}

impl Client {
    /// Sends a request and waits for the head of its answer. `watch` is asked for when the answer's body is still to come.
    pub async fn send_straight(
        &self,
        straight: Straight<'_>,
        watch: impl FnOnce() -> Box<dyn Watch>,
    ) -> Result<ClientResponse, NotAnswered> {
        let inner = &self.inner;
        let origin = &straight.url.origin;
        if origin.scheme.is_websocket() || inner.defaults.forwarding(origin).is_some() {
            return Err(NotAnswered::NotSent);
        }
        let Some(mut backend) = inner.pool.take(origin, straight.gate) else {
            return Err(NotAnswered::NotSent);
        };
        let times = Times {
            connect: inner.limits.connect,
            response: straight.response,
            body_gap: inner.limits.body_gap,
        };
        match backend.exchange_straight(&straight, &times).await {
            Ok(response) => self
                .answer(backend, response, times, straight.url, || Some(watch()))
                .map_err(NotAnswered::Failed),
            Err(error) if is_stale(&error, straight.method) => Err(NotAnswered::Stale),
            Err(error) => Err(NotAnswered::Failed(error)),
        }
    }
}

impl Straight<'_> {
    pub(super) fn sending(&self) -> Sending<Outgoing> {
        let has_body = !self.body.is_empty();
        let mut front = Vec::with_capacity(256 + 32 * self.headers.len());
        front.extend_from_slice(self.method.as_str().as_bytes());
        front.push(b' ');
        front.extend_from_slice(self.url.path_and_query.as_str().as_bytes());
        front.extend_from_slice(b" HTTP/1.1\r\n");
        field(&mut front, HOST.as_str(), self.url.origin.authority.as_bytes());
        let mut asks_for_coding = false;
        for (name, value) in self.headers {
            asks_for_coding |= *name == TE;
            if !stays_here(name, has_body) {
                field(&mut front, name.as_str(), value.as_bytes());
            }
        }
        if asks_for_coding && hop::wishes_trailers(self.headers) {
            field(&mut front, TE.as_str(), b"trailers");
        }
        let length = self.body.len() as u64;
        if has_body {
            field(&mut front, CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
        } else if matches!(*self.method, Method::POST | Method::PUT | Method::PATCH) {
            field(&mut front, CONTENT_LENGTH.as_str(), b"0");
        }
        front.extend_from_slice(b"\r\n");
        let body = match has_body {
            true => Outgoing::new(ByteStream::from(self.body.clone())).0,
            false => Outgoing::none(),
        };
        Sending::new(front, body, Framing::Length(length), Vec::new())
    }
}

/// What is said anew to a backend, what the client's side said of itself, and what a step may have set that belongs to a connection.
fn stays_here(name: &HeaderName, has_body: bool) -> bool {
    hop::is_standard(name)
        || *name == HOST
        || *name == CONTENT_LENGTH
        || *name == EXPECT
        || *name == DATE
        || *name == SERVER
        || *name == CONTENT_ENCODING && !has_body
}
