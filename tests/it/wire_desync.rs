//! Requests that two servers could read differently: AWS's `http_desync_guardian` set with its verdicts (RB-01).

use std::path::PathBuf;
use std::time::Duration;

use myelin::wire::ServerLimits;
use tokio::io::AsyncWriteExt;
use yaml_rust2::{Yaml, YamlLoader};

use crate::wire_kit::{Gateway, Recorder, Setup, answer_with, read_to_end, run};

struct Case {
    name: String,
    tier: String,
    request: Vec<u8>,
}

/// Compliant requests that are refused all the same, each with the reason.
const REFUSED_THOUGH_COMPLIANT: &[(&str, &str)] = &[
    ("Correct TE OK", ONLY_CHUNKED),
    ("Transfer-Encoding: identity and chunked OK", ONLY_CHUNKED),
    (
        "Multiple transfer encoding headers in a single request OK",
        ONLY_CHUNKED,
    ),
    ("TE with custom parameters OK", ONLY_CHUNKED),
    ("Different Transfer-Encoding headers", ONLY_CHUNKED),
    ("Different Transfer-Encoding headers combined", ONLY_CHUNKED),
    (
        "Transfer-Encoding with a param: chunked;custom_param",
        ONLY_CHUNKED,
    ),
    (
        "Compliant URL",
        "a fragment and bare quotes and brackets are no part of a request target (RFC 9112 3.2)",
    ),
    (
        "International in URI",
        "letters beyond ASCII must be escaped (RFC 3986 2.1)",
    ),
    ("Empty URI", "there is no target"),
];

const ONLY_CHUNKED: &str = "no coding but chunked can be passed on, and no two servers agree on the others";

#[test]
fn no_request_that_could_be_read_in_two_ways_gets_past() {
    run(async {
        let cases = cases();
        assert_eq!(cases.len(), 159);
        let backend = Recorder::start(|_| answer_with(200, "OK", "", b"reached"));
        let server = ServerLimits {
            body_gap: Duration::from_millis(30),
            linger: Duration::from_millis(30),
            first_bytes: Duration::from_millis(100),
            headers_complete: Duration::from_millis(100),
            keep_alive_idle: Duration::from_millis(30),
            ..Default::default()
        };
        let gateway = Gateway::with(
            backend.address,
            Setup {
                server,
                ..Default::default()
            },
        );
        let mut problems = Vec::new();
        let (mut severe, mut ambiguous) = (0, 0);
        for case in &cases {
            backend.requests.borrow_mut().clear();
            let mut client = gateway.connect().await;
            client.write_all(&case.request).await.unwrap();
            let answer = read_to_end(&mut client).await;
            let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
            let reached = backend.requests.borrow().len();
            let answers = answer.matches("HTTP/1.1 ").count();
            match case.tier.as_str() {
                "Severe" | "Ambiguous" => {
                    severe += usize::from(case.tier == "Severe");
                    ambiguous += usize::from(case.tier == "Ambiguous");
                    // Refused, or answered and both connections closed; nothing behind it is ever looked at.
                    let refused = reached == 0 && (status.starts_with('4') || status.starts_with("50"));
                    let closed = case.tier == "Ambiguous"
                        && reached == 1
                        && answer.contains("connection: close")
                        && backend.requests.borrow()[0].header("connection") == Some("close");
                    if !refused && !closed || answers != 1 {
                        problems.push(format!(
                            "{} {:?}: {status}, {reached} reached",
                            case.tier, case.name
                        ));
                    }
                }
                tier => {
                    let excused = REFUSED_THOUGH_COMPLIANT
                        .iter()
                        .any(|(name, _)| *name == case.name);
                    if tier == "Compliant" && !status.starts_with('2') && !excused {
                        let reason = answer.rsplit("\r\n\r\n").next().unwrap_or("").trim();
                        problems.push(format!("{tier} {:?}: {status} {reason}", case.name));
                    }
                }
            }
        }
        assert_eq!((severe, ambiguous), (58, 58));
        assert!(REFUSED_THOUGH_COMPLIANT.len() <= 10);
        assert!(
            problems.is_empty(),
            "{} problems:\n{}",
            problems.len(),
            problems.join("\n")
        );
    });
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for case in YamlLoader::load_from_str(&text).unwrap()[0].as_vec().unwrap() {
            cases.push(read_case(case));
        }
    }
    cases
}

/// Where cargo keeps the crate's sources.
fn folder() -> PathBuf {
    if let Ok(folder) = std::env::var("DESYNC_GUARDIAN_TESTS") {
        return folder.into();
    }
    // What is for other platforms alone was not fetched.
    let told = said_by(std::process::Command::new("rustc").arg("-vV"));
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let text = said_by(
        std::process::Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", host.expect("rustc names its host")])
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    let end = text
        .find("http_desync_guardian-0.1.3/Cargo.toml")
        .expect("the crate is among the dependencies");
    let start = text[..end].rfind('"').unwrap() + 1;
    PathBuf::from(format!("{}http_desync_guardian-0.1.3/tests", &text[start..end]))
}

fn said_by(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {trouble}");
    String::from_utf8(output.stdout).unwrap()
}

fn read_case(case: &Yaml) -> Case {
    let text = |yaml: &Yaml| match yaml {
        Yaml::Integer(number) => number.to_string().into_bytes(),
        other => unescape(other.as_str().unwrap_or("")),
    };
    let mut request = [text(&case["method"]), text(&case["uri"]), text(&case["version"])].join(&b' ');
    request.extend(b"\r\n");
    let (mut host, mut length, mut chunked) = (false, None, false);
    for header in case["headers"].as_vec().into_iter().flatten() {
        let (name, value) = (text(&header["name"]), text(&header["value"]));
        host |= name.eq_ignore_ascii_case(b"host");
        if name.eq_ignore_ascii_case(b"content-length") {
            length = String::from_utf8_lossy(&value).trim().parse::<usize>().ok();
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
        request.extend([name.as_slice(), b":", &value, b"\r\n"].concat());
    }
    if !host {
        request.extend(b"Host: h\r\n");
    }
    request.extend(b"\r\n");
    if chunked {
        request.extend(b"3\r\nabc\r\n0\r\n\r\n");
    } else if let Some(length) = length {
        request.extend(vec![b'x'; length.min(5_000_000)]);
    }
    let string = |yaml: &Yaml| yaml.as_str().unwrap_or("").to_owned();
    Case {
        name: string(&case["name"]),
        tier: string(&case["expected"]["tier"]),
        request,
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut result = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        result.push(match letter {
            '\\' => match letters.next() {
                Some('x') => {
                    let hex: String = letters.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&hex, 16).unwrap())
                }
                Some('b') => '\x08',
                Some('f') => '\x0c',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    result.into_bytes()
}
