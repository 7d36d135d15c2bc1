//! `sequences/REFERENCE.md` says what the code says.

use myelin::{deployment, endpoints, mediators, plan::page};
use std::path::Path;

#[test]
fn the_reference_says_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sequences/REFERENCE.md");
    let expected = page::reference(deployment::ARTIFACTS, mediators::ALL, endpoints::ALL);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected).expect("the reference can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "{} is not what the code says: run `UPDATE=1 cargo test reference`",
        path.display()
    );
}
