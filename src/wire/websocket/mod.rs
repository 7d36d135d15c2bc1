//! WebSocket: the handshake on both sides, and the tunnel that comes of it.
//!
//! No extensions are agreed on with either side, so what is relayed can be checked without unpacking anything.

mod frames;
mod relay;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use sha1::{Digest, Sha1};

pub(super) use self::relay::relay;
use super::client::Watch;
use super::connect::Metered;
use super::hop;
use super::limits::WebSocketLimits;

/// A backend that has agreed to speak WebSocket, and waits for the client to be told so. Dropped, its connection is closed.
pub struct Tunnel(Box<Backend>);

struct Backend {
    stream: Metered,
    /// Frames that came right behind its agreement.
    read: Bytes,
    limits: WebSocketLimits,
    /// Kept until the tunnel ends.
    watch: Option<Box<dyn Watch>>,
}

impl Tunnel {
    pub(super) fn new(
        stream: Metered,
        read: Bytes,
        limits: WebSocketLimits,
        watch: Option<Box<dyn Watch>>,
    ) -> Self {
        Self(Box::new(Backend {
            stream,
            read,
            limits,
            watch,
        }))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

// The client's side

/// If a request over HTTP/1.1 asks for a WebSocket as RFC 6455 wants it asked: what agreeing to it is proven with.
pub(super) fn asked(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(UPGRADE)
        || *method != Method::GET
        || !names(headers, &UPGRADE, "websocket")
        || !names(headers, &CONNECTION, "upgrade")
        || only(headers, &SEC_WEBSOCKET_VERSION)? != VERSION
    {
        return None;
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY)?.as_bytes().trim_ascii();
    let nonce = STANDARD.decode(key).ok()?;
    (nonce.len() == 16).then(|| proof(key))
}

/// Makes the headers of an answer those of an agreement.
pub(super) fn agree(headers: &mut HeaderMap, proof: HeaderValue) {
    hop::strip_standard(headers);
    for name in [CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_EXTENSIONS] {
        headers.remove(name);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
}

// The backend's side

/// Makes the headers of a request those of a handshake of our own, and says how the backend is to prove that it agrees.
pub(super) fn ask(headers: &mut HeaderMap) -> HeaderValue {
    headers.remove(SEC_WEBSOCKET_ACCEPT);
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let value = HeaderValue::try_from(&key).expect("base64 can stand in a header");
    headers.insert(SEC_WEBSOCKET_KEY, value);
    headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    proof(key.as_bytes())
}

/// Whether a 101 agrees to what was asked for, and to nothing more.
pub(super) fn check_agreement(
    answer: &HeaderMap,
    proof: &HeaderValue,
    offered: &[HeaderValue],
) -> Result<(), &'static str> {
    if !names(answer, &UPGRADE, "websocket") || !names(answer, &CONNECTION, "upgrade") {
        return Err("the backend switched to another protocol than WebSocket");
    }
    if only(answer, &SEC_WEBSOCKET_ACCEPT).is_none_or(|given| given != proof) {
        return Err("the backend's Sec-WebSocket-Accept does not go with the key it was sent");
    }
    if answer.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("the backend agreed to a WebSocket extension that it was not offered");
    }
    let mut chosen = answer.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let was_offered = |protocol: &HeaderValue| {
        let protocol = protocol.as_bytes().trim_ascii();
        offered.iter().flat_map(tokens).any(|one| one == protocol)
    };
    if chosen.next().is_some_and(|chosen| !was_offered(chosen)) || chosen.next().is_some() {
        return Err("the backend chose a WebSocket protocol that it was not offered");
    }
    Ok(())
}

/// What of a backend's agreement concerns its own connection alone.
pub(super) fn strip_agreement(headers: &mut HeaderMap) {
    hop::strip_received(headers);
    headers.remove(SEC_WEBSOCKET_ACCEPT);
    headers.remove(CONTENT_LENGTH);
}

fn proof(key: &[u8]) -> HeaderValue {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    HeaderValue::try_from(STANDARD.encode(digest.finalize())).expect("base64 can stand in a header")
}

/// Whether a list in headers has this word.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(tokens)
        .any(|token| token.eq_ignore_ascii_case(word.as_bytes()))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "upgrade: WebSocket\nconnection: keep-alive, Upgrade\nsec-websocket-version: 13\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(lines: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        headers
    }

    fn check(method: Method, lines: &str, expected: Option<&str>) {
        let proof = asked(&method, &headers(lines));
        let proof = proof.as_ref().map(|proof| proof.to_str().unwrap());
        assert_eq!(proof, expected, "for {lines}");
    }

    #[test]
    fn a_handshake_is_proven_as_in_the_rfc() {
        check(Method::GET, SOUND, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn half_a_handshake_is_an_ordinary_request() {
        check(Method::POST, SOUND, None);
        check(Method::GET, "", None);
        for (from, to) in [
            ("version: 13", "version: 8"),
            ("WebSocket", "h2c"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("bXBsZSBub25jZQ==", ""),
            ("dGhlIHNhbXBsZSBub25jZQ==", "not base64"),
            ("sec-websocket-version: 13\n", ""),
            (
                "sec-websocket-version: 13",
                "sec-websocket-version: 13\nsec-websocket-version: 13",
            ),
        ] {
            check(Method::GET, &SOUND.replace(from, to), None);
        }
    }

    fn agreed(answer: &str, offered: &str) -> Result<(), &'static str> {
        let mut request = headers("sec-websocket-extensions: permessage-deflate\nsec-websocket-key: client");
        let proof = ask(&mut request);
        assert!(!request.contains_key(SEC_WEBSOCKET_EXTENSIONS));
        let answer = answer.replace("PROOF", proof.to_str().unwrap());
        check_agreement(&headers(&answer), &proof, &[offered.parse().unwrap()])
    }

    #[test]
    fn a_backend_agrees_to_what_it_was_asked_and_no_more() {
        let sound = "upgrade: websocket\nconnection: upgrade\nsec-websocket-accept: PROOF";
        assert_eq!(agreed(sound, ""), Ok(()));
        assert_eq!(
            agreed(&format!("{sound}\nsec-websocket-protocol: chat"), "soap, chat"),
            Ok(())
        );
        for (answer, offered) in [
            (sound.replace("PROOF", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ""),
            (sound.replace("upgrade: websocket", "upgrade: h2c"), ""),
            (sound.replace("connection: upgrade", "connection: close"), ""),
            (
                format!("{sound}\nsec-websocket-extensions: permessage-deflate"),
                "",
            ),
            (format!("{sound}\nsec-websocket-protocol: chat"), "soap"),
            (
                format!("{sound}\nsec-websocket-protocol: chat\nsec-websocket-protocol: chat"),
                "chat",
            ),
        ] {
            assert!(agreed(&answer, offered).is_err(), "{answer}");
        }
    }
}
