//! What a connection with a client is told from outside, and how it comes to its end.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::head::Refusal;

#[derive(Default)]
pub(super) struct Connection {
    draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Asks the connection to end after what it is doing.
    pub fn drain(&self) {
        self.draining.set(true);
        self.wake();
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

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Wakes whoever serves the connection, unless it is at work at this moment.
    pub fn wake_from(&self, context: &Context<'_>) {
        if let Some(waker) = &*self.waker.borrow()
            && !waker.will_wake(context.waker())
        {
            waker.wake_by_ref();
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
