//! The catalogue of mistakes: each file of `examples/mistakes` is told exactly as the text beside it says. `UPDATE=1` rewrites the texts;
//! read them before they are committed.

use myelin::deployment::{LoadOptions, load};
use myelin::text::render;
use std::fs;
use std::path::Path;

#[test]
fn every_mistake_is_told_as_the_catalogue_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mistakes");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the catalogue is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "the catalogue is whole");
    let mut wrong = Vec::new();
    for file in files {
        let loaded = load(std::slice::from_ref(&file), &LoadOptions::default());
        assert!(loaded.deployment.is_none(), "{} holds mistakes", file.display());
        let rendered = render::human(&loaded.mistakes, &loaded.sources, false);
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &rendered).expect("it can be written");
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(rendered.as_str()) {
            wrong.push(format!("{}:\n{rendered}", file.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "`UPDATE=1 cargo test` rewrites these; read them first:\n{}",
        wrong.join("\n")
    );
}
