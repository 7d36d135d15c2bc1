//! HTTP/2 to backends: connections that many requests share, and one request and its answer on such a connection.
//!
//! A connection has a task of its own. A request is driven by whoever waits for its answer until the head is here; what is
//! left to send then gets a task, so that neither direction waits for the other.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, RecvStream, SendStream};
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::alarm::Alarm;
use super::client::{Reached, SendError, SendErrorKind, Times, Watch};
use super::connect::{Meter, Metered, Peer};
use super::hop;
use super::limits::ClientLimits;
use super::pool::{stalled, tell, upload_error};
use super::upload::{Outgoing, Upload};
use crate::message::body::{StreamError, StreamErrorKind, StreamOrigin};

/// One connection to a backend.
pub(super) struct Http2Connection {
    requests: SendRequest<Bytes>,
    state: Rc<State>,
    /// Whom it goes to.
    pub peer: Peer,
    since: Instant,
}

/// What requests and the connection's task tell each other.
#[derive(Default)]
struct State {
    open: Cell<usize>,
    /// It has taken a request.
    used: Cell<bool>,
    ended: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

/// The place of one request among those of its connection.
pub(super) struct Slot(Rc<State>);

impl Slot {
    fn new(state: &Rc<State>) -> Self {
        state.open.set(state.open.get() + 1);
        state.used.set(true);
        state.wake();
        Self(Rc::clone(state))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.wake();
    }
}

impl State {
    /// The clocks of an idle connection and of one in use are not the same.
    fn wake(&self) {
        if self.open.get() <= 1
            && let Some(waker) = &*self.driver.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

/// Until the backend has said how many streams it takes, this stands for it.
const UNTOLD: usize = 0x7A11_0000;

/// Unread bytes of one answer. Together they are not limited: a client that reads slowly must not hold up the answers of
/// others that share its connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1 << 30;

impl Http2Connection {
    /// Greets the backend and waits for its greeting: one that does not speak HTTP/2 is found out before anything is sent.
    pub async fn handshake(
        stream: Metered,
        limits: &ClientLimits,
        within: Duration,
    ) -> Result<Self, SendError> {
        let (meter, peer) = (Rc::clone(&stream.meter), stream.peer);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(UNTOLD)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limits.response_head).unwrap_or(u32::MAX));
        let greeting = async {
            let (requests, mut connection) = builder.handshake(stream).await?;
            poll_fn(|context| {
                let ended = Pin::new(&mut connection).poll(context);
                match ended {
                    _ if requests.current_max_send_streams() != UNTOLD => Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await?;
            Ok::<_, h2::Error>((requests, connection))
        };
        let (requests, connection) = match timeout(within, greeting).await {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => {
                let message = format!("the backend does not answer as HTTP/2: {error}");
                return Err(unsent(SendErrorKind::Connect, message));
            }
            Err(_) => {
                return Err(unsent(
                    SendErrorKind::ConnectTimeout,
                    "no HTTP/2 in time".to_owned(),
                ));
            }
        };
        let state = Rc::<State>::default();
        let clocks = Clocks {
            idle: limits.http2_idle,
            ping: limits.http2_ping,
        };
        tokio::task::spawn_local(drive(connection, meter, Rc::clone(&state), clocks));
        Ok(Self {
            requests,
            state,
            peer,
            since: Instant::now(),
        })
    }

    /// Whether it takes requests at all.
    pub fn is_alive(&self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.state.ended.get()
            && !matches!(self.requests.clone().poll_ready(&mut nobody), Poll::Ready(Err(_)))
    }

    /// Whether it has served for so long. One that has just been made serves whatever the age.
    pub fn is_older_than(&self, age: Duration) -> bool {
        self.state.used.get() && self.since.elapsed() > age
    }

    /// How many requests more the backend takes at once.
    pub fn room(&self) -> usize {
        self.requests
            .current_max_send_streams()
            .saturating_sub(self.state.open.get())
    }

    pub fn load(&self) -> usize {
        self.state.open.get()
    }

    pub fn slot(&self) -> Slot {
        Slot::new(&self.state)
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn exchange(
        &self,
        slot: Slot,
        request: http::Request<Outgoing>,
        upload: Option<Rc<Upload>>,
        times: &Times,
        watch: Option<Box<dyn Watch>>,
    ) -> Result<http::Response<Http2Body>, SendFailure> {
        let (head, body) = request.into_parts();
        let ends = body.is_end_stream();
        let is_head = head.method == http::Method::HEAD;
        let sent = self
            .requests
            .clone()
            .send_request(http::Request::from_parts(head, ()), ends);
        let (mut answer, stream) = match sent {
            Ok(sent) => sent,
            Err(error) => {
                drop(body);
                let mut error = send_error(&error);
                error.reached = Reached::NothingSent;
                return Err(SendFailure { error, watch });
            }
        };
        let mut sending = (!ends).then(|| Sending { body, stream });
        let mut deadline = Instant::now() + times.response;
        let mut alarm = Alarm::default();
        let outcome = poll_fn(|context| {
            if let Some(going) = &mut sending
                && Pin::new(going).poll(context).is_ready()
            {
                sending = None;
            }
            if let Some(error) = upload.as_ref().and_then(|upload| upload.error.borrow().clone()) {
                return Poll::Ready(Err(upload_error(error, &begun())));
            }
            if let Poll::Ready(answer) = Pin::new(&mut answer).poll(context) {
                return Poll::Ready(answer.map_err(|error| send_error(&error)));
            }
            loop {
                if alarm.poll(context, deadline).is_pending() {
                    return Poll::Pending;
                }
                // A long upload that still moves is not a slow answer.
                match upload.as_ref().and_then(|upload| upload.progress.get()) {
                    Some(progress) if progress + times.response > deadline => {
                        deadline = progress + times.response;
                    }
                    _ => {
                        return Poll::Ready(Err(SendError {
                            kind: SendErrorKind::Timeout,
                            message: format!("no answer within {} ms", times.response.as_millis()),
                            reached: Reached::Unknown,
                        }));
                    }
                }
            }
        })
        .await;
        let response = match outcome {
            Ok(response) => response,
            Err(error) => return Err(SendFailure { error, watch }),
        };
        let uploading = sending.map(|sending| tokio::task::spawn_local(sending).abort_handle());
        Ok(response.map(|incoming| {
            Http2Body::new(incoming, is_head, slot, uploading, upload, times.body_gap, watch)
        }))
    }
}

/// A request without an answer; nobody was told of it yet.
pub(super) struct SendFailure {
    pub error: SendError,
    pub watch: Option<Box<dyn Watch>>,
}

fn unsent(kind: SendErrorKind, message: String) -> SendError {
    SendError {
        kind,
        message,
        reached: Reached::NothingSent,
    }
}

/// The state of a connection on which a request has begun.
fn begun() -> Meter {
    let meter = Meter::default();
    meter.written.set(1);
    meter
}

struct Clocks {
    idle: Duration,
    ping: Duration,
}

/// How long a ping may stay unanswered.
const PONG: Duration = Duration::from_secs(20);

/// Drives a connection to its end. While requests are open, a backend that says nothing for long is asked whether it is
/// there: seldom, as many gRPC servers end the connections of those who ask more often than every five minutes.
async fn drive(
    mut connection: Connection<Metered, Bytes>,
    meter: Rc<Meter>,
    state: Rc<State>,
    clocks: Clocks,
) {
    let mut pings = connection.ping_pong();
    let mut alarm = Alarm::default();
    let mut heard = (meter.read.get(), Instant::now());
    let mut asked = None;
    let mut idle_since = Some(Instant::now());
    let outcome = poll_fn(|context| {
        *state.driver.borrow_mut() = Some(context.waker().clone());
        if let Poll::Ready(outcome) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(outcome);
        }
        if let Some(pings) = &mut pings
            && asked.is_some()
            && pings.poll_pong(context).is_ready()
        {
            asked = None;
        }
        let now = Instant::now();
        if meter.read.get() != heard.0 {
            heard = (meter.read.get(), now);
        }
        if state.open.get() == 0 {
            let since = *idle_since.get_or_insert(now);
            return alarm.poll(context, since + clocks.idle).map(|()| Ok(()));
        }
        if let Some(idle) = idle_since.take() {
            heard.1 = heard.1.max(idle).max(now);
        }
        loop {
            let deadline = match asked {
                Some(asked) => asked + PONG,
                None => heard.1 + clocks.ping,
            };
            if alarm.poll(context, deadline).is_pending() {
                return Poll::Pending;
            }
            match &mut pings {
                Some(pings) if asked.is_none() => {
                    if pings.send_ping(Ping::opaque()).is_err() {
                        return Poll::Ready(Ok(()));
                    }
                    asked = Some(Instant::now());
                    // Sends it, and notes who is to hear of the answer.
                    if let Poll::Ready(outcome) = Pin::new(&mut connection).poll(context) {
                        return Poll::Ready(outcome);
                    }
                    if pings.poll_pong(context).is_ready() {
                        asked = None;
                        heard.1 = Instant::now();
                    }
                }
                _ => {
                    tracing::debug!("an HTTP/2 backend does not answer a ping");
                    return Poll::Ready(Ok(()));
                }
            }
        }
    })
    .await;
    state.ended.set(true);
    if let Err(error) = outcome {
        tracing::debug!(%error, "an HTTP/2 connection to a backend ended");
    }
}

/// The body of a request on its way; takes no more of it than the backend has room for.
struct Sending {
    body: Outgoing,
    stream: SendStream<Bytes>,
}

impl Future for Sending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { body, stream } = &mut *self;
        loop {
            // A backend that wants no more says so by a reset, or by its answer.
            if stream.poll_reset(context).is_ready() {
                return Poll::Ready(());
            }
            if stream.capacity() == 0 {
                stream.reserve_capacity(1);
                match stream.poll_capacity(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(0))) => continue,
                    Poll::Ready(Some(Ok(_))) => (),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                }
            }
            let sent = match Pin::new(&mut *body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    drop(stream.send_data(Bytes::new(), true));
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Err(_))) => {
                    // Whoever waits for the answer reads what it was in the upload.
                    stream.send_reset(h2::Reason::CANCEL);
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        let last = body.is_end_stream();
                        stream.send_data(data, last).map(|()| last)
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => stream.send_trailers(trailers).map(|()| true),
                        Err(_) => continue,
                    },
                },
            };
            match sent {
                Ok(false) => (),
                Ok(true) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// The body of an answer over HTTP/2. Dropped before its end, it cancels the request.
pub(super) struct Http2Body {
    incoming: RecvStream,
    /// What the head promises and has not come yet.
    left: Option<u64>,
    data_ended: bool,
    ended: bool,
    open: Option<Slot>,
    uploading: Option<AbortHandle>,
    upload: Option<Rc<Upload>>,
    gap: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    watch: Option<Box<dyn Watch>>,
}

impl Http2Body {
    fn new(
        incoming: RecvStream,
        is_head: bool,
        slot: Slot,
        uploading: Option<AbortHandle>,
        upload: Option<Rc<Upload>>,
        gap: Duration,
        watch: Option<Box<dyn Watch>>,
    ) -> Self {
        let ended = is_head || incoming.is_end_stream();
        let mut body = Self {
            incoming,
            left: None,
            data_ended: false,
            ended,
            open: Some(slot),
            uploading,
            upload,
            gap,
            waiting_since: None,
            alarm: Alarm::default(),
            watch,
        };
        if ended {
            body.finish();
        }
        body
    }

    /// What the head says of the length.
    pub fn expect(&mut self, length: Option<u64>) {
        if !self.ended {
            self.left = length;
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        self.watch = None;
        self.open = None;
        // The answer is whole; what is left of the request interests nobody any more.
        if let Some(uploading) = self.uploading.take() {
            uploading.abort();
        }
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match self.incoming.poll_data(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    let length = data.len();
                    // It fails only on a stream that is gone, and then the next read says so.
                    drop(self.incoming.flow_control().release_capacity(length));
                    self.left = self.left.map(|left| left.saturating_sub(length as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // An answer that is whole, and a backend that wants no more of the request.
                Poll::Ready(Some(Err(error)))
                    if error.reason() == Some(h2::Reason::NO_ERROR)
                        && error.is_reset()
                        && self.left.unwrap_or(0) == 0 =>
                {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => self.data_ended = true,
            }
        }
        match self.incoming.poll_trailers(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(mut trailers))) => {
                hop::strip_trailers(&mut trailers);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(None),
            Poll::Ready(Err(error)) if error.reason() == Some(h2::Reason::NO_ERROR) && error.is_reset() => {
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
        }
    }

    fn broken(&mut self, error: &h2::Error) -> StreamError {
        if let Some(own) = self
            .upload
            .as_ref()
            .and_then(|upload| upload.error.borrow().clone())
        {
            // The request broke off and took the answer with it: nothing the backend did.
            self.watch = None;
            return own;
        }
        let (kind, message) = match (error.reason(), error.is_remote()) {
            (Some(reason), true) if error.is_reset() => (
                StreamErrorKind::Reset(reason.into()),
                format!("the backend broke its answer off: {}", reason.description()),
            ),
            (Some(_), false) => (
                StreamErrorKind::Malformed,
                format!("the answer's body is not valid: {error}"),
            ),
            _ => (
                StreamErrorKind::Closed,
                "the backend broke its answer off".to_owned(),
            ),
        };
        let error = StreamError::new(StreamOrigin::Backend, kind, message);
        tell(&mut self.watch, &error);
        error
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        match this.poll_incoming(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting_since = None;
                if frame.is_trailers() || this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = this.broken(&error);
                this.finish();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                let since = *this.waiting_since.get_or_insert_with(Instant::now);
                if this.alarm.poll(context, since + this.gap).is_pending() {
                    return Poll::Pending;
                }
                let error = stalled(this.gap);
                tell(&mut this.watch, &error);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.ended => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let Some(uploading) = self.uploading.take() {
            uploading.abort();
        }
    }
}

fn send_error(error: &h2::Error) -> SendError {
    let (kind, reached) = match error.reason() {
        // A backend that refuses a stream, or goes away before it, promises not to have looked at it (RFC 9113 8.7).
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => (
            SendErrorKind::Reset(h2::Reason::REFUSED_STREAM.into()),
            Reached::NothingSent,
        ),
        Some(_) if error.is_remote() && error.is_go_away() => (SendErrorKind::Closed, Reached::NothingSent),
        Some(reason) if error.is_remote() && error.is_reset() => {
            (SendErrorKind::Reset(reason.into()), Reached::Unknown)
        }
        Some(_) => (SendErrorKind::Protocol, Reached::Unknown),
        None if error.is_io() => (SendErrorKind::Closed, Reached::Unknown),
        None => (SendErrorKind::Send, Reached::NothingSent),
    };
    SendError {
        kind,
        message: error.to_string(),
        reached,
    }
}
