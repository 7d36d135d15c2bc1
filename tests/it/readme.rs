//! The README is true: its XML is the sample's, and its console blocks are run, line by line.

use super::talk::{Running, ask, fits};
use std::fs;
use std::path::Path;
use std::process::Command;

const SAMPLE_PORT: &str = "8290";

#[test]
fn the_readme_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("there is a README");
    let hello = fs::read_to_string(root.join("sequences/hello.xml")).expect("there is a sample");
    assert_eq!(
        blocks(&readme, "xml").first().map(|block| block.trim()),
        Some(hello.trim()),
        "the README shows hello.xml"
    );
    let pets = fs::read_to_string(root.join("sequences/pets.xml")).expect("there is a mock");
    assert_eq!(
        blocks(&readme, "xml").get(1).map(|block| block.trim()),
        Some(pets.trim()),
        "the README shows pets.xml"
    );

    let running = Running::copy_of(root, &["sequences", "scripts"]);
    let mut run = 0;
    for block in blocks(&readme, "console") {
        for (command, expected) in commands(&block) {
            run += usize::from(try_out(&running, &command, &expected));
        }
    }
    assert!(run >= 8, "only {run} commands were tried");
}

/// Runs one line of a console block; false for those that are for the reader alone.
fn try_out(running: &Running, command: &str, expected: &str) -> bool {
    let expected = expected.trim_end();
    if command.starts_with("cargo run") {
        let printed = running
            .start
            .replace(&running.folder.path().display().to_string(), ".");
        let printed = printed.replace(&format!("127.0.0.1:{}", running.admin_port()), "127.0.0.1:9164");
        let printed = printed.replace(
            &format!("http://127.0.0.1:{}/", running.port),
            &format!("http://localhost:{SAMPLE_PORT}/"),
        );
        let printed = printed.replace(
            &format!("127.0.0.1:{}", running.port),
            &format!("0.0.0.0:{SAMPLE_PORT}"),
        );
        assert_eq!(printed.trim_end(), expected, "what the README prints at start");
        return true;
    }
    if command.starts_with("sed ") {
        let told = running.told_so_far();
        let done = Command::new("sh")
            .args(["-c", command])
            .current_dir(running.folder.path())
            .status()
            .expect("sed is there");
        assert!(done.success(), "{command}");
        if !expected.is_empty() {
            // What the watcher says about a broken file comes on its own time.
            let shown = running.told_after(told, expected.lines().last().unwrap_or(""));
            assert!(
                shown.contains(expected),
                "the terminal said\n{shown}\nexpected\n{expected}"
            );
        }
        return true;
    }
    if let Some(arguments) = command.strip_prefix("curl ") {
        let request = request(arguments);
        // A saved file is in effect a moment later: the new answer is asked for until it comes.
        let mut answer = ask(running.port, &request);
        for _ in 0..20_000 {
            if fits(answer.body.trim_end(), expected) {
                return true;
            }
            answer = ask(running.port, &request);
        }
        panic!("{command}\nanswered\n{}\nexpected\n{expected}", answer.body);
    }
    assert!(
        ["myelin ", "cargo test"]
            .iter()
            .any(|known| command.starts_with(known)),
        "nobody tries `{command}`"
    );
    false
}

/// A curl command line as a request.
fn request(arguments: &str) -> String {
    let mut headers = String::new();
    let mut body = None;
    let mut target = String::new();
    let mut words = words(arguments).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-H" => headers.push_str(&format!("{}\n", words.next().expect("a header"))),
            "-d" => body = words.next(),
            url => {
                let rest = url
                    .strip_prefix("http://")
                    .unwrap_or_else(|| panic!("`{url}` is no URL"));
                target = rest[rest.find('/').expect("a path")..].to_owned();
            }
        }
    }
    match body {
        Some(body) => format!("POST {target}\n{headers}\n{body}"),
        None => format!("GET {target}\n{headers}"),
    }
}

/// Words of a shell line; single quotes hold one together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                found.push(std::mem::take(block));
                open = None;
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == format!("```{language}") => open = Some(String::new()),
            None => {}
        }
    }
    found
}

/// `$ command` and what follows it.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((command.to_owned(), String::new()));
        } else if let Some((_, output)) = found.last_mut() {
            output.push_str(line);
            output.push('\n');
        }
    }
    found
}
