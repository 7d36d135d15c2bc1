//! RB-12: broken uploads are the client's own trouble. Each is refused or cut off, no half request is whole at the backend, none counts
//! as a fault of the backend, and the next good request is served.

use super::talk::{Running, free_port};
use super::wire_kit::{Recorder, chunked, framed, read_to_end, request, run};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const BODY: &[u8] = b"<order><item>one</item><item>two</item></order>";

/// `/pass` streams to the backend, `/look` reads the body first.
fn gateway(port: u16) -> Running {
    let api = |name: &str, steps: &str| {
        format!(
            r#"<api name="{name}" context="/{name}"><resource methods="POST GET"><inSequence>{steps}
            <send><endpoint><address uri="http://127.0.0.1:{port}/b"/></endpoint></send></inSequence></resource></api>"#
        )
    };
    let xml = format!(
        r#"<definitions xmlns="http://ws.apache.org/ns/synapse">{}{}</definitions>"#,
        api("pass", ""),
        api("look", r#"<property name="count" expression="count(//item)"/>"#)
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("apis.xml"), xml).unwrap();
    Running::with(folder, free_port(), &["--log", "debug", "--log-format", "json"])
}

#[test]
fn a_broken_upload_is_the_clients_own_trouble() {
    run(async {
        let backend = Recorder::echo();
        let gateway = gateway(backend.address.port());
        let (good_head, _) = good("pass", None);
        let broken = broken();
        let (mut refused, mut cut) = (0, 0);
        for (what, bytes) in &broken {
            let mut client = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
            // It may be refused before all of it is written.
            drop(client.write_all(bytes).await);
            drop(client.shutdown().await);
            let answer = read_to_end(&mut client).await;
            match answer.split(' ').nth(1) {
                None => cut += 1,
                Some(status) => {
                    assert!(status.starts_with('4'), "{what}: {answer}");
                    refused += 1;
                }
            }
            let good = request(gateway.port, &good_head, BODY).await;
            assert_eq!(good.expect("an answer").status(), 200, "after {what}");
        }
        println!(
            "{} broken uploads: {refused} answered 4xx, {cut} cut",
            broken.len()
        );
        assert!(
            broken.len() >= 300 && refused >= 100,
            "{} and {refused}",
            broken.len()
        );
        for request in backend.requests.take() {
            // What was cut off stays so; what looks whole is whole.
            if !request.head.starts_with("MALFORMED") {
                assert_eq!(request.text().as_bytes(), BODY, "{}", request.head);
                assert_eq!(request.first_line(), "POST /b HTTP/1.1");
                assert_eq!(request.header("x-evil"), None);
            }
        }
        let log = std::fs::read_to_string(gateway.folder.path().join("talk.log")).unwrap();
        // Codes of what goes wrong between gateway and backend begin so; a client's own trouble is told as well, by others.
        assert!(log.contains("\"error_code\":\"6"), "{log}");
        let blamed: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("\"error_code\":\"1015"))
            .collect();
        assert!(blamed.is_empty(), "the backend is blamed:\n{}", blamed.join("\n"));
    });
}

fn good(api: &str, chunk: Option<usize>) -> (String, Vec<u8>) {
    framed(
        &format!("POST /{api}\nContent-Type: application/xml"),
        BODY,
        chunk,
    )
}

fn broken() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for api in ["pass", "look"] {
        for chunk in [None, Some(7)] {
            let (head, body) = good(api, chunk);
            let whole = [head.as_bytes(), &body].concat();
            // At every place of the body, and at some of the head.
            let places = (head.len()..whole.len()).chain((1..head.len()).step_by(5));
            all.extend(places.map(|at| (format!("{api} {chunk:?} cut at {at}"), whole[..at].to_vec())));
        }
        let mut add = |what: &str, headers: &str, body: &[u8]| {
            let head = format!(
                "POST /{api} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/xml\r\n{headers}\r\n"
            );
            all.push((format!("{api} {what}"), [head.as_bytes(), body].concat()));
        };
        for size in [
            "zz",
            "-1",
            "+1",
            "0x1",
            "",
            " ",
            "g",
            "1 1",
            "FFFFFFFFFFFFFFFFF",
            "10000000000000000",
            "1;\0",
        ] {
            let body = format!("{size}\r\nx\r\n0\r\n\r\n");
            add(
                &format!("chunk size {size:?}"),
                "Transfer-Encoding: chunked\r\n",
                body.as_bytes(),
            );
        }
        for body in [
            "1\r\nxx\r\n0\r\n\r\n",
            "2\r\nx\r\n0\r\n\r\n",
            "1\nx\n0\n\n",
            "1\r\nx0\r\n\r\n",
            "0\r\nX: y",
            "0\r\nX y\r\n\r\n",
        ] {
            add(
                &format!("chunks {body:?}"),
                "Transfer-Encoding: chunked\r\n",
                body.as_bytes(),
            );
        }
        for length in [
            "a",
            "-1",
            "+47",
            "47, 48",
            "0x2F",
            "99999999999999999999",
            "",
            "4 7",
            "1000",
        ] {
            add(
                &format!("length {length:?}"),
                &format!("Content-Length: {length}\r\n"),
                BODY,
            );
        }
        for headers in [
            "Content-Length: 47\r\nContent-Length: 46\r\n",
            "Content-Length: 47\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: other\r\nContent-Length: 47\r\n",
            "X Evil: 1\r\nContent-Length: 47\r\n",
            "X-Evil : 1\r\nContent-Length: 47\r\n",
            "X-A: 1\r\n X-Evil: 2\r\nContent-Length: 47\r\n",
            "X-A: 1\0\r\nContent-Length: 47\r\n",
            "X-A: 1\rX-Evil: 2\r\nContent-Length: 47\r\n",
            ": 1\r\nContent-Length: 47\r\n",
        ] {
            add(headers, headers, &chunked(BODY, 9));
        }
        for (count, length) in [(200, 10), (90, 1_000), (1, 100_000), (5_000, 1), (1, 1 << 20)] {
            let bomb: String = (0..count)
                .map(|at| format!("X-{at}: {}\r\n", "x".repeat(length)))
                .collect();
            add(
                &format!("{count} headers of {length}"),
                &format!("{bomb}Content-Length: 47\r\n"),
                BODY,
            );
        }
        for (what, head) in [
            (
                "long target",
                format!("POST /{api}/{} HTTP/1.1\r\nHost: g\r\n\r\n", "x".repeat(20_000)),
            ),
            (
                "no host",
                format!("POST /{api} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            ),
            ("version", format!("POST /{api} HTTP/one\r\nHost: g\r\n\r\n")),
            ("method", format!("P(ST /{api} HTTP/1.1\r\nHost: g\r\n\r\n")),
            ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}".to_owned()),
        ] {
            all.push((format!("{api} {what}"), head.into_bytes()));
        }
    }
    let packed = |encoding: &str, body: &[u8]| {
        let head = format!("POST /look\nContent-Type: application/xml\nContent-Encoding: {encoding}");
        let (head, body) = framed(&head, body, None);
        (format!("broken {encoding}"), [head.into_bytes(), body].concat())
    };
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "rot13"] {
        all.push(packed(encoding, b"\x1f\x8b\x08 this is not packed at all"));
    }
    for body in [
        "<order>",
        "<order></item>",
        "\u{0}",
        "order",
        "<order/><order/>",
        "{\"order\": 1}",
    ] {
        let (head, bytes) = framed("POST /look\nContent-Type: application/xml", body.as_bytes(), None);
        all.push((body.to_owned(), [head.into_bytes(), bytes].concat()));
    }
    all
}
