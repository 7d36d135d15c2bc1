//! A worker process: limits itself, then runs one script after the other for the gateway at the other end of its standard input.

use super::engine::{Engine, StorePort, THREAD_STACK};
use super::processor;
use super::protocol::{Inbox, Said, StoreCall, Stored, Told, frame};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// What a script may keep open: its socket, and the streams it was started with.
const FILES: u64 = 8;

/// After a run of so many microseconds, and after so many runs, it is looked how much memory scripts have left behind.
const LONG: u64 = 1_000;
const OFTEN: u64 = 64;
/// More than this part of their memory they may not leave to the next.
const PART: u64 = 4;

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
    let memory = limit_self(memory).map_err(|error| format!("limits cannot be set: {error}"))?;
    gateway.say(&Said::Ready)?;
    let (mut allowed, mut runs) = (0, 0_u64);
    let mut now = processor::micros();
    while let Some(told) = gateway.next()? {
        match told {
            Told::Script(id, source) => engine.learn(id, source),
            Told::Call(call) => {
                let until = now / 1_000_000 + 2 + call.time.div_ceil(1000);
                if until != allowed {
                    limit_processor(until).map_err(|error| error.to_string())?;
                    allowed = until;
                }
                let mut reply = engine.run(call, Some(now));
                runs += 1;
                // From answer to answer, so that the sum of all is what the worker has used.
                let begun = std::mem::replace(&mut now, processor::micros());
                reply.took = now - begun;
                let is_worn = (runs % OFTEN == 0 || reply.took >= LONG) && memory.is_left(&mut engine);
                // At once: whoever is answered is not to wait for the next, nor to be lost with it.
                if is_worn {
                    return gateway.say(&Said::Last(reply));
                }
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

/// What scripts may use, and what they do.
struct Memory {
    /// The system's account.
    statm: File,
    /// Bytes before the first script, and those that scripts may use beside.
    before: u64,
    allowed: u64,
}

impl Memory {
    fn measure(allowed: u64) -> io::Result<Memory> {
        let mut memory = Memory {
            statm: File::open("/proc/self/statm")?,
            before: 0,
            allowed,
        };
        memory.before = memory.held();
        Ok(memory)
    }

    fn held(&self) -> u64 {
        let mut text = [0; 128];
        let read = self.statm.read_at(&mut text, 0).unwrap_or(0);
        let text = str::from_utf8(&text[..read]).unwrap_or_default();
        let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }

    /// Whether the next script would find its memory taken, though what is needed no more has been freed.
    fn is_left(&self, engine: &mut Engine) -> bool {
        let too_much = || self.held().saturating_sub(self.before) > self.allowed / PART;
        too_much() && {
            engine.tidy();
            too_much()
        }
    }
}

/// Nothing is opened, written or started from here on, and memory is bounded.
fn limit_self(memory: u64) -> io::Result<Memory> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let memory = Memory::measure(memory)?;
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, FILES),
        (Resource::As, memory.before + memory.allowed),
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
    Ok(memory)
}

/// Seconds of processor time, from the start. The gateway's own clock is what counts as a rule.
fn limit_processor(until: u64) -> io::Result<()> {
    let maximum = getrlimit(Resource::Cpu).maximum;
    let limits = Rlimit {
        current: Some(maximum.map_or(until, |maximum| until.min(maximum))),
        maximum,
    };
    Ok(setrlimit(Resource::Cpu, limits)?)
}
