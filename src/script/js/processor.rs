//! How much processor time a worker has had. On a busy machine that is less than the time that has gone by, and not the script's fault.

use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A script that has not had this part of its time on a processor has not taken long; the machine has.
const PART: u32 = 4;

/// Whether a script that may take `time`, and is late, has hardly been let run.
pub fn is_starved(used: Duration, time: Duration) -> bool {
    used < time / PART
}

/// The system's account of one process or thread.
pub struct Processor {
    /// Where the system keeps it.
    stat: PathBuf,
    /// What it had used before the first script.
    before: Option<Duration>,
}

impl Processor {
    pub fn of_process(process: u32) -> Processor {
        Processor::at(PathBuf::from(format!("/proc/{process}/stat")))
    }

    /// `name`: its folder below `/proc`, as `/proc/thread-self` names it.
    pub fn of_thread(name: &Path) -> Processor {
        Processor::at(Path::new("/proc").join(name).join("stat"))
    }

    fn at(stat: PathBuf) -> Processor {
        let before = read(&stat);
        Processor { stat, before }
    }

    /// What scripts have used here, exact to some 10 ms. `None`: the system does not say.
    pub fn used(&self) -> Option<Duration> {
        Some(read(&self.stat)?.saturating_sub(self.before?))
    }
}

/// Whole microseconds of processor time of the thread that asks.
pub fn micros() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).unwrap_or(0)
}

fn read(stat: &Path) -> Option<Duration> {
    parse(&std::fs::read_to_string(stat).ok()?)
}

/// `7 (a name) S 1 …`: the name may hold anything; the 14th and 15th fields are ticks in the program and in the system.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    let each = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_micros(ticks * each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_whatever_the_name_is() {
        let line = "7 (a) S (b)) R 1 7 7 0 -1 4194304 109 0 0 0 31 12 0 0 20 0 1 0 3000 1 1 1";
        let each = Duration::from_micros(1_000_000 / rustix::param::clock_ticks_per_second());
        assert_eq!(parse(line), Some(each * 43));
        assert_eq!(parse("7 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn time_goes_on_while_a_thread_works_and_stands_while_it_waits() {
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(std::fs::read_link("/proc/thread-self").expect("it has a name"))
                .expect("somebody listens");
            begun.recv().expect("it is told to begin");
            let since = micros();
            while micros() - since < 50_000 {}
            tell.send(PathBuf::new()).expect("somebody listens");
            begun.recv().expect_err("nobody tells it more");
        });
        let processor = Processor::of_thread(&told.recv().expect("it says its name"));
        assert_eq!(processor.used(), Some(Duration::ZERO));
        begin.send(()).expect("it waits");
        told.recv().expect("it ends");
        let used = processor.used().expect("it lives");
        assert!((40..100).contains(&used.as_millis()), "{used:?}");
        drop(begin);
        thread.join().expect("it ended well");
        assert_eq!(processor.used(), None);
    }
}
