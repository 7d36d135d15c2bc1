//! HTTP/1.1 as a client speaks it on one connection: a request is written while its answer is read.
//!
//! Nothing here has a task or a waker of its own. Whoever waits on an answer drives both directions, so a request costs no more wake-ups
//! than the backend's answers do, and its head is written from the headers where they are.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::answer_head::{framing, keeps, listed, parse};
use super::chunked::{Chunk, split};
use super::connect::Metered;
use super::sending::{Broken, Framing, Sending, field};
use super::upload::Outgoing;

/// A connection to a backend: at any time at most one request on its way, and one answer.
pub(super) struct Http1 {
    pub stream: Metered,
    /// What was read and belongs to nobody yet.
    read: BytesMut,
    /// How much is asked of the stream at once; grows while answers fill it.
    reading: usize,
    sending: Option<Sending<Outgoing>>,
    answer: Answer,
    is_head: bool,
    /// Neither side has said that it closes after this answer.
    keep: bool,
    /// The head of the answer said nothing of its connection that would have to be taken off it, and its length once and plainly.
    plain: bool,
    head_limit: usize,
}

/// What is expected next of the backend.
#[derive(Debug)]
pub(super) enum Answer {
    /// A head. So many times it was not whole yet.
    Head {
        looked: u32,
    },
    Length(u64),
    Chunked {
        chunk: Chunk,
        extra: usize,
    },
    /// The body goes on until the backend closes.
    UntilClosed,
    /// Nothing: it is whole.
    Whole,
}

/// What a read asks for at first, and at most.
const READ: Range<usize> = 8 * 1024..256 * 1024;

/// So often a head is looked at whenever something comes; after that only when its end has come, as each look begins anew.
const LOOKS: u32 = 8;

impl Http1 {
    pub fn new(stream: Metered, head_limit: usize) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            reading: READ.start,
            sending: None,
            answer: Answer::Whole,
            is_head: false,
            keep: true,
            plain: false,
            head_limit,
        }
    }

    /// The stream, and what came behind the last answer.
    pub fn into_parts(self) -> (Metered, Bytes) {
        (self.stream, self.read.freeze())
    }

    /// Looks, without waiting, whether the backend has closed or said something unasked since the last answer.
    pub fn is_alive(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut space = [MaybeUninit::<u8>::uninit(); 1];
        let mut unasked = ReadBuf::uninit(&mut space);
        self.can_be_kept()
            && Pin::new(&mut self.stream)
                .poll_read(&mut nobody, &mut unasked)
                .is_pending()
    }

    /// Whether another request may follow the answer that has been read.
    pub fn can_be_kept(&self) -> bool {
        self.keep
            && self.is_read()
            && self.is_sent()
            && self.read.is_empty()
            && !self.stream.meter.write_broken.get()
    }

    /// The request has left whole.
    pub fn is_sent(&self) -> bool {
        self.sending.is_none()
    }

    /// The answer has been read whole.
    pub fn is_read(&self) -> bool {
        matches!(self.answer, Answer::Whole)
    }

    /// Whether there is nothing about the head of the answer to be checked or taken off.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// How much of the answer's body is to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.answer {
            Answer::Length(left) => Some(left),
            Answer::Whole => Some(0),
            _ => None,
        }
    }

    // The request

    /// Makes the head of a request, and takes its body. `poll_send` sends them.
    pub fn begin(&mut self, request: &mut Request<Outgoing>) {
        let headers = request.headers();
        let mut front = Vec::with_capacity(256 + 32 * headers.len());
        front.extend_from_slice(request.method().as_str().as_bytes());
        front.push(b' ');
        match (request.uri().scheme(), request.uri().path_and_query()) {
            (None, Some(path)) => front.extend_from_slice(path.as_str().as_bytes()),
            _ => front.extend_from_slice(request.uri().to_string().as_bytes()),
        }
        front.extend_from_slice(match request.version() {
            Version::HTTP_10 => b" HTTP/1.0\r\n",
            _ => b" HTTP/1.1\r\n",
        });
        for (name, value) in headers {
            field(&mut front, name.as_str(), value.as_bytes());
        }
        let body = request.body();
        let framing = if body.is_end_stream() {
            Framing::Length(0)
        } else if headers.contains_key(TRANSFER_ENCODING) {
            Framing::Chunked
        } else if let Some(length) = body.size_hint().exact() {
            field(&mut front, CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
            Framing::Length(length)
        } else {
            field(&mut front, TRANSFER_ENCODING.as_str(), b"chunked");
            Framing::Chunked
        };
        front.extend_from_slice(b"\r\n");
        let announced = match framing {
            Framing::Chunked => listed(headers, &TRAILER)
                .filter_map(|name| HeaderName::from_bytes(name).ok())
                .collect(),
            Framing::Length(_) | Framing::UntilClosed => Vec::new(),
        };
        let keep = !listed(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"close"));
        let is_head = *request.method() == Method::HEAD;
        let body = std::mem::replace(request.body_mut(), Outgoing::none());
        self.begin_with(Sending::new(front, body, framing, announced), keep, is_head);
    }

    /// The same for a request that is ready to be sent.
    pub fn begin_with(&mut self, sending: Sending<Outgoing>, keep: bool, is_head: bool) {
        self.keep = keep;
        self.is_head = is_head;
        if self.reading > READ.start {
            // The last answer was a long one; most are short, and many connections are kept.
            self.reading = READ.start;
            self.read = BytesMut::new();
        }
        self.answer = Answer::Head { looked: 0 };
        self.sending = Some(sending);
    }

    /// Sends what can be sent. Ready when the request has left whole.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Some(sending) = &mut self.sending {
            ready!(sending.poll(&mut self.stream, context))?;
            self.sending = None;
        }
        Poll::Ready(Ok(()))
    }

    // The answer

    /// Reads the head of the answer; interim ones are passed over.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<()>, Broken>> {
        loop {
            if !self.read.is_empty()
                && let Some(response) = self.parse_head()?
            {
                return Poll::Ready(Ok(response));
            }
            // Bytes of interim answers count as well.
            if self.stream.meter.read.get() > self.head_limit as u64 {
                return Poll::Ready(Err(Broken::TooLong));
            }
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    /// The whole body of the answer, if it is here and its length was told.
    pub fn whole_body(&mut self) -> Option<Bytes> {
        let left = match self.answer {
            Answer::Length(left) => usize::try_from(left).ok()?,
            Answer::Whole => 0,
            _ => return None,
        };
        if self.read.len() < left {
            return None;
        }
        self.answer = Answer::Whole;
        Some(self.read.split_to(left).freeze())
    }

    /// Reads on in the body of the answer.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match self.frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.is_read() => return Poll::Ready(None),
                Ok(None) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
            match ready!(self.poll_fill(context)) {
                Ok(0) if matches!(self.answer, Answer::UntilClosed) => {
                    self.answer = Answer::Whole;
                    self.keep = false;
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(Broken::Closed))),
                Ok(_) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
        }
    }

    /// What has been read already.
    fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Broken> {
        let (data, next) = match &mut self.answer {
            Answer::Length(0) => {
                self.answer = Answer::Whole;
                return Ok(None);
            }
            Answer::Length(left) => {
                let data = split(&mut self.read, *left);
                match *left - data.len() as u64 {
                    0 => (data, Answer::Whole),
                    left => (data, Answer::Length(left)),
                }
            }
            Answer::Chunked { chunk, extra } => {
                let frame = chunk.read(extra, &mut self.read)?;
                if matches!(chunk, Chunk::Last) {
                    self.answer = Answer::Whole;
                }
                return Ok(frame);
            }
            Answer::UntilClosed => (split(&mut self.read, u64::MAX), Answer::UntilClosed),
            Answer::Head { .. } | Answer::Whole => return Ok(None),
        };
        if data.is_empty() {
            return Ok(None);
        }
        self.answer = next;
        Ok(Some(Frame::data(data)))
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        if self.read.capacity() - self.read.len() < self.reading / 4 {
            self.read.reserve(self.reading);
        }
        let room = self.read.capacity() - self.read.len();
        let count =
            ready!(pin!(self.stream.read_buf(&mut self.read)).poll(context)).map_err(Broken::Stream)?;
        if count == room {
            self.reading = (self.reading * 2).min(READ.end);
        }
        Poll::Ready(Ok(count))
    }

    fn parse_head(&mut self) -> Result<Option<Response<()>>, Broken> {
        let Answer::Head { looked } = &mut self.answer else {
            return Ok(None);
        };
        *looked += 1;
        if *looked > LOOKS && !ends(&self.read) {
            return Ok(None);
        }
        loop {
            let Some((response, notes)) = parse(&mut self.read)? else {
                return Ok(None);
            };
            let status = response.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                if self.read.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            self.answer = framing(&response, &notes, self.is_head)?;
            self.keep = self.keep && keeps(&response, &notes);
            self.plain = !notes.involved;
            if matches!(self.answer, Answer::UntilClosed) || status == StatusCode::SWITCHING_PROTOCOLS {
                self.keep = false;
            }
            return Ok(Some(response));
        }
    }
}

/// Whether an empty line is among these bytes.
fn ends(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"\n\r\n").is_some() || memmem::find(bytes, b"\n\n").is_some()
}
