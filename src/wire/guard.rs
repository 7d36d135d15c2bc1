//! The stream between a client's socket and the HTTP library: lets one whole, checked request through at a time, keeps
//! the clock, and notices a client that leaves.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::alarm::Alarm;
use super::head::{Chunks, Framing, Head, HeadScanner, Refusal};
use super::limits::ServerLimits;
use crate::message::body::{StreamError, StreamErrorKind, StreamOrigin};

/// What the stream and the service of one connection tell each other.
#[derive(Default)]
pub(super) struct Connection {
    /// A request was let through and its answer is not out yet.
    busy: Cell<bool>,
    /// The answer was handed over; once it is flushed the next request may come.
    answered: Cell<bool>,
    /// Bytes of the current request's body still to come from the socket; `u64::MAX` when nobody knows.
    body_left: Cell<u64>,
    draining: Cell<bool>,
    refusal: Cell<Option<Refusal>>,
    /// What comes from now on is not HTTP.
    switched: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// To be called when the answer to the current request has been handed over whole, or given up.
    pub fn answered(&self) {
        self.answered.set(true);
    }

    pub fn body_left(&self) -> u64 {
        self.body_left.get()
    }

    /// To be called before the client is told that another protocol is spoken from now on.
    pub fn switch(&self) {
        self.switched.set(true);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Asks the connection to end after what it is doing.
    pub fn drain(&self) {
        self.draining.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Remembers whom to wake.
    pub fn watch(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }
}

pub(super) struct Guard<S> {
    stream: S,
    connection: Rc<Connection>,
    limits: Arc<ServerLimits>,
    phase: Phase,
    /// Bytes from the socket that the library has not been given yet.
    held: BytesMut,
    /// The client has ended its side.
    ended: bool,
    /// Since when the current wait lasts; how long it may last depends on the phase.
    since: Instant,
    /// Nothing has been let through yet.
    first: bool,
    drained_since: Option<Instant>,
    alarm: Alarm,
    write_alarm: Alarm,
    write_blocked_since: Option<Instant>,
}

enum Phase {
    Head(HeadScanner),
    Body {
        rest: Rest,
        deadline: Instant,
    },
    /// The body is broken, and the reader is to be told once.
    Broken(Option<StreamError>),
    Refused,
    Http2(FrameMeter),
}

/// What of a message may still pass.
#[derive(Clone, Copy)]
enum Rest {
    Length(u64),
    Chunked { head: usize, chunks: Chunks },
}

impl Rest {
    fn of(head: Head) -> Self {
        match head.framing {
            Framing::Length(length) => Rest::Length(head.length as u64 + length),
            Framing::Chunked => Rest::Chunked {
                head: head.length,
                chunks: Chunks::new(),
            },
        }
    }

    /// Takes what belongs to the message, and says how many bytes those were and what is wrong behind them.
    fn advance(
        &mut self,
        bytes: &[u8],
        limits: &ServerLimits,
    ) -> (usize, Option<(StreamErrorKind, &'static str)>) {
        match self {
            Rest::Length(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *left -= taken;
                (taken as usize, None)
            }
            Rest::Chunked { head, chunks } => {
                let of_head = (*head).min(bytes.len());
                *head -= of_head;
                let (taken, problem) = chunks.advance(&bytes[of_head..]);
                if limits.streamed_body > 0 && chunks.data > limits.streamed_body {
                    // None of these bytes: the end of the body may be among them, and it would look whole.
                    return (of_head, Some((StreamErrorKind::TooLarge, "the body is too long")));
                }
                let problem = problem.map(|problem| (StreamErrorKind::Malformed, problem));
                (of_head + taken, problem)
            }
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Rest::Length(left) => *left == 0,
            Rest::Chunked { chunks, .. } => chunks.is_done(),
        }
    }
}

/// Enough to see further requests of a client that pipelines, and its leaving behind them.
const READ_AHEAD: usize = 16 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// `read` was taken from the socket already; the clock of the first bytes began at `since`.
    pub fn http1(
        stream: S,
        read: BytesMut,
        since: Instant,
        connection: Rc<Connection>,
        limits: Arc<ServerLimits>,
    ) -> Self {
        Self::new(
            stream,
            read,
            since,
            connection,
            limits,
            Phase::Head(HeadScanner::default()),
        )
    }

    pub fn http2(stream: S, read: BytesMut, connection: Rc<Connection>, limits: Arc<ServerLimits>) -> Self {
        let meter = Phase::Http2(FrameMeter::new(Instant::now()));
        Self::new(stream, read, Instant::now(), connection, limits, meter)
    }

    fn new(
        stream: S,
        read: BytesMut,
        since: Instant,
        connection: Rc<Connection>,
        limits: Arc<ServerLimits>,
        phase: Phase,
    ) -> Self {
        Self {
            stream,
            connection,
            limits,
            phase,
            held: read,
            ended: false,
            since,
            first: true,
            drained_since: None,
            alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            write_blocked_since: None,
        }
    }

    /// The stream, and what was read ahead of it.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.held)
    }

    /// Ends the connection: tells why if it was refused, and waits a little so that the client can read what it got.
    pub async fn close(mut self) {
        let refusal = self.connection.refusal.take();
        let unread = refusal.is_some() || !self.held.is_empty() || self.connection.body_left() > 0;
        if let Some(refusal) = refusal {
            let answer = refusal_text(refusal);
            match timeout(self.limits.linger, self.stream.write_all(answer.as_bytes())).await {
                Ok(Ok(())) => (),
                Ok(Err(_)) | Err(_) => return,
            }
        }
        let patience = if unread && !self.ended {
            self.limits.linger
        } else {
            Duration::ZERO
        };
        linger(&mut self.stream, patience).await;
    }

    fn refuse(&mut self, refusal: Refusal) -> Poll<io::Result<()>> {
        tracing::debug!(
            status = refusal.status.as_u16(),
            reason = refusal.reason,
            "refused a request"
        );
        self.connection.refusal.set(Some(refusal));
        self.phase = Phase::Refused;
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.connection.switched.get() {
            return Poll::Pending;
        }
        if self.connection.busy.get() {
            return self.poll_leaving(context);
        }
        loop {
            let Phase::Head(scanner) = &mut self.phase else {
                return Poll::Ready(Ok(()));
            };
            if !self.held.is_empty() {
                match scanner.advance(&self.held, &self.limits) {
                    Err(refusal) => return self.refuse(refusal),
                    Ok(Some(head)) => {
                        self.begin(head);
                        return self.poll_body(context, buffer);
                    }
                    Ok(None) => (),
                }
            }
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(context, buffer) {
                Poll::Pending => {
                    ready!(self.poll_patience(context));
                    if self.held.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    let late = "the headers did not come in time";
                    return self.refuse(Refusal::new(StatusCode::REQUEST_TIMEOUT, late));
                }
                Poll::Ready(result) => result?,
            }
            let fresh = &buffer.filled()[before..];
            if fresh.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            if self.held.is_empty() {
                match scanner.advance(fresh, &self.limits) {
                    Err(refusal) => {
                        buffer.set_filled(before);
                        return self.refuse(refusal);
                    }
                    Ok(Some(head)) => {
                        self.begin(head);
                        return self.pass(buffer, before);
                    }
                    // The clock of the headers begins with their first byte.
                    Ok(None) => self.since = Instant::now(),
                }
            }
            self.held.extend_from_slice(&buffer.filled()[before..]);
            buffer.set_filled(before);
        }
    }

    /// A head is whole and sound: it and the body behind it may pass.
    fn begin(&mut self, head: Head) {
        self.connection.busy.set(true);
        self.connection.body_left.set(match head.framing {
            Framing::Length(length) => length,
            Framing::Chunked => u64::MAX,
        });
        self.first = false;
        self.since = Instant::now();
        self.phase = Phase::Body {
            rest: Rest::of(head),
            deadline: self.since + self.limits.whole_body,
        };
    }

    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let count = held.len().min(buffer.remaining());
            let taken = self.advance(&held[..count]);
            buffer.put_slice(&held[..taken]);
            held.advance(taken);
            self.held = held;
            return self.passed(taken);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => {
                let Phase::Body { deadline, .. } = self.phase else {
                    return Poll::Pending;
                };
                if self
                    .alarm
                    .poll(context, deadline.min(self.since + self.limits.body_gap))
                    .is_pending()
                {
                    return Poll::Pending;
                }
                self.break_body(StreamErrorKind::TimedOut, "the body did not come in time")
            }
            Poll::Ready(Err(error)) => self.break_body(StreamErrorKind::Closed, error.to_string()),
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                self.ended = true;
                self.break_body(
                    StreamErrorKind::Closed,
                    "the client left before the body was whole",
                )
            }
            Poll::Ready(Ok(())) => {
                self.since = Instant::now();
                self.pass(buffer, before)
            }
        }
    }

    /// Gives the library what belongs to the current message of what was read behind `before`, and keeps the rest.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> Poll<io::Result<()>> {
        let taken = self.advance(&buffer.filled()[before..]);
        let rest = &buffer.filled()[before + taken..];
        if !rest.is_empty() {
            self.held.extend_from_slice(rest);
            buffer.set_filled(before + taken);
        }
        self.passed(taken)
    }

    /// How many of these bytes belong to the current message.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        let Phase::Body { rest, .. } = &mut self.phase else {
            return 0;
        };
        let (taken, problem) = rest.advance(bytes, &self.limits);
        let done = rest.is_done();
        self.connection.body_left.set(match rest {
            Rest::Length(left) => *left,
            Rest::Chunked { .. } if done => 0,
            Rest::Chunked { .. } => u64::MAX,
        });
        if let Some((kind, message)) = problem {
            self.phase = Phase::Broken(Some(StreamError::new(StreamOrigin::Client, kind, message)));
        } else if done {
            self.phase = Phase::Head(HeadScanner::default());
        }
        taken
    }

    /// No bytes would look like the end; a broken body says so at once then.
    fn passed(&mut self, taken: usize) -> Poll<io::Result<()>> {
        match &mut self.phase {
            Phase::Broken(error) if taken == 0 => match error.take() {
                Some(error) => Poll::Ready(Err(io::Error::other(error))),
                None => Poll::Ready(Ok(())),
            },
            _ => Poll::Ready(Ok(())),
        }
    }

    fn break_body(&mut self, kind: StreamErrorKind, message: impl Into<String>) -> Poll<io::Result<()>> {
        self.phase = Phase::Broken(None);
        Poll::Ready(Err(io::Error::other(StreamError::new(
            StreamOrigin::Client,
            kind,
            message,
        ))))
    }

    /// While an answer is being made: reads ahead a little, to learn whether anybody still waits for it.
    fn poll_leaving(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.held.len() < READ_AHEAD {
            let mut space = [const { MaybeUninit::<u8>::uninit() }; 2048];
            let mut ahead = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut ahead))?;
            self.held.extend_from_slice(ahead.filled());
            if ahead.filled().is_empty() {
                self.ended = true;
                if self.since.elapsed() > self.limits.half_close_window {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "the client left",
                    )));
                }
            }
        }
        Poll::Pending
    }

    /// How long the next head may be waited for.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limits = &self.limits;
        let mut deadline = self.since
            + match (self.held.is_empty(), self.first) {
                (false, _) => limits.headers_complete,
                (true, true) => limits.first_bytes,
                (true, false) => limits.keep_alive_idle,
            };
        if self.connection.is_draining() && self.held.is_empty() {
            let since = *self.drained_since.get_or_insert_with(Instant::now);
            deadline = deadline.min(since + limits.drain_idle);
        }
        self.alarm.poll(context, deadline)
    }

    /// A client that takes nothing for too long is cut off.
    fn settle_write<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_blocked_since = None;
            return result;
        }
        let since = *self.write_blocked_since.get_or_insert_with(Instant::now);
        ready!(self.write_alarm.poll(context, since + self.limits.write_gap));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing",
        )))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.phase {
            Phase::Head(_) => this.poll_head(context, buffer),
            Phase::Body { .. } => this.poll_body(context, buffer),
            Phase::Broken(error) => match error.take() {
                Some(error) => Poll::Ready(Err(io::Error::other(error))),
                None => Poll::Ready(Ok(())),
            },
            Phase::Refused => Poll::Ready(Ok(())),
            Phase::Http2(meter) => {
                let before = buffer.filled().len();
                if this.held.is_empty() {
                    ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                } else {
                    let count = this.held.len().min(buffer.remaining());
                    buffer.put_slice(&this.held[..count]);
                    this.held.advance(count);
                }
                if !meter.advance(&buffer.filled()[before..], this.limits.http2_control_frames) {
                    let flood = "too many control frames on one connection";
                    tracing::debug!(flood);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)));
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.settle_write(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if let (Phase::Http2(meter), Poll::Ready(Ok(count))) = (&mut self.phase, &result) {
            meter.written += *count as u64;
        }
        self.settle_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The library flushes when it has nothing left to write: then an answer that was handed over is out.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        let connection = &self.connection;
        if connection.answered.get() && connection.busy.get() {
            connection.answered.set(false);
            connection.busy.set(false);
            let more = !self.held.is_empty() || self.ended;
            self.since = Instant::now();
            // The library was told there is nothing to read, and will not look again by itself: neither at what is
            // here already, nor to learn that the client stays silent.
            if more || self.poll_patience(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Over HTTP/1 there may be a refusal to tell after the library is done; `close` shuts down.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.phase {
            Phase::Http2(_) => Pin::new(&mut self.stream).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// An answer written by hand, for a request that nobody is to see.
pub(super) fn refusal_text(refusal: Refusal) -> String {
    let Refusal { status, reason } = refusal;
    let phrase = status.canonical_reason().unwrap_or("Refused");
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n{retry}\
         connection: close\r\n\r\n{reason}\n",
        status.as_u16(),
        reason.len() + 1,
    )
}

/// Ends our side and throws away what still comes: closing at once would reset the connection, and with it what the
/// client has not read yet.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, patience: Duration) {
    if timeout(patience.max(Duration::from_secs(1)), stream.shutdown())
        .await
        .is_err()
        || patience.is_zero()
    {
        return;
    }
    let mut sink = [0; 4096];
    let rest = async { while matches!(stream.read(&mut sink).await, Ok(count) if count > 0) {} };
    if timeout(patience, rest).await.is_err() {
        tracing::debug!("a client went on sending after its answer");
    }
}

/// Counts the control frames of an HTTP/2 connection; the library answers each of them, at any rate.
struct FrameMeter {
    preface: usize,
    header: [u8; 9],
    header_length: usize,
    payload_left: usize,
    window: Instant,
    control: u32,
    window_updates: u64,
    others: u64,
    written: u64,
}

impl FrameMeter {
    fn new(now: Instant) -> Self {
        Self {
            preface: super::serve::PREFACE.len(),
            header: [0; 9],
            header_length: 0,
            payload_left: 0,
            window: now,
            control: 0,
            window_updates: 0,
            others: 0,
            written: 0,
        }
    }

    /// False once there are more than `limit` control frames within a second.
    fn advance(&mut self, mut bytes: &[u8], limit: u32) -> bool {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = (9 - self.header_length).min(bytes.len());
            self.header[self.header_length..self.header_length + wanted].copy_from_slice(&bytes[..wanted]);
            self.header_length += wanted;
            bytes = &bytes[wanted..];
            if self.header_length == 9 {
                self.header_length = 0;
                let [high, middle, low, kind, ..] = self.header;
                self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if !self.count(kind, limit) {
                    return false;
                }
            }
        }
        true
    }

    fn count(&mut self, kind: u8, limit: u32) -> bool {
        match kind {
            // Priority, reset, settings, ping.
            2 | 3 | 4 | 6 => self.control += 1,
            8 => self.window_updates += 1,
            _ => self.others += 1,
        }
        // Window updates go with what was sent either way; only those beyond that are a flood.
        let earned = 2 * self.others + self.written / 2048;
        let surplus = self.window_updates.saturating_sub(earned);
        if u64::from(self.control) + surplus <= u64::from(limit) {
            return true;
        }
        if self.window.elapsed() < Duration::from_secs(1) {
            return false;
        }
        self.window = Instant::now();
        (self.control, self.window_updates, self.others, self.written) = (0, 0, 0, 0);
        true
    }
}
