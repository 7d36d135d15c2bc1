//! Broken input never panics: every XML file of the repository, mutated by a fixed seed, goes through the loader.

use myelin::deployment::{LoadOptions, load};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn a_garbled_configuration_is_told_and_never_panics() {
    let files = xml_files();
    assert!(!files.is_empty(), "the repository has samples");
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("garbled.xml");
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for file in &files {
        let text = fs::read(file).expect("it can be read");
        for _ in 0..40 {
            fs::write(&target, garble(&text, &mut random)).expect("it can be written");
            let loaded = load(&[folder.path().to_path_buf()], &LoadOptions::default());
            assert!(
                loaded.deployment.is_some() || loaded.mistakes.errors() > 0,
                "refused without a word: {}",
                file.display()
            );
            let rendered = myelin::text::render::human(&loaded.mistakes, &loaded.sources, false);
            assert!(rendered.len() >= loaded.mistakes.len(), "every mistake is shown");
        }
    }
}

/// One to four small accidents.
fn garble(text: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = text.to_vec();
    for _ in 0..random.usize(1..=4) {
        if out.is_empty() {
            break;
        }
        let at = random.usize(0..out.len());
        match random.u8(0..7) {
            0 => drop(out.remove(at)),
            1 => out.insert(
                at,
                *random.choice(b"<>&\"'/{}$()[]=: \n\0\xff").expect("not empty"),
            ),
            2 => out.truncate(at),
            3 => {
                let end = (at + random.usize(1..40)).min(out.len());
                let piece: Vec<u8> = out[at..end].to_vec();
                let to = random.usize(0..out.len());
                out.splice(to..to, piece);
            }
            4 => {
                let end = (at + random.usize(1..40)).min(out.len());
                out.drain(at..end);
            }
            5 => out[at] = out[at].wrapping_add(random.u8(1..)),
            _ => {
                let end = (at + random.usize(1..12)).min(out.len());
                out[at..end].reverse();
            }
        }
    }
    out
}

fn xml_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("sequences"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "xml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
