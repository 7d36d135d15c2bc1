//! Serving: which resource a request belongs to, its in, out and fault side, the answer.

mod admission;
mod answer;
mod apim;
pub mod backend_jwt;
mod backend_settings;
mod begin;
pub mod deployment_toml;
pub mod endpoint_settings;
pub mod environments;
pub mod mark;
pub mod mock_settings;
mod published;
pub mod reload;
mod route;
pub mod script_settings;
pub mod serve;
pub mod settings;
mod settings_place;
mod settings_reading;
mod settings_table;
mod straight;
mod target;
pub mod tokens;
mod wsdl;

use self::backend_jwt::BackendJwtSettings;
use self::environments::Ports;
use self::mark::Marking;
use self::reload::Status;
use self::serve::{Counters, Server};
use self::settings::Settings;
use self::tokens::Keepers;
use crate::deployment::Deployment;
use crate::flow::Worker;
use crate::flow::backend_jwt::BackendJwt;
use crate::flow::health::Registry;
use crate::flow::runtime::{Clock, Errands, Runtime, Timeouts};
use crate::script::js::Pool;
use crate::wire::client::Client;
use crate::wire::listen::{self, Door, Drained};
use crate::wire::tls::ServerTls;
use crate::wire::{Incoming, Reply, Service};
use arc_swap::ArcSwap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A gateway that serves.
pub struct Gateway {
    pub http: SocketAddr,
    pub https: Option<SocketAddr>,
    shared: Arc<Shared>,
    tls: Option<ServerTls>,
    keepers: Keepers,
    signs: Option<(Arc<BackendJwt>, BackendJwtSettings)>,
    workers: Mutex<Vec<JoinHandle<Drained>>>,
}

/// What outlives deployments and is seen by all threads.
pub struct Shared {
    current: ArcSwap<Deployment>,
    door: Arc<Door>,
    counters: Arc<Counters>,
    status: Arc<Status>,
    draining: AtomicBool,
    /// Where the management listens, once it does.
    admin: OnceLock<SocketAddr>,
    pub runtime: Arc<Runtime>,
}

/// How the gateway is, for those who ask from outside.
#[derive(Debug, Clone)]
pub struct Health {
    pub draining: bool,
    pub generation: u64,
    pub reload: reload::StatusNow,
    pub connections: usize,
    pub panics: u64,
    /// Faults that no fault sequence answered.
    pub unanswered_faults: u64,
}

impl Gateway {
    /// Binds the addresses and starts the threads. When it comes back, requests are served.
    pub fn start(
        settings: &Settings,
        deployment: Arc<Deployment>,
        status: Arc<Status>,
    ) -> Result<Gateway, String> {
        let workers = settings.workers.max(1);
        let tls = match &settings.tls {
            Some(tls) => Some(
                ServerTls::load(&tls.certificate, &tls.key, settings.server.http2)
                    .map_err(|error| error.to_string())?,
            ),
            None => None,
        };
        let (http, plain) = bind(settings.listen, workers)?;
        let (https, secure) = match &settings.tls {
            Some(tls) => bind(tls.listen, workers).map(|(address, sockets)| (Some(address), sockets))?,
            None => (None, Vec::new()),
        };
        let ways = settings.backends.ready().map_err(|error| error.to_string())?;
        let timeouts = Timeouts {
            connect: settings.client.connect,
            response: settings
                .global_timeout
                .unwrap_or(settings.client.response_headers),
        };
        let endpoints = &settings.endpoints;
        let clock = match settings.script.clock {
            Some(millis) => Clock::Fixed(millis.into()),
            None => Clock::System,
        };
        let seed = settings.script.seed.unwrap_or_else(|| fastrand::u64(..));
        let runtime = Runtime::new(clock, seed, timeouts)
            .with_mishaps(settings.mock.mishaps)
            .with_health(Registry::new(endpoints.defaults()))
            .within(endpoints.deadline)
            .sending_where_senders_say(endpoints.sends_where_senders_say);
        let opened = tokens::open(&settings.issuers)?;
        opened.keepers.start(&settings.client)?;
        let signer = settings.backend_jwt.as_ref().map(backend_jwt::open).transpose()?;
        let signer = signer.map(Arc::new);
        let signs = signer.clone().zip(settings.backend_jwt.clone());
        let ports = Ports {
            http: http.port(),
            https: https.map(|address| address.port()),
        };
        let public = environments::public_url(&settings.environments, ports).map(Arc::from);
        let runtime = runtime.with_tokens(opened.tokens, signer).known_as(public);
        let runtime = Arc::new(runtime);
        runtime.health.adopt(&deployment.catalog.watched);
        runtime.descriptions.adopt(&deployment.catalog.described);
        let door = Door::new(settings.server.clone(), workers);
        let shared = Arc::new(Shared {
            current: ArcSwap::new(deployment),
            door: Arc::clone(&door),
            counters: Arc::default(),
            status,
            draining: AtomicBool::new(false),
            admin: OnceLock::new(),
            runtime: Arc::clone(&runtime),
        });
        // Each thread takes its own sockets.
        let mut secure = secure.into_iter();
        let sockets: Vec<_> = plain
            .into_iter()
            .map(|plain| Some((plain, secure.next())))
            .collect();
        let sockets = Mutex::new(sockets);
        let (client_limits, grace) = (settings.client.clone(), settings.server.shutdown_grace);
        let scripts = settings.script.pool();
        let (for_workers, server_tls) = (Arc::clone(&shared), tls.clone());
        let threads = listen::spawn_workers(workers, scripts.stack(), move |index| {
            let sockets = sockets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_mut(index)
                .and_then(Option::take);
            let shared = Arc::clone(&for_workers);
            let client = Client::new(client_limits.clone(), ways.tls.clone())
                .with_defaults(ways.proxy.clone(), Arc::clone(&ways.servers));
            let backends = Marking {
                client,
                shared: Arc::clone(&shared),
            };
            let worker = Rc::new(Worker {
                errands: Errands::default(),
                client: Rc::new(backends),
                runtime: Arc::clone(&runtime),
                scripts: Pool::new(
                    scripts.clone(),
                    Arc::clone(&runtime.stores),
                    Arc::clone(&runtime.meters),
                ),
            });
            let server = Rc::new(Server::new(Rc::clone(&worker), Arc::clone(&shared.counters)));
            let tls = server_tls.clone();
            let pool = Rc::clone(&worker.scripts);
            let has_scripts = shared.deployment().catalog.has_scripts;
            async move {
                if has_scripts {
                    tokio::task::spawn_local(async move { pool.warm().await });
                }
                if index == 0 {
                    tokio::task::spawn_local(async move { worker.keep_descriptions().await });
                }
                work(sockets, tls, shared, server, grace).await
            }
        })
        .map_err(|error| format!("threads cannot be started: {error}"))?;
        Ok(Gateway {
            http,
            https,
            shared,
            tls,
            keepers: opened.keepers,
            signs,
            workers: Mutex::new(threads),
        })
    }

    /// Requests that start from now on see this deployment; those that are there keep theirs.
    pub fn swap(&self, deployment: Arc<Deployment>) {
        let runtime = &self.shared.runtime;
        runtime.health.adopt(&deployment.catalog.watched);
        runtime.descriptions.adopt(&deployment.catalog.described);
        self.shared.current.store(deployment);
        self.shared.runtime.groups.sweep();
    }

    /// Reads certificates and keys anew; what cannot be read stays as it was.
    pub fn reload_certificates(&self) -> Result<(), String> {
        let certificates = self
            .tls
            .as_ref()
            .map_or(Ok(()), |tls| tls.reload().map_err(|error| error.to_string()));
        let signs = self.signs.as_ref().map_or(Ok(()), |(signer, settings)| {
            backend_jwt::read_keys(settings).map(|keys| signer.replace(keys))
        });
        certificates.and(self.keepers.reload()).and(signs)
    }

    /// The address under which clients know it, where somebody has said so.
    pub fn public_url(&self) -> Option<&str> {
        self.shared.runtime.public_url.as_deref()
    }

    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes no new connections, lets the requests that are there end within the grace of the settings, and says how many connections had
    /// to be cut.
    pub fn drain(&self) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.door.shut();
        let threads = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        threads
            .into_iter()
            .map(|thread| thread.join().map_or(0, |drained| drained.cut))
            .sum()
    }
}

impl Shared {
    /// Requests to it are marked from now on: what comes by way of the gateway does not manage the gateway.
    pub fn admin_is_at(&self, address: SocketAddr) {
        self.admin.set(address).ok();
    }

    pub fn deployment(&self) -> Arc<Deployment> {
        self.current.load_full()
    }

    pub fn health(&self) -> Health {
        Health {
            draining: self.draining.load(Ordering::Relaxed),
            generation: self.current.load().generation,
            reload: self.status.now(),
            connections: self.door.connections(),
            panics: self.door.panics() + self.counters.panics.load(Ordering::Relaxed),
            unanswered_faults: self.counters.unanswered.load(Ordering::Relaxed),
        }
    }
}

fn bind(address: SocketAddr, workers: usize) -> Result<(SocketAddr, Vec<TcpListener>), String> {
    let failed = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let sockets = listen::bind(address, workers).map_err(failed)?;
    let local = sockets
        .first()
        .map_or(Ok(address), TcpListener::local_addr)
        .map_err(failed)?;
    Ok((local, sockets))
}

/// One thread's work, to its end.
async fn work(
    sockets: Option<(TcpListener, Option<TcpListener>)>,
    tls: Option<ServerTls>,
    shared: Arc<Shared>,
    server: Rc<Server>,
    grace: Duration,
) -> Drained {
    let Some((plain, secure)) = sockets else {
        return Drained::default();
    };
    let listening = listen::Worker::new(&shared.door);
    let door = Rc::new(Serving { shared, server });
    let secured = async {
        match (secure, tls) {
            (Some(socket), Some(tls)) => {
                listen::serve(socket, Some(tls), Rc::clone(&listening), Rc::clone(&door)).await
            }
            _ => Ok(Drained::default()),
        }
    };
    let (plain, secured) = tokio::join!(
        listen::serve(plain, None, Rc::clone(&listening), Rc::clone(&door)),
        secured
    );
    let mut drained = Drained::default();
    for ended in [plain, secured] {
        match ended {
            Ok(ended) => {
                drained.finished += ended.finished;
                drained.cut += ended.cut;
            }
            Err(error) => tracing::error!(%error, "A listener cannot be used."),
        }
    }
    if tokio::time::timeout(grace, door.server.finish()).await.is_err() {
        tracing::warn!("Cut exchanges whose clients had their 202.");
    }
    drained
}

/// What one thread's connections are served by.
struct Serving {
    shared: Arc<Shared>,
    server: Rc<Server>,
}

impl Service for Serving {
    fn serve(&self, incoming: Incoming) -> impl Future<Output = Reply> {
        self.server.serve(self.shared.deployment(), incoming)
    }
}
