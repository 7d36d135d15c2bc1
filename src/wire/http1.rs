//! HTTP/1.1 as a client speaks it on one connection: a request is written while its answer is read.
//!
//! Nothing here has a task or a waker of its own. Whoever waits on an answer drives both directions, so a request costs no more wake-ups
//! than the backend's answers do, and its head is written from the headers where they are.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use hyper::ext::ReasonPhrase;
use memchr::memmem;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::chunked::{Chunk, split};
use super::connect::Metered;
use super::hop;
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
enum Answer {
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

const MOST_HEADERS: usize = 100;

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

/// What an answer's head says of its body: RFC 9112 6.3.
fn framing(response: &Response<()>, notes: &Notes, is_head: bool) -> Result<Answer, Broken> {
    let (status, headers) = (response.status(), response.headers());
    if is_head
        || matches!(
            status,
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
    {
        return Ok(Answer::Whole);
    }
    if !notes.involved {
        return Ok(match notes.length {
            Some(0) => Answer::Whole,
            Some(length) => Answer::Length(length),
            None => Answer::UntilClosed,
        });
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if response.version() == Version::HTTP_10 {
            return Err(Broken::Invalid("HTTP/1.0 knows no Transfer-Encoding".to_owned()));
        }
        let last = listed(headers, &TRANSFER_ENCODING).last();
        return Ok(match last {
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Answer::Chunked {
                chunk: Chunk::Size,
                extra: 0,
            },
            _ => Answer::UntilClosed,
        });
    }
    let mut length = None;
    for told in listed(headers, &CONTENT_LENGTH) {
        let number = digits(told).filter(|number| length.is_none_or(|length| length == *number));
        length = Some(number.ok_or_else(|| Broken::Invalid("the Content-Length is not valid".to_owned()))?);
    }
    Ok(match length {
        Some(0) => Answer::Whole,
        Some(length) => Answer::Length(length),
        None if headers.contains_key(CONTENT_LENGTH) => {
            return Err(Broken::Invalid("the Content-Length is not valid".to_owned()));
        }
        None => Answer::UntilClosed,
    })
}

/// The members of a header that is a list.
pub(super) fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

fn digits(text: &[u8]) -> Option<u64> {
    let plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// Whether the backend keeps the connection after this answer.
fn keeps(response: &Response<()>, notes: &Notes) -> bool {
    if notes.closes {
        return false;
    }
    let mut asked = notes.keeps;
    let headers = Some(response.headers()).filter(|_| notes.involved);
    for token in headers
        .into_iter()
        .flat_map(|headers| listed(headers, &CONNECTION))
    {
        if token.eq_ignore_ascii_case(b"close") {
            return false;
        }
        asked |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    asked || response.version() == Version::HTTP_11
}

/// Whether an empty line is among these bytes.
fn ends(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"\n\r\n").is_some() || memmem::find(bytes, b"\n\n").is_some()
}

/// What a head says of its connection and of its length, noted while it is read: most say it plainly, and nothing has to be looked up again.
#[derive(Default)]
struct Notes {
    length: Option<u64>,
    /// `Connection` said `close` and nothing else, or `keep-alive`. Nobody else needs to know.
    closes: bool,
    keeps: bool,
    /// There is more than that: a coding, an odd or repeated length, or another header that is about the connection.
    involved: bool,
}

impl Notes {
    /// Takes note of a header. Whether the head keeps it.
    fn take(&mut self, name: &HeaderName, value: &[u8]) -> bool {
        if *name == CONTENT_LENGTH {
            match (self.length, digits(value)) {
                (None, length @ Some(_)) => self.length = length,
                _ => self.involved = true,
            }
        } else if *name == CONNECTION && value.eq_ignore_ascii_case(b"keep-alive") {
            self.keeps = true;
            return false;
        } else if *name == CONNECTION && value.eq_ignore_ascii_case(b"close") {
            self.closes = true;
            return false;
        } else if hop::is_standard(name) {
            self.involved = true;
        }
        true
    }
}

/// Takes a head off what was read, if it is whole.
fn parse(read: &mut BytesMut) -> Result<Option<(Response<()>, Notes)>, Broken> {
    let invalid = |error: &dyn std::fmt::Display| Broken::Invalid(error.to_string());
    let mut places: SmallVec<[(Range<usize>, Range<usize>); 24]> = SmallVec::new();
    let mut response = Response::new(());
    let length = {
        let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            read,
            &mut slots,
        );
        let length = match outcome {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(invalid(&error)),
        };
        let status = parsed.code.unwrap_or_default();
        *response.status_mut() = StatusCode::from_u16(status).map_err(|error| invalid(&error))?;
        if parsed.version == Some(0) {
            *response.version_mut() = Version::HTTP_10;
        }
        let reason = parsed.reason.unwrap_or_default();
        if Some(reason) != response.status().canonical_reason()
            && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
        {
            response.extensions_mut().insert(reason);
        }
        let start = read.as_ptr() as usize;
        let place = |part: &[u8]| {
            let at = (part.as_ptr() as usize).wrapping_sub(start);
            at..at.wrapping_add(part.len())
        };
        let headers = parsed.headers.iter();
        places.extend(headers.map(|header| (place(header.name.as_bytes()), place(header.value))));
        length
    };
    let head = read.split_to(length).freeze();
    let headers = response.headers_mut();
    headers.reserve(places.len());
    let mut notes = Notes::default();
    for (name, value) in places {
        let name = HeaderName::from_bytes(&head[name]).map_err(|error| invalid(&error))?;
        if !notes.take(&name, &head[value.clone()]) {
            continue;
        }
        // An empty slice may stand anywhere.
        let value = match value.is_empty() {
            true => Bytes::new(),
            false => head.slice(value),
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|error| invalid(&error))?;
        headers.append(name, value);
    }
    Ok(Some((response, notes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Option<(Response<()>, Bytes)> {
        let mut read = BytesMut::from(text);
        let (response, _) = parse(&mut read).unwrap()?;
        Some((response, read.freeze()))
    }

    #[test]
    fn a_head_is_taken_and_what_is_behind_it_stays() {
        let text = "HTTP/1.1 200 Fine\r\nA: 1\r\nEmpty:\r\na:  2 \r\n\r\nbody";
        for end in 0..text.len() - 4 {
            assert!(head(&text[..end]).is_none(), "{end}");
        }
        let (response, rest) = head(text).unwrap();
        let headers: Vec<_> = response.headers().iter().collect();
        assert_eq!(
            format!("{headers:?}"),
            r#"[("a", "1"), ("a", "2"), ("empty", "")]"#
        );
        let reason = response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!((reason.as_bytes(), &rest[..]), (&b"Fine"[..], &b"body"[..]));
    }

    #[test]
    fn a_backend_keeps_its_connection_unless_it_says_otherwise() {
        for (head_text, kept) in [
            ("HTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", false),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n",
                false,
            ),
            ("HTTP/1.0 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", true),
        ] {
            let mut read = BytesMut::from(&*format!("{head_text}\r\n"));
            let (response, notes) = parse(&mut read).unwrap().unwrap();
            assert_eq!(keeps(&response, &notes), kept, "{head_text}");
        }
    }

    #[test]
    fn what_is_noted_while_reading_is_what_looking_it_up_would_say() {
        let (one, two) = ("Content-Length: 5\r\n", "content-length: 6\r\n");
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (lines, plain) in [
            (String::new(), true),
            (one.to_owned(), true),
            ("Content-Length: 0\r\n".to_owned(), true),
            ("Content-Length: 005\r\n".to_owned(), true),
            ("Content-Length: 5, 5\r\n".to_owned(), false),
            ("Content-Length: +5\r\n".to_owned(), false),
            ("Content-Length:\r\n".to_owned(), false),
            ("Content-Length: 99999999999999999999\r\n".to_owned(), false),
            ([one, one].concat(), false),
            ([one, two].concat(), false),
            (chunked.to_owned(), false),
            ([one, chunked].concat(), false),
            ("Keep-Alive: timeout=5\r\n".to_owned(), false),
            ("Connection: keep-alive\r\n".to_owned(), true),
            ("Connection: X-Hop\r\nX-Hop: 1\r\n".to_owned(), false),
        ] {
            let mut read = BytesMut::from(&*format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
            let (response, notes) = parse(&mut read).unwrap().unwrap();
            assert_eq!(!notes.involved, plain, "{lines}");
            let looked_up = Notes {
                involved: true,
                ..Notes::default()
            };
            let told = |notes| format!("{:?}", framing(&response, notes, false));
            assert_eq!(told(&notes), told(&looked_up), "{lines}");
        }
    }
}
