//! Endpoints on real sockets: what a backend gets, and what a client gets when a backend does not do as it should (reliability.md, part 4).

use super::pace::Pace;
use super::talk::{Answer, Running, ask, free_port};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// An API in front of one backend, whose fault sequence tells the code and the state.
fn gateway(endpoint: &str) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = r#"<payloadFactory media-type="json"><format>{"code": "$1", "state": "$2"}</format><args><arg expression="$ctx:ERROR_CODE"/><arg expression="$ctx:PROTOCOL_STATE_ON_FAILURE"/></args></payloadFactory><property name="HTTP_SC" value="599" scope="axis2"/><respond/>"#;
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a">
  <resource methods="GET POST PUT" url-mapping="/*">
    <inSequence><send>{endpoint}</send></inSequence>
    <outSequence><send/></outSequence>
    <faultSequence>{fault}</faultSequence>
  </resource>
</api>"#
    );
    std::fs::write(folder.path().join("a.xml"), api).expect("it can be written");
    Running::of(folder, free_port())
}

fn address(port: u16, inside: &str) -> String {
    format!(r#"<endpoint><address uri="http://127.0.0.1:{port}/b">{inside}</address></endpoint>"#)
}

/// A backend that gives each connection to `serve`, and tells the heads it read.
fn backend(serve: impl Fn(&mut TcpStream) + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
            if tell.send(read_head(&mut stream)).is_err() {
                return;
            }
            serve(&mut stream);
        }
    });
    (port, told)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn answering(answer: &'static str) -> (u16, Receiver<String>) {
    backend(move |stream| drop(stream.write_all(answer.as_bytes())))
}

fn told(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.body)
}

#[test]
fn a_request_reaches_the_backend_with_its_own_path_and_host() {
    let (port, heads) =
        answering("HTTP/1.1 418 Short And Stout\r\nContent-Length: 2\r\nX-Theirs: 1\r\n\r\nhi");
    let gateway = gateway(&address(port, ""));
    let answer = gateway.ask("GET /a/x/y?q=1\nX-Mine: 2");
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("x-theirs")),
        (418, "hi", Some("1"))
    );
    let head = heads.recv().expect("it was asked");
    assert!(head.starts_with("GET /b/x/y?q=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_lowercase()
            .contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")),
        "{head}"
    );
    assert!(head.to_lowercase().contains("\r\nx-mine: 2\r\n"), "{head}");
}

#[test]
fn a_backend_that_wants_it_is_told_the_whole_address_and_asked_once_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, heads) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let set = |name: &str| format!(r#"<property name="{name}" value="true" scope="axis2"/>"#);
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="GET POST" url-mapping="/*"><inSequence>
  {}{}<call>{}</call><respond/></inSequence></resource></api>"#,
        set("NO_KEEPALIVE"),
        set("POST_TO_URI"),
        address(port, "")
    );
    std::fs::write(folder.path().join("a.xml"), api).expect("it can be written");
    let gateway = Running::of(folder, free_port());
    for _ in 0..2 {
        assert_eq!(told(&gateway.ask("GET /a/x?q=1")), "200 hi");
        let head = heads.recv().expect("it was asked, over a connection of its own");
        assert!(
            head.starts_with(&format!("GET http://127.0.0.1:{port}/b/x?q=1 HTTP/1.1\r\n")),
            "{head}"
        );
        let head = head.to_lowercase();
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(
            head.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")),
            "{head}"
        );
    }
}

#[test]
fn a_backend_that_speaks_http_1_0_alone_is_spoken_to_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, heads) = answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="POST" url-mapping="/*"><inSequence>
  <property name="FORCE_HTTP_1.0" value="true" scope="axis2"/><call>{}</call>
  <property name="FORCE_HTTP_1.0" action="remove" scope="axis2"/><respond/></inSequence></resource></api>"#,
        address(port, "")
    );
    std::fs::write(folder.path().join("a.xml"), api).expect("it can be written");
    let gateway = Running::of(folder, free_port());
    for _ in 0..2 {
        let request = "POST /a/x\nContent-Type: text/plain\n\nb1";
        assert_eq!(told(&gateway.ask(request)), "200 hi");
        let head = heads.recv().expect("it was asked, over a connection of its own");
        assert!(head.starts_with("POST /b/x HTTP/1.0\r\n"), "{head}");
        let head = head.to_lowercase();
        assert!(
            head.contains("\r\nconnection: close\r\n") && head.contains("\r\ncontent-length: 2\r\n"),
            "{head}"
        );
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

#[test]
fn a_step_may_end_the_connection_of_the_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="GET"><inSequence>
  <property name="NO_KEEPALIVE" value="true" scope="axis2"/><respond/></inSequence></resource></api>"#;
    std::fs::write(folder.path().join("a.xml"), api).expect("it can be written");
    let gateway = Running::of(folder, free_port());
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("it can be set");
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it is sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the gateway ends the connection");
    assert!(
        answer.to_lowercase().contains("\r\nconnection: close\r\n"),
        "{answer}"
    );
}

#[test]
fn a_refused_connection_is_101503_in_the_fault_sequence() {
    // Row 1.
    let gateway = gateway(&address(free_port(), ""));
    let start = Pace::start();
    assert_eq!(
        told(&gateway.ask("GET /a/")),
        r#"599 {"code": "101503", "state": "0"}"#
    );
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_backend_that_says_nothing_is_given_up_when_its_time_is_over() {
    // Row 3: 101504 at the limit ± 0.1 s, not at the next sweep.
    let (port, _heads) = backend(|stream| drop(stream.read(&mut [0; 16])));
    let fault = gateway(&address(
        port,
        "<timeout><duration>500</duration><responseAction>fault</responseAction></timeout>",
    ));
    let start = Pace::start();
    assert_eq!(
        told(&fault.ask("GET /a/")),
        r#"599 {"code": "101504", "state": "3"}"#
    );
    let (clock, elapsed) = (start.clock(), start.elapsed());
    assert!(
        clock >= Duration::from_millis(450) && elapsed < Duration::from_millis(900),
        "{clock:?}, {elapsed:?}"
    );
    let discard = gateway(&address(
        port,
        "<timeout><duration>200</duration><responseAction>discard</responseAction></timeout>",
    ));
    assert_eq!(discard.ask("GET /a/").status, 504);
}

#[test]
fn a_backend_that_hangs_up_or_talks_nonsense_is_told_apart() {
    // Rows 5 and 7.
    let (port, _heads) = backend(|_| {});
    let gateway_of_closed = gateway(&address(port, ""));
    let closed = gateway_of_closed.ask("POST /a/\nContent-Type: text/plain\n\nx");
    assert!(
        told(&closed).starts_with(r#"599 {"code": "10150"#),
        "{}",
        told(&closed)
    );
    let (port, _heads) = answering("this is not HTTP at all\r\n\r\n");
    let nonsense = gateway(&address(port, "")).ask("GET /a/");
    assert!(
        told(&nonsense).starts_with(r#"599 {"code": "101506"#),
        "{}",
        told(&nonsense)
    );
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    // Row 6: a length that is not kept, and chunks that do not end.
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (port, _heads) = answering(broken);
        let gateway = gateway(&address(port, ""));
        let mut client = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it listens");
        client
            .write_all(b"GET /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .expect("it takes it");
        let mut raw = Vec::new();
        let ended = client.read_to_end(&mut raw);
        let text = String::from_utf8_lossy(&raw).to_lowercase();
        let whole = ended.is_ok() && (text.ends_with("0\r\n\r\n") || text.contains("content-length: 4\r\n"));
        assert!(!whole, "{text}");
    }
}

#[test]
fn a_client_that_breaks_off_does_not_hurt_the_next() {
    // Row 29: the endpoint is not to blame.
    let (port, _heads) = backend(|stream| {
        let mut rest = [0; 1024];
        // Only a whole upload is answered.
        if stream
            .read(&mut rest)
            .is_ok_and(|read| rest[..read].ends_with(b"whole"))
        {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        }
    });
    let gateway = gateway(&address(port, ""));
    let mut client = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it listens");
    client
        .write_all(
            b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf",
        )
        .expect("it takes it");
    drop(client);
    let answer = ask(gateway.port, "POST /a/\nContent-Type: text/plain\n\nwhole");
    assert_eq!(told(&answer), "200 ok");
}

#[test]
fn a_body_of_a_mebibyte_goes_through_and_back_unchanged() {
    let (port, _heads) =
        backend(|stream| {
            let mut body = vec![0; 1 << 20];
            if stream.read_exact(&mut body).is_ok() {
                drop(stream.write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
                ));
                drop(stream.write_all(&body));
            }
        });
    let gateway = gateway(&address(port, ""));
    let body: String = (0..1 << 20)
        .map(|number: u32| char::from(b'a' + (number.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let answer = gateway.ask(&format!("PUT /a/\nContent-Type: application/json\n\n{body}"));
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}
