//! What outlives a deployment: connections to backends, the clock, the source of ids.

use super::backend_jwt::BackendJwt;
use super::credentials::Shelf;
use super::description::Descriptions;
use super::group::Groups;
use super::health::Registry;
use super::token::Tokens;
use crate::script::js::{Meters, Pool, Stores};
use crate::wire::Url;
use crate::wire::client::{Client, ClientRequest, ClientResponse, SendError};
use async_trait::async_trait;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// Shared by all threads.
#[derive(Debug)]
pub struct Runtime {
    pub clock: Clock,
    ids: AtomicU64,
    /// Whose tokens are taken.
    pub tokens: Tokens,
    /// Makes the tokens that backends get.
    pub signer: Option<Arc<BackendJwt>>,
    /// The address under which clients know this gateway, where somebody has said so.
    pub public_url: Option<Arc<str>>,
    pub timeouts: Timeouts,
    /// How the endpoints are.
    pub health: Registry,
    /// What credentials have learned of backends.
    pub shelf: Shelf,
    /// For everything that one request asks of backends, over all attempts.
    pub total: Option<Duration>,
    /// What groups of endpoints remember.
    pub groups: Groups,
    /// A message may go where its own WS-Addressing header says.
    pub sends_where_senders_say: bool,
    /// What services say of themselves.
    pub descriptions: Descriptions,
    /// A request may ask a mock to answer late or brokenly.
    pub mishaps: bool,
    /// What scripts keep.
    pub stores: Arc<Stores>,
    /// What scripts have spent.
    pub meters: Arc<Meters>,
}

/// What an endpoint that says nothing waits for.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the last byte of the request to the answer's headers.
    pub response: Duration,
}

/// The wall clock, or one that a test sets.
#[derive(Debug)]
pub enum Clock {
    System,
    /// Milliseconds since 1970.
    Fixed(AtomicI64),
}

impl Clock {
    pub fn millis(&self) -> i64 {
        match self {
            Clock::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as i64),
            Clock::Fixed(millis) => millis.load(Ordering::Relaxed),
        }
    }
}

impl Runtime {
    pub fn new(clock: Clock, seed: u64, timeouts: Timeouts) -> Runtime {
        Runtime {
            clock,
            ids: AtomicU64::new(seed),
            tokens: Tokens::default(),
            signer: None,
            public_url: None,
            timeouts,
            health: Registry::default(),
            shelf: Shelf::default(),
            total: None,
            sends_where_senders_say: false,
            mishaps: true,
            groups: Groups::default(),
            descriptions: Descriptions::default(),
            stores: Arc::default(),
            meters: Arc::default(),
        }
    }

    /// With other defaults for endpoints than Synapse's.
    pub fn with_health(self, health: Registry) -> Runtime {
        Runtime { health, ..self }
    }

    /// With a limit to the time of all attempts together.
    pub fn within(self, total: Option<Duration>) -> Runtime {
        Runtime { total, ..self }
    }

    /// With messages that may go where their own WS-Addressing header says.
    pub fn sending_where_senders_say(self, sends_where_senders_say: bool) -> Runtime {
        Runtime {
            sends_where_senders_say,
            ..self
        }
    }

    pub fn with_mishaps(self, mishaps: bool) -> Runtime {
        Runtime { mishaps, ..self }
    }

    pub fn with_tokens(self, tokens: Tokens, signer: Option<Arc<BackendJwt>>) -> Runtime {
        Runtime {
            tokens,
            signer,
            ..self
        }
    }

    pub fn known_as(self, public_url: Option<Arc<str>>) -> Runtime {
        Runtime { public_url, ..self }
    }

    /// Where the chance of one run of a script begins.
    pub fn random_seed(&self) -> u64 {
        let at = self.ids.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        fastrand::Rng::with_seed(at).u64(..)
    }

    /// A message id in Axis2's shape, `urn:uuid:…` (RFC 9562 version 4).
    pub fn message_id(&self) -> String {
        let at = self.ids.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut random = fastrand::Rng::with_seed(at);
        let bits = (random.u128(..) & !(0xF000 << 64) & !(0xC000 << 48)) | (0x4000 << 64) | (0x8000 << 48);
        let hex = format!("{bits:032x}");
        format!(
            "urn:uuid:{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

/// The way to backends: HTTP, or a script in memory for examples and tests.
#[async_trait(?Send)]
pub trait Backends {
    async fn send(&self, request: ClientRequest) -> Result<ClientResponse, SendError>;

    /// The client, where a request to this address goes out as it is.
    fn straight(&self, _: &Url) -> Option<&Client> {
        None
    }
}

#[async_trait(?Send)]
impl Backends for Client {
    async fn send(&self, request: ClientRequest) -> Result<ClientResponse, SendError> {
        Client::send(self, request).await
    }

    fn straight(&self, _: &Url) -> Option<&Client> {
        Some(self)
    }
}

/// One thread's share: its own connections.
pub struct Worker {
    pub client: Rc<dyn Backends>,
    pub runtime: Arc<Runtime>,
    pub scripts: Rc<Pool>,
    pub errands: Errands,
}

/// What goes on though no client waits for it: messages that are sent one way. A shutdown waits for them.
#[derive(Default)]
pub struct Errands(RefCell<Vec<JoinHandle<()>>>);

impl Errands {
    pub fn begin(&self, errand: impl Future<Output = ()> + 'static) {
        let mut all = self.0.borrow_mut();
        if all.len() == all.capacity() {
            all.retain(|errand| !errand.is_finished());
        }
        all.push(tokio::task::spawn_local(errand));
    }

    pub async fn finish(&self) {
        loop {
            let Some(errand) = self.0.borrow_mut().pop() else {
                return;
            };
            // A panic in it has been counted and logged.
            drop(errand.await);
        }
    }
}

impl Worker {
    /// Fetches the descriptions of services for all threads. One of them does so.
    pub async fn keep_descriptions(&self) {
        self.runtime.descriptions.keep(Rc::clone(&self.client)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_uuids_of_version_4_and_differ() {
        let timeouts = Timeouts {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
        };
        let runtime = Runtime::new(Clock::Fixed(AtomicI64::new(5)), 7, timeouts);
        let (first, second) = (runtime.message_id(), runtime.message_id());
        assert_ne!(first, second);
        assert_eq!((first.len(), &first[23..24]), (45, "4"), "{first}");
        assert!("89ab".contains(&first[28..29]), "{first}");
        assert_eq!(runtime.clock.millis(), 5);
    }
}
