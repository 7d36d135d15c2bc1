//! A deadline that moves without touching the timer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

/// Deadlines of a connection move ahead with every request. The timer is left where it is and looked at when it goes
/// off; it is set again only then, or when a deadline comes before it.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Option<(Pin<Box<Sleep>>, Waker)>,
}

impl Alarm {
    pub fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let (timer, waker) = self
            .armed
            .get_or_insert_with(|| (Box::pin(sleep_until(deadline)), Waker::noop().clone()));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        } else if !timer.is_elapsed() && waker.will_wake(context.waker()) {
            return Poll::Pending;
        }
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        waker.clone_from(context.waker());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_either_way() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let mut deadline = start + Duration::from_secs(10);
        let mut looked = 0;
        poll_fn(|context| {
            looked += 1;
            if looked == 1 {
                assert!(alarm.poll(context, deadline).is_pending());
                deadline = start + Duration::from_secs(20);
            }
            alarm.poll(context, deadline)
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 20);
        let sooner = Instant::now() + Duration::from_secs(5);
        poll_fn(|context| alarm.poll(context, sooner)).await;
        assert_eq!(start.elapsed().as_secs(), 25);
    }
}
