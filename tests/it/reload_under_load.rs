//! RB-18: 200 valid and 50 broken reloads under load. No request fails, no answer mixes two generations, every broken set is refused while
//! the last good one serves, the newest valid one is live in the end.

use super::talk::{Running, ask, free_port};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const REQUESTS: usize = 100_000;
const CLIENTS: usize = 4;
const NS: &str = "http://ws.apache.org/ns/synapse";

#[test]
fn no_request_fails_and_none_sees_two_generations() {
    let folder = tempfile::tempdir().expect("a folder");
    write_generation(folder.path(), 0);
    let port = free_port();
    let running = Running::with(folder, port, &["--no-watch"]);
    let reloading = Arc::new(AtomicBool::new(true));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (reloading, answered) = (Arc::clone(&reloading), Arc::clone(&answered));
            std::thread::spawn(move || client(port, &reloading, &answered))
        })
        .collect();

    let mut generation = number(&running.health(), "\"generation\":");
    let mut refused = 0;
    for round in 1..=250 {
        if round % 5 == 0 {
            break_it(running.folder.path(), round);
            running.hang_up();
            refused += 1;
            running.until(|health| number(health, "\"failures\":") == refused);
            assert_eq!(
                number(&running.health(), "\"generation\":"),
                generation,
                "a broken set is not taken up"
            );
        } else {
            write_generation(running.folder.path(), round);
            running.hang_up();
            generation += 1;
            running.until(|health| number(health, "\"generation\":") == generation);
        }
    }
    write_generation(running.folder.path(), 999);
    running.hang_up();
    generation += 1;
    running.until(|health| number(health, "\"generation\":") == generation);
    reloading.store(false, Ordering::Relaxed);

    for client in clients {
        client.join().expect("no client met anything but a whole answer");
    }
    assert!(answered.load(Ordering::Relaxed) >= REQUESTS);
    assert_eq!(refused, 50);
    assert_eq!(ask(port, "GET /which/x").body, "999 and 999");
}

/// Two files that belong together: an answer made of both says whether they were of one generation.
fn write_generation(folder: &Path, number: usize) {
    let api = format!(
        r#"<api xmlns="{NS}" name="Which" context="/which"><resource methods="GET" uri-template="/*"><inSequence>
        <property name="one" value="{number}"/><sequence key="other"/></inSequence></resource></api>"#
    );
    let sequence = format!(
        r#"<sequence xmlns="{NS}" name="other"><payloadFactory media-type="text"><format>$1 and {number}</format>
        <args><arg expression="$ctx:one"/></args></payloadFactory><respond/></sequence>"#
    );
    // The ways editors save: in place, and by a new file renamed over the old one.
    fs::write(folder.join("api.xml"), api).expect("it can be written");
    fs::write(folder.join("sequence.xml.tmp"), sequence).expect("it can be written");
    fs::rename(folder.join("sequence.xml.tmp"), folder.join("sequence.xml")).expect("it can be renamed");
}

fn break_it(folder: &Path, round: usize) {
    let text = match (round / 5) % 4 {
        0 => "<api",
        1 => {
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Which" context="/which"><resource><inSequence><nonsense/></inSequence></resource></api>"#
        }
        2 => {
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Which" context="/which"><resource inSequence="gone"/></api>"#
        }
        _ => r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Which" context="which"/>"#,
    };
    fs::write(folder.join("api.xml"), text).expect("it can be written");
}

/// Asks over one kept connection until the reloads are over and its share is done.
fn client(port: u16, reloading: &AtomicBool, answered: &AtomicUsize) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("it can be set");
    let mut writer = stream.try_clone().expect("it can be cloned");
    let mut reader = BufReader::new(stream);
    let mut connection_requests = 0;
    while reloading.load(Ordering::Relaxed) || answered.load(Ordering::Relaxed) < REQUESTS {
        if connection_requests == 9_000 {
            // Connections are closed after 10,000 requests; a client that knows opens a new one before.
            return client(port, reloading, answered);
        }
        connection_requests += 1;
        writer
            .write_all(b"GET /which/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("it takes the request");
        let mut length = 0;
        let mut line = String::new();
        reader.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        loop {
            line.clear();
            reader.read_line(&mut line).expect("it answers whole");
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole body");
        let body = String::from_utf8(body).expect("text");
        let (one, other) = body.split_once(" and ").expect("two numbers");
        assert_eq!(one, other, "an answer of two generations");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn number(health: &str, key: &str) -> u64 {
    let rest = health.split_once(key).map_or("", |(_, rest)| rest);
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(u64::MAX)
}

impl Running {
    fn hang_up(&self) {
        let sent = Command::new("kill")
            .args(["-HUP", &self.pid().to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success());
    }

    fn health(&self) -> String {
        ask(self.admin_port(), "GET /healthz").body
    }

    /// Asks until it is so. Each question waits for its answer, so this does not spin.
    fn until(&self, so: impl Fn(&str) -> bool) {
        for _ in 0..20_000 {
            if so(&self.health()) {
                return;
            }
        }
        panic!("it never came: {}", self.health());
    }
}
