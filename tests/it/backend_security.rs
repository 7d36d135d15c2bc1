//! Security towards backends on real sockets: certificates that must not pass, proxies, one token for all, and logs without secrets.

use super::pace::Pace;
use super::talk::{Running, free_port};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// An API in front of each endpoint; a fault is told with its code and its detail.
fn gateway(endpoints: &[(&str, String)], files: &[(&str, String)], more: &[&str]) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    }
    for (name, endpoint) in endpoints {
        let api = format!(
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="{name}" context="/{name}">
  <resource methods="GET POST" url-mapping="/">
    <inSequence><call>{endpoint}</call><respond/></inSequence>
    <faultSequence><payloadFactory media-type="text"><format>$1 $2</format><args><arg expression="$ctx:ERROR_CODE"/><arg expression="$ctx:ERROR_DETAIL"/></args></payloadFactory>
      <property name="HTTP_SC" value="599" scope="axis2"/><respond/></faultSequence>
  </resource>
</api>"#
        );
        std::fs::write(folder.path().join(format!("{name}.xml")), api).expect("it can be written");
    }
    Running::with(folder, free_port(), more)
}

fn endpoint(address: &str, inside: &str) -> String {
    let suspend = "<suspendOnFailure><errorCodes>-1</errorCodes></suspendOnFailure>";
    format!(r#"<endpoint><address uri="{address}">{inside}{suspend}</address></endpoint>"#)
}

fn log(gateway: &Running) -> String {
    std::fs::read_to_string(gateway.folder.path().join("talk.log")).expect("it can be read")
}

/// A backend that answers each connection once, and tells what it was asked.
fn backend(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (tell, answer) = (tell.clone(), Arc::clone(&answer));
            std::thread::spawn(move || {
                drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
                let request = read(&mut stream);
                let answer = answer(&request);
                drop(tell.send(request));
                drop(stream.write_all(answer.as_bytes()));
            });
        }
    });
    (port, told)
}

/// A request with its body, if that has a length.
fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    drop(stream.read_exact(&mut body));
    request.extend(body);
    String::from_utf8_lossy(&request).into_owned()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[test]
fn certificates_that_prove_nothing_are_refused_at_once_and_the_log_says_why() {
    // RB-20: expired, not valid yet, another name, an unknown authority, self-signed, not for servers.
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let (ours_pem, ours) = authority("ours");
    let (_, theirs) = authority("theirs");
    let here = || CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let mut expired = here();
    expired.not_before = rcgen::date_time_ymd(2019, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = here();
    early.not_before = rcgen::date_time_ymd(2090, 1, 1);
    early.not_after = rcgen::date_time_ymd(2091, 1, 1);
    let mut client = here();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let name = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    let mut own = here();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate().unwrap();
    let own = own.self_signed(&own_key).unwrap();
    let own_pem = own.pem();
    let signed = |params: CertificateParams, issuer: &Issuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, issuer).unwrap(), key)
    };
    let cases = [
        ("expired", signed(expired, &ours), "has expired"),
        ("early", signed(early, &ours), "is not valid yet"),
        (
            "name",
            signed(name, &ours),
            "is for another name than `127.0.0.1`: other.example",
        ),
        (
            "unknown",
            signed(here(), &theirs),
            "is signed by nobody who is trusted",
        ),
        ("own", (own, own_key), "is self-signed"),
        ("client", signed(client, &ours), "is not for servers"),
    ];
    let good = tls_backend(signed(here(), &ours));
    let mut endpoints = vec![(
        "good",
        endpoint(&format!("https://127.0.0.1:{good}/"), r#"<tls ca="ours.pem"/>"#),
    )];
    let mut ports = Vec::new();
    let mut expected = Vec::new();
    for (name, certificate, reason) in cases {
        let port = tls_backend(certificate);
        ports.push((name, port));
        endpoints.push((
            name,
            endpoint(&format!("https://127.0.0.1:{port}/"), r#"<tls ca="ours.pem"/>"#),
        ));
        expected.push((name, reason));
    }
    let port_of = |name: &str| ports.iter().find(|(known, _)| *known == name).unwrap().1;
    let allowed = endpoint(
        &format!("https://127.0.0.1:{}/", port_of("name")),
        r#"<tls ca="ours.pem" verify="AllowAll"/>"#,
    );
    let local = endpoint(
        &format!("https://127.0.0.1:{}/", port_of("name")),
        r#"<tls ca="ours.pem" verify="DefaultAndLocalhost"/>"#,
    );
    let named = endpoint(
        &format!("https://127.0.0.1:{}/", port_of("name")),
        r#"<tls ca="ours.pem" server-name="other.example"/>"#,
    );
    let trusted = endpoint(
        &format!("https://127.0.0.1:{}/", port_of("own")),
        r#"<tls ca="own.pem"/>"#,
    );
    let nothing = endpoint(
        &format!("https://127.0.0.1:{}/", port_of("expired")),
        r#"<tls verify="false"/>"#,
    );
    let machine = endpoint(&format!("https://127.0.0.1:{good}/"), "");
    for (name, endpoint) in [
        ("allowed", allowed),
        ("local", local),
        ("named", named),
        ("trusted", trusted),
        ("nothing", nothing),
        ("machine", machine),
    ] {
        endpoints.push((name, endpoint));
    }
    let files = [("ours.pem", ours_pem), ("own.pem", own_pem)];
    let gateway = gateway(&endpoints, &files, &["--log", "warn"]);
    expected.push(("machine", "is signed by nobody who is trusted"));
    for (name, reason) in expected {
        let start = Pace::start();
        let told = gateway.ask(&format!("GET /{name}/"));
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(1), "{name} took {elapsed:?}");
        assert!(
            told.status == 599 && told.body.starts_with("101503 ") && told.body.contains(reason),
            "{name}: {told:?}"
        );
        assert!(log(&gateway).contains(reason), "{name}: {}", log(&gateway));
    }
    for name in ["good", "allowed", "local", "named", "trusted", "nothing"] {
        let told = gateway.ask(&format!("GET /{name}/"));
        assert_eq!((told.status, told.body.as_str()), (200, "safe"), "{name}");
    }
    // Loudly: both that look at less than everything.
    assert_eq!(log(&gateway).matches("W0505").count(), 2, "{}", log(&gateway));
}

/// A backend that shows a certificate, and answers.
fn tls_backend((certificate, key): (rcgen::Certificate, KeyPair)) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                drop(stream.write_all(answer("200 OK", "", "safe").as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            });
        }
    });
    port
}

#[test]
fn a_proxy_gets_whole_addresses_and_its_own_credentials() {
    let (proxy, asked) = backend(|request| {
        if request.starts_with("CONNECT") {
            return answer("407 Proxy Authentication Required", "", "no");
        }
        answer("200 OK", "", "by proxy")
    });
    let (direct, _asked_directly) = backend(|_| answer("200 OK", "", "direct"));
    let way = format!(r#"<proxy url="http://p:hunter22@127.0.0.1:{proxy}" no-proxy="127.0.0.1"/>"#);
    let settings = format!("[proxy]\nurl = \"http://127.0.0.1:{proxy}\"\n");
    let gateway = gateway(
        &[
            ("plain", endpoint("http://backend.example:81/a", &way)),
            ("secret", endpoint("https://backend.example/", &way)),
            ("local", endpoint(&format!("http://127.0.0.1:{direct}/"), &way)),
            ("default", endpoint("http://other.example/", "")),
            (
                "none",
                endpoint(&format!("http://127.0.0.1:{direct}/"), r#"<proxy url=""/>"#),
            ),
        ],
        &[("myelin.toml", settings)],
        &[],
    );
    assert_eq!(gateway.ask("GET /plain/").body, "by proxy");
    let request = asked.recv().unwrap();
    assert!(
        request.starts_with("GET http://backend.example:81/a/ HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nhost: backend.example:81\r\n"), "{request}");
    assert!(
        request.contains("\r\nproxy-authorization: Basic cDpodW50ZXIyMg==\r\n"),
        "{request}"
    );
    let told = gateway.ask("GET /secret/");
    assert!(
        told.body.starts_with("101503 ") && told.body.contains("it answered 407"),
        "{told:?}"
    );
    let request = asked.recv().unwrap();
    assert!(
        request.starts_with("CONNECT backend.example:443 HTTP/1.1\r\n"),
        "{request}"
    );
    assert_eq!(gateway.ask("GET /local/").body, "direct");
    assert_eq!(gateway.ask("GET /none/").body, "direct");
    assert_eq!(gateway.ask("GET /default/").body, "by proxy");
    assert!(asked.recv().unwrap().starts_with("GET http://other.example/ "));
}

#[test]
fn all_who_wait_for_a_token_wait_for_the_same_one() {
    let (tokens, asked) = backend(|_| {
        // Long enough for all to have come.
        std::thread::park_timeout(Duration::from_millis(300));
        answer("200 OK", "", r#"{"access_token": "t1", "expires_in": 600}"#)
    });
    let (port, _heads) = backend(|request| {
        let known = request
            .to_lowercase()
            .contains("\r\nauthorization: bearer t1\r\n");
        answer(if known { "200 OK" } else { "401 Unauthorized" }, "", "")
    });
    let oauth = format!(
        "<authentication><oauth><clientCredentials><clientId>me</clientId><clientSecret>s</clientSecret>\
         <tokenUrl>http://127.0.0.1:{tokens}/t</tokenUrl></clientCredentials></oauth></authentication>"
    );
    let gateway = gateway(
        &[("a", endpoint(&format!("http://127.0.0.1:{port}/"), &oauth))],
        &[],
        &["--workers", "2"],
    );
    let port = gateway.port;
    let clients: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || super::talk::ask(port, "GET /a/").status))
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(asked.try_iter().count(), 1);
}

#[test]
fn no_log_tells_a_secret() {
    let canary = "c4n4ry-s3cret";
    let (port, heads) = backend(|request| {
        let lower = request.to_lowercase();
        if lower.starts_with("post /token") {
            return answer(
                "200 OK",
                "",
                r#"{"access_token": "c4n4ry-s3cret-token", "expires_in": 600}"#,
            );
        }
        if lower.starts_with("post /refused") {
            return answer(
                "400 Bad Request",
                "",
                r#"{"error": "invalid_client", "error_description": "c4n4ry-s3cret is not it"}"#,
            );
        }
        if lower.starts_with("get /digest") && !lower.contains("authorization: digest") {
            return answer(
                "401 No",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n",
                "",
            );
        }
        answer("200 OK", "", "ok")
    });
    let at = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let auth = |inside: &str| format!("<authentication>{inside}</authentication>");
    let user = |kind: &str| {
        auth(&format!(
            "<{kind}><username>anna</username><password>{canary}</password></{kind}>"
        ))
    };
    let key = |place: &str| {
        auth(&format!(
            r#"<apiKey name="key" in="{place}" value="$secret{{api-key}}"/>"#
        ))
    };
    let oauth = |path: &str| {
        auth(&format!(
            "<oauth><passwordCredentials><username>anna</username><password>{canary}</password><clientId>me</clientId>\
             <clientSecret>{canary}</clientSecret><tokenUrl>{}</tokenUrl></passwordCredentials></oauth>",
            at(path)
        ))
    };
    let proxy = format!(r#"<proxy url="http://p:{canary}@127.0.0.1:{port}"/>"#);
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let endpoints = [
        ("basic", endpoint(&at("basic"), &user("basicAuth"))),
        ("digest", endpoint(&at("digest"), &user("digest"))),
        ("header", endpoint(&at("header"), &key("header"))),
        ("query", endpoint(&at("query"), &key("query"))),
        ("token", endpoint(&at("oauth"), &oauth("token"))),
        ("proxied", endpoint("http://backend.example/", &proxy)),
        ("refused", endpoint(&at("oauth"), &oauth("refused"))),
        ("nobody", endpoint(&nobody, &key("query"))),
    ];
    let env = ("x.env", format!("API_KEY={canary}\n"));
    let folder_of_env = tempfile::tempdir().unwrap();
    let env_file = folder_of_env.path().join(env.0);
    std::fs::write(&env_file, &env.1).unwrap();
    let env_file = env_file.to_string_lossy().into_owned();
    let gateway = gateway(&endpoints, &[], &["--log", "trace", "--env-file", &env_file]);
    for (name, status) in [
        ("basic", 200),
        ("digest", 200),
        ("header", 200),
        ("query", 200),
        ("token", 200),
        ("proxied", 200),
        ("refused", 599),
        ("nobody", 599),
    ] {
        let told = gateway.ask(&format!("GET /{name}/"));
        assert_eq!(told.status, status, "{name}: {told:?}");
        assert!(!told.body.contains(canary), "{told:?}");
    }
    let heads: String = heads.try_iter().collect();
    assert!(heads.contains(canary), "the backend is told them: {heads}");
    let log = log(&gateway);
    assert!(log.contains("There is no token for a backend."), "{log}");
    let encoded = [
        "YW5uYTpjNG40cnktczNjcmV0",
        "cDpjNG40cnktczNjcmV0",
        "bWU6YzRuNHJ5LXMzY3JldA",
    ];
    for secret in encoded.iter().copied().chain([canary]) {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}
