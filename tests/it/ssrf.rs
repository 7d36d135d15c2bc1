//! Where a message may go that says itself where (S-SSRF-1 to 3, S-URI-1 and 2, RB-16): a canary listens at every address of this machine, and
//! nobody reaches it.

use super::injection::PATHS;
use super::talk::{Running, free_port};
use super::wire_kit::{Raw, Recorder, answer_with, framed, request, run};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts who comes, and answers like a service that tells everything.
struct Canary {
    port: u16,
    hits: Arc<AtomicUsize>,
}

impl Canary {
    fn start() -> Canary {
        // By IPv4 as well, whatever the address.
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = TcpListener::bind(any)
            .or_else(|_| TcpListener::bind("0.0.0.0:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Canary { port, hits }
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

fn serve(apis: &[(&str, String)], settings: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let apis: String = apis
        .iter()
        .map(|(name, steps)| {
            format!(
                r#"<api name="{name}" context="/{name}"><resource methods="GET POST" url-mapping="/*"><inSequence>{steps}</inSequence><outSequence><send/></outSequence></resource></api>"#
            )
        })
        .collect();
    let xml = format!(r#"<definitions xmlns="http://ws.apache.org/ns/synapse">{apis}</definitions>"#);
    std::fs::write(folder.path().join("a.xml"), xml).unwrap();
    std::fs::write(folder.path().join("myelin.toml"), settings).unwrap();
    // One worker, so that the connections that are kept are everybody's.
    Running::with(folder, free_port(), &["--workers", "1"])
}

async fn get(gateway: &Running, path: &str, target: &str) -> Raw {
    let head = format!("GET {path}\nX-Target: {target}");
    let (head, body) = framed(&head, b"", None);
    request(gateway.port, &head, &body).await.expect("an answer")
}

async fn post(gateway: &Running, path: &str, body: &str, content_type: &str) -> Raw {
    let (head, body) = framed(
        &format!("POST {path}\nContent-Type: {content_type}"),
        body.as_bytes(),
        None,
    );
    request(gateway.port, &head, &body).await.expect("an answer")
}

fn dynamic(expression: &str, allow: &str) -> String {
    format!(r#"<send><endpoint><dynamic expression='{expression}' allow="{allow}"/></endpoint></send>"#)
}

const TO: &str = r#"<header name="To" expression="$trp:X-Target"/><property name="REST_URL_POSTFIX" scope="axis2" action="remove"/>"#;

/// Other ways to write this machine, its network, and where clouds keep their credentials.
fn addresses(port: u16) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fe80::1]",
        "10.0.0.1",
        "192.168.0.1",
        "backend.example.com@127.0.0.1",
        "backend.example.com:80@127.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
    ];
    let mut all: Vec<String> = hosts
        .iter()
        .map(|host| format!("http://{host}:{port}/latest"))
        .collect();
    for odd in [
        "file:///etc/passwd",
        "gopher://127.0.0.1:PORT/_x",
        "unix:/var/run/docker.sock",
        "ftp://127.0.0.1:PORT/",
        "jar:http://127.0.0.1:PORT/!/",
        "http:127.0.0.1:PORT/",
        "http:///127.0.0.1:PORT/",
        "http://backend.example.com#@127.0.0.1:PORT/",
        "http://backend.example.com\\@127.0.0.1:PORT/",
    ] {
        all.push(odd.replace("PORT", &port.to_string()));
    }
    all
}

#[test]
fn no_spelling_of_an_address_leads_a_client_inside() {
    run(async {
        let canary = Canary::start();
        let gateway = serve(
            &[
                ("star", dynamic(r#"headers["x-target"]"#, "*:*")),
                ("body", dynamic("payload.url", "*:* https://*.example.com")),
                (
                    "map",
                    dynamic(r#"#{address: headers["x-target"], bare: true}"#, "*:*"),
                ),
                (
                    "below",
                    dynamic(r#"headers["x-target"]"#, "http://*.example.com:*"),
                ),
                (
                    "to",
                    format!(r#"{TO}<send><endpoint><default allow="*:*"/></endpoint></send>"#),
                ),
            ],
            "",
        );
        let addresses = addresses(canary.port);
        assert!(addresses.len() >= 25);
        for address in &addresses {
            for api in ["star", "map", "below", "to"] {
                let answer = get(&gateway, &format!("/{api}"), address).await;
                let expected: &[u16] = match (api, address.starts_with("http://")) {
                    // A host that is public, and that nobody can resolve here.
                    _ if address.contains("example.com#") => &[403, 502],
                    // Some resolvers do not take the dot.
                    _ if address.contains("LOCALHOST.") => &[403, 502],
                    // A `To` that is no address at all is Synapse's own fault.
                    ("to", _) => &[403, 500],
                    _ => &[403],
                };
                assert!(
                    expected.contains(&answer.status()),
                    "{api} {address}: {}",
                    answer.head
                );
            }
            let body = serde_json::json!({ "url": address }).to_string();
            let answer = post(&gateway, "/body", &body, "application/json").await;
            assert!(matches!(answer.status(), 403 | 502), "{address}: {}", answer.head);
        }
        assert_eq!(canary.hits(), 0);
    });
}

#[test]
fn what_the_list_names_is_reached_and_without_a_list_the_script_names_it() {
    run(async {
        let backend = Recorder::echo();
        let port = backend.address.port();
        let here = format!("http://127.0.0.1:{port}");
        let literal = format!(
            r#"<send><endpoint><dynamic expression='if headers["x-target"] == "a" {{ "{here}/a" }} else {{ "{here}" + headers["x-target"] }}'/></endpoint></send>"#
        );
        let gateway = serve(
            &[
                ("listed", dynamic(r#"headers["x-target"]"#, &here)),
                ("network", dynamic(r#"headers["x-target"]"#, "127.0.0.0/8")),
                ("literal", literal),
                ("to", format!("{TO}<send><endpoint><default/></endpoint></send>")),
            ],
            "",
        );
        for (path, target, status) in [
            ("/listed/x?y=1", format!("{here}/b"), 200),
            ("/listed", format!("http://[::ffff:7f00:1]:{port}/b"), 200),
            ("/listed", format!("http://localhost:{port}/b"), 403),
            ("/listed", format!("http://127.0.0.1:{}/b", port ^ 1), 403),
            ("/listed", format!("https://127.0.0.1:{port}/b"), 403),
            ("/network", format!("{here}/b"), 200),
            ("/literal", "a".to_owned(), 200),
            ("/literal", "/c".to_owned(), 200),
            ("/literal", "@evil.example.com/".to_owned(), 403),
            ("/literal", ".evil.example.com/".to_owned(), 403),
            // As in Synapse, but for what nobody means.
            ("/to", format!("{here}/b"), 200),
            ("/to", "http://169.254.169.254/latest".to_owned(), 403),
            ("/to", "http://[::ffff:169.254.169.254]/latest".to_owned(), 403),
        ] {
            let answer = get(&gateway, path, &target).await;
            assert_eq!(answer.status(), status, "{path} {target}: {}", answer.text());
        }
        let seen: Vec<String> = backend
            .requests
            .take()
            .iter()
            .map(|seen| seen.first_line().to_owned())
            .collect();
        assert_eq!(seen[0], "GET /b/x?y=1 HTTP/1.1");
    });
}

#[test]
fn a_connection_that_somebody_else_opened_is_no_way_in() {
    run(async {
        let backend = Recorder::echo();
        let port = backend.address.port();
        let author =
            format!(r#"<send><endpoint><address uri="http://localhost:{port}/b"/></endpoint></send>"#);
        let gateway = serve(
            &[
                ("author", author),
                ("star", dynamic(r#"headers["x-target"]"#, "*:*")),
            ],
            "",
        );
        let target = format!("http://localhost:{port}/c");
        for (path, status) in [("/author", 200), ("/star", 403), ("/author", 200)] {
            assert_eq!(get(&gateway, path, &target).await.status(), status, "{path}");
        }
    });
}

#[test]
fn over_http2_addresses_are_held_against_the_list_before_anybody_connects() {
    run(async {
        let canary = Canary::start();
        let steps = r#"<send><endpoint><http uri-template="{uri.var.to}" version="2.0"/><property name="uri.var.to" expression="$trp:X-Target"/></endpoint></send>"#;
        let gateway = serve(&[("http2", steps.to_owned())], "[endpoints]\nallow = \"*:*\"\n");
        for _ in 0..2 {
            let target = format!("http://localhost:{}/b", canary.port);
            assert_eq!(get(&gateway, "/http2", &target).await.status(), 403);
        }
        assert_eq!(canary.hits(), 0);
    });
}

#[test]
fn one_list_holds_for_the_whole_gateway() {
    run(async {
        let (backend, canary) = (Recorder::echo(), Canary::start());
        let here = format!("http://127.0.0.1:{}", backend.address.port());
        let computed = r#"<send><endpoint><http uri-template="{uri.var.to}"/><property name="uri.var.to" expression="$trp:X-Target"/></endpoint></send>"#;
        let gateway = serve(
            &[
                (
                    "default",
                    format!("{TO}<send><endpoint><default/></endpoint></send>"),
                ),
                ("send", format!("{TO}<send/>")),
                ("call", format!("{TO}<call/><respond/>")),
                ("template", computed.to_owned()),
                (
                    "dynamic",
                    r#"<send><endpoint><dynamic expression='headers["x-target"]'/></endpoint></send>"#
                        .to_owned(),
                ),
            ],
            &format!("[endpoints]\nallow = \"{here}\"\n"),
        );
        for api in ["default", "send", "call", "template", "dynamic"] {
            let path = format!("/{api}");
            assert_eq!(
                get(&gateway, &path, &format!("{here}/b")).await.status(),
                200,
                "{api}"
            );
            let other = format!("http://127.0.0.1:{}/b", canary.port);
            assert_eq!(get(&gateway, &path, &other).await.status(), 403, "{api}");
        }
        assert_eq!(canary.hits(), 0);
    });
}

#[test]
fn what_a_message_says_of_addresses_is_no_destination() {
    run(async {
        let canary = Canary::start();
        let port = canary.port;
        let gateway = serve(
            &[
                ("plain", "<send/>".to_owned()),
                (
                    "default",
                    "<send><endpoint><default/></endpoint></send>".to_owned(),
                ),
            ],
            "",
        );
        for version in [
            "http://www.w3.org/2005/08/addressing",
            "http://schemas.xmlsoap.org/ws/2004/08/addressing",
        ] {
            let there = format!("http://127.0.0.1:{port}/x");
            let body = format!(
                r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header xmlns:w="{version}"><w:To>{there}</w:To><w:ReplyTo><w:Address>{there}</w:Address></w:ReplyTo><w:FaultTo><w:Address>{there}</w:Address></w:FaultTo><w:Action>a</w:Action></s:Header><s:Body/></s:Envelope>"#
            );
            for path in ["/plain", "/default"] {
                let answer = post(&gateway, path, &body, "text/xml").await;
                assert!(matches!(answer.status(), 403 | 500), "{path}: {}", answer.text());
            }
        }
        for head in [
            format!(
                "GET http://127.0.0.1:{port}/plain HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            ),
            format!("GET http://127.0.0.1:{port}/default HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            format!(
                "GET /default HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTo: http://127.0.0.1:{port}/\r\nConnection: close\r\n\r\n"
            ),
        ] {
            let answer = request(gateway.port, &head, b"").await.expect("an answer");
            assert!(
                matches!(answer.status(), 400 | 404 | 500),
                "{head}: {}",
                answer.head
            );
        }
        assert_eq!(canary.hits(), 0);
    });
}

#[test]
fn redirects_are_answers_and_nobody_follows_them() {
    run(async {
        let canary = Canary::start();
        let location = format!("Location: http://127.0.0.1:{}/x\r\n", canary.port);
        let expected = location.trim().split_once(": ").unwrap().1.to_owned();
        let backend = Recorder::start(move |_| answer_with(302, "Found", &location, b""));
        let here = format!("http://127.0.0.1:{}", backend.address.port());
        let gateway = serve(&[("dynamic", dynamic(r#"headers["x-target"]"#, &here))], "");
        let answer = get(&gateway, "/dynamic", &here).await;
        assert_eq!(
            (answer.status(), answer.header("location")),
            (302, Some(expected.as_str()))
        );
        assert_eq!(canary.hits(), 0);
    });
}

#[test]
fn a_value_in_a_template_or_a_path_changes_no_authority() {
    run(async {
        let (backend, canary) = (Recorder::echo(), Canary::start());
        let (port, other) = (backend.address.port(), canary.port);
        let template = |template: &str| {
            format!(
                r#"<send><endpoint><http uri-template="http://127.0.0.1:{port}{template}"/><property name="uri.var.x" expression="$trp:X-Target"/></endpoint></send>"#
            )
        };
        let script = format!(
            r#"<send><endpoint><dynamic expression='#{{address: "http://127.0.0.1:{port}" + path, bare: true}}'/></endpoint></send>"#
        );
        let encoded = format!(
            r#"<send><endpoint><dynamic expression='#{{address: "http://127.0.0.1:{port}/" + encode(headers["x-target"]), bare: true}}'/></endpoint></send>"#
        );
        let gateway = serve(
            &[
                ("path", template("/a/{uri.var.x}/b")),
                ("query", template("/a{?uri.var.x}")),
                ("reserved", template("/a/{+uri.var.x}")),
                ("script", script),
                ("encoded", encoded),
            ],
            "",
        );
        let values = [
            format!("@127.0.0.1:{other}"),
            format!("x@127.0.0.1:{other}/"),
            format!(":{other}/"),
            format!("//127.0.0.1:{other}/"),
            format!("http://127.0.0.1:{other}/"),
            "?a=b".to_owned(),
            "#part".to_owned(),
            "%0d%0aHost: evil".to_owned(),
            format!("\\\\127.0.0.1:{other}\\"),
            "../../c".to_owned(),
        ];
        for value in &values {
            for api in ["path", "query", "reserved", "encoded"] {
                let answer = get(&gateway, &format!("/{api}"), value).await;
                let seen = backend.requests.take();
                match answer.status() {
                    200 => {
                        let host = format!("127.0.0.1:{port}");
                        assert_eq!(seen[0].header("host"), Some(host.as_str()), "{api} {value}");
                        assert_eq!(seen.len(), 1);
                    }
                    status => assert!(
                        matches!(status, 400 | 403 | 500) && seen.is_empty(),
                        "{api} {value}: {}",
                        answer.head
                    ),
                }
            }
        }
        for path in PATHS {
            let path = path.replacen("/open", "/script", 1);
            let answer = get(&gateway, &path, "").await;
            let seen = backend.requests.take();
            match answer.status() {
                200 => {
                    let routed = seen[0].first_line().split(' ').nth(1).unwrap_or("").to_owned();
                    assert!(routed.starts_with("/script"), "{path} went to {routed}");
                    assert!(
                        !routed.contains("/../") && !routed.to_lowercase().contains("/%2e%2e/"),
                        "{path} went to {routed}"
                    );
                }
                status => assert!(
                    matches!(status, 400 | 403 | 404 | 500) && seen.is_empty(),
                    "{path}: {}",
                    answer.head
                ),
            }
        }
        assert_eq!(canary.hits(), 0);
    });
}
