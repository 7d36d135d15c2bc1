//! Serving one connection: telling HTTP/1 from HTTP/2, turning what arrives into an `Incoming`, and writing the reply.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming as HyperBody;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::cause::find;
use super::guard::{Connection, Guard, linger, refusal_text};
use super::head::{self, Refusal};
use super::hop;
use super::limits::{ServerLimits, UnderscoreHeaders};
use super::listen::Worker;
use super::server::{Incoming, LocalExecutor, Reply, Scheme, Service};
use super::websocket::{self, Tunnel};
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};
use crate::message::media_type::is_grpc;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Who is at the two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub scheme: Scheme,
}

/// What the requests of one connection have in common.
struct Peer<S> {
    service: Rc<S>,
    worker: Rc<Worker>,
    ends: Ends,
    connection: Rc<Connection>,
    requests: Cell<u32>,
    /// A small body that the service did not read, to be read and thrown away so that the connection can be kept.
    unread: RefCell<Option<HyperBody>>,
    /// What the client is to be shown if the WebSocket it asks for comes about.
    proof: RefCell<Option<HeaderValue>>,
    /// The WebSocket that did.
    tunnel: Cell<Option<Tunnel>>,
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
    let context = Rc::new(Peer {
        service,
        worker,
        ends,
        connection: Rc::clone(&connection),
        requests: Cell::new(0),
        unread: RefCell::new(None),
        proof: RefCell::default(),
        tunnel: Cell::new(None),
    });
    if is_http2 {
        let guard = Guard::http2(stream, read, connection, limits);
        serve_http2(guard, context).await;
    } else {
        let guard = Guard::http1(stream, read, since, connection, limits);
        serve_http1(guard, context).await;
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

async fn serve_http1<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    guard: Guard<T>,
    context: Rc<Peer<S>>,
) {
    let mut builder = http1::Builder::new();
    let limits = context.worker.limits();
    if limits.header_count > 100 {
        builder.max_headers(limits.header_count);
    }
    builder.max_buf_size((limits.header_bytes + limits.request_line).max(64 * 1024) + 64 * 1024);
    let answering = Rc::clone(&context);
    let service = service_fn(move |request| {
        let answer = Rc::clone(&answering).answer1(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = builder.serve_connection(TokioIo::new(guard), service);
    let outcome = poll_fn(|task| {
        context.connection.watch(task);
        let outcome = Pin::new(&mut connection).poll(task);
        if outcome.is_pending() && context.unread.borrow().is_some() {
            context.drain_unread(task);
        }
        outcome
    })
    .await;
    if let Err(error) = outcome {
        tracing::debug!(%error, remote = %context.ends.remote, "a connection ended early");
    }
    let guard = connection.into_parts().io.into_inner();
    match context.tunnel.take() {
        Some(tunnel) => {
            let (stream, early) = guard.into_parts();
            Box::pin(websocket::relay(stream, early, tunnel, &context.connection)).await;
        }
        None => guard.close().await,
    }
}

async fn serve_http2<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    guard: Guard<T>,
    context: Rc<Peer<S>>,
) {
    let limits = context.worker.limits();
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .initial_stream_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.http2_ping)
        .keep_alive_timeout(limits.http2_ping);
    let open = Rc::<OpenStreams>::default();
    let (answering, counting) = (Rc::clone(&context), Rc::clone(&open));
    let service = service_fn(move |request| {
        let context = Rc::clone(&answering);
        let stream = counting.open();
        async move { Ok::<_, Infallible>(context.answer2(request, stream).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(guard), service));
    let mut idle = Alarm::default();
    let mut idle_since = Instant::now();
    let mut stall = Alarm::default();
    let mut stall_checked = idle_since;
    let mut ending = false;
    poll_fn(|task| {
        context.connection.watch(task);
        if !ending && context.connection.is_draining() {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(task).map(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, remote = %context.ends.remote, "an HTTP/2 connection ended early");
            }
        })
        .is_ready()
        {
            return Poll::Ready(());
        }
        let now = Instant::now();
        if !open.is_empty() {
            idle_since = now;
        }
        if stall.poll(task, stall_checked + limits.write_gap).is_ready() {
            if open.is_stuck_since(stall_checked) {
                tracing::debug!(remote = %context.ends.remote, "an HTTP/2 client takes nothing");
                return Poll::Ready(());
            }
            stall_checked = now;
            task.waker().wake_by_ref();
        }
        let spent = context.requests.get() >= limits.requests_per_connection;
        let idled = idle.poll(task, idle_since + limits.keep_alive_idle).is_ready();
        if !ending && (spent || idled) {
            ending = true;
            connection.as_mut().graceful_shutdown();
            idle_since = now;
            task.waker().wake_by_ref();
        } else if ending && idled {
            // It was told to leave and did nothing for as long again.
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// The streams of an HTTP/2 connection that are being answered: since when each waits for its client to take more.
#[derive(Default)]
struct OpenStreams {
    waiting: RefCell<Vec<Rc<Cell<Option<Instant>>>>>,
}

impl OpenStreams {
    fn open(self: &Rc<Self>) -> OpenStream {
        let waiting = Rc::<Cell<Option<Instant>>>::default();
        self.waiting.borrow_mut().push(Rc::clone(&waiting));
        OpenStream {
            all: Rc::clone(self),
            waiting,
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Whether a client has taken nothing of an answer since then.
    fn is_stuck_since(&self, then: Instant) -> bool {
        self.waiting
            .borrow()
            .iter()
            .any(|waiting| waiting.get().is_some_and(|since| since <= then))
    }
}

struct OpenStream {
    all: Rc<OpenStreams>,
    waiting: Rc<Cell<Option<Instant>>>,
}

impl OpenStream {
    /// The library asks for more only when the client has taken what it was given.
    fn asked(&self) {
        self.waiting.set(None);
    }

    fn gave(&self) {
        self.waiting.set(Some(Instant::now()));
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.all
            .waiting
            .borrow_mut()
            .retain(|waiting| !Rc::ptr_eq(waiting, &self.waiting));
    }
}

impl<S: Service> Peer<S> {
    /// What is looked at before anything is waited for happens at once: the future then need not hold the request.
    fn answer1(
        self: Rc<Self>,
        request: http::Request<HyperBody>,
    ) -> impl Future<Output = http::Response<ReplyBody>> {
        let is_head = *request.method() == Method::HEAD;
        // Some readers give such a request no body and take its bytes for the next one, so nothing may follow it.
        let doubtful = (is_head || *request.method() == Method::GET) && !request.body().is_end_stream();
        self.requests.set(self.requests.get() + 1);
        *self.proof.borrow_mut() = websocket::asked(&request);
        let begun = self
            .worker
            .begin()
            .map(|in_flight| (self.incoming1(request), in_flight));
        async move {
            let (reply, in_flight) = match begun {
                None => (overloaded(), None),
                Some((Ok(incoming), in_flight)) => (self.contained(incoming).await, Some(in_flight)),
                Some((Err(refusal), in_flight)) => (refused(refusal), Some(in_flight)),
            };
            let limits = self.worker.limits();
            let left = self.connection.body_left();
            let last = self.requests.get() >= limits.requests_per_connection
                || self.connection.is_draining()
                || left > SMALL_BODY
                || doubtful;
            let ending = Ending {
                connection: Some(Rc::clone(&self.connection)),
                _in_flight: in_flight,
                stream: None,
            };
            if reply.tunnel.is_some() {
                return self.switch(reply, ending);
            }
            let mut response = respond(reply, is_head, ending);
            if last {
                response
                    .headers_mut()
                    .append(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }

    /// Tells the client that its WebSocket has come about. What follows is not the library's business any more.
    fn switch(&self, mut reply: Reply, ending: Ending) -> http::Response<ReplyBody> {
        let Some(proof) = self.proof.take() else {
            tracing::warn!("a WebSocket came about that nobody asked for");
            return respond(Reply::new(StatusCode::INTERNAL_SERVER_ERROR), false, ending);
        };
        self.connection.switch();
        self.tunnel.set(reply.tunnel.take());
        websocket::agree(&mut reply.headers, proof);
        let mut response = http::Response::new(ReplyBody {
            body: ByteStream::empty(),
            ending,
        });
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = reply.headers;
        response
    }

    async fn answer2(
        self: Rc<Self>,
        request: http::Request<HyperBody>,
        stream: OpenStream,
    ) -> http::Response<ReplyBody> {
        let is_head = *request.method() == Method::HEAD;
        self.requests.set(self.requests.get() + 1);
        let (reply, in_flight) = match self.worker.begin() {
            None => (overloaded(), None),
            Some(in_flight) => {
                let reply = match self.incoming2(request) {
                    Ok(incoming) => self.contained(incoming).await,
                    Err(refusal) => refused(refusal),
                };
                (reply, Some(in_flight))
            }
        };
        let ending = Ending {
            connection: None,
            _in_flight: in_flight,
            stream: Some(stream),
        };
        let mut response = respond(reply, is_head, ending);
        if let Some(stream) = &response.body().ending.stream {
            stream.gave();
        }
        response.extensions_mut().clear();
        response
    }

    /// Runs the service; a panic in it costs this one request and nothing else.
    async fn contained(&self, incoming: Incoming) -> Reply {
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

    fn incoming1(self: &Rc<Self>, request: http::Request<HyperBody>) -> Result<Incoming, Refusal> {
        let (mut parts, body) = request.into_parts();
        if let Some(authority) = parts.uri.authority() {
            // RFC 9112 3.2.2: what the target names wins.
            let host = HeaderValue::from_str(authority.as_str())
                .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the host in the target is not valid"))?;
            parts.headers.insert(HOST, host);
        }
        let body = if body.is_end_stream() {
            ByteStream::empty()
        } else {
            ByteStream::new(RequestBody1 {
                incoming: Some(body),
                context: Rc::clone(self),
            })
        };
        let mut incoming = self.incoming(parts, body)?;
        incoming.websocket = self.proof.borrow().is_some();
        Ok(incoming)
    }

    fn incoming2(&self, request: http::Request<HyperBody>) -> Result<Incoming, Refusal> {
        let bad = |reason| Refusal::new(StatusCode::BAD_REQUEST, reason);
        let (mut parts, body) = request.into_parts();
        if let Some(refusal) = head::refused_method(parts.method.as_str().as_bytes()) {
            return Err(refusal);
        }
        if parts.headers.len() > self.worker.limits().header_count {
            let reason = "there are too many headers";
            return Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason));
        }
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if target.len() > self.worker.limits().request_line {
            return Err(Refusal::new(
                StatusCode::URI_TOO_LONG,
                "the request line is too long",
            ));
        }
        if target != "*" {
            head::check_path(target.as_bytes())?;
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(bad("there is more than one Host"));
        }
        let authority = match (parts.uri.authority(), host) {
            (Some(authority), Some(host))
                if !authority
                    .as_str()
                    .as_bytes()
                    .eq_ignore_ascii_case(host.as_bytes()) =>
            {
                return Err(bad("the Host is not the authority"));
            }
            (Some(authority), _) => HeaderValue::from_str(authority.as_str()).ok(),
            (None, host) => host.cloned(),
        };
        let authority = authority
            .filter(|authority| head::is_authority(authority.as_bytes()))
            .ok_or(bad("the authority is not valid"))?;
        parts.headers.insert(HOST, authority);
        join_cookies(&mut parts.headers);
        let length = body.size_hint().exact();
        if length.is_some_and(|length| {
            let cap = self.worker.limits().streamed_body;
            cap > 0 && length > cap
        }) {
            return Err(head::BODY_TOO_LARGE);
        }
        let body = if body.is_end_stream() {
            ByteStream::empty()
        } else {
            let is_call = parts
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|value| is_grpc(value.as_bytes()));
            ByteStream::new(RequestBody2::new(body, Arc::clone(self.worker.limits()), is_call))
        };
        self.incoming(parts, body)
    }

    fn incoming(&self, parts: http::request::Parts, body: ByteStream) -> Result<Incoming, Refusal> {
        let http::request::Parts {
            method,
            uri,
            version,
            mut headers,
            ..
        } = parts;
        let limits = self.worker.limits();
        if limits.underscore_headers != UnderscoreHeaders::Pass {
            check_underscores(&mut headers, limits)?;
        }
        hop::strip_received(&mut headers);
        if version == Version::HTTP_10 && !headers.contains_key(HOST) {
            let local = HeaderValue::try_from(self.ends.local.to_string());
            headers.insert(HOST, local.unwrap_or(HeaderValue::from_static("localhost")));
        }
        let target = uri
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
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

    fn drain_unread(&self, task: &mut Context<'_>) {
        let mut unread = self.unread.borrow_mut();
        while let Some(body) = &mut *unread {
            match Pin::new(body).poll_frame(task) {
                Poll::Ready(Some(Ok(_))) => (),
                Poll::Ready(None | Some(Err(_))) => *unread = None,
                Poll::Pending => return,
            }
        }
    }
}

/// HTTP/2 may split cookies over headers; elsewhere there is only one (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Up to here a body that nobody reads is read and thrown away; beyond it the connection is closed instead.
const SMALL_BODY: u64 = 64 * 1024;

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

fn overloaded() -> Reply {
    let mut reply = Reply::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests are being worked on\n",
    );
    reply.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

fn refused(refusal: Refusal) -> Reply {
    Reply::text(refusal.status, format!("{}\n", refusal.reason))
}

fn respond(reply: Reply, is_head: bool, ending: Ending) -> http::Response<ReplyBody> {
    let Reply {
        mut status,
        reason,
        mut headers,
        mut body,
        ..
    } = reply;
    if status.is_informational() {
        tracing::warn!(status = status.as_u16(), "an interim status cannot be an answer");
        status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    hop::strip_standard(&mut headers);
    let http1 = ending.stream.is_none();
    if http1 && status == StatusCode::UPGRADE_REQUIRED && headers.contains_key(SEC_WEBSOCKET_VERSION) {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        if let (true, Some(length)) = (is_head, body.exact_length().filter(|length| *length > 0)) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        } else if status == StatusCode::NO_CONTENT || !has_one_length(&headers) {
            headers.remove(CONTENT_LENGTH);
        }
        body = ByteStream::empty();
    } else {
        headers.remove(CONTENT_LENGTH);
    }
    let mut response = http::Response::new(ReplyBody { body, ending });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let phrase = reason
        .filter(|reason| !reason.is_empty())
        .and_then(|reason| ReasonPhrase::try_from(reason).ok())
        // Some clients take an answer without a phrase for a failure.
        .or_else(|| {
            status
                .canonical_reason()
                .is_none()
                .then_some(ReasonPhrase::from_static(b"Status"))
        });
    if let Some(phrase) = phrase {
        response.extensions_mut().insert(phrase);
    }
    response
}

fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next();
    first.is_some_and(|value| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit))
        && lengths.next().is_none()
}

/// The body of a reply, and what is to happen when it has been handed over or given up.
struct ReplyBody {
    body: ByteStream,
    ending: Ending,
}

struct Ending {
    connection: Option<Rc<Connection>>,
    _in_flight: Option<super::listen::InFlight>,
    stream: Option<OpenStream>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.answered();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(stream) = &self.ending.stream {
            stream.asked();
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let (Some(stream), Poll::Ready(Some(Ok(_)))) = (&self.ending.stream, &frame) {
            stream.gave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request over HTTP/1; its times and its limits are kept by the stream below.
struct RequestBody1<S: Service> {
    incoming: Option<HyperBody>,
    context: Rc<Peer<S>>,
}

impl<S: Service> Body for RequestBody1<S> {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.incoming = None;
        }
        polled.map(|frame| frame.map(received))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HyperBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), HyperBody::size_hint)
    }
}

impl<S: Service> Drop for RequestBody1<S> {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
            && self.context.connection.body_left() <= SMALL_BODY
        {
            *self.context.unread.borrow_mut() = Some(incoming);
        }
    }
}

/// The body of a request over HTTP/2, with its own clock.
struct RequestBody2 {
    incoming: HyperBody,
    limits: Arc<ServerLimits>,
    received: u64,
    /// A gRPC call has none: it lives as long as both sides want, and pings tell whether the client is there.
    deadline: Option<Instant>,
    waiting_since: Option<Instant>,
    alarm: Alarm,
}

impl RequestBody2 {
    fn new(incoming: HyperBody, limits: Arc<ServerLimits>, is_call: bool) -> Self {
        let deadline = (!is_call).then(|| Instant::now() + limits.whole_body);
        Self {
            incoming,
            limits,
            received: 0,
            deadline,
            waiting_since: None,
            alarm: Alarm::default(),
        }
    }
}

impl Body for RequestBody2 {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Pending => {
                let Some(deadline) = this.deadline else {
                    return Poll::Pending;
                };
                let since = *this.waiting_since.get_or_insert_with(Instant::now);
                if this
                    .alarm
                    .poll(context, deadline.min(since + this.limits.body_gap))
                    .is_pending()
                {
                    return Poll::Pending;
                }
                let late = "the body did not come in time";
                Poll::Ready(Some(Err(StreamError::new(
                    StreamOrigin::Client,
                    StreamErrorKind::TimedOut,
                    late,
                ))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(frame)) => {
                this.waiting_since = None;
                let frame = received(frame)?;
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.limits.streamed_body > 0 && this.received > this.limits.streamed_body {
                    let long = "the body is too long";
                    return Poll::Ready(Some(Err(StreamError::new(
                        StreamOrigin::Client,
                        StreamErrorKind::TooLarge,
                        long,
                    ))));
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn received(frame: Result<Frame<Bytes>, hyper::Error>) -> Result<Frame<Bytes>, StreamError> {
    match frame {
        Ok(mut frame) => {
            if let Some(trailers) = frame.trailers_mut() {
                hop::strip_trailers(trailers);
            }
            Ok(frame)
        }
        Err(error) => Err(request_error(&error)),
    }
}

/// The stream below says exactly what is wrong; the library wraps it.
fn request_error(error: &hyper::Error) -> StreamError {
    let io = find::<io::Error>(error);
    if let Some(known) = io
        .and_then(io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<StreamError>())
    {
        return known.clone();
    }
    let kind = match io.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => StreamErrorKind::Malformed,
        _ if error.is_parse() => StreamErrorKind::Malformed,
        _ => StreamErrorKind::Closed,
    };
    StreamError::new(
        StreamOrigin::Client,
        kind,
        format!("the request's body broke off: {error}"),
    )
}
