//! Serving a client over HTTP/2.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming as HyperBody;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::cause::find;
use super::frame_meter::Counted;
use super::head::{self, Refusal};
use super::hop;
use super::limits::ServerLimits;
use super::listen::InFlight;
use super::patient::Patient;
use super::serve::{Peer, has_body, overloaded, refused, settle};
use super::server::{Incoming, LocalExecutor, Service};
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};
use crate::message::media_type::is_grpc;

/// Serves a connection to its end. `read` was taken from the stream already.
pub(super) async fn serve_http2<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: T,
    read: BytesMut,
    context: Rc<Peer<S>>,
) {
    let limits = context.worker.limits();
    let stream = Patient::new(stream, limits.write_gap);
    let stream = Counted::new(stream, read, limits.http2_control_frames);
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
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
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
    async fn answer2(
        self: Rc<Self>,
        request: http::Request<HyperBody>,
        stream: OpenStream,
    ) -> http::Response<ReplyBody> {
        let is_head = *request.method() == Method::HEAD;
        self.requests.set(self.requests.get() + 1);
        let (mut reply, in_flight) = match self.worker.begin() {
            None => (overloaded(), None),
            Some(in_flight) => {
                let reply = match self.incoming2(request) {
                    Ok(incoming) => self.contained(incoming).await,
                    Err(refusal) => refused(refusal),
                };
                (reply, Some(in_flight))
            }
        };
        settle(&mut reply, is_head);
        hop::strip_standard(&mut reply.headers);
        if has_body(reply.status, is_head) {
            reply.headers.remove(CONTENT_LENGTH);
        }
        stream.gave();
        let mut response = http::Response::new(ReplyBody {
            body: reply.body,
            _in_flight: in_flight,
            stream,
        });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
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
        let target = parts
            .uri
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        self.incoming(parts.method, target, parts.version, parts.headers, body, true)
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

/// The body of a reply, and what is to happen when it has been handed over or given up.
struct ReplyBody {
    body: ByteStream,
    _in_flight: Option<InFlight>,
    stream: OpenStream,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.stream.asked();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = &frame {
            self.stream.gave();
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
