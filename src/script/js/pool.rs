//! The workers of one core: a few that are warm, and replaced when they are lost.

use super::beside::Thread;
use super::child::Process;
use super::lane::{Answer, Lane, State, Way};
use super::meter::Meters;
use super::protocol::{Call, Given, Reply, Source};
use super::store::Stores;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep;

/// A run that takes longer than this does not count against the others: another worker may start meanwhile.
const SLOW: Duration = Duration::from_millis(100);
/// Workers that may be added so.
const EXTRA: usize = 4;
/// A worker that knows more scripts than this is replaced: files that change often would else fill it.
const SCRIPTS: usize = 256;
/// The engine's own word, with the line, comes before the kill where it has one.
const AFTERWARDS: Duration = Duration::from_millis(50);
/// The first worker of all may take so long to start.
const START: Duration = Duration::from_secs(10);
/// Threads that were given up and still run.
const STUCK: usize = 4;
/// Scripts that are remembered to be slow.
const REMEMBERED: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub isolation: Isolation,
    /// Of one run.
    pub time: Duration,
    /// Bytes, of one worker process.
    pub memory: u64,
    /// Of each core.
    pub workers: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// A process that can be killed; the program that becomes one.
    Process(PathBuf),
    /// A thread of the gateway, for those who trust their scripts.
    Thread,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            isolation: Isolation::Thread,
            time: Duration::from_secs(1),
            memory: 256 << 20,
            workers: 2,
        }
    }
}

/// A script has come to no end of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    Busy,
    TimedOut,
    /// Its worker died of it, for this reason.
    Died(String),
    NotStarted(String),
}

pub struct Pool {
    settings: Settings,
    stores: Arc<Stores>,
    meters: Arc<Meters>,
    lanes: RefCell<Vec<Rc<Lane>>>,
    starting: Cell<bool>,
    /// Why the last start failed.
    failed: RefCell<Option<String>>,
    /// A lane may have room, or there is another.
    freed: Notify,
    /// Threads that are of use.
    threads: Cell<usize>,
    /// These are not sent ahead, nor others behind them.
    slow: RefCell<HashSet<u64>>,
    stuck: Arc<AtomicUsize>,
}

impl Pool {
    pub fn new(settings: Settings, stores: Arc<Stores>, meters: Arc<Meters>) -> Rc<Pool> {
        meters.set_settings(&settings);
        Rc::new(Pool {
            settings,
            stores,
            meters,
            lanes: RefCell::default(),
            starting: Cell::new(false),
            failed: RefCell::default(),
            freed: Notify::new(),
            threads: Cell::new(1),
            slow: RefCell::default(),
            stuck: Arc::default(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs a script. `store`: whose store it uses.
    pub async fn run(
        self: &Rc<Self>,
        store: &str,
        id: u64,
        source: &Source,
        given: Given,
    ) -> Result<Reply, NoAnswer> {
        let store: Arc<str> = Arc::from(store);
        let mut call = Call {
            script: id,
            given,
            time: self.settings.time.as_millis() as u64,
        };
        loop {
            let waits = self.meters.waits();
            let lane = self.lane(id).await?;
            drop(waits);
            let _runs = self.meters.runs();
            let answered = lane.send(call, Arc::clone(&store), source).await;
            self.freed.notify_one();
            match answered {
                Ok(Answer::Reply(reply)) => {
                    if Duration::from_micros(reply.took) < SLOW / 2 {
                        self.slow.borrow_mut().remove(&id);
                    }
                    return Ok(reply);
                }
                Ok(Answer::Back(back)) => call = back,
                Ok(Answer::Died(reason)) => return Err(NoAnswer::Died(reason)),
                Ok(Answer::TimedOut) => return Err(NoAnswer::TimedOut),
                Err(_) => return Err(NoAnswer::Died("its worker is gone".to_owned())),
            }
        }
    }

    /// A lane with room for a call of this script.
    async fn lane(self: &Rc<Self>, script: u64) -> Result<Rc<Lane>, NoAnswer> {
        let mut began = None;
        loop {
            if let Some(lane) = self.choose(script) {
                return Ok(lane);
            }
            let began = *began.get_or_insert_with(Instant::now);
            let freed = self.freed.notified();
            self.refill();
            // Where others work, one that could not be started beside them is no reason not to wait.
            if self.lanes.borrow().is_empty()
                && let Some(reason) = &*self.failed.borrow()
            {
                return Err(NoAnswer::NotStarted(reason.clone()));
            }
            let longest = match self.starting.get() && self.lanes.borrow().is_empty() {
                true => START,
                false => self.settings.time,
            };
            let left = longest.saturating_sub(began.elapsed());
            if left.is_zero() || within(left, freed).await.is_none() {
                return Err(NoAnswer::Busy);
            }
        }
    }

    /// The first that has next to nothing to do, so that as few as possible have to be woken; or the one with the least to do.
    fn choose(self: &Rc<Self>, script: u64) -> Option<Rc<Lane>> {
        let alone = self.slow.borrow().contains(&script);
        let lanes = self.lanes.borrow();
        let usable = lanes.iter().filter(|lane| lane.scripts() <= SCRIPTS);
        let mut best: Option<(u64, &Rc<Lane>)> = None;
        for lane in usable {
            let Some(wait) = lane.wait(alone) else { continue };
            if best.is_none_or(|(least, _)| wait < least) {
                best = Some((wait, lane));
            }
            if Lane::is_short(wait) {
                break;
            }
        }
        let (wait, lane) = best?;
        if !Lane::is_short(wait) && self.threads.get() < self.settings.workers {
            self.threads.set(self.threads.get() + 1);
            self.refill();
        }
        if alone {
            lane.set_state(State::Alone);
        }
        Some(Rc::clone(lane))
    }

    /// Starts the workers that scripts will need, so that the first request need not wait.
    pub async fn warm(self: &Rc<Self>) {
        if self.starting.replace(true) {
            return;
        }
        self.failed.take();
        while self.lacks() {
            match self.start().await {
                Ok(way) => {
                    let lane = Rc::new(Lane::new(way));
                    self.lanes.borrow_mut().push(Rc::clone(&lane));
                    let stores = Arc::clone(&self.stores);
                    tokio::task::spawn_local(tend(Rc::downgrade(self), lane, stores));
                    self.freed.notify_waiters();
                }
                Err(reason) => {
                    tracing::error!(reason, "A worker for scripts cannot be started.");
                    self.failed.replace(Some(reason));
                    break;
                }
            }
        }
        self.starting.set(false);
        self.freed.notify_waiters();
    }

    fn refill(self: &Rc<Self>) {
        if !self.starting.get() && self.lacks() {
            let pool = Rc::clone(self);
            tokio::task::spawn_local(async move { pool.warm().await });
        }
    }

    /// Another worker is needed, and may be started.
    fn lacks(&self) -> bool {
        let lanes = self.lanes.borrow();
        self.serving() < self.wanted() && lanes.len() < self.wanted() + EXTRA
    }

    /// Those that may run at once; of processes, which take long to start, one more.
    fn wanted(&self) -> usize {
        match self.settings.isolation {
            Isolation::Process(_) => self.settings.workers.max(1) + 1,
            Isolation::Thread => self.threads.get(),
        }
    }

    fn serving(&self) -> usize {
        let lanes = self.lanes.borrow();
        let serving = |lane: &&Rc<Lane>| lane.state() == State::Serving && lane.scripts() <= SCRIPTS;
        lanes.iter().filter(serving).count()
    }

    async fn start(&self) -> Result<Way, String> {
        match &self.settings.isolation {
            Isolation::Process(program) => {
                let started = Process::start(program, self.settings.memory, &self.meters);
                Ok(Way::Process(started.await?))
            }
            Isolation::Thread if self.stuck.load(Ordering::Relaxed) >= STUCK => Err(format!(
                "{STUCK} scripts do not end, and threads cannot be killed"
            )),
            Isolation::Thread => {
                let started = Thread::start(Arc::clone(&self.stores), &self.stuck);
                Ok(Way::Thread(started.await?))
            }
        }
    }

    fn note_slow(&self, script: u64) {
        let mut slow = self.slow.borrow_mut();
        if slow.len() >= REMEMBERED {
            slow.clear();
        }
        slow.insert(script);
    }

    /// Is this one no longer needed?
    fn spares(&self, lane: &Lane) -> bool {
        lane.is_empty() && (lane.scripts() > SCRIPTS || self.serving() > self.wanted())
    }

    fn lost(self: &Rc<Self>, lane: &Rc<Lane>) {
        self.lanes.borrow_mut().retain(|known| !Rc::ptr_eq(known, lane));
        self.freed.notify_waiters();
        self.refill();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.lanes.borrow().iter().for_each(|lane| lane.retire());
    }
}

/// Looks after one worker from its start to its end.
async fn tend(pool: Weak<Pool>, lane: Rc<Lane>, stores: Arc<Stores>) {
    tokio::select! {
        biased;
        () = lane.serve(&stores) => {}
        () = watch(&pool, &lane) => {}
    }
    if let Some(pool) = pool.upgrade() {
        pool.lost(&lane);
    }
}

/// Sees to it that no script holds up others, nor takes longer than it may. Real time counts: in tests whose clock jumps a script has its time
/// all the same.
async fn watch(pool: &Weak<Pool>, lane: &Lane) {
    loop {
        lane.begun().await;
        let Some(pool) = pool.upgrade().filter(|_| lane.state() != State::Gone) else {
            return;
        };
        let age = lane.first().map_or(Duration::ZERO, |(_, age)| age);
        let limit = pool.settings.time + AFTERWARDS;
        if age >= limit {
            return lane.time_out();
        }
        if age >= SLOW {
            if lane.state() == State::Serving {
                if let Some((script, _)) = lane.first() {
                    pool.note_slow(script);
                }
                lane.clear_behind();
            }
            pool.refill();
        }
        if pool.spares(lane) {
            return lane.retire();
        }
        drop(pool);
        let next = if age < SLOW { SLOW } else { limit };
        sleep(next - age).await;
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    tokio::pin!(work);
    loop {
        let left = time.saturating_sub(began.elapsed());
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = sleep(left) => {
                if began.elapsed() >= time {
                    return None;
                }
            }
        }
    }
}
