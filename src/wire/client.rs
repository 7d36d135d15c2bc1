//! Calling a backend: one request out, one answer back, and an exact name for whatever goes wrong between.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION,
    SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::ext::ReasonPhrase;

use super::connect::{Connected, Defaults, connect};
use super::hop;
use super::http2::{Http2Connection, SendFailure, Slot};
use super::limits::ClientLimits;
use super::names::{Names, Resolver};
use super::pool::{Backend, Connecting, Http1Body, Lane, Pool};
use super::profile::Proxy;
use super::tls::{ClientTls, Tls};
use super::upload::{Outgoing, Upload};
use super::url::Url;
use super::websocket::{self, Tunnel};
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};

/// Calls backends over kept connections. One a worker; cloning it shares the connections.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Rc<Inner>,
}

pub(super) struct Inner {
    pub limits: ClientLimits,
    pub pool: Pool,
    names: Names,
    pub defaults: Defaults,
}

/// What to send. Hop-by-hop headers and `Content-Length` are the client's own business and taken off; `Host` is the
/// address's own unless it is among the headers.
#[derive(Debug)]
pub struct ClientRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: ByteStream,
    /// HTTP/2: by prior knowledge on http, by agreement (falling back to HTTP/1.1) on https.
    pub http2: bool,
    /// Where absent, `ClientLimits` holds.
    pub connect_timeout: Option<Duration>,
    /// Until the headers of the answer, counted from the last of the request's body that could be sent.
    pub response_timeout: Option<Duration>,
    pub body_gap: Option<Duration>,
    /// Kept until the answer is whole, and told when it breaks off.
    pub watch: Option<Box<dyn Watch>>,
    /// Which addresses the host may have; all where absent.
    pub gate: Option<Arc<dyn Gate>>,
    /// HTTP/1: what the request line and the connection are like, where it is not as usual.
    pub manner: Manner,
    /// HTTP/1: over a connection of its own making, as a kept one was tried already.
    pub fresh: bool,
}

/// How HTTP/1 is spoken with backends that want it otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The connection ends with the answer.
    pub close: bool,
    /// The request line names the whole address, as for a proxy.
    pub absolute: bool,
    /// The request line says HTTP/1.0, which knows neither chunks nor a second request.
    pub http10: bool,
}

/// Says which addresses a request may go to. Asked when the host is resolved: the connection goes to an address that was asked about, and
/// one that is kept is taken only if it goes to such an address.
pub trait Gate: fmt::Debug + Send + Sync {
    /// Why not.
    fn refuses(&self, address: IpAddr) -> Option<String>;
}

/// Somebody who wants to know how long an answer takes to be whole, and whether it ever is. Dropped when the answer has ended.
pub trait Watch {
    /// The backend broke its answer off: Synapse's number, and what happened.
    fn broken(&self, code: u32, reason: &str);

    /// There is an answer that nobody waits for.
    fn answered(&self) {}
}

impl fmt::Debug for dyn Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl ClientRequest {
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: ByteStream::empty(),
            http2: false,
            connect_timeout: None,
            response_timeout: None,
            body_gap: None,
            watch: None,
            gate: None,
            manner: Manner::default(),
            fresh: false,
        }
    }
}

#[derive(Debug)]
pub struct ClientResponse {
    pub status: StatusCode,
    /// Only when it is not the usual one of the status.
    pub reason: Option<String>,
    pub version: Version,
    /// Without hop-by-hop headers.
    pub headers: HeaderMap,
    pub body: ByteStream,
    /// There when a `ws` or `wss` address answered 101.
    pub tunnel: Option<Tunnel>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    pub kind: SendErrorKind,
    pub message: String,
    pub reached: Reached,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendErrorKind {
    /// Refused, unreachable, unknown, or TLS not agreed on.
    Connect,
    /// The host has no address that the request may go to.
    Refused,
    ConnectTimeout,
    /// No answer in time.
    Timeout,
    /// The backend closed the connection.
    Closed,
    /// The backend ended the stream with this code (RFC 9113 section 7).
    Reset(u32),
    /// What came is not HTTP, or not an answer.
    Protocol,
    /// Any other failure while sending, or while receiving.
    Send,
    Receive,
    /// The request's own body broke off. The backend is not to blame.
    ClientBody(StreamError),
}

/// How far a request may have come; decides what may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    NothingSent,
    /// Some of it left; the backend may have acted on it.
    Unknown,
    /// The backend has begun to answer.
    Sent,
}

impl SendErrorKind {
    pub(super) fn code(&self) -> u32 {
        match self {
            SendErrorKind::Connect => 101503,
            SendErrorKind::Refused => 305403,
            SendErrorKind::ConnectTimeout => 101508,
            SendErrorKind::Timeout => 101504,
            SendErrorKind::Closed | SendErrorKind::Reset(_) => 101505,
            SendErrorKind::Protocol => 101506,
            SendErrorKind::Send => 101500,
            SendErrorKind::Receive => 101501,
            SendErrorKind::ClientBody(_) => 101001,
        }
    }
}

impl SendError {
    /// Synapse's number.
    pub fn code(&self) -> u32 {
        self.kind.code()
    }

    /// The status a client is owed when nothing else answers it.
    pub fn status(&self) -> StatusCode {
        match &self.kind {
            SendErrorKind::Timeout | SendErrorKind::ConnectTimeout => StatusCode::GATEWAY_TIMEOUT,
            SendErrorKind::Refused => StatusCode::FORBIDDEN,
            SendErrorKind::ClientBody(broken) => match broken.kind {
                StreamErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
                StreamErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ if broken.origin == StreamOrigin::Client => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            },
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SendError {}

/// The times that hold for one request.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub connect: Duration,
    pub response: Duration,
    pub body_gap: Duration,
}

impl Client {
    pub fn new(limits: ClientLimits, tls: ClientTls) -> Self {
        let pool = Pool::new(&limits);
        Self {
            inner: Rc::new(Inner {
                limits,
                pool,
                names: Names::default(),
                defaults: Defaults {
                    tls,
                    proxy: None,
                    servers: Arc::default(),
                },
            }),
        }
    }

    /// With a proxy between, and with TLS of its own for some servers (`host:port`, or `*`), where an endpoint says nothing else. For a client
    /// that nobody has used yet.
    pub fn with_defaults(mut self, proxy: Option<Arc<Proxy>>, servers: Arc<[(String, Arc<Tls>)]>) -> Self {
        let inner = Rc::get_mut(&mut self.inner).expect("nobody has used it yet");
        inner.defaults.proxy = proxy;
        inner.defaults.servers = servers;
        self
    }

    /// Asking somebody else than the system for the addresses of names. For a client that nobody has used yet.
    pub fn resolving_by(mut self, resolver: Rc<dyn Resolver>) -> Self {
        let inner = Rc::get_mut(&mut self.inner).expect("nobody has used it yet");
        inner.names = Names::asking(resolver);
        self
    }

    /// Sends a request and waits for the head of its answer. Must run inside a `LocalSet`.
    pub async fn send(&self, mut request: ClientRequest) -> Result<ClientResponse, SendError> {
        let inner = &self.inner;
        let watch = request.watch.take();
        let times = Times {
            connect: request.connect_timeout.unwrap_or(inner.limits.connect),
            response: request.response_timeout.unwrap_or(inner.limits.response_headers),
            body_gap: request.body_gap.unwrap_or(inner.limits.body_gap),
        };
        if request.url.origin.scheme.is_websocket() {
            return Box::pin(self.open_tunnel(request, times, watch)).await;
        }
        if request.http2 {
            return Box::pin(self.send_by_http2(request, times, watch)).await;
        }
        let url = request.url.clone();
        let gate = request.gate.clone();
        let gate = gate.as_deref();
        let (manner, fresh) = (request.manner, request.fresh);
        let (request, mut upload) = prepare(request);
        let mut request = for_http1(request, manner);
        let proxy = inner.defaults.forwarding(&url.origin);
        if manner.absolute || proxy.is_some() {
            request = with_whole_address(request, &url)?;
        }
        if let Some(credentials) = proxy.and_then(|proxy| proxy.credentials()) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        if !fresh && let Some(mut backend) = inner.pool.take(&url.origin, gate) {
            let whole = request.body().again();
            let outcome = backend.exchange(&mut request, upload.as_deref(), &times).await;
            let error = match outcome {
                Ok(response) => return self.answer(backend, response, times, &url, || watch),
                Err(error) => error,
            };
            // The connection has to let go of a streamed body before it can be had once more.
            drop(backend);
            let body = match &upload {
                None => whole,
                Some(upload) => upload.again(),
            };
            match body {
                // One safe repeat, and on a fresh connection: another kept one may be as stale.
                Some(body) if is_stale(&error, request.method()) => {
                    let (body, again) = Outgoing::new(body);
                    *request.body_mut() = body;
                    upload = again;
                }
                _ => return Err(error),
            }
        }
        // Boxed, so that a request over a kept connection need not make room for it.
        Box::pin(self.send_by_fresh(request, upload, times, url, watch, gate)).await
    }

    async fn send_by_fresh(
        &self,
        mut request: WireRequest,
        upload: Option<Rc<Upload>>,
        times: Times,
        url: Url,
        watch: Option<Box<dyn Watch>>,
        gate: Option<&dyn Gate>,
    ) -> Result<ClientResponse, SendError> {
        let inner = &self.inner;
        let connected = self.connect(&url, false, times.connect, gate).await?;
        let mut backend = Backend::new(connected.stream, &inner.limits);
        let response = backend.exchange(&mut request, upload.as_deref(), &times).await?;
        self.answer(backend, response, times, &url, || watch)
    }

    /// The opening handshake of a WebSocket. Whatever else than 101 comes back is an answer like any other.
    async fn open_tunnel(
        &self,
        request: ClientRequest,
        times: Times,
        watch: Option<Box<dyn Watch>>,
    ) -> Result<ClientResponse, SendError> {
        let inner = &self.inner;
        let (url, gate) = (request.url.clone(), request.gate.clone());
        let (mut request, upload) = prepare(ClientRequest {
            method: Method::GET,
            body: ByteStream::empty(),
            ..request
        });
        let proof = websocket::ask(request.headers_mut());
        let protocols = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let offered: Vec<HeaderValue> = protocols.iter().cloned().collect();
        let connected = self.connect(&url, false, times.connect, gate.as_deref()).await?;
        let mut backend = Backend::new(connected.stream, &inner.limits);
        let response = backend.exchange(&mut request, upload.as_deref(), &times).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(backend, response, times, &url, || watch);
        }
        let (mut parts, _) = response.into_parts();
        websocket::check_agreement(&parts.headers, &proof, &offered).map_err(|reason| SendError {
            kind: SendErrorKind::Protocol,
            message: reason.to_owned(),
            reached: Reached::Sent,
        })?;
        websocket::strip_agreement(&mut parts.headers);
        let (stream, read) = backend.into_parts();
        let tunnel = Tunnel::new(stream, read, inner.limits.websocket.clone(), watch);
        Ok(ClientResponse {
            tunnel: Some(tunnel),
            ..into_response(parts, ByteStream::empty())
        })
    }

    async fn connect(
        &self,
        url: &Url,
        http2: bool,
        within: Duration,
        gate: Option<&dyn Gate>,
    ) -> Result<Connected, SendError> {
        let inner = &self.inner;
        connect(
            &url.origin,
            &inner.limits,
            &inner.names,
            &inner.defaults,
            http2,
            within,
            gate,
        )
        .await
    }

    pub(super) fn answer(
        &self,
        mut backend: Box<Backend>,
        response: http::Response<()>,
        times: Times,
        url: &Url,
        watch: impl FnOnce() -> Option<Box<dyn Watch>>,
    ) -> Result<ClientResponse, SendError> {
        let (mut parts, ()) = response.into_parts();
        if !backend.is_plain() || parts.status == StatusCode::SWITCHING_PROTOCOLS {
            check_answer(&parts)?;
            hop::strip_received(&mut parts.headers);
        }
        let body = match backend.whole_body() {
            Some(body) => {
                // It interests nobody any more how long it takes.
                drop(watch);
                self.inner.pool.give_back(&url.origin, backend);
                ByteStream::from(body)
            }
            None => {
                let inner = Rc::clone(&self.inner);
                Http1Body::new(backend, inner, &url.origin, times.body_gap, watch()).into_stream()
            }
        };
        Ok(into_response(parts, body))
    }

    async fn send_by_http2(
        &self,
        mut request: ClientRequest,
        times: Times,
        mut watch: Option<Box<dyn Watch>>,
    ) -> Result<ClientResponse, SendError> {
        let inner = &self.inner;
        let url = request.url.clone();
        let gate = request.gate.clone();
        let lane = self.lane(&url, times.connect, gate.as_ref()).await?;
        let Some((mut connection, mut slot)) = lane else {
            request.http2 = false;
            request.watch = watch;
            return Box::pin(self.send(request)).await;
        };
        let (request, mut upload) = prepare(request);
        let mut request = with_authority(request, &url)?;
        let mut again = true;
        let response = loop {
            let copy = again.then(|| copy_of(&request));
            let sent = connection
                .exchange(slot, request, upload.clone(), &times, watch)
                .await;
            let SendFailure { error, watch: kept } = match sent {
                Ok(response) => break response,
                Err(failure) => failure,
            };
            watch = kept;
            // One safe repeat, and on another connection.
            let Some(copy) = copy.filter(|copy| is_stale(&error, copy.method())) else {
                return Err(error);
            };
            let body = match &upload {
                None => copy.body().again(),
                Some(upload) => upload.again(),
            };
            let Some(body) = body else {
                return Err(error);
            };
            again = false;
            inner.pool.forget_http2(&url.origin, &connection);
            let (body, next) = Outgoing::new(body);
            (request, upload) = (copy.map(|_| body), next);
            match self.lane(&url, times.connect, gate.as_ref()).await? {
                Some(lane) => (connection, slot) = lane,
                None => return Err(error),
            }
        };
        let (mut parts, mut body) = response.into_parts();
        check_answer(&parts)?;
        body.expect(content_length(&parts.headers));
        hop::strip_received(&mut parts.headers);
        let body = if body.is_end_stream() {
            ByteStream::empty()
        } else {
            ByteStream::new(body)
        };
        Ok(into_response(parts, body))
    }

    /// A connection that takes one request more; none if the backend speaks HTTP/1.1 alone.
    async fn lane(
        &self,
        url: &Url,
        within: Duration,
        gate: Option<&Arc<dyn Gate>>,
    ) -> Result<Option<(Rc<Http2Connection>, Slot)>, SendError> {
        loop {
            let mut own = false;
            let connecting = || {
                own = true;
                connect_http2(Rc::clone(&self.inner), url.clone(), within, gate.cloned())
            };
            match self
                .inner
                .pool
                .lane(&url.origin, gate.map(|gate| &**gate), connecting)
            {
                Lane::Http2(connection, slot) => return Ok(Some((connection, slot))),
                Lane::Http1 => return Ok(None),
                Lane::Wait(connecting) => match connecting.await {
                    // Somebody else may not go there; that says nothing of this request.
                    Err(error) if error.kind == SendErrorKind::Refused && !own => {}
                    connected => connected?,
                },
            }
        }
    }
}

/// Makes a connection for HTTP/2, and leaves it in the pool.
fn connect_http2(inner: Rc<Inner>, url: Url, within: Duration, gate: Option<Arc<dyn Gate>>) -> Connecting {
    Box::pin(async move {
        let Inner {
            limits,
            pool,
            names,
            defaults,
        } = &*inner;
        let outcome = async {
            let connected = connect(
                &url.origin,
                limits,
                names,
                defaults,
                true,
                within,
                gate.as_deref(),
            )
            .await?;
            if connected.http2 {
                return Http2Connection::handshake(connected.stream, limits, within)
                    .await
                    .map(Some);
            }
            // Agreed on HTTP/1.1 by TLS.
            let backend = Backend::new(connected.stream, limits);
            pool.give_back(&url.origin, backend);
            Ok(None)
        };
        match outcome.await {
            Ok(connection) => {
                pool.connected(&url.origin, connection);
                Ok(())
            }
            Err(error) => {
                pool.not_connected(&url.origin);
                Err(error)
            }
        }
    })
}

type WireRequest = http::Request<Outgoing>;

/// Makes what is sent: framing decided by the body alone, hop-by-hop headers off, `Host` there.
fn prepare(request: ClientRequest) -> (WireRequest, Option<Rc<Upload>>) {
    let ClientRequest {
        method,
        url,
        mut headers,
        body,
        ..
    } = request;
    hop::strip_standard(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, url.origin.authority.clone());
    }
    let (body, upload) = Outgoing::new(body);
    let mut request = http::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(url.path_and_query);
    *request.headers_mut() = headers;
    (request, upload)
}

/// What HTTP/1 needs to be told in headers.
fn for_http1(mut request: WireRequest, manner: Manner) -> WireRequest {
    if manner.http10 {
        *request.version_mut() = Version::HTTP_10;
    }
    if manner.close || manner.http10 {
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let bare = matches!(*request.method(), Method::GET | Method::HEAD);
    if request.body().is_end_stream() {
        if matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    } else if bare {
        // A backend that gives these methods no body would take it for the next request: let there be none.
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        if request.body().size_hint().exact().is_none() {
            // The library takes a body of unknown length for none here, and drops it without a word.
            request
                .headers_mut()
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    request
}

/// For a proxy that is asked to pass it on, and for backends that want it: with its whole address.
fn with_whole_address(mut request: WireRequest, url: &Url) -> Result<WireRequest, SendError> {
    let uri = Uri::builder()
        .scheme(url.origin.scheme.as_str())
        .authority(url.origin.authority.as_bytes())
        .path_and_query(url.path_and_query.clone())
        .build();
    *request.uri_mut() = uri.map_err(|error| SendError {
        kind: SendErrorKind::Send,
        message: format!("the address is not valid: {error}"),
        reached: Reached::NothingSent,
    })?;
    Ok(request)
}

fn with_authority(mut request: WireRequest, url: &Url) -> Result<WireRequest, SendError> {
    let host = request.headers_mut().remove(HOST);
    let authority = host.as_ref().unwrap_or(&url.origin.authority);
    let uri = Uri::builder()
        .scheme(url.origin.scheme.as_str())
        .authority(authority.as_bytes())
        .path_and_query(url.path_and_query.clone())
        .build()
        .map_err(|error| SendError {
            kind: SendErrorKind::Send,
            message: format!("the Host header is not valid: {error}"),
            reached: Reached::NothingSent,
        })?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Whether a kept connection failed in a way that a fresh one may mend, and without harm.
pub(super) fn is_stale(error: &SendError, method: &Method) -> bool {
    let broke = matches!(
        error.kind,
        SendErrorKind::Closed | SendErrorKind::Reset(_) | SendErrorKind::Send | SendErrorKind::Receive
    );
    match error.reached {
        Reached::NothingSent => broke,
        // A reset is an answer of sorts.
        Reached::Unknown => broke && method.is_idempotent() && !matches!(error.kind, SendErrorKind::Reset(_)),
        Reached::Sent => false,
    }
}

/// The same request once more; a body that streams is not copied with it.
fn copy_of(request: &WireRequest) -> WireRequest {
    let mut copy = http::Request::new(Outgoing::new(request.body().again().unwrap_or(ByteStream::empty())).0);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// What a reader of HTTP may let through in the head of an answer, and a gateway must not.
fn check_answer(parts: &http::response::Parts) -> Result<(), SendError> {
    let refused = |message: &str| {
        Err(SendError {
            kind: SendErrorKind::Protocol,
            message: message.to_owned(),
            reached: Reached::Sent,
        })
    };
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return refused("the backend switched protocols unasked");
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    if lengths.next().is_some() {
        if lengths.next().is_some() {
            return refused("the answer has more than one Content-Length");
        }
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            return refused("the answer has both Content-Length and Transfer-Encoding");
        }
    }
    Ok(())
}

/// Not of answers without a body, which tell what another one would have had.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn into_response(mut parts: http::response::Parts, body: ByteStream) -> ClientResponse {
    let reason = parts
        .extensions
        .remove::<ReasonPhrase>()
        .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
        .filter(|reason| !reason.is_empty());
    ClientResponse {
        status: parts.status,
        reason,
        version: parts.version,
        headers: parts.headers,
        body,
        tunnel: None,
    }
}
