//! Serving one connection: telling HTTP/1 from HTTP/2, turning what arrives into an `Incoming`, and writing the reply.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{
    CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION,
};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::connection::{Connection, linger, refusal_text};
use super::head::Refusal;
use super::hop;
use super::limits::{ServerLimits, UnderscoreHeaders};
use super::listen::Worker;
use super::serve_http1::serve_http1;
use super::serve_http2::serve_http2;
use super::server::{Incoming, Reply, Scheme, Service};
use crate::message::body::ByteStream;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Who is at the two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub scheme: Scheme,
}

/// What the requests of one connection have in common.
pub(super) struct Peer<S> {
    service: Rc<S>,
    pub worker: Rc<Worker>,
    pub ends: Ends,
    pub connection: Rc<Connection>,
    pub requests: Cell<u32>,
}

/// Serves a connection to its end.
pub(super) async fn serve_connection<S: Service, T>(
    mut stream: T,
    ends: Ends,
    known_http2: bool,
    connection: Rc<Connection>,
    worker: Rc<Worker>,
    service: Rc<S>,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = Arc::clone(worker.limits());
    let since = Instant::now();
    let mut read = BytesMut::new();
    let is_http2 = known_http2
        || match tell_version(&mut stream, &mut read, since, &connection, &limits).await {
            Ok(is_http2) => is_http2,
            Err(_) if read.is_empty() => return linger(&mut stream, Duration::ZERO).await,
            Err(_) => {
                let late = Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time");
                if let Ok(()) = stream.write_all(refusal_text(late).as_bytes()).await {
                    linger(&mut stream, limits.linger).await;
                }
                return;
            }
        };
    let peer = Peer {
        service,
        worker,
        ends,
        connection,
        requests: Cell::new(0),
    };
    if is_http2 {
        serve_http2(stream, read, Rc::new(peer)).await;
    } else {
        serve_http1(stream, read, since, &peer).await;
    }
}

/// Reads until the first bytes can only be one or the other. An error: nothing more came, or not in time.
async fn tell_version<T: AsyncRead + Unpin>(
    stream: &mut T,
    read: &mut BytesMut,
    since: Instant,
    connection: &Connection,
    limits: &ServerLimits,
) -> io::Result<bool> {
    let mut alarm = Alarm::default();
    let mut drained = None;
    read.reserve(8 * 1024);
    poll_fn(|context| {
        connection.watch(context);
        loop {
            if let Poll::Ready(count) = pin!(stream.read_buf(read)).poll(context) {
                if count? == 0 {
                    read.clear();
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                let common = read.len().min(PREFACE.len());
                if !limits.http2 || read[..common] != PREFACE[..common] {
                    return Poll::Ready(Ok(false));
                }
                if common == PREFACE.len() {
                    return Poll::Ready(Ok(true));
                }
                continue;
            }
            let mut deadline = since + limits.first_bytes;
            if connection.is_draining() {
                deadline = deadline.min(*drained.get_or_insert_with(Instant::now) + limits.drain_idle);
            }
            return alarm
                .poll(context, deadline)
                .map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
    })
    .await
}

impl<S: Service> Peer<S> {
    /// Runs the service; a panic in it costs this one request and nothing else.
    pub async fn contained(&self, incoming: Incoming) -> Reply {
        let mut serving = pin!(self.service.serve(incoming));
        poll_fn(
            |task| match catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(task))) {
                Ok(polled) => polled,
                Err(panic) => {
                    let message = panic
                        .downcast_ref::<&str>()
                        .map(ToString::to_string)
                        .or_else(|| panic.downcast_ref::<String>().cloned())
                        .unwrap_or_default();
                    tracing::error!(message, "a request panicked");
                    self.worker.count_panic();
                    Poll::Ready(Reply::text(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the request failed inside the gateway\n",
                    ))
                }
            },
        )
        .await
    }

    /// A request as the service is to see it. `hops`: there may be headers that belong to the connection.
    pub fn incoming(
        &self,
        method: Method,
        target: PathAndQuery,
        version: Version,
        mut headers: HeaderMap,
        body: ByteStream,
        hops: bool,
    ) -> Result<Incoming, Refusal> {
        let limits = self.worker.limits();
        if limits.underscore_headers != UnderscoreHeaders::Pass {
            check_underscores(&mut headers, limits)?;
        }
        if hops {
            hop::strip_received(&mut headers);
        }
        if version == Version::HTTP_10 && !headers.contains_key(HOST) {
            let local = HeaderValue::try_from(self.ends.local.to_string());
            headers.insert(HOST, local.unwrap_or(HeaderValue::from_static("localhost")));
        }
        let Ends {
            remote,
            local,
            scheme,
        } = self.ends;
        Ok(Incoming {
            method,
            target,
            version,
            scheme,
            remote,
            local,
            headers,
            body,
            websocket: false,
        })
    }
}

/// Some backends read `_` in a name as `-`, so that a client could forge a header the gateway guards.
fn check_underscores(headers: &mut HeaderMap, limits: &ServerLimits) -> Result<(), Refusal> {
    if !headers.keys().any(|name| name.as_str().contains('_')) {
        return Ok(());
    }
    if limits.underscore_headers == UnderscoreHeaders::Refuse {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "a header name has an underscore",
        ));
    }
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
    Ok(())
}

pub(super) fn overloaded() -> Reply {
    let mut reply = Reply::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests are being worked on\n",
    );
    reply.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

pub(super) fn refused(refusal: Refusal) -> Reply {
    Reply::text(refusal.status, format!("{}\n", refusal.reason))
}

/// Makes what a service said an answer that can be sent, without a body where there is none. What belongs to a connection, and the length of a
/// body, are left to whoever sends it.
pub(super) fn settle(reply: &mut Reply, is_head: bool) {
    if reply.status.is_informational() {
        tracing::warn!(
            status = reply.status.as_u16(),
            "an interim status cannot be an answer"
        );
        reply.status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let status = reply.status;
    if !has_body(status, is_head) {
        if let (true, Some(length)) = (is_head, reply.body.exact_length().filter(|length| *length > 0)) {
            reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        } else if status == StatusCode::NO_CONTENT || !has_one_length(&reply.headers) {
            reply.headers.remove(CONTENT_LENGTH);
        }
        reply.body = ByteStream::empty();
    }
}

/// Whether an answer has a body, be it an empty one.
pub(super) fn has_body(status: StatusCode, is_head: bool) -> bool {
    !is_head && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Whether a client is to ask for a WebSocket: it is told so in its connection's own words.
pub(super) fn offers_upgrade(reply: &Reply) -> bool {
    reply.status == StatusCode::UPGRADE_REQUIRED && reply.headers.contains_key(SEC_WEBSOCKET_VERSION)
}

fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next();
    first.is_some_and(|value| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit))
        && lengths.next().is_none()
}
