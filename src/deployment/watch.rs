//! Notices that watched folders and files changed: events where the file system reports them, looking every second where it does not.

use super::walk::{self, Contents, Stamp, is_litter};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many changed paths are remembered, for the log.
const PATHS_KEPT: usize = 8;

#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Single files beside the folders: certificates, settings, the env file.
    pub extra_files: Vec<PathBuf>,
    /// The stamp of folders and extra files before they were read for the first time; taken now if not given.
    pub known: Option<Stamp>,
    /// Look every second instead of waiting for events.
    pub poll: bool,
    /// Watch nothing; act when a `Trigger` says so.
    pub only_when_asked: bool,
    /// An editor's save, or a tool's many saves, count as one change when this long nothing follows.
    pub gather: Duration,
    /// Saves that never pause are taken up this often nevertheless.
    pub gather_longest: Duration,
    pub poll_interval: Duration,
    /// With events: how often to look for changes that nobody reported.
    pub check_interval: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        WatchOptions {
            extra_files: Vec::new(),
            known: None,
            poll: false,
            only_when_asked: false,
            gather: Duration::from_millis(150),
            gather_longest: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            check_interval: Duration::from_secs(5),
        }
    }
}

/// Something is different from when it was last acted upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// A few of the files that are different.
    pub paths: Vec<PathBuf>,
    /// Asked for by `Trigger::now`, whether or not anything changed.
    pub asked_for: bool,
    /// The last attempt asked to be repeated.
    pub is_retry: bool,
}

/// What acting upon a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken up, or refused for a reason that only another change can mend.
    Done,
    /// It failed for a reason that may pass by itself (a file could not be read): try again soon.
    Retry,
}

/// Watches until it is dropped.
pub struct Watcher {
    sender: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Asks a watcher to act at once, from a signal handler for instance.
#[derive(Clone)]
pub struct Trigger {
    sender: Sender<Signal>,
}

enum Signal {
    Reported(Vec<PathBuf>),
    Now,
    Stop,
}

impl Watcher {
    /// `on_change` runs on the watcher's own thread, never twice at once.
    pub fn start(
        roots: Vec<PathBuf>,
        options: WatchOptions,
        on_change: impl FnMut(Change) -> Answer + Send + 'static,
    ) -> std::io::Result<Watcher> {
        let (sender, receiver) = channel();
        let mut watched = Watched::new(roots, &options, sender.clone());
        let known = options.known.unwrap_or_else(|| watched.look());
        let machine = Machine::new(options, known, watched.method(), Instant::now());
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || run(&receiver, watched, machine, on_change))?;
        Ok(Watcher {
            sender,
            thread: Some(thread),
        })
    }

    pub fn trigger(&self) -> Trigger {
        Trigger {
            sender: self.sender.clone(),
        }
    }

    /// Ends, after the action that may be running.
    pub fn stop(mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches for changes had failed");
        }
    }

    fn tell_to_stop(&self) {
        // A thread that is gone already needs no telling.
        self.sender.send(Signal::Stop).ok();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

impl Trigger {
    pub fn now(&self) {
        self.sender.send(Signal::Now).ok();
    }
}

fn run(
    receiver: &Receiver<Signal>,
    watched: Watched,
    mut machine: Machine,
    mut on_change: impl FnMut(Change) -> Answer,
) {
    let watched = RefCell::new(watched);
    loop {
        let now = Instant::now();
        match receiver.recv_timeout(machine.next_look().saturating_duration_since(now)) {
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Signal::Reported(paths)) => machine.reported(paths, Instant::now()),
            Ok(Signal::Now) => machine.asked_for(Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let method = machine.method;
        let act = |mut change: Change| {
            // What was reported includes the names under which editors save before they rename.
            let different = watched.borrow_mut().different();
            if !different.is_empty() {
                change.paths = different;
            }
            change.paths.truncate(PATHS_KEPT);
            on_change(change)
        };
        let looked = machine.tick(Instant::now(), || watched.borrow_mut().look(), act);
        let watched = &mut *watched.borrow_mut();
        if method != machine.method {
            tracing::info!("the file system does not report changes: looking for them every second");
            watched.notify = None;
        } else if looked {
            watched.renew();
            machine.method = watched.method();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Events,
    Polling,
}

/// When to look and when to act, as a function of the time it is told.
struct Machine {
    options: WatchOptions,
    method: Method,
    known: Stamp,
    /// First and last report since the last action.
    gathering: Option<(Instant, Instant)>,
    paths: Vec<PathBuf>,
    asked_for: bool,
    /// A difference was found by looking, and no report of it has come yet.
    is_unreported: bool,
    regular: Instant,
    retry: Option<(Instant, Duration)>,
}

impl Machine {
    fn new(options: WatchOptions, known: Stamp, method: Method, now: Instant) -> Machine {
        let mut machine = Machine {
            options,
            method,
            known,
            gathering: None,
            paths: Vec::new(),
            asked_for: false,
            is_unreported: false,
            regular: now,
            retry: None,
        };
        machine.regular = now + machine.interval();
        machine
    }

    fn interval(&self) -> Duration {
        if self.options.only_when_asked {
            return Duration::from_secs(365 * 24 * 3600);
        }
        match self.method {
            Method::Events => self.options.check_interval,
            Method::Polling => self.options.poll_interval,
        }
    }

    fn reported(&mut self, paths: Vec<PathBuf>, now: Instant) {
        let first = self.gathering.map_or(now, |(first, _)| first);
        self.gathering = Some((first, now));
        self.is_unreported = false;
        for path in paths {
            if self.paths.len() < PATHS_KEPT && !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
    }

    fn asked_for(&mut self, now: Instant) {
        self.asked_for = true;
        self.regular = self.regular.min(now);
    }

    fn gathered_at(&self) -> Option<Instant> {
        let (first, last) = self.gathering?;
        Some((last + self.options.gather).min(first + self.options.gather_longest))
    }

    fn next_look(&self) -> Instant {
        [self.gathered_at(), self.retry.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .fold(self.regular, Instant::min)
    }

    /// Looks and acts if it is time to; whether it looked.
    fn tick(
        &mut self,
        now: Instant,
        mut look: impl FnMut() -> Stamp,
        mut act: impl FnMut(Change) -> Answer,
    ) -> bool {
        let is_gathered = self.gathered_at().is_some_and(|at| now >= at);
        let is_retry = self.retry.is_some_and(|(at, _)| now >= at);
        let is_regular = now >= self.regular;
        if is_regular {
            self.regular = now + self.interval();
        }
        if !is_gathered && !is_retry && !self.asked_for {
            if is_regular && !self.options.only_when_asked && self.gathering.is_none() && look() != self.known
            {
                // What is being saved may not be whole yet, so gather as well.
                self.gathering = Some((now, now));
                self.is_unreported = true;
            }
            return false;
        }
        let change = Change {
            paths: std::mem::take(&mut self.paths),
            asked_for: std::mem::take(&mut self.asked_for),
            is_retry,
        };
        self.gathering = None;
        if std::mem::take(&mut self.is_unreported) {
            // Found by looking, and still no report has come: nobody reports here.
            self.method = Method::Polling;
            self.regular = self.regular.min(now + self.interval());
        }
        // Taken before acting: what changes meanwhile is different from it, and found the next time.
        let stamp = look();
        if stamp == self.known && !change.asked_for && !is_retry {
            return true;
        }
        self.known = stamp;
        self.retry = match act(change) {
            Answer::Done => None,
            Answer::Retry => {
                let pause = self
                    .retry
                    .map_or(Duration::from_millis(500), |(_, before)| before * 2)
                    .min(Duration::from_secs(30));
                Some((now + pause, pause))
            }
        };
        true
    }
}

/// What is watched, and by what means.
struct Watched {
    roots: Vec<PathBuf>,
    extra_files: Vec<PathBuf>,
    /// As of the last look.
    wanted: BTreeSet<Folder>,
    /// With a watch on it now.
    watched: BTreeSet<Folder>,
    notify: Option<RecommendedWatcher>,
    sender: Sender<Signal>,
    /// As of the last look, and as of the last time that somebody acted.
    contents: Contents,
    acted_upon: Contents,
}

/// A folder by its path and by what it is: one that was put in another's place is watched anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    path: PathBuf,
    identity: (u64, u64),
}

impl Watched {
    fn new(roots: Vec<PathBuf>, options: &WatchOptions, sender: Sender<Signal>) -> Watched {
        let mut watched = Watched {
            roots,
            extra_files: options.extra_files.clone(),
            wanted: BTreeSet::new(),
            watched: BTreeSet::new(),
            notify: None,
            sender,
            contents: Contents::default(),
            acted_upon: Contents::default(),
        };
        watched.look();
        watched.different();
        if options.poll || options.only_when_asked {
            return watched;
        }
        let silent = watched
            .roots
            .iter()
            .chain(&watched.extra_files)
            .find_map(|path| silent_file_system(path));
        if let Some(kind) = silent {
            tracing::info!("{kind} file systems do not report changes: looking for them every second");
            return watched;
        }
        let sender = watched.sender.clone();
        match notify::recommended_watcher(move |event| report(event, &sender)) {
            Ok(notify) => {
                watched.notify = Some(notify);
                watched.look();
                watched.subscribe();
            }
            Err(error) => watched.give_up(&error),
        }
        watched
    }

    fn method(&self) -> Method {
        if self.notify.is_some() {
            Method::Events
        } else {
            Method::Polling
        }
    }

    fn look(&mut self) -> Stamp {
        let listings: Vec<walk::Listing> = self.roots.iter().map(|root| walk::list(root)).collect();
        if self.notify.is_some() {
            // A root that is a link, or is replaced, changes the folder above it; so does a file.
            let above = self.roots.iter().filter(|root| root.is_symlink());
            self.wanted = listings
                .iter()
                .flat_map(|listing| listing.folders.iter().cloned())
                .chain(
                    self.extra_files
                        .iter()
                        .chain(above)
                        .map(|path| parent(path).to_path_buf()),
                )
                .filter_map(|path| {
                    let identity = identity(&path)?;
                    Some(Folder { path, identity })
                })
                .collect();
        }
        self.contents = Contents::of(&self.roots, &listings, &self.extra_files);
        Stamp::from_listings(&listings, &self.extra_files)
    }

    /// What is different from when this was asked before.
    fn different(&mut self) -> Vec<PathBuf> {
        let different = self.contents.difference(&self.acted_upon);
        self.acted_upon = std::mem::take(&mut self.contents);
        different
    }

    /// Puts watches on folders that have come since.
    fn renew(&mut self) {
        if self.notify.is_some() && self.wanted != self.watched {
            self.subscribe();
            // Something may have changed before the new watch was there.
            self.sender.send(Signal::Reported(Vec::new())).ok();
        }
    }

    /// One watch a folder rather than one on the whole tree, which would include what is never looked at (`.git`, `node_modules`).
    fn subscribe(&mut self) {
        let Some(notify) = &mut self.notify else {
            return;
        };
        for gone in self.watched.difference(&self.wanted) {
            // It may have gone together with its folder.
            notify.unwatch(&gone.path).ok();
        }
        for new in self.wanted.difference(&self.watched) {
            match notify.watch(&new.path, RecursiveMode::NonRecursive) {
                Err(error) if new.path.is_dir() => return self.give_up(&error),
                _ => {}
            }
        }
        self.watched = self.wanted.clone();
    }

    fn give_up(&mut self, error: &notify::Error) {
        tracing::warn!("changes cannot be watched ({error}): looking for them every second");
        self.notify = None;
    }
}

fn report(event: notify::Result<notify::Event>, sender: &Sender<Signal>) {
    let paths = match event {
        Ok(event) if is_reading(&event.kind) => return,
        Ok(event) => {
            let all_noise = !event.paths.is_empty() && event.paths.iter().all(|path| is_noise(path));
            if all_noise && !event.need_rescan() {
                return;
            }
            event.paths
        }
        // Events were lost: looking tells.
        Err(_) => Vec::new(),
    };
    sender.send(Signal::Reported(paths)).ok();
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

fn is_reading(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

/// Litter, except for what looks like it: `..data` of a ConfigMap, and `.env`.
fn is_noise(path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let name = name.to_string_lossy();
    is_litter(&name) && !name.starts_with("..") && name != ".env"
}

/// The kind of the file system a path is on, if it is one of those whose changes come from elsewhere and are not reported here.
fn silent_file_system(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = file_system_kind(&mounts, &path)?;
    let silent = [
        "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "prl_fs", "ceph", "afs", "fuse",
    ];
    let family = kind.split('.').next().unwrap_or(kind);
    silent.contains(&family).then(|| kind.to_owned())
}

/// The type of the innermost mount that holds `path`.
fn file_system_kind<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    mounts
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?.replace("\\040", " ");
            path.starts_with(&point)
                .then(|| Some((point.len(), right.split(' ').next()?)))?
        })
        // Of two mounts on one point the later one is seen.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use std::sync::mpsc;

    /// A machine on a clock of its own, over a stamp that the test sets.
    struct Rig {
        start: Instant,
        machine: RefCell<Machine>,
        stamp: Cell<Stamp>,
        answer: Cell<Answer>,
        changes: RefCell<Vec<(u64, Change)>>,
        stamps: Vec<Stamp>,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        fn new(method: Method) -> Rig {
            let folder = tempfile::tempdir().unwrap();
            let stamps: Vec<Stamp> = (0..4)
                .map(|n| {
                    fs::write(folder.path().join("a"), "x".repeat(n)).unwrap();
                    Stamp::of(&[folder.path().to_path_buf()], &[])
                })
                .collect();
            let start = Instant::now();
            Rig {
                start,
                machine: RefCell::new(Machine::new(WatchOptions::default(), stamps[0], method, start)),
                stamp: Cell::new(stamps[0]),
                answer: Cell::new(Answer::Done),
                changes: RefCell::default(),
                stamps,
                _folder: folder,
            }
        }

        /// The content becomes that of this version.
        fn version(&self, version: usize) {
            self.stamp.set(self.stamps[version]);
        }

        fn report(&self, millis: u64) {
            let now = self.start + Duration::from_millis(millis);
            self.machine
                .borrow_mut()
                .reported(vec![PathBuf::from("a.xml")], now);
        }

        /// Lets the time go on to `millis`, waking whenever the machine asked to be woken.
        fn until(&self, millis: u64) {
            let end = self.start + Duration::from_millis(millis);
            loop {
                let next = self.machine.borrow().next_look();
                if next > end {
                    return;
                }
                let at = (next - self.start).as_millis() as u64;
                self.machine.borrow_mut().tick(
                    next,
                    || self.stamp.get(),
                    |change| {
                        self.changes.borrow_mut().push((at, change));
                        self.answer.get()
                    },
                );
            }
        }

        fn times(&self) -> Vec<u64> {
            self.changes.borrow().iter().map(|(at, _)| *at).collect()
        }
    }

    #[test]
    fn a_burst_of_saves_is_one_change() {
        let rig = Rig::new(Method::Events);
        rig.version(1);
        for millis in [10, 100, 200] {
            rig.until(millis);
            rig.report(millis);
        }
        rig.until(2000);
        assert_eq!(rig.times(), [350]);
        assert_eq!(rig.changes.borrow()[0].1.paths, [PathBuf::from("a.xml")]);
    }

    #[test]
    fn saves_without_a_pause_are_taken_up_every_second() {
        let rig = Rig::new(Method::Events);
        for save in 0..200 {
            rig.until(save * 10);
            rig.version(1 + (save as usize / 100));
            rig.report(save * 10);
        }
        rig.until(3000);
        assert_eq!(rig.times(), [1000, 2000]);
    }

    #[test]
    fn a_report_without_a_difference_is_no_change() {
        let rig = Rig::new(Method::Events);
        rig.report(0);
        rig.until(4000);
        assert_eq!(rig.times(), Vec::<u64>::new());
    }

    #[test]
    fn a_change_that_nobody_reports_is_found_and_from_then_on_looked_for_each_second() {
        let rig = Rig::new(Method::Events);
        rig.version(1);
        rig.until(5200);
        assert_eq!(rig.times(), [5150]);
        rig.version(2);
        rig.until(7000);
        assert_eq!(rig.times(), [5150, 6300]);
        assert!(rig.machine.borrow().method == Method::Polling);
    }

    #[test]
    fn a_report_that_comes_late_is_a_report() {
        let rig = Rig::new(Method::Events);
        rig.version(1);
        rig.until(5000);
        rig.report(5010);
        rig.until(6000);
        assert_eq!(rig.times(), [5160]);
        assert!(rig.machine.borrow().method == Method::Events);
    }

    #[test]
    fn a_transient_failure_is_tried_again_at_growing_intervals() {
        let rig = Rig::new(Method::Events);
        rig.version(1);
        rig.report(0);
        rig.answer.set(Answer::Retry);
        rig.until(3000);
        assert_eq!(rig.times(), [150, 650, 1650]);
        rig.answer.set(Answer::Done);
        rig.until(60_000);
        assert_eq!(rig.times(), [150, 650, 1650, 3650]);
        assert!(rig.changes.borrow()[3].1.is_retry);
    }

    #[test]
    fn what_is_asked_for_happens_at_once_and_without_a_difference() {
        let rig = Rig::new(Method::Polling);
        rig.until(500);
        rig.machine
            .borrow_mut()
            .asked_for(rig.start + Duration::from_millis(500));
        rig.until(501);
        assert_eq!(rig.times(), [500]);
        assert!(rig.changes.borrow()[0].1.asked_for);
    }

    #[test]
    fn who_only_wants_to_be_asked_is_left_alone() {
        let rig = Rig::new(Method::Polling);
        rig.machine.borrow_mut().options.only_when_asked = true;
        rig.machine.borrow_mut().regular = rig.start;
        rig.version(1);
        rig.until(100_000);
        assert_eq!(rig.times(), Vec::<u64>::new());
        rig.machine
            .borrow_mut()
            .asked_for(rig.start + Duration::from_secs(100));
        rig.until(200_000);
        assert_eq!(rig.times(), [100_000]);
    }

    #[test]
    fn network_mounts_are_known_to_be_silent() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /srv/my\\040share rw - nfs4 host:/x rw\n";
        let kind = |path: &str| file_system_kind(mounts, Path::new(path));
        assert_eq!(kind("/srv/my share/a"), Some("nfs4"));
        assert_eq!(kind("/srv/other"), Some("ext4"));
    }

    /// Runs a real watcher and waits for its reports.
    fn check_real(poll: bool, act: impl Fn(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deployed");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.xml"), "old").unwrap();
        let (sender, changes) = mpsc::channel();
        let options = WatchOptions {
            poll,
            gather: Duration::from_millis(20),
            poll_interval: Duration::from_millis(20),
            ..WatchOptions::default()
        };
        let watcher = Watcher::start(vec![root.clone()], options, move |change| {
            sender.send(change).ok();
            Answer::Done
        })
        .unwrap();
        act(&root);
        changes
            .recv_timeout(Duration::from_secs(20))
            .expect("the change is noticed");
        watcher.stop();
    }

    #[test]
    fn the_ways_in_which_editors_save_are_noticed() {
        for poll in [false, true] {
            check_real(poll, |root| fs::write(root.join("a.xml"), "in place").unwrap());
            check_real(poll, |root| {
                fs::write(root.join(".a.xml.swp"), "renamed over").unwrap();
                fs::rename(root.join(".a.xml.swp"), root.join("a.xml")).unwrap();
            });
            check_real(poll, |root| {
                fs::rename(root.join("a.xml"), root.join("a.xml~")).unwrap();
                fs::write(root.join("a.xml"), "with a backup").unwrap();
            });
            check_real(poll, |root| {
                fs::create_dir(root.join("new")).unwrap();
                fs::write(root.join("new/b.xml"), "in a new folder").unwrap();
            });
            check_real(poll, |root| fs::remove_file(root.join("a.xml")).unwrap());
        }
    }

    #[test]
    fn a_config_map_that_is_swapped_is_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        for version in ["..1", "..2"] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("a.xml"), version).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/a.xml", root.join("a.xml")).unwrap();
        let (sender, changes) = mpsc::channel();
        let path = root.join("a.xml");
        let watcher = Watcher::start(vec![root.clone()], WatchOptions::default(), move |_| {
            sender.send(fs::read_to_string(&path).unwrap()).ok();
            Answer::Done
        })
        .unwrap();
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert_eq!(changes.recv_timeout(Duration::from_secs(20)).unwrap(), "..2");
        watcher.stop();
    }

    #[test]
    fn a_certificate_beside_the_folder_is_watched_too() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let certificate = elsewhere.path().join("tls.crt");
        fs::write(&certificate, "old").unwrap();
        let (sender, changes) = mpsc::channel();
        let options = WatchOptions {
            extra_files: vec![certificate.clone()],
            ..WatchOptions::default()
        };
        let watcher = Watcher::start(vec![folder.path().to_path_buf()], options, move |change| {
            sender.send(change).ok();
            Answer::Done
        })
        .unwrap();
        fs::write(&certificate, "new and longer").unwrap();
        changes.recv_timeout(Duration::from_secs(20)).unwrap();
        watcher.stop();
    }

    #[test]
    fn a_folder_that_is_put_in_anothers_place_is_watched_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        for version in ["1", "2"] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("a.xml"), version).unwrap();
        }
        std::os::unix::fs::symlink("1", &current).unwrap();
        let (sender, changes) = mpsc::channel();
        let watcher = Watcher::start(vec![current.clone()], WatchOptions::default(), move |_| {
            sender.send(()).ok();
            Answer::Done
        })
        .unwrap();
        std::os::unix::fs::symlink("2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &current).unwrap();
        changes.recv_timeout(Duration::from_secs(20)).unwrap();
        fs::write(folder.path().join("2/a.xml"), "changed again").unwrap();
        changes.recv_timeout(Duration::from_secs(20)).unwrap();
        watcher.stop();
    }
}
