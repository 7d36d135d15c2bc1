//! Connecting to a backend: its addresses one beside the other, TLS, and the stream that counts.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Gate, Reached, SendError, SendErrorKind};
use super::limits::ClientLimits;
use super::names::Names;
use super::profile::{Proxy, Route};
use super::server::Scheme;
use super::tls::{ClientTls, Tls};
use super::url::Origin;
use super::verify::in_words;

/// What came of a connect: the stream, and whether both sides agreed on HTTP/2.
pub(super) struct Connected {
    pub stream: Metered,
    pub http2: bool,
}

pub(super) async fn connect(
    origin: &Origin,
    limits: &ClientLimits,
    names: &Names,
    defaults: &Defaults,
    http2: bool,
    within: Duration,
    gate: Option<&dyn Gate>,
) -> Result<Connected, SendError> {
    let proxy = defaults.proxy(origin);
    let (host, port) = match proxy {
        Some(proxy) => (proxy.host.as_str(), proxy.port),
        None => (origin.host.as_str(), origin.port),
    };
    let deadline = Instant::now() + within;
    let late = || {
        failed(
            SendErrorKind::ConnectTimeout,
            format!("no connection to {origin} within {} ms", within.as_millis()),
        )
    };
    let addresses = match timeout_at(deadline, names.resolve(host, port, limits)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            return Err(failed(
                SendErrorKind::Connect,
                format!("cannot resolve {host}: {error}"),
            ));
        }
        Err(_) => {
            return Err(failed(
                SendErrorKind::Connect,
                format!("cannot resolve {host} in time"),
            ));
        }
    };
    // What a proxy makes of a name is the proxy's to judge; what is known of it here is judged here all the same.
    let addresses = match proxy {
        None => passing(addresses, gate),
        Some(_) => judged(origin, names, limits, gate, deadline)
            .await
            .map(|()| addresses),
    };
    let addresses = addresses.map_err(|reason| failed(SendErrorKind::Refused, reason))?;
    let reached = timeout_at(deadline, async {
        let error = match first_to_answer(&addresses, limits).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        // The backend may have moved since its name was asked for.
        let moved = names.moved(host, port, &addresses, limits).await;
        let gate = gate.filter(|_| proxy.is_none());
        match passing(moved, gate) {
            Ok(moved) if !moved.is_empty() => first_to_answer(&moved, limits).await,
            _ => Err(error),
        }
    });
    let mut stream = match reached.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => return Err(late()),
        Ok(Err(error)) => {
            return Err(failed(
                SendErrorKind::Connect,
                match proxy {
                    Some(_) => format!("cannot connect to the proxy {host}:{port}: {error}"),
                    None => format!("cannot connect to {origin}: {error}"),
                },
            ));
        }
        Err(_) => {
            names.doubt(host);
            return Err(late());
        }
    };
    // Without it small messages wait for the acknowledgement of the one before; failing here means it is gone already.
    stream
        .set_nodelay(true)
        .map_err(|error| failed(SendErrorKind::Connect, error.to_string()))?;
    if http2 {
        // Such a connection is silent for long; a machine that went away is to be noticed all the same.
        let probe = TcpKeepalive::new()
            .with_time(Duration::from_secs(20))
            .with_interval(Duration::from_secs(5));
        SockRef::from(&stream)
            .set_tcp_keepalive(&probe)
            .map_err(|error| failed(SendErrorKind::Connect, error.to_string()))?;
    }
    // A WebSocket leads through a proxy as RFC 6455 4.1 says: by CONNECT, with TLS or without.
    if let Some(proxy) = proxy
        && (http2 || origin.scheme != Scheme::Http)
    {
        match timeout_at(deadline, tunnel(&mut stream, proxy, origin)).await {
            Ok(Ok(())) => (),
            Ok(Err(reason)) => {
                let reason = format!("the proxy {host}:{port} does not lead to {origin}: {reason}");
                return Err(failed(SendErrorKind::Connect, reason));
            }
            Err(_) => return Err(late()),
        }
    }
    if !origin.scheme.is_secure() {
        return Ok(Connected {
            stream: Metered::new(BackendStream::Plain(stream), proxy.is_some()),
            http2,
        });
    }
    let (tls, server_name) = defaults.tls(origin);
    let config = if http2 { tls.http1_or_2 } else { tls.http1 };
    let name = match server_name {
        Some(name) => name,
        None => ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(SendErrorKind::Connect, format!("{}: {error}", origin.host)))?,
    };
    let secured = match timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => {
            let inner = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let reason = inner.map_or_else(|| error.to_string(), in_words);
            tracing::warn!(backend = %origin, reason, "There is no TLS with a backend.");
            return Err(failed(
                SendErrorKind::Connect,
                format!("no TLS with {origin}: {reason}"),
            ));
        }
        Err(_) => return Err(late()),
    };
    let http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connected {
        stream: Metered::new(BackendStream::Tls(Box::new(secured)), proxy.is_some()),
        http2,
    })
}

/// Asks a proxy for a way through.
async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, origin: &Origin) -> Result<(), String> {
    let host = match origin.host.contains(':') {
        true => format!("[{}]:{}", origin.host, origin.port),
        false => format!("{}:{}", origin.host, origin.port),
    };
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    if let Some(credentials) = proxy.credentials() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream
        .write_all(&request)
        .await
        .map_err(|error| error.to_string())?;
    // Byte by byte: what comes behind the head is the backend's.
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_PROXY_HEAD {
            return Err("its answer is too long".to_owned());
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if head.is_empty() => return Err(error.to_string()),
            Err(_) => return Err("its answer broke off".to_owned()),
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.splitn(3, ' ');
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    match words.next().and_then(|word| word.parse::<u16>().ok()) {
        Some(200..=299) if http => Ok(()),
        Some(status) if http => Err(format!("it answered {status}")),
        _ => Err("its answer is no HTTP".to_owned()),
    }
}

const LONGEST_PROXY_HEAD: usize = 8 << 10;

/// How connections are made where an endpoint says nothing.
#[derive(Clone)]
pub(super) struct Defaults {
    pub tls: ClientTls,
    pub proxy: Option<Arc<Proxy>>,
    /// By `host:port`, or `*`; the first that fits holds.
    pub servers: Arc<[(String, Arc<Tls>)]>,
}

impl Defaults {
    /// The proxy on the way to a backend, if there is one.
    pub fn proxy<'a>(&'a self, origin: &'a Origin) -> Option<&'a Proxy> {
        let own = origin.profile.as_ref().and_then(|profile| profile.route.as_ref());
        let proxy = match own {
            Some(Route::Direct) => None,
            Some(Route::Proxy(proxy)) => Some(proxy),
            None => self.proxy.as_ref(),
        };
        proxy
            .map(|proxy| &**proxy)
            .filter(|proxy| proxy.serves(&origin.host))
    }

    /// Where a request goes in plain text by way of a proxy, it has to name its whole address, and bring the proxy's credentials.
    pub fn forwarding<'a>(&'a self, origin: &'a Origin) -> Option<&'a Proxy> {
        match origin.scheme {
            Scheme::Http => self.proxy(origin),
            Scheme::Https | Scheme::Ws | Scheme::Wss => None,
        }
    }

    fn tls(&self, origin: &Origin) -> (ClientTls, Option<ServerName<'static>>) {
        let own = origin.profile.as_ref().and_then(|profile| profile.tls.as_ref());
        let own = own.or_else(|| {
            let address = format!("{}:{}", origin.host, origin.port);
            let mut servers = self.servers.iter();
            servers
                .find(|(server, _)| server == "*" || *server == address)
                .map(|(_, tls)| tls)
        });
        match own {
            Some(tls) => (tls.current(), tls.options.server_name.clone()),
            None => (self.tls.clone(), None),
        }
    }
}

/// Whether a host behind a proxy is known here to be one that the request may not go to.
async fn judged(
    origin: &Origin,
    names: &Names,
    limits: &ClientLimits,
    gate: Option<&dyn Gate>,
    deadline: Instant,
) -> Result<(), String> {
    if gate.is_none() {
        return Ok(());
    }
    match timeout_at(deadline, names.resolve(&origin.host, origin.port, limits)).await {
        Ok(Ok(addresses)) => passing(addresses, gate).map(drop),
        _ => Ok(()),
    }
}

/// The addresses that the request may go to; what it connects to is one of these and nothing that is looked up again.
fn passing(mut addresses: Vec<SocketAddr>, gate: Option<&dyn Gate>) -> Result<Vec<SocketAddr>, String> {
    let Some(gate) = gate else { return Ok(addresses) };
    let mut refused = None;
    addresses.retain(|address| match gate.refuses(address.ip()) {
        None => true,
        Some(reason) => {
            refused = Some(reason);
            false
        }
    });
    match refused {
        Some(reason) if addresses.is_empty() => Err(reason),
        _ => Ok(addresses),
    }
}

fn failed(kind: SendErrorKind, message: String) -> SendError {
    SendError {
        kind,
        message,
        reached: Reached::NothingSent,
    }
}

/// Tries addresses in order, the next one beside those before it when they fail or take long.
async fn first_to_answer(addresses: &[SocketAddr], limits: &ClientLimits) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await;
    }
    let mut waiting = addresses.iter();
    let mut attempts: Vec<Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>> = Vec::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(Box::pin(TcpStream::connect(*address))),
            None if attempts.is_empty() => return Err(last_error),
            None => (),
        }
        let mut patience = std::pin::pin!(sleep(limits.next_address));
        let more = waiting.len() > 0;
        let stream = poll_fn(|context| {
            let mut index = 0;
            let mut one_failed = false;
            while index < attempts.len() {
                match attempts[index].as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Some(stream)),
                    Poll::Ready(Err(error)) => {
                        last_error = error;
                        one_failed = true;
                        drop(attempts.swap_remove(index));
                    }
                    Poll::Pending => index += 1,
                }
            }
            if attempts.is_empty() || (one_failed && more) {
                return Poll::Ready(None);
            }
            if more {
                patience.as_mut().poll(context).map(|()| None)
            } else {
                Poll::Pending
            }
        })
        .await;
        if let Some(stream) = stream {
            return Ok(stream);
        }
    }
}

/// Whom a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    At(IpAddr),
    /// A proxy chose the address.
    BehindProxy,
    Gone,
}

impl Peer {
    /// Somebody else may have made the connection, whom nothing kept from going there.
    pub fn passes(self, gate: Option<&dyn Gate>) -> bool {
        match (gate, self) {
            (None, _) | (_, Peer::BehindProxy) => true,
            (Some(gate), Peer::At(address)) => gate.refuses(address).is_none(),
            (Some(_), Peer::Gone) => false,
        }
    }
}

enum BackendStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What went over a connection since the last request began; shared between the stream and who waits on it.
#[derive(Default)]
pub(super) struct Meter {
    pub written: Cell<u64>,
    pub read: Cell<u64>,
    /// The backend takes no more. What it has answered can still be read, so this is not an error yet.
    pub write_broken: Cell<bool>,
}

impl Meter {
    pub fn restart(&self) {
        self.written.set(0);
        self.read.set(0);
    }
}

/// A backend's stream that counts, and outlives a broken sending side so that an early answer can be read.
pub(super) struct Metered {
    stream: BackendStream,
    pub peer: Peer,
    pub meter: Rc<Meter>,
}

impl Metered {
    fn new(stream: BackendStream, proxied: bool) -> Self {
        let tcp = match &stream {
            BackendStream::Plain(stream) => stream,
            BackendStream::Tls(stream) => stream.get_ref().0,
        };
        let peer = match tcp.peer_addr() {
            _ if proxied => Peer::BehindProxy,
            Ok(address) => Peer::At(address.ip()),
            Err(_) => Peer::Gone,
        };
        Self {
            stream,
            peer,
            meter: Rc::default(),
        }
    }

    fn settle_write(&self, result: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(count)) => {
                self.meter.written.set(self.meter.written.get() + count as u64);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) if is_gone(&error) => {
                self.meter.write_broken.set(true);
                Poll::Ready(Ok(offered))
            }
            other => other,
        }
    }
}

/// Whether an error says no more than that the other side has left.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.stream {
            BackendStream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            BackendStream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let count = (buffer.filled().len() - before) as u64;
        self.meter.read.set(self.meter.read.get() + count);
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.meter.write_broken.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = match &mut self.stream {
            BackendStream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            BackendStream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.settle_write(result, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        if self.meter.write_broken.get() {
            return Poll::Ready(Ok(offered));
        }
        let result = match &mut self.stream {
            BackendStream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            BackendStream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.settle_write(result, offered)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            BackendStream::Plain(stream) => stream.is_write_vectored(),
            BackendStream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.meter.write_broken.get() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            BackendStream::Plain(stream) => Pin::new(stream).poll_flush(context),
            BackendStream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            BackendStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            BackendStream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_address_is_taken_when_the_first_refuses() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let addresses = [dead, live.local_addr().unwrap()];
        let stream = first_to_answer(&addresses, &ClientLimits::default())
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }

    #[tokio::test]
    async fn all_dead_is_an_error_and_not_a_wait() {
        let dead = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let error = first_to_answer(&[dead(), dead()], &ClientLimits::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
