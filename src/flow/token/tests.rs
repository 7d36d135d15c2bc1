//! Tokens that are good, and tokens that are forged in every way of reliability.md S-JWT-1.

use super::keys::{KeySet, Keys};
use super::*;
use crate::flow::runtime::{Clock, Timeouts};
use crate::flow::testing::wait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::json;
use std::sync::atomic::AtomicI64;

const NOW: i64 = 1_767_323_045;
const RSA: &[u8] = include_bytes!("../../../tests/keys/issuer-rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("../../../tests/keys/issuer-rsa-public.pem");
const EC: &[u8] = include_bytes!("../../../tests/keys/issuer-ec.pem");
const ED: &[u8] = include_bytes!("../../../tests/keys/issuer-ed.pem");

fn signing_key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED).unwrap(),
        Algorithm::HS256 => EncodingKey::from_secret(RSA_PUBLIC),
        _ => EncodingKey::from_rsa_pem(RSA).unwrap(),
    }
}

fn key_set() -> KeySet {
    let jwk = |algorithm, id: &str| {
        let key = Jwk::from_encoding_key(&signing_key(algorithm), algorithm).unwrap();
        let mut key = serde_json::to_value(key).unwrap();
        key["kid"] = json!(id);
        // One RSA key serves all algorithms of its family.
        key.as_object_mut().unwrap().remove("alg");
        key["use"] = json!("sig");
        key
    };
    let keys = [
        jwk(Algorithm::RS256, "rsa-1"),
        jwk(Algorithm::ES256, "ec-1"),
        jwk(Algorithm::EdDSA, "ed-1"),
        // What must never be used.
        json!({"kty": "oct", "kid": "secret", "k": URL_SAFE_NO_PAD.encode(RSA_PUBLIC)}),
    ];
    KeySet::of_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn issuer() -> Issuer {
    Issuer {
        name: Arc::from("https://issuer.example"),
        kind: Kind::AccessToken,
        header: header::AUTHORIZATION,
        audience: vec!["orders".to_owned()],
        algorithms: vec![
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ],
        keys: Keys::of(key_set()),
        key_type_claim: "keytype".to_owned(),
        scope_claim: "scope".to_owned(),
        scopes: Vec::new(),
        skew: Duration::from_secs(60),
        keep: false,
    }
}

fn runtime(issuers: Vec<Issuer>) -> Arc<Runtime> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        response: Duration::from_secs(30),
    };
    let clock = Clock::Fixed(AtomicI64::new(NOW * 1000));
    Arc::new(Runtime::new(clock, 7, timeouts).with_tokens(Tokens { issuers }, None))
}

fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn sealed(header: &str, claims: &str, algorithm: Algorithm) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &signing_key(algorithm), algorithm).unwrap();
    format!("{signed}.{signature}")
}

fn claims(change: serde_json::Value) -> String {
    let mut claims =
        json!({"iss": "https://issuer.example", "aud": "orders", "sub": "ann", "exp": NOW + 600});
    for (name, value) in change.as_object().unwrap() {
        match value {
            Json::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims.to_string()
}

fn good(change: serde_json::Value) -> String {
    sealed(
        r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT"}"#,
        &claims(change),
        Algorithm::RS256,
    )
}

fn with_header(header: &str) -> String {
    sealed(header, &claims(json!({})), Algorithm::RS256)
}

fn judged_by(issuers: Vec<Issuer>, token: &str) -> Result<Claims, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
    );
    let caller = Caller::of(&headers, Headers::default(), &runtime(issuers)).unwrap();
    wait(caller.demand(Demand::ANY)).cloned()
}

fn judged(token: &str) -> Result<Claims, Refusal> {
    judged_by(vec![issuer()], token)
}

#[test]
fn ten_good_tokens_are_taken() {
    let header = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
    let tokens = [
        good(json!({})),
        sealed(&header("PS256", "rsa-1"), &claims(json!({})), Algorithm::PS256),
        sealed(&header("ES256", "ec-1"), &claims(json!({})), Algorithm::ES256),
        sealed(&header("EdDSA", "ed-1"), &claims(json!({})), Algorithm::EdDSA),
        // Without a key's name all keys that fit are tried.
        with_header(r#"{"alg":"RS256"}"#),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","typ":"at+jwt"}"#),
        good(json!({"aud": ["stock", "orders"]})),
        // Clocks differ by a minute at most.
        good(json!({"exp": NOW - 59})),
        good(json!({"nbf": NOW + 60})),
        // Keys that a token brings along are nobody's business.
        with_header(
            r#"{"alg":"RS256","kid":"rsa-1","jku":"https://evil.example/jwks","x5u":"https://evil.example/x"}"#,
        ),
    ];
    for token in tokens {
        let claims = judged(&token).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(
            (claims.text("sub"), claims.key_type),
            (Some("ann"), KeyType::Production)
        );
    }
}

#[test]
fn forged_tokens_are_refused() {
    let whole = good(json!({}));
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let evil = {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = serde_json::to_string(&Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        let signed = format!(
            "{}.{}",
            part(&format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#)),
            part(&claims(json!({})))
        );
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    };
    let repeated =
        r#"{"iss":"https://issuer.example","aud":"orders","exp":1767399999,"sub":"ann","sub":"bob"}"#;
    let nested =
        r#"{"iss":"https://issuer.example","aud":"orders","exp":1767399999,"application":{"id":1,"id":2}}"#;
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            part(&format!(r#"{{"alg":"{alg}"}}"#)),
            part(&claims(json!({})))
        )
    };
    let forged = [
        unsigned("none"),
        unsigned("None"),
        unsigned("NONE") + "AA",
        format!(
            "{}.{}.AA",
            part(r#"{"alg":"nOnE","kid":"rsa-1"}"#),
            part(&claims(json!({})))
        ),
        // The public key as a secret: the oldest trick there is.
        sealed(
            r#"{"alg":"HS256","kid":"rsa-1"}"#,
            &claims(json!({})),
            Algorithm::HS256,
        ),
        sealed(
            r#"{"alg":"HS256","kid":"secret"}"#,
            &claims(json!({})),
            Algorithm::HS256,
        ),
        sealed(
            r#"{"alg":"rs256","kid":"rsa-1"}"#,
            &claims(json!({})),
            Algorithm::RS256,
        ),
        sealed(
            r#"{"alg":"RS512","kid":"rsa-1"}"#,
            &claims(json!({})),
            Algorithm::RS512,
        ),
        sealed(
            r#"{"alg":"ES256","kid":"rsa-1"}"#,
            &claims(json!({})),
            Algorithm::RS256,
        ),
        evil,
        with_header(r#"{"alg":"RS256","kid":"../../etc/passwd"}"#),
        with_header(r#"{"alg":"RS256","kid":"' OR 1=1 --"}"#),
        with_header(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(1 << 20))),
        with_header(r#"{"alg":"RS256","kid":["rsa-1"]}"#),
        format!("{signed}."),
        format!("{signed}.{}", signature.replacen(&signature[..4], "AAAA", 1)),
        format!(
            "{}.{}.{signature}",
            part(r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT"}"#),
            part(&claims(json!({"sub": "root"})))
        ),
        good(json!({"iss": "https://issuer.example.evil.example"})),
        good(json!({"iss": null})),
        good(json!({"aud": "orders-admin"})),
        good(json!({"aud": null})),
        good(json!({"exp": null})),
        good(json!({"exp": "2099-01-01"})),
        good(json!({"nbf": NOW + 61})),
        sealed(r#"{"alg":"RS256","kid":"rsa-1"}"#, repeated, Algorithm::RS256),
        sealed(r#"{"alg":"RS256","kid":"rsa-1"}"#, nested, Algorithm::RS256),
        sealed(
            r#"{"alg":"RS256","alg":"RS256","kid":"rsa-1"}"#,
            &claims(json!({})),
            Algorithm::RS256,
        ),
        good(json!({"pad": "x".repeat(100 * 1024)})),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","crit":["exp"]}"#),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","crit":["b64"],"b64":false}"#),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","b64":false}"#),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","typ":"logout+jwt"}"#),
        with_header(r#"{"alg":"RS256","kid":"rsa-1","zip":"DEF"}"#),
        good(json!({"keytype": ["PRODUCTION"]})),
        format!("{whole}.x"),
        format!("{whole}="),
        format!("{signed}.{signature}="),
        "a.b.c".to_owned(),
        "opaque-token".to_owned(),
        String::new(),
    ];
    assert!(forged.len() >= 25);
    for token in &forged {
        let shown = &token[..token.len().min(200)];
        match judged(token) {
            Err(Refusal::Invalid(_)) => {}
            other => panic!("{shown}: {other:?}"),
        }
    }
}

#[test]
fn a_token_whose_time_is_over_is_told_so_only_when_it_was_good() {
    assert_eq!(
        judged(&good(json!({"exp": NOW - 60}))).err(),
        Some(Refusal::Expired)
    );
    let old = good(json!({"exp": NOW - 60}));
    let (signed, _) = old.rsplit_once('.').unwrap();
    assert!(matches!(
        judged(&format!("{signed}.AAAA")),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn what_is_not_a_bearer_token_is_somebody_elses() {
    let presents = |headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let caller = Caller::of(&map, Headers::default(), &runtime(vec![issuer()])).unwrap();
        wait(caller.demand(Demand::ANY)).map(|_| ())
    };
    let token = good(json!({}));
    assert_eq!(presents(&[]), Err(Refusal::Missing));
    assert_eq!(
        presents(&[("authorization", "Basic YTpi")]),
        Err(Refusal::Missing)
    );
    assert_eq!(
        presents(&[("authorization", &format!("bEARER  {token}"))]),
        Ok(())
    );
    let twice = format!("Bearer {token}");
    assert!(matches!(
        presents(&[("authorization", &twice), ("authorization", &twice)]),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn an_api_key_is_no_access_token_and_an_access_token_no_api_key() {
    let api_key = Issuer {
        kind: Kind::ApiKey,
        header: HeaderName::from_static("apikey"),
        name: Arc::from("https://keys.example"),
        ..issuer()
    };
    let token = good(json!({"iss": "https://keys.example", "keytype": "SANDBOX"}));
    let runtime = runtime(vec![issuer(), api_key]);
    let judged = |name: &'static str, value: &str, demand: Demand| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let caller = Caller::of(&headers, Headers::default(), &runtime).unwrap();
        wait(caller.demand(demand)).map(|claims| claims.key_type)
    };
    let access_tokens = Demand {
        api_key: false,
        ..Demand::ANY
    };
    assert_eq!(judged("apikey", &token, Demand::ANY), Ok(KeyType::Sandbox));
    assert_eq!(judged("apikey", &token, access_tokens), Err(Refusal::Missing));
    assert!(judged("authorization", &format!("Bearer {token}"), Demand::ANY).is_err());
}

#[test]
fn scopes_that_every_token_needs_are_asked_for() {
    let with = |needed: &[&str]| {
        let needed = needed.iter().map(|scope| (*scope).to_owned()).collect();
        Issuer {
            scopes: needed,
            ..issuer()
        }
    };
    let token = good(json!({"scope": "read write"}));
    let list = good(json!({"scope": ["read", "write"]}));
    for token in [token, list] {
        assert!(judged_by(vec![with(&["write"])], &token).is_ok());
        assert_eq!(
            judged_by(vec![with(&["admin"])], &token).err(),
            Some(Refusal::Scope(vec!["admin".to_owned()]))
        );
    }
}

#[test]
fn keys_come_from_certificates_and_public_keys_too() {
    let files: [(&[u8], Algorithm); 4] = [
        (
            include_bytes!("../../../tests/keys/issuer-rsa-certificate.pem"),
            Algorithm::RS256,
        ),
        (
            include_bytes!("../../../tests/keys/issuer-ec-certificate.pem"),
            Algorithm::ES256,
        ),
        (
            include_bytes!("../../../tests/keys/issuer-ed-public.pem"),
            Algorithm::EdDSA,
        ),
        (RSA_PUBLIC, Algorithm::PS256),
    ];
    for (file, algorithm) in files {
        let header = format!(r#"{{"alg":"{}","kid":"whatever"}}"#, check::spelled(algorithm));
        let token = sealed(&header, &claims(json!({})), algorithm);
        let known = Issuer {
            keys: Keys::of(KeySet::of_pem(file).unwrap()),
            ..issuer()
        };
        assert!(judged_by(vec![known], &token).is_ok(), "{algorithm:?}");
    }
    assert!(KeySet::of_pem(b"no key").is_err());
    assert!(KeySet::of_jwks(br#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#).is_err());
    assert!(KeySet::of_jwks(br#"{"keys":[{"kty":"RSA","n":"AAAA","e":"AQAB"}]}"#).is_err());
    assert!(KeySet::of_jwks(b"<html>").is_err());
}

#[test]
fn a_key_that_is_new_is_waited_for_and_asked_for_only_now_and_then() {
    let keys = Keys::remote();
    let known = Issuer {
        keys: Arc::clone(&keys),
        ..issuer()
    };
    let runtime = runtime(vec![known]);
    let mut headers = HeaderMap::new();
    let token = format!("Bearer {}", good(json!({})));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&token).unwrap());
    let caller = || Caller::of(&headers, Headers::default(), &runtime).unwrap();
    wait(async {
        // Somebody fetches: the first request waits for it.
        let first = caller();
        assert!(first.claims().is_none());
        let (judged, ()) = tokio::join!(first.demand(Demand::ANY), async { keys.end(Some(key_set())) });
        assert!(judged.is_ok());
        // An unknown key just after: nobody is asked again, and nobody waits.
        keys.replace(KeySet::default());
        let start = tokio::time::Instant::now();
        assert_eq!(caller().demand(Demand::ANY).await.err(), Some(Refusal::NoKeys));
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn properties_tell_what_the_token_says() {
    let token = good(json!({"application": {"name": "Shop", "id": 7}, "azp": "key-1", "admin": true}));
    let claims = judged(&token).unwrap();
    let text = |name: &str| claims.property(name).map(|value| value.to_text().into_owned());
    assert_eq!(text("TOKEN.sub").as_deref(), Some("ann"));
    assert_eq!(text("TOKEN.admin").as_deref(), Some("true"));
    assert_eq!(text("TOKEN.none"), None);
    assert!(text("TOKEN").is_some_and(|all| all.starts_with('{')));
    assert_eq!(text("api.ut.userId").as_deref(), Some("ann"));
    assert_eq!(text("api.ut.application.name").as_deref(), Some("Shop"));
    assert_eq!(text("api.ut.consumerKey").as_deref(), Some("key-1"));
}
