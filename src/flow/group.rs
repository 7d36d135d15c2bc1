//! What groups of endpoints remember between messages: whose turn it is, who worked last, which session belongs to whom. Outlives deployments.

use crate::wire::url::Origin;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// All groups, by name and definition.
#[derive(Debug, Default)]
pub struct Groups {
    known: Mutex<HashMap<Key, Arc<GroupState>>>,
}

/// Its name, and a hash of its definition.
type Key = (Arc<str>, u64);

/// One group's memory, shared by all threads.
#[derive(Debug, Default)]
pub struct GroupState {
    /// Who comes first next time.
    turn: AtomicUsize,
    /// The child that a sticky group stays with.
    pub current: AtomicUsize,
    /// What may still be sent again, in fifths of a message.
    savings: AtomicUsize,
    retries: AtomicUsize,
    sessions: Mutex<Sessions>,
    /// Weighted algorithms: what each child is still owed.
    pub owed: Mutex<Vec<i64>>,
}

/// Sessions by what their clients show, each with its child.
#[derive(Debug, Default)]
struct Sessions {
    known: HashMap<String, Session>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    child: usize,
    until: Instant,
}

/// A message that is under way in a group.
pub struct Underway<'a> {
    state: &'a GroupState,
    retries: usize,
}

/// More sessions are not remembered: the oldest give way.
const SESSIONS: usize = 100_000;
/// So many retries may always be under way.
const FLOOR: usize = 3;
/// Each message saves a fifth of a retry, up to this many whole ones: a child that dies with many messages under way may have all of them sent again,
/// and one that goes on failing makes no more than a fifth of work on top.
const SAVINGS: usize = 1000;

impl Groups {
    pub fn attach(&self, name: &Arc<str>, definition: u64) -> Arc<GroupState> {
        let mut known = lock(&self.known);
        let state = known.entry((Arc::clone(name), definition)).or_default();
        Arc::clone(state)
    }

    /// After a reload: groups that nobody has any more are forgotten.
    pub fn sweep(&self) {
        lock(&self.known).retain(|_, state| Arc::strong_count(state) > 1);
    }
}

impl GroupState {
    /// For those who take turns: `choose` is told who comes first, and says who it is. The one behind that comes first next time, so that those who
    /// are left out give their turns to all the others and not to their neighbour alone.
    pub fn in_turn(&self, count: usize, mut choose: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
        let mut chosen = None;
        let next = |first| {
            chosen = choose(first);
            chosen.map(|chosen| (chosen + 1) % count)
        };
        self.turn
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok();
        chosen
    }

    pub fn enter(&self) -> Underway<'_> {
        let more = |saved| (saved < SAVINGS * 5).then_some(saved + 1);
        self.savings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok();
        Underway {
            state: self,
            retries: 0,
        }
    }

    /// The child of a session that has not run out; it lives on from now.
    pub fn session(&self, key: &str, lifetime: Duration) -> Option<usize> {
        let mut sessions = lock(&self.sessions);
        let now = Instant::now();
        let session = sessions.known.get_mut(key)?;
        if session.until <= now {
            sessions.known.remove(key);
            return None;
        }
        session.until = now + lifetime;
        Some(session.child)
    }

    /// From now on the session belongs to this child.
    pub fn bind(&self, key: &str, child: usize, lifetime: Duration) {
        let mut sessions = lock(&self.sessions);
        let now = Instant::now();
        let sessions = &mut *sessions;
        let due = sessions
            .swept
            .is_none_or(|swept| now - swept > Duration::from_secs(10));
        if due || sessions.known.len() >= SESSIONS {
            sessions.known.retain(|_, session| session.until > now);
            sessions.swept = Some(now);
        }
        if sessions.known.len() >= SESSIONS
            && let Some(oldest) = sessions
                .known
                .iter()
                .min_by_key(|(_, session)| session.until)
                .map(|(key, _)| key.clone())
        {
            sessions.known.remove(&oldest);
        }
        let until = now + lifetime;
        sessions.known.insert(key.to_owned(), Session { child, until });
    }
}

impl Underway<'_> {
    /// May one more request be sent again just now?
    pub fn may_retry(&mut self) -> bool {
        let spend = |saved: usize| saved.checked_sub(5);
        let state = self.state;
        if state
            .savings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
        {
            return true;
        }
        if state.retries.fetch_add(1, Ordering::AcqRel) >= FLOOR {
            state.retries.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        self.retries += 1;
        true
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.state.retries.fetch_sub(self.retries, Ordering::AcqRel);
    }
}

/// A text and a child, made into a number that is the same each time: the child with the highest one gets the text (rendezvous hashing), so that
/// the loss of a child moves its own share alone.
pub fn score(text: &str, child: &str) -> u64 {
    // FNV-1a, and then mixed: the names of children differ in a single digit at their end.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes().chain([0]).chain(child.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The same origin with the host and port of a member.
pub fn with_host(origin: &Origin, host: &str, port: u16) -> Option<Origin> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    Origin::new(origin.scheme, &format!("{host}:{port}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::wait;

    #[test]
    fn sessions_run_out_unless_they_are_used() {
        wait(async {
            let state = GroupState::default();
            let lifetime = Duration::from_secs(2);
            state.bind("a=1", 1, lifetime);
            for _ in 0..3 {
                tokio::time::advance(Duration::from_millis(1500)).await;
                assert_eq!(state.session("a=1", lifetime), Some(1));
            }
            tokio::time::advance(Duration::from_secs(3)).await;
            assert_eq!(state.session("a=1", lifetime), None);
        });
    }

    #[test]
    fn retries_are_a_fifth_of_all_messages_and_three_at_once_at_least() {
        let state = GroupState::default();
        let mut under_way: Vec<_> = (0..20).map(|_| state.enter()).collect();
        let allowed = under_way
            .iter_mut()
            .filter_map(|one| one.may_retry().then_some(()));
        assert_eq!(allowed.count(), 4 + 3);
        drop(under_way);
        let mut only = state.enter();
        assert_eq!((0..5).filter(|_| only.may_retry()).count(), 3);
    }

    #[test]
    fn the_loss_of_a_child_moves_its_own_share_alone() {
        let best = |text: &str, children: &[&'static str]| {
            let children = children.iter().copied();
            children.max_by_key(|child| score(text, child)).unwrap()
        };
        let mut counts = HashMap::new();
        for number in 0..3000 {
            let text = format!("user-{number}");
            let of_all = best(&text, &["a_0", "a_1", "a_2"]);
            *counts.entry(of_all).or_insert(0) += 1;
            if of_all != "a_2" {
                assert_eq!(best(&text, &["a_0", "a_1"]), of_all);
            }
        }
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
