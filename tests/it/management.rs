//! The states of endpoints in the open: `/management/endpoints` and `myelin endpoint`, from a first failure to the operator's switch.

use super::talk::{Answer, Running, ask, free_port};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

/// An API in front of one endpoint.
fn artifacts(endpoint: &str) -> String {
    format!(
        r#"<definitions xmlns="http://ws.apache.org/ns/synapse">
  <endpoint name="orders">{endpoint}</endpoint>
  <api name="A" context="/a"><resource methods="GET"><inSequence><send><endpoint key="orders"/></send></inSequence></resource></api>
</definitions>"#
    )
}

fn address(port: u16, inside: &str) -> String {
    format!(r#"<address uri="http://127.0.0.1:{port}/b">{inside}</address>"#)
}

fn gateway(artifacts: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.xml"), artifacts).unwrap();
    Running::with(folder, free_port(), more)
}

/// Answers every request on this port with 200.
fn answering(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(answer).ok();
        }
    });
}

fn token(running: &Running) -> String {
    let path = running
        .runtime
        .path()
        .join(format!("myelin/{}.token", running.admin_port()));
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn manage(running: &Running, request: &str) -> Answer {
    let (first, rest) = request.split_once('\n').unwrap_or((request, ""));
    let request = format!("{first}\nAuthorization: Bearer {}\n{rest}", token(running));
    ask(running.admin_port(), &request)
}

/// The endpoint `orders` as the management tells it.
fn orders(running: &Running) -> Value {
    let answer = manage(running, "GET /management/endpoints?endpointName=orders");
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// `myelin endpoint …` on the same machine, by the same user.
fn endpoint(running: &Running, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_myelin"))
        .arg("endpoint")
        .args(arguments)
        .env_clear()
        .env("XDG_RUNTIME_DIR", running.runtime.path())
        .env("MYELIN_ADMIN", format!("127.0.0.1:{}", running.admin_port()))
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn check(running: &Running, arguments: &[&str], code: i32, expected: &str) {
    let output = endpoint(running, arguments, &[]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = text(&output.stdout) + text(&output.stderr).as_str();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
}

/// Writes the artifacts anew and waits until they are in effect.
fn reload(running: &Running, artifacts: &str) {
    let told = running.told_so_far();
    std::fs::write(running.folder.path().join("a.xml"), artifacts).unwrap();
    running.told_after(told, "reloaded");
}

#[test]
fn an_endpoint_fails_is_seen_survives_a_reload_and_is_brought_back() {
    let backend = free_port();
    let suspend = "<suspendOnFailure><initialDuration>3600000</initialDuration></suspendOnFailure>";
    let running = gateway(&artifacts(&address(backend, suspend)), &["--log", "info"]);
    assert_eq!(orders(&running)["state"], "ACTIVE");
    let told = running.told_so_far();
    running.ask("GET /a");
    let line = running.told_after(told, "An endpoint changed its state.");
    let now = orders(&running);
    assert_eq!(
        (&now["state"], &now["isActive"], &now["code"]),
        (&json!("SUSPENDED"), &json!(false), &json!(101_503)),
        "{now}"
    );
    assert_eq!((&now["sent"], &now["failed"]), (&json!(1), &json!(1)));
    for words in [
        "endpoint=orders",
        "from=ACTIVE",
        "to=SUSPENDED",
        "code=101503",
        "attempts_left=0",
        "retry_after_ms=3600000",
        &format!("{:?}", now["reason"].as_str().unwrap()),
    ] {
        assert!(line.contains(words), "{words}\n{line}");
    }
    // It counts down, and does not ask the backend meanwhile.
    assert_eq!(running.ask("GET /a").status, 503);
    let later = orders(&running);
    assert!(later["retryAfterMs"].as_u64() <= now["retryAfterMs"].as_u64());
    assert_eq!(later["sent"], 1);
    check(&running, &["ls"], 0, "SUSPENDED  101503 ");
    check(&running, &["ls", "--state", "suspended"], 0, "in 59 min 59 s");

    // The same definition, in a file that has changed.
    let same = artifacts(&address(backend, suspend)).replace("context=\"/a\"", "context=\"/b\"");
    reload(&running, &same);
    assert_eq!(running.ask("GET /b").status, 503);
    assert_eq!(orders(&running)["state"], "SUSPENDED");
    assert_eq!(orders(&running)["failed"], 1);

    // Another definition is another endpoint.
    let other = suspend.replace("3600000", "3600001");
    reload(&running, &artifacts(&address(backend, &other)));
    assert_eq!(orders(&running)["state"], "ACTIVE");
    running.ask("GET /a");
    assert_eq!(orders(&running)["state"], "SUSPENDED");

    // The backend is back; nobody waits for an hour.
    answering(backend);
    assert_eq!(running.ask("GET /a").status, 503);
    check(
        &running,
        &["retry", "orders"],
        0,
        "orders is tried by the next request",
    );
    assert_eq!(orders(&running)["state"], "SUSPENDED");
    check(&running, &["ls"], 0, "with the next request");
    assert_eq!(running.ask("GET /a").status, 200);
    assert_eq!(orders(&running)["state"], "ACTIVE");

    check(&running, &["off", "orders"], 0, "orders is switched Off");
    assert_eq!(running.ask("GET /a").status, 503);
    check(&running, &["ls", "--state", "off"], 0, "an operator");
    check(&running, &["retry", "orders"], 1, "orders is switched Off");
    // What an operator said stays said, whatever stands in the file.
    reload(&running, &artifacts(&address(backend, "")));
    assert_eq!(running.ask("GET /a").status, 503);
    check(&running, &["on", "orders"], 0, "orders is switched On");
    assert_eq!(running.ask("GET /a").status, 200);
}

#[test]
fn the_command_line_tells_what_it_cannot_do() {
    let running = gateway(&artifacts(&address(free_port(), "")), &[]);
    check(
        &running,
        &["off", "order", "orders"],
        1,
        "there is no endpoint `order`; did you mean `orders`?",
    );
    assert_eq!(orders(&running)["state"], "OFF");
    check(&running, &["ls", "--state", "active"], 0, "no endpoint is ACTIVE");
    check(
        &running,
        &["ls", "--state", "sleepy"],
        2,
        "a state is active, timeout, suspended or off",
    );
    check(&running, &["off"], 2, "NAME");
    check(
        &running,
        &["ls", "--token", "wrong"],
        1,
        "does not take this token",
    );
    check(
        &running,
        &["ls", "--admin", &format!("127.0.0.1:{}", free_port())],
        1,
        "no gateway of this user",
    );
    check(
        &running,
        &["ls", "--admin", "192.0.2.1:9164"],
        1,
        "is not this machine: --token is needed",
    );
    let output = endpoint(&running, &["ls", "--json"], &[]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&list["count"], &list["list"][0]["name"]),
        (&json!(1), &json!("orders"))
    );
}

#[test]
fn a_token_that_is_said_is_the_one_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.xml"), artifacts(&address(free_port(), ""))).unwrap();
    std::fs::write(
        folder.path().join("myelin.toml"),
        "admin-token = \"file:secret\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("secret"), "of-my-own\n").unwrap();
    let running = Running::with(folder, free_port(), &[]);
    assert_eq!(std::fs::read_dir(running.runtime.path()).unwrap().count(), 0);
    check(&running, &["ls"], 1, "no gateway of this user has left a token");
    let output = endpoint(&running, &["ls"], &[("MYELIN_ADMIN_TOKEN", "of-my-own")]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("orders"));
    let port = running.admin_port();
    let listed = ask(port, "GET /management/endpoints\nAuthorization: Bearer of-my-own");
    assert_eq!(
        (listed.status, listed.header("cache-control")),
        (200, Some("no-store"))
    );
    // base64 of admin:of-my-own
    let login = ask(
        port,
        "GET /management/login\nAuthorization: Basic YWRtaW46b2YtbXktb3du",
    );
    let login: Value = serde_json::from_str(&login.body).unwrap();
    let session = login["AccessToken"].as_str().unwrap();
    let list = format!("GET /management/endpoints\nAuthorization: Bearer {session}");
    assert_eq!(ask(port, &list).status, 200);
}

#[test]
fn the_management_is_closed_to_strangers_and_health_is_open() {
    let running = gateway(&artifacts(&address(free_port(), "")), &[]);
    let port = running.admin_port();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(ask(port, &format!("GET {path}")).status, 200);
    }
    let token = token(&running);
    assert_eq!(ask(port, "GET /management/endpoints").status, 401);
    // Neither on the port of the traffic, nor by the ways round that paths have.
    for path in [
        "/management/endpoints",
        "//management/endpoints",
        "/a/../management/endpoints",
        "/%6Danagement/endpoints",
    ] {
        let answer = running.ask(&format!("GET {path}\nAuthorization: Bearer {token}"));
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    let path = running.runtime.path().join(format!("myelin/{port}.token"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for _ in 0..10 {
        let guess = ask(port, "GET /management/endpoints\nAuthorization: Bearer guess");
        assert_eq!(guess.status, 401);
    }
    let refused = manage(&running, "GET /management/endpoints");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ask(port, "GET /healthz").status, 200);
}

#[test]
fn an_api_that_leads_to_the_management_does_not_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let admin = free_port();
    let api = artifacts(&format!(
        r#"<address uri="http://localhost:{admin}/management/endpoints"/>"#
    ));
    std::fs::write(folder.path().join("a.xml"), api).unwrap();
    let running = Running::with_admin(folder, free_port(), admin, &[]);
    let token = token(&running);
    let answer = running.ask(&format!("GET /a\nAuthorization: Bearer {token}"));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains("by way of the gateway"), "{answer:?}");
}

#[test]
fn global_defaults_hold_where_an_endpoint_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.xml"), artifacts(&address(free_port(), ""))).unwrap();
    std::fs::write(
        folder.path().join("myelin.toml"),
        "[endpoints]\nsuspend-duration = \"2h\"\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(["check", "."])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!told.contains("N0201"), "somebody has said how long: {told}");
    let running = Running::of(folder, free_port());
    running.ask("GET /a");
    let left = orders(&running)["retryAfterMs"].as_u64().unwrap();
    assert!((7_190_000..=7_200_000).contains(&left), "{left}");
}

#[test]
fn a_request_has_no_more_than_its_total_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let port = silent.local_addr().unwrap().port();
    std::fs::write(folder.path().join("a.xml"), artifacts(&address(port, ""))).unwrap();
    let running = Running::with_env(folder, free_port(), &[("MYELIN_ENDPOINTS_DEADLINE", "200ms")]);
    let began = std::time::Instant::now();
    assert_eq!(running.ask("GET /a").status, 504);
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn the_log_of_a_change_is_json_with_the_same_words() {
    let running = gateway(
        &artifacts(&address(free_port(), "")),
        &["--log", "info", "--log-format", "json"],
    );
    running.ask("GET /a");
    let told = running.told_after(0, "An endpoint changed its state.");
    let line = told
        .lines()
        .find(|line| line.contains("changed its state"))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let shown = orders(&running);
    assert_eq!(
        (&line["endpoint"], &line["to"], &line["code"], &line["reason"]),
        (&shown["name"], &shown["state"], &shown["code"], &shown["reason"])
    );
    assert_eq!(
        (&line["attempts_left"], &line["retry_after_ms"]),
        (&json!(0), &json!(30_000))
    );
}
