//! Each limit of the wire at one less, exactly, and one more (RB-06), and clients that take their time (RB-07).

use std::time::Duration;

use myelin::wire::ServerLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pace::Pace;
use crate::wire_kit::{Gateway, Reader, Recorder, Setup, answer_with, read_to_end, run, scripted, until};

fn gateway(backend: &Recorder, server: ServerLimits) -> Gateway {
    Gateway::with(
        backend.address,
        Setup {
            server,
            ..Default::default()
        },
    )
}

/// The status of the answer, and whether the connection ended with it.
async fn status(gateway: &Gateway, request: &str) -> (u16, bool) {
    let mut client = Reader::new(gateway.connect().await);
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let answer = client.message(false).await.expect("an answer");
    assert!(
        answer
            .first_line()
            .split(' ')
            .nth(2)
            .is_some_and(|phrase| !phrase.is_empty())
    );
    let status = answer.status();
    if answer.header("connection") == Some("close") {
        assert!(client.ended().await);
        return (status, true);
    }
    (status, false)
}

#[test]
fn the_head_of_a_request_has_its_limits() {
    run(async {
        let backend = Recorder::echo();
        let gateway = gateway(&backend, ServerLimits::default());
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(length - 14));
        let headers = |length: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
                "x".repeat(length - 14)
            )
        };
        let count = |number: usize| {
            let more: String = (1..number).map(|n| format!("X-{n}: x\r\n")).collect();
            format!("GET / HTTP/1.1\r\nHost: h\r\n{more}\r\n")
        };
        for (over, expected) in [(0, (200, false)), (1, (414, true))] {
            assert_eq!(status(&gateway, &line(8191 + over)).await, (200, false));
            assert_eq!(status(&gateway, &line(8192 + over)).await, expected);
        }
        for (over, expected) in [(0, (200, false)), (1, (431, true))] {
            assert_eq!(status(&gateway, &headers(65535 + over)).await, (200, false));
            assert_eq!(status(&gateway, &headers(65536 + over)).await, expected);
            assert_eq!(status(&gateway, &count(99 + over)).await, (200, false));
            assert_eq!(status(&gateway, &count(100 + over)).await, expected);
        }
        // What never ends is told so as soon as it is too long.
        assert_eq!(
            status(&gateway, &format!("GET /{}", "x".repeat(9000))).await,
            (414, true)
        );
        let drip = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(70_000));
        assert_eq!(status(&gateway, &drip).await, (431, true));
    });
}

#[test]
fn a_body_has_its_limit_whether_or_not_it_tells_its_length() {
    run(async {
        let backend = Recorder::echo();
        let limits = ServerLimits {
            streamed_body: 1000,
            ..Default::default()
        };
        let gateway = gateway(&backend, limits);
        let length = |size: usize| {
            format!(
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{}",
                "x".repeat(size)
            )
        };
        let chunked = |size: usize| {
            let half = size / 2;
            format!(
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{half:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                "x".repeat(half),
                size - half,
                "x".repeat(size - half)
            )
        };
        for (size, expected) in [(999, 200), (1000, 200), (1001, 413)] {
            assert_eq!(status(&gateway, &length(size)).await.0, expected, "{size}");
            assert_eq!(
                status(&gateway, &chunked(size)).await.0,
                expected,
                "{size} chunked"
            );
        }
    });
}

#[test]
fn a_connection_carries_so_many_requests_and_says_which_is_the_last() {
    run(async {
        let backend = Recorder::echo();
        let gateway = gateway(
            &backend,
            ServerLimits {
                requests_per_connection: 3,
                ..Default::default()
            },
        );
        let mut client = Reader::new(gateway.connect().await);
        for expected in [None, None, Some("close")] {
            client
                .stream
                .write_all(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(
                client.message(false).await.unwrap().header("connection"),
                expected
            );
        }
        assert!(client.ended().await);
    });
}

#[test]
fn there_are_so_many_connections_and_the_next_is_told_503() {
    run(async {
        let backend = Recorder::echo();
        for limits in [
            ServerLimits {
                connections: 3,
                ..Default::default()
            },
            ServerLimits {
                connections_per_address: 3,
                ..Default::default()
            },
        ] {
            let gateway = gateway(&backend, limits);
            let mut open = Vec::new();
            for n in 1..=3 {
                open.push(gateway.connect().await);
                until(|| gateway.door.connections() == n).await;
            }
            let refused = gateway.send("").await;
            assert!(
                refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
                "{refused}"
            );
            assert!(refused.contains("\r\nretry-after: 1\r\n"));
            drop(open.pop());
            until(|| gateway.door.connections() == 2).await;
            assert_eq!(
                status(&gateway, "POST / HTTP/1.1\r\nHost: h\r\n\r\n").await.0,
                200
            );
        }
    });
}

#[test]
fn so_many_requests_are_worked_on_and_the_next_is_told_503_at_once() {
    run(async {
        let (backend, waiting) = scripted(|_, mut stream| async move {
            read_to_end(&mut stream).await;
        });
        let server = ServerLimits {
            in_flight: 3,
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend,
            Setup {
                server,
                ..Default::default()
            },
        );
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut client = gateway.connect().await;
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            open.push(client);
        }
        until(|| waiting.get() == 3).await;
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..2 {
            client
                .stream
                .write_all(b"GET /unread HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            let answer = client.message(false).await.unwrap();
            assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
        }
        drop(open.pop());
        tokio::time::sleep(Duration::from_millis(150)).await;
        drop(open.pop());
        until(|| gateway.worker.in_flight() <= 2).await;
        client
            .stream
            .write_all(b"GET /unread HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(client.message(false).await.unwrap().status(), 200);
    });
}

/// How a connection ends, and after how long, when this is all that is sent.
async fn end_of(gateway: &Gateway, sent: &[u8]) -> (String, Pace) {
    let started = Pace::start();
    let mut client = gateway.connect().await;
    client.write_all(sent).await.unwrap();
    let answer = read_to_end(&mut client).await;
    let line = answer.lines().next().unwrap_or("").to_owned();
    (line, started)
}

#[test]
fn clients_that_take_their_time_are_let_go() {
    run(async {
        let backend = Recorder::echo();
        let gateway = gateway(
            &backend,
            ServerLimits {
                first_bytes: Duration::from_millis(50),
                headers_complete: Duration::from_millis(100),
                keep_alive_idle: Duration::from_millis(150),
                linger: Duration::from_millis(10),
                body_gap: Duration::from_millis(200),
                whole_body: Duration::from_millis(250),
                ..Default::default()
            },
        );
        let late = "HTTP/1.1 408 Request Timeout";
        for (sent, line, at_least) in [
            ("", "", 50),
            ("PRI * HT", late, 50),
            ("GET / HT", late, 100),
            ("GET / HTTP/1.1\r\nHost: h\r\n", late, 100),
            ("GET /unread HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK", 150),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nx",
                late,
                200,
            ),
        ] {
            let (answer, took) = end_of(&gateway, sent.as_bytes()).await;
            assert_eq!(answer, line, "for {sent:?}");
            let (clock, took) = (took.clock().as_millis(), took.elapsed().as_millis());
            assert!(
                clock >= at_least && took < at_least + 500,
                "{clock} ms, {took} ms for {sent:?}"
            );
        }
        // A body that keeps moving, but slowly, ends at the time for the whole.
        let started = Pace::start();
        let (mut read, mut write) = gateway.connect().await.into_split();
        write
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n")
            .await
            .unwrap();
        let drip = tokio::task::spawn_local(async move {
            while write.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = String::new();
        drop(read.read_to_string(&mut answer).await);
        assert!(answer.starts_with(late), "{answer}");
        assert!(
            started.clock().as_millis() >= 250 && started.elapsed().as_millis() < 750,
            "{:?}, {:?}",
            started.clock(),
            started.elapsed()
        );
        drip.abort();
    });
}

#[test]
fn many_silent_connections_are_gone_in_time_and_others_are_served_meanwhile() {
    run(async {
        let backend = Recorder::echo();
        let limits = ServerLimits {
            first_bytes: Duration::from_millis(300),
            ..Default::default()
        };
        let gateway = gateway(&backend, limits);
        let mut silent = Vec::new();
        for n in 0..400 {
            let mut client = gateway.connect().await;
            if n % 2 == 0 {
                client.write_all(b"PRI * HT").await.unwrap();
            }
            silent.push(client);
        }
        assert_eq!(
            status(&gateway, "POST / HTTP/1.1\r\nHost: h\r\n\r\n").await.0,
            200
        );
        for client in &mut silent {
            read_to_end(client).await;
        }
        drop(silent);
        until(|| gateway.door.connections() == 0).await;
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    run(async {
        let backend = Recorder::start(|_| answer_with(200, "OK", "", &vec![b'x'; 64 << 20]));
        let limits = ServerLimits {
            write_gap: Duration::from_millis(100),
            ..Default::default()
        };
        let gateway = gateway(&backend, limits);
        let mut client = gateway.connect().await;
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        until(|| gateway.worker.in_flight() == 1).await;
        until(|| gateway.worker.in_flight() == 0).await;
        until(|| gateway.door.connections() == 0).await;
    });
}
