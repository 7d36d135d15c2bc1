//! HTTP/2 on both sides, and TLS.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use myelin::wire::tls::{ClientTls, ServerTls};
use myelin::wire::{ClientLimits, ServerLimits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pace::Pace;
use crate::wire_kit::{Gateway, Reader, Recorder, Setup, answer_with, read_to_end, run, scripted, until};

type Sender = h2::client::SendRequest<Bytes>;

async fn open<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> Sender {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(async move {
        drop(connection.await);
    });
    sender.ready().await.unwrap()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    trailers: Option<HeaderMap>,
}

async fn ask(
    sender: &Sender,
    request: Request<()>,
    body: &'static str,
    trailers: Option<HeaderMap>,
) -> Result<Answer, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let empty = body.is_empty() && trailers.is_none();
    let (response, mut stream) = sender.send_request(request, empty)?;
    if !empty {
        stream.send_data(Bytes::from_static(body.as_bytes()), trailers.is_none())?;
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers)?;
        }
    }
    read(response.await?).await
}

async fn read(response: Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend(data);
    }
    let trailers = stream.trailers().await?;
    let body = String::from_utf8(body).unwrap();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
        trailers,
    })
}

fn get(path: &str) -> Request<()> {
    Request::builder()
        .uri(format!("http://h{path}"))
        .version(Version::HTTP_2)
        .body(())
        .unwrap()
}

fn post(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://h{path}"))
        .body(())
        .unwrap()
}

#[test]
fn http_2_comes_in_and_http_1_goes_out() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let sender = open(gateway.connect().await).await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let sender = sender.clone();
            asking.spawn_local(async move { ask(&sender, post("/x?y"), "body", None).await.unwrap() });
        }
        while let Some(answer) = asking.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "body"));
            assert_eq!(answer.headers["content-length"], "4");
        }
        let requests = backend.requests.borrow();
        assert_eq!(
            (requests[0].first_line(), requests[0].header("host")),
            ("POST /x?y HTTP/1.1", Some("h"))
        );
        assert_eq!(requests.len(), 50);
    });
}

/// A backend that speaks HTTP/2 alone and sends everything back, trailers included.
fn http2_echo() -> std::net::SocketAddr {
    let (address, _) = scripted(|_, stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::task::spawn_local(async move {
                let authority = request.uri().authority().unwrap().to_string();
                let mut body = request.into_body();
                let response = Response::builder()
                    .header("x-authority", authority)
                    .body(())
                    .unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    stream.send_data(data, false).unwrap();
                }
                match body.trailers().await {
                    Ok(Some(trailers)) => stream.send_trailers(trailers).unwrap(),
                    _ => stream.send_data(Bytes::new(), true).unwrap(),
                }
            });
        }
    });
    address
}

#[test]
fn http_2_goes_through_with_its_trailers() {
    run(async {
        let gateway = Gateway::with(
            http2_echo(),
            Setup {
                http2: true,
                ..Default::default()
            },
        );
        let sender = open(gateway.connect().await).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "5".parse().unwrap());
        let mut request = post("/service/Method");
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        let answer = ask(&sender, request, "message", Some(trailers)).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "message"));
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "5");
        assert_eq!(answer.headers["x-authority"], "h");
        for _ in 0..3 {
            assert_eq!(
                ask(&sender, post("/"), "again", None).await.unwrap().body,
                "again"
            );
        }
    });
}

#[test]
fn http_1_comes_in_and_http_2_goes_out() {
    run(async {
        let gateway = Gateway::with(
            http2_echo(),
            Setup {
                http2: true,
                ..Default::default()
            },
        );
        let mut client = Reader::new(gateway.connect().await);
        for body in [
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{body}");
            client.stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(client.message(false).await.unwrap().text(), "abc");
        }
    });
}

#[test]
fn an_http_2_backend_that_goes_away_is_replaced() {
    run(async {
        let (backend, connections) = scripted(|_, stream| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            if let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_response(Response::new(()), true).unwrap();
            }
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        });
        let gateway = Gateway::with(
            backend,
            Setup {
                http2: true,
                ..Default::default()
            },
        );
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..5 {
            client
                .stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(client.message(false).await.unwrap().status(), 200);
        }
        assert_eq!(connections.get(), 5);
        assert!(gateway.service.failures.borrow().is_empty());
    });
}

/// So that a backend that moves is followed. Here a connection is old as soon as it is used, and what is on it goes on all the same.
#[test]
fn an_old_http_2_connection_takes_no_more_requests_and_ends_those_it_has() {
    run(async {
        let release = Rc::new(tokio::sync::Notify::new());
        let asked = Rc::<std::cell::Cell<usize>>::default();
        let (released, counted) = (Rc::clone(&release), Rc::clone(&asked));
        let (backend, connections) = scripted(move |number, stream| {
            let (release, asked) = (Rc::clone(&released), Rc::clone(&counted));
            async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    asked.set(asked.get() + 1);
                    let release = Rc::clone(&release);
                    tokio::task::spawn_local(async move {
                        if number == 0 {
                            release.notified().await;
                        }
                        respond.send_response(Response::new(()), true).unwrap();
                    });
                }
            }
        });
        let setup = Setup {
            http2: true,
            client: ClientLimits {
                pool_age: Duration::ZERO,
                ..ClientLimits::default()
            },
            ..Default::default()
        };
        let gateway = Gateway::with(backend, setup);
        let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut waits = Reader::new(gateway.connect().await);
        waits.stream.write_all(get).await.unwrap();
        until(|| asked.get() == 1).await;
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..3 {
            client.stream.write_all(get).await.unwrap();
            assert_eq!(client.message(false).await.unwrap().status(), 200);
        }
        assert_eq!(connections.get(), 4);
        release.notify_one();
        assert_eq!(waits.message(false).await.unwrap().status(), 200);
    });
}

#[test]
fn what_cannot_be_passed_on_as_http_1_is_refused() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let sender = open(gateway.connect().await).await;
        let with = |name: &'static str, value: &str| {
            let mut request = post("/");
            request.headers_mut().insert(name, value.parse().unwrap());
            request
        };
        let uri = |uri: &str| Request::builder().uri(uri).body(()).unwrap();
        let method = |name: &str| {
            let mut request = get("/");
            *request.method_mut() = Method::from_bytes(name.as_bytes()).unwrap();
            request
        };
        for (name, request, expected) in [
            ("a Host that is not the authority", with("host", "other"), 400),
            ("TRACE", method("TRACE"), 405),
            ("a NUL in the path", uri("http://h/%00"), 400),
            ("a bad escape", uri("http://h/%zz"), 400),
            ("a user in the authority", uri("http://u@h/"), 400),
            ("a long path", uri(&format!("http://h/{}", "x".repeat(9000))), 414),
        ] {
            let status = ask(&sender, request, "", None)
                .await
                .map(|answer| answer.status.as_u16());
            assert_eq!(status.ok(), Some(expected), "{name}");
        }
        for (name, request, body) in [
            ("Transfer-Encoding", with("transfer-encoding", "chunked"), "abc"),
            ("Connection", with("connection", "close"), "abc"),
            ("a length that is too short", with("content-length", "2"), "abc"),
        ] {
            let outcome = ask(&sender, request, body, None).await;
            let status = outcome.as_ref().map(|answer| answer.status.as_u16());
            assert!(!matches!(status, Ok(200)), "{name}: {status:?}");
        }
        assert!(
            backend
                .requests
                .borrow()
                .iter()
                .all(|request| !request.head.starts_with("POST") || request.body != b"abc")
        );
        assert_eq!(
            ask(&open(gateway.connect().await).await, post("/"), "ok", None)
                .await
                .unwrap()
                .body,
            "ok"
        );
    });
}

/// RFC 8441 is not offered. A client that asks for a WebSocket over HTTP/2 all the same is refused, and its connection lives on.
#[test]
fn a_websocket_over_http_2_is_neither_offered_nor_opened() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let sender = open(gateway.connect().await).await;
        assert!(!sender.is_extended_connect_protocol_enabled());
        let mut request = get("/chat");
        *request.method_mut() = Method::CONNECT;
        let protocol = h2::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        let answer = ask(&sender, request, "", None).await;
        let status = answer.map(|answer| answer.status.as_u16());
        assert!(!matches!(status, Ok(101 | 200..=299)), "{status:?}");
        assert!(backend.requests.borrow().is_empty());
        assert_eq!(ask(&sender, post("/"), "ok", None).await.unwrap().body, "ok");
    });
}

#[test]
fn a_stream_that_is_reset_cancels_its_request() {
    run(async {
        let (backend, waiting) = scripted(|_, mut stream| async move {
            read_to_end(&mut stream).await;
        });
        let gateway = Gateway::to(backend);
        let sender = open(gateway.connect().await).await;
        let (response, mut stream) = sender
            .clone()
            .ready()
            .await
            .unwrap()
            .send_request(get("/"), true)
            .unwrap();
        until(|| waiting.get() == 1).await;
        stream.send_reset(h2::Reason::CANCEL);
        until(|| gateway.worker.in_flight() == 0).await;
        assert!(response.await.is_err());
        assert_eq!(gateway.service.dropped.get(), 1);
        assert!(gateway.service.failures.borrow().is_empty());
    });
}

#[test]
fn a_flood_of_control_frames_ends_the_connection() {
    run(async {
        let backend = Recorder::echo();
        let limits = ServerLimits {
            http2_control_frames: 100,
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend.address,
            Setup {
                server: limits,
                ..Default::default()
            },
        );
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0].to_vec();
        let window = [&[0, 0, 4, 8, 0, 0, 0, 0, 0][..], &[0, 0, 0, 1]].concat();
        let priority = [&[0, 0, 5, 2, 0, 0, 0, 0, 1][..], &[0; 5]].concat();
        for frame in [ping, settings, window, priority] {
            let (mut read, mut write) = gateway.connect().await.into_split();
            write
                .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                .await
                .unwrap();
            write.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            let flood = tokio::task::spawn_local(async move {
                let many = frame.repeat(50);
                for _ in 0..1000 {
                    if write.write_all(&many).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                panic!("the flood went through");
            });
            let mut sink = Vec::new();
            drop(read.read_to_end(&mut sink).await);
            flood.await.unwrap();
        }
        until(|| gateway.door.connections() == 0).await;
    });
}

#[test]
fn http_2_connections_drain_too() {
    run(async {
        let go = Rc::new(tokio::sync::Notify::new());
        let waiting = go.clone();
        let (backend, connections) = scripted(move |_, stream| {
            let go = waiting.clone();
            async move {
                let mut reader = Reader::new(stream);
                reader.message(false).await.unwrap();
                go.notified().await;
                reader
                    .stream
                    .write_all(&answer_with(200, "OK", "", b"late"))
                    .await
                    .unwrap();
            }
        });
        let gateway = Gateway::to(backend);
        let sender = open(gateway.connect().await).await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let sender = sender.clone();
            asking.spawn_local(async move { ask(&sender, get("/"), "", None).await.unwrap().body });
        }
        until(|| connections.get() == 20).await;
        let draining = tokio::task::spawn_local(gateway.drain());
        tokio::task::yield_now().await;
        for _ in 0..20 {
            go.notify_one();
        }
        while let Some(body) = asking.join_next().await {
            assert_eq!(body.unwrap(), "late");
            go.notify_one();
        }
        drop(sender);
        assert_eq!(draining.await.unwrap().cut, 0);
    });
}

struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// A certificate for these names, signed by itself.
    fn new(names: &[&str]) -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        made.renew(names);
        made
    }

    fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(self.certificate(), certified.cert.pem()).unwrap();
        std::fs::write(self.key(), certified.signing_key.serialize_pem()).unwrap();
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn server(&self) -> ServerTls {
        ServerTls::load(&self.certificate(), &self.key(), true).unwrap()
    }
}

async fn secured(
    address: std::net::SocketAddr,
    certificates: &Certificates,
    protocols: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_file(certificates.certificate()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
}

#[test]
fn tls_agrees_on_the_protocol_and_a_new_certificate_is_taken_while_serving() {
    run(async {
        let backend = Recorder::echo();
        let certificates = Certificates::new(&["localhost"]);
        let tls = certificates.server();
        let gateway = Gateway::with(
            backend.address,
            Setup {
                tls: Some(tls.clone()),
                ..Default::default()
            },
        );
        let stream = secured(gateway.address, &certificates, &[b"h2", b"http/1.1"])
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(
            ask(&open(stream).await, post("/"), "two", None)
                .await
                .unwrap()
                .body,
            "two"
        );
        let mut old = Reader::new(
            secured(gateway.address, &certificates, &[b"http/1.1"])
                .await
                .unwrap(),
        );
        old.stream
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none")
            .await
            .unwrap();
        assert_eq!(old.message(false).await.unwrap().text(), "one");

        std::fs::write(certificates.key(), "not a key").unwrap();
        let error = tls.reload().unwrap_err();
        assert!(
            error.file == certificates.key() && error.to_string().contains("no private key"),
            "{error}"
        );
        assert!(
            secured(gateway.address, &certificates, &[]).await.is_ok(),
            "the old one goes on"
        );

        certificates.renew(&["localhost"]);
        assert!(
            secured(gateway.address, &certificates, &[]).await.is_err(),
            "the new one is not served yet"
        );
        tls.reload().unwrap();
        assert!(secured(gateway.address, &certificates, &[]).await.is_ok());
        old.stream
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntoo")
            .await
            .unwrap();
        assert_eq!(
            old.message(false).await.unwrap().text(),
            "too",
            "open connections go on"
        );
    });
}

#[test]
fn a_handshake_that_does_not_end_is_cut_off() {
    run(async {
        let backend = Recorder::echo();
        let server = ServerLimits {
            tls_handshake: Duration::from_millis(50),
            ..Default::default()
        };
        let tls = Some(Certificates::new(&["localhost"]).server());
        let gateway = Gateway::with(
            backend.address,
            Setup {
                server,
                tls,
                ..Default::default()
            },
        );
        assert_eq!(gateway.send("\u{16}\u{3}\u{1}").await, "");
        until(|| gateway.door.connections() == 0).await;
    });
}

#[test]
fn a_backend_must_prove_who_it_is_and_is_refused_at_once() {
    run(async {
        let inner = Recorder::echo();
        let known = Certificates::new(&["localhost"]);
        let other = Certificates::new(&["localhost"]);
        let wrong_name = Certificates::new(&["elsewhere"]);
        let trusted =
            |certificates: &Certificates| Some(ClientTls::new(Some(&certificates.certificate())).unwrap());
        for (shown, client_tls, http2, works) in [
            (&known, trusted(&known), false, true),
            (&known, trusted(&known), true, true),
            (&other, trusted(&known), false, false),
            (&wrong_name, trusted(&wrong_name), false, false),
            (
                &other,
                Some(ClientTls::accept_any_certificate().unwrap()),
                false,
                true,
            ),
        ] {
            let backend = Gateway::with(
                inner.address,
                Setup {
                    tls: Some(shown.server()),
                    ..Default::default()
                },
            );
            let url = format!("https://localhost:{}", backend.address.port());
            let gateway = Gateway::to_url(
                &url,
                Setup {
                    client_tls,
                    http2,
                    ..Default::default()
                },
            );
            let started = Pace::start();
            let mut client = Reader::new(gateway.connect().await);
            client
                .stream
                .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            let answer = client.message(false).await.unwrap();
            if works {
                assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
            } else {
                assert!(
                    answer.status() == 502 && answer.text().starts_with("101503 "),
                    "{}",
                    answer.text()
                );
                assert!(started.elapsed() < Duration::from_secs(1));
            }
        }
    });
}
