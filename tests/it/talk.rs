//! Conversations: a running binary, a plain client, and `.http` files that say what is asked and what is answered.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// The port that samples name; tests put their own in its place.
const SAMPLE_PORT: &str = "8290";

/// Where its standard error goes; no artifact, so the watcher does not mind.
const TALK: &str = "talk.log";

/// A gateway in a process of its own, serving a copy of a folder.
pub struct Running {
    pub port: u16,
    pub folder: tempfile::TempDir,
    /// Where it leaves the token of its management.
    pub runtime: tempfile::TempDir,
    child: Child,
    /// What it printed before it was ready.
    pub start: String,
}

impl Running {
    /// Serves a copy of `folder`, with the sample port replaced by a free one.
    pub fn copy_of(folder: &Path, parts: &[&str]) -> Running {
        let copy = tempfile::tempdir().expect("a folder");
        let port = free_port();
        for part in parts {
            copy_folder(&folder.join(part), &copy.path().join(part), port);
        }
        Running::of(copy, port)
    }

    pub fn of(folder: tempfile::TempDir, port: u16) -> Running {
        Running::with(folder, port, &[])
    }

    pub fn with(folder: tempfile::TempDir, port: u16, more: &[&str]) -> Running {
        Running::with_admin(folder, port, 0, more)
    }

    pub fn with_env(folder: tempfile::TempDir, port: u16, environment: &[(&str, &str)]) -> Running {
        Running::start(folder, port, 0, &[], environment)
    }

    pub fn with_admin(folder: tempfile::TempDir, port: u16, admin: u16, more: &[&str]) -> Running {
        Running::start(folder, port, admin, more, &[])
    }

    fn start(
        folder: tempfile::TempDir,
        port: u16,
        admin: u16,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Running {
        let runtime = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command
            .args([
                "run",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--admin",
                &format!("127.0.0.1:{admin}"),
            ])
            .envs(environment.iter().copied())
            .args(more)
            .arg(folder.path());
        Running::begin(command, folder, runtime, port)
    }

    /// `myelin mock` with a definition that lies in the folder.
    pub fn mock(folder: tempfile::TempDir, definition: &str, port: u16, more: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command
            .args(["mock", "--listen", &format!("127.0.0.1:{port}")])
            .args(more)
            .arg(folder.path().join(definition));
        let runtime = tempfile::tempdir().expect("a folder");
        Running::begin(command, folder, runtime, port)
    }

    fn begin(
        mut command: Command,
        folder: tempfile::TempDir,
        runtime: tempfile::TempDir,
        port: u16,
    ) -> Running {
        let set = command.get_envs().any(|(name, _)| name == "MYELIN_LOG");
        if !set {
            // A flag beats it.
            command.env("MYELIN_LOG", "off");
        }
        let mut child = command
            .env("XDG_RUNTIME_DIR", runtime.path())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join(TALK)).expect("it can be made"))
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut start = String::new();
        // The block at the start ends with the first curl to try.
        loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("it prints text");
            let told = || std::fs::read_to_string(folder.path().join(TALK)).unwrap_or_default();
            assert!(read > 0, "it ended before it was ready:\n{start}{}", told());
            start.push_str(&line);
            if line.contains("curl ") {
                break;
            }
        }
        std::thread::spawn(move || drop(std::io::copy(&mut lines, &mut std::io::sink())));
        Running {
            port,
            folder,
            runtime,
            child,
            start,
        }
    }

    pub fn ask(&self, request: &str) -> Answer {
        ask(self.port, request)
    }

    /// How much it has said on its standard error.
    pub fn told_so_far(&self) -> usize {
        self.told().len()
    }

    /// What it says behind that point, up to a line that is waited for. Waiting costs a request each time, so it does not spin.
    pub fn told_after(&self, from: usize, last: &str) -> String {
        for _ in 0..20_000 {
            let told = self.told();
            if told[from..].contains(last) {
                return told[from..].to_owned();
            }
            self.ask("GET /");
        }
        panic!("it never said `{last}`, only:\n{}", &self.told()[from..]);
    }

    /// Everything it has said on its standard error.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(TALK)).expect("it can be read")
    }

    /// Where health is asked for, as the block at the start says.
    pub fn admin_port(&self) -> u16 {
        let line = self
            .start
            .lines()
            .find(|line| line.contains("health"))
            .expect("it says where");
        let port = line.rsplit_once(':').map_or("", |(_, rest)| rest);
        port.split('/')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Such as `-TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.pid().to_string()])
            .status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits for its end; nothing where a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Sends a request as it is written in a `.http` file: method and target, headers, an empty line, a body. `HTTP/2` behind the target is taken at its word.
pub fn ask(port: u16, request: &str) -> Answer {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let body = body.strip_suffix('\n').unwrap_or(body);
    let mut lines = head.lines();
    let first = lines.next().expect("a request line").trim();
    if let Some(first) = first.strip_suffix(" HTTP/2") {
        return ask_by_http2(port, first, lines, body);
    }
    let first = if first.contains(" HTTP/") {
        first.to_owned()
    } else {
        format!("{first} HTTP/1.1")
    };
    let mut text = format!("{first}\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    for line in lines {
        text.push_str(line.trim());
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout can be set");
    stream.write_all(text.as_bytes()).expect("it takes the request");
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).expect("it answers whole");
    parse(&raw)
}

/// Over HTTP/2. A body of gRPC is one message, with its length in front on the way and without it in the file; trailers are told as headers.
fn ask_by_http2<'t>(port: u16, first: &str, headers: impl Iterator<Item = &'t str>, body: &str) -> Answer {
    let (method, path) = first.split_once(' ').expect("a method and a target");
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://localhost:{port}{path}"));
    let mut grpc = false;
    for (name, value) in headers.filter_map(|line| line.split_once(':')) {
        grpc |= value.trim().starts_with("application/grpc");
        request = request.header(name.trim(), value.trim());
    }
    let request = request.body(()).expect("a request");
    let mut sent = Vec::new();
    if grpc {
        sent.push(0);
        sent.extend((body.len() as u32).to_be_bytes());
    }
    sent.extend(body.bytes());
    let answer = async move {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        let (sender, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        tokio::spawn(async move { drop(connection.await) });
        let mut sender = sender.ready().await.expect("it takes requests");
        let (response, mut stream) = sender.send_request(request, sent.is_empty()).expect("a request");
        if !sent.is_empty() {
            stream.send_data(sent.into(), true).expect("it takes a body");
        }
        let (head, mut stream) = response.await.expect("it answers").into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            body.extend(data.expect("it answers whole"));
        }
        let trailers = stream
            .trailers()
            .await
            .expect("it answers whole")
            .unwrap_or_default();
        let told = head.headers.iter().chain(&trailers);
        Answer {
            status: head.status.as_u16(),
            headers: told
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body: String::from_utf8_lossy(if grpc {
                body.get(5..).unwrap_or_default()
            } else {
                &body
            })
            .into_owned(),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(30), answer)
            .await
            .expect("it answers in time")
    })
}

fn parse(raw: &[u8]) -> Answer {
    let end = raw
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an answer with a head");
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &raw[end + 4..];
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked { unchunk(rest) } else { rest.to_vec() };
    Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|window| window == b"\r\n")
            .expect("a chunk size");
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..line]).trim(), 16)
            .expect("a chunk size in hex");
        rest = &rest[line + 2..];
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A port that nobody has. From below those that the system gives to clients: one of them could else take it before the server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Each process of tests begins elsewhere.
    let begin = 12_000 + (std::process::id() % 160) as u16 * 100;
    loop {
        let port = 12_000 + (begin - 12_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 16_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Copies the files of a folder, with the sample port replaced; a file as it is.
pub fn copy_folder(from: &Path, to: &Path, port: u16) {
    if from.is_file() {
        std::fs::copy(from, to).expect("it can be copied");
        return;
    }
    let Ok(entries) = std::fs::read_dir(from) else {
        return;
    };
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in entries {
        let path = entry.expect("it can be listed").path();
        let target: PathBuf = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy_folder(&path, &target, port);
        } else {
            let text = std::fs::read_to_string(&path).expect("samples are text");
            std::fs::write(target, text.replace(SAMPLE_PORT, &port.to_string())).expect("it can be written");
        }
    }
}

/// Replays a `.http` file: request, `###`, expected answer, `###` and a title, the next request. `…` stands for anything.
pub fn replay(running: &Running, name: &str, text: &str) {
    let blocks: Vec<&str> = text.split("###").collect();
    assert!(blocks.len() >= 2, "{name} holds no conversation");
    for (number, pair) in blocks.chunks(2).enumerate() {
        let [request, expected] = pair else {
            panic!("{name}: the last request has no answer")
        };
        // Behind `###` a title may stand.
        let request = if number == 0 {
            *request
        } else {
            request.split_once('\n').map_or("", |(_, rest)| rest)
        };
        let request = request
            .trim_start()
            .replace(SAMPLE_PORT, &running.port.to_string());
        let expected = expected
            .split_once('\n')
            .map_or("", |(_, rest)| rest)
            .trim()
            .replace(SAMPLE_PORT, &running.port.to_string());
        let answer = running.ask(&request);
        check(&format!("{name}, request {}", number + 1), &answer, &expected);
    }
}

fn check(what: &str, answer: &Answer, expected: &str) {
    let (head, body) = expected.split_once("\n\n").unwrap_or((expected, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or("").trim();
    assert_eq!(answer.status.to_string(), status, "{what}: {answer:?}");
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("{what}: `{line}` is no header"));
        let got = answer.header(name.trim());
        if value.trim() == "-" {
            assert_eq!(got, None, "{what}: {name} should be absent");
        } else {
            assert!(
                got.is_some_and(|got| fits(got, value.trim())),
                "{what}: {name} is {got:?}, expected {value}"
            );
        }
    }
    assert!(
        fits(answer.body.trim_end(), body.trim_end()),
        "{what}: the body is\n{}\nexpected\n{body}",
        answer.body
    );
}

/// Equal, where `…` in the pattern stands for any text.
pub fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (open && pattern.ends_with('…'))
}
