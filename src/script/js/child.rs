//! A worker process seen from the gateway: its start, its socket, and its end.

use super::lane::{Lane, State};
use super::meter::{Listed, Meters};
use super::processor::Processor;
use super::protocol::{Inbox, ROOM, Said, Told, frame};
use super::store::Stores;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::timeout;

const START: Duration = Duration::from_secs(10);
/// How often it is looked whether a worker is gone, 5 ms apart.
const LOOKS: usize = 400;
/// The command by which this program becomes a worker.
pub const COMMAND: &str = "script-worker";

pub struct Process {
    /// Taken when it is reaped.
    child: RefCell<Option<Child>>,
    stderr: RefCell<Option<ChildStderr>>,
    /// While it lives.
    _listed: Listed,
    memory: u64,
    processor: Processor,
    /// What it will be told.
    outbox: RefCell<Vec<u8>>,
    filled: Notify,
    /// Taken by whoever serves it.
    ends: Cell<Option<(OwnedReadHalf, OwnedWriteHalf)>>,
}

impl Process {
    pub async fn start(program: &Path, memory: u64, meters: &Arc<Meters>) -> Result<Process, String> {
        let told = |error: io::Error| format!("{}: {error}", program.display());
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
        let number = child.id();
        let stderr = child.stderr.take();
        let (mut reads, writes) = UnixStream::from_std(ours).map_err(told)?.into_split();
        let mut process = Process {
            processor: Processor::of_process(number),
            _listed: meters.started(number),
            child: RefCell::new(Some(child)),
            stderr: RefCell::new(stderr),
            memory,
            outbox: RefCell::default(),
            filled: Notify::new(),
            ends: Cell::default(),
        };
        let mut inbox = Inbox::default();
        let first = async {
            loop {
                if let Some(said) = inbox.next::<Said>()? {
                    return Ok(said);
                }
                receive(&mut reads, &mut inbox).await?;
            }
        };
        match timeout(START, first).await {
            Ok(Ok(Said::Ready)) => {
                // From here on: what it needed to begin is no script's.
                process.processor = Processor::of_process(number);
                process.ends.set(Some((reads, writes)));
                Ok(process)
            }
            Ok(Ok(_)) => Err("a worker speaks out of turn".to_owned()),
            Ok(Err(reason)) => Err(process.last_words(reason).await),
            Err(_) => Err("a worker is not ready in time".to_owned()),
        }
    }

    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// Goes out with what else is told meanwhile.
    pub fn tell(&self, told: &Told) {
        let mut outbox = self.outbox.borrow_mut();
        let all = frame(told, std::mem::take(&mut *outbox));
        *outbox = all;
        self.filled.notify_one();
    }

    /// Carries messages both ways until that ends, and says why.
    pub async fn serve(&self, lane: &Lane, stores: &Stores) -> String {
        let Some((mut reads, writes)) = self.ends.take() else {
            return "nobody is at the other end".to_owned();
        };
        let mut inbox = Inbox::default();
        loop {
            // What cannot be sent any more is given back when it has been read to its end: it may have answered others before it died.
            let waits = self.send(&writes).unwrap_or(false);
            tokio::select! {
                biased;
                received = receive(&mut reads, &mut inbox) => {
                    let heard = match received {
                        Ok(()) => self.hear(&mut inbox, lane, stores),
                        Err(reason) => Err(reason),
                    };
                    if lane.state() == State::Gone {
                        return "it is not needed any more".to_owned();
                    }
                    if let Err(reason) = heard {
                        lane.clear_behind();
                        return self.last_words(reason).await;
                    }
                }
                () = self.filled.notified() => {}
                _ = writes.writable(), if waits => {}
            }
        }
    }

    /// Sends as much as the socket takes: is anything left?
    fn send(&self, writes: &OwnedWriteHalf) -> io::Result<bool> {
        let mut outbox = self.outbox.borrow_mut();
        let mut sent = 0;
        while sent < outbox.len() {
            match writes.try_write(&outbox[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        outbox.drain(..sent);
        Ok(!outbox.is_empty())
    }

    fn hear(&self, inbox: &mut Inbox, lane: &Lane, stores: &Stores) -> Result<(), String> {
        while let Some(said) = inbox.next::<Said>()? {
            match said {
                Said::Reply(reply) => lane.answer(reply),
                Said::Last(reply) => lane.answer_last(reply),
                Said::Store(call) => {
                    let whose = lane.store_of_first();
                    let stored = whose.map_or_else(
                        || Err("no script runs".to_owned()),
                        |whose| stores.call(&whose, &call),
                    );
                    self.tell(&Told::Stored(stored));
                }
                Said::Ready => return Err("a worker speaks out of turn".to_owned()),
            }
        }
        Ok(())
    }

    /// Why it died, as far as that can be known.
    async fn last_words(&self, reason: String) -> String {
        let (child, stderr) = (self.child.take(), self.stderr.take());
        let Some(mut child) = child else { return reason };
        let ended = tokio::task::spawn_blocking(move || {
            // Its socket closes before it is gone, and that takes longer where others use the processor. What lives on is not what it should be.
            let lives = (0..LOOKS).all(|_| still_lives(&mut child));
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
            Ok((false, Some(status), words)) => cause(status, &words, self.memory),
            _ => reason,
        }
    }
}

async fn receive(reads: &mut OwnedReadHalf, inbox: &mut Inbox) -> Result<(), String> {
    let room = inbox.room();
    room.reserve(ROOM);
    match reads.read_buf(room).await {
        Ok(0) => Err("it ended in the middle of its answer".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
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

#[cfg(test)]
mod tests {
    use super::super::lane::{Answer, Way};
    use super::super::protocol::{Call, Given, Outcome, Reply, Source};
    use super::*;
    use std::io::Write;
    use tokio::sync::oneshot::Receiver;

    /// A worker that the test itself plays, at the other end.
    fn played() -> (Lane, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("it can be set");
        let ends = UnixStream::from_std(ours).expect("it is a socket").into_split();
        let process = Process {
            child: RefCell::default(),
            stderr: RefCell::default(),
            _listed: Arc::<Meters>::default().started(0),
            memory: 0,
            processor: Processor::of_process(0),
            outbox: RefCell::default(),
            filled: Notify::new(),
            ends: Cell::new(Some(ends)),
        };
        (Lane::new(Way::Process(process)), theirs)
    }

    fn send(lane: &Lane, script: u64) -> Receiver<Answer> {
        let call = Call {
            script,
            given: Given::default(),
            time: 1000,
        };
        let source = Source {
            text: String::new(),
            assigned: Vec::new(),
            xml: false,
        };
        lane.send(call, Arc::from(""), &source)
    }

    fn reply() -> Reply {
        Reply {
            outcome: Outcome::Done(None),
            changes: Vec::new(),
            lasts: false,
            took: 1,
        }
    }

    /// What becomes of calls when the worker says this to the first of them and is gone, while another call is on its way.
    fn outcomes(said: &Said) -> Vec<String> {
        crate::flow::testing::wait(async {
            let (lane, mut worker) = played();
            let mut calls = vec![send(&lane, 1), send(&lane, 2)];
            let stores = Stores::default();
            let mut serving = std::pin::pin!(lane.serve(&stores));
            // They go out.
            tokio::select! {
                biased;
                () = &mut serving => panic!("it serves"),
                () = std::future::ready(()) => {}
            }
            worker.write_all(&frame(said, Vec::new())).expect("it is read");
            drop(worker);
            // Nobody has told this thread yet that there is something to read: it finds out when it writes.
            calls.push(send(&lane, 3));
            serving.await;
            let shown = |answer: Answer| match answer {
                Answer::Reply(_) => "a reply".to_owned(),
                Answer::Back(call) => format!("{} comes back", call.script),
                Answer::Died(_) => "died".to_owned(),
                Answer::TimedOut => "timed out".to_owned(),
            };
            let mut told = Vec::new();
            for call in calls {
                told.push(call.await.map_or_else(|_| "nothing".to_owned(), shown));
            }
            told
        })
    }

    #[test]
    fn what_a_worker_answered_before_it_died_is_an_answer() {
        assert_eq!(
            outcomes(&Said::Reply(reply())),
            ["a reply", "died", "3 comes back"]
        );
    }

    #[test]
    fn what_stands_behind_a_last_answer_was_not_begun() {
        let expected = ["a reply", "2 comes back", "3 comes back"];
        assert_eq!(outcomes(&Said::Last(reply())), expected);
    }
}
