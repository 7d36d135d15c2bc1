//! A body that can be sent again: what went by is kept while it streams, in memory at first and then on disk.
//!
//! Nothing is read ahead, and nothing is kept any more once nobody is left who could ask for it again.

use super::body::{StreamError, StreamErrorKind, StreamOrigin};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// How much of a body is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// In memory, in bytes.
    pub memory: usize,
    /// On disk, in bytes. A body that is longer than both cannot be sent again.
    pub disk: u64,
}

impl Default for ReplayLimits {
    fn default() -> ReplayLimits {
        ReplayLimits {
            memory: 64 << 10,
            disk: 256 << 20,
        }
    }
}

/// A reader from the beginning. Of several the one that began last goes on; those before it break off.
pub struct Replay {
    kept: Rc<Kept>,
    /// Which reader this is, once it has begun.
    turn: Cell<Option<u64>>,
    /// The next piece to hand out.
    next: usize,
    read: u64,
    trailed: bool,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

struct Kept {
    limits: ReplayLimits,
    hint: SizeHint,
    turns: Cell<u64>,
    state: RefCell<State>,
}

struct State {
    source: Pin<Box<dyn Body<Data = Bytes, Error = StreamError>>>,
    pieces: Vec<Piece>,
    in_memory: usize,
    on_disk: u64,
    file: Option<Arc<File>>,
    writing: Option<JoinHandle<io::Result<()>>>,
    trailers: Option<HeaderMap>,
    ended: bool,
    broken: Option<StreamError>,
    /// More came than may be kept, or it could not be written.
    lost: bool,
}

#[derive(Clone)]
enum Piece {
    Memory(Bytes),
    Disk { at: u64, length: usize },
}

impl Replay {
    pub fn new(
        source: Pin<Box<dyn Body<Data = Bytes, Error = StreamError>>>,
        limits: ReplayLimits,
    ) -> Replay {
        let hint = source.size_hint();
        let state = State {
            source,
            pieces: Vec::new(),
            in_memory: 0,
            on_disk: 0,
            file: None,
            writing: None,
            trailers: None,
            ended: false,
            broken: None,
            lost: false,
        };
        Replay::of(Rc::new(Kept {
            limits,
            hint,
            turns: Cell::new(0),
            state: RefCell::new(state),
        }))
    }

    fn of(kept: Rc<Kept>) -> Replay {
        Replay {
            kept,
            turn: Cell::new(None),
            next: 0,
            read: 0,
            trailed: false,
            reading: None,
        }
    }

    /// The body from its beginning, if all that went by is still there.
    pub fn again(&self) -> Option<Replay> {
        let state = self.kept.state.borrow();
        let whole = !state.lost && state.broken.is_none();
        whole.then(|| Replay::of(Rc::clone(&self.kept)))
    }

    fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        if self.reading.is_none() {
            let state = self.kept.state.borrow();
            match state.pieces.get(self.next) {
                None => return Poll::Ready(None),
                Some(Piece::Memory(bytes)) => {
                    let bytes = bytes.clone();
                    drop(state);
                    self.next += 1;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Piece::Disk { at, length }) => {
                    let (at, length) = (*at, *length);
                    let Some(file) = state.file.clone() else {
                        return Poll::Ready(Some(Err(lost("its file is gone"))));
                    };
                    drop(state);
                    self.reading = Some(tokio::task::spawn_blocking(move || read(&file, at, length)));
                }
            }
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        self.next += 1;
        Poll::Ready(Some(match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(error) => Err(lost(&error.to_string())),
        }))
    }

    /// One write at a time, and none while somebody reads.
    fn poll_writing(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.kept.state.borrow_mut();
        if let Some(writing) = &mut state.writing {
            let written = ready!(Pin::new(writing).poll(context));
            state.writing = None;
            if !matches!(written, Ok(Ok(()))) {
                state.lost = true;
                tracing::warn!("A body cannot be kept on disk; it will not be sent again.");
            }
        }
        Poll::Ready(())
    }

    /// More of the body itself, kept for the next reader if there can be one.
    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let last = Rc::strong_count(&self.kept) == 1;
        let mut state = self.kept.state.borrow_mut();
        let state = &mut *state;
        if let Some(error) = &state.broken {
            return Poll::Ready(Some(Err(error.clone())));
        }
        if !state.ended {
            match ready!(state.source.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        state.keep(&data, last, self.kept.limits);
                        self.next = state.pieces.len();
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(frame) => state.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    state.broken = Some(error.clone());
                    return Poll::Ready(Some(Err(error)));
                }
                None => (),
            }
            state.ended = true;
        }
        if self.trailed {
            return Poll::Ready(None);
        }
        self.trailed = true;
        Poll::Ready(
            state
                .trailers
                .clone()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        )
    }
}

impl State {
    fn keep(&mut self, data: &Bytes, last: bool, limits: ReplayLimits) {
        if self.lost || data.is_empty() {
            return;
        }
        if last {
            // Nobody can ask for it again.
            self.forget();
        } else if self.file.is_none() && self.in_memory + data.len() <= limits.memory {
            self.in_memory += data.len();
            self.pieces.push(Piece::Memory(data.clone()));
        } else if self.on_disk + data.len() as u64 <= limits.disk {
            self.write(data.clone());
        } else {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.lost = true;
        self.pieces = Vec::new();
        self.file = None;
    }

    fn write(&mut self, data: Bytes) {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => match tempfile::tempfile() {
                Ok(file) => Arc::clone(self.file.insert(Arc::new(file))),
                Err(error) => {
                    tracing::warn!(%error, "A body cannot be kept on disk; it will not be sent again.");
                    return self.forget();
                }
            },
        };
        let length = data.len();
        self.pieces.push(Piece::Disk {
            at: self.on_disk,
            length,
        });
        self.on_disk += length as u64;
        self.writing = Some(tokio::task::spawn_blocking(move || (&*file).write_all(&data)));
    }
}

fn read(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(length);
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.freeze())
}

fn lost(why: &str) -> StreamError {
    let message = format!("the body that was kept cannot be read: {why}");
    StreamError::new(StreamOrigin::Gateway, StreamErrorKind::Failed, message)
}

impl Body for Replay {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        let turn = match this.turn.get() {
            Some(turn) => turn,
            None => {
                let turn = this.kept.turns.get() + 1;
                this.kept.turns.set(turn);
                this.turn.set(Some(turn));
                turn
            }
        };
        if turn != this.kept.turns.get() {
            let message = "the body is being sent again";
            return Poll::Ready(Some(Err(StreamError::new(
                StreamOrigin::Gateway,
                StreamErrorKind::Closed,
                message,
            ))));
        }
        ready!(this.poll_writing(context));
        let frame = match ready!(this.poll_kept(context)) {
            Some(piece) => Some(piece.map(Frame::data)),
            None => ready!(this.poll_source(context)),
        };
        if let Some(Ok(frame)) = &frame {
            this.read += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        match self.kept.hint.exact() {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.read)),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::body::ByteStream;
    use http_body_util::{BodyExt, StreamBody};

    fn runtime<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(future)
    }

    /// A body in pieces of so many bytes, each of another letter, with a trailer at its end.
    fn body(count: usize, size: usize) -> Pin<Box<dyn Body<Data = Bytes, Error = StreamError>>> {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        let piece = move |at| Bytes::from(vec![b'a' + (at % 26) as u8; size]);
        let frames = (0..count).map(move |at| Ok(Frame::data(piece(at))));
        let frames = frames.chain([Ok(Frame::trailers(trailers))]);
        Box::pin(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn whole(replay: Replay) -> (Vec<u8>, bool) {
        let (bytes, trailers) = ByteStream::new(replay)
            .collect(usize::MAX)
            .await
            .expect("it is whole");
        (bytes.to_vec(), trailers.is_some())
    }

    fn check(limits: ReplayLimits, read_before: usize) {
        runtime(async {
            let (expected, _) = whole(Replay::new(body(20, 1000), limits)).await;
            let mut first = Replay::new(body(20, 1000), limits);
            let second = first.again().expect("nothing is lost yet");
            for _ in 0..read_before {
                first.frame().await.expect("a piece").expect("it is there");
            }
            let third = second.again().expect("nothing is lost");
            assert_eq!(whole(second).await, (expected.clone(), true));
            if read_before > 0 {
                let broken = first.frame().await.expect("an error").is_err();
                assert!(broken, "another reader took over");
            }
            assert_eq!(whole(third).await, (expected, true));
        });
    }

    #[test]
    fn a_body_is_read_again_from_memory_and_from_disk() {
        for read_before in [0, 1, 7, 20] {
            check(ReplayLimits::default(), read_before);
            let (memory, disk) = (2500, 1 << 20);
            check(ReplayLimits { memory, disk }, read_before);
        }
    }

    #[test]
    fn a_body_that_is_too_long_goes_through_once() {
        runtime(async {
            let limits = ReplayLimits {
                memory: 1000,
                disk: 3000,
            };
            let mut first = Replay::new(body(5, 1000), limits);
            let second = first.again();
            let mut length = 0;
            while let Some(frame) = first.frame().await {
                length += frame.expect("it is there").data_ref().map_or(0, Bytes::len);
            }
            assert_eq!(length, 5000);
            assert!(second.expect("it was there").again().is_none());
        });
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        runtime(async {
            let mut only = Replay::new(body(5, 1000), ReplayLimits::default());
            only.frame().await.expect("a piece").expect("it is there");
            assert_eq!(only.kept.state.borrow().pieces.len(), 0);
            assert!(only.again().is_none());
        });
    }
}
