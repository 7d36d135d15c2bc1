//! The workers of one core: a few that are warm, one script at a time each, replaced when they are lost.

use super::engine::{Engine, THREAD_STACK};
use super::meter::{Listed, Meters};
use super::process::{LONGEST, micros_since};
use super::protocol::{Call, Given, Outcome, Reply, Said, Source, Stored, framed};
use super::store::Stores;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{sleep, timeout};

/// A run that takes longer than this does not count against the others: another worker may start meanwhile.
const SLOW: Duration = Duration::from_millis(100);
/// Workers that may be added so.
const EXTRA: usize = 4;
/// A worker that knows more scripts than this is replaced: files that change often would else fill it.
const SCRIPTS: usize = 256;
/// What a worker does once for all scripts with XML is not the time of the first of them.
const ONCE: Duration = Duration::from_secs(1);
/// The engine's own word, with the line, comes before the kill where it has one.
const AFTERWARDS: Duration = Duration::from_millis(50);
const START: Duration = Duration::from_secs(10);
/// Rounds of a loop on a thread, which cannot be killed.
const LOOPS: u64 = 2_000_000;
/// Threads that were given up and still run.
const STUCK: usize = 4;
/// The command by which this program becomes a worker.
pub const COMMAND: &str = "script-worker";

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
    idle: RefCell<Vec<Worker>>,
    starting: Cell<usize>,
    gate: Semaphore,
    extra: Cell<usize>,
    stuck: Arc<AtomicUsize>,
}

struct Worker {
    way: Way,
    /// The scripts that it has compiled.
    known: HashSet<u64>,
}

enum Way {
    Process(Process),
    Thread(Thread),
}

impl Pool {
    pub fn new(settings: Settings, stores: Arc<Stores>, meters: Arc<Meters>) -> Rc<Pool> {
        meters.set_settings(&settings);
        let gate = Semaphore::new(settings.workers.max(1));
        Rc::new(Pool {
            settings,
            stores,
            meters,
            idle: RefCell::default(),
            starting: Cell::new(0),
            gate,
            extra: Cell::new(0),
            stuck: Arc::default(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts the workers that scripts will need, so that the first request need not wait.
    pub async fn warm(self: &Rc<Self>) {
        while self.idle.borrow().len() + self.starting.get() < self.wanted() {
            match self.start().await {
                Ok(worker) => self.idle.borrow_mut().push(worker),
                Err(reason) => {
                    tracing::error!(reason, "A worker for scripts cannot be started.");
                    return;
                }
            }
        }
    }

    /// Those that may run at once, and a spare.
    fn wanted(&self) -> usize {
        match self.settings.isolation {
            Isolation::Process(_) => self.settings.workers.max(1) + 1,
            Isolation::Thread => 1,
        }
    }

    /// Runs a script. `store`: whose store it uses.
    pub async fn run(
        self: &Rc<Self>,
        store: &str,
        id: u64,
        source: &Source,
        given: Given,
    ) -> Result<Reply, NoAnswer> {
        let waits = self.meters.waits();
        let permit = match timeout(self.settings.time, self.gate.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(NoAnswer::Busy),
        };
        drop(waits);
        let _runs = self.meters.runs();
        let mut slot = Slot {
            permit: Some(permit),
            grown: false,
            extra: &self.extra,
        };
        let idle = self.idle.borrow_mut().pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.start().await.map_err(NoAnswer::NotStarted)?,
        };
        let call = Call {
            script: id,
            source: (!worker.known.contains(&id)).then(|| source.clone()),
            given,
            time: self.settings.time.as_millis() as u64,
        };
        let once = match &call.source {
            Some(source) if source.xml => ONCE,
            _ => Duration::ZERO,
        };
        let answer = {
            let asked = worker.ask(call, store, &self.stores);
            tokio::pin!(asked);
            match within(SLOW, &mut asked).await {
                Some(answer) => Some(answer),
                None => {
                    slot.grow(&self.gate);
                    let left = (self.settings.time + once + AFTERWARDS).saturating_sub(SLOW);
                    within(left, &mut asked).await
                }
            }
        };
        match answer {
            Some(Ok(reply)) => {
                // What could not be compiled is not there either.
                if !matches!(reply.outcome, Outcome::Failed(_)) {
                    worker.known.insert(id);
                }
                if worker.known.len() > SCRIPTS {
                    self.refill();
                } else {
                    let mut idle = self.idle.borrow_mut();
                    // Those that were added while others were slow go again.
                    if idle.len() < self.wanted() {
                        idle.push(worker);
                    }
                }
                Ok(reply)
            }
            Some(Err(reason)) => {
                self.refill();
                Err(NoAnswer::Died(
                    worker.last_words(reason, self.settings.memory).await,
                ))
            }
            None => {
                self.refill();
                worker.give_up(&self.stuck);
                Err(NoAnswer::TimedOut)
            }
        }
    }

    /// In place of one that is lost.
    fn refill(self: &Rc<Self>) {
        if matches!(self.settings.isolation, Isolation::Process(_)) {
            let pool = Rc::clone(self);
            tokio::task::spawn_local(async move { pool.warm().await });
        }
    }

    async fn start(&self) -> Result<Worker, String> {
        let way = match &self.settings.isolation {
            Isolation::Process(program) => {
                let _starting = Starting::new(&self.starting);
                Way::Process(Process::start(program, self.settings.memory, &self.meters).await?)
            }
            Isolation::Thread => {
                if self.stuck.load(Ordering::Relaxed) >= STUCK {
                    return Err(format!(
                        "{STUCK} scripts do not end, and threads cannot be killed"
                    ));
                }
                Way::Thread(Thread::start(Arc::clone(&self.stores), Arc::clone(&self.stuck))?)
            }
        };
        Ok(Worker {
            way,
            known: HashSet::new(),
        })
    }
}

/// Real time counts: in tests whose clock jumps a script has its time all the same.
async fn within<T>(time: Duration, mut work: impl Future<Output = T> + Unpin) -> Option<T> {
    let began = Instant::now();
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

/// Counts one up while it lives.
struct Starting<'p>(&'p Cell<usize>);

impl<'p> Starting<'p> {
    fn new(count: &'p Cell<usize>) -> Starting<'p> {
        count.set(count.get() + 1);
        Starting(count)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The right to run. One that was added while a script is slow ends with it.
struct Slot<'p> {
    permit: Option<SemaphorePermit<'p>>,
    grown: bool,
    extra: &'p Cell<usize>,
}

impl Slot<'_> {
    fn grow(&mut self, gate: &Semaphore) {
        if self.extra.get() < EXTRA {
            self.extra.set(self.extra.get() + 1);
            self.grown = true;
            gate.add_permits(1);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.grown {
            self.extra.set(self.extra.get() - 1);
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

impl Worker {
    async fn ask(&mut self, call: Call, store: &str, stores: &Stores) -> Result<Reply, String> {
        match &mut self.way {
            Way::Process(process) => process.ask(&call, store, stores).await,
            Way::Thread(thread) => thread.ask(call, store).await,
        }
    }

    async fn last_words(self, reason: String, memory: u64) -> String {
        match self.way {
            Way::Process(process) => process.last_words(reason, memory).await,
            Way::Thread(_) => reason,
        }
    }

    fn give_up(self, stuck: &AtomicUsize) {
        match self.way {
            // It is killed as it is dropped.
            Way::Process(process) => drop(process),
            Way::Thread(thread) => {
                stuck.fetch_add(1, Ordering::Relaxed);
                thread.given_up.store(1, Ordering::Relaxed);
            }
        }
    }
}

struct Process {
    /// Taken when it is reaped.
    child: Option<Child>,
    /// While it lives.
    _listed: Listed,
    stderr: Option<ChildStderr>,
    stream: UnixStream,
}

impl Process {
    async fn start(program: &Path, memory: u64, meters: &Arc<Meters>) -> Result<Process, String> {
        let told = |error: std::io::Error| format!("{}: {error}", program.display());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(told)?;
        ours.set_nonblocking(true).map_err(told)?;
        let mut child = Command::new(program)
            .arg0("myelin")
            .arg(COMMAND)
            .arg("--memory")
            .arg(memory.to_string())
            .env_clear()
            // A worker that reserves more than it may use could not be held to its limit.
            .env("MIMALLOC_ARENA_RESERVE", "4096")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(told)?;
        let stderr = child.stderr.take();
        let stream = UnixStream::from_std(ours).map_err(told)?;
        let mut process = Process {
            _listed: meters.started(child.id()),
            child: Some(child),
            stderr,
            stream,
        };
        match timeout(START, process.read()).await {
            Ok(Ok(Said::Ready)) => Ok(process),
            Ok(Ok(_)) => Err("a worker speaks out of turn".to_owned()),
            Ok(Err(reason)) => Err(process.last_words(reason, memory).await),
            Err(_) => Err("a worker is not ready in time".to_owned()),
        }
    }

    async fn ask(&mut self, call: &Call, store: &str, stores: &Stores) -> Result<Reply, String> {
        self.write(&framed(call)).await?;
        loop {
            match self.read().await? {
                Said::Reply(reply) => return Ok(reply),
                Said::Store(call) => {
                    let stored: Stored = stores.call(store, &call);
                    self.write(&framed(&stored)).await?;
                }
                Said::Ready => return Err("a worker speaks out of turn".to_owned()),
            }
        }
    }

    async fn write(&mut self, message: &[u8]) -> Result<(), String> {
        let written = self.stream.write_all(message).await;
        written.map_err(|error| error.to_string())
    }

    async fn read(&mut self) -> Result<Said, String> {
        let told = |error: std::io::Error| error.to_string();
        let length = self.stream.read_u32_le().await.map_err(told)? as usize;
        if length > LONGEST {
            return Err(format!("what it gives back is longer than {} MiB", LONGEST >> 20));
        }
        let mut message = Vec::new();
        let read = (&mut self.stream)
            .take(length as u64)
            .read_to_end(&mut message)
            .await;
        if read.map_err(told)? < length {
            return Err("it ended in the middle of its answer".to_owned());
        }
        serde_json::from_slice(&message).map_err(|error| error.to_string())
    }

    /// Why it died, as far as that can be known.
    async fn last_words(mut self, reason: String, memory: u64) -> String {
        let (child, stderr) = (self.child.take(), self.stderr.take());
        let Some(mut child) = child else { return reason };
        let ended = tokio::task::spawn_blocking(move || {
            // It may live on: then it is not what it should be.
            let lives = (0..20).all(|_| still_lives(&mut child));
            if lives {
                child.kill().ok();
            }
            let status = child.wait().ok();
            let mut words = Vec::new();
            if let Some(stderr) = stderr {
                stderr.take(4096).read_to_end(&mut words).ok();
            }
            (lives, status, String::from_utf8_lossy(&words).into_owned())
        });
        match ended.await {
            Ok((false, Some(status), words)) => cause(status, &words, memory),
            _ => reason,
        }
    }
}

/// Looks once, and waits a little if it does.
fn still_lives(child: &mut Child) -> bool {
    let lives = matches!(child.try_wait(), Ok(None));
    if lives {
        std::thread::sleep(Duration::from_millis(5));
    }
    lives
}

fn cause(status: ExitStatus, words: &str, memory: u64) -> String {
    const CPU: i32 = 24;
    if words.contains("memory allocation") || words.contains("capacity overflow") {
        return format!(
            "it needs more memory than the {} MiB that a script may use",
            memory >> 20
        );
    }
    if words.contains("overflowed its stack") {
        return "it is nested too deep, or calls itself too often".to_owned();
    }
    if status.signal() == Some(CPU) {
        return "it took more processor time than a script may".to_owned();
    }
    let last = words
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    match (status.signal(), last) {
        (Some(signal), "") => format!("its worker was ended by signal {signal}"),
        (None, "") => format!("its worker ended with {status}"),
        (_, last) => format!("its worker ended: {}", super::engine::cut(last.trim(), 300)),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        child.kill().ok();
        // Its memory has to be freed before it is gone: not on the time of others.
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(move || child.wait().ok())),
            Err(_) => drop(child.wait()),
        }
    }
}

type Task = (Call, String, oneshot::Sender<Reply>);

struct Thread {
    tasks: mpsc::Sender<Task>,
    given_up: Arc<AtomicUsize>,
}

impl Thread {
    fn start(stores: Arc<Stores>, stuck: Arc<AtomicUsize>) -> Result<Thread, String> {
        let (tasks, received) = mpsc::channel::<Task>();
        let given_up = Arc::new(AtomicUsize::new(0));
        let leaving = Leaving {
            given_up: Arc::clone(&given_up),
            stuck,
        };
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let _leaving = leaving;
                let whose = Rc::new(RefCell::new(String::new()));
                let port = {
                    let whose = Rc::clone(&whose);
                    Rc::new(move |call: &_| stores.call(&whose.borrow(), call))
                };
                let mut engine = match Engine::new(Some(LOOPS), port) {
                    Ok(engine) => engine,
                    Err(reason) => return tracing::error!(reason, "There is no engine for scripts."),
                };
                for (call, store, answer) in received {
                    *whose.borrow_mut() = store;
                    // Whoever asked may have gone.
                    let begun = clock_gettime(ClockId::ThreadCPUTime);
                    let mut reply = engine.run(call);
                    reply.took = micros_since(begun);
                    answer.send(reply).ok();
                }
            })
            .map_err(|error| error.to_string())?;
        Ok(Thread { tasks, given_up })
    }

    async fn ask(&self, call: Call, store: &str) -> Result<Reply, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the thread of the scripts has ended".to_owned();
        self.tasks
            .send((call, store.to_owned(), answer))
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// A thread that was given up counts until it ends after all.
struct Leaving {
    given_up: Arc<AtomicUsize>,
    stuck: Arc<AtomicUsize>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.given_up.load(Ordering::Relaxed) == 1 {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
