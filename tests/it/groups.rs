//! Groups of endpoints on real sockets (reliability.md, part 4, rows 1 and 9 to 15 and 29; RB-13 and RB-15).

use crate::gateway::{ask, connect, drain, start};
use crate::wire_kit::{Raw, Reader, Recorder, answer_with, run, scripted, until};
use myelin::flow::health::State;
use myelin::gateway::Gateway;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// An API for each endpoint: `/name`.
fn apis(endpoints: &[(&str, String)]) -> String {
    let api = |(name, endpoint): &(&str, String)| {
        format!(
            r#"<api name="{name}" context="/{name}"><resource methods="GET POST PUT" url-mapping="/*"><inSequence><send>{endpoint}</send></inSequence></resource></api>"#
        )
    };
    endpoints.iter().map(api).collect()
}

fn leaf(name: &str, address: SocketAddr, inside: &str) -> String {
    format!(r#"<endpoint name="{name}"><address uri="http://{address}/">{inside}</address></endpoint>"#)
}

fn failover(children: &[String]) -> String {
    format!(
        r#"<endpoint name="group"><failover>{}</failover></endpoint>"#,
        children.concat()
    )
}

/// Nobody listens here.
fn closed() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn state(gateway: &Gateway, name: &str) -> State {
    let shared = gateway.shared();
    let health = shared.runtime.health.find(name);
    health
        .unwrap_or_else(|| panic!("there is no endpoint {name}"))
        .state()
}

async fn get(client: &mut Reader<TcpStream>, path: &str) -> u16 {
    ask(client, &format!("GET {path}"), b"").await.status()
}

#[test]
fn row_1_and_13_the_next_child_gets_the_identical_body() {
    run(async {
        let backend = Recorder::echo();
        let children = [leaf("dead", closed(), ""), leaf("live", backend.address, "")];
        let gateway = start(&apis(&[("a", failover(&children))]));
        let mut random = fastrand::Rng::with_seed(7);
        for (size, chunk) in [
            (0, None),
            (1, None),
            (65_536, None),
            (1 << 20, None),
            (1 << 20, Some(1000)),
            (3 << 20, Some(70_000)),
        ] {
            gateway
                .shared()
                .runtime
                .health
                .find("dead")
                .expect("it is there")
                .switch_on();
            let body: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            let (head, bytes) =
                crate::wire_kit::framed("POST /a\ncontent-type: application/octet-stream", &body, chunk);
            let mut client = connect(&gateway).await;
            let answer = client.exchange(&head, &bytes).await.expect("an answer");
            assert_eq!(answer.status(), 200, "{size} bytes");
            assert!(answer.body == body, "{size} bytes came changed");
            assert_eq!(state(&gateway, "dead"), State::Suspended);
        }
        drain(gateway).await;
    });
}

/// The backend reads half of the upload and goes: the next child gets all of it, where the method allows it.
#[test]
fn row_13_a_child_that_dies_while_it_reads_loses_nothing() {
    run(async {
        let (dies, _) = scripted(|_, mut stream: TcpStream| async move {
            let mut some = vec![0; 100_000];
            let mut read = 0;
            while read < some.len() {
                let count = tokio::io::AsyncReadExt::read(&mut stream, &mut some)
                    .await
                    .unwrap_or(0);
                read += count;
                if count == 0 {
                    break;
                }
            }
            stream.set_zero_linger().ok();
        });
        let backend = Recorder::echo();
        let children = [leaf("dies", dies, ""), leaf("live", backend.address, "")];
        let gateway = start(&apis(&[("a", failover(&children))]));
        let body: Vec<u8> = (0..2_000_000u32).map(|at| (at % 251) as u8).collect();
        let mut client = connect(&gateway).await;
        let answer = ask(&mut client, "PUT /a\ncontent-type: text/plain", &body).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body);
        gateway
            .shared()
            .runtime
            .health
            .find("dies")
            .expect("it is there")
            .switch_on();
        // Row 14: a POST of which a byte was read is delivered once.
        let answer = ask(
            &mut connect(&gateway).await,
            "POST /a\ncontent-type: text/plain",
            &body,
        )
        .await;
        assert_eq!(answer.status(), 502);
        assert_eq!(backend.requests.take().len(), 1);
        drain(gateway).await;
    });
}

#[test]
fn row_11_when_all_are_down_the_answer_comes_at_once_and_says_until_when() {
    run(async {
        let up = Rc::new(Cell::new(false));
        let seen = Rc::clone(&up);
        let (backend, asked) = scripted(move |_, mut stream: TcpStream| {
            let up = seen.get();
            async move {
                if up {
                    let mut reader = Reader::new(stream);
                    while reader.message(false).await.is_some() {
                        let answer = answer_with(200, "OK", "", b"up");
                        drop(reader.stream.write_all(&answer).await);
                    }
                } else {
                    drop(stream.shutdown().await);
                }
            }
        });
        let pause = "<suspendOnFailure><initialDuration>60000</initialDuration></suspendOnFailure>";
        let children = [leaf("one", backend, pause), leaf("two", closed(), pause)];
        let gateway = start(&apis(&[("a", failover(&children))]));
        let mut client = connect(&gateway).await;
        assert_eq!(get(&mut client, "/a").await, 503);
        let before = asked.get();
        let answer = ask(&mut client, "GET /a", b"").await;
        assert_eq!(answer.status(), 503);
        let wait: u64 = answer
            .header("retry-after")
            .expect("it says until when")
            .parse()
            .unwrap();
        assert!((55..=60).contains(&wait), "{wait}");
        assert_eq!(asked.get(), before, "nobody is asked while all are suspended");
        // The first success after its time reactivates.
        up.set(true);
        gateway
            .shared()
            .runtime
            .health
            .find("one")
            .expect("it is there")
            .retry_now();
        assert_eq!(get(&mut client, "/a").await, 200);
        assert_eq!(state(&gateway, "one"), State::Active);
        drain(gateway).await;
    });
}

/// Row 12: after its suspension an endpoint is tried by one request, however many wait.
#[test]
fn row_12_one_request_tries_and_the_others_do_not() {
    run(async {
        let hold = Rc::new(tokio::sync::Notify::new());
        let waiting = Rc::clone(&hold);
        let (backend, asked) = scripted(move |_, stream: TcpStream| {
            let hold = Rc::clone(&waiting);
            async move {
                let mut reader = Reader::new(stream);
                while reader.message(false).await.is_some() {
                    hold.notified().await;
                    drop(reader.stream.write_all(&answer_with(200, "OK", "", b"")).await);
                }
            }
        });
        let gateway = start(&apis(&[("a", leaf("a", backend, ""))]));
        let health = gateway.shared().runtime.health.find("a").expect("it is there");
        health
            .admit()
            .expect("it is ready")
            .failed(101_503, "the test says so", None);
        assert_eq!(get(&mut connect(&gateway).await, "/a").await, 503);
        health.retry_now();
        let mut first = connect(&gateway).await;
        let trial = tokio::task::spawn_local(async move { get(&mut first, "/a").await });
        until(|| asked.get() == 1).await;
        for _ in 0..20 {
            assert_eq!(get(&mut connect(&gateway).await, "/a").await, 503);
        }
        assert_eq!(asked.get(), 1);
        hold.notify_one();
        assert_eq!(trial.await.unwrap(), 200);
        assert_eq!(health.state(), State::Active);
        drain(gateway).await;
    });
}

/// RB-13, row 9: what hangs on one backend is bounded, and the other backend does not notice.
#[test]
fn a_backend_that_hangs_leaves_the_others_alone() {
    run(async {
        let hold = Rc::new(tokio::sync::Notify::new());
        let waiting = Rc::clone(&hold);
        let (slow, asked) = scripted(move |_, stream: TcpStream| {
            let hold = Rc::clone(&waiting);
            async move {
                let mut reader = Reader::new(stream);
                drop(reader.message(false).await);
                hold.notified().await;
                drop(
                    reader
                        .stream
                        .write_all(&answer_with(200, "OK", "", b"late"))
                        .await,
                );
            }
        });
        let fast = Recorder::echo();
        let gateway = start(&apis(&[
            (
                "slow",
                leaf("slow", slow, r#"<limits inFlight="500" queue="0"/>"#),
            ),
            ("fast", leaf("fast", fast.address, "")),
        ]));
        let hanging: Vec<_> = {
            let mut hanging = Vec::new();
            for _ in 0..500 {
                let mut client = connect(&gateway).await;
                hanging.push(tokio::task::spawn_local(async move {
                    get(&mut client, "/slow").await
                }));
            }
            hanging
        };
        until(|| asked.get() == 500).await;
        let answer = ask(&mut connect(&gateway).await, "GET /slow", b"").await;
        assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
        let mut client = connect(&gateway).await;
        for _ in 0..1000 {
            assert_eq!(get(&mut client, "/fast").await, 200);
        }
        // Nothing was wrong with it but its speed.
        assert_eq!(state(&gateway, "slow"), State::Active);
        hold.notify_waiters();
        for hung in hanging {
            assert_eq!(hung.await.unwrap(), 200);
        }
        assert_eq!(get(&mut client, "/fast").await, 200);
        drain(gateway).await;
    });
}

/// Row 15: a group inside a group asks exactly whom the configuration says, in its order.
#[test]
fn row_15_children_are_asked_in_the_order_of_the_configuration() {
    run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let backend = |name: &'static str, status: u16| {
            let order = Rc::clone(&order);
            Recorder::start(move |_| {
                order.borrow_mut().push(name);
                answer_with(status, "Said", "", b"")
            })
        };
        let (a, b, c, d) = (
            backend("a", 503),
            backend("b", 503),
            backend("c", 503),
            backend("d", 200),
        );
        let inner = |name: &str, one: &Recorder, other: &Recorder| {
            format!(
                r#"<endpoint name="{name}"><loadbalance retryOn="503">{}{}</loadbalance></endpoint>"#,
                leaf(&format!("{name}1"), one.address, ""),
                leaf(&format!("{name}2"), other.address, "")
            )
        };
        let outer = format!(
            r#"<endpoint name="outer"><failover retryOn="503">{}{}</failover></endpoint>"#,
            inner("first", &a, &b),
            inner("second", &c, &d)
        );
        let gateway = start(&apis(&[("a", outer)]));
        assert_eq!(get(&mut connect(&gateway).await, "/a").await, 200);
        assert_eq!(order.borrow().as_slice(), ["a", "b", "c", "d"]);
        drain(gateway).await;
    });
}

/// Row 29: clients that go away while a backend is asked: it is let go, and it is not blamed.
#[test]
fn row_29_a_client_that_disappears_does_not_suspend_anybody() {
    run(async {
        let gone = Rc::new(Cell::new(0));
        let counted = Rc::clone(&gone);
        let (backend, asked) = scripted(move |_, stream: TcpStream| {
            let gone = Rc::clone(&counted);
            async move {
                let mut reader = Reader::new(stream);
                drop(reader.message(false).await);
                // The gateway hangs up on it.
                if reader.message(false).await.is_none() {
                    gone.set(gone.get() + 1);
                }
            }
        });
        let gateway = start(&apis(&[("a", leaf("a", backend, ""))]));
        for round in 1..=200 {
            let mut client = TcpStream::connect(gateway.http).await.unwrap();
            client
                .write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
                .await
                .unwrap();
            until(|| asked.get() == round).await;
            // With a plain end at once it might be one that still waits for its answer.
            client.set_zero_linger().unwrap();
            drop(client);
        }
        until(|| gone.get() == 200).await;
        assert_eq!(state(&gateway, "a"), State::Active);
        let health = gateway.shared().runtime.health.find("a").expect("it is there");
        until(|| health.in_flight() == 0).await;
        drain(gateway).await;
    });
}

/// A name with a dead address and a live one.
#[test]
fn row_10_the_next_address_of_a_name_is_tried() {
    run(async {
        let backend = Recorder::echo();
        let port = backend.address.port();
        let endpoint = format!(r#"<endpoint name="a"><address uri="http://localhost:{port}/"/></endpoint>"#);
        let gateway = start(&apis(&[("a", endpoint)]));
        assert_eq!(get(&mut connect(&gateway).await, "/a").await, 200);
        drain(gateway).await;
    });
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Sound,
    Closes,
    Resets,
    Hangs,
    Garbage,
}

/// RB-15: three children, of which all but one behave badly in turns. GETs get through, and no POST is delivered twice.
#[test]
fn a_group_of_three_survives_what_its_children_do() {
    run(async {
        let delivered: Rc<RefCell<HashMap<String, u32>>> = Rc::default();
        let moods: Vec<Rc<Cell<Mood>>> = (0..3).map(|_| Rc::new(Cell::new(Mood::Sound))).collect();
        let children: Vec<String> = moods
            .iter()
            .enumerate()
            .map(|(number, mood)| {
                let (mood, delivered) = (Rc::clone(mood), Rc::clone(&delivered));
                let (address, _) = scripted(move |_, stream| moody(stream, Rc::clone(&mood), Rc::clone(&delivered)));
                let rules = "<timeout><duration>150</duration></timeout><suspendOnFailure><initialDuration>20</initialDuration>\
                             <maximumDuration>40</maximumDuration></suspendOnFailure>";
                leaf(&format!("child{number}"), address, rules)
            })
            .collect();
        let gateway = Arc::new(start(&apis(&[("a", failover(&children))])));
        let mut random = fastrand::Rng::with_seed(15);
        let (mut gets, mut failed, mut posts) = (0, 0, 0);
        for phase in 0..60 {
            // For twenty phases in a row the same one lives.
            let lives = phase / 20;
            if phase % 20 == 0 {
                let health = &gateway.shared().runtime.health;
                (0..3).for_each(|child| {
                    health
                        .find(&format!("child{child}"))
                        .expect("it is there")
                        .switch_on()
                });
            }
            for (number, mood) in moods.iter().enumerate() {
                let bad = [
                    Mood::Closes,
                    Mood::Resets,
                    Mood::Hangs,
                    Mood::Garbage,
                    Mood::Sound,
                ];
                mood.set(if number == lives {
                    Mood::Sound
                } else {
                    bad[random.usize(..5)]
                });
            }
            let mut tasks = Vec::new();
            for number in 0..20 {
                let gateway = Arc::clone(&gateway);
                let key = (number % 5 == 0).then(|| {
                    posts += 1;
                    format!("key-{posts}")
                });
                tasks.push(tokio::task::spawn_local(async move {
                    let mut client = connect(&gateway).await;
                    match key {
                        None => Some(get(&mut client, "/a").await),
                        Some(key) => {
                            drop(
                                ask(
                                    &mut client,
                                    &format!("POST /a/{key}\ncontent-type: text/plain"),
                                    b"x",
                                )
                                .await,
                            );
                            None
                        }
                    }
                }));
            }
            for task in tasks {
                if let Some(status) = task.await.unwrap() {
                    gets += 1;
                    failed += u32::from(status != 200);
                }
            }
        }
        let twice: Vec<_> = delivered
            .borrow()
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|(key, _)| key.clone())
            .collect();
        assert!(twice.is_empty(), "delivered twice: {twice:?}");
        assert!(
            delivered.borrow().len() > 100,
            "{} of {posts} POSTs",
            delivered.borrow().len()
        );
        assert_eq!(failed, 0, "of {gets} GETs while one child lives");
        drop(gateway);
    });
}

/// Counts a keyed POST as soon as its head is read, and then does as its mood says.
async fn moody(stream: TcpStream, mood: Rc<Cell<Mood>>, delivered: Rc<RefCell<HashMap<String, u32>>>) {
    let mut reader = Reader::new(stream);
    while let Some(request) = reader.message(false).await {
        if let Some(key) = key_of(&request) {
            *delivered.borrow_mut().entry(key).or_insert(0) += 1;
        }
        let answer = match mood.get() {
            Mood::Sound => answer_with(200, "OK", "", b"sound"),
            Mood::Closes => return,
            Mood::Resets => {
                reader.stream.set_zero_linger().ok();
                return;
            }
            Mood::Hangs => {
                drop(reader.message(false).await);
                return;
            }
            Mood::Garbage => b"what?\r\n\r\n".to_vec(),
        };
        if reader.stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn key_of(request: &Raw) -> Option<String> {
    let path = request.first_line().split(' ').nth(1)?;
    path.strip_prefix("/key-").map(str::to_owned)
}
