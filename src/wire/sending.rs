//! A message of HTTP/1 on its way: its head, and its body piece by piece, in as few writes as there are pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::hop;

pub(super) struct Sending<B> {
    /// The head at first, later what stands between the pieces of the body; written in front of `data`.
    front: Vec<u8>,
    /// How much of `front` has left.
    left: usize,
    data: Bytes,
    behind: &'static [u8],
    body: B,
    framing: Framing,
    /// The trailers that the head has announced; others are not sent.
    announced: Vec<HeaderName>,
    /// The beginning of the body has been asked for.
    begun: bool,
    /// The end of the message has been put in front of the stream.
    ended: bool,
}

/// So much is copied behind what stands in front of it, as that costs less than to send two pieces.
const SMALL: usize = 4 * 1024;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// The connection is closed behind it.
    UntilClosed,
}

/// Why a message did not come through.
#[derive(Debug)]
pub(super) enum Broken {
    Stream(io::Error),
    /// What came is not HTTP.
    Invalid(String),
    TooLong,
    /// The other side closed the connection before its message was whole.
    Closed,
    /// The body to be sent broke off, or was not as long as it said.
    Body,
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    pub fn new(head: Vec<u8>, body: B, framing: Framing, announced: Vec<HeaderName>) -> Self {
        Self {
            front: head,
            left: 0,
            data: Bytes::new(),
            behind: b"",
            body,
            framing,
            announced,
            begun: false,
            ended: framing == Framing::Length(0),
        }
    }

    /// The room that the head was written in, for the next one.
    pub fn into_front(self) -> Vec<u8> {
        self.front
    }

    /// Sends what can be sent. Ready when the message has left whole.
    pub fn poll<T>(&mut self, stream: &mut T, context: &mut Context<'_>) -> Poll<Result<(), Broken>>
    where
        T: AsyncWrite + Unpin,
    {
        // The beginning of a body that is here leaves with the head.
        if !std::mem::replace(&mut self.begun, true)
            && !self.ended
            && let Poll::Ready(Err(broken)) = self.poll_body(context)
        {
            return Poll::Ready(Err(broken));
        }
        loop {
            while self.is_staged() {
                let front = &self.front[self.left..];
                let stream = Pin::new(&mut *stream);
                // The system takes one piece with less ado than a list of one.
                let written = if self.data.is_empty() && self.behind.is_empty() {
                    stream.poll_write(context, front)
                } else {
                    let slices = [
                        io::IoSlice::new(front),
                        io::IoSlice::new(&self.data),
                        io::IoSlice::new(self.behind),
                    ];
                    let first = usize::from(front.is_empty());
                    stream.poll_write_vectored(context, &slices[first..])
                };
                match ready!(written) {
                    Ok(0) => return Poll::Ready(Err(Broken::Stream(io::ErrorKind::WriteZero.into()))),
                    Ok(count) => self.wrote(count),
                    Err(error) => return Poll::Ready(Err(Broken::Stream(error))),
                }
            }
            if self.ended {
                return Pin::new(stream).poll_flush(context).map_err(Broken::Stream);
            }
            match self.poll_body(context) {
                Poll::Ready(staged) => staged?,
                Poll::Pending => {
                    ready!(Pin::new(stream).poll_flush(context)).map_err(Broken::Stream)?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_staged(&self) -> bool {
        self.left < self.front.len() || !self.data.is_empty() || !self.behind.is_empty()
    }

    /// So many bytes have left.
    fn wrote(&mut self, mut count: usize) {
        let front = count.min(self.front.len() - self.left);
        self.left += front;
        count -= front;
        let data = count.min(self.data.len());
        self.data.advance(data);
        self.behind = &self.behind[(count - data).min(self.behind.len())..];
    }

    /// Puts the next of the body in front of the stream.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.left == self.front.len() {
            self.front.clear();
            self.left = 0;
        }
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(Err(Broken::Body)),
            None => return Poll::Ready(self.end(None)),
        };
        let mut data = match frame.into_data() {
            Ok(data) if data.is_empty() => return Poll::Ready(Ok(())),
            Ok(data) => data,
            Err(other) => return Poll::Ready(self.end(other.into_trailers().ok())),
        };
        match &mut self.framing {
            Framing::Length(left) => {
                // What is said to be long is not made longer: the rest would be the beginning of another message.
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                self.ended = *left == 0;
            }
            Framing::Chunked => {
                let size = format!("{:X}\r\n", data.len());
                self.front.extend_from_slice(size.as_bytes());
                self.ended = self.body.is_end_stream();
                self.behind = if self.ended { b"\r\n0\r\n\r\n" } else { b"\r\n" };
            }
            Framing::UntilClosed => self.ended = self.body.is_end_stream(),
        }
        if data.len() <= SMALL {
            self.front.extend_from_slice(&data);
            self.front.extend_from_slice(self.behind);
            self.behind = b"";
        } else {
            self.data = data;
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        if let Framing::Length(left) = self.framing
            && left > 0
        {
            return Err(Broken::Body);
        }
        self.ended = true;
        if self.framing == Framing::Chunked {
            self.front.extend_from_slice(b"0\r\n");
            let mut trailers = trailers.unwrap_or_default();
            hop::strip_trailers(&mut trailers);
            for (name, value) in &trailers {
                if self.announced.contains(name) {
                    field(&mut self.front, name.as_str(), value.as_bytes());
                }
            }
            self.front.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}

/// Writes one header.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::body::ByteStream;

    #[test]
    fn what_was_written_is_not_written_again() {
        let text = b"headdatabehind";
        for first in 0..=text.len() {
            let mut sending = Sending::new(
                b"head".to_vec(),
                ByteStream::empty(),
                Framing::Chunked,
                Vec::new(),
            );
            sending.data = Bytes::from_static(b"data");
            sending.behind = b"behind";
            sending.wrote(first);
            let left = [&sending.front[sending.left..], &sending.data, sending.behind].concat();
            assert_eq!(left, &text[first..]);
            assert_eq!(sending.is_staged(), first < text.len());
        }
    }
}
