//! A request as its client made it: what no step changes.

use http::{HeaderValue, Method};
use memchr::memchr;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// What the client asked for. It never changes.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// Path and query as they were sent.
    pub target: Arc<str>,
    /// Where the query's `?` stands in it.
    mark: Option<usize>,
    /// `http` or `https`
    pub scheme: &'static str,
    host: Option<HeaderValue>,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// When a gRPC client wants its call to be over.
    pub deadline: Option<Instant>,
    /// It asks for a WebSocket.
    pub websocket: bool,
    /// Set once the client may have its 202 while a backend is still asked (`FORCE_SC_ACCEPTED`).
    pub accepted: Cell<bool>,
}

impl Request {
    pub fn new(
        method: Method,
        target: Arc<str>,
        scheme: &'static str,
        host: Option<HeaderValue>,
        (remote, local): (SocketAddr, SocketAddr),
    ) -> Request {
        Request {
            method,
            mark: memchr(b'?', target.as_bytes()),
            target,
            scheme,
            host,
            remote,
            local,
            deadline: None,
            websocket: false,
            accepted: Cell::default(),
        }
    }

    pub fn path(&self) -> &str {
        self.mark.map_or(&self.target, |mark| &self.target[..mark])
    }

    pub fn query(&self) -> Option<&str> {
        self.mark.map(|mark| &self.target[mark + 1..])
    }

    /// Host header or authority.
    pub fn host(&self) -> &str {
        self.host
            .as_ref()
            .and_then(|host| host.to_str().ok())
            .unwrap_or("")
    }
}
