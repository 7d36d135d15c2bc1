//! A token of our own for backends: who calls, by which application, of which API. Signed, so that a backend need not trust the network.

use super::token::Claims;
use crate::message::json::{Json, Object};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the tokens are made. What stands in the caller's request under the same header is always taken off.
pub struct BackendJwt {
    pub rules: Rules,
    keys: ArcSwap<SigningKeys>,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub header: HeaderName,
    pub encoding: Encoding,
    /// `None`: nobody signs, as with API Manager's `NONE`.
    pub algorithm: Option<Algorithm>,
    /// What the names of claims begin with.
    pub dialect: String,
    pub issuer: String,
    pub lifetime: Duration,
    pub key_id: bool,
    /// The caller's other claims go along.
    pub user_claims: bool,
    /// Under names of the dialect.
    pub convert_dialect: bool,
    pub excluded: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// API Manager's own: libraries for JWT do not read it.
    Base64,
    Base64Url,
}

/// The first key signs; the others are shown, so that backends know them before and after their time.
#[derive(Default)]
pub struct SigningKeys {
    keys: Vec<SigningKey>,
    /// What the JWKS address answers.
    pub jwks: String,
}

struct SigningKey {
    private: EncodingKey,
    id: String,
}

/// Which API is called.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    pub name: &'a str,
    pub context: &'a str,
    pub version: &'a str,
}

struct Kept {
    until: i64,
    value: HeaderValue,
}

const MOST_KEPT: usize = 10_000;

/// Claims that speak of the caller's token itself, or are given anew.
const OF_THE_TOKEN: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "azp",
    "client_id",
    "application",
    "keytype",
    "typ",
];

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            header: HeaderName::from_static("x-jwt-assertion"),
            encoding: Encoding::Base64Url,
            algorithm: Some(Algorithm::RS256),
            dialect: "http://wso2.org/claims".to_owned(),
            issuer: "wso2.org/products/am".to_owned(),
            lifetime: Duration::from_secs(900),
            key_id: true,
            user_claims: false,
            convert_dialect: false,
            excluded: Vec::new(),
        }
    }
}

impl SigningKeys {
    /// From private keys in PEM.
    pub fn of(texts: &[Vec<u8>], algorithm: Algorithm) -> Result<SigningKeys, String> {
        let mut keys = Vec::new();
        let mut shown = Vec::new();
        for text in texts {
            let (private, mut jwk) = key(text, algorithm)?;
            let id = jwk
                .thumbprint(ThumbprintHash::SHA256)
                .map_err(|error| error.to_string())?;
            jwk.common.key_id = Some(id.clone());
            let mut jwk = serde_json::to_value(jwk).map_err(|error| error.to_string())?;
            jwk["use"] = Json::from("sig");
            shown.push(jwk);
            keys.push(SigningKey { private, id });
        }
        if keys.is_empty() {
            return Err("there is no key to sign with".to_owned());
        }
        let jwks = serde_json::json!({ "keys": shown }).to_string();
        Ok(SigningKeys { keys, jwks })
    }
}

fn key(text: &[u8], algorithm: Algorithm) -> Result<(EncodingKey, Jwk), String> {
    let private = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(text),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(text),
        _ => EncodingKey::from_rsa_pem(text),
    };
    let wrong = |_| format!("it holds no private key for {algorithm:?} (PEM, PKCS#8)");
    let private = private.map_err(wrong)?;
    let jwk = Jwk::from_encoding_key(&private, algorithm).map_err(wrong)?;
    // A key of another curve shows here, and not with the first request.
    jsonwebtoken::crypto::sign(b"", &private, algorithm).map_err(wrong)?;
    Ok((private, jwk))
}

impl BackendJwt {
    pub fn new(rules: Rules, keys: SigningKeys) -> BackendJwt {
        BackendJwt {
            rules,
            keys: ArcSwap::from_pointee(keys),
            kept: Mutex::default(),
        }
    }

    /// New keys sign from now on.
    pub fn replace(&self, keys: SigningKeys) {
        self.keys.store(keys.into());
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The public keys; `None` where nobody signs.
    pub fn jwks(&self) -> Option<String> {
        self.rules.algorithm?;
        Some(self.keys.load().jwks.clone())
    }

    /// Takes off what the caller put there.
    pub fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(&self.rules.header);
    }

    /// Puts a token for the backend on a request. `now` is in seconds since 1970.
    pub fn stamp(
        &self,
        headers: &mut HeaderMap,
        claims: &Claims,
        called: Called<'_>,
        now: i64,
        id: impl FnOnce() -> String,
    ) {
        let mut hash = Sha256::new();
        hash.update(claims.digest);
        for part in [called.name, called.context, called.version] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let place: [u8; 32] = hash.finalize().into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(&place).filter(|kept| now < kept.until);
        let value = match known.map(|kept| kept.value.clone()) {
            Some(value) => value,
            None => {
                let lifetime = self.rules.lifetime.as_secs() as i64;
                // It does not outlive the caller's own.
                let expires = (now + lifetime).min(claims.expires.max(now + 1));
                let Some(value) = self.make(claims, called, now, expires, &id()) else {
                    return;
                };
                if kept.len() >= MOST_KEPT {
                    kept.retain(|_, kept| now < kept.until);
                }
                if kept.len() >= MOST_KEPT {
                    kept.clear();
                }
                // A backend gets some time with the last one that is given out.
                let until = expires - ((expires - now) / 4).min(60);
                let value_kept = value.clone();
                kept.insert(
                    place,
                    Kept {
                        until,
                        value: value_kept,
                    },
                );
                value
            }
        };
        headers.insert(self.rules.header.clone(), value);
    }

    fn make(
        &self,
        claims: &Claims,
        called: Called<'_>,
        now: i64,
        expires: i64,
        id: &str,
    ) -> Option<HeaderValue> {
        let keys = self.keys.load();
        let key = keys.keys.first();
        let mut header = Object::new();
        header.insert("typ".to_owned(), "JWT".into());
        let algorithm = self
            .rules
            .algorithm
            .map_or("none".to_owned(), |algorithm| format!("{algorithm:?}"));
        header.insert("alg".to_owned(), algorithm.into());
        if let (true, Some(_), Some(key)) = (self.rules.key_id, self.rules.algorithm, key) {
            header.insert("kid".to_owned(), key.id.clone().into());
        }
        let body = self.claims(claims, called, now, expires, id);
        let write = |object: Object| self.encode(Json::Object(object).to_string().as_bytes());
        let signed = format!("{}.{}", write(header), write(body));
        let signature = match (self.rules.algorithm, key) {
            (None, _) => String::new(),
            (Some(algorithm), Some(key)) => {
                let signature =
                    jsonwebtoken::crypto::sign(signed.as_bytes(), &key.private, algorithm).ok()?;
                match self.rules.encoding {
                    Encoding::Base64Url => signature,
                    Encoding::Base64 => STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).ok()?),
                }
            }
            (Some(_), None) => return None,
        };
        let mut value = HeaderValue::from_str(&format!("{signed}.{signature}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn encode(&self, bytes: &[u8]) -> String {
        match self.rules.encoding {
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }

    fn claims(&self, caller: &Claims, called: Called<'_>, now: i64, expires: i64, id: &str) -> Object {
        let mut claims = Object::new();
        let mut set = |name: &str, value: Json| {
            claims.insert(name.to_owned(), value);
        };
        set("iss", self.rules.issuer.as_str().into());
        set("iat", now.into());
        set("exp", expires.into());
        set("jti", id.into());
        let user = caller.text("sub").map(str::to_owned);
        let client = caller.first(&["azp", "client_id", "consumerKey"]);
        let is_application = client.is_some() && client == user;
        let application = |member: &str| caller.application(member);
        let text = str::to_owned;
        let of_dialect = [
            ("subscriber", application("owner")),
            ("applicationid", application("id")),
            ("applicationname", application("name")),
            ("applicationtier", application("tier")),
            ("applicationUUId", application("uuid")),
            ("apicontext", Some(text(called.context))),
            ("apiname", Some(text(called.name))),
            (
                "version",
                Some(text(called.version)).filter(|version| !version.is_empty()),
            ),
            ("tier", caller.first(&["tier", "subscription_tier"])),
            ("keytype", Some(text(caller.key_type.name()))),
            (
                "usertype",
                Some(text(if is_application {
                    "APPLICATION"
                } else {
                    "Application_User"
                })),
            ),
            ("enduser", user),
            ("enduserTenantId", caller.first(&["enduserTenantId", "tenant_id"])),
        ];
        for (name, value) in of_dialect {
            if let Some(value) = value.filter(|_| !self.is_excluded(name)) {
                set(&self.named(name), value.into());
            }
        }
        if self.rules.user_claims {
            let others = caller.all.iter().filter(|(name, value)| {
                !OF_THE_TOKEN.contains(&name.as_str()) && !self.is_excluded(name) && !value.is_object()
            });
            for (name, value) in others {
                let name = match name.contains("://") || !self.rules.convert_dialect {
                    true => name.clone(),
                    false => self.named(name),
                };
                set(&name, value.clone());
            }
        }
        claims
    }

    fn is_excluded(&self, name: &str) -> bool {
        self.rules
            .excluded
            .iter()
            .any(|excluded| excluded == name || *excluded == self.named(name))
    }

    fn named(&self, name: &str) -> String {
        format!("{}/{name}", self.rules.dialect.trim_end_matches('/'))
    }
}

impl fmt::Debug for BackendJwt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{KeyType, Kind};
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    const RSA: &[u8] = include_bytes!("../../tests/keys/issuer-rsa.pem");
    const EC: &[u8] = include_bytes!("../../tests/keys/issuer-ec.pem");
    const ED: &[u8] = include_bytes!("../../tests/keys/issuer-ed.pem");
    const NOW: i64 = 1_767_323_045;

    fn caller(expires: i64) -> Claims {
        let all = json!({"sub": "ann", "azp": "key-1", "email": "ann@example.com", "groups": ["a"],
            "application": {"name": "Shop", "id": 7, "uuid": "u-1", "owner": "olga", "tier": "Gold"}});
        let Json::Object(all) = all else { unreachable!() };
        Claims {
            all: Arc::new(all),
            kind: Kind::AccessToken,
            key_type: KeyType::Sandbox,
            scopes: Arc::from([]),
            expires,
            digest: [1; 32],
        }
    }

    fn stamped(signer: &BackendJwt, claims: &Claims, now: i64) -> String {
        let mut headers = HeaderMap::new();
        let called = Called {
            name: "Orders",
            context: "/orders",
            version: "1",
        };
        signer.stamp(&mut headers, claims, called, now, || format!("id-{now}"));
        headers["x-jwt-assertion"].to_str().unwrap().to_owned()
    }

    fn signer(rules: Rules, key: &[u8]) -> BackendJwt {
        let keys = match rules.algorithm {
            Some(algorithm) => SigningKeys::of(&[key.to_vec()], algorithm).unwrap(),
            None => SigningKeys::default(),
        };
        BackendJwt::new(rules, keys)
    }

    fn body(token: &str) -> Json {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_backend_can_check_it_with_the_keys_that_are_shown() {
        for (algorithm, key) in [
            (Algorithm::RS256, RSA),
            (Algorithm::ES256, EC),
            (Algorithm::EdDSA, ED),
        ] {
            let rules = Rules {
                algorithm: Some(algorithm),
                ..Rules::default()
            };
            let signer = signer(rules, key);
            let token = stamped(&signer, &caller(NOW + 3600), NOW);
            let set = super::super::token::keys::KeySet::of_jwks(signer.jwks().unwrap().as_bytes()).unwrap();
            let key = set.fitting(algorithm).next().unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            assert!(
                jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.public, algorithm).unwrap()
            );
        }
    }

    #[test]
    fn its_claims_say_who_calls_what() {
        let token = stamped(&signer(Rules::default(), RSA), &caller(NOW + 3600), NOW);
        let body = body(&token);
        let claim = |name: &str| body[format!("http://wso2.org/claims/{name}")].as_str();
        assert_eq!(claim("enduser"), Some("ann"));
        assert_eq!(claim("applicationname"), Some("Shop"));
        assert_eq!(claim("applicationid"), Some("7"));
        assert_eq!(claim("subscriber"), Some("olga"));
        assert_eq!(claim("apiname"), Some("Orders"));
        assert_eq!(claim("keytype"), Some("SANDBOX"));
        assert_eq!(
            (&body["exp"], &body["iss"]),
            (&json!(NOW + 900), &json!("wso2.org/products/am"))
        );
        assert_eq!(body.get("email"), None);
    }

    #[test]
    fn one_token_serves_until_it_is_nearly_over_and_none_outlives_the_callers() {
        let signer = signer(Rules::default(), RSA);
        let first = stamped(&signer, &caller(NOW + 3600), NOW);
        assert_eq!(stamped(&signer, &caller(NOW + 3600), NOW + 800), first);
        assert_ne!(stamped(&signer, &caller(NOW + 3600), NOW + 850), first);
        let other = Claims {
            digest: [2; 32],
            ..caller(NOW + 100)
        };
        assert_eq!(body(&stamped(&signer, &other, NOW))["exp"], json!(NOW + 100));
    }

    #[test]
    fn api_managers_base64_and_unsigned_tokens_are_as_it_writes_them() {
        let rules = Rules {
            encoding: Encoding::Base64,
            ..Rules::default()
        };
        let token = stamped(&signer(rules, RSA), &caller(NOW + 3600), NOW);
        assert!(
            token
                .split('.')
                .all(|part| part.len() % 4 == 0 && STANDARD.decode(part).is_ok()),
            "{token}"
        );
        let rules = Rules {
            algorithm: None,
            ..Rules::default()
        };
        let unsigned = signer(rules, RSA);
        let token = stamped(&unsigned, &caller(NOW + 3600), NOW);
        assert!(token.ends_with('.') && token.split('.').count() == 3, "{token}");
        assert_eq!(unsigned.jwks(), None);
    }

    #[test]
    fn the_callers_other_claims_go_along_when_asked_for() {
        let rules = Rules {
            user_claims: true,
            convert_dialect: true,
            excluded: vec!["groups".to_owned(), "applicationtier".to_owned()],
            ..Rules::default()
        };
        let body = body(&stamped(&signer(rules, RSA), &caller(NOW + 3600), NOW));
        assert_eq!(body["http://wso2.org/claims/email"], json!("ann@example.com"));
        assert_eq!(body.get("http://wso2.org/claims/groups"), None);
        assert_eq!(body.get("http://wso2.org/claims/applicationtier"), None);
    }
}
