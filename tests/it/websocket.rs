//! WebSockets through the gateway: both handshakes, frames both ways, whoever breaks the rules or goes away, limits, reloads and shutdown.

use super::gateway::{deploy, drain, start};
use super::pace::Pace;
use super::talk::free_port;
use super::wire_kit::{Gateway, Reader, Recorder, Setup, answer_with, run, scripted};
use futures_util::{SinkExt, StreamExt};
use myelin::flow::health::State;
use myelin::gateway::Gateway as Whole;
use myelin::wire::tls::{ClientTls, ServerTls};
use myelin::wire::{ClientLimits, WebSocketLimits};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::handshake::server::Response as Agreement;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

/// A backend that sends back what it gets, and what it was asked and sent.
struct Echo {
    address: SocketAddr,
    asked: Rc<RefCell<Vec<Request>>>,
    heard: UnboundedReceiver<Message>,
}

impl Echo {
    fn start() -> Echo {
        let asked = Rc::<RefCell<Vec<Request>>>::default();
        let (tell, heard) = unbounded_channel();
        let record = Rc::clone(&asked);
        let (address, _) = scripted(move |_, stream| {
            let (record, tell) = (Rc::clone(&record), tell.clone());
            async move {
                let mut socket = accept(stream, &record).await;
                while let Some(Ok(message)) = socket.next().await {
                    let echo = message.is_text() || message.is_binary();
                    drop(tell.send(message.clone()));
                    if echo && socket.send(message).await.is_err() {
                        return;
                    }
                }
            }
        });
        Echo {
            address,
            asked,
            heard,
        }
    }

    async fn hears(&mut self) -> Message {
        self.heard.recv().await.unwrap()
    }

    async fn hears_close(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(close) = self.hears().await {
                return told(close);
            }
        }
    }
}

#[expect(clippy::result_large_err, reason = "the library asks for this type")]
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    record: &RefCell<Vec<Request>>,
) -> WebSocketStream<S> {
    let agree = |request: &Request, mut response: Agreement| {
        record.borrow_mut().push(request.clone());
        if let Some(protocol) = request.headers().get("sec-websocket-protocol") {
            let last = protocol.to_str().unwrap().rsplit(',').next().unwrap().trim();
            let headers = response.headers_mut();
            headers.insert("sec-websocket-protocol", last.parse().unwrap());
        }
        response.headers_mut().insert("x-backend", "yes".parse().unwrap());
        Ok(response)
    };
    accept_hdr_async(stream, agree).await.unwrap()
}

type Client = WebSocketStream<TcpStream>;

async fn open(
    gateway: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Client, Response), Error> {
    let mut request = format!("ws://{gateway}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(gateway).await.unwrap();
    client_async(request, stream).await
}

async fn opened(gateway: SocketAddr, path: &str) -> Client {
    open(gateway, path, &[]).await.unwrap().0
}

/// The status that a handshake is refused with, and the body.
async fn refused(gateway: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    match open(gateway, path, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

fn told(close: Option<CloseFrame>) -> (u16, String) {
    close.map_or((1005, String::new()), |close| {
        (close.code.into(), close.reason.to_string())
    })
}

/// The close frame at the end.
async fn closed<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> (u16, String) {
    loop {
        match socket.next().await.expect("a close frame").expect("a frame") {
            Message::Close(close) => return told(close),
            _ => continue,
        }
    }
}

fn through(backend: SocketAddr, websocket: WebSocketLimits) -> Gateway {
    let client = ClientLimits {
        websocket,
        ..ClientLimits::default()
    };
    let setup = Setup {
        client,
        ..Setup::default()
    };
    Gateway::to_url(&format!("ws://{backend}"), setup)
}

fn usual(backend: SocketAddr) -> Gateway {
    through(backend, WebSocketLimits::default())
}

/// A handshake by hand, and the connection behind it.
async fn by_hand(gateway: SocketAddr, behind: &[u8]) -> Reader<TcpStream> {
    let mut client = Reader::new(TcpStream::connect(gateway).await.unwrap());
    let mut bytes = b"GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend_from_slice(behind);
    client.stream.write_all(&bytes).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client
}

/// A short client's frame under a mask of zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// The next short frame of the gateway.
async fn next_frame(client: &mut Reader<TcpStream>) -> (u8, Vec<u8>) {
    let first = client.stream.read_u8().await.unwrap();
    let length = client.stream.read_u8().await.unwrap();
    assert!(length < 126, "a short frame that is not masked");
    let mut payload = vec![0; usize::from(length)];
    client.stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

async fn close_code(client: &mut Reader<TcpStream>) -> u16 {
    loop {
        let (first, payload) = next_frame(client).await;
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[test]
fn what_is_said_on_one_side_is_heard_on_the_other() {
    run(async {
        let mut backend = Echo::start();
        let gateway = usual(backend.address);
        let headers = [
            ("sec-websocket-protocol", "soap, chat"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("origin", "http://page"),
            ("x-own", "1"),
        ];
        let (mut client, answer) = open(gateway.address, "/a/b?c=%2F", &headers).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        assert_eq!(answer.headers()["x-backend"], "yes");
        // No extension is agreed on with either side, so nobody packs what he says.
        assert!(!answer.headers().contains_key("sec-websocket-extensions"));
        let asked = backend.asked.borrow_mut().remove(0);
        assert_eq!(asked.uri(), "/a/b?c=%2F");
        assert_eq!(
            (&asked.headers()["x-own"], &asked.headers()["origin"]),
            (&"1".parse().unwrap(), &"http://page".parse().unwrap())
        );
        assert!(!asked.headers().contains_key("sec-websocket-extensions"));
        for message in [
            Message::text("ö"),
            Message::binary(vec![0; 0]),
            Message::binary(vec![7; 70_000]),
            Message::binary((0..200_001).map(|at| at as u8).collect::<Vec<_>>()),
        ] {
            client.send(message.clone()).await.unwrap();
            assert_eq!(backend.hears().await, message);
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
        client.send(Message::Ping("who?".into())).await.unwrap();
        assert_eq!(backend.hears().await, Message::Ping("who?".into()));
        assert_eq!(
            client.next().await.unwrap().unwrap(),
            Message::Pong("who?".into())
        );
        let goodbye = CloseFrame {
            code: CloseCode::Library(4001),
            reason: "enough".into(),
        };
        client.close(Some(goodbye)).await.unwrap();
        assert_eq!(backend.hears_close().await, (4001, "enough".to_owned()));
        assert_eq!(closed(&mut client).await, (4001, "enough".to_owned()));
        assert!(client.next().await.is_none(), "and then the connection ends");
        drop(client);
        assert_eq!(gateway.drain().await.cut, 0);
    });
}

#[test]
fn a_backends_close_frame_reaches_the_client_as_it_is() {
    run(async {
        let (address, _) = scripted(|_, stream| async move {
            let mut socket = accept(stream, &RefCell::default()).await;
            let frame = CloseFrame {
                code: CloseCode::Restart,
                reason: "back soon".into(),
            };
            socket.close(Some(frame)).await.unwrap();
            assert_eq!(closed(&mut socket).await.0, 1012);
        });
        let gateway = usual(address);
        let mut client = opened(gateway.address, "/").await;
        assert_eq!(closed(&mut client).await, (1012, "back soon".to_owned()));
    });
}

#[test]
fn a_refusal_of_the_backend_is_the_answer() {
    run(async {
        let backend = Recorder::start(|request| match request.first_line() {
            "GET /gone HTTP/1.1" => answer_with(410, "Gone", "", b"not any more"),
            _ => answer_with(
                401,
                "Unauthorized",
                "WWW-Authenticate: Basic\r\n",
                b"who are you?",
            ),
        });
        let gateway = usual(backend.address);
        let refusal = refused(gateway.address, "/", &[]).await;
        assert_eq!(refusal, (401, "who are you?".to_owned()));
        assert_eq!(refused(gateway.address, "/gone", &[]).await.0, 410);
    });
}

#[test]
fn no_backend_is_told_before_anybody_is_let_in() {
    run(async {
        let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (status, body) = refused(usual(nobody).address, "/", &[]).await;
        assert!(status == 502 && body.starts_with("101503"), "{status} {body}");
        // Half a handshake: the wrong proof.
        let (liar, _) = scripted(|_, stream| async move {
            let mut reader = Reader::new(stream);
            reader.message(false).await.unwrap();
            let answer = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
            reader.stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let (status, body) = refused(usual(liar).address, "/", &[]).await;
        assert!(status == 502 && body.starts_with("101506"), "{status} {body}");
    });
}

#[test]
fn row_33_who_is_left_gets_a_close_frame_at_once() {
    run(async {
        let (address, _) = scripted(|_, stream| async move {
            let mut socket = accept(stream, &RefCell::default()).await;
            socket.next().await.unwrap().unwrap();
        });
        let gateway = usual(address);
        let mut client = opened(gateway.address, "/").await;
        client.send(Message::text("die")).await.unwrap();
        let since = Pace::start();
        assert_eq!(
            closed(&mut client).await,
            (1011, "the backend is gone".to_owned())
        );
        assert!(since.elapsed() < Duration::from_secs(1));

        let mut backend = Echo::start();
        let gateway = usual(backend.address);
        drop(opened(gateway.address, "/").await);
        let since = Pace::start();
        assert_eq!(
            backend.hears_close().await,
            (1001, "the client is gone".to_owned())
        );
        assert!(since.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn frames_may_come_right_behind_the_handshakes() {
    run(async {
        let (address, _) = scripted(|_, stream| async move {
            let mut reader = Reader::new(stream);
            let asked = reader.message(false).await.unwrap();
            let key = asked.header("sec-websocket-key").unwrap().to_owned();
            let proof = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n\r\n\u{1}\u{1}a"
            );
            reader.stream.write_all(answer.as_bytes()).await.unwrap();
            let mut heard = [0; 7];
            reader.stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard[..2], [0x81, 0x81]);
            assert_eq!(heard[6] ^ heard[2], b'x');
        });
        let gateway = usual(address);
        let mut client = by_hand(gateway.address, &frame(0x81, b"x")).await;
        assert_eq!(next_frame(&mut client).await, (0x01, b"a".to_vec()));
        // The backend left in the middle of its message.
        assert_eq!(close_code(&mut client).await, 1011);
    });
}

#[test]
fn whoever_breaks_the_rules_is_told_which() {
    run(async {
        let long: &[u8] = &[0x82, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
        let pings = frame(0x89, b"").repeat(1_001);
        let fragments = [frame(0x02, b"x"), frame(0x00, b"x").repeat(1_048_576)].concat();
        for (bytes, client_code, backend_code) in [
            (&[0x81, 0x01, b'x'][..], 1002, 1001),
            (&frame(0x81, b"\xc0"), 1007, 1001),
            (long, 1009, 1009),
            (&pings, 1008, 1001),
            (&fragments, 1009, 1009),
        ] {
            let mut backend = Echo::start();
            let gateway = usual(backend.address);
            let client = by_hand(gateway.address, b"").await;
            let (mut reading, mut writing) = client.stream.into_split();
            let write = async {
                drop(writing.write_all(bytes).await);
                std::future::pending::<()>().await;
            };
            let read = async {
                let mut all = Vec::new();
                reading.read_to_end(&mut all).await.unwrap();
                all
            };
            let told = tokio::select! {
                told = read => told,
                () = write => unreachable!(),
            };
            let at = told
                .windows(2)
                .rposition(|two| two[0] == 0x88 && two[1] >= 2)
                .unwrap();
            assert_eq!(u16::from_be_bytes([told[at + 2], told[at + 3]]), client_code);
            assert_eq!(backend.hears_close().await.0, backend_code);
        }
    });
}

#[test]
fn a_backend_that_breaks_the_rules_costs_the_client_its_socket() {
    run(async {
        let (address, _) = scripted(|_, stream| async move {
            let mut socket = accept(stream, &RefCell::default()).await;
            socket.get_mut().write_all(&[0x83, 0]).await.unwrap();
            assert_eq!(closed(&mut socket).await.0, 1002);
        });
        let gateway = usual(address);
        let mut client = opened(gateway.address, "/").await;
        assert_eq!(
            closed(&mut client).await,
            (1011, "the backend broke the protocol".to_owned())
        );
    });
}

#[test]
fn a_message_over_the_limit_closes_both_sides() {
    run(async {
        let limits = WebSocketLimits {
            message: 100,
            ..WebSocketLimits::default()
        };
        let mut backend = Echo::start();
        let gateway = through(backend.address, limits);
        let mut client = opened(gateway.address, "/").await;
        client.send(Message::binary(vec![1; 100])).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().len(), 100);
        client.send(Message::binary(vec![1; 101])).await.unwrap();
        assert_eq!(closed(&mut client).await.0, 1009);
        assert_eq!(backend.hears_close().await.0, 1009);
    });
}

#[test]
fn a_side_that_takes_nothing_holds_the_other_one_up_and_is_cut_off() {
    run(async {
        let limits = WebSocketLimits {
            write_gap: Duration::from_secs(2),
            ..WebSocketLimits::default()
        };
        let (tell, mut sent) = unbounded_channel();
        let (address, _) = scripted(move |_, stream| {
            let tell = tell.clone();
            async move {
                let mut socket = accept(stream, &RefCell::default()).await;
                let mut bytes = 0;
                let patience = Duration::from_millis(500);
                while let Ok(sent) =
                    tokio::time::timeout(patience, socket.send(Message::binary(vec![0; 64 * 1024]))).await
                {
                    sent.unwrap();
                    bytes += 64 * 1024;
                    assert!(bytes < 1 << 30, "somebody keeps all of it");
                }
                tell.send((bytes, closed(&mut socket).await)).unwrap();
            }
        });
        let gateway = through(address, limits);
        let client = by_hand(gateway.address, b"").await;
        let (bytes, close) = sent.recv().await.unwrap();
        assert_eq!(close, (1001, "the client is gone".to_owned()));
        // What the system keeps on the way for two connections.
        assert!(bytes < 32 << 20, "{bytes} bytes were taken from the backend");
        drop(client);
    });
}

#[test]
fn a_silent_side_is_pinged_and_then_given_up() {
    run(async {
        let limits = WebSocketLimits {
            ping: Duration::from_millis(100),
            ..WebSocketLimits::default()
        };
        let mut backend = Echo::start();
        let gateway = through(backend.address, limits.clone());
        let since = Instant::now();
        let mut silent = by_hand(gateway.address, b"").await;
        assert_eq!(next_frame(&mut silent).await.0, 0x89);
        assert_eq!(next_frame(&mut silent).await.0, 0x89);
        loop {
            // The backend answers its own pings, and its answers are nobody else's business.
            match backend.hears().await {
                Message::Ping(_) => (),
                Message::Close(close) => {
                    assert_eq!(told(close), (1001, "the client is gone".to_owned()));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        let took = since.elapsed().as_millis();
        assert!((300..5_000).contains(&took), "{took} ms");

        let gateway = through(backend.address, limits);
        let mut client = opened(gateway.address, "/").await;
        // More than a silent one would be sent.
        for _ in 0..4 {
            assert!(client.next().await.unwrap().unwrap().is_ping());
        }
        client.send(Message::text("still here")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("still here"));
    });
}

#[test]
fn an_idle_time_ends_what_nobody_uses() {
    run(async {
        let limits = WebSocketLimits {
            idle: Duration::from_millis(200),
            ..WebSocketLimits::default()
        };
        let mut backend = Echo::start();
        let gateway = through(backend.address, limits);
        let mut client = opened(gateway.address, "/").await;
        assert_eq!(closed(&mut client).await.0, 1001);
        assert_eq!(backend.hears_close().await.0, 1001);
    });
}

#[test]
fn a_shutdown_says_goodbye_to_both_sides() {
    run(async {
        let mut backend = Echo::start();
        let gateway = usual(backend.address);
        let mut client = opened(gateway.address, "/").await;
        let drained = tokio::task::spawn_local(gateway.drain());
        assert_eq!(
            closed(&mut client).await,
            (1001, "the gateway is shutting down".to_owned())
        );
        assert_eq!(backend.hears_close().await.0, 1001);
        assert!(client.next().await.is_none());
        assert_eq!(drained.await.unwrap().cut, 0);
    });
}

#[test]
fn both_sides_may_be_behind_tls() {
    run(async {
        let mut backend = Echo::start();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            folder.path().join("certificate.pem"),
            folder.path().join("key.pem"),
        );
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        // One gateway is the client of the other.
        let inner = Gateway::to_url(
            &format!("ws://{}", backend.address),
            Setup {
                tls: Some(ServerTls::load(&certificate, &key, true).unwrap()),
                ..Setup::default()
            },
        );
        let outer = Gateway::to_url(
            &format!("wss://localhost:{}", inner.address.port()),
            Setup {
                client_tls: Some(ClientTls::new(Some(&certificate)).unwrap()),
                ..Setup::default()
            },
        );
        let mut client = opened(outer.address, "/").await;
        for length in [1, 200_000] {
            let message = Message::binary(vec![9; length]);
            client.send(message.clone()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
        client.close(None).await.unwrap();
        assert_eq!(closed(&mut client).await.0, 1005);
        assert_eq!(backend.hears_close().await.0, 1005);
    });
}

// Through mediation

fn topics(backend: SocketAddr) -> String {
    format!(
        r#"<api name="Chat" context="/chat">
          <resource methods="GET" uri-template="/{{room}}/*">
            <inSequence>
              <filter source="$trp:Origin" regex="http://evil.*"><then><property name="HTTP_SC" value="403" scope="axis2"/><respond/></then></filter>
              <property name="X-Gateway" value="in" scope="transport"/>
              <property name="OUT_ONLY" value="true"/>
              <send><endpoint name="topics"><http uri-template="ws://{backend}/rooms/{{uri.var.room}}"><limits inFlight="1" queue="0"/></http></endpoint></send>
            </inSequence>
            <outSequence>
              <filter source="$trp:x-backend" regex="yes"><then><property name="X-Gateway" value="out" scope="transport"/></then></filter>
              <send/>
            </outSequence>
          </resource>
        </api>
        <api name="Never" context="/never"><resource methods="GET">
          <inSequence><call><endpoint><address uri="ws://{backend}/x"/></endpoint></call>
            <property name="HTTP_SC" value="409" scope="axis2"/><respond/></inSequence>
        </resource></api>"#
    )
}

async fn until_free(gateway: &Whole, path: &str) -> Client {
    loop {
        if let Ok((client, _)) = open(gateway.http, path, &[]).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn sequences_run_before_and_after_the_handshake() {
    run(async {
        let backend = Echo::start();
        let gateway = start(&topics(backend.address));
        let (mut client, answer) = open(gateway.http, "/chat/red/tail?a=b", &[]).await.unwrap();
        assert_eq!(answer.headers()["x-gateway"], "out");
        let asked = backend.asked.borrow_mut().remove(0);
        assert_eq!(asked.uri(), "/rooms/red/red/tail?a=b");
        assert_eq!(asked.headers()["x-gateway"], "in");
        client.send(Message::text("hello")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("hello"));

        // Its place at the endpoint is taken until it ends.
        assert_eq!(refused(gateway.http, "/chat/red/x", &[]).await.0, 503);
        client.close(None).await.unwrap();
        closed(&mut client).await;
        drop(until_free(&gateway, "/chat/red/x").await);

        assert_eq!(
            refused(gateway.http, "/chat/red/x", &[("origin", "http://evil.example")])
                .await
                .0,
            403
        );
        assert_eq!(refused(gateway.http, "/never", &[]).await.0, 409);
        assert_eq!(drain(gateway).await, 0);
    });
}

#[test]
fn who_does_not_ask_for_a_websocket_is_told_to() {
    run(async {
        let backend = Echo::start();
        let gateway = start(&topics(backend.address));
        let mut client = Reader::new(TcpStream::connect(gateway.http).await.unwrap());
        client
            .stream
            .write_all(b"GET /chat/red/x HTTP/1.1\r\nHost: gateway\r\n\r\n")
            .await
            .unwrap();
        let answer = client.message(false).await.unwrap();
        assert_eq!(answer.status(), 426);
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("connection"), Some("upgrade"));
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        drop(client);
        assert_eq!(drain(gateway).await, 0);
    });
}

#[test]
fn sockets_outlive_a_reload() {
    run(async {
        let backend = Echo::start();
        let gateway = start(&topics(backend.address));
        let mut client = opened(gateway.http, "/chat/red/x").await;
        gateway.swap(deploy(r#"<api name="Chat" context="/chat"><resource methods="GET"><inSequence><respond/></inSequence></resource></api>"#, 2));
        client.send(Message::text("hello")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("hello"));
        assert_eq!(refused(gateway.http, "/chat", &[]).await.0, 200);
        let drained = tokio::task::spawn_local(drain(gateway));
        assert_eq!(closed(&mut client).await.0, 1001);
        drop(client);
        assert_eq!(drained.await.unwrap(), 0);
    });
}

#[test]
fn a_refusal_does_not_suspend_the_endpoint() {
    run(async {
        let backend = Recorder::start(|_| answer_with(404, "Not Found", "", b""));
        let gateway = start(&topics(backend.address));
        for _ in 0..3 {
            assert_eq!(refused(gateway.http, "/chat/none/x", &[]).await.0, 404);
        }
        assert_eq!(drain(gateway).await, 0);
    });
}

/// An API in front of a group of two.
fn group(first: SocketAddr, second: SocketAddr) -> String {
    let child = |name: &str, at: SocketAddr| {
        format!(r#"<endpoint name="{name}"><address uri="ws://{at}/"/></endpoint>"#)
    };
    format!(
        r#"<api name="Chat" context="/chat"><resource methods="GET" url-mapping="/*">
          <inSequence><send><endpoint name="group"><failover retryOn="503">{}{}</failover></endpoint></send></inSequence>
          <outSequence><send/></outSequence>
        </resource></api>"#,
        child("first", first),
        child("second", second)
    )
}

/// A socket through the gateway is with this backend, in both directions.
async fn is_with(backend: &mut Echo, gateway: &Whole) {
    let (mut client, answer) = open(gateway.http, "/chat/room?a=b", &[("x-own", "1")])
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-backend"], "yes");
    let asked = backend.asked.borrow_mut().remove(0);
    assert_eq!(asked.uri(), "/room?a=b");
    assert_eq!(asked.headers()["x-own"], "1");
    client.send(Message::text("hello")).await.unwrap();
    assert_eq!(backend.hears().await, Message::text("hello"));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("hello"));
    client.close(None).await.unwrap();
    assert_eq!(closed(&mut client).await.0, 1005);
    assert_eq!(backend.hears_close().await.0, 1005);
}

#[test]
fn the_next_child_of_a_group_gets_the_socket_of_one_that_is_not_there() {
    run(async {
        let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut second = Echo::start();
        let gateway = start(&group(nobody, second.address));
        let first = gateway
            .shared()
            .runtime
            .health
            .find("first")
            .expect("it is there");
        is_with(&mut second, &gateway).await;
        let shown = first.snapshot();
        assert_eq!(
            (first.state(), shown.cause.map(|cause| cause.code)),
            (State::Suspended, Some(101_503))
        );
        // And while it is suspended the socket goes to the other one right away.
        is_with(&mut second, &gateway).await;
        assert_eq!(drain(gateway).await, 0);
    });
}

#[test]
fn the_next_child_of_a_group_gets_the_socket_that_one_refuses() {
    run(async {
        let status = Rc::new(Cell::new(503));
        let says = Rc::clone(&status);
        let first = Recorder::start(move |_| answer_with(says.get(), "Said", "", b"not here"));
        let mut second = Echo::start();
        let gateway = start(&group(first.address, second.address));
        for round in 1..=3 {
            is_with(&mut second, &gateway).await;
            assert_eq!(first.requests.borrow().len(), round, "the first is asked first");
        }
        // A refusal that is none of the statuses in `retryOn` is the answer.
        status.set(403);
        let refusal = refused(gateway.http, "/chat/room", &[]).await;
        assert_eq!(refusal, (403, "not here".to_owned()));
        assert!(second.asked.borrow().is_empty());
        assert_eq!(drain(gateway).await, 0);
    });
}
