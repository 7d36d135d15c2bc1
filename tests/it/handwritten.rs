//! Mocks as people write them by hand: what each answers, word for word.

use super::talk::{Running, copy_folder, free_port, replay};
use std::path::Path;

#[test]
fn what_people_write_by_hand_answers_as_they_mean_it() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/handwritten");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    for name in ["scripts", "sequences"] {
        copy_folder(&from.join(name), &folder.path().join(name), port);
    }
    std::fs::write(
        folder.path().join("myelin.toml"),
        // However busy the machine is.
        "[script]\nclock = \"2026-01-31T12:00:00Z\"\ndeadline = \"20s\"\n",
    )
    .unwrap();
    let settings = folder.path().join("myelin.toml").display().to_string();
    let running = Running::with(folder, port, &["--config", &settings]);
    let talk = std::fs::read_to_string(from.join("talk.http")).unwrap();
    assert_eq!(talk.matches("\n###\n").count(), 49, "conversations");
    replay(&running, "handwritten", &talk);
}
