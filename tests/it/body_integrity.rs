//! RB-03: what a client sends is what the backend gets, and the other way round, whatever the method, the framing and the size, passed
//! through or built anew as XML or JSON. What is not passed on is refused; nothing is dropped without a word.

use super::talk::{Running, free_port};
use super::wire_kit::{Raw, Reader, Recorder, answer_with, chunked, framed, run};
use myelin::message::xml::{XmlLimits, XmlTree};
use tokio::net::TcpStream;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const SIZES: [usize; 5] = [0, 1, 1 << 10, (64 << 10) - 1, 64 << 10];
/// By POST alone.
const LARGE: [usize; 2] = [1 << 20, 16 << 20];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Passed,
    Xml,
    Json,
}

/// The body is rebuilt on both ways by `$1` in another shape.
fn api(mode: Mode, port: u16) -> String {
    let rebuilt = |from: &str, to: &str| match mode {
        Mode::Passed => String::new(),
        Mode::Xml => format!(
            r#"<payloadFactory media-type="xml"><format><{to} xmlns="">$1</{to}></format><args><arg expression="//{from}"/></args></payloadFactory>"#
        ),
        Mode::Json => format!(
            r#"<payloadFactory media-type="json"><format>{{"{to}": "$1"}}</format><args><arg evaluator="json" expression="$.{from}"/></args></payloadFactory>"#
        ),
    };
    let name = format!("{mode:?}");
    format!(
        r#"<api name="{name}" context="/{name}"><resource methods="{}"><inSequence>{}
        <send><endpoint><address uri="http://127.0.0.1:{port}/b"/></endpoint></send></inSequence>
        <outSequence>{}<send/></outSequence></resource></api>"#,
        METHODS.join(" "),
        rebuilt("d", "w"),
        rebuilt("w", "d"),
    )
}

/// A body of about that size: exactly so if it only passes through.
fn body(mode: Mode, size: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    if mode == Mode::Passed {
        return (0..size).map(|_| random.u8(..)).collect();
    }
    let alphabet: &[char] = &[
        'a',
        'Z',
        '0',
        ' ',
        '\u{e4}',
        '\u{20ac}',
        '\u{1f600}',
        '$',
        '1',
        '{',
        '}',
    ];
    let mut text = String::new();
    while text.len() + "<d></d>".len() < size {
        text.push(*random.choice(alphabet).unwrap());
    }
    match mode {
        // An element's text is trimmed when it is asked for, as in Synapse.
        Mode::Xml => format!("<d>&amp;{text}\n]]&gt;</d>"),
        _ => serde_json::json!({ "d": format!(" {text}<&>\"\\\n") }).to_string(),
    }
    .into_bytes()
}

/// What the body says, without the shape that a rebuilt one has.
fn content(mode: Mode, name: &str, body: &[u8]) -> Vec<u8> {
    match mode {
        Mode::Passed => body.to_vec(),
        Mode::Xml => {
            let tree = XmlTree::parse(body, &XmlLimits::default()).expect("XML");
            let root = tree.document_element().unwrap();
            assert_eq!(tree.local_name(root), name);
            tree.string_value(root).into_owned().into_bytes()
        }
        Mode::Json => {
            let json: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            json[name].as_str().expect("a text").as_bytes().to_vec()
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    equal: usize,
    refused: usize,
    /// Rebuilt for a GET or HEAD, which carry none that was made here.
    bodyless: usize,
}

#[test]
fn bodies_arrive_whole_or_are_refused() {
    run(async {
        let backend = Recorder::start(|request: &Raw| {
            let of = |name: &str| request.header(name).unwrap_or_default().to_owned();
            let content_type = format!("Content-Type: {}\r\n", of("x-type"));
            if request.first_line().starts_with("HEAD") {
                return format!("HTTP/1.1 200 OK\r\n{content_type}Content-Length: 7\r\n\r\n").into_bytes();
            }
            let rebuilt_for_get = request.body.is_empty() && of("x-mode") != "Passed";
            let body: &[u8] = match of("x-mode").as_str() {
                "Xml" if rebuilt_for_get => b"<w>none</w>",
                "Json" if rebuilt_for_get => br#"{"w": "none"}"#,
                _ => &request.body,
            };
            if of("x-framing") == "length" {
                return answer_with(200, "OK", &content_type, body);
            }
            let mut answer =
                format!("HTTP/1.1 200 OK\r\n{content_type}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            answer.extend(chunked(body, 10_007));
            answer
        });
        let port = backend.address.port();
        let folder = tempfile::tempdir().unwrap();
        let apis: String = [Mode::Passed, Mode::Xml, Mode::Json]
            .into_iter()
            .map(|mode| api(mode, port))
            .collect();
        let xml = format!("<definitions xmlns=\"http://ws.apache.org/ns/synapse\">{apis}</definitions>");
        std::fs::write(folder.path().join("apis.xml"), xml).unwrap();
        let gateway = Running::of(folder, free_port());

        let mut random = fastrand::Rng::with_seed(16);
        let mut tally = Tally::default();
        for mode in [Mode::Passed, Mode::Xml, Mode::Json] {
            for method in METHODS {
                for chunk in [None, Some(1_000)] {
                    let large = (method == "POST").then_some(LARGE).into_iter().flatten();
                    for size in SIZES.into_iter().chain(large) {
                        let sent = body(mode, size, &mut random);
                        one(&gateway, &backend, (mode, method, chunk), &sent, &mut tally).await;
                    }
                }
            }
        }
        println!("{tally:?}");
        assert_eq!(
            tally.refused, 4,
            "16 MiB are too much for a tree, and only that is refused"
        );
        assert_eq!(tally.bodyless, 2 * 2 * 2 * 5);
        assert_eq!(tally.equal, 3 * (7 * 2 * 5 + 2 * 2) - 4 - 40);
    });
}

async fn one(
    gateway: &Running,
    backend: &Recorder,
    (mode, method, chunk): (Mode, &str, Option<usize>),
    sent: &[u8],
    tally: &mut Tally,
) {
    let what = format!("{mode:?} {method} {chunk:?} {} bytes", sent.len());
    let media_type = match mode {
        Mode::Passed => "application/octet-stream",
        Mode::Xml => "application/xml",
        Mode::Json => "application/json",
    };
    let framing = chunk.map_or("length", |_| "chunked");
    let head = format!(
        "{method} /{mode:?}\nContent-Type: {media_type}\nX-Type: {media_type}\nX-Mode: {mode:?}\nX-Framing: {framing}"
    );
    let (head, bytes) = framed(&head, sent, chunk);
    let mut client = Reader::new(TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap());
    let answer = client.exchange(&head, &bytes).await;
    let answer = answer.unwrap_or_else(|| panic!("{what}: no whole answer"));
    let got = backend.requests.take();
    if mode != Mode::Passed && sent.len() > 2 << 20 {
        assert_eq!((answer.status(), got.len()), (413, 0), "{what}");
        tally.refused += 1;
        return;
    }
    assert_eq!(answer.status(), 200, "{what}: {}", answer.head);
    let [got] = &got[..] else {
        panic!("{what}: the backend got {} requests", got.len())
    };
    assert_eq!(got.first_line().split(' ').next(), Some(method), "{what}");
    if mode != Mode::Passed && matches!(method, "GET" | "HEAD") {
        assert!(got.body.is_empty(), "{what}");
        tally.bodyless += 1;
        return;
    }
    assert!(
        content(mode, "w", &got.body) == content(mode, "d", sent),
        "{what}: the backend got other content: {}",
        String::from_utf8_lossy(&got.body[..got.body.len().min(400)])
    );
    if method == "HEAD" {
        assert!(
            answer.header("content-length") == Some("7") && client.buffer.is_empty(),
            "{what}: {}",
            answer.head
        );
    } else {
        assert!(
            content(mode, "d", &answer.body) == content(mode, "d", sent),
            "{what}: the client got other content: {} bytes",
            answer.body.len()
        );
    }
    let told = answer
        .header("content-type")
        .and_then(|text| text.split(';').next());
    assert_eq!(told, Some(media_type), "{what}");
    tally.equal += 1;
}
