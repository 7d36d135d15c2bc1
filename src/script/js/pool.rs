//! The workers of one core: a few that are warm, and replaced when they are lost.

use super::beside::Thread;
use super::child::Process;
use super::engine::THREAD_STACK;
use super::here::Here;
use super::lane::{Answer, Lane, State, Way};
use super::meter::Meters;
use super::processor::is_starved;
use super::protocol::{Call, Given, Reply, Source};
use super::remembered::{Answered, Remembered};
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
/// One that stands so long, though it has hardly run, does not hold up others either.
const STANDS: Duration = Duration::from_millis(300);
/// Workers that may be added so.
const EXTRA: usize = 4;
/// A worker that knows more scripts than this is replaced: files that change often would else fill it.
const SCRIPTS: usize = 256;
/// The engine's own word, with the line, comes before the kill where it has one.
const AFTERWARDS: Duration = Duration::from_millis(50);
/// Nothing lasts longer than so many times what it may take, whatever the machine does.
const PATIENCE: u32 = 10;
/// So long at least a call may wait for a worker. It may also wait as long as one of those before it may run.
const QUEUE: Duration = Duration::from_secs(5);
/// The first worker of all may take so long to start.
const START: Duration = Duration::from_secs(10);
/// One that could not be started may have met a moment without memory: it is tried again after a while.
const STARTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// Where the clock jumps.
const REST: Duration = Duration::from_millis(1);
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
    /// Scripts that are quick may run in the thread that serves requests, which has `THREAD_STACK` for them.
    pub here: bool,
    /// What looked at nothing but what it was given is not run again for the same.
    pub remember: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// A process that can be killed; the program that becomes one.
    Process(PathBuf),
    /// A thread of the gateway, for those who trust their scripts.
    Thread,
}

impl Settings {
    /// The stack that the threads need which serve requests, if scripts run there.
    pub fn stack(&self) -> Option<usize> {
        (self.here && self.isolation == Isolation::Thread).then_some(THREAD_STACK)
    }

    /// How long a call may wait for a worker.
    pub fn queue(&self) -> Duration {
        self.time.max(QUEUE)
    }

    /// Whether a run has had its time: so long ago it began, and so much of a processor it has had. A script that the machine
    /// did not let run is no slow one; and scripts cannot sleep.
    fn is_over(&self, age: Duration, used: Option<Duration>) -> bool {
        let starved = used.is_some_and(|used| is_starved(used, self.time));
        age >= self.time + AFTERWARDS && (!starved || age >= self.time * PATIENCE + AFTERWARDS)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            isolation: Isolation::Thread,
            time: Duration::from_secs(1),
            memory: 256 << 20,
            workers: 2,
            here: false,
            remember: true,
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
    /// No others are sent behind these.
    slow: RefCell<HashSet<u64>>,
    stuck: Arc<AtomicUsize>,
    here: Option<Here>,
    remembered: Option<RefCell<Remembered>>,
}

impl Pool {
    pub fn new(settings: Settings, stores: Arc<Stores>, meters: Arc<Meters>) -> Rc<Pool> {
        meters.set_settings(&settings);
        let here = settings.stack().map(|_| Here::new(Arc::clone(&stores)));
        Rc::new(Pool {
            here,
            remembered: settings.remember.then(RefCell::default),
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

    /// What a script answers, by a run unless it is remembered. `store`: whose store a run uses.
    pub async fn run(
        self: &Rc<Self>,
        store: impl FnOnce() -> Arc<str>,
        id: u64,
        source: &Source,
        given: Given,
    ) -> Result<Answered, NoAnswer> {
        let Some(remembered) = &self.remembered else {
            let reply = self.run_anew(store(), id, source, given).await?;
            return Ok(Answered::now(reply));
        };
        if let Some(answered) = remembered.borrow_mut().find(id, &given) {
            return Ok(answered);
        }
        let copy = remembered.borrow_mut().copy(id, &given);
        let reply = self.run_anew(store(), id, source, given).await?;
        let answered = Answered::now(reply);
        if let Some(given) = copy {
            remembered.borrow_mut().keep(id, given, &answered);
        }
        Ok(answered)
    }

    async fn run_anew(
        self: &Rc<Self>,
        store: Arc<str>,
        id: u64,
        source: &Source,
        given: Given,
    ) -> Result<Reply, NoAnswer> {
        let mut call = Call {
            script: id,
            given,
            time: self.settings.time.as_millis() as u64,
        };
        if let Some(here) = self.here.as_ref().filter(|here| here.takes(id)) {
            let _runs = self.meters.runs();
            return here
                .run(call, store, source, SCRIPTS)
                .map_err(NoAnswer::NotStarted);
        }
        loop {
            let waits = self.meters.waits();
            let lane = self.lane(id).await?;
            drop(waits);
            let _runs = self.meters.runs();
            let answered = lane.send(call, Arc::clone(&store), source).await;
            self.freed.notify_one();
            match answered {
                Ok(Answer::Reply(reply)) => {
                    if let Some(here) = &self.here {
                        here.note(id, reply.took, REMEMBERED);
                    }
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
                false => self.settings.queue(),
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
            let Some(wait) = lane.wait() else { continue };
            if best.is_none_or(|(least, _)| wait < least) {
                best = Some((wait, lane));
            }
            if wait == 0 || Lane::is_short(wait) && !alone {
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
        let mut tries = 0;
        while self.lacks() {
            match self.start().await {
                Ok(way) => {
                    tries = 0;
                    let lane = Rc::new(Lane::new(way));
                    self.lanes.borrow_mut().push(Rc::clone(&lane));
                    let stores = Arc::clone(&self.stores);
                    tokio::task::spawn_local(tend(Rc::downgrade(self), lane, stores));
                    self.freed.notify_waiters();
                }
                Err(_) if tries + 1 < STARTS => {
                    tries += 1;
                    sleep(PAUSE * tries).await;
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
        if age >= SLOW {
            let used = lane.used();
            if pool.settings.is_over(age, used) {
                let used = used.map(|used| used.as_millis());
                let age = age.as_millis();
                tracing::warn!(milliseconds = age, of_a_processor = ?used, "A script has had its time.");
                return lane.time_out();
            }
            let is_slow = used.is_none_or(|used| used >= SLOW / 2);
            if is_slow && let Some((script, _)) = lane.first() {
                pool.note_slow(script);
            }
            // Where nobody is given a processor, another worker would not be either.
            let holds_up = lane.state() == State::Serving || lane.holds_up();
            if holds_up && (is_slow || age >= STANDS) {
                lane.clear_behind();
            }
            pool.refill();
        }
        if pool.spares(lane) {
            return lane.retire();
        }
        drop(pool);
        let next = match age {
            age if age < SLOW => SLOW - age,
            age if age < limit => SLOW.min(limit - age),
            _ => AFTERWARDS,
        };
        pause(next).await;
    }
}

/// In tests the clock may jump to its end: whoever waited for real time without a rest would take the processor from the scripts.
async fn pause(time: Duration) {
    let began = Instant::now();
    sleep(time).await;
    if began.elapsed() < time / 2 {
        std::thread::sleep(REST);
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
            () = pause(left) => {
                if began.elapsed() >= time {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_over_when_it_had_its_time_and_the_machine_let_it_run() {
        let settings = Settings::default();
        let is_over = |age: u64, used: Option<u64>| {
            settings.is_over(Duration::from_millis(age), used.map(Duration::from_millis))
        };
        // It runs, and its engine has 50 ms to speak first.
        assert!(!is_over(1_049, Some(1_049)) && is_over(1_050, Some(1_050)));
        // Others run as well.
        assert!(is_over(1_050, Some(250)));
        // It hardly runs, or stands.
        assert!(!is_over(1_050, Some(249)) && !is_over(10_049, Some(0)));
        assert!(is_over(10_050, Some(0)));
        // Nobody can say.
        assert!(is_over(1_050, None));
    }
}
