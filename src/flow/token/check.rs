//! One token: taken apart by the letter of RFC 7515 and 7519, then held against its issuer.

use super::keys::{Key, Keys};
use super::{Checking, Claims, Issuer, KeyType, Refusal};
use crate::message::json::{self, Json, JsonLimits, Object};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// A token is a header line: who sends more wants something else.
const LONGEST: usize = 16 * 1024;
const LONGEST_KEY_ID: usize = 256;
/// Keys that are tried for a token that names none.
const MOST_TRIED: usize = 8;
const LIMITS: JsonLimits = JsonLimits {
    depth: 16,
    size: LONGEST,
};

/// What these say of the type of a token makes it an access token; `typ` may be absent. Others are tokens for something else (RFC 8725 3.11).
const TYPES: &[&str] = &["jwt", "at+jwt", "application/at+jwt", "application/jwt"];

/// Taken apart, and not to be believed yet.
#[derive(Debug)]
pub struct Parsed<'t> {
    algorithm: String,
    key_id: Option<String>,
    pub claims: Object,
    /// Header and claims as they were signed.
    signed: &'t [u8],
    signature: &'t str,
}

impl Parsed<'_> {
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.signed);
        hash.update(self.signature);
        hash.finalize().into()
    }
}

pub fn parse(token: &[u8]) -> Result<Parsed<'_>, Refusal> {
    if token.len() > LONGEST {
        return Err(Refusal::Invalid("it is longer than 16 KiB"));
    }
    let token = std::str::from_utf8(token).map_err(|_| Refusal::Invalid("it is no text"))?;
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(Refusal::Invalid("it does not have three parts"));
    };
    if [header, claims, signature].iter().any(|part| part.is_empty()) {
        return Err(Refusal::Invalid("one of its parts is empty"));
    }
    let signed = &token.as_bytes()[..header.len() + 1 + claims.len()];
    let header = object(header)?;
    let claims = object(claims)?;
    for name in ["crit", "b64", "enc", "zip"] {
        if header.contains_key(name) {
            return Err(Refusal::Invalid("its header asks for what is not done here"));
        }
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Invalid("its header is not as it should be")),
    };
    if let Some(kind) = text("typ")?
        && !TYPES.contains(&kind.to_ascii_lowercase().as_str())
    {
        return Err(Refusal::Invalid("it is a token for something else"));
    }
    let key_id = text("kid")?;
    if key_id.as_ref().is_some_and(|id| id.len() > LONGEST_KEY_ID) {
        return Err(Refusal::Invalid("its key id is too long"));
    }
    Ok(Parsed {
        algorithm: text("alg")?.ok_or(Refusal::Invalid("it names no algorithm"))?,
        key_id,
        claims,
        signed,
        signature,
    })
}

/// Holds a token against one issuer. `now` is in seconds since 1970.
pub fn check(token: &Parsed<'_>, issuer: &Issuer, now: i64) -> Result<Claims, Checking> {
    let refused = |reason| Checking::Refused(Refusal::Invalid(reason));
    let named = |algorithm: &&Algorithm| spelled(**algorithm) == token.algorithm;
    let Some(algorithm) = issuer.algorithms.iter().find(named).copied() else {
        return Err(refused("its algorithm is not one of the settings"));
    };
    verify(token, algorithm, &issuer.keys)?;

    // From here on its words are its issuer's.
    let claims = &token.claims;
    let skew = issuer.skew.as_secs_f64();
    let now = now as f64;
    let expires = match claims.get("exp").map(seconds) {
        Some(Some(expires)) => expires,
        Some(None) => return Err(refused("its `exp` is no time")),
        None => return Err(refused("it has no `exp`")),
    };
    if now >= expires + skew {
        return Err(Checking::Refused(Refusal::Expired));
    }
    match claims.get("nbf").map(seconds) {
        Some(Some(from)) if now + skew >= from => {}
        Some(_) => return Err(refused("its time has not come")),
        None => {}
    }
    if !issuer.audience.is_empty() && !meets(claims.get("aud"), &issuer.audience) {
        return Err(refused("it is meant for somebody else"));
    }
    let scopes = scopes(claims.get(&issuer.scope_claim));
    if !issuer.scopes.iter().all(|needed| scopes.contains(needed)) {
        return Err(Checking::Refused(Refusal::Scope(issuer.scopes.clone())));
    }
    let key_type = match claims.get(&issuer.key_type_claim) {
        None | Some(Json::Null) => KeyType::Production,
        Some(Json::String(text)) => KeyType::named(text),
        Some(_) => return Err(refused("its key type is no text")),
    };
    Ok(Claims {
        all: Arc::new(claims.clone()),
        kind: issuer.kind,
        key_type,
        scopes: Arc::from(scopes),
        expires: expires as i64,
        digest: token.digest(),
    })
}

fn verify(token: &Parsed<'_>, algorithm: Algorithm, keys: &Arc<Keys>) -> Result<(), Checking> {
    let set = keys.now();
    let fitting: Vec<&Key> = set
        .fitting(algorithm)
        .filter(|key| match (&key.id, &token.key_id) {
            (Some(own), Some(asked)) => own == asked,
            // A certificate has no id, and some issuers write none.
            _ => true,
        })
        .take(MOST_TRIED)
        .collect();
    if fitting.is_empty() {
        return Err(Checking::UnknownKey(Arc::clone(keys)));
    }
    let good = |key: &&Key| {
        jsonwebtoken::crypto::verify(token.signature, token.signed, &key.public, algorithm).unwrap_or(false)
    };
    if fitting.iter().any(good) {
        return Ok(());
    }
    Err(Checking::Refused(Refusal::Invalid("its signature is not good")))
}

/// An algorithm as RFC 7518 spells it, and nothing else.
pub fn spelled(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

fn seconds(value: &Json) -> Option<f64> {
    value.as_number()?.as_f64().filter(|seconds| seconds.is_finite())
}

/// A text, or a list of them.
fn meets(claim: Option<&Json>, wanted: &[String]) -> bool {
    let is_wanted = |text: &Json| {
        text.as_str()
            .is_some_and(|text| wanted.iter().any(|wanted| wanted == text))
    };
    match claim {
        Some(Json::Array(list)) => list.iter().any(is_wanted),
        Some(text) => is_wanted(text),
        None => false,
    }
}

/// Words with spaces between, or a list.
fn scopes(claim: Option<&Json>) -> Vec<String> {
    match claim {
        Some(Json::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// One part of a token. Names that stand there twice are refused: whoever reads the other one of them is lied to.
fn object(part: &str) -> Result<Object, Refusal> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refusal::Invalid("it is not base64url"))?;
    match json::parse(&bytes, &LIMITS) {
        Ok(Json::Object(object)) if !repeats(&bytes) => Ok(object),
        Ok(Json::Object(_)) => Err(Refusal::Invalid("a name stands in it twice")),
        _ => Err(Refusal::Invalid("it holds no JSON object")),
    }
}

fn repeats(json: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.deserialize_any(Unique).is_err()
}

/// Reads any JSON, and fails where a name stands twice.
struct Unique;

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(M::Error::custom("a name stands there twice"));
            }
            map.next_value_seed(Unique)?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element_seed(Unique)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Unique)
    }
}
