//! gRPC: what makes a message one, deadlines, the length of messages, and the status that a call ends with.

use super::Exchange;
use super::fault::{Fault, code};
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};
use crate::message::media_type;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// gRPC's status codes, those that a gateway has a use for.
pub mod status {
    pub const OK: u8 = 0;
    pub const CANCELLED: u8 = 1;
    pub const UNKNOWN: u8 = 2;
    pub const DEADLINE_EXCEEDED: u8 = 4;
    pub const PERMISSION_DENIED: u8 = 7;
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    pub const UNIMPLEMENTED: u8 = 12;
    pub const INTERNAL: u8 = 13;
    pub const UNAVAILABLE: u8 = 14;
    pub const UNAUTHENTICATED: u8 = 16;
}

pub static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Longer than any call lives. Streams may be silent for as long as they like: pings tell whether the other side is there.
pub const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| media_type::is_grpc(value.as_bytes()))
}

// Deadlines

/// A `grpc-timeout` that is not up to eight digits and a unit.
#[derive(Debug)]
pub struct BadTimeout;

/// When the call must be over: `grpc-timeout`.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, BadTimeout> {
    match headers.get(&GRPC_TIMEOUT) {
        None => Ok(None),
        Some(value) => {
            let timeout = value.to_str().ok().and_then(parse_timeout).ok_or(BadTimeout)?;
            Ok(Some(Instant::now() + timeout.min(UNLIMITED)))
        }
    }
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// In the finest unit that its eight digits hold, and never zero.
fn format_timeout(left: Duration) -> String {
    const MOST: u128 = 99_999_999;
    match left {
        left if left.as_micros() <= MOST => format!("{}u", left.as_micros().max(1)),
        left if left.as_millis() <= MOST => format!("{}m", left.as_millis()),
        left => format!("{}S", u128::from(left.as_secs()).min(MOST)),
    }
}

/// What is left of the client's own deadline. No endpoint is to blame when it is over.
pub fn time_left(exchange: &Exchange) -> Result<Option<Duration>, Fault> {
    let Some(deadline) = exchange.request.deadline else {
        return Ok(None);
    };
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(over()),
        left => Ok(Some(left)),
    }
}

/// The client's deadline has come.
pub fn over() -> Fault {
    Fault::client(
        code::TIMED_OUT,
        "the time that the client gave the call (grpc-timeout) is over",
    )
    .status(504)
}

/// What a backend is to be told beside what the client said.
pub fn prepare(headers: &mut HeaderMap, left: Option<Duration>) {
    // Some backends refuse a call without it.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(left) = left
        && let Ok(value) = HeaderValue::try_from(format_timeout(left))
    {
        headers.insert(GRPC_TIMEOUT.clone(), value);
    }
}

/// `/service/method` of a path, whatever the gateway has in front of it.
pub fn method(path: &str) -> Option<&str> {
    let (before, method) = path.rsplit_once('/')?;
    let start = before.rfind('/')?;
    let service = &before[start + 1..];
    (!service.is_empty() && !method.is_empty()).then(|| &path[start..])
}

// Statuses

/// The status of an answer that is not gRPC: gRPC's own table for clients, with what a gateway knows better.
pub fn of_http(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 | 431 => status::INTERNAL,
        401 => status::UNAUTHENTICATED,
        403 => status::PERMISSION_DENIED,
        404 | 405 | 501 => status::UNIMPLEMENTED,
        408 | 504 => status::DEADLINE_EXCEEDED,
        413 | 429 => status::RESOURCE_EXHAUSTED,
        502 | 503 => status::UNAVAILABLE,
        _ => status::UNKNOWN,
    }
}

/// The status of a fault that nobody answered; `by_status` is the HTTP status that any other client would get.
pub fn of_fault(fault: &Fault, by_status: StatusCode) -> u8 {
    if let Some(status) = fault.grpc_status {
        return status.get();
    }
    match fault.number() {
        _ if fault.status.is_some() => of_http(by_status),
        Some(code::TIMED_OUT) => status::DEADLINE_EXCEEDED,
        Some(code::CONNECT_TIMED_OUT) => status::UNAVAILABLE,
        Some(code::AUTHENTICATION) => status::UNAUTHENTICATED,
        _ if by_status == StatusCode::INTERNAL_SERVER_ERROR => status::INTERNAL,
        _ => of_http(by_status),
    }
}

/// The status that a stream's reset stands for (gRPC over HTTP/2, "Errors").
pub fn of_reset(code: u32) -> u8 {
    match code {
        0x7 => status::UNAVAILABLE,
        0x8 => status::CANCELLED,
        0xb => status::RESOURCE_EXHAUSTED,
        0xc => status::PERMISSION_DENIED,
        _ => status::INTERNAL,
    }
}

fn of_broken(error: &StreamError) -> u8 {
    match (error.kind, error.origin) {
        (StreamErrorKind::Reset(code), _) => of_reset(code),
        (StreamErrorKind::TooLarge, _) => status::RESOURCE_EXHAUSTED,
        (StreamErrorKind::TimedOut, _) => status::DEADLINE_EXCEEDED,
        (StreamErrorKind::Malformed, _) => status::INTERNAL,
        (_, StreamOrigin::Client) => status::CANCELLED,
        _ => status::UNAVAILABLE,
    }
}

/// Sets a status and its message.
pub fn set_status(headers: &mut HeaderMap, status: u8, message: &str) {
    headers.insert(GRPC_STATUS.clone(), HeaderValue::from(u16::from(status)));
    headers.remove(&GRPC_MESSAGE);
    if let Ok(value) = HeaderValue::try_from(escape(message))
        && !message.is_empty()
    {
        headers.insert(GRPC_MESSAGE.clone(), value);
    }
}

/// `grpc-message` is UTF-8 with everything escaped that is not printable ASCII.
fn escape(message: &str) -> String {
    const UNSAFE: &AsciiSet = &CONTROLS.add(b'%');
    utf8_percent_encode(message, UNSAFE).to_string()
}

// Bodies

/// A request's body, held to the form and the length of messages; 0 is no limit.
pub fn request(body: ByteStream, limit: usize) -> ByteStream {
    ByteStream::new(Checked {
        body,
        messages: Messages::new(limit),
        broken: false,
    })
}

/// An answer's body that ends with a status, whatever becomes of it: `otherwise` when it ends well and says none.
pub fn answer(body: ByteStream, limit: usize, deadline: Option<Instant>, otherwise: Ending) -> ByteStream {
    ByteStream::new(Ended {
        body: Some(body),
        messages: Messages::new(limit),
        deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        otherwise,
    })
}

/// The trailers of an answer that has none of its own.
pub struct Ending(HeaderMap);

impl Ending {
    /// A backend owes a status.
    pub fn missing() -> Ending {
        let mut trailers = HeaderMap::new();
        set_status(
            &mut trailers,
            status::UNAVAILABLE,
            "the service behind this one ended the call without a status",
        );
        Ending(trailers)
    }

    /// An answer made here is well, unless a step said otherwise in the headers.
    pub fn of(headers: &mut HeaderMap) -> Ending {
        let mut trailers = HeaderMap::new();
        for name in [&GRPC_STATUS, &GRPC_MESSAGE, &DETAILS] {
            if let Some(value) = headers.remove(name) {
                trailers.insert(name.clone(), value);
            }
        }
        if !trailers.contains_key(&GRPC_STATUS) {
            set_status(&mut trailers, status::OK, "");
        }
        Ending(trailers)
    }
}

/// Follows messages through a body: each has a flag, its length in four bytes, and so many bytes.
struct Messages {
    limit: usize,
    head: [u8; 5],
    have: usize,
    left: usize,
}

impl Messages {
    fn new(limit: usize) -> Messages {
        Messages {
            limit,
            head: [0; 5],
            have: 0,
            left: 0,
        }
    }

    fn advance(&mut self, mut bytes: &[u8]) -> Result<(), (StreamErrorKind, String)> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (5 - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < 5 {
                return Ok(());
            }
            self.have = 0;
            let [flag, length @ ..] = self.head;
            if flag > 1 {
                let reason = format!("a gRPC message cannot begin with the flag {flag}");
                return Err((StreamErrorKind::Malformed, reason));
            }
            self.left = u32::from_be_bytes(length) as usize;
            if self.limit > 0 && self.left > self.limit {
                let reason = format!(
                    "a gRPC message of {} bytes is longer than the {} that may pass",
                    self.left, self.limit
                );
                return Err((StreamErrorKind::TooLarge, reason));
            }
        }
        Ok(())
    }

    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

struct Checked {
    body: ByteStream,
    messages: Messages,
    broken: bool,
}

impl Body for Checked {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        if this.broken {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(context);
        let wrong = match &frame {
            Poll::Ready(Some(Ok(frame))) => frame
                .data_ref()
                .and_then(|data| this.messages.advance(data).err()),
            Poll::Ready(None) if !this.messages.is_between() => Some((
                StreamErrorKind::Malformed,
                "the last gRPC message is not whole".to_owned(),
            )),
            _ => None,
        };
        match wrong {
            None => frame,
            Some((kind, reason)) => {
                this.broken = true;
                Poll::Ready(Some(Err(StreamError::new(StreamOrigin::Client, kind, reason))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.body.is_end_stream() && self.messages.is_between()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Ended {
    /// Let go of at the end, and with it the call to the backend.
    body: Option<ByteStream>,
    messages: Messages,
    deadline: Option<Pin<Box<Sleep>>>,
    otherwise: Ending,
}

impl Ended {
    fn end(&mut self, status: u8, message: &str) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let mut trailers = HeaderMap::new();
        set_status(&mut trailers, status, message);
        self.end_with(trailers)
    }

    fn end_with(&mut self, trailers: HeaderMap) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

impl Body for Ended {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = match Pin::new(body).poll_frame(context) {
            Poll::Pending => {
                let Some(deadline) = &mut this.deadline else {
                    return Poll::Pending;
                };
                return match deadline.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => this.end(status::DEADLINE_EXCEEDED, "the time of the call is over"),
                };
            }
            Poll::Ready(polled) => polled,
        };
        match polled {
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    if !trailers.contains_key(&GRPC_STATUS) {
                        let Ending(otherwise) = &this.otherwise;
                        trailers.extend(otherwise.clone());
                    }
                    this.end_with(trailers)
                }
                Err(frame) => match frame.data_ref().map(|data| this.messages.advance(data)) {
                    Some(Err((kind, reason))) => {
                        let wrong = StreamError::new(StreamOrigin::Backend, kind, reason);
                        this.end(of_broken(&wrong), &wrong.message)
                    }
                    _ => Poll::Ready(Some(Ok(frame))),
                },
            },
            Some(Err(error)) => {
                let message = match error.origin {
                    StreamOrigin::Backend => "the service behind this one broke its answer off",
                    _ => &*error.message,
                };
                this.end(of_broken(&error), message)
            }
            None if !this.messages.is_between() => {
                this.end(status::INTERNAL, "the last message of the answer is not whole")
            }
            None => {
                let trailers = std::mem::take(&mut this.otherwise.0);
                this.end_with(trailers)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::wait;
    use futures_util::stream;
    use http_body_util::StreamBody;

    fn message(flag: u8, length: u32, bytes: &[u8]) -> Bytes {
        [&[flag][..], &length.to_be_bytes(), bytes].concat().into()
    }

    fn body(frames: Vec<Result<Frame<Bytes>, StreamError>>) -> ByteStream {
        ByteStream::new(StreamBody::new(stream::iter(frames)))
    }

    fn data(bytes: Bytes) -> Vec<Result<Frame<Bytes>, StreamError>> {
        // Byte by byte: a message's head may be torn.
        bytes
            .iter()
            .map(|byte| Ok(Frame::data(Bytes::copy_from_slice(&[*byte]))))
            .collect()
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("0m", Some(Duration::ZERO)),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("7n", Some(Duration::from_nanos(7))),
            ("123456789m", None),
            ("", None),
            ("S", None),
            ("1s", None),
            ("+1S", None),
            ("-1S", None),
            ("1.5S", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT.clone(), HeaderValue::from_static("99999999H"));
        let clamped = deadline(&headers).unwrap().unwrap();
        assert!(clamped <= Instant::now() + UNLIMITED);
    }

    #[test]
    fn what_is_left_is_told_in_eight_digits() {
        for (left, expected) in [
            (Duration::from_nanos(10), "1u"),
            (Duration::from_millis(1500), "1500000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
        ] {
            assert_eq!(format_timeout(left), expected);
        }
    }

    #[test]
    fn the_method_is_the_end_of_the_path() {
        assert_eq!(method("/p.Service/Do"), Some("/p.Service/Do"));
        assert_eq!(method("/behind/this/p.Service/Do"), Some("/p.Service/Do"));
        for path in ["/", "/Do", "/p.Service/", "//Do", ""] {
            assert_eq!(method(path), None, "{path}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        assert_eq!(escape("50% of Zoë\n"), "50%25 of Zo%C3%AB%0A");
    }

    fn check_request(bytes: Bytes, expected: Option<StreamErrorKind>) {
        let collected = wait(request(body(data(bytes)), 4).collect(1000));
        assert_eq!(collected.err().map(|error| error.kind), expected);
    }

    #[test]
    fn a_request_is_held_to_the_form_of_messages() {
        let two = [message(0, 4, b"abcd"), message(1, 0, b"")].concat();
        check_request(two.into(), None);
        check_request(Bytes::new(), None);
        check_request(message(0, 5, b"abcde"), Some(StreamErrorKind::TooLarge));
        check_request(message(2, 1, b"a"), Some(StreamErrorKind::Malformed));
        check_request(message(0, 4, b"abc"), Some(StreamErrorKind::Malformed));
        check_request(Bytes::from_static(&[0, 0]), Some(StreamErrorKind::Malformed));
    }

    fn ended(frames: Vec<Result<Frame<Bytes>, StreamError>>, otherwise: Ending) -> (Bytes, String) {
        let collected = wait(answer(body(frames), 4, None, otherwise).collect(1000));
        let (bytes, trailers) = collected.unwrap();
        let trailers = trailers.unwrap();
        let status = trailers[&GRPC_STATUS].to_str().unwrap().to_owned();
        (bytes, status)
    }

    #[test]
    fn an_answer_always_ends_with_a_status() {
        let own = || Ending::of(&mut HeaderMap::new());
        let whole = || message(0, 2, b"ab");
        let mut trailers = HeaderMap::new();
        set_status(&mut trailers, 5, "no");
        let mut frames = data(whole());
        frames.push(Ok(Frame::trailers(trailers)));
        assert_eq!(ended(frames, Ending::missing()), (whole(), "5".to_owned()));
        assert_eq!(ended(data(whole()), Ending::missing()).1, "14");
        assert_eq!(ended(data(whole()), own()).1, "0");
        assert_eq!(ended(data(message(0, 2, b"a")), own()).1, "13");
        assert_eq!(ended(data(message(0, 9, b"a")), own()).1, "8");
        for (kind, status) in [
            (StreamErrorKind::Closed, "14"),
            (StreamErrorKind::Reset(8), "1"),
            (StreamErrorKind::Reset(2), "13"),
            (StreamErrorKind::Reset(0xb), "8"),
            (StreamErrorKind::TimedOut, "4"),
        ] {
            let mut frames = data(whole());
            frames.push(Err(StreamError::new(StreamOrigin::Backend, kind, "")));
            assert_eq!(ended(frames, own()), (whole(), status.to_owned()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_when_its_time_is_over() {
        let quiet = ByteStream::new(StreamBody::new(stream::pending()));
        let deadline = Instant::now() + Duration::from_secs(5);
        let collected = answer(quiet, 4, Some(deadline), Ending::missing()).collect(1000);
        let trailers = collected.await.unwrap().1.unwrap();
        assert_eq!(trailers[&GRPC_STATUS], "4");
        assert_eq!(Instant::now(), deadline);
    }
}
