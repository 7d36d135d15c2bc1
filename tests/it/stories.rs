//! Stories: each folder of `examples/` is deployed and its conversations are replayed.

use super::talk::{Running, replay};
use std::fs;
use std::path::Path;

#[test]
fn every_story_goes_as_it_is_told() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut told = 0;
    let mut folders: Vec<_> = fs::read_dir(examples)
        .expect("there are examples")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    for folder in folders.iter().filter(|folder| folder.join("talk").is_dir()) {
        let running = Running::copy_of(folder, &["sequences", "scripts", "petstore.yaml"]);
        told += replay_all(&running, &folder.join("talk"));
    }
    assert!(told >= 5, "only {told} conversations were found");
}

#[test]
fn every_kind_of_endpoint_has_a_story() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut told = String::new();
    for story in fs::read_dir(examples).expect("there are examples").flatten() {
        for file in fs::read_dir(story.path().join("sequences"))
            .into_iter()
            .flatten()
            .flatten()
        {
            told.push_str(&fs::read_to_string(file.path()).expect("it can be read"));
        }
    }
    let mut kinds: Vec<String> = Vec::new();
    for kind in myelin::endpoints::ALL {
        kinds.push(match kind.by_attribute {
            true => format!(" {}=\"", kind.element),
            false => format!("<{}", kind.element),
        });
    }
    // What these speak is no element.
    kinds.extend(["ws://", "backends.Orders", "soap12:address"].map(str::to_owned));
    let missing: Vec<_> = kinds
        .iter()
        .filter(|kind| !told.contains(kind.as_str()))
        .collect();
    assert!(missing.is_empty(), "no story has {missing:?}");
}

#[test]
fn the_sample_that_runs_by_default_answers_as_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let running = Running::copy_of(root, &["sequences", "scripts"]);
    assert!(replay_all(&running, &root.join("tests/talk")) > 0);
}

fn replay_all(running: &Running, talk: &Path) -> usize {
    let mut files: Vec<_> = fs::read_dir(talk)
        .expect("a story has talk")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).expect("it can be read");
        replay(running, &file.display().to_string(), &text);
    }
    files.len()
}
