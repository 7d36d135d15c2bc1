//! A body that is still travelling: bytes, perhaps trailers, perhaps a break with a name for who broke it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::replay::{Replay, ReplayLimits};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Bytes on their way, in one thread. A body of known bytes costs no allocation; any other is boxed once.
pub struct ByteStream {
    source: Source,
}

enum Source {
    Empty,
    Bytes(Bytes),
    Body(Pin<Box<dyn Body<Data = Bytes, Error = StreamError>>>),
    Replay(Box<Replay>),
}

/// Why a body ended early, and whose doing that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    pub origin: StreamOrigin,
    pub kind: StreamErrorKind,
    pub message: String,
}

/// Who broke a body off. Only `Backend` may ever count against an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOrigin {
    Client,
    Backend,
    Gateway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamErrorKind {
    /// The framing of the body is not HTTP.
    Malformed,
    /// The connection ended before the body did.
    Closed,
    /// The stream was ended with this code of HTTP/2 (RFC 9113 section 7).
    Reset(u32),
    /// Nothing came for too long.
    TimedOut,
    /// More came than the reader takes.
    TooLarge,
    /// Anything else the connection reported.
    Failed,
}

impl ByteStream {
    /// Wraps a body; what it yields is passed on as it comes.
    pub fn new(body: impl Body<Data = Bytes, Error = StreamError> + 'static) -> Self {
        Self {
            source: Source::Body(Box::pin(body)),
        }
    }

    pub fn empty() -> Self {
        Self {
            source: Source::Empty,
        }
    }

    /// The same body, from now on kept as it goes by, so that it can be had again.
    pub fn replayable(self, limits: ReplayLimits) -> Self {
        match self.source {
            Source::Body(body) => Self {
                source: Source::Replay(Box::new(Replay::new(body, limits))),
            },
            source => Self { source },
        }
    }

    /// The body from its beginning once more, if that can be had.
    pub fn again(&self) -> Option<Self> {
        let source = match &self.source {
            Source::Empty => Source::Empty,
            Source::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Source::Body(_) => return None,
            Source::Replay(replay) => Source::Replay(Box::new(replay.again()?)),
        };
        Some(Self { source })
    }

    /// The number of bytes to come, when it is known beforehand.
    pub fn exact_length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// The whole body, if it is here already.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        static NOTHING: Bytes = Bytes::new();
        match &self.source {
            Source::Empty => Some(&NOTHING),
            Source::Bytes(bytes) => Some(bytes),
            Source::Body(_) | Source::Replay(_) => None,
        }
    }

    /// Reads to the end, up to `limit` bytes of data. More is an error of the gateway's own making (`TooLarge`).
    pub async fn collect(self, limit: usize) -> Result<(Bytes, Option<HeaderMap>), StreamError> {
        let mut body: Pin<Box<dyn Body<Data = Bytes, Error = StreamError>>> = match self.source {
            Source::Empty => return Ok((Bytes::new(), None)),
            Source::Bytes(bytes) if bytes.len() > limit => return Err(too_large(limit)),
            Source::Bytes(bytes) => return Ok((bytes, None)),
            Source::Body(body) => body,
            Source::Replay(replay) => Box::into_pin(replay),
        };
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(too_large(limit));
        }
        let mut gathered = Gathered::None;
        let mut length = 0usize;
        let mut trailers = None;
        while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            match frame?.into_data() {
                Ok(data) => {
                    length = length.saturating_add(data.len());
                    if length > limit {
                        return Err(too_large(limit));
                    }
                    gathered = gathered.with(data, announced);
                }
                Err(other) => trailers = other.into_trailers().ok().or(trailers),
            }
        }
        Ok((gathered.into_bytes(), trailers))
    }
}

/// One piece is handed on as it came; only a second piece starts a copy.
enum Gathered {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn with(self, data: Bytes, announced: u64) -> Self {
        match self {
            _ if data.is_empty() => self,
            Gathered::None => Gathered::One(data),
            Gathered::One(first) => {
                let room = usize::try_from(announced)
                    .unwrap_or(0)
                    .max((first.len() + data.len()) * 2);
                let mut all = BytesMut::with_capacity(room);
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                Gathered::Many(all)
            }
            Gathered::Many(mut all) => {
                all.extend_from_slice(&data);
                Gathered::Many(all)
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Gathered::None => Bytes::new(),
            Gathered::One(bytes) => bytes,
            Gathered::Many(all) => all.freeze(),
        }
    }
}

fn too_large(limit: usize) -> StreamError {
    StreamError {
        origin: StreamOrigin::Gateway,
        kind: StreamErrorKind::TooLarge,
        message: format!("the body is longer than the {limit} bytes that may be kept"),
    }
}

impl From<Bytes> for ByteStream {
    fn from(bytes: Bytes) -> Self {
        Self {
            source: if bytes.is_empty() {
                Source::Empty
            } else {
                Source::Bytes(bytes)
            },
        }
    }
}

impl Body for ByteStream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Body(body) => body.as_mut().poll_frame(context),
            Source::Replay(replay) => Pin::new(&mut **replay).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Bytes(_) => false,
            Source::Body(body) => body.is_end_stream(),
            Source::Replay(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Body(body) => body.size_hint(),
            Source::Replay(replay) => replay.size_hint(),
        }
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("exact_length", &self.exact_length())
            .finish()
    }
}

impl StreamError {
    pub fn new(origin: StreamOrigin, kind: StreamErrorKind, message: impl Into<String>) -> Self {
        Self {
            origin,
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StreamError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    struct Script(VecDeque<Result<Frame<Bytes>, StreamError>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = StreamError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn script(frames: Vec<Result<Frame<Bytes>, StreamError>>) -> ByteStream {
        ByteStream::new(Script(frames.into()))
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, StreamError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn wait<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn pieces_are_put_together_and_trailers_are_kept() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let stream = script(vec![
            data("one "),
            data("two "),
            data("three"),
            Ok(Frame::trailers(trailers)),
        ]);
        let (bytes, trailers) = wait(stream.collect(100)).unwrap();
        assert_eq!(bytes, "one two three");
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }

    #[test]
    fn a_body_may_fill_the_limit_but_not_pass_it() {
        assert_eq!(
            wait(script(vec![data("12"), data("345")]).collect(5)).unwrap().0,
            "12345"
        );
        let over = wait(script(vec![data("12"), data("3456")]).collect(5)).unwrap_err();
        assert_eq!(over.kind, StreamErrorKind::TooLarge);
        let known = wait(ByteStream::from(Bytes::from_static(b"123456")).collect(5)).unwrap_err();
        assert_eq!(
            (known.origin, known.kind),
            (StreamOrigin::Gateway, StreamErrorKind::TooLarge)
        );
    }

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"as it came");
        let stream = script(vec![Ok(Frame::data(piece.clone()))]);
        assert_eq!(wait(stream.collect(100)).unwrap().0.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn a_break_keeps_the_name_of_who_broke() {
        let broken = StreamError::new(StreamOrigin::Client, StreamErrorKind::Closed, "gone");
        let stream = script(vec![data("half"), Err(broken.clone())]);
        assert_eq!(wait(stream.collect(100)).unwrap_err(), broken);
    }

    #[test]
    fn known_bytes_know_their_length() {
        assert_eq!(
            ByteStream::from(Bytes::from_static(b"abc")).exact_length(),
            Some(3)
        );
        assert_eq!(ByteStream::empty().exact_length(), Some(0));
        assert_eq!(script(vec![]).exact_length(), None);
    }
}
