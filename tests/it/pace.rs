//! How long something took, on a machine that may have other things to do.
//!
//! A bound on the time by the clock is a bound on what else the machine does: other tests, a compiler. Here time goes by as fast as the machine lets
//! one of its processes run: at its full pace where no more want to run than there are cores, at a quarter of it where four times as many do.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(5);
/// Microseconds since the first look.
static GONE_BY: AtomicU64 = AtomicU64::new(0);
static START: Once = Once::new();

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    began: Instant,
    before: Duration,
}

impl Pace {
    pub fn start() -> Pace {
        START.call_once(|| drop(std::thread::spawn(look)));
        Pace {
            began: Instant::now(),
            before: gone_by(),
        }
    }

    /// By the clock: what must not be too short.
    pub fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    /// At the machine's pace: what must not be too long.
    pub fn elapsed(&self) -> Duration {
        // The last look is no longer ago than this, and the clock is right where nothing else runs.
        (gone_by() - self.before + TICK * 2).min(self.clock())
    }
}

fn gone_by() -> Duration {
    Duration::from_micros(GONE_BY.load(Ordering::Relaxed))
}

fn look() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut last = Instant::now();
    loop {
        std::thread::park_timeout(TICK);
        // A look that comes late was kept from running itself.
        let since = last.elapsed().min(TICK * 4).as_micros() as u64;
        last = Instant::now();
        GONE_BY.fetch_add(since * cores / running().max(cores), Ordering::Relaxed);
    }
}

/// How many run or want to, without the one that looks. Where the system does not say, none.
fn running() -> u64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split(' ').nth(3).and_then(|part| part.split('/').next());
    let running = running.and_then(|running| running.parse::<u64>().ok());
    running.unwrap_or(1).saturating_sub(1)
}

#[test]
fn time_goes_by_at_no_faster_a_pace_than_the_clock() {
    let pace = Pace::start();
    std::thread::park_timeout(Duration::from_millis(100));
    assert!(pace.clock() >= Duration::from_millis(100));
    assert!(pace.elapsed() <= pace.clock());
    // Something goes by on the slowest machine.
    let began = pace.elapsed();
    while pace.elapsed() <= began {
        assert!(pace.clock() < Duration::from_secs(20), "{pace:?}");
        std::thread::park_timeout(TICK);
    }
}
