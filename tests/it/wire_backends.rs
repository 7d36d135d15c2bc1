//! Backends that fail in every way of reliability.md part 4, rows 1 to 8, and bodies that must arrive whole.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use myelin::wire::{ClientLimits, Reached, SendErrorKind, ServerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pace::Pace;
use crate::wire_kit::{Gateway, Reader, Recorder, Setup, answer_with, read_to_end, run, scripted, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn quick() -> ClientLimits {
    ClientLimits {
        connect: Duration::from_millis(150),
        response_headers: Duration::from_millis(150),
        body_gap: Duration::from_millis(150),
        ..Default::default()
    }
}

/// What a client sees of a backend that reads one request and then does `script`.
async fn see<F, Fut>(request: &str, script: F) -> (Option<crate::wire_kit::Raw>, Gateway)
where
    F: Fn(TcpStream) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let script = Rc::new(script);
    let (backend, _) = scripted(move |_, stream| {
        let script = Rc::clone(&script);
        async move {
            let mut reader = Reader::new(stream);
            if reader.message(false).await.is_some() {
                script(reader.stream).await;
            }
        }
    });
    let gateway = Gateway::with(
        backend,
        Setup {
            client: quick(),
            ..Default::default()
        },
    );
    let mut client = Reader::new(gateway.connect().await);
    client.stream.write_all(request.as_bytes()).await.unwrap();
    (client.message(false).await, gateway)
}

fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn row_1_a_refused_connect_is_101503_at_once() {
    run(async {
        let gateway = Gateway::to(closed_port());
        let started = Pace::start();
        let mut client = Reader::new(gateway.connect().await);
        client.stream.write_all(GET.as_bytes()).await.unwrap();
        let answer = client.message(false).await.unwrap();
        assert!(
            answer.status() == 502 && answer.text().starts_with("101503 "),
            "{}",
            answer.text()
        );
        assert!(started.elapsed() < Duration::from_millis(500));
        assert_eq!(gateway.service.failures.borrow()[0].reached, Reached::NothingSent);
    });
}

#[test]
fn row_1_an_unknown_name_is_101503() {
    run(async {
        let gateway = Gateway::to_url("http://no-such-host.invalid/", Setup::default());
        let answer = gateway
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        assert!(
            answer.contains("502 Bad Gateway") && answer.contains("101503 "),
            "{answer}"
        );
    });
}

#[test]
fn row_2_a_connect_that_hangs_is_101508_in_time() {
    run(async {
        // A full backlog: the kernel answers no further SYN.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut fill = Vec::new();
        for _ in 0..3 {
            let connecting = tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(address));
            fill.push(connecting.await);
        }
        let gateway = Gateway::with(
            address,
            Setup {
                client: quick(),
                ..Default::default()
            },
        );
        let started = Pace::start();
        let answer = gateway
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        assert!(
            answer.contains("504 Gateway Timeout") && answer.contains("101508 "),
            "{answer}"
        );
        let (clock, took) = (started.clock().as_millis(), started.elapsed().as_millis());
        assert!(clock >= 150 && took < 650, "{clock} ms, {took} ms");
    });
}

#[test]
fn row_3_no_answer_is_101504_in_time() {
    run(async {
        let started = Pace::start();
        let (answer, gateway) = see(GET, |mut stream| async move {
            read_to_end(&mut stream).await;
        })
        .await;
        let answer = answer.unwrap();
        assert!(
            answer.status() == 504 && answer.text().starts_with("101504 "),
            "{}",
            answer.text()
        );
        let (clock, took) = (started.clock().as_millis(), started.elapsed().as_millis());
        assert!(clock >= 150 && took < 650, "{clock} ms, {took} ms");
        assert_eq!(gateway.service.failures.borrow()[0].reached, Reached::Unknown);
    });
}

/// The backend answers when nobody waits any more; the next request gets its own answer.
#[test]
fn row_3_a_late_answer_reaches_nobody() {
    run(async {
        let late = Rc::new(tokio::sync::Notify::new());
        let waiting = Rc::clone(&late);
        let (backend, connections) = scripted(move |number, stream| {
            let late = Rc::clone(&waiting);
            async move {
                let mut reader = Reader::new(stream);
                while reader.message(false).await.is_some() {
                    if number == 0 {
                        late.notified().await;
                    }
                    let answer = answer_with(200, "OK", "", format!("of {number}").as_bytes());
                    drop(reader.stream.write_all(&answer).await);
                }
            }
        });
        let setup = Setup {
            client: quick(),
            ..Default::default()
        };
        let gateway = Gateway::with(backend, setup);
        let mut client = Reader::new(gateway.connect().await);
        let mut statuses = Vec::new();
        for number in 0..3 {
            client.stream.write_all(GET.as_bytes()).await.unwrap();
            let answer = client.message(false).await.unwrap();
            statuses.push((answer.status(), answer.text()));
            if number == 0 {
                late.notify_one();
            }
        }
        assert_eq!(statuses[0].0, 504);
        assert_eq!(
            statuses[1..],
            [(200, "of 1".to_owned()), (200, "of 1".to_owned())]
        );
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn row_3_an_upload_that_still_moves_is_not_a_slow_answer() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::with(
            backend.address,
            Setup {
                client: quick(),
                ..Default::default()
            },
        );
        let mut client = Reader::new(gateway.connect().await);
        client
            .stream
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.stream.write_all(b"x").await.unwrap();
        }
        assert_eq!(client.message(false).await.unwrap().text(), "xxxxxxxx");
    });
}

#[test]
fn row_4_an_answer_that_stands_still_is_visibly_cut() {
    run(async {
        for head in [
            "Content-Length: 10\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}");
            let (answer, gateway) = see(GET, move |mut stream| {
                let text = text.clone();
                async move {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    read_to_end(&mut stream).await;
                }
            })
            .await;
            assert_eq!(answer, None, "no whole answer");
            assert_eq!(gateway.worker.in_flight(), 0);
        }
    });
}

#[test]
fn row_5_a_kept_connection_that_went_stale_is_not_seen_by_the_client() {
    run(async {
        // Each connection answers twice and then closes without a word; now and then with the next request under way.
        let served = Rc::new(Cell::new(0));
        let counting = served.clone();
        let (backend, connections) = scripted(move |_, stream| {
            let served = counting.clone();
            async move {
                let mut reader = Reader::new(stream);
                for _ in 0..2 {
                    match reader.message(false).await {
                        Some(request) => assert_eq!(request.text(), "body"),
                        None => return,
                    }
                    served.set(served.get() + 1);
                    reader
                        .stream
                        .write_all(&answer_with(200, "OK", "", b"ok"))
                        .await
                        .unwrap();
                }
                // Waits for the third and closes in its face.
                reader.message(false).await;
            }
        });
        let gateway = Rc::new(Gateway::to(backend));
        let mut clients = Vec::new();
        // As many as the reference asks for: 64 clients, 20,000 requests.
        for _ in 0..64 {
            let gateway = Rc::clone(&gateway);
            clients.push(tokio::task::spawn_local(async move {
                let mut client = Reader::new(gateway.connect().await);
                for _ in 0..313 {
                    client
                        .stream
                        .write_all(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
                        .await
                        .unwrap();
                    assert_eq!(client.message(false).await.unwrap().status(), 200);
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
        assert!(gateway.service.failures.borrow().is_empty());
        assert_eq!(served.get(), 64 * 313, "each request was served once");
        assert!(connections.get() >= 32 * 313);
    });
}

#[test]
fn row_5_a_post_that_may_have_been_read_is_not_sent_twice() {
    run(async {
        let seen = Rc::new(Cell::new(0));
        let counting = seen.clone();
        let (backend, _) = scripted(move |_, stream| {
            let seen = counting.clone();
            async move {
                let mut reader = Reader::new(stream);
                reader.message(false).await;
                reader
                    .stream
                    .write_all(&answer_with(200, "OK", "", b"ok"))
                    .await
                    .unwrap();
                reader.message(false).await;
                seen.set(seen.get() + 1);
            }
        });
        let gateway = Gateway::to(backend);
        let mut client = Reader::new(gateway.connect().await);
        client.stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(client.message(false).await.unwrap().status(), 200);
        client
            .stream
            .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
            .await
            .unwrap();
        let answer = client.message(false).await.unwrap();
        assert!(
            answer.status() == 502 && answer.text().starts_with("101505 "),
            "{}",
            answer.text()
        );
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn row_5_a_connection_that_closed_while_unused_is_not_used_even_for_a_post() {
    run(async {
        let closed = Rc::new(tokio::sync::Notify::new());
        let closing = closed.clone();
        let (backend, connections) = scripted(move |_, stream| {
            let closed = closing.clone();
            async move {
                let mut reader = Reader::new(stream);
                reader.message(false).await;
                reader
                    .stream
                    .write_all(&answer_with(200, "OK", "", b"ok"))
                    .await
                    .unwrap();
                drop(reader);
                closed.notify_one();
            }
        });
        let gateway = Gateway::to(backend);
        let mut client = Reader::new(gateway.connect().await);
        for _ in 0..50 {
            client
                .stream
                .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
                .await
                .unwrap();
            assert_eq!(client.message(false).await.unwrap().status(), 200);
            closed.notified().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(connections.get(), 50);
    });
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

#[test]
fn row_6_a_reset_is_502_before_the_answer_and_a_visible_cut_in_it() {
    run(async {
        let (answer, _) = see(GET, |stream| async move { reset(stream) }).await;
        assert!(answer.unwrap().text().starts_with("101505 "));
        let (answer, _) = see(GET, |mut stream| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await.unwrap();
            reset(stream);
        })
        .await;
        assert!(answer.unwrap().text().starts_with("101505 "));
        for head in [
            "Content-Length: 10\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ] {
            let (answer, _) = see(GET, move |mut stream| async move {
                stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes())
                    .await
                    .unwrap();
                drop(stream);
            })
            .await;
            assert_eq!(answer, None);
        }
    });
}

#[test]
fn row_7_garbage_is_101506_and_never_reaches_the_next_client() {
    run(async {
        let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
        let long_line = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(1_000_000));
        let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000);
        let refused: Vec<(&str, Vec<u8>)> = vec![
            ("garbage", b"\x16\x03\x01 this is not HTTP\r\n\r\n".to_vec()),
            ("HTTP/0.9", b"<html>hello</html>\r\n\r\n".to_vec()),
            ("a status line of 1 MB", long_line.into_bytes()),
            ("10,000 headers", many_headers.into_bytes()),
            (
                "two lengths",
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
            ),
            (
                "both framings",
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    .to_vec(),
            ),
            (
                "a bad length",
                b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab".to_vec(),
            ),
            (
                "a NUL in a header",
                b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            ("interim answers without end", flood.into_bytes()),
            (
                "101 unasked",
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec(),
            ),
        ];
        for (name, text) in refused {
            let (answer, gateway) = see(GET, move |mut stream| {
                let text = text.clone();
                async move {
                    if stream.write_all(&text).await.is_ok() {
                        read_to_end(&mut stream).await;
                    }
                }
            })
            .await;
            let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
            let told = (answer.status(), answer.text()[..6].to_owned());
            assert_eq!(told, (502, "101506".to_owned()), "{name}: {}", answer.text());
            assert_eq!(gateway.service.failures.borrow()[0].kind, SendErrorKind::Protocol);
        }
        let (answer, _) = see(GET, |mut stream| async move {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
                .await
                .unwrap();
            read_to_end(&mut stream).await;
        })
        .await;
        assert_eq!(answer, None, "a bad chunk is a visible cut");
    });
}

#[test]
fn row_7_bytes_behind_an_answer_never_reach_the_next_client() {
    run(async {
        for extra in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 204 No Content\r\n\r\nevil",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
        ] {
            let (backend, connections) = scripted(move |number, stream| async move {
                let mut reader = Reader::new(stream);
                while reader.message(false).await.is_some() {
                    let clean = answer_with(200, "OK", "", b"clean");
                    let answer = if number == 0 { extra.as_bytes() } else { &clean };
                    if reader.stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
            let gateway = Gateway::to(backend);
            let mut client = Reader::new(gateway.connect().await);
            client.stream.write_all(GET.as_bytes()).await.unwrap();
            assert!(!client.message(false).await.unwrap().text().contains("evil"));
            client.stream.write_all(GET.as_bytes()).await.unwrap();
            assert_eq!(
                client.message(false).await.unwrap().text(),
                "clean",
                "after {extra}"
            );
            assert_eq!(connections.get(), 2);
        }
    });
}

#[test]
fn an_interim_answer_is_passed_over() {
    run(async {
        let (answer, _) = see(GET, |mut stream| async move {
            let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(text.as_bytes()).await.unwrap();
            read_to_end(&mut stream).await;
        })
        .await;
        assert_eq!(answer.unwrap().text(), "ok");
    });
}

#[test]
fn row_8_an_early_answer_is_delivered_and_the_upload_given_up() {
    run(async {
        for closes in [true, false] {
            let (backend, _) = scripted(move |_, mut stream| async move {
                let mut part = [0; 1000];
                stream.read_exact(&mut part).await.unwrap();
                let answer = answer_with(413, "Payload Too Large", "Connection: close\r\n", b"too much");
                stream.write_all(&answer).await.unwrap();
                if !closes {
                    // Neither reads nor closes.
                    std::future::pending::<()>().await;
                }
            });
            let gateway = Gateway::to(backend);
            let stream = gateway.connect().await;
            let (read, mut write) = stream.into_split();
            let upload = tokio::task::spawn_local(async move {
                let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 104857600\r\n\r\n";
                write.write_all(head.as_bytes()).await.unwrap();
                let part = vec![b'x'; 1 << 20];
                for _ in 0..100 {
                    if write.write_all(&part).await.is_err() {
                        return;
                    }
                }
            });
            let started = Pace::start();
            let mut client = Reader::new(read);
            let answer = client.message(false).await.unwrap();
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (413, "too much"),
                "closes: {closes}"
            );
            assert!(
                started.elapsed() < Duration::from_millis(500),
                "{:?}",
                started.elapsed()
            );
            assert_eq!(answer.header("connection"), Some("close"));
            upload.abort();
            until(|| gateway.worker.in_flight() == 0).await;
        }
    });
}

#[test]
fn a_client_that_breaks_its_upload_is_told_so_and_the_backend_is_not_blamed() {
    run(async {
        let (backend, _) = scripted(|_, mut stream| async move {
            read_to_end(&mut stream).await;
        });
        let server = ServerLimits {
            body_gap: Duration::from_millis(50),
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend,
            Setup {
                server,
                ..Default::default()
            },
        );
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let length = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
        for (request, ends, status) in [
            (format!("{chunked}3\r\nabc\r\nzz\r\n"), false, 400),
            (format!("{chunked}zz\r\n"), false, 400),
            (format!("{chunked}3\nabc\n0\n\n"), false, 400),
            (format!("{length}half"), true, 400),
            (format!("{chunked}4\r\nhalf"), true, 400),
            (format!("{length}half"), false, 408),
            (format!("{chunked}4\r\nhalf\r\n"), false, 408),
        ] {
            gateway.service.failures.borrow_mut().clear();
            let mut client = gateway.connect().await;
            client.write_all(request.as_bytes()).await.unwrap();
            if ends {
                client.shutdown().await.unwrap();
            }
            let answer = read_to_end(&mut client).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request:?}: {answer}"
            );
            assert_eq!(answer.matches("HTTP/1.1").count(), 1);
            let failures = gateway.service.failures.borrow();
            assert!(
                matches!(failures[0].kind, SendErrorKind::ClientBody(_)),
                "{:?}",
                failures[0]
            );
        }
    });
}

#[test]
fn bodies_arrive_whole_whatever_their_framing_and_size() {
    run(async {
        let backend = Recorder::echo();
        let gateway = Gateway::to(backend.address);
        let mut client = Reader::new(gateway.connect().await);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
            for size in [0, 1, 100, 8 * 1024, 64 * 1024, 64 * 1024 + 1, 1 << 20, 4 << 20] {
                for chunked in [false, true] {
                    let body: Vec<u8> = (0..size).map(|n| (n * 7 + n / 251) as u8).collect();
                    let mut request = format!("{method} / HTTP/1.1\r\nHost: h\r\n").into_bytes();
                    if chunked {
                        request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                        for chunk in body.chunks(10_007) {
                            request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                            request.extend(chunk);
                            request.extend(b"\r\n");
                        }
                        request.extend(b"0\r\n\r\n");
                    } else {
                        request.extend(format!("Content-Length: {size}\r\n\r\n").as_bytes());
                        request.extend(&body);
                    }
                    let (mut read, mut write) = client.stream.into_split();
                    let sending = tokio::task::spawn_local(async move {
                        write.write_all(&request).await.unwrap();
                        write
                    });
                    let mut reader = Reader::new(&mut read);
                    let answer = reader.message(false).await.unwrap();
                    let write = sending.await.unwrap();
                    client = Reader::new(match answer.header("connection") {
                        Some("close") => gateway.connect().await,
                        _ => read.reunite(write).unwrap(),
                    });
                    let arrived = backend.requests.borrow_mut().pop().unwrap();
                    assert!(
                        arrived.body == body,
                        "{method} {size} chunked {chunked}: {}",
                        arrived.head
                    );
                    assert!(
                        answer.body == body,
                        "the answer to {method} {size} chunked {chunked}"
                    );
                }
            }
        }
    });
}

#[test]
fn an_unused_connection_is_given_up_after_its_time() {
    run(async {
        let backend = Recorder::echo();
        let client = ClientLimits {
            pool_idle: Duration::from_millis(20),
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend.address,
            Setup {
                client,
                ..Default::default()
            },
        );
        for expected in 1..=3 {
            gateway
                .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                .await;
            assert_eq!(backend.connections.get(), expected);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
}
