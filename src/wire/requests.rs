//! What a client sends over one connection of HTTP/1: request after request, the body of each, and its leaving.
//!
//! One whole, checked head is let in at a time. A body that is here with its head goes in as bytes; any other is read from the socket by
//! whoever wants it, so that it is held back where it is not wanted.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::chunked::{Checked, split};
use super::connection::Connection;
use super::head::{Head, HeadScanner, Refusal, Request};
use super::limits::ServerLimits;
use super::listen::Worker;
use super::patient::Patient;
use super::sending::Framing;
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};

pub(super) struct Requests<T> {
    pub stream: Patient<T>,
    connection: Rc<Connection>,
    worker: Rc<Worker>,
    limits: Arc<ServerLimits>,
    /// What was read and belongs to nobody yet.
    read: BytesMut,
    scanner: HeadScanner,
    coming: Coming,
    /// Somebody has the body of the current request, and may read it.
    lent: bool,
    /// Who waits for more of it.
    reader: Option<Waker>,
    /// What the client still has to be told before it sends its body.
    invitation: &'static [u8],
    /// How much of a body is asked of the stream at once; grows while it comes so fast.
    reading: usize,
    /// The client has ended its side.
    ended: bool,
    /// Since when the current wait lasts; how long it may last depends on what is waited for.
    since: Instant,
    /// When the current body has to be here.
    deadline: Instant,
    /// Since when more of it is waited for.
    waiting_since: Option<Instant>,
    /// Nothing has been let in yet.
    first: bool,
    drained_since: Option<Instant>,
    alarm: Alarm,
}

/// What is still to come of the current request.
enum Coming {
    Nothing,
    Length(u64),
    Chunked(Box<Checked>),
    /// It broke off, or nobody is to have it any more.
    Broken,
}

/// What comes next of a client.
pub(super) enum Next {
    Request(Head, Request),
    Refused(Refusal),
    /// No further request.
    End,
}

const INVITATION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a read of a body asks for at first, and at most.
const READ: Range<usize> = 16 * 1024..256 * 1024;

/// Enough to see further requests of a client that pipelines, and its leaving behind them.
const READ_AHEAD: usize = 16 * 1024;

/// Up to here a body that nobody reads is read and thrown away; beyond it the connection is closed instead.
pub(super) const SMALL_BODY: u64 = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Requests<T> {
    /// `read` was taken from the socket already; the clock of the first bytes began at `since`.
    pub fn new(
        stream: T,
        read: BytesMut,
        since: Instant,
        connection: Rc<Connection>,
        worker: Rc<Worker>,
    ) -> Self {
        let limits = Arc::clone(worker.limits());
        Self {
            stream: Patient::new(stream, limits.write_gap),
            connection,
            worker,
            limits,
            read,
            scanner: HeadScanner::default(),
            coming: Coming::Nothing,
            lent: false,
            reader: None,
            invitation: b"",
            reading: READ.start,
            ended: false,
            since,
            deadline: since,
            waiting_since: None,
            first: true,
            drained_since: None,
            alarm: Alarm::default(),
        }
    }

    /// The stream, and what was read ahead of it.
    pub fn into_parts(self) -> (T, BytesMut) {
        (self.stream.into_inner(), self.read)
    }

    /// The client has ended its side.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// There is something of the client that nobody has read.
    pub fn is_unread(&mut self) -> bool {
        !self.read.is_empty() || self.left() > 0
    }

    // Heads

    /// Reads the next head, within its time.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            if !self.read.is_empty() {
                match self.scanner.advance(&self.read, &self.limits) {
                    Err(refusal) => return Poll::Ready(Next::Refused(refusal)),
                    Ok(Some(head)) => return Poll::Ready(self.begin(head)),
                    Ok(None) => (),
                }
            }
            if self.ended {
                return Poll::Ready(Next::End);
            }
            match self.poll_ahead(context) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Next::End),
                // The clock of the headers begins with their first byte.
                Poll::Ready(Ok(count)) if count == self.read.len() => self.since = Instant::now(),
                Poll::Ready(Ok(_)) => (),
                Poll::Pending => {
                    ready!(self.poll_patience(context));
                    let late = "the headers did not come in time";
                    return Poll::Ready(match self.read.is_empty() {
                        true => Next::End,
                        false => Next::Refused(Refusal::new(StatusCode::REQUEST_TIMEOUT, late)),
                    });
                }
            }
        }
    }

    /// A head is whole and sound: it and the body behind it are the current request.
    fn begin(&mut self, head: Head) -> Next {
        let bytes = match self.read.len() == head.length {
            true => std::mem::take(&mut self.read),
            false => self.read.split_to(head.length),
        };
        let request = match std::mem::take(&mut self.scanner).request(&bytes.freeze()) {
            Ok(request) => request,
            Err(refusal) => return Next::Refused(refusal),
        };
        self.first = false;
        self.since = Instant::now();
        self.deadline = self.since + self.limits.whole_body;
        self.waiting_since = None;
        self.coming = match head.framing {
            Framing::Length(0) => Coming::Nothing,
            Framing::Length(length) => Coming::Length(length),
            Framing::Chunked | Framing::UntilClosed => {
                Coming::Chunked(Box::new(Checked::new(self.limits.streamed_body)))
            }
        };
        self.invitation = match head.expects && self.read.is_empty() && !self.is_whole() {
            true => INVITATION,
            false => b"",
        };
        Next::Request(head, request)
    }

    /// How long the next head may be waited for.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limits = &self.limits;
        let mut deadline = self.since
            + match (self.read.is_empty(), self.first) {
                (false, _) => limits.headers_complete,
                (true, true) => limits.first_bytes,
                (true, false) => limits.keep_alive_idle,
            };
        if self.connection.is_draining() && self.read.is_empty() {
            let since = *self.drained_since.get_or_insert_with(Instant::now);
            deadline = deadline.min(since + limits.drain_idle);
        }
        self.alarm.poll(context, deadline)
    }

    /// Reads what comes, into no more room than it takes: most connections are idle for most of their time. Zero is the end.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = self.worker.rooms().read().borrow_mut();
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let came = buffer.filled();
        match self.read.is_empty() {
            true => self.read = BytesMut::from(came),
            false => self.read.extend_from_slice(came),
        }
        self.ended = came.is_empty();
        Poll::Ready(Ok(came.len()))
    }

    // Bodies

    /// The body of the current request.
    pub fn body(line: &Rc<RefCell<Self>>) -> ByteStream
    where
        T: 'static,
    {
        let mut this = line.borrow_mut();
        match this.coming {
            Coming::Nothing => return ByteStream::empty(),
            Coming::Length(length) if this.read.len() as u64 >= length => {
                this.coming = Coming::Nothing;
                return ByteStream::from(split(&mut this.read, length));
            }
            _ => (),
        }
        this.lent = true;
        ByteStream::new(RequestBody(Rc::clone(line)))
    }

    fn is_whole(&self) -> bool {
        matches!(self.coming, Coming::Nothing)
    }

    /// How much of the current body is still to come from the socket; `u64::MAX` when nobody knows.
    pub fn left(&mut self) -> u64 {
        match &mut self.coming {
            Coming::Nothing => 0,
            Coming::Length(left) => left.saturating_sub(self.read.len() as u64),
            Coming::Chunked(chunked) => {
                chunked.check(&mut self.read);
                match chunked.is_checked() {
                    true => 0,
                    false => u64::MAX,
                }
            }
            Coming::Broken => u64::MAX,
        }
    }

    /// An answer begins. Whoever was not invited to send a body will not be, and what follows cannot be known to be that body or not.
    /// What is left of an invitation that is half out goes in front of the answer.
    pub fn uninvite(&mut self) -> (bool, &'static [u8]) {
        let invitation = std::mem::take(&mut self.invitation);
        match invitation.len() == INVITATION.len() {
            true => (true, b""),
            false => (false, invitation),
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        loop {
            match self.frame() {
                Ok(Some(frame)) => {
                    self.since = Instant::now();
                    if self.is_whole() {
                        self.connection.wake_from(context);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if self.is_whole() => {
                    self.connection.wake_from(context);
                    return Poll::Ready(None);
                }
                Ok(None) => (),
                Err((kind, reason)) => return self.breaks(context, kind, reason),
            }
            while !self.invitation.is_empty() {
                match ready!(Pin::new(&mut self.stream).poll_write(context, self.invitation)) {
                    Ok(count) => self.invitation = &self.invitation[count..],
                    Err(error) => return self.breaks(context, StreamErrorKind::Closed, error.to_string()),
                }
                // Whatever is to be said about that is said by reading.
                drop(Pin::new(&mut self.stream).poll_flush(context));
            }
            if self.read.capacity() - self.read.len() < self.reading / 4 {
                self.read.reserve(self.reading);
            }
            let room = self.read.capacity() - self.read.len();
            match pin!(self.stream.read_buf(&mut self.read)).poll(context) {
                Poll::Ready(Ok(0)) => {
                    self.ended = true;
                    let left = "the client left before the body was whole";
                    return self.breaks(context, StreamErrorKind::Closed, left);
                }
                Poll::Ready(Ok(count)) => {
                    self.waiting_since = None;
                    if count == room {
                        self.reading = (self.reading * 2).min(READ.end);
                    }
                }
                Poll::Ready(Err(error)) => {
                    return self.breaks(context, StreamErrorKind::Closed, error.to_string());
                }
                Poll::Pending => {
                    let since = *self.waiting_since.get_or_insert_with(Instant::now);
                    let deadline = self.deadline.min(since + self.limits.body_gap);
                    if self.alarm.poll(context, deadline).is_ready() {
                        let late = "the body did not come in time";
                        return self.breaks(context, StreamErrorKind::TimedOut, late);
                    }
                    if !matches!(&self.reader, Some(reader) if reader.will_wake(context.waker())) {
                        self.reader = Some(context.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// What has been read already.
    fn frame(&mut self) -> Result<Option<Frame<Bytes>>, (StreamErrorKind, String)> {
        match &mut self.coming {
            Coming::Nothing => Ok(None),
            Coming::Length(left) => {
                let data = split(&mut self.read, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    self.coming = Coming::Nothing;
                }
                Ok((!data.is_empty()).then(|| Frame::data(data)))
            }
            Coming::Chunked(chunked) => {
                chunked.check(&mut self.read);
                let frame = chunked.frame()?;
                if chunked.is_read() {
                    self.coming = Coming::Nothing;
                }
                Ok(frame)
            }
            Coming::Broken => Err((
                StreamErrorKind::Closed,
                "the connection with the client has ended".to_owned(),
            )),
        }
    }

    fn breaks(
        &mut self,
        context: &Context<'_>,
        kind: StreamErrorKind,
        reason: impl Into<String>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.coming = Coming::Broken;
        self.connection.wake_from(context);
        let reason = format!("the request's body broke off: {}", reason.into());
        Poll::Ready(Some(Err(StreamError::new(StreamOrigin::Client, kind, reason))))
    }

    // Between an answer and the next request

    /// While an answer is being made: reads ahead a little, to learn whether anybody still waits for it. Ready when nobody does.
    pub fn poll_leaving(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_whole() && (self.lent || self.throw_away(context).is_pending() || !self.is_whole()) {
            return Poll::Pending;
        }
        while !self.ended && self.read.len() < READ_AHEAD {
            match ready!(self.poll_ahead(context)) {
                Err(_) => return Poll::Ready(()),
                Ok(0) if self.since.elapsed() > self.limits.half_close_window => return Poll::Ready(()),
                Ok(_) => (),
            }
        }
        Poll::Pending
    }

    /// After an answer: may there be another request? What is left of the body is read by whoever has it, or thrown away.
    pub fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.is_whole() {
            if self.lent {
                ready!(self.alarm.poll(context, self.deadline));
                return Poll::Ready(false);
            }
            ready!(self.throw_away(context));
        }
        if self.read.is_empty() {
            // What a long body made large is not kept while nobody asks for anything.
            self.read = BytesMut::new();
            self.reading = READ.start;
        }
        self.since = Instant::now();
        Poll::Ready(self.is_whole())
    }

    /// Reads a small body that nobody wants.
    fn throw_away(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let invited = self.invitation.is_empty();
        while invited && !self.is_whole() && self.left() <= SMALL_BODY {
            if let None | Some(Err(_)) = ready!(self.poll_frame(context)) {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Whoever still reads is told that there will be no more.
    pub fn give_up(&mut self) {
        if !self.is_whole() {
            self.coming = Coming::Broken;
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The body of a request as whoever wants it reads it.
struct RequestBody<T: AsyncRead + AsyncWrite + Unpin>(Rc<RefCell<Requests<T>>>);

impl<T: AsyncRead + AsyncWrite + Unpin> Body for RequestBody<T> {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.0.borrow_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.borrow().coming {
            Coming::Nothing => SizeHint::with_exact(0),
            Coming::Length(left) => SizeHint::with_exact(left),
            Coming::Chunked(_) | Coming::Broken => SizeHint::default(),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Drop for RequestBody<T> {
    fn drop(&mut self) {
        let mut requests = self.0.borrow_mut();
        requests.lent = false;
        requests.reader = None;
        if !requests.is_whole() {
            requests.connection.wake();
        }
    }
}

/// The two directions of a client's stream, for as long as each is asked: whoever reads a body may do so between two writes of its answer.
pub(super) struct Ends<'a, T>(pub &'a RefCell<Requests<T>>);

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Ends<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Ends<'_, T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_shutdown(context)
    }
}
