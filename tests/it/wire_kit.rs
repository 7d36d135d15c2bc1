//! What the tests of the wire share: a gateway that passes everything on, raw clients, and backends that do as told.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use myelin::wire::listen::{self, Door, Drained, Worker};
use myelin::wire::names::Resolver;
use myelin::wire::tls::{ClientTls, ServerTls};
use myelin::wire::{
    Client, ClientLimits, ClientRequest, Incoming, Reply, SendError, ServerLimits, Service, Url,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Runs a test in one thread, as a worker would, and fails it instead of hanging.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("the test ends in time")
    })
}

/// Sends every request to one backend and its answer back.
pub struct PassThrough {
    pub client: Client,
    pub backend: Url,
    pub http2: bool,
    /// Why requests failed, in order.
    pub failures: RefCell<Vec<SendError>>,
    /// Requests that were given up before their answer.
    pub dropped: Rc<Cell<usize>>,
}

struct CountDrop(Rc<Cell<usize>>, bool);

impl Drop for CountDrop {
    fn drop(&mut self) {
        if self.1 {
            self.0.set(self.0.get() + 1);
        }
    }
}

impl Service for PassThrough {
    async fn serve(&self, incoming: Incoming) -> Reply {
        if incoming.target.path() == "/panic" {
            panic!("asked to");
        }
        if incoming.target.path() == "/unread" {
            return Reply::text(http::StatusCode::OK, "did not look");
        }
        let mut dropped = CountDrop(Rc::clone(&self.dropped), true);
        let url = Url {
            origin: self.backend.origin.clone(),
            path_and_query: incoming.target,
        };
        let mut request = ClientRequest::new(incoming.method, url);
        request.headers = incoming.headers;
        request.body = incoming.body;
        request.http2 = self.http2;
        let outcome = self.client.send(request).await;
        dropped.1 = false;
        match outcome {
            Ok(response) => Reply {
                reason: response.reason,
                headers: response.headers,
                body: response.body,
                tunnel: response.tunnel,
                ..Reply::new(response.status)
            },
            Err(error) => {
                let reply = Reply::text(error.status(), format!("{} {error}\n", error.code()));
                self.failures.borrow_mut().push(error);
                reply
            }
        }
    }
}

pub struct Gateway {
    pub address: SocketAddr,
    pub door: std::sync::Arc<Door>,
    pub worker: Rc<Worker>,
    pub service: Rc<PassThrough>,
    task: JoinHandle<std::io::Result<Drained>>,
}

#[derive(Default)]
pub struct Setup {
    pub server: ServerLimits,
    pub client: ClientLimits,
    pub tls: Option<ServerTls>,
    pub client_tls: Option<ClientTls>,
    pub http2: bool,
    pub resolver: Option<Rc<dyn Resolver>>,
}

impl Gateway {
    pub fn to(backend: SocketAddr) -> Self {
        Self::with(backend, Setup::default())
    }

    pub fn with(backend: SocketAddr, setup: Setup) -> Self {
        Self::to_url(&format!("http://{backend}"), setup)
    }

    pub fn to_url(backend: &str, setup: Setup) -> Self {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let door = Door::new(setup.server, 1);
        let worker = Worker::new(&door);
        let tls = setup.client_tls.unwrap_or_else(|| ClientTls::new(None).unwrap());
        let mut client = Client::new(setup.client, tls);
        if let Some(resolver) = setup.resolver {
            client = client.resolving_by(resolver);
        }
        let service = Rc::new(PassThrough {
            client,
            backend: Url::parse(backend).unwrap(),
            http2: setup.http2,
            failures: RefCell::default(),
            dropped: Rc::default(),
        });
        let serving = listen::serve(listener, setup.tls, Rc::clone(&worker), Rc::clone(&service));
        Self {
            address,
            door,
            worker,
            service,
            task: tokio::task::spawn_local(serving),
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends raw bytes, ends the sending side if told to, and reads until the connection ends.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub async fn drain(self) -> Drained {
        self.door.shut();
        self.task.await.unwrap().unwrap()
    }
}

/// Everything until the connection ends, in whatever way.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut part = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(count) => all.extend_from_slice(&part[..count]),
        }
    }
}

/// A request of raw bytes to a gateway on this machine, on a connection of its own, and its answer; none if the connection just ends.
/// Writing goes on while the answer is awaited, as an early answer may come in the middle of a body.
pub async fn request(port: u16, head: &str, body: &[u8]) -> Option<Raw> {
    let mut connection = Reader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    connection.exchange(head, body).await
}

/// A whole request: a first line and headers split by newlines, a body as it is or in chunks.
pub fn framed(head: &str, body: &[u8], chunk: Option<usize>) -> (String, Vec<u8>) {
    let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let start = format!("{first} HTTP/1.1\r\nHost: gateway\r\n{headers}");
    match chunk {
        None if body.is_empty() && first.starts_with("GET") => (format!("{start}\r\n"), Vec::new()),
        None => (
            format!("{start}Content-Length: {}\r\n\r\n", body.len()),
            body.to_vec(),
        ),
        Some(size) => (
            format!("{start}Transfer-Encoding: chunked\r\n\r\n"),
            chunked(body, size),
        ),
    }
}

pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut chunks = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

impl Reader<TcpStream> {
    pub async fn exchange(&mut self, head: &str, body: &[u8]) -> Option<Raw> {
        let Self { stream, buffer } = self;
        let (reading, mut writing) = stream.split();
        let mut reader = Reader {
            stream: reading,
            buffer: std::mem::take(buffer),
        };
        let write = async {
            // An answer that comes before the end of the body may end the connection under it.
            if writing.write_all(head.as_bytes()).await.is_ok() {
                drop(writing.write_all(body).await);
            }
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            biased;
            answer = reader.message(head.starts_with("HEAD")) => answer,
            () = write => None,
        };
        *buffer = reader.buffer;
        answer
    }
}

/// A message as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
}

impl Raw {
    pub fn status(&self) -> u16 {
        self.head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    pub fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers(name);
        let first = values.next();
        assert!(values.next().is_none(), "{name} is there twice in {}", self.head);
        first
    }

    pub fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads messages off a stream, strictly.
pub struct Reader<S> {
    pub stream: S,
    pub buffer: Vec<u8>,
}

impl<S: AsyncReadExt + Unpin> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    async fn fill(&mut self) -> bool {
        let mut part = vec![0; 64 * 1024];
        match self.stream.read(&mut part).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&part[..count]);
                true
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// The next message; `None` when the stream ends before it is whole. `bodyless`: an answer to HEAD.
    pub async fn message(&mut self, bodyless: bool) -> Option<Raw> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let mut raw = Raw {
            head,
            body: Vec::new(),
            trailers: String::new(),
        };
        let is_answer = raw.head.starts_with("HTTP/");
        if bodyless || is_answer && matches!(raw.status(), 100..=199 | 204 | 304) {
            return Some(raw);
        }
        if raw
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            loop {
                let line = self.until(b"\r\n").await?;
                let line = String::from_utf8(line).unwrap();
                let size =
                    usize::from_str_radix(line.trim().split(';').next().unwrap(), 16).expect("a chunk size");
                if size == 0 {
                    break;
                }
                raw.body.extend(self.exactly(size).await?);
                assert_eq!(self.exactly(2).await?, b"\r\n");
            }
            loop {
                let line = self.until(b"\r\n").await?;
                if line == b"\r\n" {
                    return Some(raw);
                }
                raw.trailers.push_str(&String::from_utf8_lossy(&line));
            }
        }
        match raw
            .header("content-length")
            .map(|length| length.parse::<usize>().expect("a length"))
        {
            Some(length) => raw.body = self.exactly(length).await?,
            None if is_answer => {
                while self.fill().await {}
                raw.body = std::mem::take(&mut self.buffer);
            }
            None => (),
        }
        Some(raw)
    }

    /// Whether the stream has ended, with nothing more on it.
    pub async fn ended(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }
}

/// A backend that records what reaches it and answers with what `answer` makes of it.
pub struct Recorder {
    pub address: SocketAddr,
    pub requests: Rc<RefCell<Vec<Raw>>>,
    pub connections: Rc<Cell<usize>>,
}

impl Recorder {
    pub fn start(answer: impl Fn(&Raw) -> Vec<u8> + 'static) -> Self {
        Self::start_at(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub fn start_at(listener: std::net::TcpListener, answer: impl Fn(&Raw) -> Vec<u8> + 'static) -> Self {
        let requests = Rc::<RefCell<Vec<Raw>>>::default();
        let record = Rc::clone(&requests);
        let answer = Rc::new(answer);
        let scripted = scripted_at(listener, move |_, stream| {
            let (record, answer) = (Rc::clone(&record), Rc::clone(&answer));
            async move {
                let mut reader = Reader::new(stream);
                while let Some(request) = reader.message(false).await {
                    let reply = answer(&request);
                    record.borrow_mut().push(request);
                    if reader.stream.write_all(&reply).await.is_err() {
                        return;
                    }
                }
                if !reader.buffer.is_empty() {
                    let head = format!("MALFORMED {}", String::from_utf8_lossy(&reader.buffer));
                    record.borrow_mut().push(Raw {
                        head,
                        body: Vec::new(),
                        trailers: String::new(),
                    });
                }
            }
        });
        Self {
            address: scripted.0,
            requests,
            connections: scripted.1,
        }
    }

    /// Answers 200 with the body of the request.
    pub fn echo() -> Self {
        Self::start(|request| answer_with(200, "OK", "", &request.body))
    }
}

pub fn answer_with(status: u16, reason: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A backend whose connections, numbered from 0, each do what `script` says.
pub fn scripted<F, Fut>(script: F) -> (SocketAddr, Rc<Cell<usize>>)
where
    F: Fn(usize, TcpStream) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    scripted_at(listener, script)
}

pub fn scripted_at<F, Fut>(listener: std::net::TcpListener, script: F) -> (SocketAddr, Rc<Cell<usize>>)
where
    F: Fn(usize, TcpStream) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let count = Rc::new(Cell::new(0));
    let counting = Rc::clone(&count);
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = counting.get();
            counting.set(number + 1);
            tokio::task::spawn_local(script(number, stream));
        }
    });
    (address, count)
}

/// Waits for something that other tasks bring about, without a clock.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
