//! A worker process: limits itself, then runs one script after the other for the gateway at the other end of its standard input.

use super::engine::{Engine, StorePort, THREAD_STACK};
use super::protocol::{Inbox, Said, StoreCall, Stored, Told, frame};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// What a script may keep open: its socket, and the streams it was started with.
const FILES: u64 = 8;

/// Serves until the gateway hangs up. `memory`: bytes that scripts may use beyond what the process needs for itself.
pub fn serve(memory: u64) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(told)?;
    let thread = std::thread::Builder::new()
        .name("script".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || work(UnixStream::from(socket), memory));
    match thread.map_err(told)?.join() {
        Ok(ended) => ended,
        Err(_) => Err("the engine gave up".to_owned()),
    }
}

fn work(socket: UnixStream, memory: u64) -> Result<(), String> {
    let gateway = Rc::new(Gateway {
        socket,
        inbox: RefCell::default(),
        waiting: RefCell::default(),
    });
    let port: StorePort = {
        let gateway = Rc::clone(&gateway);
        Rc::new(move |call: &StoreCall| gateway.store(call.clone()))
    };
    let mut engine = Engine::new(None, port)?;
    limit_self(memory).map_err(|error| format!("limits cannot be set: {error}"))?;
    gateway.say(&Said::Ready)?;
    let mut allowed = 0;
    let mut now = clock_gettime(ClockId::ThreadCPUTime);
    while let Some(told) = gateway.next()? {
        match told {
            Told::Script(id, source) => engine.learn(id, source),
            Told::Call(call) => {
                let until = now.tv_sec as u64 + 2 + call.time.div_ceil(1000);
                if until != allowed {
                    limit_processor(until).map_err(|error| error.to_string())?;
                    allowed = until;
                }
                let mut reply = engine.run(call);
                let begun = std::mem::replace(&mut now, clock_gettime(ClockId::ThreadCPUTime));
                reply.took = micros_between(begun, now);
                // At once: whoever is answered is not to wait for the next, nor to be lost with it.
                gateway.say(&Said::Reply(reply))?;
            }
            Told::Stored(_) => return Err("nobody has asked for that".to_owned()),
        }
    }
    Ok(())
}

/// The other end of the socket.
struct Gateway {
    socket: UnixStream,
    inbox: RefCell<Inbox>,
    /// What came while a script waited for the store.
    waiting: RefCell<VecDeque<Told>>,
}

impl Gateway {
    fn say(&self, said: &Said) -> Result<(), String> {
        let sent = (&self.socket).write_all(&frame(said, Vec::new()));
        sent.map_err(|error| error.to_string())
    }

    /// `None` when there will be no more.
    fn next(&self) -> Result<Option<Told>, String> {
        match self.waiting.borrow_mut().pop_front() {
            Some(told) => Ok(Some(told)),
            None => self.read(),
        }
    }

    fn read(&self) -> Result<Option<Told>, String> {
        let mut inbox = self.inbox.borrow_mut();
        loop {
            if let Some(told) = inbox.next()? {
                return Ok(Some(told));
            }
            match inbox.read_from(&mut &self.socket) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn store(&self, call: StoreCall) -> Stored {
        self.say(&Said::Store(call))?;
        loop {
            match self.read()? {
                Some(Told::Stored(stored)) => return stored,
                Some(told) => self.waiting.borrow_mut().push_back(told),
                None => return Err("the gateway has gone".to_owned()),
            }
        }
    }
}

/// Processor time of this thread.
pub fn micros_since(begun: Timespec) -> u64 {
    micros_between(begun, clock_gettime(ClockId::ThreadCPUTime))
}

fn micros_between(begun: Timespec, ended: Timespec) -> u64 {
    let nanos = (ended.tv_sec - begun.tv_sec) * 1_000_000_000 + (ended.tv_nsec - begun.tv_nsec);
    u64::try_from(nanos / 1000).unwrap_or(0)
}

/// Nothing is opened, written or started from here on, and memory is bounded.
fn limit_self(memory: u64) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let used = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = used
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    let page = rustix::param::page_size() as u64;
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, FILES),
        (Resource::As, pages * page + memory),
    ] {
        let limit = Some(limit);
        setrlimit(
            resource,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        )?;
    }
    Ok(())
}

/// Seconds of processor time, from the start. The gateway's own clock is what counts as a rule.
fn limit_processor(until: u64) -> io::Result<()> {
    let limits = Rlimit {
        current: Some(until),
        maximum: getrlimit(Resource::Cpu).maximum,
    };
    Ok(setrlimit(Resource::Cpu, limits)?)
}
