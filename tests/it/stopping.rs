//! What signals do to a process that serves (reliability.md part 4, rows 16 and 17).

use crate::talk::{Running, free_port};
use crate::wire_kit::{Reader, Recorder, answer_with, framed, request, run, scripted, until};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A backend that answers nobody before it is told to, and counts who waits.
fn backend(told: &watch::Receiver<bool>) -> (SocketAddr, Rc<Cell<usize>>) {
    let waiting = Rc::new(Cell::new(0));
    let (counted, told) = (Rc::clone(&waiting), told.clone());
    let (address, _) = scripted(move |_, stream: TcpStream| {
        let (counted, mut told) = (Rc::clone(&counted), told.clone());
        async move {
            let mut reader = Reader::new(stream);
            while reader.message(false).await.is_some() {
                counted.set(counted.get() + 1);
                if told.wait_for(|told| *told).await.is_err() {
                    return;
                }
                let answer = answer_with(200, "OK", "", b"late, and whole");
                if reader.stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    });
    (address, waiting)
}

fn gateway(backend: SocketAddr, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="GET"><inSequence><send><endpoint><address uri="http://{backend}/"/></endpoint></send></inSequence></resource></api>"#
    );
    std::fs::write(folder.path().join("a.xml"), api).unwrap();
    Running::with(folder, free_port(), more)
}

async fn ask(port: u16) -> Reader<TcpStream> {
    let mut client = Reader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    let request = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    client.stream.write_all(request).await.unwrap();
    client
}

/// Nobody new is let in any more.
async fn closed(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn exit_code(mut running: Running) -> Option<i32> {
    let waiting = tokio::task::spawn_blocking(move || running.exit_code());
    waiting.await.unwrap()
}

#[test]
fn row_16_whoever_is_there_when_the_end_comes_is_answered_whole() {
    run(async {
        let (tell, told) = watch::channel(false);
        let (backend, waiting) = backend(&told);
        let running = gateway(backend, &[]);
        let port = running.port;
        let mut clients = Vec::new();
        for _ in 0..150 {
            clients.push(ask(port).await);
        }
        let mut streams = Vec::new();
        for _ in 0..5 {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(async move { drop(connection.await) });
            let mut sender = sender.ready().await.unwrap();
            for _ in 0..10 {
                let request = http::Request::get("http://h/a").body(()).unwrap();
                streams.push(sender.send_request(request, true).unwrap().0);
                sender = sender.ready().await.unwrap();
            }
        }
        until(|| waiting.get() == 200).await;
        running.signal("-TERM");
        closed(port).await;
        tell.send(true).unwrap();
        for mut client in clients {
            let answer = client.message(false).await.expect("a whole answer");
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (200, "late, and whole")
            );
            assert_eq!(answer.header("connection"), Some("close"));
        }
        for stream in streams {
            let (head, mut body) = stream.await.unwrap().into_parts();
            let mut text = Vec::new();
            while let Some(part) = body.data().await {
                text.extend(part.unwrap());
            }
            assert_eq!(
                (head.status.as_u16(), text.as_slice()),
                (200, &b"late, and whole"[..])
            );
        }
        assert_eq!(exit_code(running).await, Some(0));
        assert_eq!(waiting.get(), 200);
    });
}

/// A message that is sent one way goes to the second child while nobody waits; the end waits for it.
#[test]
fn row_16_messages_that_nobody_waits_for_are_delivered_before_the_end() {
    run(async {
        let (tell, told) = watch::channel(false);
        let (slow, waiting) = backend(&told);
        let spare = Recorder::echo();
        let folder = tempfile::tempdir().unwrap();
        let api = format!(
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="POST"><inSequence><property name="OUT_ONLY" value="true"/>
                 <send><endpoint><failover retryOn="200"><endpoint><address uri="http://{slow}/"/></endpoint><endpoint><address uri="http://{}/"/></endpoint></failover></endpoint></send>
               </inSequence></resource></api>"#,
            spare.address
        );
        std::fs::write(folder.path().join("a.xml"), api).unwrap();
        let running = Running::of(folder, free_port());
        let port = running.port;
        let (head, body) = framed("POST /a\nContent-Type: text/plain", b"seven", None);
        let answer = request(port, &head, &body).await.expect("an answer");
        assert_eq!(answer.status(), 202);
        until(|| waiting.get() == 1).await;
        running.signal("-TERM");
        closed(port).await;
        tell.send(true).unwrap();
        assert_eq!(exit_code(running).await, Some(0));
        assert_eq!(spare.requests.borrow()[0].body, b"seven");
    });
}

#[test]
fn row_17_a_backend_that_is_stuck_holds_the_end_up_no_longer_than_the_grace() {
    run(async {
        let (_tell, told) = watch::channel(false);
        let (backend, waiting) = backend(&told);
        let running = gateway(backend, &["--grace", "400ms"]);
        let mut client = ask(running.port).await;
        until(|| waiting.get() == 1).await;
        running.signal("-TERM");
        let begin = Instant::now();
        let code = exit_code(running).await;
        let took = begin.elapsed();
        assert!(code.is_some_and(|code| code != 0), "{code:?}");
        let grace = Duration::from_millis(400);
        assert!(
            (grace..grace + Duration::from_secs(1)).contains(&took),
            "{took:?}"
        );
        assert_eq!(
            client.message(false).await,
            None,
            "its client sees that it is cut"
        );
    });
}

#[test]
fn row_17_a_second_signal_ends_at_once() {
    run(async {
        let (_tell, told) = watch::channel(false);
        let (backend, waiting) = backend(&told);
        for (first, second) in [("-TERM", "-TERM"), ("-TERM", "-INT"), ("-INT", "-INT")] {
            let running = gateway(backend, &[]);
            let port = running.port;
            let before = waiting.get();
            let _client = ask(port).await;
            until(|| waiting.get() == before + 1).await;
            running.signal(first);
            closed(port).await;
            running.signal(second);
            let begin = Instant::now();
            let code = exit_code(running).await;
            assert!(code.is_some_and(|code| code != 0), "{first} {second}: {code:?}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{first} {second}");
        }
    });
}

/// SIGHUP reloads, and SIGPIPE is what a reader of the output leaves behind: neither ends anything.
#[test]
fn row_17_other_signals_end_nothing() {
    run(async {
        let (tell, told) = watch::channel(true);
        let (backend, _) = backend(&told);
        let running = gateway(backend, &[]);
        for signal in ["-PIPE", "-HUP"] {
            running.signal(signal);
            let answer = ask(running.port).await.message(false).await;
            assert_eq!(answer.expect("a whole answer").status(), 200, "{signal}");
        }
        drop(tell);
    });
}
