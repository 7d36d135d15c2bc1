//! A thread beside the gateway's own that runs scripts: quicker than a process, and nobody can kill it.

use super::engine::{Engine, THREAD_STACK};
use super::lane::Lane;
use super::processor::{self, Processor};
use super::protocol::{Call, Reply, Source};
use super::store::Stores;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Rounds of a loop on a thread, which cannot be killed.
pub const LOOPS: u64 = 2_000_000;

pub struct Thread {
    shared: Arc<Shared>,
    processor: Processor,
    /// What it will be given together, so that it has to be woken once.
    outbox: RefCell<Vec<Task>>,
    outgoing: Notify,
    given_up: Arc<AtomicUsize>,
    stuck: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Shared {
    tasks: Mutex<Tasks>,
    filled: Condvar,
    replies: Mutex<Replies>,
    told: Notify,
}

#[derive(Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    /// The thread has nothing to do and has to be woken.
    sleeps: bool,
    closed: bool,
}

enum Task {
    Learn(u64, Source),
    Run(Call, Arc<str>),
}

#[derive(Default)]
struct Replies {
    list: Vec<Reply>,
    /// The engine is there, in the thread of this name.
    ready: Option<PathBuf>,
    ended: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Thread {
    /// `stuck` counts those that were given up and still run.
    pub async fn start(stores: Arc<Stores>, stuck: &Arc<AtomicUsize>) -> Result<Thread, String> {
        let shared = Arc::<Shared>::default();
        let given_up = Arc::new(AtomicUsize::new(0));
        let leaving = Leaving {
            given_up: Arc::clone(&given_up),
            stuck: Arc::clone(stuck),
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || work(&leaving.shared, stores))
            .map_err(|error| error.to_string())?;
        let name = loop {
            // What a script may take does not count what the engine needs.
            shared.told.notified().await;
            let mut replies = locked(&shared.replies);
            if replies.ended {
                return Err("there is no engine for scripts".to_owned());
            }
            if let Some(name) = replies.ready.take() {
                break name;
            }
        };
        Ok(Thread {
            shared,
            processor: Processor::of_thread(&name),
            outbox: RefCell::default(),
            outgoing: Notify::new(),
            given_up,
            stuck: Arc::clone(stuck),
        })
    }

    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    pub fn learn(&self, id: u64, source: Source) {
        self.give(Task::Learn(id, source));
    }

    pub fn call(&self, call: Call, store: Arc<str>) {
        self.give(Task::Run(call, store));
    }

    fn give(&self, task: Task) {
        self.outbox.borrow_mut().push(task);
        self.outgoing.notify_one();
    }

    fn flush(&self) {
        let mut tasks = locked(&self.shared.tasks);
        tasks.waiting.extend(self.outbox.borrow_mut().drain(..));
        let sleeps = std::mem::take(&mut tasks.sleeps);
        drop(tasks);
        if sleeps {
            self.shared.filled.notify_one();
        }
    }

    /// What it has not begun, in its order.
    pub fn take_back(&self) -> Vec<Call> {
        let mut tasks = locked(&self.shared.tasks);
        tasks.waiting.extend(self.outbox.borrow_mut().drain(..));
        let mut back = Vec::new();
        for task in std::mem::take(&mut tasks.waiting) {
            match task {
                Task::Run(call, _) => back.push(call),
                learn => tasks.waiting.push_back(learn),
            }
        }
        back
    }

    /// Hands over what it answers until it ends.
    pub async fn serve(&self, lane: &Lane) -> String {
        loop {
            tokio::select! {
                biased;
                () = self.shared.told.notified() => {}
                () = self.outgoing.notified() => {
                    self.flush();
                    continue;
                }
            }
            let (list, ended) = {
                let mut replies = locked(&self.shared.replies);
                (std::mem::take(&mut replies.list), replies.ended)
            };
            list.into_iter().for_each(|reply| lane.answer(reply));
            if ended {
                return "the thread of the scripts has ended".to_owned();
            }
        }
    }

    /// It does not end, and counts until it does after all.
    pub fn give_up(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        self.given_up.store(1, Ordering::Relaxed);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        locked(&self.shared.tasks).closed = true;
        self.shared.filled.notify_one();
    }
}

fn work(shared: &Shared, stores: Arc<Stores>) {
    let whose = Rc::new(RefCell::new(Arc::<str>::from("")));
    let port = {
        let whose = Rc::clone(&whose);
        Rc::new(move |call: &_| stores.call(&whose.borrow(), call))
    };
    let mut engine = match Engine::new(Some(LOOPS), port) {
        Ok(engine) => engine,
        Err(reason) => return tracing::error!(reason, "There is no engine for scripts."),
    };
    let name = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let mut now = processor::micros();
    locked(&shared.replies).ready = Some(name);
    shared.told.notify_one();
    while let Some(task) = next(shared) {
        match task {
            Task::Learn(id, source) => engine.learn(id, source),
            Task::Run(call, store) => {
                *whose.borrow_mut() = store;
                let mut reply = engine.run(call, Some(now));
                let begun = std::mem::replace(&mut now, processor::micros());
                reply.took = now - begun;
                let mut replies = locked(&shared.replies);
                let first = replies.list.is_empty();
                replies.list.push(reply);
                drop(replies);
                if first {
                    shared.told.notify_one();
                }
            }
        }
    }
}

fn next(shared: &Shared) -> Option<Task> {
    let mut tasks = locked(&shared.tasks);
    loop {
        if tasks.closed {
            return None;
        }
        if let Some(task) = tasks.waiting.pop_front() {
            return Some(task);
        }
        tasks.sleeps = true;
        tasks = shared.filled.wait(tasks).unwrap_or_else(PoisonError::into_inner);
    }
}

/// When the thread ends, however it does.
struct Leaving {
    given_up: Arc<AtomicUsize>,
    stuck: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        locked(&self.shared.replies).ended = true;
        self.shared.told.notify_one();
        if self.given_up.load(Ordering::Relaxed) == 1 {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
