//! For tests: a backend in memory that answers from a script, and exchanges written as text.

use super::runtime::{Backends, Clock, Timeouts};
use super::{Catalog, Exchange, Runtime, Worker};
use crate::flow::exchange::Takers;
use crate::flow::request::Request;
use crate::message::Message;
use crate::message::body::ByteStream;
use crate::message::encoding::Encoding;
use crate::message::media_type::MediaType;
use crate::message::payload::Payload;
use crate::message::properties::{Properties, Value};
use crate::message::{body::StreamError, body::StreamErrorKind, body::StreamOrigin};
use crate::script::js::Pool;
use crate::wire::client::{ClientRequest, ClientResponse, Manner, Reached, SendError, SendErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// Answers one request after the other from its script, and remembers what it was sent. When only one answer is left it is given again and
/// again, so that a single answer serves any number of requests.
#[derive(Debug, Default)]
pub struct ScriptedBackend {
    script: RefCell<VecDeque<Scripted>>,
    seen: RefCell<Vec<Seen>>,
}

#[derive(Debug, Clone)]
pub enum Scripted {
    Answer {
        status: StatusCode,
        reason: Option<String>,
        headers: HeaderMap,
        body: Bytes,
    },
    Fails(SendError),
    /// Answers nothing; the request times out after its own response timeout (tests pause the clock).
    Silent,
}

/// A request as the backend got it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// It came with its length, not in chunks.
    pub sized: bool,
    pub http2: bool,
    pub response_timeout: Option<Duration>,
    pub manner: Manner,
}

impl Scripted {
    /// `200 OK`, headers, an empty line, a body. Lines may end with a line feed alone.
    pub fn parse(text: &str) -> Scripted {
        let (head, body) = split(text);
        let mut lines = head.lines();
        let first = lines.next().unwrap_or("200").trim();
        let (status, reason) = match first.split_once(' ') {
            Some((status, reason)) => (status, Some(reason.to_owned())),
            None => (first, None),
        };
        Scripted::Answer {
            status: status.parse().expect("the first line is a status"),
            reason,
            headers: headers(lines),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    pub fn fails(kind: SendErrorKind, reached: Reached) -> Scripted {
        let message = format!("{kind:?}");
        Scripted::Fails(SendError {
            kind,
            message,
            reached,
        })
    }
}

impl ScriptedBackend {
    pub fn new(script: impl IntoIterator<Item = Scripted>) -> Rc<ScriptedBackend> {
        Rc::new(ScriptedBackend {
            script: RefCell::new(script.into_iter().collect()),
            seen: RefCell::default(),
        })
    }

    /// One answer, written as `Scripted::parse` reads it.
    pub fn answering(text: &str) -> Rc<ScriptedBackend> {
        ScriptedBackend::new([Scripted::parse(text)])
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// The only request that came.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request is expected: {seen:?}");
        seen.into_iter().next().expect("it was counted a line above")
    }

    fn next(&self) -> Option<Scripted> {
        let mut script = self.script.borrow_mut();
        if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        }
    }
}

#[async_trait(?Send)]
impl Backends for ScriptedBackend {
    async fn send(&self, request: ClientRequest) -> Result<ClientResponse, SendError> {
        let sized = request.body.exact_length().is_some();
        let timeout = request.response_timeout;
        let (body, _) = request
            .body
            .collect(usize::MAX)
            .await
            .map_err(|error| SendError {
                message: error.message.clone(),
                kind: SendErrorKind::ClientBody(error),
                reached: Reached::Unknown,
            })?;
        self.seen.borrow_mut().push(Seen {
            method: request.method,
            url: request.url.to_string(),
            headers: request.headers,
            body,
            sized,
            http2: request.http2,
            response_timeout: timeout,
            manner: request.manner,
        });
        match self.next() {
            Some(Scripted::Answer {
                status,
                reason,
                headers,
                body,
            }) => Ok(ClientResponse {
                status,
                reason,
                version: Version::HTTP_11,
                headers,
                body: ByteStream::from(body),
                tunnel: None,
            }),
            Some(Scripted::Fails(error)) => Err(error),
            Some(Scripted::Silent) => {
                tokio::time::sleep(timeout.unwrap_or(Duration::from_secs(30))).await;
                Err(SendError {
                    kind: SendErrorKind::Timeout,
                    message: "no answer in time".to_owned(),
                    reached: Reached::Sent,
                })
            }
            None => Err(SendError {
                kind: SendErrorKind::Connect,
                message: "there is no backend in this test".to_owned(),
                reached: Reached::NothingSent,
            }),
        }
    }
}

/// An exchange whose request is written as `POST /path`, headers, an empty line, a body. The clock stands at 2026-01-02T03:04:05Z.
pub fn exchange(request: &str, catalog: Catalog, backend: Rc<ScriptedBackend>) -> Exchange {
    let (head, body) = split(request);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or("").split_whitespace();
    let method: Method = words
        .next()
        .unwrap_or("GET")
        .parse()
        .expect("the first word is a method");
    let target: Arc<str> = Arc::from(words.next().unwrap_or("/"));
    let mut headers = headers(lines);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_static("gateway:8290"));
    }
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(MediaType::parse);
    let encoding = headers
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .map_or(Encoding::Identity, Encoding::parse);
    let payload = if body.is_empty() {
        match target.split_once('?') {
            Some((_, query)) => Payload::query(query),
            None => Payload::empty(),
        }
    } else {
        Payload::stream(
            media_type,
            encoding,
            ByteStream::from(Bytes::copy_from_slice(body.as_bytes())),
        )
    };
    let mut properties = Properties::default();
    properties.set_axis2("HTTP_METHOD", Value::text(method.as_str()));
    if body.is_empty() {
        properties.set_axis2("NO_ENTITY_BODY", Value::Boolean(true));
    }
    let mut message = Message::new(headers, payload);
    message.addressing.to = Some(Arc::clone(&target));
    message.addressing.soap_action = message
        .header("soapaction")
        .map(|action| Arc::from(action.trim_matches('"')))
        .filter(|action: &Arc<str>| !action.is_empty());
    let address = SocketAddr::from(([127, 0, 0, 1], 8290));
    let host = message.headers.get("host").cloned();
    Exchange {
        message,
        properties,
        request: Rc::new(Request::new(method, target, "http", host, (address, address))),
        catalog: Arc::new(catalog),
        worker: worker(backend),
        served_by: Arc::from("test"),
        depth: 0,
        receive: None,
        fault: None,
        reason: None,
        deadline: None,
        errand: false,
        caller: None,
        tunnel: None,
        tried: None,
        takers: Takers::default(),
        passed: None,
    }
}

pub fn worker(backend: Rc<ScriptedBackend>) -> Rc<Worker> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        response: Duration::from_secs(30),
    };
    let clock = Clock::Fixed(AtomicI64::new(1_767_323_045_000));
    let runtime = Arc::new(Runtime::new(clock, 7, timeouts));
    Rc::new(Worker {
        errands: Default::default(),
        client: backend,
        scripts: Pool::new(
            Default::default(),
            Arc::clone(&runtime.stores),
            Arc::clone(&runtime.meters),
        ),
        runtime,
    })
}

/// A client's body that breaks off.
pub fn broken_upload(kind: StreamErrorKind) -> ByteStream {
    let error = StreamError::new(StreamOrigin::Client, kind, "the client went away");
    ByteStream::new(http_body_util::StreamBody::new(futures_util::stream::iter([
        Err(error),
    ])))
}

/// Runs a future in a runtime of its own, with a clock that does not wait.
pub fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// The payload as it would be written without any wish for a form.
pub fn body_text(exchange: &mut Exchange) -> String {
    use crate::message::format::{Body, Target};
    wait(exchange.load()).expect("the body can be read");
    let catalog = Arc::clone(&exchange.catalog);
    let context = catalog.build_context();
    let payload = std::mem::replace(&mut exchange.message.payload, Payload::empty());
    let target = Target::of(payload.form());
    let copy = payload.try_clone().expect("it was loaded above");
    exchange.message.payload = payload;
    match copy.write(&target, &context).expect("it can be written").body {
        Body::Empty => String::new(),
        Body::Bytes { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
        Body::Stream(_) => unreachable!("it was loaded above"),
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_once("\r\n\r\n")
        .or_else(|| text.split_once("\n\n"))
        .unwrap_or((text, ""))
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        headers.append(
            HeaderName::from_bytes(name.trim().as_bytes()).expect("a header's name"),
            HeaderValue::from_str(value.trim()).expect("a header's value"),
        );
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_written_as_text_is_an_exchange() {
        let backend = ScriptedBackend::answering("200\n\nok");
        let mut exchange = exchange(
            "POST /orders?x=1\ncontent-type: text/plain\n\nhello",
            Catalog::default(),
            backend,
        );
        assert_eq!(exchange.request.query(), Some("x=1"));
        assert_eq!(
            exchange.properties.axis2_text("HTTP_METHOD").as_deref(),
            Some("POST")
        );
        assert_eq!(body_text(&mut exchange), "hello");
    }

    #[test]
    fn the_last_answer_of_a_script_is_repeated() {
        let backend =
            ScriptedBackend::new([Scripted::parse("201 Made"), Scripted::parse("404\nx: y\n\ngone")]);
        let statuses: Vec<u16> = (0..3)
            .map(|_| {
                let url = crate::wire::Url::parse("http://backend/").expect("a URL");
                let sent = wait(backend.send(ClientRequest::new(Method::GET, url)));
                sent.expect("an answer").status.as_u16()
            })
            .collect();
        assert_eq!(statuses, [201, 404, 404]);
        assert_eq!(backend.seen().len(), 3);
    }
}
