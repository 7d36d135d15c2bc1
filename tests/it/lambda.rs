//! Lambda endpoints on real sockets, in front of a Lambda API that checks signatures by its own means (reliability.md, row 32). The judges from
//! outside (moto, botocore) are in `tests/peers/lambda`.

use super::pace::Pace;
use super::talk::{Answer, Running, free_port};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

struct Asked {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A service that answers each request with what `answer` says: status, headers and body as they go over the wire.
fn service(mut answer: impl FnMut(&Asked) -> Option<String> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let asked = read(&mut BufReader::new(&mut stream));
            match answer(&asked) {
                Some(text) => {
                    let (head, body) = text.split_once("\n\n").unwrap();
                    let head = head.replace('\n', "\r\n");
                    let length = body.len();
                    let whole = format!(
                        "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    drop(stream.write_all(whole.as_bytes()));
                }
                // Until the gateway gives up.
                None => drop(stream.read(&mut [0])),
            }
        }
    });
    port
}

fn read(stream: &mut impl BufRead) -> Asked {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Asked {
        method,
        target,
        headers,
        body,
    }
}

/// Signature version 4, reckoned anew from what came over the wire.
fn is_signed(asked: &Asked, secret: &str) -> bool {
    let authorization = &asked.headers["authorization"];
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(name).unwrap();
        rest.split(',').next().unwrap().trim().to_owned()
    };
    let credential = part("Credential=");
    let scope = credential.split_once('/').unwrap().1;
    let signed = part("SignedHeaders=");
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", asked.headers[name]))
        .collect();
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    // Every service but S3 wants the path of the request encoded once more.
    let path: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let hash = hex(&Sha256::digest(&asked.body));
    let canonical = format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{hash}", asked.method);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        asked.headers["x-amz-date"],
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| sign(&key, part));
    part("Signature=") == hex(&sign(&key, &to_sign))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An API in front of one function. Its fault sequence, if it has one, tells the code and the reason.
fn gateway(attributes: &str, inside: &str, fault_sequence: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let fault = r#"<faultSequence><payloadFactory media-type="json"><format>{"code": "$1", "message": "$2", "detail": "$3"}</format><args><arg expression="$ctx:ERROR_CODE"/><arg expression="$ctx:ERROR_MESSAGE"/><arg expression="$ctx:ERROR_DETAIL"/></args></payloadFactory><property name="HTTP_SC" value="599" scope="axis2"/><respond/></faultSequence>"#;
    let fault = if fault_sequence { fault } else { "" };
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="GET POST" url-mapping="/*">
    <inSequence><call><endpoint name="f"><lambda {attributes}>{inside}</lambda></endpoint></call><respond/></inSequence>{fault}</resource></api>"#
    );
    std::fs::write(folder.path().join("a.xml"), api).unwrap();
    Running::of(folder, free_port())
}

fn static_keys(port: u16) -> String {
    format!(
        r#"function="arn:aws:lambda:eu-west-1:123456789012:function:f" access-key="AKID" secret-key="s3cret" endpoint-url="http://127.0.0.1:{port}""#
    )
}

fn answered(answer: &'static str, fault_sequence: bool, request: &str) -> Answer {
    let port = service(move |_| Some(answer.to_owned()));
    let never = "<suspendOnFailure><errorCodes>-1</errorCodes></suspendOnFailure>";
    gateway(&static_keys(port), never, fault_sequence).ask(request)
}

#[test]
fn what_is_sent_is_signed() {
    let port = service(|asked| {
        let fits = is_signed(asked, "s3cret") && !is_signed(asked, "other");
        Some(format!(
            "200 OK\n\n{{\"fits\": {fits}, \"target\": \"{}\", \"host\": \"{}\", \"length\": {}}}",
            asked.target,
            asked.headers["host"],
            asked.body.len()
        ))
    });
    let qualified = format!(r#"{} qualifier="$LATEST" event="body""#, static_keys(port));
    let gateway = gateway(&qualified, "", false);
    let target = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af/invocations?Qualifier=%24LATEST";
    for body in ["{}".to_owned(), format!("\"{}\"", "ö".repeat(1 << 19))] {
        let request = format!("POST /a/x%20y?z=1\nContent-Type: application/json\n\n{body}");
        let answer = gateway.ask(&request);
        let expected = format!(
            r#"{{"fits": true, "target": "{target}", "host": "127.0.0.1:{port}", "length": {}}}"#,
            body.len()
        );
        assert_eq!((answer.status, answer.body), (200, expected));
    }
}

#[test]
fn a_throttled_function_is_429_and_a_throttled_account_503() {
    let own = "429 Too Many\nx-amzn-errortype: TooManyRequestsException\nretry-after: 3\n\n{\"Reason\":\"ReservedFunctionConcurrentInvocationLimitExceeded\",\"message\":\"Rate Exceeded.\"}";
    let answer = answered(own, false, "GET /a/");
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3")));
    let all = "429 Too Many\nx-amzn-errortype: TooManyRequestsException\n\n{\"Reason\":\"CallerRateLimitExceeded\"}";
    let answer = answered(all, false, "GET /a/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[test]
fn a_function_error_reaches_the_fault_sequence_without_names() {
    let failed = "200 OK\nx-amz-function-error: Unhandled\n\n{\"errorType\":\"KeyError\",\"errorMessage\":\"no table arn:aws:dynamodb:eu-west-1:123456789012:table/t\"}";
    let answer = answered(failed, true, "GET /a/");
    assert_eq!(answer.status, 599);
    assert_eq!(
        answer.body,
        r#"{"code": "320001", "message": "the function failed (Unhandled: KeyError)", "detail": "the function failed (Unhandled: KeyError): no table …"}"#
    );
    let answer = answered(failed, false, "GET /a/");
    assert_eq!(answer.status, 502);
    assert!(!answer.body.contains("arn"), "{}", answer.body);
}

#[test]
fn an_answer_of_six_megabytes_comes_whole() {
    let size = 6 << 20;
    let port = service(move |_| {
        Some(format!(
            "200 OK\n\n{{\"statusCode\":200,\"body\":\"{}\"}}",
            "x".repeat(size)
        ))
    });
    let answer = gateway(&static_keys(port), "", false).ask("GET /a/");
    assert_eq!((answer.status, answer.body.len()), (200, size));
    // More than any function returns is nobody's answer.
    let port = service(|_| Some(format!("200 OK\n\n\"{}\"", "x".repeat(9 << 20))));
    assert_eq!(gateway(&static_keys(port), "", false).ask("GET /a/").status, 502);
}

#[test]
fn a_function_that_says_nothing_is_504_when_its_time_is_over() {
    let port = service(|_| None);
    let patience = "<timeout><duration>400</duration></timeout>";
    let gateway = gateway(&static_keys(port), patience, false);
    let start = Pace::start();
    assert_eq!(gateway.ask("GET /a/").status, 504);
    let (clock, elapsed) = (start.clock(), start.elapsed());
    assert!(
        clock >= Duration::from_millis(350) && elapsed < Duration::from_millis(1500),
        "{clock:?}, {elapsed:?}"
    );
}

#[test]
fn credentials_that_end_early_are_fetched_anew_and_the_call_is_made_once_more() {
    let mut roles = 0;
    let tokens = service(move |asked| {
        roles += 1;
        assert!(String::from_utf8_lossy(&asked.body).contains("RoleSessionName=tests"));
        Some(format!(
            "200 OK\ncontent-type: text/xml\n\n<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials><AccessKeyId>ROLE{roles}</AccessKeyId><SecretAccessKey>secret{roles}</SecretAccessKey><SessionToken>token{roles}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ))
    });
    let mut calls = 0;
    let functions = service(move |asked| {
        calls += 1;
        let token = asked.headers["x-amz-security-token"].clone();
        let number = token.trim_start_matches("token").to_owned();
        if !is_signed(asked, &format!("secret{number}")) {
            return Some("500 Wrong\n\n{}".to_owned());
        }
        if calls == 3 {
            return Some("403 Over\nx-amzn-errortype: ExpiredTokenException\n\n{}".to_owned());
        }
        Some(format!("200 OK\n\n\"{calls} with {token}\""))
    });
    let role = format!(
        r#"{} role-arn="arn:aws:iam::123456789012:role/r" role-session="tests" role-endpoint-url="http://127.0.0.1:{tokens}""#,
        static_keys(functions)
    );
    let gateway = gateway_of_one_thread(&role);
    let told: Vec<String> = (0..4).map(|_| gateway.ask("GET /a/").body).collect();
    assert_eq!(
        told,
        [
            "\"1 with token1\"",
            "\"2 with token1\"",
            "\"4 with token2\"",
            "\"5 with token2\""
        ]
    );
}

/// Credentials are fetched once a thread.
fn gateway_of_one_thread(attributes: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let api = format!(
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="A" context="/a"><resource methods="GET" url-mapping="/*">
    <inSequence><call><endpoint><lambda {attributes}/></endpoint></call><respond/></inSequence></resource></api>"#
    );
    std::fs::write(folder.path().join("a.xml"), api).unwrap();
    Running::with(folder, free_port(), &["--workers", "1"])
}

#[test]
fn a_definition_that_names_functions_is_an_api() {
    let port = service(|asked| {
        let event = String::from_utf8_lossy(&asked.body)
            .replace('\\', "")
            .replace('"', "'");
        Some(format!("200 OK\n\n\"{} {event}\"", asked.target))
    });
    let folder = tempfile::tempdir().unwrap();
    let definition = "openapi: 3.0.1\ninfo: {title: Pets, version: '1'}\nx-wso2-basePath: /pets/1\npaths:\n  /{id}:\n    get:\n      x-amzn-resource-name: arn:aws:lambda:eu-west-1:123456789012:function:pets\n";
    std::fs::write(folder.path().join("pets.yaml"), definition).unwrap();
    let surroundings = [
        ("AWS_ACCESS_KEY_ID", "AKID".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s3cret".to_owned()),
        ("AWS_ENDPOINT_URL_LAMBDA", format!("http://127.0.0.1:{port}")),
    ];
    let surroundings = surroundings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let gateway = Running::with_env(folder, free_port(), &surroundings);
    let answer = gateway.ask("GET /pets/1/7");
    assert_eq!(answer.status, 200, "{answer:?}");
    for part in [
        "function%3Apets/invocations",
        "'pathParameters':{'id':'7'}",
        "'path':'/{id}'",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
}
