//! OpenAPI definitions of a folder, with the files that they refer to.

use super::{ReadOptions, Reading, classify, ending, openapi, read_bounded};
use crate::deployment::walk::{Listed, Listing};
use crate::text::{FileId, Sources};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

impl Reading<'_> {
    /// An OpenAPI definition may become an API.
    pub(super) fn definition(&mut self, listed: &Listed, prefix: &str, listing: &Listing) {
        let Ok(text) = text_of(listed, self.options) else {
            return;
        };
        if !openapi::is_definition(&text) {
            return;
        }
        let mut beside = Folder {
            options: self.options,
            prefix,
            listing,
            read: &mut self.read,
            sources: &mut self.collected.sources,
        };
        let file = beside.source(listed, &text);
        let found = match openapi::find(file, &text) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(mistake) => return self.collected.mistakes.push(*mistake),
        };
        let mut mistakes = Vec::new();
        let root = Arc::unwrap_or_clone(found.root);
        let root = openapi::files::gather(root, &listed.name, &mut beside, &mut mistakes);
        mistakes
            .into_iter()
            .for_each(|mistake| self.collected.mistakes.push(mistake));
        self.collected.definitions.push(openapi::DefinitionFile {
            file,
            root: Arc::new(root),
        });
    }
}

/// What a definition may refer to: the files of its folder.
struct Folder<'a> {
    options: &'a ReadOptions,
    prefix: &'a str,
    listing: &'a Listing,
    read: &'a mut HashMap<PathBuf, FileId>,
    sources: &'a mut Sources,
}

impl Folder<'_> {
    fn source(&mut self, listed: &Listed, text: &str) -> FileId {
        let name = format!("{}{}", self.prefix, listed.name);
        let known = self.read.entry(listed.path.clone());
        *known.or_insert_with(|| self.sources.add(name, text))
    }

    fn files(&self) -> impl Iterator<Item = &Listed> {
        self.listing.files.iter().chain(&self.listing.beside)
    }
}

impl openapi::files::Beside for Folder<'_> {
    fn open(&mut self, name: &str) -> Option<Result<(FileId, String), String>> {
        let listed = self.files().find(|listed| listed.name == name)?.clone();
        Some(text_of(&listed, self.options).map(|text| (self.source(&listed, &text), text)))
    }

    fn names(&self) -> Vec<String> {
        let is_one = |listed: &&Listed| matches!(ending(&listed.name), "yaml" | "yml" | "json");
        self.files()
            .filter(is_one)
            .map(|listed| listed.name.clone())
            .collect()
    }
}

fn text_of(listed: &Listed, options: &ReadOptions) -> Result<String, String> {
    classify::decode(read_bounded(&listed.path, options.largest_file)?)
}
