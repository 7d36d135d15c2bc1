//! Descriptions of services that lie elsewhere: WSDLs that are fetched in the background, and again until they are there. Outlive deployments.

use super::runtime::Backends;
use crate::message::encoding::Encoding;
use crate::message::wsdl::{self, Wsdl};
use crate::wire::client::ClientRequest;
use crate::wire::url::Url;
use http::header::{ACCEPT, CONTENT_ENCODING};
use http::{HeaderValue, Method, StatusCode};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// All of it, with what it imports.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All descriptions that somebody wants, by address.
#[derive(Debug, Default)]
pub struct Descriptions {
    known: Mutex<HashMap<Arc<str>, Arc<Description>>>,
    asked: Notify,
}

/// One of them.
#[derive(Debug)]
pub struct Description {
    pub url: Arc<str>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    /// The last one that could be read.
    wsdl: Option<Arc<Wsdl>>,
    /// Why there is no newer one.
    reason: Option<String>,
    /// When it is asked for next.
    next: Option<Instant>,
    failures: u32,
    asking: bool,
}

/// Why there is none, and when it is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub reason: String,
    pub retry_after: Option<Duration>,
}

impl Descriptions {
    /// The description at an address; it is fetched from now on.
    pub fn attach(&self, url: &Arc<str>) -> Arc<Description> {
        let mut known = lock(&self.known);
        let description = known.entry(Arc::clone(url)).or_insert_with(|| {
            self.asked.notify_one();
            Arc::new(Description {
                url: Arc::clone(url),
                now: Mutex::new(Now {
                    next: Some(Instant::now()),
                    ..Now::default()
                }),
            })
        });
        Arc::clone(description)
    }

    /// After a load: those that nobody wants any more are forgotten, and the others are asked for anew. What was read serves until then.
    pub fn adopt<'a>(&self, urls: impl IntoIterator<Item = &'a Arc<str>>) {
        let urls: HashSet<&Arc<str>> = urls.into_iter().collect();
        for url in &urls {
            lock(&self.attach(url).now).next = Some(Instant::now());
        }
        lock(&self.known).retain(|url, _| urls.contains(url));
        self.asked.notify_one();
    }

    /// Fetches what is wanted, for ever. One thread does so for all. Must run inside a `LocalSet`.
    pub async fn keep(&self, client: Rc<dyn Backends>) {
        loop {
            let asked = self.asked.notified();
            let now = Instant::now();
            let mut soonest: Option<Instant> = None;
            let all: Vec<Arc<Description>> = lock(&self.known).values().cloned().collect();
            for description in all {
                let mut state = lock(&description.now);
                match state.next {
                    Some(next) if next <= now && !state.asking => {
                        state.asking = true;
                        drop(state);
                        let client = Rc::clone(&client);
                        tokio::task::spawn_local(async move { description.ask(&*client).await });
                        // It says when it is to be asked next; look again by then.
                        soonest = Some(now + Duration::from_secs(1));
                    }
                    Some(_) if state.asking => soonest = Some(now + Duration::from_secs(1)),
                    Some(next) => soonest = Some(soonest.map_or(next, |before| before.min(next))),
                    None => {}
                }
            }
            match soonest {
                Some(soonest) => {
                    tokio::select! {
                        () = asked => {}
                        () = sleep_until(soonest) => {}
                    }
                }
                None => asked.await,
            }
        }
    }
}

impl Description {
    /// The WSDL, if it is there.
    pub fn wsdl(&self) -> Result<Arc<Wsdl>, Missing> {
        let now = lock(&self.now);
        if let Some(wsdl) = &now.wsdl {
            return Ok(Arc::clone(wsdl));
        }
        let reason = now.reason.as_deref().unwrap_or("it is being fetched");
        let left = now
            .next
            .map(|next| next.saturating_duration_since(Instant::now()));
        Err(Missing {
            reason: format!("the WSDL at {} is not there: {reason}", self.url),
            retry_after: left,
        })
    }

    async fn ask(&self, client: &dyn Backends) {
        let fetched = match timeout(PATIENCE, fetch(client, &self.url)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("it did not come within {} s", PATIENCE.as_secs())),
        };
        let mut now = lock(&self.now);
        now.asking = false;
        match fetched {
            Ok(wsdl) => {
                if now.reason.is_some() || now.wsdl.is_none() {
                    tracing::info!(url = %self.url, "The WSDL is there.");
                }
                *now = Now {
                    wsdl: Some(Arc::new(wsdl)),
                    ..Now::default()
                };
            }
            Err(reason) => {
                let wait = Duration::from_secs(1 << now.failures.min(6)).min(LONGEST_WAIT);
                if now.reason.as_ref() != Some(&reason) {
                    let serves = if now.wsdl.is_some() {
                        "the last one serves"
                    } else {
                        "none"
                    };
                    tracing::warn!(url = %self.url, reason, serves, "A WSDL cannot be fetched; it is asked for again.");
                }
                now.reason = Some(reason);
                now.next = Some(Instant::now() + wait);
                now.failures += 1;
            }
        }
    }
}

/// A WSDL and what it imports. Only what lies beside it is followed: a description must not make the gateway call hosts that its author never
/// named.
async fn fetch(client: &dyn Backends, address: &str) -> Result<Wsdl, String> {
    let first = Url::parse(address).map_err(|invalid| invalid.to_string())?;
    let mut left = wsdl::MOST_BYTES;
    let bytes = get(client, &first, left).await?;
    left -= bytes.len();
    let mut whole = Wsdl::read(&bytes)?;
    let mut seen: HashSet<String> = HashSet::from([first.to_string()]);
    let mut wanted: VecDeque<String> = VecDeque::new();
    let note = |wanted: &mut VecDeque<String>,
                seen: &mut HashSet<String>,
                base: &str,
                imports: &[String],
                unread: &mut Vec<String>| {
        for import in imports {
            let meant = wsdl::resolve(base, import);
            match Url::parse(&meant) {
                Ok(url) if url.origin == first.origin => {
                    if seen.insert(url.to_string()) {
                        wanted.push_back(url.to_string());
                    }
                }
                _ => unread.push(format!(
                    "{meant} (only {} is asked for what it imports)",
                    first.origin
                )),
            }
        }
    };
    let imports = std::mem::take(&mut whole.imports);
    note(&mut wanted, &mut seen, address, &imports, &mut whole.unread);
    while let Some(next) = wanted.pop_front() {
        if seen.len() > wsdl::MOST_DOCUMENTS {
            return Err(wsdl::too_many());
        }
        let url = Url::parse(&next).map_err(|invalid| invalid.to_string())?;
        let read = match get(client, &url, left).await {
            Ok(bytes) => {
                left -= bytes.len();
                Wsdl::read(&bytes)
            }
            Err(reason) => Err(reason),
        };
        match read {
            Ok(imported) => {
                note(
                    &mut wanted,
                    &mut seen,
                    &next,
                    &imported.imports,
                    &mut whole.unread,
                );
                whole.add(imported);
            }
            Err(reason) => whole.unread.push(format!("{next} ({reason})")),
        }
    }
    Ok(whole)
}

async fn get(client: &dyn Backends, url: &Url, most: usize) -> Result<Vec<u8>, String> {
    let mut request = ClientRequest::new(Method::GET, url.clone());
    let accepted = HeaderValue::from_static("text/xml, application/wsdl+xml, application/xml");
    request.headers.insert(ACCEPT, accepted);
    let answer = client.send(request).await.map_err(|error| error.message)?;
    if answer.status != StatusCode::OK {
        // Where a redirect leads nobody has allowed.
        return Err(format!("it is answered with {}", answer.status.as_u16()));
    }
    let packed = answer
        .headers
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .map_or(Encoding::Identity, Encoding::parse);
    let (bytes, _) = answer
        .body
        .collect(most)
        .await
        .map_err(|error| match error.kind {
            crate::message::body::StreamErrorKind::TooLarge => wsdl::too_large(),
            _ => error.message,
        })?;
    packed
        .decode(&bytes, most)
        .map_err(|_| "it cannot be unpacked, or is too large".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::{Scripted, ScriptedBackend};

    const EMPTY: &str = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>"#;

    fn document(inside: &str) -> String {
        format!(
            "200\ncontent-type: text/xml\n\n<definitions xmlns=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:s=\"http://schemas.xmlsoap.org/wsdl/soap/\">{inside}</definitions>"
        )
    }

    const SERVICE: &str =
        r#"<service name="Q"><port name="P"><s:address location="http://backend/q"/></port></service>"#;

    /// What comes of fetching `http://h/a?wsdl` from a server with these answers, and what it was asked for.
    fn fetched(answers: &[String]) -> (Result<Wsdl, String>, Vec<String>) {
        let backend = ScriptedBackend::new(answers.iter().map(|answer| Scripted::parse(answer)));
        let fetched = crate::flow::testing::wait(fetch(&*backend, "http://h/a?wsdl"));
        let asked = backend.seen().into_iter().map(|seen| seen.url).collect();
        (fetched, asked)
    }

    #[test]
    fn imports_beside_it_are_followed_once_each() {
        let (wsdl, asked) = fetched(&[
            document(
                r#"<import location="b"/><import location="a?wsdl"/><import location="file:///etc/passwd"/><import location="http://169.254.169.254/x"/>"#,
            ),
            document(&format!(
                r#"{SERVICE}<import location="a?wsdl"/><import location="b"/>"#
            )),
        ]);
        let wsdl = wsdl.expect("it is read");
        assert_eq!(asked, ["http://h/a?wsdl", "http://h/b"]);
        assert_eq!(
            wsdl.address(None, None).map(|found| found.location),
            Ok("http://backend/q".to_owned())
        );
        let missing = wsdl.address(Some("X"), None).expect_err("there is none");
        assert!(
            missing.contains("not read: file:///etc/passwd (only http://h is asked for what it imports); http://169.254.169.254/x"),
            "{missing}"
        );
    }

    #[test]
    fn more_documents_than_a_service_has_are_not_read() {
        let imports: String = (0..40)
            .map(|number| format!("<import location=\"{number}\"/>"))
            .collect();
        let (wsdl, asked) = fetched(&[document(&imports)]);
        assert_eq!(
            (wsdl, asked.len()),
            (Err("it imports more than 32 documents".to_owned()), 1)
        );
    }

    #[test]
    fn what_is_no_wsdl_is_not_taken() {
        for (answer, reason) in [
            ("302\nlocation: http://inner/\n\n", "it is answered with 302"),
            ("404\n\n", "it is answered with 404"),
            ("200\n\n<html/>", "it is no WSDL but <html>"),
        ] {
            let (wsdl, asked) = fetched(&[answer.to_owned()]);
            assert_eq!((wsdl, asked.len()), (Err(reason.to_owned()), 1));
        }
        let large = format!("200\n\n{}", " ".repeat(wsdl::MOST_BYTES + 1));
        assert_eq!(fetched(&[large]).0, Err("it is larger than 5 MiB".to_owned()));
    }

    #[test]
    fn it_is_asked_for_until_it_is_there_and_the_last_one_serves() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let descriptions = Rc::new(Descriptions::default());
            let backend = ScriptedBackend::new([
                Scripted::parse("503\n\n"),
                Scripted::parse("503\n\n"),
                Scripted::parse(&format!("200\n\n{EMPTY}")),
                Scripted::parse("503\n\n"),
            ]);
            let url: Arc<str> = Arc::from("http://h/a?wsdl");
            descriptions.adopt([&url]);
            let description = descriptions.attach(&url);
            let missing = description.wsdl().expect_err("not yet");
            assert_eq!(
                missing.reason,
                "the WSDL at http://h/a?wsdl is not there: it is being fetched"
            );
            let keeper = Rc::clone(&descriptions);
            let client: Rc<dyn Backends> = backend.clone();
            let keeping = tokio::task::spawn_local(async move { keeper.keep(client).await });
            // The clock is paused: it moves when everybody waits.
            let after = async |millis: u64| tokio::time::sleep(Duration::from_millis(millis)).await;
            after(500).await;
            let missing = description.wsdl().expect_err("not yet");
            assert_eq!(
                missing.reason,
                "the WSDL at http://h/a?wsdl is not there: it is answered with 503"
            );
            assert!(
                missing
                    .retry_after
                    .is_some_and(|after| after <= Duration::from_secs(1))
            );
            assert_eq!(backend.seen().len(), 1);
            after(1000).await;
            assert_eq!(backend.seen().len(), 2);
            after(3000).await;
            assert!(description.wsdl().is_ok());
            after(600_000).await;
            assert_eq!(backend.seen().len(), 3, "nobody asks for what is there");
            descriptions.adopt([&url]);
            after(100).await;
            assert_eq!(backend.seen().len(), 4);
            assert!(description.wsdl().is_ok(), "the last one serves");
            keeping.abort();
        });
    }
}
