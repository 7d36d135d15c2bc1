//! Callers' tokens over loopback: who is let in, where they are sent, and what backends hear of them.

use super::talk::{Answer, Running, free_port};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const RSA: &[u8] = include_bytes!("../keys/issuer-rsa.pem");
const HANDLER: &str = "org.wso2.carbon.apimgt.gateway.handlers.security.APIAuthenticationHandler";

fn artifacts(port: u16) -> String {
    let to = |side: &str| {
        format!(
            r#"<endpoint><http method="GET" uri-template="http://127.0.0.1:{port}/backend/{side}"/></endpoint>"#
        )
    };
    let both = format!(
        "<endpoint><keytype><production>{}</production><sandbox>{}</sandbox></keytype></endpoint>",
        to("production"),
        to("sandbox")
    );
    let production = format!(
        "<endpoint><keytype><production>{}</production></keytype></endpoint>",
        to("production")
    );
    let guarded = format!(r#"<handlers><handler class="{HANDLER}"/></handlers>"#);
    let api = |name: &str, endpoint: &str, more: &str| {
        format!(
            r#"<api name="{name}" context="/{name}"><resource methods="GET POST" url-mapping="/*"><inSequence><send>{endpoint}</send></inSequence>
               <outSequence><send/></outSequence></resource>{more}</api>"#
        )
    };
    format!(
        r#"<definitions xmlns="http://ws.apache.org/ns/synapse">{}{}{}
<api name="filtered" context="/filtered"><resource methods="GET" url-mapping="/*"><inSequence>
  <filter source="$ctx:AM_KEY_TYPE" regex="PRODUCTION"><then><send>{}</send></then><else><send>{}</send></else></filter>
</inSequence><outSequence><send/></outSequence></resource>{guarded}</api>
<api name="claims" context="/claims"><resource methods="GET" url-mapping="/*"><inSequence>
  <payloadFactory media-type="text"><format>$1 $2 $3</format><args><arg expression="$ctx:TOKEN.sub"/><arg expression="$ctx:api.ut.application.name"/><arg expression="$ctx:AM_KEY_TYPE"/></args></payloadFactory>
  <respond/></inSequence></resource>{guarded}</api></definitions>"#,
        api("guarded", &both, &guarded),
        api("production", &production, &guarded),
        api("open", &both, ""),
        to("production"),
        to("sandbox"),
    )
}

/// Tells what it was asked: which side it is, and the headers that matter.
fn backend() -> u16 {
    serving(|head| {
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map_or("", |(_, value)| value)
        };
        let side = if head.contains("/backend/sandbox") {
            "sandbox"
        } else {
            "production"
        };
        json!({"side": side, "authorization": header("authorization"), "assertion": header("x-jwt-assertion")}).to_string()
    })
}

/// Answers every request with what is made of its head.
fn serving(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            if head.is_empty() {
                continue;
            }
            let body = answer(&String::from_utf8_lossy(&head));
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    port
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn token_of(kid: &str, change: Value) -> String {
    let mut claims = json!({"iss": "https://issuer.example", "aud": "shop", "sub": "ann", "exp": now() + 600, "application": {"name": "Shop"}});
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": kid})), part(&claims));
    let key = EncodingKey::from_rsa_pem(RSA).unwrap();
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::RS256).unwrap();
    format!("{signed}.{signature}")
}

fn token(change: Value) -> String {
    token_of("one", change)
}

pub fn jwks(kid: &str) -> String {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_rsa_pem(RSA).unwrap(), Algorithm::RS256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    json!({ "keys": [jwk] }).to_string()
}

fn start(settings: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.xml", &artifacts(backend()));
    write("jwks.json", &jwks("one"));
    std::fs::write(folder.path().join("key.pem"), RSA).unwrap();
    write("myelin.toml", settings);
    Running::of(folder, port)
}

const SETTINGS: &str = "[[token]]\nissuer = \"https://issuer.example\"\njwks = \"jwks.json\"\nalgorithms = [\"RS256\"]\naudience = \"shop\"\n\
    [scopes.guarded]\n\"/*\" = [\"read\", \"all\"]\n[backend-jwt]\nkey = \"key.pem\"\n";

fn ask(gateway: &Running, path: &str, token: &str) -> Answer {
    gateway.ask(&format!("GET {path}\nAuthorization: Bearer {token}"))
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{} {}", answer.status, answer.body))
}

#[test]
fn callers_are_sent_where_their_tokens_say() {
    let gateway = start(SETTINGS);
    for (key_type, side) in [("PRODUCTION", "production"), ("SANDBOX", "sandbox")] {
        let token = token(json!({"keytype": key_type, "scope": "read"}));
        for path in ["/guarded/x", "/filtered/x", "/open/x"] {
            let answer = body(&ask(&gateway, path, &token));
            assert_eq!(
                (&answer["side"], &answer["authorization"]),
                (&json!(side), &json!("")),
                "{path}"
            );
        }
    }
    let answer = ask(&gateway, "/production/x", &token(json!({"keytype": "SANDBOX"})));
    assert_eq!((answer.status, &body(&answer)["code"]), (403, &json!("900901")));
    // Without a token an open API is production; with a bad one it is nothing.
    assert_eq!(body(&gateway.ask("GET /open/x"))["side"], "production");
    assert_eq!(ask(&gateway, "/open/x", "a.b.c").status, 401);
    let answer = ask(&gateway, "/claims/x", &token(json!({"keytype": "SANDBOX"})));
    assert_eq!(answer.body, "ann Shop SANDBOX");
}

#[test]
fn who_is_not_let_in_hears_why_in_his_own_language() {
    let gateway = start(SETTINGS);
    let check = |answer: &Answer, status: u16, code: &str, challenge: &str| {
        let told = (answer.status, body(answer)["code"].as_str().map(str::to_owned));
        assert_eq!(told, (status, Some(code.to_owned())));
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    };
    let missing = gateway.ask("GET /guarded/x");
    check(&missing, 401, "900902", "Bearer realm=\"myelin\"");
    let invalid = "Bearer realm=\"myelin\", error=\"invalid_token\"";
    check(&ask(&gateway, "/guarded/x", "nonsense"), 401, "900901", invalid);
    let old = token(json!({"exp": now() - 100}));
    check(&ask(&gateway, "/guarded/x", &old), 401, "900903", invalid);
    let poor = token(json!({"scope": "write"}));
    let scope = "Bearer realm=\"myelin\", error=\"insufficient_scope\", scope=\"read all\"";
    check(&ask(&gateway, "/guarded/x", &poor), 403, "900910", scope);
    let soap = gateway.ask("POST /guarded/x\nContent-Type: text/xml\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body/></e:Envelope>");
    assert_eq!(soap.status, 401);
    assert!(
        soap.body.contains("Authentication Failure")
            && soap.body.contains("900902")
            && soap.body.contains("Client"),
        "{}",
        soap.body
    );
}

#[test]
fn backends_get_a_token_of_ours_that_they_can_check_and_never_one_of_the_callers() {
    let gateway = start(SETTINGS);
    let token = token(json!({"scope": ["all"]}));
    let answer = gateway.ask(&format!(
        "GET /guarded/x\nAuthorization: Bearer {token}\nX-JWT-Assertion: forged"
    ));
    let assertion = body(&answer)["assertion"].as_str().unwrap().to_owned();
    let jwks = body(&gateway.ask("GET /.wellknown/jwks"));
    assert_eq!(jwks, body(&gateway.ask("GET /.well-known/jwks.json")));
    let jwk: Jwk = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    assert!(jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, Algorithm::RS256).unwrap());
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["http://wso2.org/claims/enduser"], "ann");
    assert_eq!(claims["http://wso2.org/claims/apiname"], "guarded");
    // Where nobody's token was looked at there is none, and none of the caller's either.
    let open = gateway.ask("GET /open/x\nX-JWT-Assertion: forged");
    assert_eq!(body(&open)["assertion"], "");
}

#[test]
fn a_token_demanded_of_everything_is_demanded_of_all_but_the_exempt() {
    let settings = format!("token-required = true\ntoken-exempt = [\"open\"]\n{SETTINGS}");
    let gateway = start(&settings);
    assert_eq!(gateway.ask("GET /open/x").status, 200);
    assert_eq!(gateway.ask("GET /guarded/x").status, 401);
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_no_oftener() {
    let (asked, keys) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(jwks("one"))));
    let (counted, served) = (Arc::clone(&asked), Arc::clone(&keys));
    let port = serving(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        served.lock().unwrap().clone()
    });
    let gateway = start(&format!(
        "[[token]]\nissuer = \"https://issuer.example\"\njwks = \"http://127.0.0.1:{port}/jwks\"\nalgorithms = [\"RS256\"]\n"
    ));
    assert_eq!(ask(&gateway, "/claims/x", &token(json!({}))).status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Asked within thirty seconds of the first time: nobody waits, and the issuer is left in peace.
    *keys.lock().unwrap() = jwks("two");
    for _ in 0..20 {
        assert_eq!(
            ask(&gateway, "/claims/x", &token_of("two", json!({}))).status,
            401
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn an_issuer_that_lacks_something_refuses_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        "[[token]]\nissuer = \"a\"\njwks = \"http://issuer.example/jwks\"\nalgorithms = [\"HS256\"]\n";
    std::fs::write(folder.path().join("myelin.toml"), settings).unwrap();
    let loaded =
        myelin::gateway::settings::load(folder.path(), Default::default(), None, &Default::default());
    let told: Vec<String> = loaded
        .mistakes
        .iter()
        .map(|mistake| mistake.label.clone())
        .collect();
    assert!(
        told.iter().any(|label| label.contains("use https, or a file")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|label| label.contains("`HS256` is not one of")),
        "{told:?}"
    );
}
