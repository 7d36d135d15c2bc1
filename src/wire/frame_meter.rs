//! The stream of a client over HTTP/2, with a limit on the control frames it may send: the library answers each of them, at any rate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::patient::Patient;

pub(super) struct Counted<S> {
    stream: Patient<S>,
    /// Bytes from the socket that the library has not been given yet.
    held: BytesMut,
    meter: FrameMeter,
    limit: u32,
}

impl<S> Counted<S> {
    /// `read` was taken from the socket already.
    pub fn new(stream: Patient<S>, read: BytesMut, limit: u32) -> Self {
        Self {
            stream,
            held: read,
            meter: FrameMeter::new(Instant::now()),
            limit,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if this.held.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            let count = this.held.len().min(buffer.remaining());
            buffer.put_slice(&this.held[..count]);
            this.held.advance(count);
        }
        if !this.meter.advance(&buffer.filled()[before..], this.limit) {
            let flood = "too many control frames on one connection";
            tracing::debug!(flood);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.meter.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
