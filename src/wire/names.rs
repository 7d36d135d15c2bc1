//! The names of backends: who is asked for their addresses, and how long an answer is used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::time::{Instant, timeout};

use super::limits::ClientLimits;

/// Says which addresses a name has.
pub trait Resolver {
    fn resolve(&self, host: &str) -> LocalBoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Asks the system, on tokio's blocking pool: a slow answer holds up nobody else.
struct System;

impl Resolver for System {
    fn resolve(&self, host: &str) -> LocalBoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Addresses by name. An answer is used for a short while without asking again, and a little longer while the resolver fails or takes its time.
pub(super) struct Names {
    resolver: Rc<dyn Resolver>,
    known: Known,
}

type Known = Rc<RefCell<HashMap<Rc<str>, Name>>>;

#[derive(Default)]
struct Name {
    last: Option<Answer>,
    /// Those who want to know meanwhile wait for the same answer: a slow resolver is asked once, not by each request.
    asking: Option<Asking>,
    /// Nobody was reached where the last answer said.
    doubted: bool,
}

#[derive(Clone)]
struct Answer {
    addresses: Addresses,
    since: Instant,
}

type Addresses = Rc<[IpAddr]>;
/// The error is what the resolver said.
type Asking = Shared<LocalBoxFuture<'static, Result<Addresses, Rc<str>>>>;

/// No name is asked for more often because nobody was reached, however many requests fail.
const AGAIN: Duration = Duration::from_secs(1);
/// A question that is not answered by then is asked once more by whoever needs to know.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// More names are not remembered unless they are in use: clients may choose them.
const NAMES: usize = 1024;

impl Default for Names {
    fn default() -> Self {
        Self::asking(Rc::new(System))
    }
}

impl Names {
    pub fn asking(resolver: Rc<dyn Resolver>) -> Self {
        let known = Known::default();
        Self { resolver, known }
    }

    pub async fn resolve(
        &self,
        host: &str,
        port: u16,
        limits: &ClientLimits,
    ) -> Result<Vec<SocketAddr>, Rc<str>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (last, doubted) = match self.known.borrow().get(host) {
            Some(name) => (name.last.clone(), name.doubted),
            None => (None, false),
        };
        let usable = last.filter(|last| last.since.elapsed() <= limits.name_stale);
        let addresses = match usable {
            Some(last) if !doubted && last.since.elapsed() <= limits.name_fresh => last.addresses,
            Some(last) => match timeout(limits.next_address, self.ask(host, limits)).await {
                Ok(Ok(addresses)) => addresses,
                // What was true a moment ago is better than nothing, and better than a wait. A late answer is there for the next request.
                Ok(Err(_)) | Err(_) => last.addresses,
            },
            None => self.ask(host, limits).await?,
        };
        Ok(with_port(&addresses, port))
    }

    /// Nobody was reached at these addresses. Where a name may have moved since it was asked for: those that it has now beside them.
    pub async fn moved(
        &self,
        host: &str,
        port: u16,
        tried: &[SocketAddr],
        limits: &ClientLimits,
    ) -> Vec<SocketAddr> {
        if !self.doubt(host) {
            return Vec::new();
        }
        let addresses = self.ask(host, limits).await.unwrap_or_default();
        let mut addresses = with_port(&addresses, port);
        addresses.retain(|address| !tried.contains(address));
        addresses
    }

    /// The next one who wants to connect asks anew. Says whether that is worth while: an answer of just now is not doubted.
    pub fn doubt(&self, host: &str) -> bool {
        let mut known = self.known.borrow_mut();
        let Some(name) = known.get_mut(host) else {
            return false;
        };
        let old = name
            .last
            .as_ref()
            .is_some_and(|last| last.since.elapsed() >= AGAIN);
        name.doubted |= old;
        old
    }

    fn ask(&self, host: &str, limits: &ClientLimits) -> Asking {
        let mut all = self.known.borrow_mut();
        if let Some(asking) = all.get(host).and_then(|name| name.asking.clone()) {
            return asking;
        }
        if all.len() >= NAMES {
            all.retain(|_, name| {
                let last = name.last.as_ref();
                name.asking.is_some() || last.is_some_and(|last| last.since.elapsed() <= limits.name_stale)
            });
        }
        let host: Rc<str> = Rc::from(host);
        let (answer, known, name) = (
            self.resolver.resolve(&host),
            Rc::clone(&self.known),
            Rc::clone(&host),
        );
        let asking = async move {
            let answer: Result<Addresses, Rc<str>> = match timeout(GIVEN_UP, answer).await {
                Ok(Ok(found)) if found.is_empty() => Err(Rc::from("it has no address")),
                Ok(Ok(found)) => Ok(interleaved(found).into()),
                Ok(Err(error)) => Err(Rc::from(error.to_string())),
                Err(_) => Err(Rc::from("there is no answer")),
            };
            let mut known = known.borrow_mut();
            let name = known.entry(name).or_default();
            name.asking = None;
            name.doubted = false;
            if let Ok(addresses) = &answer {
                name.last = Some(Answer {
                    addresses: Rc::clone(addresses),
                    since: Instant::now(),
                });
            }
            answer
        };
        let asking = asking.boxed_local().shared();
        // It goes on when those who wait have lost their patience: what is known late is of use to the next.
        tokio::task::spawn_local(asking.clone());
        all.entry(host).or_default().asking = Some(asking.clone());
        asking
    }
}

fn with_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let addresses = addresses.iter();
    addresses.map(|address| SocketAddr::new(*address, port)).collect()
}

/// The two families by turns, beginning with the one the system put first.
fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let first_is_v6 = unique.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = unique
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        mixed.extend(pair.0);
        mixed.extend(pair.1);
        if pair == (None, None) {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Answers as it is told, after as long as it is told.
    #[derive(Default)]
    struct Told {
        addresses: RefCell<Vec<&'static str>>,
        after: Cell<Duration>,
        asked: Cell<usize>,
    }

    impl Resolver for Told {
        fn resolve(&self, _: &str) -> LocalBoxFuture<'static, io::Result<Vec<IpAddr>>> {
            self.asked.set(self.asked.get() + 1);
            let (texts, after) = (self.addresses.borrow().clone(), self.after.get());
            Box::pin(async move {
                tokio::time::sleep(after).await;
                if texts == ["no"] {
                    return Err(io::Error::other("the resolver is ill"));
                }
                Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
            })
        }
    }

    struct Scene {
        told: Rc<Told>,
        names: Names,
    }

    impl Scene {
        fn say(&self, addresses: &[&'static str]) {
            *self.told.addresses.borrow_mut() = addresses.to_vec();
        }

        async fn hear(&self) -> String {
            match self.names.resolve("backend", 80, &ClientLimits::default()).await {
                Ok(found) => {
                    let found: Vec<_> = found.iter().map(SocketAddr::to_string).collect();
                    found.join(" ")
                }
                Err(error) => error.to_string(),
            }
        }

        async fn moved(&self, tried: &str) -> usize {
            let (tried, limits) = ([tried.parse().unwrap()], ClientLimits::default());
            self.names.moved("backend", 80, &tried, &limits).await.len()
        }
    }

    /// On a clock that stands still until everybody waits for it.
    fn scene<F: Future<Output = ()>>(test: impl FnOnce(Scene) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let told = Rc::<Told>::default();
        let names = Names::asking(told.clone());
        tokio::task::LocalSet::new().block_on(&runtime, test(Scene { told, names }));
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[test]
    fn the_families_take_turns_and_nothing_is_tried_twice() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let given = ["::1", "::2", "1.1.1.1", "::1", "1.1.1.2", "1.1.1.3"].map(parse);
        let expected = ["::1", "1.1.1.1", "::2", "1.1.1.2", "1.1.1.3"].map(parse);
        assert_eq!(interleaved(given.to_vec()), expected);
    }

    #[test]
    fn a_name_that_moves_is_followed_after_its_time() {
        scene(async |scene| {
            scene.say(&["1.1.1.1"]);
            assert_eq!(scene.hear().await, "1.1.1.1:80");
            scene.say(&["2.2.2.2"]);
            pass(4).await;
            assert_eq!(scene.hear().await, "1.1.1.1:80");
            pass(2).await;
            assert_eq!(scene.hear().await, "2.2.2.2:80");
            assert_eq!(scene.told.asked.get(), 2);
        });
    }

    #[test]
    fn the_last_good_answer_is_used_for_half_a_minute_while_the_resolver_fails() {
        scene(async |scene| {
            scene.say(&["1.1.1.1"]);
            scene.hear().await;
            scene.say(&["no"]);
            for _ in 0..3 {
                pass(9).await;
                assert_eq!(scene.hear().await, "1.1.1.1:80");
            }
            pass(9).await;
            assert_eq!(scene.hear().await, "the resolver is ill");
            scene.say(&[]);
            assert_eq!(scene.hear().await, "it has no address");
        });
    }

    #[test]
    fn a_slow_resolver_costs_no_more_than_a_moment_and_is_asked_once() {
        scene(async |scene| {
            scene.say(&["1.1.1.1"]);
            scene.hear().await;
            pass(6).await;
            scene.say(&["2.2.2.2"]);
            scene.told.after.set(Duration::from_secs(3));
            let begin = Instant::now();
            let all = futures_util::future::join_all((0..500).map(|_| scene.hear())).await;
            assert!(all.iter().all(|heard| heard == "1.1.1.1:80"));
            assert_eq!(begin.elapsed(), Duration::from_millis(250));
            assert_eq!(scene.told.asked.get(), 2);
            // Its answer is not lost.
            pass(4).await;
            assert_eq!(scene.hear().await, "2.2.2.2:80");
            assert_eq!(scene.told.asked.get(), 2);
        });
    }

    #[test]
    fn where_nobody_is_reached_the_name_is_asked_for_anew_once_a_second() {
        scene(async |scene| {
            scene.say(&["1.1.1.1"]);
            scene.hear().await;
            scene.say(&["1.1.1.1", "2.2.2.2"]);
            assert_eq!(scene.moved("1.1.1.1:80").await, 0, "it was asked for just now");
            pass(1).await;
            assert_eq!(scene.moved("1.1.1.1:80").await, 1);
            assert_eq!(scene.moved("1.1.1.1:80").await, 0);
            assert_eq!(scene.told.asked.get(), 2);
            // Whoever had no time left to ask leaves that to the next.
            pass(1).await;
            scene.say(&["3.3.3.3"]);
            assert!(scene.names.doubt("backend"));
            assert_eq!(scene.hear().await, "3.3.3.3:80");
        });
    }
}
