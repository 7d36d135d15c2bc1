//! Where something stands: a range of a file, and text that remembers where it came from.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A byte range of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, range: Range<usize>) -> Span {
        Span {
            file,
            start: range.start as u32,
            end: range.end as u32,
        }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place as a person reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: usize,
    pub column: usize,
}

/// Decoded text (entities and CDATA resolved) that knows the place of each of its characters in the file, so that a mistake inside an
/// XPath or a script is shown where its author typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub text: String,
    pub span: Span,
    /// (offset in `text`, offset in the file): from here on the two run side by side, up to the next piece.
    pieces: Vec<(u32, u32)>,
}

impl Placed {
    /// Text that stands in the file as it is.
    pub fn verbatim(text: impl Into<String>, span: Span) -> Placed {
        Placed {
            text: text.into(),
            span,
            pieces: vec![(0, span.start)],
        }
    }

    pub fn empty(span: Span) -> Placed {
        Placed::verbatim("", span)
    }

    /// Adds decoded text whose raw form starts at `at` in the file.
    pub fn push(&mut self, decoded: &str, at: usize) {
        self.pieces.push((self.text.len() as u32, at as u32));
        self.text.push_str(decoded);
    }

    /// Adds text that stands elsewhere in the same file.
    pub fn append(&mut self, other: &Placed) {
        let shift = self.text.len() as u32;
        self.pieces
            .extend(other.pieces.iter().map(|(at, file_at)| (at + shift, *file_at)));
        self.text.push_str(&other.text);
        self.span.end = self.span.end.max(other.span.end);
    }

    /// The place of a range of the decoded text.
    pub fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.offset(range.start);
        // The end of a range is the end of its last character, which may stand in another piece than what follows.
        let end = if range.end > range.start {
            self.offset(range.end - 1) + 1
        } else {
            start
        };
        Span {
            file: self.span.file,
            start,
            end: end.max(start),
        }
    }

    /// A part of the text, with its places.
    pub fn slice(&self, range: Range<usize>) -> Placed {
        let first = self
            .pieces
            .partition_point(|(at, _)| *at as usize <= range.start)
            .max(1)
            - 1;
        let mut pieces: Vec<(u32, u32)> = Vec::new();
        for (at, file_at) in &self.pieces[first..] {
            if *at as usize >= range.end && !pieces.is_empty() {
                break;
            }
            let skipped = (range.start as u32).saturating_sub(*at);
            pieces.push((at.saturating_sub(range.start as u32), file_at + skipped));
        }
        Placed {
            text: self.text[range.clone()].to_owned(),
            span: self.span_of(range),
            pieces,
        }
    }

    /// Without white space at both ends.
    pub fn trimmed(&self) -> Placed {
        let start = self.text.len() - self.text.trim_start().len();
        let end = start + self.text.trim().len();
        self.slice(start..end)
    }

    fn offset(&self, at: usize) -> u32 {
        let piece = self
            .pieces
            .partition_point(|(start, _)| *start as usize <= at)
            .max(1)
            - 1;
        let (start, file_at) = self.pieces[piece];
        file_at + (at as u32 - start.min(at as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_shifts_the_places_behind_it() {
        // File: `a &lt; b`, at offset 10.
        let span = Span {
            file: FileId(0),
            start: 10,
            end: 18,
        };
        let mut placed = Placed::verbatim("a ", span);
        placed.push("<", 12);
        placed.push(" b", 16);
        assert_eq!(placed.text, "a < b");
        assert_eq!(placed.span_of(4..5).range(), 17..18);
        assert_eq!(placed.span_of(2..3).range(), 12..13);
        let tail = placed.slice(3..5);
        assert_eq!((tail.text.as_str(), tail.span_of(1..2).start), (" b", 17));
        assert_eq!(placed.slice(1..4).trimmed().span_of(0..1).start, 12);
    }
}
