//! Listening: one socket a worker on one port, accepting within limits, and leaving without cutting anybody off.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use http::StatusCode;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Connection, linger, refusal_text};
use super::head::Refusal;
use super::limits::ServerLimits;
use super::rooms::Rooms;
use super::serve::{Ends, serve_connection};
use super::server::{Scheme, Service};
use super::tls::ServerTls;

/// How many ports are picked until one is free.
const PICKS: usize = 20;

/// One listening socket a worker, all on the same port. Port 0 picks one. An address that somebody else listens on is
/// an error, even though the sockets of a process may share theirs.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut tries = if address.port() == 0 { PICKS } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address, workers) {
            // Another process has picked the same at the same time: there are more.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            bound => return bound,
        }
    }
}

fn bind_once(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let probe = socket(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers.max(1) {
        sockets.push(socket(address, true)?);
    }
    for socket in &sockets {
        socket2::SockRef::from(socket).listen(4096)?;
    }
    Ok(sockets)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if !shared {
        // A bound port that is not listened on can be bound again by others; listening is what tells.
        socket.listen(1)?;
    }
    Ok(socket.into())
}

/// What all workers of a process share: limits, the count of connections, and the word to end. One a process; nothing
/// in it is touched on the way of a request.
pub struct Door {
    limits: Arc<ServerLimits>,
    workers: usize,
    connections: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    panics: AtomicU64,
    shut: watch::Sender<bool>,
}

impl Door {
    pub fn new(limits: ServerLimits, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            limits: Arc::new(limits),
            workers: workers.max(1),
            connections: AtomicUsize::new(0),
            addresses: Mutex::default(),
            panics: AtomicU64::new(0),
            shut: watch::Sender::new(false),
        })
    }

    /// Asks every `serve` to stop accepting, to finish what is in flight, and to end.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that panicked so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.limits.connections {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= self.limits.connections_per_address {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        Some(Admission {
            door: Arc::clone(self),
            address,
        })
    }
}

/// A place among the connections; given back when dropped.
struct Admission {
    door: Arc<Door>,
    address: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.door.connections.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.door.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What the listeners of one thread share.
pub struct Worker {
    door: Arc<Door>,
    in_flight: Cell<usize>,
    in_flight_limit: usize,
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
    refusing: Cell<usize>,
    draining: Cell<bool>,
    rooms: Rooms,
}

impl Worker {
    pub fn new(door: &Arc<Door>) -> Rc<Self> {
        Rc::new(Self {
            door: Arc::clone(door),
            in_flight: Cell::new(0),
            in_flight_limit: door.limits.in_flight.div_ceil(door.workers),
            connections: RefCell::default(),
            next: Cell::new(0),
            refusing: Cell::new(0),
            draining: Cell::new(false),
            rooms: Rooms::new(),
        })
    }

    pub(super) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub fn limits(&self) -> &Arc<ServerLimits> {
        &self.door.limits
    }

    /// Requests this worker is busy with now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    pub(super) fn begin(self: &Rc<Self>) -> Option<InFlight> {
        if self.in_flight.get() >= self.in_flight_limit {
            return None;
        }
        self.in_flight.set(self.in_flight.get() + 1);
        Some(InFlight(Rc::clone(self)))
    }

    pub(super) fn count_panic(&self) {
        self.door.panics.fetch_add(1, Ordering::Relaxed);
    }

    fn register(self: &Rc<Self>) -> Registered {
        let key = self.next.get();
        self.next.set(key + 1);
        let connection = Rc::<Connection>::default();
        if self.draining.get() {
            connection.drain();
        }
        self.connections.borrow_mut().insert(key, Rc::clone(&connection));
        Registered {
            worker: Rc::clone(self),
            key,
            connection,
        }
    }

    fn drain(&self) {
        self.draining.set(true);
        for connection in self.connections.borrow().values() {
            connection.drain();
        }
    }
}

/// A request that is being worked on; its place is given back when dropped.
pub(super) struct InFlight(Rc<Worker>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

struct Registered {
    worker: Rc<Worker>,
    key: u64,
    connection: Rc<Connection>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.key);
    }
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended by themselves after the word to end.
    pub finished: usize,
    /// Connections that were cut when the grace was over.
    pub cut: usize,
}

/// Accepts and serves until the door is shut, then until the last connection has ended or the grace is over.
/// Runs inside a `LocalSet`.
pub async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<ServerTls>,
    worker: Rc<Worker>,
    service: Rc<S>,
) -> io::Result<Drained> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let local = listener.local_addr()?;
    let mut shut = worker.door.shut.subscribe();
    let mut connections = JoinSet::new();
    let mut shortage = Shortage::new();
    let start = |connections: &mut JoinSet<()>, stream: TcpStream, remote: SocketAddr| {
        let tls = tls.clone();
        let Some(admission) = worker.door.admit(remote.ip()) else {
            refuse(stream, tls.is_some(), &worker);
            return;
        };
        let (worker, service) = (Rc::clone(&worker), Rc::clone(&service));
        connections.spawn_local(async move {
            let _admission = admission;
            open(stream, remote, tls, worker, service).await;
        });
    };
    loop {
        tokio::select! {
            biased;
            _ = shut.wait_for(|shut| *shut) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => (),
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    shortage.over();
                    start(&mut connections, stream, remote);
                }
                Err(error) => {
                    if let Some(pause) = shortage.meet(&error, &listener, local).await {
                        sleep(pause).await;
                    }
                }
            }
        }
    }
    // Whoever has been told that it is connected gets an answer.
    while let Some(Ok((stream, remote))) = accept_now(&listener).await {
        start(&mut connections, stream, remote);
    }
    drop(listener);
    let deadline = Instant::now() + worker.limits().shutdown_grace;
    let mut drained = Drained::default();
    worker.drain();
    loop {
        match timeout_at(deadline, connections.join_next()).await {
            Ok(Some(_)) => drained.finished += 1,
            Ok(None) => return Ok(drained),
            Err(_) => break,
        }
    }
    drained.cut = connections.len();
    tracing::warn!(
        cut = drained.cut,
        "cut connections that did not end within the grace"
    );
    connections.shutdown().await;
    Ok(drained)
}

async fn accept_now(listener: &tokio::net::TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn open<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<ServerTls>,
    worker: Rc<Worker>,
    service: Rc<S>,
) {
    let registered = worker.register();
    let connection = Rc::clone(&registered.connection);
    // Without it the second small write of an answer waits for the client's acknowledgement of the first.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else {
        return;
    };
    match tls {
        None => {
            let ends = Ends {
                remote,
                local,
                scheme: Scheme::Http,
            };
            serve_connection(stream, ends, false, connection, worker, service).await;
        }
        Some(tls) => {
            let ends = Ends {
                remote,
                local,
                scheme: Scheme::Https,
            };
            match timeout(worker.limits().tls_handshake, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    Box::pin(serve_connection(stream, ends, http2, connection, worker, service)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, %remote, "no TLS with a client"),
                Err(_) => tracing::debug!(%remote, "a TLS handshake took too long"),
            }
        }
    }
}

/// Tells a client that there is no place, without giving it one.
fn refuse(mut stream: TcpStream, tls: bool, worker: &Rc<Worker>) {
    const AT_ONCE: usize = 64;
    if tls || worker.refusing.get() >= AT_ONCE {
        return;
    }
    worker.refusing.set(worker.refusing.get() + 1);
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "there are too many connections");
        let answer = refusal_text(refusal);
        let patience = Duration::from_secs(1);
        if let Ok(Ok(())) = timeout(patience, stream.write_all(answer.as_bytes())).await {
            linger(&mut stream, patience).await;
        }
        worker.refusing.set(worker.refusing.get() - 1);
    });
}

/// What to do when there are no descriptors left: wait, longer each time, say so once a second, and use the one
/// descriptor kept for it to turn the next client away instead of leaving it hanging.
struct Shortage {
    spare: Option<File>,
    pause: Duration,
    told: Option<Instant>,
}

impl Shortage {
    fn new() -> Self {
        Self {
            spare: File::open("/dev/null").ok(),
            pause: Duration::ZERO,
            told: None,
        }
    }

    fn over(&mut self) {
        self.pause = Duration::ZERO;
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
    }

    async fn meet(
        &mut self,
        error: &io::Error,
        listener: &tokio::net::TcpListener,
        local: SocketAddr,
    ) -> Option<Duration> {
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return None;
        }
        if self
            .told
            .is_none_or(|told| told.elapsed() >= Duration::from_secs(1))
        {
            self.told = Some(Instant::now());
            tracing::error!(%error, %local, "cannot accept connections; trying again");
        }
        if self.spare.take().is_some() {
            drop(accept_now(listener).await);
            self.spare = File::open("/dev/null").ok();
        }
        self.pause = (self.pause * 2).clamp(Duration::from_millis(50), Duration::from_millis(500));
        Some(self.pause)
    }
}

/// Starts `count` threads, each with a runtime of its own, and in each what `run` makes of the worker's number. `stack`: the bytes of each one's
/// stack, where the usual ones are not enough.
pub fn spawn_workers<F, W, T>(count: usize, stack: Option<usize>, run: F) -> io::Result<Vec<JoinHandle<T>>>
where
    F: Fn(usize) -> W + Send + Sync + 'static,
    W: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let run = Arc::new(run);
    (0..count)
        .map(|index| {
            let run = Arc::clone(&run);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let thread = match stack {
                Some(stack) => thread.stack_size(stack),
                None => thread,
            };
            thread.spawn(move || LocalSet::new().block_on(&runtime, async move { run(index).await }))
        })
        .collect()
}
