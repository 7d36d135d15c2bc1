//! Names of backends that fail, move, and lead to machines that are gone (reliability.md part 4, row 10), with a resolver that does as it is told.

use crate::wire_kit::{Gateway, Raw, Reader, Setup, answer_with, run, scripted_at};
use futures_util::future::LocalBoxFuture;
use myelin::wire::ClientLimits;
use myelin::wire::names::Resolver;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What names lead to just now.
#[derive(Default)]
struct Told(RefCell<Answer>);

#[derive(Clone, Default)]
enum Answer {
    /// So many of this machine's addresses, by their last number.
    Leads(Vec<u8>),
    Fails,
    #[default]
    Hangs,
}

impl Told {
    fn now(&self, answer: Answer) {
        *self.0.borrow_mut() = answer;
    }
}

impl Resolver for Told {
    fn resolve(&self, _: &str) -> LocalBoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = self.0.borrow().clone();
        Box::pin(async move {
            match answer {
                Answer::Leads(numbers) => {
                    let here = |number| IpAddr::from([127, 0, 0, number]);
                    Ok(numbers.into_iter().map(here).collect())
                }
                Answer::Fails => Err(io::Error::other("the resolver is ill")),
                Answer::Hangs => std::future::pending().await,
            }
        })
    }
}

/// A port that is free on the first few of this machine's addresses.
fn port() -> u16 {
    loop {
        let port = crate::talk::free_port();
        if (1..=4)
            .all(|number| TcpListener::bind(("127.0.0.1".replace(".1", &format!(".{number}")), port)).is_ok())
        {
            return port;
        }
    }
}

/// Says which of the addresses it is, as long as its switch is on.
fn backend(number: u8, port: u16) -> Rc<Cell<bool>> {
    let listener = TcpListener::bind((IpAddr::from([127, 0, 0, number]), port)).unwrap();
    let on = Rc::new(Cell::new(true));
    let switch = Rc::clone(&on);
    scripted_at(listener, move |_, stream: TcpStream| {
        let on = Rc::clone(&switch);
        async move {
            let mut reader = Reader::new(stream);
            while on.get() && reader.message(false).await.is_some() {
                let answer = answer_with(200, "OK", "", format!("from {number}").as_bytes());
                if reader.stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    });
    on
}

fn gateway(port: u16, told: &Rc<Told>, limits: ClientLimits) -> Gateway {
    let setup = Setup {
        client: limits,
        resolver: Some(told.clone()),
        ..Setup::default()
    };
    Gateway::to_url(&format!("http://backend.example:{port}/"), setup)
}

async fn ask(gateway: &Gateway) -> String {
    let mut client = Reader::new(gateway.connect().await);
    let (head, body) = crate::wire_kit::framed("GET /", b"", None);
    let answer: Raw = client.exchange(&head, &body).await.expect("an answer");
    answer.text().trim_end().to_owned()
}

/// Time goes by, and nothing else happens.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[test]
fn row_10_a_backend_that_moves_is_followed_although_its_old_address_still_answers() {
    run(async {
        let (port, told) = (port(), Rc::<Told>::default());
        let _both = (backend(1, port), backend(2, port));
        let limits = ClientLimits {
            pool_idle: Duration::from_secs(3600),
            pool_age: Duration::from_secs(20),
            ..ClientLimits::default()
        };
        let gateway = gateway(port, &told, limits);
        told.now(Answer::Leads(vec![1]));
        assert_eq!(ask(&gateway).await, "from 1");
        told.now(Answer::Leads(vec![2]));
        assert_eq!(ask(&gateway).await, "from 1", "a connection that is kept is used");
        pass(Duration::from_secs(21)).await;
        assert_eq!(ask(&gateway).await, "from 2", "but not for ever");
    });
}

#[test]
fn row_10_a_backend_that_has_left_its_address_is_found_within_the_request() {
    run(async {
        let (port, told) = (port(), Rc::<Told>::default());
        let _there = backend(2, port);
        let gateway = gateway(port, &told, ClientLimits::default());
        // Nobody is at the first address, and the name was asked for a moment ago.
        told.now(Answer::Leads(vec![1]));
        assert!(ask(&gateway).await.starts_with("101503 "));
        told.now(Answer::Leads(vec![2]));
        assert!(
            ask(&gateway).await.starts_with("101503 "),
            "it was asked for just now"
        );
        pass(Duration::from_secs(1)).await;
        assert_eq!(ask(&gateway).await, "from 2");
    });
}

/// Of three addresses one refuses, one says nothing at all, and the third one answers.
#[test]
fn row_10_the_address_that_lives_is_found_among_dead_ones() {
    run(async {
        let (port, told) = (port(), Rc::<Told>::default());
        let _there = backend(3, port);
        // A full backlog: the kernel answers no further SYN.
        let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 2], port));
        silent.bind(&address.into()).unwrap();
        silent.listen(0).unwrap();
        let mut fill = Vec::new();
        for _ in 0..3 {
            fill.push(tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(address)).await);
        }
        let gateway = gateway(port, &told, ClientLimits::default());
        told.now(Answer::Leads(vec![1, 2, 3]));
        let begin = Instant::now();
        assert_eq!(ask(&gateway).await, "from 3");
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(1500), "{took:?}");
    });
}

#[test]
fn row_10_a_resolver_that_fails_or_hangs_is_101503_in_time_and_what_was_known_is_used() {
    run(async {
        let (port, told) = (port(), Rc::<Told>::default());
        let _there = backend(1, port);
        let limits = ClientLimits {
            connect: Duration::from_millis(300),
            next_address: Duration::from_millis(20),
            ..ClientLimits::default()
        };
        let gateway = gateway(port, &told, limits);
        told.now(Answer::Fails);
        let said = ask(&gateway).await;
        assert_eq!(said, "101503 cannot resolve backend.example: the resolver is ill");
        told.now(Answer::Hangs);
        let said = ask(&gateway).await;
        assert_eq!(said, "101503 cannot resolve backend.example in time");
        told.now(Answer::Leads(Vec::new()));
        // The question that hangs is not asked twice; it is given up when its time is over.
        pass(Duration::from_secs(10)).await;
        let said = ask(&gateway).await;
        assert_eq!(said, "101503 cannot resolve backend.example: it has no address");
        told.now(Answer::Leads(vec![1]));
        assert_eq!(ask(&gateway).await, "from 1");
        for ill in [Answer::Fails, Answer::Hangs] {
            pass(Duration::from_secs(9)).await;
            told.now(ill);
            assert_eq!(ask(&gateway).await, "from 1");
        }
        pass(Duration::from_secs(20)).await;
        assert!(ask(&gateway).await.starts_with("101503 "));
    });
}
