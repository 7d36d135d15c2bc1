//! The body of a request on its way to a backend: how it is getting on, and its beginning kept for one repeat.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::message::body::{ByteStream, StreamError};

/// How a streamed body is getting on.
pub(super) struct Upload {
    pub ended: Cell<bool>,
    pub error: RefCell<Option<StreamError>>,
    pub progress: Cell<Option<Instant>>,
    kept: RefCell<Option<Kept>>,
}

/// What has been sent of a body, and the rest of it once the connection has let go of it.
#[derive(Default)]
struct Kept {
    sent: VecDeque<Bytes>,
    length: usize,
    rest: Option<ByteStream>,
}

/// As much of a body is kept so that it can be sent once more when a kept connection turns out to be closed.
const KEPT: usize = 64 * 1024;

impl Upload {
    fn new() -> Self {
        Self {
            ended: Cell::new(false),
            error: RefCell::default(),
            progress: Cell::new(None),
            kept: RefCell::new(Some(Kept::default())),
        }
    }

    /// The whole body once more, if it was not too long and the connection has let go of it.
    pub fn again(&self) -> Option<ByteStream> {
        let Kept { sent, length, rest } = self.kept.borrow_mut().take()?;
        let left = length as u64;
        Some(ByteStream::new(Again {
            sent,
            left,
            rest: rest?,
        }))
    }

    fn note(&self, frame: &Poll<Option<Result<Frame<Bytes>, StreamError>>>, is_last: impl FnOnce() -> bool) {
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.progress.set(Some(Instant::now()));
                self.ended.set(is_last());
                let mut kept = self.kept.borrow_mut();
                match (&mut *kept, frame.data_ref()) {
                    (Some(known), Some(data)) if known.length + data.len() <= KEPT => {
                        known.length += data.len();
                        known.sent.push_back(data.clone());
                    }
                    _ => *kept = None,
                }
            }
            Poll::Ready(None) => self.ended.set(true),
            Poll::Ready(Some(Err(error))) => *self.error.borrow_mut() = Some(error.clone()),
            Poll::Pending => (),
        }
    }
}

/// The body as whoever sends it takes it.
pub(super) struct Outgoing {
    body: ByteStream,
    upload: Option<Rc<Upload>>,
}

impl Outgoing {
    /// Watches the body if it streams.
    pub fn new(body: ByteStream) -> (Self, Option<Rc<Upload>>) {
        let streams = !body.is_end_stream() && body.as_bytes().is_none();
        let upload = streams.then(|| Rc::new(Upload::new()));
        (
            Self {
                body,
                upload: upload.clone(),
            },
            upload,
        )
    }

    /// What stands where a body was taken.
    pub fn none() -> Self {
        Self {
            body: ByteStream::empty(),
            upload: None,
        }
    }

    /// The whole body once more, if it is there.
    pub fn again(&self) -> Option<ByteStream> {
        self.body.as_bytes().map(|bytes| ByteStream::from(bytes.clone()))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload
            && let Some(kept) = &mut *upload.kept.borrow_mut()
        {
            kept.rest = Some(std::mem::replace(&mut self.body, ByteStream::empty()));
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Some(upload) = &self.upload {
            upload.note(&frame, || self.body.is_end_stream());
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

/// What was sent already, and then the rest.
struct Again {
    sent: VecDeque<Bytes>,
    left: u64,
    rest: ByteStream,
}

impl Body for Again {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.sent.pop_front() {
            Some(data) => {
                self.left -= data.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sent.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest.exact_length() {
            Some(rest) => SizeHint::with_exact(self.left + rest),
            None => SizeHint::default(),
        }
    }
}
