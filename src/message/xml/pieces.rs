//! Cuts a document into its pieces: tags, texts, comments. Only where they begin and end is found here; what they say is
//! the reader's to check.

use std::ops::Range;

use super::names::end_of_name;
use super::reader::XmlError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Start,
    Empty,
    End,
    /// Everything up to the next `<`, references included.
    Text,
    CData,
    Comment,
    Instruction,
    Eof,
}

pub(super) struct Pieces<'a> {
    text: &'a str,
    at: usize,
    /// Where the name in the latest start tag ends.
    pub(super) name_end: usize,
}

impl<'a> Pieces<'a> {
    /// Starts behind a byte order mark.
    pub(super) fn new(text: &'a str) -> Pieces<'a> {
        let at = if text.starts_with('\u{FEFF}') {
            '\u{FEFF}'.len_utf8()
        } else {
            0
        };
        Pieces {
            text,
            at,
            name_end: at,
        }
    }

    /// The closing tag of this element, if that is what comes: most often it is, and need not be searched.
    #[inline]
    pub(super) fn closing(&mut self, name: &str) -> Option<Range<usize>> {
        let start = self.at;
        let rest = self.text.as_bytes()[start..].strip_prefix(b"</")?;
        let rest = rest.strip_prefix(name.as_bytes())?;
        if rest.first() != Some(&b'>') {
            return None;
        }
        self.at += "</".len() + name.len() + ">".len();
        Some(start..self.at)
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<(Piece, Range<usize>), XmlError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let (piece, end) = match bytes.get(start) {
            None => (Piece::Eof, start),
            Some(b'<') => match bytes.get(start + 1) {
                Some(b'/') => (Piece::End, self.behind_byte(start + 2, b'>', "a closing tag")?),
                Some(b'?') => (
                    Piece::Instruction,
                    self.behind(start + 2, b"?>", "a processing instruction")?,
                ),
                Some(b'!') => self.mark(start)?,
                _ => self.tag(start)?,
            },
            Some(_) => {
                let length = memchr::memchr(b'<', &bytes[start..]);
                (Piece::Text, length.map_or(bytes.len(), |length| start + length))
            }
        };
        self.at = end;
        Ok((piece, start..end))
    }

    /// A start tag ends at the first `>` that is in no quotes.
    #[inline]
    fn tag(&mut self, start: usize) -> Result<(Piece, usize), XmlError> {
        let bytes = self.text.as_bytes();
        let mut at = end_of_name(self.text, start + 1);
        self.name_end = at;
        // Without attributes, that is all.
        if bytes.get(at) == Some(&b'>') {
            return Ok((Piece::Start, at + 1));
        }
        while let Some(length) = memchr::memchr3(b'>', b'"', b'\'', &bytes[at..]) {
            let found = at + length;
            match bytes[found] {
                b'>' if bytes[found - 1] == b'/' => return Ok((Piece::Empty, found + 1)),
                b'>' => return Ok((Piece::Start, found + 1)),
                quote => match memchr::memchr(quote, &bytes[found + 1..]) {
                    Some(length) => at = found + 1 + length + 1,
                    None => break,
                },
            }
        }
        Err(self.endless(start, "a tag"))
    }

    /// What begins with `<!`.
    fn mark(&self, start: usize) -> Result<(Piece, usize), XmlError> {
        let rest = &self.text.as_bytes()[start..];
        if rest.starts_with(b"<!--") {
            return Ok((Piece::Comment, self.behind(start + 4, b"-->", "a comment")?));
        }
        if rest.starts_with(b"<![CDATA[") {
            return Ok((Piece::CData, self.behind(start + 9, b"]]>", "a CDATA section")?));
        }
        let is_doctype = rest
            .get(..9)
            .is_some_and(|begin| begin.eq_ignore_ascii_case(b"<!doctype"));
        Err(XmlError::new(
            start,
            if is_doctype {
                "a DOCTYPE is not accepted"
            } else {
                "`<!` begins neither a comment nor a CDATA section"
            },
        ))
    }

    fn behind(&self, from: usize, end: &[u8], what: &str) -> Result<usize, XmlError> {
        match memchr::memmem::find(&self.text.as_bytes()[from..], end) {
            Some(length) => Ok(from + length + end.len()),
            None => Err(self.endless(self.at, what)),
        }
    }

    #[inline]
    fn behind_byte(&self, from: usize, end: u8, what: &str) -> Result<usize, XmlError> {
        match memchr::memchr(end, &self.text.as_bytes()[from..]) {
            Some(length) => Ok(from + length + 1),
            None => Err(self.endless(self.at, what)),
        }
    }

    #[cold]
    fn endless(&self, start: usize, what: &str) -> XmlError {
        XmlError::new(start, format!("{what} without its end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut pieces = Pieces::new(text);
        let mut heard = Vec::new();
        loop {
            match pieces.next() {
                Ok((Piece::Eof, _)) => break,
                Ok((piece, range)) => heard.push(format!("{piece:?} {}", &text[range])),
                Err(error) => {
                    heard.push(format!("{} at {}", error.message, error.offset));
                    break;
                }
            }
        }
        assert_eq!(heard.join("|"), expected, "{text}");
    }

    #[test]
    fn every_piece_ends_where_its_own_end_stands() {
        check(
            "\u{FEFF}<?xml a?><a b='>' c=\"'/>\"><b/>t &lt; <!-- > -- --><![CDATA[ ]]]]>]]></a >",
            "Instruction <?xml a?>|Start <a b='>' c=\"'/>\">|Empty <b/>|Text t &lt; |Comment <!-- > -- -->|CData <![CDATA[ ]]]]>|\
             Text ]]>|End </a >",
        );
        check("<>", "Start <>");
        check("</>", "End </>");
        check("<a / >", "Start <a / >");
    }

    #[test]
    fn a_piece_without_its_end_is_refused_where_it_begins() {
        check("x<", "Text x|a tag without its end at 1");
        check("<a b='>", "a tag without its end at 0");
        check("<a></a", "Start <a>|a closing tag without its end at 3");
        check("<!-->", "a comment without its end at 0");
        check("<!--->", "a comment without its end at 0");
        check("<?>", "a processing instruction without its end at 0");
        check("<![CDATA[]]", "a CDATA section without its end at 0");
        check("<!docTYPE", "a DOCTYPE is not accepted at 0");
        check(
            "<!ELEMENT a>",
            "`<!` begins neither a comment nor a CDATA section at 0",
        );
    }
}
