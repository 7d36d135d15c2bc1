//! The binary as people and build servers meet it: streams, formats, exit codes.

use std::path::Path;
use std::process::{Command, Output};

const NAMESPACE: &str = "http://ws.apache.org/ns/synapse";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("XMLNS", &format!("xmlns=\"{NAMESPACE}\""))).unwrap();
    }
    folder
}

fn myelin(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_myelin"))
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn ran(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = myelin(folder, arguments, &[]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const GOOD: &[(&str, &str)] = &[("a.xml", "<sequence XMLNS name=\"a\"/>")];
const BROKEN: &[(&str, &str)] = &[
    ("a.xml", "<sequence XMLNS name=\"a\"/>"),
    (
        "in/b.xml",
        "<sequence XMLNS name=\"b\">\n  <nonsense/>\n</sequence>",
    ),
];

#[test]
fn check_succeeds_with_nothing_to_say_and_fails_with_findings() {
    let good = folder(GOOD);
    let (code, out, err) = ran(good.path(), &["check"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("plain folder: 1 sequence\nno mistakes\n"), "{err}");
    let broken = folder(BROKEN);
    for arguments in [&["check"][..], &["validate"], &["-t"], &["check", "."]] {
        let (code, out, err) = ran(broken.path(), arguments);
        assert_eq!(code, 1, "{err}");
        assert!(out.contains("┌─ in/b.xml:2:") && !out.contains('\x1b'), "{out}");
        assert!(err.contains("1 error"), "{err}");
    }
}

#[test]
fn files_are_named_as_they_were_given() {
    let broken = folder(BROKEN);
    let above = broken.path().parent().unwrap();
    let name = broken.path().file_name().unwrap().to_str().unwrap();
    let (_, out, _) = ran(above, &["check", name]);
    assert!(out.contains(&format!("┌─ {name}/in/b.xml:2:")), "{out}");
    let (code, out, _) = ran(broken.path(), &["check", "a.xml", "in/b.xml"]);
    assert_eq!(code, 1);
    assert!(out.contains("┌─ in/b.xml:2:"), "{out}");
    assert_eq!(ran(broken.path(), &["check", "a.xml"]).0, 0);
    let (code, out, _) = ran(broken.path(), &["check", "nowhere"]);
    assert_eq!(code, 1);
    assert!(out.contains("there is no such file or folder"), "{out}");
}

#[test]
fn machines_get_json_and_sarif() {
    let broken = folder(BROKEN);
    let parsed = |arguments: &[&str]| -> serde_json::Value {
        let (code, out, _) = ran(broken.path(), arguments);
        assert_eq!(code, 1);
        serde_json::from_str(&out).unwrap()
    };
    let list = parsed(&["check", "--format", "json"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["severity"], "error");
    let both = parsed(&["check", "--format", "json", "--compat"]);
    assert!(both["compat"]["percentage"].is_number(), "{both}");
    assert_eq!(both["mistakes"].as_array().unwrap().len(), 1);
    let sarif = parsed(&["check", "--format=sarif"]);
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "in/b.xml");
    assert_eq!(place["region"]["startLine"], 2);
}

#[test]
fn warnings_fail_only_when_denied() {
    let warned = folder(&[
        ("a.xml", "<sequence XMLNS name=\"a\"/>"),
        ("t.xml", "<task name=\"t\"/>"),
    ]);
    let (code, out, _) = ran(warned.path(), &["check"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("warning[W0106]"), "{out}");
    assert_eq!(ran(warned.path(), &["check", "--deny-warnings"]).0, 1);
}

#[test]
fn compat_lists_what_was_met_with_a_percentage() {
    let broken = folder(BROKEN);
    let (_, out, _) = ran(broken.path(), &["check", "--compat"]);
    assert!(out.contains("elements and attributes are supported ("), "{out}");
}

#[test]
fn a_start_is_refused_when_the_configuration_is_broken() {
    let broken = folder(BROKEN);
    for arguments in [&["run"][..], &[], &["."]] {
        let (code, _, err) = ran(broken.path(), arguments);
        assert_eq!(code, 78, "{err}");
        assert!(
            err.contains("┌─ in/b.xml:2:") && err.contains("not started: 1 error"),
            "{err}"
        );
    }
    let settings = folder(&[
        ("a.xml", "<sequence XMLNS name=\"a\"/>"),
        ("myelin.toml", "lisen = 1"),
    ]);
    let (code, _, err) = ran(settings.path(), &["run"]);
    assert_eq!(code, 78);
    assert!(
        err.contains("┌─ myelin.toml:1:1") && err.contains("did you mean `listen`?"),
        "{err}"
    );
}

#[test]
fn what_is_no_command_line_is_told_as_usage() {
    let good = folder(GOOD);
    for arguments in [
        &["run", "--nonsense"][..],
        &["run", "--listen", "here"],
        &["check", "--format", "x"],
    ] {
        let (code, out, err) = ran(good.path(), arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("error:"), "{err}");
    }
    let output = myelin(good.path(), &["run"], &[("MYELIN_LISTEN", "here")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_names_the_environment_twin_of_every_flag() {
    let good = folder(GOOD);
    let (code, help, _) = ran(good.path(), &["run", "--help"]);
    assert_eq!(code, 0);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let flags: Vec<&str> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| flag.split(['[', '=', ' ']).next().unwrap())
        .filter(|flag| !["no-watch", "help"].contains(flag))
        .collect();
    assert!(flags.len() > 10, "{help}");
    for flag in flags {
        let twin = format!("[env: MYELIN_{}]", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&twin), "{twin} is not in\n{help}");
    }
}

#[test]
fn an_element_is_explained_and_an_unknown_one_gets_a_suggestion() {
    let good = folder(GOOD);
    let (code, out, _) = ran(good.path(), &["explain", "localEntry"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("# `<localEntry>`\n"), "{out}");
    assert!(ran(good.path(), &["explain"]).1.contains("localEntry"));
    let (code, _, err) = ran(good.path(), &["explain", "localEntyr"]);
    assert_eq!(code, 1);
    assert!(err.contains("did you mean `localEntry`?"), "{err}");
    let (code, out, _) = ran(good.path(), &["explain", "e0401"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("# E0401\n\nNothing has the name"), "{out}");
    assert!(ran(good.path(), &["explain", "ejb"]).2.contains("need a JVM"));
}

/// A `myelin run` on ports of its own choice; ended when dropped.
struct Running {
    child: std::process::Child,
    http: String,
    health: String,
    block: String,
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Running {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(env!("CARGO_BIN_EXE_myelin"))
            .current_dir(folder)
            .args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .env_clear()
            .stdout(std::process::Stdio::piped())
            .stderr(std::fs::File::create(folder.join(".log")).unwrap())
            .spawn()
            .unwrap();
        let mut block = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            block.push_str(&line);
            block.push('\n');
            if line.starts_with("  try ") {
                break;
            }
        }
        let address = |word: &str| {
            let line = block.lines().find(|line| line.trim_start().starts_with(word));
            let url = line.and_then(|line| line.split("//").nth(1)).unwrap_or_default();
            url.split('/').next().unwrap_or_default().to_owned()
        };
        Running {
            http: address("http "),
            health: address("health "),
            child,
            block,
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Asks until the answer holds this; there is no other way to see that a reload is through.
    fn wait_for(&self, path: &str, expected: &str) {
        let start = std::time::Instant::now();
        while !get(&self.http, path).contains(expected) {
            assert!(start.elapsed().as_secs() < 20, "no `{expected}` at {path}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait_for_log(folder: &Path, expected: &str) -> String {
    let start = std::time::Instant::now();
    loop {
        let log = std::fs::read_to_string(folder.join(".log")).unwrap();
        if log.lines().any(|line| line.contains(expected)) && log.ends_with('\n') {
            return log;
        }
        assert!(start.elapsed().as_secs() < 20, "no `{expected}` in\n{log}");
        std::thread::yield_now();
    }
}

fn answering(text: &str) -> String {
    format!(
        "<api xmlns=\"{NAMESPACE}\" name=\"a\" context=\"/a\"><resource methods=\"GET\"><inSequence>\
         <payloadFactory media-type=\"json\"><format>{{\"text\": \"{text}\"}}</format><args/></payloadFactory>\
         <respond/></inSequence></resource></api>"
    )
}

#[test]
fn a_folder_is_served_and_reloaded_and_a_broken_save_keeps_what_serves() {
    let served = folder(&[("a.xml", &answering("one"))]);
    let mut running = Running::start(served.path(), &[]);
    assert!(running.block.contains("has     1 API"), "{}", running.block);
    let first_request = format!("try     curl -i http://{}/a\n", running.http);
    assert!(running.block.contains(&first_request), "{}", running.block);
    running.wait_for("/a", "{\"text\": \"one\"}");
    assert!(get(&running.health, "/healthz").starts_with("HTTP/1.1 200"));

    std::fs::write(served.path().join("a.xml"), answering("two")).unwrap();
    running.wait_for("/a", "{\"text\": \"two\"}");

    std::fs::write(served.path().join("a.xml"), format!("<api xmlns=\"{NAMESPACE}\"")).unwrap();
    let log = wait_for_log(served.path(), "not taken up");
    assert!(log.contains("a.xml:1:"), "{log}");
    assert!(get(&running.http, "/a").contains("{\"text\": \"two\"}"));

    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_watching_a_hang_up_reloads_and_an_interrupt_ends() {
    let served = folder(&[("a.xml", &answering("one"))]);
    let mut running = Running::start(served.path(), &["--no-watch", "--log-format", "json"]);
    running.wait_for("/a", "one");
    std::fs::write(served.path().join("a.xml"), answering("two")).unwrap();
    running.signal("-HUP");
    running.wait_for("/a", "two");
    let log = wait_for_log(served.path(), "reloaded");
    let line = log.lines().find(|line| line.contains("reloaded")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["message"], "reloaded");
    assert_eq!(line["generation"].as_u64(), Some(1));
    running.signal("-INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
}

#[test]
fn an_address_that_is_taken_refuses_the_start() {
    let served = folder(&[("a.xml", &answering("one"))]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = ran(served.path(), &["run", "--listen", &address]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
}
