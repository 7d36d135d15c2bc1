//! The short ways, held against the long one: the same requests through an API whose flow is `call` and `respond`, through one with a step in front
//! (whose answer may still go straight to the client), through one with a step behind as well (which may still send straight on), and through one
//! where a property demands the long way. What backends and clients get has to be the same.

use super::gateway::{connect, drain, start};
use super::wire_kit::{Raw, Reader, Recorder, answer_with, run, scripted, until};
use futures_util::future::join_all;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Each way, and what makes a message go it.
const WAYS: [(&str, &str, &str); 4] = [
    (
        "long",
        r#"<property name="FORCE_ERROR_ON_SOAP_FAULT" value="false"/>"#,
        "",
    ),
    ("look", STEP, STEP),
    ("step", STEP, ""),
    ("pass", "", ""),
];

const STEP: &str = r#"<property name="p" value="1"/>"#;

const FAULT: &str = r#"<faultSequence><payloadFactory media-type="json"><format>{"code": "$1", "reason": "$2"}</format><args><arg expression="$ctx:ERROR_CODE"/><arg expression="$ctx:ERROR_MESSAGE"/></args></payloadFactory><property name="HTTP_SC" value="599" scope="axis2"/><respond/></faultSequence>"#;

/// The flows that may go the short way, each of them for each way.
fn apis(backend: SocketAddr, inside: &str) -> String {
    let address =
        format!(r#"<endpoint name="e-WAY"><address uri="http://{backend}/b">{inside}</address></endpoint>"#);
    let http = format!(
        r#"<endpoint name="h-WAY"><http uri-template="http://{backend}/b">{inside}</http></endpoint>"#
    );
    let call = |endpoint: &str| format!("<call>{endpoint}</call>BEHIND<respond/>");
    let send = |endpoint: &str| format!("<send>{endpoint}</send>");
    let encoded = address
        .replace("/b\">", "/b\" encoding=\"ISO-8859-1\">")
        .replace("e-WAY", "l-WAY");
    let group = |child: &str| {
        let other = child.replace("-WAY", "-WAY-2");
        call(&format!(
            "<endpoint><failover>{child}{other}</failover></endpoint>"
        ))
    };
    let flows = [
        ("group", group(&address), ""),
        ("latin", group(&encoded), ""),
        ("call", call(&address), ""),
        ("http", call(&http), ""),
        ("send", send(&address), ""),
        ("back", send(&http), "<outSequence><send/></outSequence>"),
        ("name", call(r#"<endpoint key="named"/>"#), ""),
        (
            "branch",
            format!(
                "STEP<filter xpath=\"true()\"><then>{}</then></filter>",
                call(&http)
            ),
            "",
        ),
        ("sequence", "STEP<sequence key=\"asks-WAY\"/>".to_owned(), ""),
    ];
    let sequences = WAYS.map(|(way, _, behind)| {
        let steps = call(r#"<endpoint key="named"/>"#).replace("BEHIND", behind);
        format!(r#"<sequence name="asks-sequence-{way}">{steps}</sequence>"#)
    });
    let apis = flows.iter().flat_map(|(name, steps, out)| {
        WAYS.map(|(way, step, behind)| {
            let steps = steps.replace("WAY", &format!("{name}-{way}")).replace("BEHIND", behind).replace("STEP", STEP);
            format!(
                r#"<api name="{name}-{way}" context="/{name}/{way}"><resource methods="GET POST PUT DELETE PATCH HEAD OPTIONS" url-mapping="/*">
                <inSequence>{step}{steps}</inSequence>{out}{FAULT}</resource></api>"#
            )
        })
    });
    let named =
        format!(r#"<endpoint name="named"><address uri="http://{backend}/b">{inside}</address></endpoint>"#);
    apis.chain(sequences).chain([named]).collect()
}

const FLOWS: [&str; 9] = [
    "group", "latin", "call", "http", "send", "back", "name", "branch", "sequence",
];

/// First line, headers in their alphabet, trailers and body, without what no two have in common.
fn told(raw: &Raw) -> String {
    let mut headers: Vec<String> = raw
        .head
        .lines()
        .skip(1)
        .map(str::to_ascii_lowercase)
        .filter(|line| !line.is_empty() && !line.starts_with("date:"))
        .collect();
    headers.sort();
    let body = match raw.body.len() {
        0..=200 => raw.text(),
        length => format!("{length} bytes, the last {:?}", raw.body.last()),
    };
    let (first, headers, trailers) = (raw.first_line(), headers.join("\n"), &raw.trailers);
    format!("{first}\n{headers}\n{trailers}\n{body}")
}

/// Only the short way writes the host in front of all others.
fn went_straight(request: &Raw) -> bool {
    let second = request.head.lines().nth(1).unwrap_or_default();
    second.to_ascii_lowercase().starts_with("host:")
}

/// What a backend answers, by the last segment of the path.
fn answers(request: &Raw) -> Vec<u8> {
    let path = request
        .first_line()
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let path = path.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "typed" => answer_with(200, "OK", "Content-Type: application/json; charset=utf-8\r\n", b"{\"a\": 1}"),
        "untyped" => answer_with(200, "OK", "X-A: 1\r\nX-A: 2\r\n", b"words"),
        "twice-typed" => answer_with(200, "OK", "Content-Type: text/plain\r\nContent-Type: text/html\r\n", b"words"),
        "phrase" => answer_with(299, "All Fine", "Content-Type: text/plain\r\n", b"x"),
        "none" => b"HTTP/1.1 204 No Content\r\nX-B: 1\r\n\r\n".to_vec(),
        "unchanged" => b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 70\r\n\r\n".to_vec(),
        "empty" => answer_with(404, "Not Found", "Content-Type: text/plain\r\nServer: theirs\r\n", b""),
        "error" => answer_with(503, "Service Unavailable", "Retry-After: 3\r\nContent-Type: text/xml\r\n", b"<no/>"),
        "hops" => answer_with(
            200,
            "OK",
            "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nContent-Type: text/plain\r\n",
            b"x",
        ),
        "chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\nTrailer: X-T\r\n\r\n4\r\nabcd\r\n0\r\nX-T: 1\r\n\r\n".to_vec(),
        "zipped" => answer_with(200, "OK", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", b"\x1f\x8b..."),
        "long" => answer_with(200, "OK", "Content-Type: application/octet-stream\r\n", &vec![7; 1 << 20]),
        "soap" => answer_with(500, "Internal Server Error", "Content-Type: text/xml\r\n", b"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body/></s:Envelope>"),
        "interim" => [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec(), answer_with(200, "OK", "Content-Type: text/plain\r\n", b"x")].concat(),
        _ => answer_with(200, "OK", "Content-Type: text/plain\r\n", &request.body),
    }
}

const ENDS: [&str; 16] = [
    "typed",
    "untyped",
    "twice-typed",
    "phrase",
    "none",
    "unchanged",
    "empty",
    "error",
    "hops",
    "chunked",
    "zipped",
    "long",
    "soap",
    "interim",
    "echo",
    "a%20b/echo",
];

/// Requests without what stands before the path, and whether they fit the short way.
fn requests() -> Vec<(String, &'static [u8], bool)> {
    let mut all = Vec::new();
    for end in ENDS {
        all.push((format!("GET {end}"), &b""[..], true));
        all.push((
            format!("POST {end}\nContent-Type: application/json"),
            &b"{\"b\": 2}"[..],
            true,
        ));
    }
    const LONG: &[u8] = &[b'y'; 10_000];
    let others: [(&str, &[u8], bool); 23] = [
        ("GET echo?q=1&r=a%20b", b"", true),
        ("GET ../pass/./x/../echo", b"", true),
        ("GET echo?q=%zz", b"", false),
        ("GET echo?swagger.json", b"", true),
        ("HEAD typed", b"", false),
        ("OPTIONS typed", b"", true),
        ("DELETE echo?x=1", b"", true),
        ("POST echo", b"", true),
        ("PUT echo\nContent-Type: text/plain\nContent-Encoding: gzip", b"\x1f\x8b...", true),
        ("PUT echo\nContent-Encoding: gzip", b"", true),
        ("PATCH untyped\nContent-Type: application/xml", b"<a/>", true),
        ("POST echo\nContent-Type: text/plain", LONG, true),
        ("POST echo", b"untyped", false),
        ("POST echo\nContent-Type: text/xml\nSOAPAction: urn:a", b"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><a/></s:Body></s:Envelope>", false),
        ("POST echo\nContent-Type: application/soap+xml", b"<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><a/></s:Body></s:Envelope>", false),
        ("POST echo\nContent-Type: multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n", false),
        ("POST echo\nContent-Type: application/x-www-form-urlencoded", b"a=1&b=2", true),
        ("GET echo\nDate: Mon, 01 Jan 2024 00:00:00 GMT\nServer: mine\nExpect: 100-continue\nX-Two: 1\nX-Two: 2", b"", true),
        ("GET echo\nConnection: X-Gone\nX-Gone: 1\nKeep-Alive: 1\nTE: trailers, deflate\nProxy-Authorization: Basic eDp5\nUpgrade: h2c", b"", true),
        ("GET chunked\nTE: trailers", b"", true),
        ("GET echo\nAuthorization: Bearer x.y.z\nCookie: a=b; c=d\nAccept: */*\nUser-Agent: t\nX-Forwarded-For: 1.2.3.4", b"", true),
        ("DELETE echo\nContent-Type: application/json", b"{}", true),
        ("GET untyped\nContent-Type: application/json", b"", true),
    ];
    all.extend(others.map(|(head, body, fits)| (head.to_owned(), body, fits)));
    all
}

/// The request as it goes one of the ways.
fn to(flow: &str, way: &str, request: &str) -> String {
    let request = request.replace("../pass/", &format!("../{way}/"));
    let request = request.replacen(' ', &format!(" /{flow}/{way}/"), 1);
    match request.split_once('\n') {
        Some((first, headers)) => format!("{first}\nX-First: 1\n{headers}"),
        None => format!("{request}\nX-First: 1"),
    }
}

/// Asks in one piece: a body that comes behind its head is not here with it.
async fn ask(client: &mut Reader<TcpStream>, request: &str, body: &[u8]) -> Raw {
    let (first, headers) = request.split_once('\n').unwrap_or((request, ""));
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let head = format!("{first} HTTP/1.1\r\nHost: gateway\r\n{headers}{length}\r\n");
    let whole = [head.as_bytes(), body].concat();
    client.stream.write_all(&whole).await.unwrap();
    let bodyless = first.starts_with("HEAD");
    client.message(bodyless).await.expect("a whole answer")
}

#[test]
fn both_ways_are_the_same_to_backends_and_clients() {
    run(async {
        let backend = Recorder::start(answers);
        let gateway = start(&apis(backend.address, ""));
        for flow in FLOWS {
            let mut client = connect(&gateway).await;
            for (request, body, fits) in requests() {
                let mut seen = Vec::new();
                for (way, ..) in WAYS {
                    // A connection to the backend is there to be used again.
                    ask(&mut client, &to(flow, "long", "GET typed"), b"").await;
                    backend.requests.borrow_mut().clear();
                    let answer = ask(&mut client, &to(flow, way, &request), body).await;
                    let reached = backend.requests.take();
                    let straight = reached.iter().any(went_straight);
                    let may = match way {
                        "pass" | "step" | "look" => fits && (flow != "latin" || body.is_empty()),
                        _ => false,
                    };
                    assert_eq!(straight, may && !reached.is_empty(), "{flow} {way} {request}");
                    let reached: Vec<String> = reached.iter().map(told).collect();
                    seen.push((reached, told(&answer).replace(way, "WAY")));
                }
                for (other, (way, ..)) in seen[1..].iter().zip(&WAYS[1..]) {
                    assert_eq!(seen[0], *other, "{flow} {way} {request}");
                }
            }
        }
        drain(gateway).await;
    });
}

#[test]
fn headers_that_steps_set_never_frame_or_end_a_request() {
    run(async {
        let backend = Recorder::start(answers);
        let set: String = [
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Connection", "close, X-Kept"),
            ("Keep-Alive", "timeout=1"),
            ("TE", "deflate, trailers"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "Basic eDp5"),
            ("Host", "elsewhere"),
            ("Expect", "100-continue"),
            ("X-Kept", "1"),
        ]
        .iter()
        .map(|(name, value)| format!(r#"<property name="{name}" value="{value}" scope="transport"/>"#))
        .collect();
        let apis = WAYS.map(|(way, step, behind)| {
            format!(
                r#"<api name="{way}" context="/{way}"><resource methods="GET POST" url-mapping="/*"><inSequence>{step}{set}
                <call><endpoint><address uri="http://{}/b"/></endpoint></call>{behind}<respond/></inSequence></resource></api>"#,
                backend.address
            )
        });
        let gateway = start(&apis.concat());
        let mut client = connect(&gateway).await;
        for method in ["GET", "POST"] {
            let mut seen = Vec::new();
            for (way, ..) in WAYS {
                ask(&mut client, "GET /long/typed", b"").await;
                backend.requests.borrow_mut().clear();
                let answer = ask(&mut client, &format!("{method} /{way}/echo\nX-First: 1"), b"").await;
                assert_eq!(answer.status(), 200, "{answer:?}");
                let reached = backend.requests.take();
                assert_eq!(reached.iter().any(went_straight), way != "long", "{method} {way}");
                seen.push(reached.iter().map(told).collect::<Vec<_>>());
            }
            assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
            let told = seen[0].concat();
            assert!(
                !told.contains("transfer-encoding") && told.contains("te: trailers"),
                "{told}"
            );
        }
        drain(gateway).await;
    });
}

#[test]
fn an_out_side_that_is_told_otherwise_has_its_say() {
    run(async {
        let backend = Recorder::start(answers);
        let apis = WAYS.map(|(way, step, _)| {
            format!(
                r#"<api name="{way}" context="/{way}"><resource methods="GET" url-mapping="/*"><inSequence>{step}
                <property name="RESPONSE" value="false"/><send><endpoint><address uri="http://{}/b"/></endpoint></send></inSequence>
                <outSequence><send/></outSequence>{FAULT}</resource></api>"#,
                backend.address
            )
        });
        let gateway = start(&apis.concat());
        let mut client = connect(&gateway).await;
        for (way, ..) in WAYS {
            ask(&mut client, &format!("GET /{way}/typed\nX-First: 1"), b"").await;
            let answer = ask(&mut client, &format!("GET /{way}/typed\nX-First: 1"), b"").await;
            // What came back is no response, so it is sent on, and has no address.
            assert_eq!(answer.status(), 599, "{way} {answer:?}");
        }
        drain(gateway).await;
    });
}

fn typed(body: &[u8]) -> &'static str {
    if body.is_empty() {
        ""
    } else {
        "\nContent-Type: text/plain"
    }
}

/// Breaks as the path says; but the first request over a connection is answered.
async fn breaking(stream: TcpStream, requests: Rc<Cell<usize>>) {
    let mut reader = Reader::new(stream);
    let mut first = true;
    while let Some(request) = reader.message(false).await {
        requests.set(requests.get() + 1);
        let line = request.first_line().to_owned();
        let answer: &[u8] = match line {
            _ if first && line.contains("warm") => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            line if line.contains("closes") => return,
            line if line.contains("garbage") => b"hello?\r\n\r\n",
            line if line.contains("switches") => b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            line if line.contains("two-lengths") => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
            }
            line if line.contains("late") => b"",
            _ => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
        };
        first = false;
        if reader.stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Three requests, of which the second meets a backend that breaks: what clients heard, and how many requests and connections the backend saw.
async fn broken(flow: &str, way: &str, end: &str, method: &str, body: &[u8]) -> (Vec<String>, usize, usize) {
    let count = Rc::<Cell<usize>>::default();
    let counting = Rc::clone(&count);
    let (backend, connections) = scripted(move |_, stream| breaking(stream, Rc::clone(&counting)));
    let inside = "<timeout><duration>200</duration></timeout><suspendOnFailure><errorCodes>101504,101505,101506</errorCodes><initialDuration>60000</initialDuration></suspendOnFailure>";
    let gateway = start(&apis(backend, inside));
    let mut client = connect(&gateway).await;
    let mut told_of = Vec::new();
    for path in ["warm", end, "well"] {
        let request = to(flow, way, &format!("{method} {path}{}", typed(body)));
        let answer = told(&ask(&mut client, &request, body).await);
        let port = backend.port().to_string();
        told_of.push(answer.replace(way, "WAY").replace(&port, "PORT"));
    }
    drop(client);
    drain(gateway).await;
    (told_of, count.get(), connections.get())
}

#[test]
fn what_fails_on_the_short_way_is_dealt_with_on_the_long_one() {
    run(async {
        for end in ["closes", "garbage", "switches", "two-lengths", "late"] {
            for (method, body) in [("GET", &b""[..]), ("POST", b""), ("PUT", b"words")] {
                for (flow, failed, then) in [
                    ("call", "\"code\": \"10150", "303001"),
                    // The other child was asked as well, or might not be and is there for the next request.
                    ("group", "\"code\": \"", ""),
                ] {
                    let mut seen = Vec::new();
                    for (way, ..) in WAYS {
                        seen.push(broken(flow, way, end, method, body).await);
                    }
                    for other in &seen[1..] {
                        assert_eq!(seen[0], *other, "{flow} {method} {end}");
                    }
                    let (told_of, ..) = &seen[0];
                    assert!(told_of[1].contains(failed), "{told_of:?}");
                    assert!(told_of[2].contains(then), "{told_of:?}");
                }
            }
        }
    });
}

#[test]
fn a_request_is_repeated_once_however_many_connections_turn_out_closed() {
    run(async {
        const CLIENTS: usize = 16;
        for (way, ..) in WAYS {
            for (method, times) in [("GET", 2), ("POST", 1)] {
                let (warmed, asked) = (Rc::<Cell<usize>>::default(), Rc::<Cell<usize>>::default());
                let counters = (Rc::clone(&warmed), Rc::clone(&asked));
                // So many connections are kept as there are clients; then each closes instead of answering.
                let (backend, _) = scripted(move |_, stream| {
                    let (warmed, asked) = counters.clone();
                    async move {
                        let mut reader = Reader::new(stream);
                        while let Some(request) = reader.message(false).await {
                            if !request.first_line().contains("warm") {
                                asked.set(asked.get() + 1);
                                return;
                            }
                            warmed.set(warmed.get() + 1);
                            until(|| warmed.get() >= CLIENTS).await;
                            let answer = answer_with(200, "OK", "Content-Type: text/plain\r\n", b"x");
                            reader.stream.write_all(&answer).await.unwrap();
                        }
                    }
                });
                let gateway = start(&apis(backend, ""));
                let warm = to("call", way, "GET warm");
                let mut clients = Vec::new();
                for _ in 0..CLIENTS {
                    clients.push(connect(&gateway).await);
                }
                join_all(clients.iter_mut().map(|client| ask(client, &warm, b""))).await;
                let answer = ask(&mut clients[0], &to("call", way, &format!("{method} gone")), b"").await;
                assert_eq!((answer.status(), asked.get()), (599, times), "{way} {method}");
                drop(clients);
                drain(gateway).await;
            }
        }
    });
}

#[test]
fn a_connection_that_turns_out_closed_costs_no_request_on_the_short_way() {
    run(async {
        // Each connection takes one request, says that it may be used again, and is then closed.
        let (backend, connections) = scripted(|_, stream| async move {
            let mut reader = Reader::new(stream);
            if reader.message(false).await.is_some() {
                let answer = answer_with(200, "OK", "Content-Type: text/plain\r\n", b"hi");
                drop(reader.stream.write_all(&answer).await);
            }
        });
        let gateway = start(&apis(backend, ""));
        let mut client = connect(&gateway).await;
        for _ in 0..50 {
            let answer = ask(&mut client, &to("call", "pass", "GET x"), b"").await;
            assert_eq!((answer.status(), answer.text()), (200, "hi".to_owned()));
        }
        assert!(connections.get() >= 50);
        drop(client);
        drain(gateway).await;
    });
}
