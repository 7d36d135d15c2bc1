//! `<digest>`: a name and a hash of the password, for a nonce that the backend gives (RFC 7616).
//!
//! The nonce is kept, so that one call in many is made twice.

use super::challenge::{self, Challenge};
use super::{PASSWORD, Secret, USERNAME, hidden, key, refused, secret_in};
use crate::flow::credentials::{Credentials, Key, Signer};
use crate::flow::{Exchange, Fault, Worker};
use crate::message::body::ByteStream;
use crate::message::replay::ReplayLimits;
use crate::plan::{Child, Children, Element, Planner};
use crate::wire::client::{ClientRequest, ClientResponse};
use crate::wire::url::Url;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use md5::Md5;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256, Sha512_256};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const DIGEST: Child = Child::optional(
    "digest",
    &[],
    Children::of(&[USERNAME, PASSWORD]),
    "A name and a hash of the password (RFC 7616: MD5, SHA-256 and SHA-512-256, each with `-sess`; qop `auth` and `auth-int`). The first request is sent twice, those after \
     it once, as long as the backend takes its nonce; bodies of up to 256 MB are kept until the backend has taken them.",
);

pub fn plan(element: &Element, name: &Arc<str>, planner: &mut Planner<'_>) -> Option<Arc<dyn Credentials>> {
    let username = secret_in(element, "username", planner);
    let password = secret_in(element, "password", planner);
    Some(Arc::new(DigestAuth {
        endpoint: Arc::clone(name),
        username: username?,
        password: password?,
    }))
}

#[derive(Debug)]
struct DigestAuth {
    endpoint: Arc<str>,
    username: Secret,
    password: Secret,
}

#[async_trait(?Send)]
impl Credentials for DigestAuth {
    async fn of(&self, exchange: &mut Exchange) -> Result<Box<dyn Signer>, Fault> {
        Ok(Box::new(Signature {
            endpoint: Arc::clone(&self.endpoint),
            username: self.username.of(exchange).await?.into_owned(),
            password: self.password.of(exchange).await?.into_owned(),
            largest: exchange.catalog.limits.body,
            used: RefCell::default(),
        }))
    }
}

/// What a backend asked for last, and how often it was answered.
#[derive(Default)]
struct Known(Mutex<Option<Nonce>>);

#[derive(Clone)]
struct Nonce {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    qop: Qop,
    hashed_name: bool,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Algorithm {
    hash: Hash,
    session: bool,
    /// The backend named it.
    named: bool,
}

/// The stronger the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// As in RFC 2069: no count, no nonce of ours.
    None,
    Auth,
    AuthInt,
}

impl Known {
    fn get(&self) -> MutexGuard<'_, Option<Nonce>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Signature {
    endpoint: Arc<str>,
    username: String,
    password: String,
    largest: usize,
    /// The nonce that this request was signed with.
    used: RefCell<Option<String>>,
}

impl Signature {
    fn key(&self, url: &Url) -> Key {
        key(&[
            "digest",
            &self.endpoint,
            &url.origin.to_string(),
            &self.username,
            &self.password,
        ])
    }

    fn known(&self, worker: &Worker, url: &Url) -> Arc<Known> {
        worker.runtime.shelf.get(&self.key(url))
    }
}

#[async_trait(?Send)]
impl Signer for Signature {
    fn keep(&self, worker: &Worker, url: &Url) -> Option<ReplayLimits> {
        let asked_before = self.known(worker, url).get().is_some();
        // With a nonce the second time is the exception: not worth a file.
        let disk = if asked_before {
            0
        } else {
            ReplayLimits::default().disk
        };
        Some(ReplayLimits {
            disk,
            ..ReplayLimits::default()
        })
    }

    fn repeats(&self) -> bool {
        true
    }

    async fn sign(&self, worker: &Worker, request: &mut ClientRequest) -> Result<(), Fault> {
        // What the client sent is not for this backend, whether or not there is something to take its place.
        request.headers.remove(AUTHORIZATION);
        let known = self.known(worker, &request.url);
        let nonce = {
            let mut known = known.get();
            let Some(nonce) = known.as_mut() else {
                return Ok(());
            };
            nonce.count = nonce.count.saturating_add(1);
            nonce.clone()
        };
        let body = match nonce.qop {
            Qop::AuthInt => Some(self.whole_body(request).await?),
            Qop::None | Qop::Auth => None,
        };
        let method = request.method.as_str();
        let uri = request.url.path_and_query.as_str();
        let cnonce = format!("{:032x}", fastrand::u128(..));
        let answer = nonce.answer(
            &self.username,
            &self.password,
            method,
            uri,
            &cnonce,
            body.as_deref(),
        );
        request.headers.insert(AUTHORIZATION, hidden(&answer)?);
        self.used.replace(Some(nonce.nonce));
        Ok(())
    }

    fn answered(&self, worker: &Worker, url: &Url, response: &ClientResponse) -> bool {
        let known = self.known(worker, url);
        let mut known = known.get();
        if response.status != StatusCode::UNAUTHORIZED {
            let next = next_nonce(&response.headers);
            if let (Some(next), Some(nonce)) = (next, known.as_mut()) {
                nonce.nonce = next;
                nonce.count = 0;
            }
            return false;
        }
        let used = self.used.take();
        let Some((nonce, stale)) = strongest(&response.headers) else {
            *known = None;
            return false;
        };
        let again = match &used {
            None => true,
            // The same password again would be refused again, and may lock the account.
            Some(_) => stale,
        };
        // Somebody else may have got a newer one meanwhile; the backend's last word is as good.
        *known = again.then_some(nonce);
        again
    }
}

impl Signature {
    async fn whole_body(&self, request: &mut ClientRequest) -> Result<Bytes, Fault> {
        let body = std::mem::replace(&mut request.body, ByteStream::empty());
        let (bytes, _) = body.collect(self.largest).await.map_err(|error| {
            refused(format!(
                "the body cannot be signed (qop auth-int): {}",
                error.message
            ))
        })?;
        request.body = ByteStream::from(bytes.clone());
        Ok(bytes)
    }
}

fn next_nonce(headers: &HeaderMap) -> Option<String> {
    let info = headers.get("authentication-info")?;
    let parameters = challenge::parameters(&String::from_utf8_lossy(info.as_bytes()));
    let mut parameters = parameters.into_iter();
    parameters
        .find(|(name, value)| name == "nextnonce" && !value.is_empty())
        .map(|(_, value)| value)
}

/// The strongest challenge that can be answered, and whether the backend says that the nonce alone was too old.
fn strongest(headers: &HeaderMap) -> Option<(Nonce, bool)> {
    let mut best: Option<(Nonce, bool)> = None;
    for header in headers.get_all(WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(header.as_bytes());
        for challenge in challenge::challenges(&text) {
            let Some(nonce) = Nonce::of(&challenge) else {
                continue;
            };
            let stronger = best
                .as_ref()
                .is_none_or(|(best, _)| nonce.algorithm.hash > best.algorithm.hash);
            if stronger {
                let stale = challenge
                    .get("stale")
                    .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
                best = Some((nonce, stale));
            }
        }
    }
    best
}

impl Nonce {
    fn of(challenge: &Challenge) -> Option<Nonce> {
        if challenge.scheme != "digest" {
            return None;
        }
        let algorithm = Algorithm::named(challenge.get("algorithm"))?;
        let qop = match challenge.get("qop") {
            None => Qop::None,
            Some(offered) => {
                let offers = |wanted: &str| {
                    offered
                        .split(',')
                        .any(|one| one.trim().eq_ignore_ascii_case(wanted))
                };
                match (offers("auth"), offers("auth-int")) {
                    (true, _) => Qop::Auth,
                    (false, true) => Qop::AuthInt,
                    (false, false) => return None,
                }
            }
        };
        Some(Nonce {
            realm: challenge.get("realm").unwrap_or("").to_owned(),
            nonce: challenge.get("nonce")?.to_owned(),
            opaque: challenge.get("opaque").map(str::to_owned),
            algorithm,
            qop,
            hashed_name: challenge
                .get("userhash")
                .is_some_and(|hashed| hashed.eq_ignore_ascii_case("true")),
            count: 0,
        })
    }

    /// The value of `Authorization`.
    fn answer(
        &self,
        username: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
        body: Option<&[u8]>,
    ) -> String {
        let hash = |text: &str| self.algorithm.hash.of(text.as_bytes());
        let mut secret = hash(&format!("{username}:{}:{password}", self.realm));
        if self.algorithm.session {
            secret = hash(&format!("{secret}:{}:{cnonce}", self.nonce));
        }
        let what = match self.qop {
            Qop::AuthInt => {
                let body = self.algorithm.hash.of(body.unwrap_or_default());
                hash(&format!("{method}:{uri}:{body}"))
            }
            Qop::None | Qop::Auth => hash(&format!("{method}:{uri}")),
        };
        let count = format!("{:08x}", self.count);
        let response = match self.qop {
            Qop::None => hash(&format!("{secret}:{}:{what}", self.nonce)),
            qop => hash(&format!(
                "{secret}:{}:{count}:{cnonce}:{}:{what}",
                self.nonce,
                qop.name()
            )),
        };
        let mut out = String::from("Digest ");
        if self.hashed_name {
            let name = hash(&format!("{username}:{}", self.realm));
            push(&mut out, format_args!("username=\"{name}\", userhash=true"));
        } else if username.is_ascii() && !username.bytes().any(|byte| byte.is_ascii_control()) {
            push(&mut out, format_args!("username=\"{}\"", escaped(username)));
        } else {
            let name = utf8_percent_encode(username, NON_ALPHANUMERIC);
            push(&mut out, format_args!("username*=UTF-8''{name}"));
        }
        push(
            &mut out,
            format_args!(
                ", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
                escaped(&self.realm),
                escaped(&self.nonce),
                escaped(uri),
            ),
        );
        if self.algorithm.named {
            push(&mut out, format_args!(", algorithm={}", self.algorithm.name()));
        }
        if let Some(opaque) = &self.opaque {
            push(&mut out, format_args!(", opaque=\"{}\"", escaped(opaque)));
        }
        if self.qop != Qop::None {
            push(
                &mut out,
                format_args!(", qop={}, nc={count}, cnonce=\"{cnonce}\"", self.qop.name()),
            );
        } else if self.algorithm.session {
            push(&mut out, format_args!(", cnonce=\"{cnonce}\""));
        }
        out
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

impl Algorithm {
    fn named(name: Option<&str>) -> Option<Algorithm> {
        let named = name.is_some();
        let name = name.unwrap_or("MD5").to_ascii_uppercase();
        let (hash, session) = match name.strip_suffix("-SESS") {
            Some(hash) => (hash, true),
            None => (name.as_str(), false),
        };
        let hash = match hash {
            "MD5" => Hash::Md5,
            "SHA-256" => Hash::Sha256,
            "SHA-512-256" => Hash::Sha512,
            _ => return None,
        };
        Some(Algorithm { hash, session, named })
    }

    fn name(self) -> String {
        let hash = match self.hash {
            Hash::Md5 => "MD5",
            Hash::Sha256 => "SHA-256",
            Hash::Sha512 => "SHA-512-256",
        };
        let session = if self.session { "-sess" } else { "" };
        format!("{hash}{session}")
    }
}

impl Hash {
    /// In hexadecimal digits.
    fn of(self, bytes: &[u8]) -> String {
        let hash: Vec<u8> = match self {
            Hash::Md5 => Md5::digest(bytes).to_vec(),
            Hash::Sha256 => Sha256::digest(bytes).to_vec(),
            Hash::Sha512 => Sha512_256::digest(bytes).to_vec(),
        };
        hash.iter().fold(String::new(), |mut text, byte| {
            push(&mut text, format_args!("{byte:02x}"));
            text
        })
    }
}

impl Qop {
    fn name(self) -> &'static str {
        match self {
            Qop::None => "",
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(challenge: &str) -> Nonce {
        let challenge = challenge::challenges(challenge).remove(0);
        let mut nonce = Nonce::of(&challenge).unwrap();
        nonce.count = 1;
        nonce
    }

    fn response(answer: &str) -> &str {
        answer
            .split("response=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
    }

    /// The examples of RFC 7616, 3.9.1 and 3.9.2.
    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let nonce = nonce(&format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            ));
            let answer = nonce.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce, None);
            assert_eq!(response(&answer), expected, "{algorithm}");
            assert!(answer.contains("nc=00000001"), "{answer}");
        }
        let nonce = nonce(
            r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#,
        );
        let answer = nonce.answer(
            "J\u{e4}s\u{f8}n Doe",
            "Secret, or not?",
            "GET",
            "/doe.json",
            "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
            None,
        );
        // The RFC's own figures are wrong (erratum 4897 and others); the name's is that of the erratum.
        assert!(answer.contains("userhash=true"), "{answer}");
        assert_eq!(response(&answer).len(), 64);
    }

    #[test]
    fn rfc_2069_and_sessions_are_answered() {
        let old = nonce(r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#);
        let answer = old.answer("Mufasa", "CircleOfLife", "GET", "/dir/index.html", "x", None);
        assert_eq!(response(&answer), "1949323746fe6a43ef61f9606e7febea");
        assert!(
            !answer.contains("cnonce") && !answer.contains("algorithm"),
            "{answer}"
        );
        let session = nonce(r#"Digest realm="r", nonce="n", algorithm=md5-SESS, qop="auth-int""#);
        let answer = session.answer("u", "p:with:colons", "PUT", "/", "c", Some(b"body"));
        let hash = |text: &str| Hash::Md5.of(text.as_bytes());
        let first = hash(&format!("{}:n:c", hash("u:r:p:with:colons")));
        let second = hash(&format!("PUT:/:{}", hash("body")));
        assert_eq!(
            response(&answer),
            hash(&format!("{first}:n:00000001:c:auth-int:{second}"))
        );
        assert!(answer.contains("algorithm=MD5-sess"), "{answer}");
    }

    #[test]
    fn the_strongest_challenge_is_taken_and_unknown_ones_are_left() {
        let mut headers = HeaderMap::new();
        for text in [
            "Basic realm=\"x\"",
            "Digest realm=\"r\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\", stale=True",
            "Digest realm=\"r\", nonce=\"3\", algorithm=TIGER, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"4\", algorithm=SHA-512-256, qop=\"strange\"",
        ] {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        let (nonce, stale) = strongest(&headers).unwrap();
        assert_eq!((nonce.nonce.as_str(), stale), ("2", true));
    }

    #[test]
    fn names_that_are_not_ascii_and_quotes_are_written_as_the_rfc_says() {
        let nonce = nonce(r#"Digest realm="a \"b\"", nonce="n", qop="auth""#);
        let answer = nonce.answer("Zoë", "p", "GET", "/", "c", None);
        assert!(answer.contains("username*=UTF-8''Zo%C3%AB"), "{answer}");
        assert!(answer.contains(r#"realm="a \"b\"""#), "{answer}");
    }
}
