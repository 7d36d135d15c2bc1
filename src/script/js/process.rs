//! A worker process: limits itself, then runs one script after the other for the gateway at the other end of its standard input.

use super::engine::{Engine, StorePort, THREAD_STACK};
use super::protocol::{Call, Said, StoreCall, Stored, framed};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// The longest message either side takes.
pub const LONGEST: usize = 64 << 20;
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
    let socket = Rc::new(RefCell::new(socket));
    let port: StorePort = {
        let socket = Rc::clone(&socket);
        Rc::new(move |call: &StoreCall| {
            let mut socket = socket.borrow_mut();
            let asked = socket.write_all(&framed(&Said::Store(call.clone())));
            asked.map_err(|error| error.to_string())?;
            read::<Stored>(&mut socket)?.unwrap_or_else(|| Err("the gateway has gone".to_owned()))
        })
    };
    let mut engine = Engine::new(None, port)?;
    limit_self(memory).map_err(|error| format!("limits cannot be set: {error}"))?;
    let send = |said: &Said| {
        let sent = socket.borrow_mut().write_all(&framed(said));
        sent.map_err(|error| error.to_string())
    };
    send(&Said::Ready)?;
    loop {
        let call: Option<Call> = read(&mut socket.borrow_mut())?;
        let Some(call) = call else { return Ok(()) };
        limit_processor(call.time).map_err(|error| error.to_string())?;
        let begun = clock_gettime(ClockId::ThreadCPUTime);
        let mut reply = engine.run(call);
        reply.took = micros_since(begun);
        send(&Said::Reply(reply))?;
    }
}

/// Processor time of this thread.
pub fn micros_since(begun: Timespec) -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (now.tv_sec - begun.tv_sec) * 1_000_000_000 + (now.tv_nsec - begun.tv_nsec);
    u64::try_from(nanos / 1000).unwrap_or(0)
}

/// One message; `None` when there will be no more.
fn read<T: DeserializeOwned>(socket: &mut UnixStream) -> Result<Option<T>, String> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err("a message is too long".to_owned());
    }
    let mut message = vec![0; length];
    socket
        .read_exact(&mut message)
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&message)
        .map(Some)
        .map_err(|error| error.to_string())
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

/// For this run: what it may take, rounded up to whole seconds. The gateway's own clock is what counts as a rule.
fn limit_processor(millis: u64) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec as u64;
    let limits = Rlimit {
        current: Some(used + 2 + millis.div_ceil(1000)),
        maximum: getrlimit(Resource::Cpu).maximum,
    };
    Ok(setrlimit(Resource::Cpu, limits)?)
}
