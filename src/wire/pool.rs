//! Connections to backends: kept while unused, driven by whoever waits on them, given back when an answer is whole.
//!
//! An HTTP/1 connection has no task of its own. The request's own task polls it, which saves two wake-ups a request;
//! only when an answer begins before its request has been sent whole does it get a task, so that neither direction
//! waits for the other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::client::{Gate, Inner, Reached, SendError, SendErrorKind, Times, Watch};
use super::connect::{Meter, Metered, Peer, is_gone};
use super::hop;
use super::http1::Http1;
use super::http2::{Http2Connection, Slot};
use super::limits::ClientLimits;
use super::sending::Broken;
use super::straight::Straight;
use super::upload::{Outgoing, Upload};
use super::url::Origin;
use super::verify::in_words;
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};

pub(super) struct Pool {
    idle: Duration,
    age: Duration,
    per_host: usize,
    http1: RefCell<HashMap<Arc<Origin>, Vec<Kept>, RandomState>>,
    http2: RefCell<HashMap<Arc<Origin>, Lanes, RandomState>>,
}

/// The HTTP/2 connections of one origin.
#[derive(Default)]
struct Lanes {
    connections: Vec<Rc<Http2Connection>>,
    /// The one that is being made: those who come meanwhile wait for it instead of making more.
    connecting: Option<WeakShared<Connecting>>,
    /// The backend chose HTTP/1.1 in its last TLS handshake, then.
    http1: Option<Instant>,
}

pub(super) type Connecting = LocalBoxFuture<'static, Result<(), SendError>>;

/// So many connections to one origin, for one worker; beyond them requests wait for room.
const MOST_CONNECTIONS: usize = 16;

/// How long a backend's choice of HTTP/1.1 is believed.
const CHOICE: Duration = Duration::from_secs(60);

/// Which way a request over HTTP/2 goes.
pub(super) enum Lane {
    Http2(Rc<Http2Connection>, Slot),
    /// The backend speaks HTTP/1.1 alone.
    Http1,
    /// A connection has to be made first.
    Wait(Shared<Connecting>),
}

struct Kept {
    backend: Box<Backend>,
    since: Instant,
}

impl Pool {
    pub fn new(limits: &ClientLimits) -> Self {
        Self {
            idle: limits.pool_idle,
            age: limits.pool_age,
            per_host: limits.pool_per_host,
            http1: RefCell::default(),
            http2: RefCell::default(),
        }
    }

    /// The connection used last, if one is alive. Those that are too old are closed on the way.
    pub fn take(&self, origin: &Origin, gate: Option<&dyn Gate>) -> Option<Box<Backend>> {
        let mut all = self.http1.borrow_mut();
        let kept = all.get_mut(origin)?;
        while let Some(newest) = kept.last() {
            if !newest.backend.peer.passes(gate) {
                return None;
            }
            let mut newest = kept.pop()?;
            let now = Instant::now();
            if now - newest.backend.since > self.age {
                continue;
            }
            if now - newest.since > self.idle {
                // The rest is older still.
                kept.clear();
                return None;
            }
            if newest.backend.wire.is_alive() {
                return Some(newest.backend);
            }
        }
        None
    }

    pub fn give_back(&self, origin: &Arc<Origin>, backend: Box<Backend>) {
        if !backend.wire.can_be_kept() {
            return;
        }
        // A connection that refused to be a WebSocket is not asked for anything else.
        if self.per_host == 0 || self.idle.is_zero() || origin.scheme.is_websocket() {
            return;
        }
        let now = Instant::now();
        let mut all = self.http1.borrow_mut();
        let kept = match all.get_mut(origin) {
            Some(kept) => kept,
            None => {
                // A new host is the moment to forget hosts that are called no more.
                all.retain(|_, kept| kept.last().is_some_and(|newest| now - newest.since <= self.idle));
                all.entry(Arc::clone(origin)).or_default()
            }
        };
        let too_old = kept
            .iter()
            .take_while(|kept| now - kept.since > self.idle)
            .count();
        let too_many = (kept.len() + 1).saturating_sub(self.per_host);
        kept.drain(..too_old.max(too_many));
        kept.push(Kept { backend, since: now });
    }

    /// A connection with room for one request more. `connect` makes the next one.
    pub fn lane(
        &self,
        origin: &Arc<Origin>,
        gate: Option<&dyn Gate>,
        connect: impl FnOnce() -> Connecting,
    ) -> Lane {
        let mut all = self.http2.borrow_mut();
        if !all.contains_key(origin) {
            // A new host is the moment to forget hosts that are called no more.
            all.retain(|_, lanes| {
                lanes.connections.retain(|connection| connection.is_alive());
                !lanes.connections.is_empty() || lanes.connecting.is_some()
            });
        }
        let lanes = all.entry(Arc::clone(origin)).or_default();
        // The requests on those that are let go for their age go on.
        lanes
            .connections
            .retain(|connection| connection.is_alive() && !connection.is_older_than(self.age));
        let open = || {
            lanes
                .connections
                .iter()
                .filter(|connection| connection.peer.passes(gate))
        };
        let with_room = open().find(|connection| connection.room() > 0);
        let least = open().min_by_key(|connection| connection.load());
        let full = lanes.connections.len() >= MOST_CONNECTIONS;
        if let Some(connection) = with_room.or(least.filter(|_| full)) {
            return Lane::Http2(Rc::clone(connection), connection.slot());
        }
        if lanes.http1.is_some_and(|since| since.elapsed() < CHOICE) {
            return Lane::Http1;
        }
        if let Some(connecting) = lanes.connecting.as_ref().and_then(WeakShared::upgrade) {
            return Lane::Wait(connecting);
        }
        let connecting = connect().shared();
        lanes.connecting = connecting.downgrade();
        Lane::Wait(connecting)
    }

    /// What came of a connect: a connection for many requests, or the knowledge that there is none to be had.
    pub fn connected(&self, origin: &Arc<Origin>, outcome: Option<Http2Connection>) {
        let mut all = self.http2.borrow_mut();
        let lanes = all.entry(Arc::clone(origin)).or_default();
        lanes.connecting = None;
        match outcome {
            Some(connection) => {
                lanes.http1 = None;
                lanes.connections.push(Rc::new(connection));
            }
            None => lanes.http1 = Some(Instant::now()),
        }
    }

    pub fn not_connected(&self, origin: &Origin) {
        if let Some(lanes) = self.http2.borrow_mut().get_mut(origin) {
            lanes.connecting = None;
        }
    }

    /// Gives no more requests to a connection; those that are on it go on.
    pub fn forget_http2(&self, origin: &Origin, connection: &Rc<Http2Connection>) {
        if let Some(lanes) = self.http2.borrow_mut().get_mut(origin) {
            lanes.connections.retain(|other| !Rc::ptr_eq(other, connection));
        }
    }
}

/// One HTTP/1 connection to a backend.
pub(super) struct Backend {
    wire: Http1,
    peer: Peer,
    since: Instant,
    alarm: Alarm,
}

impl Backend {
    pub fn new(stream: Metered, limits: &ClientLimits) -> Box<Self> {
        Box::new(Self {
            peer: stream.peer,
            since: Instant::now(),
            wire: Http1::new(stream, limits.response_head),
            alarm: Alarm::default(),
        })
    }

    /// The stream, and what came behind the last answer.
    pub fn into_parts(self) -> (Metered, Bytes) {
        self.wire.into_parts()
    }

    fn meter(&self) -> &Meter {
        &self.wire.stream.meter
    }

    /// Whether there is nothing about the head of the answer to be checked or taken off.
    pub fn is_plain(&self) -> bool {
        self.wire.is_plain()
    }

    /// The body of the answer, if it came whole with its head and the request has left.
    pub fn whole_body(&mut self) -> Option<Bytes> {
        match self.wire.is_sent() {
            true => self.wire.whole_body(),
            false => None,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn exchange(
        &mut self,
        request: &mut http::Request<Outgoing>,
        upload: Option<&Upload>,
        times: &Times,
    ) -> Result<http::Response<()>, SendError> {
        self.meter().restart();
        self.wire.begin(request);
        self.converse(upload, times).await
    }

    /// The same for a request that goes straight on.
    pub async fn exchange_straight(
        &mut self,
        straight: &Straight<'_>,
        times: &Times,
    ) -> Result<http::Response<()>, SendError> {
        self.meter().restart();
        self.wire.begin_with(straight.sending(), true, false);
        self.converse(None, times).await
    }

    async fn converse(
        &mut self,
        upload: Option<&Upload>,
        times: &Times,
    ) -> Result<http::Response<()>, SendError> {
        let mut deadline = Instant::now() + times.response;
        let (wire, alarm) = (&mut self.wire, &mut self.alarm);
        let outcome = poll_fn(|context| {
            if let Poll::Ready(Err(broken)) = wire.poll_send(context) {
                return Poll::Ready(Err(Some(broken)));
            }
            if let Poll::Ready(answer) = wire.poll_head(context) {
                return Poll::Ready(answer.map_err(Some));
            }
            loop {
                if alarm.poll(context, deadline).is_pending() {
                    return Poll::Pending;
                }
                // A long upload that still moves is not a slow answer.
                match upload.and_then(|upload| upload.progress.get()) {
                    Some(progress) if progress + times.response > deadline => {
                        deadline = progress + times.response;
                    }
                    _ => return Poll::Ready(Err(None)),
                }
            }
        })
        .await;
        let broken = match outcome {
            Ok(response) => return Ok(response),
            Err(broken) => broken,
        };
        if let Some(error) = upload.and_then(|upload| upload.error.borrow_mut().take()) {
            return Err(upload_error(error, self.meter()));
        }
        Err(match broken {
            Some(broken) => send_error(&broken, self.meter()),
            None => SendError {
                kind: SendErrorKind::Timeout,
                message: format!("no answer within {} ms", times.response.as_millis()),
                reached: reached(self.meter()),
            },
        })
    }
}

/// The reason of TLS's that an error of the stream stands for.
fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

pub(super) fn upload_error(error: StreamError, meter: &Meter) -> SendError {
    let message = format!("the body of the request broke off: {}", error.message);
    let kind = match error.origin {
        StreamOrigin::Client => SendErrorKind::ClientBody(error),
        StreamOrigin::Gateway if error.kind == StreamErrorKind::TooLarge => SendErrorKind::ClientBody(error),
        StreamOrigin::Gateway | StreamOrigin::Backend => SendErrorKind::Send,
    };
    SendError {
        kind,
        message,
        reached: reached(meter),
    }
}

fn reached(meter: &Meter) -> Reached {
    if meter.read.get() > 0 {
        Reached::Sent
    } else if meter.written.get() > 0 {
        Reached::Unknown
    } else {
        Reached::NothingSent
    }
}

fn send_error(broken: &Broken, meter: &Meter) -> SendError {
    let (kind, message) = match broken {
        Broken::Invalid(reason) => (
            SendErrorKind::Protocol,
            format!("the answer is not valid HTTP: {reason}"),
        ),
        Broken::TooLong => (
            SendErrorKind::Protocol,
            "the head of the answer is too long".to_owned(),
        ),
        Broken::Closed => (
            SendErrorKind::Closed,
            "the backend closed the connection before its answer was whole".to_owned(),
        ),
        Broken::Body => (
            SendErrorKind::Send,
            "the body of the request is not as long as it said".to_owned(),
        ),
        Broken::Stream(io) => match tls_error(io) {
            // In TLS 1.3 a backend tells only now what it thinks of our certificate; it has looked at nothing else.
            Some(alert) => {
                let message = format!("no TLS with the backend: {}", in_words(alert));
                tracing::warn!(reason = message, "A backend ended TLS.");
                (SendErrorKind::Connect, message)
            }
            None => {
                let kind = match (is_gone(io), meter.read.get() > 0) {
                    (true, _) => SendErrorKind::Closed,
                    (false, true) => SendErrorKind::Receive,
                    (false, false) => SendErrorKind::Send,
                };
                (kind, io.to_string())
            }
        },
    };
    SendError {
        kind,
        message,
        reached: reached(meter),
    }
}

/// The body of an answer over HTTP/1. Gives the connection back when it ends as it should.
pub(super) struct Http1Body {
    driven: Driven,
    client: Rc<Inner>,
    origin: Arc<Origin>,
    gap: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    /// The first of it, which often came with the head.
    first: Option<Result<Frame<Bytes>, StreamError>>,
    /// It ended as it should.
    ended: bool,
    watch: Option<Box<dyn Watch>>,
}

enum Driven {
    /// By this body.
    Here(Box<Backend>),
    /// Read by this body, and written by its own task, because the request is still being sent.
    Both(Rc<RefCell<Box<Backend>>>, AbortHandle),
    /// Ended or given back.
    Gone,
}

impl Http1Body {
    pub fn new(
        backend: Box<Backend>,
        client: Rc<Inner>,
        origin: &Arc<Origin>,
        gap: Duration,
        watch: Option<Box<dyn Watch>>,
    ) -> Self {
        let driven = if backend.wire.is_sent() {
            Driven::Here(backend)
        } else {
            let shared = Rc::new(RefCell::new(backend));
            let task = tokio::task::spawn_local(drive(Rc::clone(&shared), gap));
            Driven::Both(shared, task.abort_handle())
        };
        Self {
            driven,
            client,
            origin: Arc::clone(origin),
            gap,
            waiting_since: None,
            alarm: Alarm::default(),
            first: None,
            ended: false,
            watch,
        }
    }

    /// Takes what came with the head. A body that is here whole gives its connection back at once.
    pub fn into_stream(mut self) -> ByteStream {
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self).poll_frame(&mut nobody) {
            Poll::Ready(Some(Ok(frame))) if self.ended && frame.is_data() => {
                return frame
                    .into_data()
                    .map_or_else(|_| ByteStream::empty(), ByteStream::from);
            }
            Poll::Ready(None) => return ByteStream::empty(),
            Poll::Ready(first) => self.first = first,
            Poll::Pending => (),
        }
        ByteStream::new(self)
    }

    fn finish(&mut self) {
        self.ended = true;
        self.watch = None;
        match std::mem::replace(&mut self.driven, Driven::Gone) {
            Driven::Here(backend) => self.client.pool.give_back(&self.origin, backend),
            // The answer is whole; what is left of the request interests nobody any more.
            Driven::Both(_, task) => task.abort(),
            Driven::Gone => (),
        }
    }

    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let (frame, is_read) = match &mut self.driven {
            Driven::Here(backend) => (backend.wire.poll_frame(context), backend.wire.is_read()),
            Driven::Both(shared, _) => {
                let mut backend = shared.borrow_mut();
                (backend.wire.poll_frame(context), backend.wire.is_read())
            }
            Driven::Gone => return Poll::Ready(None),
        };
        if is_read {
            self.finish();
        }
        frame.map_err(|broken| receive_error(&broken))
    }
}

/// Drives a connection whose request is still being sent, as long as bytes move.
async fn drive(shared: Rc<RefCell<Box<Backend>>>, gap: Duration) {
    let mut seen = (0, 0);
    let mut since = Instant::now();
    let outcome = poll_fn(|context| {
        let backend = &mut **shared.borrow_mut();
        if let Poll::Ready(outcome) = backend.wire.poll_send(context) {
            return Poll::Ready(Some(outcome));
        }
        loop {
            let now = (backend.meter().written.get(), backend.meter().read.get());
            if now != seen {
                seen = now;
                since = Instant::now();
            }
            if backend.alarm.poll(context, since + gap).is_pending() {
                return Poll::Pending;
            }
            if now == seen {
                return Poll::Ready(None);
            }
        }
    })
    .await;
    match outcome {
        Some(Ok(())) => (),
        Some(Err(broken)) => {
            tracing::debug!(
                ?broken,
                "a connection ended while its request was still being sent"
            )
        }
        None => tracing::debug!("a connection stood still while its request was still being sent"),
    }
}

fn receive_error(broken: &Broken) -> StreamError {
    let (kind, message) = match broken {
        Broken::Invalid(reason) => (
            StreamErrorKind::Malformed,
            format!("the answer's body is not valid: {reason}"),
        ),
        Broken::Stream(io) if !is_gone(io) => {
            (StreamErrorKind::Failed, format!("the answer broke off: {io}"))
        }
        _ => (
            StreamErrorKind::Closed,
            "the backend broke its answer off".to_owned(),
        ),
    };
    StreamError::new(StreamOrigin::Backend, kind, message)
}

/// The last that a watch hears.
pub(super) fn tell(watch: &mut Option<Box<dyn Watch>>, error: &StreamError) {
    if let Some(watch) = watch.take() {
        let kind = match error.kind {
            StreamErrorKind::TimedOut => SendErrorKind::Timeout,
            StreamErrorKind::Malformed => SendErrorKind::Protocol,
            StreamErrorKind::Closed | StreamErrorKind::Reset(_) => SendErrorKind::Closed,
            StreamErrorKind::TooLarge | StreamErrorKind::Failed => SendErrorKind::Receive,
        };
        watch.broken(kind.code(), &error.message);
    }
}

pub(super) fn stalled(gap: Duration) -> StreamError {
    let message = format!("the answer stood still for {} ms", gap.as_millis());
    StreamError::new(StreamOrigin::Backend, StreamErrorKind::TimedOut, message)
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        match this.poll_incoming(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                this.waiting_since = None;
                if let Some(trailers) = frame.trailers_mut() {
                    hop::strip_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                if let Driven::Both(_, task) = std::mem::replace(&mut this.driven, Driven::Gone) {
                    task.abort();
                }
                tell(&mut this.watch, &error);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                let since = *this.waiting_since.get_or_insert_with(Instant::now);
                let alarm = match &mut this.driven {
                    Driven::Here(backend) => &mut backend.alarm,
                    _ => &mut this.alarm,
                };
                if alarm.poll(context, since + this.gap).is_pending() {
                    return Poll::Pending;
                }
                if let Driven::Both(_, task) = std::mem::replace(&mut this.driven, Driven::Gone) {
                    task.abort();
                }
                let error = stalled(this.gap);
                tell(&mut this.watch, &error);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.driven {
            Driven::Here(backend) => backend.wire.left(),
            Driven::Both(shared, _) => shared.borrow().wire.left(),
            Driven::Gone => self.ended.then_some(0),
        };
        match (&self.first, left) {
            (None, Some(left)) => SizeHint::with_exact(left),
            (Some(Ok(first)), Some(left)) => {
                SizeHint::with_exact(left + first.data_ref().map_or(0, |data| data.len() as u64))
            }
            (_, None) | (Some(Err(_)), _) => SizeHint::default(),
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        if let Driven::Both(_, task) = &self.driven {
            task.abort();
        }
    }
}
