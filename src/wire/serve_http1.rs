//! Serving a client over HTTP/1: one request after the other, each answered whole before the next is let in.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::answer_head::listed;
use super::connection::{linger, refusal_text};
use super::head::{Head, Refusal, Request};
use super::hop;
use super::requests::{Ends, Next, Requests, SMALL_BODY};
use super::sending::{Framing, Sending, field};
use super::serve::{Peer, has_body, offers_upgrade, overloaded, refused, settle};
use super::server::{Incoming, Reply, Service};
use super::websocket::{self, Tunnel};
use crate::message::body::ByteStream;

/// What the connection is for after an answer.
enum After {
    Another,
    Nothing,
    WebSocket(Tunnel),
}

/// The requests of a connection. However its end comes, whoever still reads a body of them is told.
struct Owned<T: AsyncRead + AsyncWrite + Unpin>(Rc<RefCell<Requests<T>>>);

impl<T: AsyncRead + AsyncWrite + Unpin> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.borrow_mut().give_up();
    }
}

/// Serves a connection to its end. `read` was taken from the stream already; the clock of the first bytes began at `since`.
pub(super) async fn serve_http1<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: T,
    read: BytesMut,
    since: Instant,
    peer: &Peer<S>,
) {
    let (connection, worker) = (Rc::clone(&peer.connection), Rc::clone(&peer.worker));
    let requests = Requests::new(stream, read, since, connection, worker);
    let owned = Owned(Rc::new(RefCell::new(requests)));
    let requests = &owned.0;
    let refusal = loop {
        let next = poll_fn(|task| {
            peer.connection.watch(task);
            requests.borrow_mut().poll_next(task)
        });
        match next.await {
            Next::Request(head, request) => match serve_one(requests, head, request, peer).await {
                After::Another => (),
                After::Nothing => break None,
                After::WebSocket(tunnel) => {
                    let requests = Rc::clone(requests);
                    drop(owned);
                    let Ok(requests) = Rc::try_unwrap(requests) else {
                        tracing::warn!("somebody still reads a request that has become a WebSocket");
                        return;
                    };
                    let (stream, early) = requests.into_inner().into_parts();
                    return Box::pin(websocket::relay(stream, early, tunnel, &peer.connection)).await;
                }
            },
            Next::Refused(refusal) => break Some(refusal),
            Next::End => break None,
        }
    };
    close(requests, refusal, peer.worker.limits().linger).await;
}

/// Ends the connection: tells why if it was refused, and waits a little so that the client can read what it got.
async fn close<T>(requests: &Rc<RefCell<Requests<T>>>, refusal: Option<Refusal>, patience: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let unread = requests.borrow_mut().is_unread() || refusal.is_some();
    requests.borrow_mut().give_up();
    let mut ends = Ends(requests);
    if let Some(refusal) = refusal {
        tracing::debug!(
            status = refusal.status.as_u16(),
            reason = refusal.reason,
            "refused a request"
        );
        match timeout(patience, ends.write_all(refusal_text(refusal).as_bytes())).await {
            Ok(Ok(())) => (),
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let waits = unread && !requests.borrow().has_ended();
    linger(&mut ends, if waits { patience } else { Duration::ZERO }).await;
}

/// Answers one request.
async fn serve_one<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    requests: &Rc<RefCell<Requests<T>>>,
    head: Head,
    request: Request,
    peer: &Peer<S>,
) -> After {
    let limits = peer.worker.limits();
    let is_head = request.method == Method::HEAD;
    // Some readers give such a request no body and take its bytes for the next one, so nothing may follow it.
    let doubtful = (is_head || request.method == Method::GET) && head.framing != Framing::Length(0);
    let wishes_trailers = head.te;
    peer.requests.set(peer.requests.get() + 1);
    let (mut reply, proof, in_flight) = match peer.worker.begin() {
        None => (overloaded(), None, None),
        Some(in_flight) => match incoming(requests, head, request, peer) {
            Err(refusal) => (refused(refusal), None, Some(in_flight)),
            Ok((incoming, proof)) => {
                let mut serving = pin!(peer.contained(incoming));
                let reply = poll_fn(|task| {
                    peer.connection.watch(task);
                    match serving.as_mut().poll(task) {
                        Poll::Ready(reply) => Poll::Ready(Some(reply)),
                        Poll::Pending => requests.borrow_mut().poll_leaving(task).map(|()| None),
                    }
                });
                match reply.await {
                    Some(reply) => (reply, proof, Some(in_flight)),
                    None => {
                        tracing::debug!(remote = %peer.ends.remote, "a client left before its answer");
                        return After::Nothing;
                    }
                }
            }
        },
    };
    let tunnel = reply.tunnel.take();
    let (uninvited, unsaid) = requests.borrow_mut().uninvite();
    let keeps = head.keeps
        && !reply.close
        && !doubtful
        && !uninvited
        && peer.requests.get() < limits.requests_per_connection
        && !peer.connection.is_draining()
        && requests.borrow_mut().left() <= SMALL_BODY;
    let mut front = peer.worker.rooms().front();
    front.extend_from_slice(unsaid);
    let framing = match (&tunnel, proof) {
        (Some(_), Some(proof)) => {
            websocket::agree(&mut reply.headers, proof);
            reply.status = StatusCode::SWITCHING_PROTOCOLS;
            reply.body = ByteStream::empty();
            write_head(&mut front, &reply, head.http10, true, |_| true);
            Framing::Length(0)
        }
        (wanted, _) => {
            if wanted.is_some() {
                tracing::warn!("a WebSocket came about that nobody asked for");
                reply = Reply::new(StatusCode::INTERNAL_SERVER_ERROR);
            }
            settle(&mut reply, is_head);
            let has_body = has_body(reply.status, is_head);
            let framing = match reply.body.exact_length() {
                _ if !has_body => Framing::Length(0),
                _ if reply.body.is_end_stream() => Framing::Length(0),
                Some(length) => Framing::Length(length),
                None if head.http10 => Framing::UntilClosed,
                None => Framing::Chunked,
            };
            let keeps = keeps && framing != Framing::UntilClosed;
            write_head(&mut front, &reply, head.http10, keeps, |name| {
                let is_told_anew = has_body && *name == CONTENT_LENGTH;
                !is_told_anew && !hop::is_standard(name)
            });
            if offers_upgrade(&reply) {
                field(&mut front, UPGRADE.as_str(), b"websocket");
                field(&mut front, CONNECTION.as_str(), b"upgrade");
            }
            match framing {
                Framing::Length(length) if has_body => {
                    field(&mut front, CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
                }
                Framing::Chunked => field(&mut front, TRANSFER_ENCODING.as_str(), b"chunked"),
                Framing::Length(_) | Framing::UntilClosed => (),
            }
            framing
        }
    };
    if !reply.headers.contains_key(DATE) {
        peer.worker.rooms().write_date(&mut front);
    }
    front.extend_from_slice(b"\r\n");
    let announced: Vec<HeaderName> = match framing == Framing::Chunked && wishes_trailers {
        true => listed(&reply.headers, &TRAILER)
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .collect(),
        false => Vec::new(),
    };
    let mut sending = Sending::new(front, reply.body, framing, announced);
    let sent = poll_fn(|task| {
        peer.connection.watch(task);
        match sending.poll(&mut Ends(requests), task) {
            Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
            Poll::Pending => requests.borrow_mut().poll_leaving(task).map(|()| false),
        }
    });
    let sent = sent.await;
    drop(in_flight);
    peer.worker.rooms().take_back(sending.into_front());
    if !sent {
        tracing::debug!(remote = %peer.ends.remote, "an answer ended early");
        return After::Nothing;
    }
    if let Some(tunnel) = tunnel {
        return After::WebSocket(tunnel);
    }
    if !keeps || framing == Framing::UntilClosed {
        return After::Nothing;
    }
    let rest = poll_fn(|task| {
        peer.connection.watch(task);
        requests.borrow_mut().poll_rest(task)
    });
    match rest.await {
        true => After::Another,
        false => After::Nothing,
    }
}

/// A request as the service is to see it, and what its client is to be shown if the WebSocket it asks for comes about.
fn incoming<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    requests: &Rc<RefCell<Requests<T>>>,
    head: Head,
    request: Request,
    peer: &Peer<S>,
) -> Result<(Incoming, Option<HeaderValue>), Refusal> {
    let Request {
        method,
        target,
        authority,
        mut headers,
    } = request;
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    }
    let (version, proof) = match head.http10 {
        true => (Version::HTTP_10, None),
        false if !head.upgrade => (Version::HTTP_11, None),
        false => (Version::HTTP_11, websocket::asked(&method, &headers)),
    };
    let body = Requests::body(requests);
    let mut incoming = peer.incoming(method, target, version, headers, body, head.hops)?;
    incoming.websocket = proof.is_some();
    Ok((incoming, proof))
}

/// Writes the first line of an answer, those of its headers that go out, and what becomes of the connection.
fn write_head(
    front: &mut Vec<u8>,
    reply: &Reply,
    http10: bool,
    keeps: bool,
    goes_out: impl Fn(&HeaderName) -> bool,
) {
    front.reserve(256);
    front.extend_from_slice(if http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    front.extend_from_slice(reply.status.as_str().as_bytes());
    front.push(b' ');
    let own = reply.reason.as_deref().filter(|reason| is_phrase(reason));
    // Some clients take an answer without a phrase for a failure.
    let phrase = own
        .or_else(|| reply.status.canonical_reason())
        .unwrap_or("Status");
    front.extend_from_slice(phrase.as_bytes());
    front.extend_from_slice(b"\r\n");
    for (name, value) in &reply.headers {
        if goes_out(name) {
            field(front, name.as_str(), value.as_bytes());
        }
    }
    match keeps {
        false => field(front, CONNECTION.as_str(), b"close"),
        true if http10 => field(front, CONNECTION.as_str(), b"keep-alive"),
        true => (),
    }
}

/// Whether this can stand in the first line of an answer.
fn is_phrase(reason: &str) -> bool {
    !reason.is_empty()
        && !reason
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
}
