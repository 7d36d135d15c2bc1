//! Text and the places in it: every file that was read, and what is wrong with it.

pub mod codes;
pub mod diagnostic;
pub mod render;
pub mod span;
pub mod suggest;

use std::sync::Arc;
use std::sync::OnceLock;

pub use diagnostic::{Diagnostic, Mistakes, Severity};
pub use span::{FileId, Place, Placed, Span};

/// Every file that was read for one deployment. A `Span` means something only together with its `Sources`.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    files: Vec<Arc<SourceFile>>,
}

/// One file's name, as its author knows it, and its text.
#[derive(Debug)]
pub struct SourceFile {
    /// Path relative to the deployed folder; for an entry of an archive `name.car!/entry.xml`.
    pub name: String,
    pub text: String,
    /// Byte offsets at which lines start; made when the first place is asked for.
    lines: OnceLock<Vec<u32>>,
}

impl Sources {
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than four billion files"));
        self.files.push(Arc::new(SourceFile {
            name: name.into(),
            text: text.into(),
            lines: OnceLock::new(),
        }));
        id
    }

    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files
            .iter()
            .enumerate()
            .map(|(at, file)| (FileId(at as u32), &**file))
    }

    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }

    /// Line and column (both from 1, columns in characters) of a span's start.
    pub fn place(&self, span: Span) -> Place<'_> {
        let file = self.file(span.file);
        let (line, column) = file.line_and_column(span.start as usize);
        Place {
            file: &file.name,
            line,
            column,
        }
    }

    /// `sequences/main.xml:3:18`
    pub fn place_text(&self, span: Span) -> String {
        let place = self.place(span);
        format!("{}:{}:{}", place.file, place.line, place.column)
    }
}

impl SourceFile {
    /// Line and column, both from 1; columns count characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let lines = self.lines();
        let line = lines.partition_point(|start| *start as usize <= offset).max(1);
        let start = lines[line - 1] as usize;
        let column = self.text.as_bytes()[start..offset]
            .iter()
            .filter(|byte| (**byte & 0xC0) != 0x80)
            .count();
        (line, column + 1)
    }

    /// The line (from 1) without its line end, and the byte offset it starts at.
    pub fn line(&self, line: usize) -> (usize, &str) {
        let lines = self.lines();
        let Some(start) = lines.get(line.wrapping_sub(1)) else {
            return (self.text.len(), "");
        };
        let start = *start as usize;
        let end = lines.get(line).map_or(self.text.len(), |next| *next as usize);
        (start, self.text[start..end].trim_end_matches(['\n', '\r']))
    }

    fn lines(&self) -> &[u32] {
        self.lines.get_or_init(|| {
            std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|at| at as u32 + 1))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_and_a_line_starts_after_its_line_feed() {
        let mut sources = Sources::default();
        let file = sources.add("a.xml", "one\r\nzwölf ü\n");
        let span = Span {
            file,
            start: 12,
            end: 14,
        };
        assert_eq!(sources.place_text(span), "a.xml:2:7");
        assert_eq!(sources.file(file).line(2).1, "zwölf ü");
        assert_eq!(sources.file(file).line(9).1, "");
    }
}
