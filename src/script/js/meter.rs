//! What scripts have spent, by the API and resource that ran them, and how their workers are: for operators, over all threads.

use super::pool::{Isolation, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Meters {
    scripts: Mutex<BTreeMap<Arc<str>, Meter>>,
    waiting: AtomicUsize,
    running: AtomicUsize,
    /// Process ids.
    workers: Mutex<BTreeSet<u32>>,
    settings: OnceLock<Settings>,
}

/// Of one API's resource, proxy or whatever served the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meter {
    pub calls: u64,
    /// It had answered the same before, and was not run.
    pub remembered: u64,
    /// An error that nobody caught.
    pub faults: u64,
    /// It took too long or too much, or its worker died of it.
    pub kills: u64,
    /// There was no worker for it.
    pub refused: u64,
    /// Processor time, and the most of one run.
    pub processor: Duration,
    pub most: Duration,
    /// The longest that a request has waited for one run, with its way to the worker and back.
    pub longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    Remembered,
    Fault,
    Killed,
    Refused,
}

/// A worker process as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    pub process: u32,
    /// Bytes that it holds, and the most it ever held.
    pub now: u64,
    pub peak: u64,
}

impl Meters {
    pub fn note(&self, served_by: &Arc<str>, ended: Ended, processor: Duration, took: Duration) {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = match scripts.get_mut(served_by) {
            Some(meter) => meter,
            None => scripts.entry(Arc::clone(served_by)).or_default(),
        };
        meter.calls += 1;
        match ended {
            Ended::Well => {}
            Ended::Remembered => meter.remembered += 1,
            Ended::Fault => meter.faults += 1,
            Ended::Killed => meter.kills += 1,
            Ended::Refused => meter.refused += 1,
        }
        meter.processor += processor;
        meter.most = meter.most.max(processor);
        meter.longest = meter.longest.max(took);
    }

    pub fn scripts(&self) -> Vec<(Arc<str>, Meter)> {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let list = scripts.iter();
        list.map(|(name, meter)| (Arc::clone(name), meter.clone()))
            .collect()
    }

    /// Those that wait for a worker, and those that run.
    pub fn queue(&self) -> (usize, usize) {
        let now = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (now(&self.waiting), now(&self.running))
    }

    /// What scripts may use. `None` until there are any pools.
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.get()
    }

    pub fn memory(&self) -> Vec<Memory> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().filter_map(|process| memory_of(*process)).collect()
    }

    pub(super) fn set_settings(&self, settings: &Settings) {
        self.settings.get_or_init(|| settings.clone());
    }

    pub(super) fn waits(&self) -> Counted<'_> {
        Counted::new(&self.waiting)
    }

    pub(super) fn runs(&self) -> Counted<'_> {
        Counted::new(&self.running)
    }

    pub(super) fn started(self: &Arc<Self>, process: u32) -> Listed {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.insert(process);
        Listed {
            meters: Arc::clone(self),
            process,
        }
    }
}

/// Counts while it lives.
pub(super) struct Counted<'m>(&'m AtomicUsize);

impl<'m> Counted<'m> {
    fn new(count: &'m AtomicUsize) -> Counted<'m> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker process is listed as long as this lives.
pub(super) struct Listed {
    meters: Arc<Meters>,
    process: u32,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut workers = self.meters.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.remove(&self.process);
    }
}

fn memory_of(process: u32) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    Some(Memory {
        process,
        now: kilobytes("VmRSS:")? << 10,
        peak: kilobytes("VmHWM:")? << 10,
    })
}

impl Isolation {
    pub fn word(&self) -> &'static str {
        match self {
            Isolation::Process(_) => "process",
            Isolation::Thread => "thread",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_the_worst_are_kept() {
        let meters = Meters::default();
        let name: Arc<str> = Arc::from("api A GET /");
        let millis = Duration::from_millis;
        meters.note(&name, Ended::Well, millis(2), millis(3));
        meters.note(&name, Ended::Killed, millis(9), millis(10));
        meters.note(&name, Ended::Fault, millis(1), millis(1));
        meters.note(&name, Ended::Remembered, millis(0), millis(0));
        let expected = Meter {
            calls: 4,
            remembered: 1,
            faults: 1,
            kills: 1,
            refused: 0,
            processor: millis(12),
            most: millis(9),
            longest: millis(10),
        };
        assert_eq!(meters.scripts(), [(name, expected)]);
    }

    #[test]
    fn workers_are_listed_while_they_live() {
        let meters = Arc::new(Meters::default());
        let listed = meters.started(std::process::id());
        let memory = meters.memory();
        assert_eq!(memory.len(), 1);
        assert!(
            memory[0].now > 1 << 20 && memory[0].peak >= memory[0].now,
            "{memory:?}"
        );
        drop(listed);
        assert_eq!(meters.memory(), []);
        let waits = meters.waits();
        assert_eq!(meters.queue(), (1, 0));
        drop(waits);
        assert_eq!(meters.queue(), (0, 0));
    }
}
