//! Serving clients, with a gateway that passes everything on.

use std::time::Duration;

use myelin::wire::ServerLimits;
use myelin::wire::limits::UnderscoreHeaders;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::wire_kit::{
    Gateway, Raw, Reader, Recorder, Setup, answer_with, read_to_end, run, scripted, until,
};

#[test]
fn a_request_goes_through_and_its_answer_comes_back() {
    run(async {
        let backend = Recorder::start(|_| answer_with(201, "Made", "X-From: backend\r\n", b"hello"));
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..3 {
            client
                .stream
                .write_all(b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
                .await
                .unwrap();
            let answer = client.message(false).await.unwrap();
            assert_eq!(answer.first_line(), "HTTP/1.1 201 Made");
            assert_eq!(
                (answer.header("x-from"), answer.text().as_str()),
                (Some("backend"), "hello")
            );
        }
        let requests = backend.requests.borrow();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].first_line(), "POST /a?b=c HTTP/1.1");
        assert_eq!(
            (requests[0].header("host"), requests[0].text().as_str()),
            (Some("h"), "abc")
        );
        assert_eq!(backend.connections.get(), 1, "the connection is kept");
    });
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order_even_when_the_client_ends_its_side() {
    run(async {
        let backend = Recorder::start(|request| answer_with(200, "OK", "", request.first_line().as_bytes()));
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        let all: String = (0..100)
            .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .collect();
        client.stream.write_all(all.as_bytes()).await.unwrap();
        client.stream.shutdown().await.unwrap();
        for n in 0..100 {
            assert_eq!(
                client.message(false).await.unwrap().text(),
                format!("GET /{n} HTTP/1.1")
            );
        }
        assert!(client.ended().await);
    });
}

#[test]
fn a_bad_request_behind_good_ones_is_refused_after_their_answers() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        let good = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
        let text = format!("{good}{good}GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n{good}");
        client.stream.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(client.message(false).await.unwrap().text(), "ok");
        assert_eq!(client.message(false).await.unwrap().text(), "ok");
        let refused = client.message(false).await.unwrap();
        assert_eq!(
            (refused.first_line(), refused.header("connection")),
            ("HTTP/1.1 400 Bad Request", Some("close"))
        );
        assert!(client.ended().await);
        assert_eq!(backend.requests.borrow().len(), 2);
    });
}

/// What reaches the backend of a request with these lines, and what comes back of an answer with those.
async fn pass(request: &str, answer: &'static str) -> (Raw, Raw) {
    let backend = Recorder::start(move |_| answer.as_bytes().to_vec());
    let gateway = Gateway::to(backend.address);
    let mut client = Reader::new(gateway.connect().await);
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let answer = client.message(request.starts_with("HEAD")).await.unwrap();
    let forwarded = backend.requests.borrow()[0].clone();
    (forwarded, answer)
}

#[test]
fn headers_of_one_connection_do_not_cross() {
    run(async {
        let (forwarded, answer) = pass(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive, X-Mine, Host\r\nX-Mine: 1\r\nX-Other: 2\r\n\
             Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTE: trailers, gzip\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX_Under: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nX-Kept: 2\r\nKeep-Alive: 5\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .await;
        let names = |raw: &Raw| {
            let names = raw.head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let mut names: Vec<_> = names.map(|(name, _)| name.to_ascii_lowercase()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&forwarded), ["host", "te", "x-other"]);
        assert_eq!(forwarded.header("te"), Some("trailers"));
        assert_eq!(names(&answer), ["content-length", "date", "x-kept"]);
    });
}

#[test]
fn the_host_in_the_target_wins_over_the_header() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (forwarded, _) = pass("GET http://real:81/x?y HTTP/1.1\r\nHost: other\r\n\r\n", answer).await;
        assert_eq!(
            (forwarded.first_line(), forwarded.header("host")),
            ("GET /x?y HTTP/1.1", Some("real:81"))
        );
    });
}

#[test]
fn an_answer_without_a_body_keeps_what_it_says_about_one() {
    run(async {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n";
        let (forwarded, answer) = pass("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", length).await;
        assert_eq!(
            (forwarded.first_line(), answer.header("content-length")),
            ("HEAD / HTTP/1.1", Some("42"))
        );
        let (_, answer) = pass("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(answer.header("content-length"), None);
        let (_, answer) = pass(
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
        )
        .await;
        assert_eq!((answer.status(), answer.header("content-length")), (304, None));
        let (_, answer) = pass(
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        )
        .await;
        assert_eq!((answer.status(), answer.header("content-length")), (204, None));
    });
}

#[test]
fn there_is_always_a_reason_phrase() {
    run(async {
        let first = |answer| async move {
            let (_, answer) = pass("GET / HTTP/1.1\r\nHost: h\r\n\r\n", answer).await;
            answer.first_line().to_owned()
        };
        assert_eq!(
            first("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").await,
            "HTTP/1.1 200 OK"
        );
        assert_eq!(
            first("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n").await,
            "HTTP/1.1 299 Status"
        );
        assert_eq!(
            first("HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\n\r\n").await,
            "HTTP/1.1 404 Gone Fishing"
        );
    });
}

#[test]
fn trailers_travel_both_ways_but_not_those_that_decide_things() {
    run(async {
        let (forwarded, answer) = pass(
            "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: Sum, Host\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nSum: 1\r\nHost: evil\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Mark\r\n\r\n2\r\nok\r\n0\r\nMark: 2\r\n\r\n",
        )
        .await;
        assert_eq!(
            (
                forwarded.text().as_str(),
                forwarded.trailers.to_lowercase().as_str()
            ),
            ("abc", "sum: 1\r\n")
        );
        assert_eq!(
            (answer.text().as_str(), answer.trailers.to_lowercase().as_str()),
            ("ok", "mark: 2\r\n")
        );
    });
}

#[test]
fn a_client_is_told_to_continue_only_when_its_body_is_wanted() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        let head = |path| {
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        };
        client.stream.write_all(head("/").as_bytes()).await.unwrap();
        assert_eq!(
            client.message(false).await.unwrap().first_line(),
            "HTTP/1.1 100 Continue"
        );
        client.stream.write_all(b"abc").await.unwrap();
        assert_eq!(client.message(false).await.unwrap().text(), "abc");
        assert_eq!(backend.requests.borrow()[0].header("expect"), None);
        client.stream.write_all(head("/unread").as_bytes()).await.unwrap();
        let answer = client.message(false).await.unwrap();
        assert_eq!(answer.first_line(), "HTTP/1.1 200 OK");
        // Nobody could tell that body from another request, if it came after all (RFC 9110 10.1.1).
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.ended().await);
    });
}

#[test]
fn a_small_body_that_nobody_reads_does_not_cost_the_connection() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        for body in [
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            for _ in 0..2 {
                let request = format!("POST /unread HTTP/1.1\r\nHost: h\r\n{body}");
                client.stream.write_all(request.as_bytes()).await.unwrap();
                let answer = client.message(false).await.unwrap();
                assert_eq!(
                    (answer.header("connection"), answer.text().as_str()),
                    (None, "did not look")
                );
            }
        }
    });
}

#[test]
fn a_panic_costs_one_request_and_nothing_else() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..3 {
            client
                .stream
                .write_all(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(client.message(false).await.unwrap().status(), 500);
            client
                .stream
                .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            assert_eq!(client.message(false).await.unwrap().text(), "ok");
        }
        assert_eq!((gateway.door.panics(), gateway.worker.in_flight()), (3, 0));
    });
}

#[test]
fn http_1_0_gets_its_answer_and_its_end() {
    run(async {
        let backend = Recorder::start(|_| {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec()
        });
        let gateway = Gateway::to(backend.address);
        let answer = gateway.send("GET / HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
        // Asked to stay, it stays, as it can tell the length of what came whole.
        let mut kept = Reader::new(gateway.connect().await);
        for _ in 0..2 {
            let request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
            kept.stream.write_all(request).await.unwrap();
            assert_eq!(kept.message(false).await.unwrap().text(), "ok");
        }
    });
}

#[test]
fn a_client_that_leaves_cancels_its_request() {
    run(async {
        let (backend, connections) = scripted(|_, mut stream| async move {
            // Never answers; ends when the gateway does.
            read_to_end(&mut stream).await;
        });
        let limits = ServerLimits {
            half_close_window: Duration::ZERO,
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend,
            Setup {
                server: limits,
                ..Default::default()
            },
        );
        for _ in 0..20 {
            let mut client = gateway.connect().await;
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            until(|| gateway.worker.in_flight() == 1).await;
            drop(client);
            until(|| gateway.worker.in_flight() == 0).await;
        }
        assert_eq!((gateway.service.dropped.get(), connections.get()), (20, 20));
        assert!(
            gateway.service.failures.borrow().is_empty(),
            "the backend is not blamed"
        );
    });
}

#[test]
fn underscores_in_names_can_be_refused_or_passed() {
    run(async {
        let backend = Recorder::echo();
        for (setting, status, seen) in [
            (UnderscoreHeaders::Refuse, 400, None),
            (UnderscoreHeaders::Pass, 200, Some("1".to_owned())),
        ] {
            backend.requests.borrow_mut().clear();
            let server = ServerLimits {
                underscore_headers: setting,
                ..Default::default()
            };
            let gateway = Gateway::with(
                backend.address,
                Setup {
                    server,
                    ..Default::default()
                },
            );
            let answer = gateway
                .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nA_b: 1\r\n\r\n")
                .await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let requests = backend.requests.take();
            assert_eq!(
                requests.first().and_then(|request| request.header("a_b")),
                seen.as_deref()
            );
            // One that belongs to the connection is judged before it is taken off.
            let answer = gateway
                .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, A_b\r\nA_b: 1\r\n\r\n")
                .await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    });
}

#[test]
fn two_hundred_requests_in_flight_are_finished_before_the_end() {
    run(async {
        let go = std::rc::Rc::new(tokio::sync::Notify::new());
        let waiting = std::rc::Rc::new(std::cell::Cell::new(0));
        let (go_backend, waiting_backend) = (go.clone(), waiting.clone());
        let (backend, _) = scripted(move |_, stream| {
            let (go, waiting) = (go_backend.clone(), waiting_backend.clone());
            async move {
                let mut reader = Reader::new(stream);
                let request = reader.message(false).await.unwrap();
                let notified = go.notified();
                waiting.set(waiting.get() + 1);
                notified.await;
                let body = request.first_line().repeat(1000);
                reader
                    .stream
                    .write_all(&answer_with(200, "OK", "", body.as_bytes()))
                    .await
                    .unwrap();
            }
        });
        let gateway = Gateway::to(backend);
        let mut clients = Vec::new();
        for n in 0..200 {
            let mut client = Reader::new(gateway.connect().await);
            client
                .stream
                .write_all(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
                .await
                .unwrap();
            clients.push(client);
        }
        until(|| waiting.get() == 200).await;
        let idle = gateway.connect().await;
        let address = gateway.address;
        let draining = tokio::task::spawn_local(gateway.drain());
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        go.notify_waiters();
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.message(false).await.unwrap();
            assert_eq!(answer.text(), format!("GET /{n} HTTP/1.1").repeat(1000));
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(client.ended().await);
        }
        let drained = draining.await.unwrap();
        assert_eq!(drained.cut, 0);
        drop(idle);
    });
}

#[test]
fn what_does_not_end_within_the_grace_is_cut_and_counted() {
    run(async {
        let (backend, connections) = scripted(|_, mut stream| async move {
            read_to_end(&mut stream).await;
        });
        let server = ServerLimits {
            shutdown_grace: Duration::from_millis(50),
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend,
            Setup {
                server,
                ..Default::default()
            },
        );
        let mut client = gateway.connect().await;
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        until(|| connections.get() == 1).await;
        assert_eq!(gateway.drain().await.cut, 1);
        assert_eq!(client.read(&mut [0; 10]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_silent_connection_is_closed_after_its_time() {
    run(async {
        // The second backend breaks its connection with every answer, which wakes nobody later on.
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        ] {
            let backend = Recorder::start(|_| text.as_bytes().to_vec());
            let server = ServerLimits {
                keep_alive_idle: Duration::from_millis(30),
                ..Default::default()
            };
            let gateway = Gateway::with(
                backend.address,
                Setup {
                    server,
                    ..Default::default()
                },
            );
            let mut client = Reader::new(gateway.connect().await);
            client
                .stream
                .write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            client.message(true).await.unwrap();
            assert!(client.ended().await);
        }
    });
}

#[test]
fn an_answer_to_head_leaves_the_connection_usable() {
    run(async {
        let backend = Recorder::start(|request| {
            let text = if request.head.starts_with("HEAD") {
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            text.as_bytes().to_vec()
        });
        let server = ServerLimits {
            keep_alive_idle: Duration::from_millis(30),
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend.address,
            Setup {
                server,
                ..Default::default()
            },
        );
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..2 {
            client
                .stream
                .write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(
                client.message(true).await.unwrap().header("content-length"),
                Some("7")
            );
            client
                .stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(client.message(false).await.unwrap().text(), "ok");
        }
        client
            .stream
            .write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        client.message(true).await.unwrap();
        assert!(client.ended().await);
    });
}
