//! Health: whether an endpoint is used just now, why not, and when it is tried again. Outlives deployments, and is shared by all threads.
//!
//! The states and their rules are those of Synapse's `EndpointContext`. What is ours: a suspended endpoint whose time has come is tried with one
//! request, and the others follow when that one was answered; a request that was sent before a suspension does not lengthen it.

use crate::wire::client::Watch;
use crate::wire::url::Origin as Address;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Synapse's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    /// Marked for suspension: it failed, and has attempts left.
    Timeout,
    Suspended,
    /// By an operator.
    Off,
}

/// When an endpoint is taken out of use, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// `suspendOnFailure/errorCodes`; empty: every code.
    pub suspend_codes: Vec<i32>,
    /// `None`: the global default.
    pub initial: Option<Duration>,
    /// `None`: the global default.
    pub factor: Option<f64>,
    pub maximum: Option<Duration>,
    /// `markForSuspension/errorCodes`; empty: 101504 and 101505.
    pub timeout_codes: Vec<i32>,
    pub retries: u32,
    pub retry_delay: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            suspend_codes: Vec::new(),
            initial: None,
            factor: None,
            maximum: None,
            timeout_codes: Vec::new(),
            retries: 0,
            retry_delay: Duration::ZERO,
        }
    }
}

/// How much an endpoint takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulkhead {
    /// Requests whose answers are not whole yet.
    pub in_flight: usize,
    /// Requests that wait for one of those to end.
    pub queue: usize,
}

/// What an endpoint says about it itself; where it says nothing the defaults hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnBulkhead {
    pub in_flight: Option<usize>,
    pub queue: Option<usize>,
}

/// What holds where an endpoint says nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// `synapse.global_endpoint_suspend_duration`
    pub initial: Duration,
    /// `synapse.global_endpoint_suspend_progression_factor`
    pub factor: f64,
    /// `synapse.global_endpoint_suspend_maximum_duration`
    pub maximum: Option<Duration>,
    pub bulkhead: Bulkhead,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            initial: Duration::from_secs(30),
            factor: 1.0,
            maximum: None,
            bulkhead: Bulkhead {
                in_flight: 1024,
                queue: 1024,
            },
        }
    }
}

/// An endpoint as the registry knows it: two definitions with the same name and text are the same endpoint, across reloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub name: Arc<str>,
    /// `address`, `http`, …
    pub kind: &'static str,
    /// A hash of the definition.
    pub definition: u64,
    pub rules: Rules,
    pub bulkhead: OwnBulkhead,
    /// Where it goes, as its author wrote it.
    pub address: Arc<str>,
    /// What the state is kept per, and what limits hold for: the endpoint, or each authority it sends to.
    pub per_authority: bool,
}

/// All endpoints there are, by name.
#[derive(Debug, Default)]
pub struct Registry {
    defaults: Defaults,
    known: Mutex<HashMap<Arc<str>, Arc<Health>>>,
}

/// The health of one endpoint, or of one authority behind it.
#[derive(Debug)]
pub struct Health {
    pub identity: Identity,
    defaults: Defaults,
    /// `State::Active` and nothing counted: the only question that a request to a sound endpoint asks.
    sound: AtomicBool,
    state: AtomicU8,
    changes: Mutex<Changes>,
    bulkhead: Bulkhead,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
    sent: AtomicU64,
    failed: AtomicU64,
    /// Those it has sent to, where the state is kept for each.
    authorities: Mutex<HashMap<Address, Arc<Health>>>,
    /// Of an authority: the endpoint.
    above: Weak<Health>,
}

#[derive(Debug, Default)]
struct Changes {
    retries_left: u32,
    /// What the last suspension was, without a success since.
    last: Option<Duration>,
    next: Option<Instant>,
    /// Counts suspensions.
    epoch: u64,
    trial: bool,
    cause: Option<Cause>,
    since: Option<Instant>,
}

/// Why an endpoint is not active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub code: i32,
    pub reason: String,
}

/// An endpoint that takes no message just now.
#[derive(Debug, Clone, PartialEq)]
pub struct NotReady {
    pub state: State,
    /// Until it is tried again, where that is known.
    pub retry_after: Option<Duration>,
    /// It is not its state: it has as much to do as it may.
    pub full: bool,
}

/// A request that is let through. Tell how it ended; one that is dropped untold changes nothing.
#[derive(Debug)]
pub struct Pass {
    health: Arc<Health>,
    epoch: u64,
    trial: bool,
}

/// What `/management/endpoints` shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub name: Arc<str>,
    pub kind: &'static str,
    pub address: Arc<str>,
    pub state: State,
    pub cause: Option<Cause>,
    /// In the state TIMEOUT: how many more failures are borne.
    pub attempts_left: u32,
    /// Until it is tried again.
    pub retry_after: Option<Duration>,
    /// Its time has come: the next request tries it.
    pub ready: bool,
    /// How long it has been in this state.
    pub since: Option<Duration>,
    pub in_flight: usize,
    pub waiting: usize,
    pub sent: u64,
    pub failed: u64,
    /// Authorities that are not active, where the state is kept for each.
    pub authorities: Vec<Snapshot>,
}

/// No more authorities are remembered than this: clients may choose them.
const AUTHORITIES: usize = 1024;

impl Registry {
    pub fn new(defaults: Defaults) -> Registry {
        Registry {
            defaults,
            known: Mutex::default(),
        }
    }

    /// The health of an endpoint: the one there is if the definition is the same.
    pub fn attach(&self, identity: &Identity) -> Arc<Health> {
        let mut known = lock(&self.known);
        if let Some(health) = known.get(&identity.name)
            && health.identity == *identity
        {
            return Arc::clone(health);
        }
        let health = Arc::new(Health::new(identity.clone(), self.defaults));
        if let Some(before) = known.insert(Arc::clone(&identity.name), Arc::clone(&health))
            && before.state() == State::Off
        {
            // An operator switched the name off, whatever stands behind it now.
            health.switch_off();
        }
        health
    }

    /// After a reload: those that are gone are forgotten, those that are new are there to be seen.
    pub fn adopt<'a>(&self, identities: impl IntoIterator<Item = &'a Identity>) {
        let mut names = std::collections::HashSet::new();
        for identity in identities {
            names.insert(Arc::clone(&identity.name));
            self.attach(identity);
        }
        lock(&self.known).retain(|name, _| names.contains(name));
    }

    pub fn find(&self, name: &str) -> Option<Arc<Health>> {
        lock(&self.known).get(name).cloned()
    }

    /// Every endpoint, by name.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let all: Vec<_> = lock(&self.known).values().cloned().collect();
        let mut snapshots: Vec<_> = all.iter().map(|health| health.snapshot()).collect();
        snapshots.sort_by(|one, other| one.name.cmp(&other.name));
        snapshots
    }
}

impl Health {
    pub fn new(identity: Identity, defaults: Defaults) -> Health {
        let bulkhead = Bulkhead {
            in_flight: identity.bulkhead.in_flight.unwrap_or(defaults.bulkhead.in_flight),
            queue: identity.bulkhead.queue.unwrap_or(defaults.bulkhead.queue),
        };
        let retries_left = identity.rules.retries;
        Health {
            identity,
            defaults,
            sound: AtomicBool::new(true),
            state: AtomicU8::new(State::Active as u8),
            changes: Mutex::new(Changes {
                retries_left,
                ..Changes::default()
            }),
            bulkhead,
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            authorities: Mutex::default(),
            above: Weak::new(),
        }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Active,
            1 => State::Timeout,
            2 => State::Suspended,
            _ => State::Off,
        }
    }

    /// Requests whose answers are not whole yet.
    pub fn in_flight(&self) -> usize {
        self.sum(|health| &health.in_flight)
    }

    /// Its own and those of its authorities.
    fn sum(&self, counter: fn(&Health) -> &AtomicUsize) -> usize {
        let own = counter(self).load(Ordering::Relaxed);
        if !self.identity.per_authority {
            return own;
        }
        let all = lock(&self.authorities);
        let theirs = all.values().map(|health| counter(health).load(Ordering::Relaxed));
        own + theirs.sum::<usize>()
    }

    /// Would it take a message? For groups, which skip those that would not.
    pub fn ready(&self) -> Result<(), NotReady> {
        if self.sound.load(Ordering::Acquire) {
            return Ok(());
        }
        let changes = lock(&self.changes);
        self.open(&changes).map(|_| ())
    }

    /// Lets a request through, or says why not.
    pub fn admit(self: &Arc<Self>) -> Result<Pass, NotReady> {
        if self.sound.load(Ordering::Acquire) {
            return Ok(Pass {
                health: Arc::clone(self),
                epoch: 0,
                trial: false,
            });
        }
        let mut changes = lock(&self.changes);
        let trial = self.open(&changes)?;
        changes.trial |= trial;
        Ok(Pass {
            health: Arc::clone(self),
            epoch: changes.epoch,
            trial,
        })
    }

    /// Whether a request goes through, and whether it would be the one that tries the endpoint.
    fn open(&self, changes: &Changes) -> Result<bool, NotReady> {
        let state = self.state();
        let refused = |retry_after| {
            Err(NotReady {
                state,
                retry_after,
                full: false,
            })
        };
        match state {
            State::Active => Ok(false),
            State::Off => refused(None),
            State::Timeout | State::Suspended => {
                let left = changes
                    .next
                    .map(|next| next.saturating_duration_since(Instant::now()));
                match left {
                    Some(left) if !left.is_zero() => refused(Some(left)),
                    _ if state == State::Timeout => Ok(false),
                    // Somebody tries it already.
                    _ if changes.trial => refused(Some(Duration::from_secs(1))),
                    _ => Ok(true),
                }
            }
        }
    }

    /// Takes one of the places there are, and lets the request through; waits, in a queue that has an end, where no place is free.
    pub async fn enter(self: &Arc<Self>, patience: Duration) -> Result<(Pass, Place), NotReady> {
        self.ready()?;
        let place = self.place(patience).await?;
        // Much may have happened while it waited.
        self.begin(place)
    }

    /// The same where a place is free and nothing has to be waited for.
    pub fn enter_now(self: &Arc<Self>) -> Option<(Pass, Place)> {
        self.ready().ok()?;
        let place = self.try_enter().then(|| self.taken())?;
        self.begin(place).ok()
    }

    fn begin(self: &Arc<Self>, mut place: Place) -> Result<(Pass, Place), NotReady> {
        let pass = self.admit()?;
        place.epoch = pass.epoch;
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(above) = self.above.upgrade() {
            above.sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok((pass, place))
    }

    async fn place(self: &Arc<Self>, patience: Duration) -> Result<Place, NotReady> {
        if self.try_enter() {
            return Ok(self.taken());
        }
        let full = || NotReady {
            state: self.state(),
            retry_after: Some(Duration::from_secs(1)),
            full: true,
        };
        let waiting = Waiting::new(self).ok_or_else(full)?;
        let deadline = Instant::now() + patience;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.try_enter() {
                drop(waiting);
                return Ok(self.taken());
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(full());
            }
        }
    }

    /// The place that was just taken.
    fn taken(self: &Arc<Self>) -> Place {
        Place {
            health: Arc::clone(self),
            epoch: 0,
        }
    }

    fn try_enter(&self) -> bool {
        let room = |taken| (taken < self.bulkhead.in_flight).then_some(taken + 1);
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .is_ok()
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.freed.notify_one();
        }
    }

    /// Whether a request to this address would be let through.
    pub fn ready_at(self: &Arc<Self>, address: &Address) -> Result<(), NotReady> {
        self.ready()?;
        self.of(address).ready()
    }

    /// The health that a request to this address asks, and that its failure changes: the endpoint's own, or the address's.
    pub fn of(self: &Arc<Self>, address: &Address) -> Arc<Health> {
        if !self.identity.per_authority {
            return Arc::clone(self);
        }
        let mut all = lock(&self.authorities);
        if let Some(health) = all.get(address) {
            return Arc::clone(health);
        }
        if all.len() >= AUTHORITIES {
            all.retain(|_, health| health.state() != State::Active || health.in_flight() > 0);
        }
        if all.len() >= AUTHORITIES
            && let Some(soonest) = all
                .iter()
                .min_by_key(|(_, health)| lock(&health.changes).next)
                .map(|(address, _)| address.clone())
        {
            all.remove(&soonest);
        }
        let identity = Identity {
            name: Arc::from(format!("{} {address}", self.identity.name)),
            address: Arc::from(address.to_string()),
            per_authority: false,
            ..self.identity.clone()
        };
        let health = Arc::new(Health {
            above: Arc::downgrade(self),
            ..Health::new(identity, self.defaults)
        });
        all.insert(address.clone(), Arc::clone(&health));
        health
    }

    fn succeeded(&self) {
        if self.sound.load(Ordering::Acquire) {
            return;
        }
        let mut changes = lock(&self.changes);
        if self.state() == State::Off {
            return;
        }
        changes.trial = false;
        self.become_active(&mut changes, "it answered");
    }

    fn become_active(&self, changes: &mut Changes, why: &str) {
        let before = self.state();
        *changes = Changes {
            retries_left: self.identity.rules.retries,
            epoch: changes.epoch,
            since: Some(Instant::now()),
            ..Changes::default()
        };
        self.set(State::Active);
        if before != State::Active {
            tracing::info!(endpoint = %self.identity.name, from = %before, to = %State::Active, why, "An endpoint changed its state.");
        }
        self.sound.store(true, Ordering::Release);
    }

    fn set(&self, state: State) {
        if state != State::Active {
            self.sound.store(false, Ordering::Release);
        }
        self.state.store(state as u8, Ordering::Release);
    }

    fn fail(&self, cause: Cause, epoch: u64) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Some(above) = self.above.upgrade() {
            above.failed.fetch_add(1, Ordering::Relaxed);
        }
        let mut changes = lock(&self.changes);
        let state = self.state();
        changes.trial = false;
        if state == State::Off || state == State::Suspended && epoch < changes.epoch {
            return;
        }
        let rules = &self.identity.rules;
        let timeout = match rules.timeout_codes.as_slice() {
            [] => [101_504, 101_505].contains(&cause.code),
            codes => codes.contains(&cause.code),
        };
        let now = Instant::now();
        if timeout && changes.retries_left > 0 {
            changes.retries_left -= 1;
            changes.next = Some(now + rules.retry_delay);
            return self.left_active(&mut changes, State::Timeout, rules.retry_delay, cause);
        }
        if !timeout && !rules.suspend_codes.is_empty() && !rules.suspend_codes.contains(&cause.code) {
            return;
        }
        let duration = self.next_suspension(changes.last);
        changes.last = Some(duration);
        changes.next = Some(now + duration);
        changes.epoch += 1;
        self.left_active(&mut changes, State::Suspended, duration, cause);
    }

    fn next_suspension(&self, last: Option<Duration>) -> Duration {
        let rules = &self.identity.rules;
        let factor = rules.factor.unwrap_or(self.defaults.factor);
        let duration = match (last, rules.initial) {
            // A duration that would be negative is the default one, which no maximum shortens (`EndpointContext`).
            (None, None) => return self.defaults.initial,
            (Some(_), _) if factor < 0.0 => return self.defaults.initial,
            (None, Some(initial)) => initial,
            // What no number of milliseconds can say is a limit of its own.
            (Some(last), _) => Duration::try_from_secs_f64(last.as_secs_f64() * factor)
                .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
        };
        match rules.maximum.or(self.defaults.maximum) {
            Some(maximum) => duration.min(maximum),
            None => duration,
        }
    }

    fn left_active(&self, changes: &mut Changes, state: State, pause: Duration, cause: Cause) {
        let from = self.state();
        changes.since = Some(Instant::now());
        tracing::warn!(
            endpoint = %self.identity.name,
            from = %from,
            to = %state,
            code = cause.code,
            reason = %cause.reason,
            attempts_left = changes.retries_left,
            retry_after_ms = pause.as_millis() as u64,
            "An endpoint changed its state."
        );
        changes.cause = Some(cause);
        self.set(state);
    }

    // Operators

    /// Takes no more messages until it is switched on.
    pub fn switch_off(&self) {
        let mut changes = lock(&self.changes);
        let from = self.state();
        if from != State::Off {
            changes.since = Some(Instant::now());
            changes.next = None;
            changes.cause = None;
            self.set(State::Off);
            tracing::warn!(endpoint = %self.identity.name, from = %from, to = %State::Off, why = "an operator", "An endpoint changed its state.");
        }
    }

    /// Active at once, whatever it was; its authorities too.
    pub fn switch_on(&self) {
        let mut changes = lock(&self.changes);
        self.become_active(&mut changes, "an operator");
        drop(changes);
        let suspended: Vec<_> = lock(&self.authorities).values().cloned().collect();
        for health in suspended.iter().filter(|health| health.state() != State::Active) {
            health.switch_on();
        }
    }

    /// The next request tries it, without waiting for its time.
    pub fn retry_now(&self) {
        let mut changes = lock(&self.changes);
        if matches!(self.state(), State::Suspended | State::Timeout) {
            changes.next = Some(Instant::now());
        }
        drop(changes);
        for health in lock(&self.authorities).values() {
            health.retry_now();
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let changes = lock(&self.changes);
        let state = self.state();
        let now = Instant::now();
        let left = changes
            .next
            .map(|next| next.saturating_duration_since(now))
            .filter(|left| !left.is_zero());
        let mut authorities: Vec<_> = lock(&self.authorities)
            .values()
            .filter(|health| health.state() != State::Active)
            .map(|health| health.snapshot())
            .collect();
        authorities.sort_by(|one, other| one.address.cmp(&other.address));
        Snapshot {
            name: Arc::clone(&self.identity.name),
            kind: self.identity.kind,
            address: Arc::clone(&self.identity.address),
            state,
            cause: changes.cause.clone(),
            attempts_left: changes.retries_left,
            retry_after: left,
            ready: self.open(&changes).is_ok(),
            since: changes.since.map(|since| now - since),
            in_flight: self.in_flight(),
            waiting: self.sum(|health| &health.waiting),
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            authorities,
        }
    }
}

impl Pass {
    /// Nothing came of it that is to be told, and somebody else will send the same once more.
    pub fn passed_on(self) {
        self.health.sent.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn succeeded(mut self) {
        self.health.succeeded();
        self.trial = false;
    }

    pub fn failed(mut self, code: i32, reason: &str) {
        let cause = Cause {
            code,
            reason: reason.to_owned(),
        };
        self.health.fail(cause, self.epoch);
        // It was told; somebody else may be the one who tries by now.
        self.trial = false;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trial {
            lock(&self.health.changes).trial = false;
        }
    }
}

/// One of the places of an endpoint, until its answer is whole. Knows what to do about an answer that breaks off.
pub struct Place {
    health: Arc<Health>,
    epoch: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.health.leave();
    }
}

impl Watch for Place {
    fn broken(&self, code: u32, reason: &str) {
        let cause = Cause {
            code: code as i32,
            reason: reason.to_owned(),
        };
        self.health.fail(cause, self.epoch);
    }

    fn answered(&self) {
        self.health.succeeded();
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a Health);

impl<'a> Waiting<'a> {
    fn new(health: &'a Health) -> Option<Waiting<'a>> {
        let before = health.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(health);
        (before < health.bulkhead.queue).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            State::Active => "ACTIVE",
            State::Timeout => "TIMEOUT",
            State::Suspended => "SUSPENDED",
            State::Off => "OFF",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::wait;

    fn health(rules: Rules) -> Arc<Health> {
        let identity = Identity {
            name: Arc::from("orders"),
            kind: "address",
            definition: 0,
            rules,
            bulkhead: OwnBulkhead::default(),
            address: Arc::from("http://backend/"),
            per_authority: false,
        };
        Arc::new(Health::new(identity, Defaults::default()))
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn fail(health: &Arc<Health>, code: i32) {
        let pass = health.admit().expect("it is ready");
        pass.failed(code, "no");
    }

    /// The pauses after failures in a row, each tried again as soon as its time has come.
    async fn pauses(health: &Arc<Health>, code: i32, count: usize) -> Vec<u128> {
        let mut pauses = Vec::new();
        for _ in 0..count {
            fail(health, code);
            let left = health.ready().err().and_then(|refused| refused.retry_after);
            let left = left.unwrap_or_default();
            pauses.push(left.as_millis());
            tokio::time::advance(left).await;
        }
        pauses
    }

    #[test]
    fn every_failure_suspends_for_thirty_seconds_where_nothing_is_said() {
        wait(async {
            let health = health(Rules::default());
            assert_eq!(pauses(&health, 101_503, 3).await, [30_000, 30_000, 30_000]);
            assert_eq!(health.state(), State::Suspended);
            health.admit().expect("its time has come").succeeded();
            assert_eq!(health.state(), State::Active);
        });
    }

    #[test]
    fn pauses_grow_by_their_factor_to_their_maximum_and_begin_anew_after_an_answer() {
        wait(async {
            let rules = Rules {
                initial: Some(millis(100)),
                factor: Some(2.0),
                maximum: Some(millis(500)),
                ..Rules::default()
            };
            let health = health(rules);
            assert_eq!(pauses(&health, 101_503, 4).await, [100, 200, 400, 500]);
            health.admit().expect("its time has come").succeeded();
            assert_eq!(pauses(&health, 101_503, 1).await, [100]);
        });
    }

    #[test]
    fn what_would_be_negative_is_the_default_pause() {
        wait(async {
            let rules = Rules {
                factor: Some(-1.0),
                maximum: Some(Duration::ZERO),
                ..Rules::default()
            };
            let health = health(rules);
            assert_eq!(pauses(&health, 101_503, 2).await, [30_000, 30_000]);
        });
    }

    #[test]
    fn a_timeout_marks_as_often_as_is_allowed_and_then_suspends() {
        wait(async {
            let rules = Rules {
                retries: 2,
                retry_delay: millis(50),
                initial: Some(millis(100)),
                ..Rules::default()
            };
            let health = health(rules);
            assert_eq!(pauses(&health, 101_504, 2).await, [50, 50]);
            assert_eq!(
                (health.state(), health.snapshot().attempts_left),
                (State::Timeout, 0)
            );
            assert_eq!(pauses(&health, 101_504, 1).await, [100]);
            assert_eq!(health.state(), State::Suspended);
        });
    }

    #[test]
    fn codes_that_are_not_listed_change_nothing() {
        wait(async {
            let rules = Rules {
                suspend_codes: vec![-1],
                timeout_codes: vec![-1],
                initial: Some(Duration::ZERO),
                ..Rules::default()
            };
            let health = health(rules);
            assert_eq!(pauses(&health, 101_503, 2).await, [0, 0]);
            assert_eq!(health.state(), State::Active);
            assert_eq!(health.snapshot().failed, 2);
        });
    }

    #[test]
    fn one_request_tries_a_suspended_endpoint_and_gives_way_when_it_is_cancelled() {
        wait(async {
            let health = health(Rules::default());
            fail(&health, 101_503);
            tokio::time::advance(millis(30_000)).await;
            let trial = health.admit().expect("its time has come");
            assert!(health.admit().is_err(), "another one tries it already");
            drop(trial);
            health.admit().expect("nobody tries it").succeeded();
        });
    }

    #[test]
    fn requests_that_left_before_a_suspension_do_not_lengthen_it() {
        wait(async {
            let rules = Rules {
                factor: Some(10.0),
                initial: Some(millis(100)),
                ..Rules::default()
            };
            let health = health(rules);
            let both = [health.admit(), health.admit()];
            for pass in both {
                pass.expect("it is ready").failed(101_503, "no");
            }
            assert_eq!(health.snapshot().retry_after, Some(millis(100)));
        });
    }

    #[test]
    fn an_operator_switches_off_and_on() {
        wait(async {
            let health = health(Rules::default());
            let early = health.admit().expect("it is ready");
            health.switch_off();
            early.succeeded();
            assert_eq!(
                health.admit().err().map(|refused| refused.state),
                Some(State::Off)
            );
            health.switch_on();
            fail(&health, 101_503);
            health.retry_now();
            health.admit().expect("an operator said so").succeeded();
        });
    }

    #[test]
    fn a_state_outlives_a_reload_and_not_another_definition() {
        wait(async {
            let registry = Registry::new(Defaults::default());
            let same = health(Rules::default()).identity.clone();
            fail(&registry.attach(&same), 101_503);
            registry.adopt([&same]);
            assert_eq!(registry.attach(&same).state(), State::Suspended);
            let other = Identity {
                definition: 1,
                ..same.clone()
            };
            registry.adopt([&other]);
            assert_eq!(registry.attach(&other).state(), State::Active);
            registry.attach(&other).switch_off();
            assert_eq!(registry.attach(&same).state(), State::Off);
            registry.adopt([]);
            assert_eq!(registry.snapshots(), []);
        });
    }

    #[test]
    fn no_more_are_let_in_than_there_is_room_and_the_others_wait() {
        wait(async {
            let identity = Identity {
                bulkhead: OwnBulkhead {
                    in_flight: Some(1),
                    queue: Some(1),
                },
                ..health(Rules::default()).identity.clone()
            };
            let health = Arc::new(Health::new(identity, Defaults::default()));
            let first = health
                .enter(millis(10))
                .await
                .unwrap_or_else(|_| panic!("there is room"));
            let late = health.enter(millis(10)).await.err().map(|refused| refused.full);
            assert_eq!(late, Some(true));
            let (second, ()) = tokio::join!(health.enter(millis(10)), async { drop(first) });
            assert!(second.is_ok());
            assert_eq!(health.in_flight(), 1);
        });
    }

    #[test]
    fn who_has_waited_in_vain_hears_what_has_become_of_the_endpoint() {
        wait(async {
            let identity = Identity {
                bulkhead: OwnBulkhead {
                    in_flight: Some(1),
                    queue: None,
                },
                ..health(Rules::default()).identity.clone()
            };
            let health = Arc::new(Health::new(identity, Defaults::default()));
            let Ok((pass, place)) = health.enter(millis(10)).await else {
                panic!("there is room")
            };
            let (second, ()) = tokio::join!(health.enter(millis(1000)), async {
                pass.failed(101_504, "it hangs");
                drop(place);
            });
            let refused = second.err().expect("it is suspended");
            assert_eq!((refused.state, refused.full), (State::Suspended, false));
            assert_eq!((health.in_flight(), health.snapshot().sent), (0, 1));
        });
    }

    #[test]
    fn answers_that_broke_off_before_a_suspension_do_not_lengthen_it() {
        wait(async {
            let rules = Rules {
                factor: Some(10.0),
                initial: Some(millis(100)),
                ..Rules::default()
            };
            let health = health(rules);
            let mut places = Vec::new();
            for _ in 0..3 {
                let Ok((pass, place)) = health.enter(millis(10)).await else {
                    panic!("there is room")
                };
                pass.succeeded();
                places.push(place);
            }
            for place in &places {
                place.broken(101_505, "the answer broke off");
            }
            assert_eq!(health.snapshot().retry_after, Some(millis(100)));
        });
    }

    #[test]
    fn addresses_behind_one_endpoint_fail_one_by_one() {
        wait(async {
            let identity = Identity {
                per_authority: true,
                ..health(Rules::default()).identity.clone()
            };
            let health = Arc::new(Health::new(identity, Defaults::default()));
            let address = |text: &str| {
                let url = crate::wire::url::Url::parse(text).expect("an address");
                (*url.origin).clone()
            };
            let (bad, good) = (address("http://bad/"), address("http://good/"));
            let Ok((pass, place)) = health.of(&bad).enter(millis(10)).await else {
                panic!("there is room")
            };
            pass.succeeded();
            place.broken(101_505, "the answer broke off");
            assert!(health.ready_at(&bad).is_err());
            assert!(health.ready_at(&good).is_ok());
            let shown = health.snapshot();
            assert_eq!((shown.state, shown.sent, shown.failed), (State::Active, 1, 1));
            assert_eq!((shown.in_flight, shown.authorities.len()), (1, 1));
            // Whoever switches the endpoint off means all of them.
            health.switch_off();
            assert!(health.ready_at(&good).is_err());
            health.switch_on();
            assert!(health.ready_at(&bad).is_ok());
        });
    }

    #[test]
    fn an_address_that_hangs_leaves_the_others_behind_the_same_endpoint_their_room() {
        wait(async {
            let identity = Identity {
                per_authority: true,
                bulkhead: OwnBulkhead {
                    in_flight: Some(1),
                    queue: Some(0),
                },
                ..health(Rules::default()).identity.clone()
            };
            let health = Arc::new(Health::new(identity, Defaults::default()));
            let address = |text: &str| {
                let url = crate::wire::url::Url::parse(text).expect("an address");
                (*url.origin).clone()
            };
            let (hangs, sound) = (address("http://hangs/"), address("http://sound/"));
            let held = health.of(&hangs).enter(millis(10)).await;
            assert!(held.is_ok());
            assert!(health.of(&hangs).enter(millis(10)).await.is_err());
            assert!(health.of(&sound).enter(millis(10)).await.is_ok());
            assert_eq!(health.in_flight(), 1);
        });
    }
}
