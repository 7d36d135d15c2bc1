//! An issuer's public keys: read from a JWKS or a certificate, swapped whole, asked for anew when a token names one that is not there.

use crate::message::json::{self, Json, JsonLimits};
use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How often tokens with unknown keys may make us ask the issuer.
const BETWEEN_ASKING: Duration = Duration::from_secs(30);
/// How long a request waits for the issuer's answer.
const PATIENCE: Duration = Duration::from_secs(3);
const MOST_KEYS: usize = 100;

/// The keys of one issuer. What was good stays until something better has come whole.
pub struct Keys {
    current: ArcSwap<KeySet>,
    /// Who can be asked; `None` for keys of a file.
    source: Option<Source>,
}

struct Source {
    asked: Notify,
    fetching: Mutex<Fetching>,
    /// Counts the attempts that have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct Fetching {
    running: bool,
    last: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

pub struct Key {
    pub id: Option<String>,
    pub public: DecodingKey,
    sort: Sort,
    /// The one algorithm that the key says it is for.
    algorithm: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Keys {
    /// Keys that are there.
    pub fn of(set: KeySet) -> Arc<Keys> {
        Arc::new(Keys {
            current: ArcSwap::from_pointee(set),
            source: None,
        })
    }

    /// Keys that somebody fetches, at once and when asked.
    pub fn remote() -> Arc<Keys> {
        Arc::new(Keys {
            current: ArcSwap::default(),
            source: Some(Source {
                asked: Notify::new(),
                // The first attempt begins with the program.
                fetching: Mutex::new(Fetching {
                    running: true,
                    last: Some(Instant::now()),
                }),
                ended: watch::Sender::new(0),
            }),
        })
    }

    pub fn now(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    pub fn is_empty(&self) -> bool {
        self.current.load().keys.is_empty()
    }

    pub fn replace(&self, set: KeySet) {
        self.current.store(Arc::new(set));
    }

    /// For a token with an unknown key: asks the issuer if that was not done just now, and waits for what is under way.
    pub async fn ask_and_wait(&self) {
        let Some(source) = &self.source else { return };
        let mut ended = source.ended.subscribe();
        ended.mark_unchanged();
        if source.ask(Instant::now()) {
            drop(tokio::time::timeout(PATIENCE, ended.changed()).await);
        }
    }

    /// For whoever fetches: waits until somebody asks.
    pub async fn asked(&self) {
        match &self.source {
            Some(source) => source.asked.notified().await,
            None => std::future::pending().await,
        }
    }

    /// For whoever fetches: an attempt begins by itself.
    pub fn begin(&self) {
        if let Some(source) = &self.source {
            let mut fetching = source.lock();
            fetching.running = true;
            fetching.last = Some(Instant::now());
        }
    }

    /// For whoever fetches: an attempt has ended, with keys or without.
    pub fn end(&self, set: Option<KeySet>) {
        if let Some(set) = set {
            self.replace(set);
        }
        if let Some(source) = &self.source {
            source.lock().running = false;
            source.ended.send_modify(|count| *count += 1);
        }
    }
}

impl Source {
    fn lock(&self) -> std::sync::MutexGuard<'_, Fetching> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when an answer is worth waiting for.
    fn ask(&self, now: Instant) -> bool {
        let mut fetching = self.lock();
        if fetching.running {
            return true;
        }
        let lately = fetching
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_ASKING);
        if lately {
            return false;
        }
        fetching.running = true;
        fetching.last = Some(now);
        self.asked.notify_one();
        true
    }
}

impl KeySet {
    /// A JWKS (RFC 7517). Keys that are not for signatures, or of a sort that is not taken, are left out; one at least must be left.
    pub fn of_jwks(text: &[u8]) -> Result<KeySet, String> {
        let limits = JsonLimits {
            depth: 16,
            size: 1024 * 1024,
        };
        let json = json::parse(text, &limits).map_err(|error| format!("it is no JWKS: {error}"))?;
        let Some(Json::Array(list)) = json.get("keys") else {
            return Err("it is no JWKS: it has no list `keys`".to_owned());
        };
        let keys: Vec<Key> = list.iter().take(MOST_KEYS).filter_map(Key::of_jwk).collect();
        if keys.is_empty() {
            return Err("none of its keys can be used to check signatures here".to_owned());
        }
        Ok(KeySet { keys })
    }

    /// A certificate, or a public key, in PEM.
    pub fn of_pem(text: &[u8]) -> Result<KeySet, String> {
        type Read = fn(&[u8]) -> Result<DecodingKey, jsonwebtoken::errors::Error>;
        let sorts: [(Read, Sort); 3] = [
            (DecodingKey::from_rsa_pem, Sort::Rsa),
            (DecodingKey::from_ec_pem, Sort::P256),
            (DecodingKey::from_ed_pem, Sort::Ed25519),
        ];
        for (read, mut sort) in sorts {
            let Ok(public) = read(text) else { continue };
            // An uncompressed point tells its curve by its length.
            if sort == Sort::P256 && public.try_get_as_bytes().is_ok_and(|point| point.len() == 97) {
                sort = Sort::P384;
            }
            let key = Key {
                id: None,
                public,
                sort,
                algorithm: None,
            };
            return Ok(KeySet { keys: vec![key] });
        }
        Err(
            "it holds no certificate or public key of RSA, of the curves P-256 and P-384, or Ed25519"
                .to_owned(),
        )
    }

    pub fn fitting(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.fits(algorithm))
    }
}

impl Key {
    fn of_jwk(json: &Json) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let for_signatures = jwk
            .common
            .public_key_use
            .as_ref()
            .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let may_verify = match json.get("key_ops") {
            None => true,
            Some(Json::Array(list)) => list.iter().any(|operation| operation == "verify"),
            Some(_) => false,
        };
        if !for_signatures || !may_verify {
            return None;
        }
        let sort = match &jwk.algorithm {
            // Shorter ones are no protection, and longer ones cost more than a request should.
            AlgorithmParameters::RSA(rsa) if (340..=690).contains(&rsa.n.len()) => Sort::Rsa,
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => Sort::P256,
                EllipticCurve::P384 => Sort::P384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Sort::Ed25519,
            // A secret is not a public key: an issuer that lists one has told everybody.
            _ => return None,
        };
        let algorithm = json.get("alg").and_then(Json::as_str).map(str::to_owned);
        Some(Key {
            id: jwk.common.key_id.clone(),
            public: DecodingKey::from_jwk(&jwk).ok()?,
            sort,
            algorithm,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let spelled = super::check::spelled(algorithm);
        let sort = match algorithm.family() {
            AlgorithmFamily::Rsa => Sort::Rsa,
            AlgorithmFamily::Ed => Sort::Ed25519,
            AlgorithmFamily::Ec if algorithm == Algorithm::ES384 => Sort::P384,
            AlgorithmFamily::Ec => Sort::P256,
            AlgorithmFamily::Hmac => return false,
        };
        self.sort == sort && self.algorithm.as_deref().is_none_or(|own| own == spelled)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current.load().fmt(out)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?}", self.sort, self.id)
    }
}
