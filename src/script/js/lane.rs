//! One worker and the calls that wait for it: sent ahead, answered in their order, and given back when the first of them takes long.
//!
//! Sending ahead saves a change of processes for each call. What it must not do is let one script hold up another: so what stands behind a
//! slow one goes to another worker, and no call is begun twice.

use super::beside::Thread;
use super::child::Process;
use super::protocol::{Call, Outcome, Reply, Source, Told};
use super::store::Stores;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Calls that a worker holds at most.
const DEPTH: usize = 64;
/// What they may be expected to take together. Scripts that take longer are called one by one.
const AHEAD: u64 = 10_000;
/// Less than this is not worth waking another worker for.
const PACKED: u64 = 1_000;

/// What a worker does once for all scripts with XML is not the time of the first of them.
const ONCE: Duration = Duration::from_secs(1);

pub struct Lane {
    way: Way,
    /// The scripts that it was told of.
    known: RefCell<HashSet<u64>>,
    /// In the order in which they were sent; the first is being run.
    queue: RefCell<VecDeque<Waiting>>,
    first_since: Cell<Instant>,
    /// Microseconds of processor time of all that it has answered.
    spent: Cell<u64>,
    /// Microseconds of a run, smoothed.
    usual: Cell<u64>,
    state: Cell<State>,
    /// The queue is not empty any more.
    filled: Notify,
}

pub enum Way {
    Process(Process),
    Thread(Thread),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Serving,
    /// Its last script takes long, or is known to: no other stands behind it.
    Alone,
    /// When its script has ended, it will not be used again.
    Last,
    Gone,
}

struct Waiting {
    script: u64,
    store: Arc<str>,
    /// The worker prepares itself for scripts with XML first.
    prepares: bool,
    /// For another worker, if this one does not come to it. A thread has it itself.
    call: Option<Call>,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    fn once(&self) -> Duration {
        if self.prepares { ONCE } else { Duration::ZERO }
    }
}

/// What became of a call.
pub enum Answer {
    Reply(Reply),
    /// It was not begun.
    Back(Call),
    Died(String),
    TimedOut,
}

impl Lane {
    pub fn new(way: Way) -> Lane {
        Lane {
            way,
            known: RefCell::default(),
            queue: RefCell::default(),
            first_since: Cell::new(Instant::now()),
            spent: Cell::new(0),
            usual: Cell::new(PACKED),
            state: Cell::new(State::Serving),
            filled: Notify::new(),
        }
    }

    pub fn state(&self) -> State {
        self.state.get()
    }

    pub fn set_state(&self, state: State) {
        self.state.set(state);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub fn scripts(&self) -> usize {
        self.known.borrow().len()
    }

    /// Microseconds that a further call would wait, if it may be sent at all.
    pub fn wait(&self) -> Option<u64> {
        let ahead = self.queue.borrow().len();
        let wait = ahead as u64 * self.usual.get();
        let room = ahead == 0 || ahead < DEPTH && wait < AHEAD;
        (room && self.state.get() == State::Serving).then_some(wait)
    }

    pub fn is_short(wait: u64) -> bool {
        wait < PACKED
    }

    pub fn send(&self, call: Call, store: Arc<str>, source: &Source) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let script = call.script;
        let is_new = self.known.borrow_mut().insert(script);
        let call = match &self.way {
            Way::Process(process) => {
                if is_new {
                    process.tell(&Told::Script(script, source.clone()));
                }
                let told = Told::Call(call);
                process.tell(&told);
                match told {
                    Told::Call(call) => Some(call),
                    _ => None,
                }
            }
            Way::Thread(thread) => {
                if is_new {
                    thread.learn(script, source.clone());
                }
                thread.call(call, Arc::clone(&store));
                None
            }
        };
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            self.first_since.set(Instant::now());
            self.filled.notify_one();
        }
        queue.push_back(Waiting {
            script,
            store,
            prepares: is_new && source.xml,
            call,
            answer,
        });
        answered
    }

    /// Carries messages until the worker ends; then whoever waited first hears why, and the others try elsewhere.
    pub async fn serve(&self, stores: &Stores) {
        let reason = match &self.way {
            Way::Process(process) => process.serve(self, stores).await,
            Way::Thread(thread) => thread.serve(self).await,
        };
        self.close(Answer::Died(reason));
    }

    /// The first call is answered.
    pub fn answer(&self, reply: Reply) {
        let (first, is_empty) = {
            let mut queue = self.queue.borrow_mut();
            let Some(first) = queue.pop_front() else { return };
            (first, queue.is_empty())
        };
        let now = Instant::now();
        self.first_since.set(now);
        self.spent.set(self.spent.get() + reply.took);
        if !matches!(reply.outcome, Outcome::NeedsAll) {
            self.usual.set((self.usual.get() * 7 + reply.took) / 8);
        }
        match self.state.get() {
            State::Alone if is_empty => self.state.set(State::Serving),
            State::Last => self.retire(),
            State::Serving | State::Alone | State::Gone => {}
        }
        // Whoever asked may have gone.
        drop(first.answer.send(Answer::Reply(reply)));
    }

    /// The first call is answered, and the worker comes to no other.
    pub fn answer_last(&self, reply: Reply) {
        self.answer(reply);
        self.give_back(0);
        self.retire();
    }

    /// Nothing more will come.
    pub fn retire(&self) {
        self.state.set(State::Gone);
        self.filled.notify_one();
    }

    /// Whose store the script that runs uses.
    pub fn store_of_first(&self) -> Option<Arc<str>> {
        let queue = self.queue.borrow();
        queue.front().map(|first| Arc::clone(&first.store))
    }

    /// Waits until a script runs, or will never.
    pub async fn begun(&self) {
        while self.is_empty() && self.state.get() != State::Gone {
            self.filled.notified().await;
        }
    }

    /// How long the first has been running, and which script it is.
    pub fn first(&self) -> Option<(u64, Duration)> {
        let queue = self.queue.borrow();
        let first = queue.front()?;
        Some((
            first.script,
            self.first_since.get().elapsed().saturating_sub(first.once()),
        ))
    }

    /// The processor time that the first has had, exact to some 10 ms. `None`: nobody can say.
    pub fn used(&self) -> Option<Duration> {
        let processor = match &self.way {
            Way::Process(process) => process.processor(),
            Way::Thread(thread) => thread.processor(),
        };
        let used = processor.used()?;
        let once = self.queue.borrow().front()?.once();
        Some(used.saturating_sub(Duration::from_micros(self.spent.get()) + once))
    }

    /// What stands behind the first goes back to those who asked.
    pub fn clear_behind(&self) {
        match &self.way {
            Way::Process(_) => {
                // They are in the socket already: this worker must not come to them.
                let is_last = self.give_back(1) > 0;
                self.set_state(if is_last { State::Last } else { State::Alone });
            }
            Way::Thread(thread) => {
                let calls = thread.take_back();
                let mut queue = self.queue.borrow_mut();
                let at = queue.len().saturating_sub(calls.len());
                let behind = queue.split_off(at);
                self.set_state(State::Alone);
                for (waiting, call) in behind.into_iter().zip(calls) {
                    drop(waiting.answer.send(Answer::Back(call)));
                }
            }
        }
    }

    /// What stands behind so many of a process goes elsewhere. How many these are.
    fn give_back(&self, kept: usize) -> usize {
        let behind = {
            let mut queue = self.queue.borrow_mut();
            let kept = kept.min(queue.len());
            queue.split_off(kept)
        };
        let count = behind.len();
        for waiting in behind {
            if let Some(call) = waiting.call {
                drop(waiting.answer.send(Answer::Back(call)));
            }
        }
        count
    }

    /// Another stands behind the first.
    pub fn holds_up(&self) -> bool {
        self.queue.borrow().len() > 1
    }

    /// The first has had its time.
    pub fn time_out(&self) {
        if let Way::Thread(thread) = &self.way {
            thread.give_up();
        }
        self.close(Answer::TimedOut);
    }

    fn close(&self, first: Answer) {
        self.set_state(State::Gone);
        if let Way::Thread(thread) = &self.way {
            let calls = thread.take_back();
            let mut queue = self.queue.borrow_mut();
            let at = queue.len().saturating_sub(calls.len());
            for (waiting, call) in queue.split_off(at).into_iter().zip(calls) {
                drop(waiting.answer.send(Answer::Back(call)));
            }
        }
        let begun = self.queue.borrow_mut().pop_front();
        if let Some(waiting) = begun {
            drop(waiting.answer.send(first));
        }
        self.give_back(0);
    }
}
