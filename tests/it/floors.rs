//! Stairs only lead down: a module may name its own floor and those below, and no neighbour that it must not know.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. Rooms of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["text"],
    &["message"],
    &["expression", "wire"],
    &["script"],
    &["flow"],
    &["plan"],
    &["mediators", "endpoints"],
    &["deployment"],
    &["gateway"],
    &["admin"],
    &["cli"],
];

/// Crates that only one room may name.
const OWNED: &[(&str, &str)] = &[
    ("hyper", "wire"),
    ("hyper_util", "wire"),
    ("h2", "wire"),
    ("rustls", "wire"),
    ("tokio_rustls", "wire"),
    ("quick_xml", "message"),
    ("rhai", "script"),
    ("boa_engine", "script"),
    ("notify", "deployment"),
    ("clap", "cli"),
];

#[test]
fn stairs_lead_down() {
    let mut wrong = Vec::new();
    for (path, room, text) in sources() {
        let Some(own) = floor(&room) else { continue };
        for named in names_after(&text, "crate::") {
            let Some(other) = floor(&named) else { continue };
            if named != room && other >= own {
                wrong.push(format!("{}: `{room}` names `{named}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_library_has_one_room_that_knows_it() {
    let mut wrong = Vec::new();
    for (path, room, text) in sources() {
        for (library, owner) in OWNED {
            let names = text.contains(&format!("{library}::")) || text.contains(&format!("use {library};"));
            let whole_word = text.split(&format!("{library}::")).next().is_some_and(|before| {
                !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if names && whole_word && room != *owner {
                wrong.push(format!("{}: only `{owner}` may name `{library}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_has_a_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).expect("src is there") {
        let entry = entry.expect("it can be listed");
        if entry.path().is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                floor(&name).is_some(),
                "`{name}` is on no floor: add it to FLOORS and to src/README.md"
            );
        }
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room names that follow `crate::`, in `use crate::{a::x, b::y}` as well.
fn names_after(text: &str, marker: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in text.split(marker).skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        names.push(std::mem::take(&mut name));
                        start = true;
                    }
                    ':' => start = false,
                    c if depth == 0 && start && (c.is_alphanumeric() || c == '_') => name.push(c),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(
                part.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    names
}

/// Every source file below a room, without its comments and tests.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of src") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("it is below src");
                let first = inside
                    .components()
                    .next()
                    .expect("it has a name")
                    .as_os_str()
                    .to_string_lossy()
                    .into_owned();
                let test_only = path
                    .file_stem()
                    .is_some_and(|stem| stem == "tests" || stem == "testing" || stem == "examples");
                if !first.ends_with(".rs") && !test_only {
                    let text = fs::read_to_string(&path).expect("it can be read");
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
                    let code: Vec<&str> = code
                        .lines()
                        .filter(|line| !line.trim_start().starts_with("//"))
                        .collect();
                    found.push((path.clone(), first, code.join("\n")));
                }
            }
        }
    }
    found
}
