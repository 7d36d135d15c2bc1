//! What a server says and hears: a request that came in, the reply to it, and the service between.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use http_body::Body as _;

use super::websocket::Tunnel;
use crate::message::body::ByteStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
    /// Of a backend that is spoken WebSocket to; a client's request has the scheme it began with.
    Ws,
    Wss,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http | Scheme::Ws => 80,
            Scheme::Https | Scheme::Wss => 443,
        }
    }

    pub fn is_secure(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Wss)
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }
}

/// A request as it arrived, checked, and without its hop-by-hop headers.
#[derive(Debug)]
pub struct Incoming {
    pub method: Method,
    /// Path and query as sent; `*` for `OPTIONS *`.
    pub target: PathAndQuery,
    pub version: Version,
    pub scheme: Scheme,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// Always with exactly one `Host`.
    pub headers: HeaderMap,
    /// Empty when the request has no body.
    pub body: ByteStream,
    /// It asks for a WebSocket, in a way that can be agreed to.
    pub websocket: bool,
}

impl Incoming {
    /// Host and port as the client named them.
    pub fn authority(&self) -> &str {
        self.headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("")
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        }
    }

    pub fn has_body(&self) -> bool {
        !self.body.is_end_stream()
    }
}

/// An answer to write. Hop-by-hop headers and `Content-Length` follow from the body and are not taken from `headers`,
/// except the length that an answer to HEAD, or a 304, tells.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub reason: Option<String>,
    pub headers: HeaderMap,
    pub body: ByteStream,
    /// With a status of 101: the backend that the client is to be connected with.
    pub tunnel: Option<Tunnel>,
    /// HTTP/1: the connection ends with this answer.
    pub close: bool,
}

impl Reply {
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
            headers: HeaderMap::new(),
            body: ByteStream::empty(),
            tunnel: None,
            close: false,
        }
    }

    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let mut reply = Self::new(status);
        reply.headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        reply.body = ByteStream::from(Bytes::from(text.into()));
        reply
    }
}

/// What answers requests. One a worker; it is dropped mid-way when the client leaves.
pub trait Service: 'static {
    fn serve(&self, incoming: Incoming) -> impl Future<Output = Reply>;
}

/// Runs hyper's helper futures on this thread.
#[derive(Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
