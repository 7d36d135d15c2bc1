//! Cuts a document into its pieces (tags, texts, comments) with quick-xml. Only where they begin and end is found here; what
//! they say is the reader's to check, since quick-xml alone accepts two thirds of the W3C suite's ill-formed documents.

use quick_xml::events::Event;
use std::ops::Range;

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
    tokens: quick_xml::Reader<&'a [u8]>,
    /// Where quick-xml's text begins in ours: behind a byte order mark.
    base: usize,
    /// A piece that was read to find the end of a text.
    waiting: Option<(Piece, Range<usize>)>,
}

impl<'a> Pieces<'a> {
    /// Starts behind a byte order mark.
    pub(super) fn new(text: &'a str) -> Pieces<'a> {
        let base = if text.starts_with('\u{FEFF}') {
            '\u{FEFF}'.len_utf8()
        } else {
            0
        };
        let mut tokens = quick_xml::Reader::from_str(&text[base..]);
        let config = tokens.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        Pieces {
            text,
            tokens,
            base,
            waiting: None,
        }
    }

    pub(super) fn next(&mut self) -> Result<(Piece, Range<usize>), XmlError> {
        let (piece, mut range) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => self.token()?,
        };
        if piece == Piece::Text {
            // quick-xml gives a reference as a piece of its own; here they belong to the text around them.
            loop {
                let (next, behind) = self.token()?;
                if next != Piece::Text {
                    self.waiting = Some((next, behind));
                    break;
                }
                range.end = behind.end;
            }
            if range.is_empty() {
                return self.next();
            }
        }
        Ok((piece, range))
    }

    fn token(&mut self) -> Result<(Piece, Range<usize>), XmlError> {
        let start = self.base + self.tokens.buffer_position() as usize;
        let piece = match self.tokens.read_event() {
            Ok(Event::Start(_)) => Piece::Start,
            Ok(Event::Empty(_)) => Piece::Empty,
            Ok(Event::End(_)) => Piece::End,
            Ok(Event::Text(_) | Event::GeneralRef(_)) => Piece::Text,
            Ok(Event::CData(_)) => Piece::CData,
            Ok(Event::Comment(_)) => Piece::Comment,
            Ok(Event::Decl(_) | Event::PI(_)) => Piece::Instruction,
            Ok(Event::DocType(_)) => return Err(XmlError::new(start, NO_DOCTYPE)),
            Ok(Event::Eof) => Piece::Eof,
            Err(error) => {
                let at = self.base + self.tokens.error_position() as usize;
                // Whatever else is wrong with it, the author shall hear that there is no DOCTYPE.
                let begin = self.text.get(at..at + 9);
                if begin.is_some_and(|text| text.eq_ignore_ascii_case("<!doctype")) {
                    return Err(XmlError::new(at, NO_DOCTYPE));
                }
                return Err(XmlError::new(at, error.to_string()));
            }
        };
        Ok((piece, start..self.base + self.tokens.buffer_position() as usize))
    }
}

const NO_DOCTYPE: &str = "a DOCTYPE is not accepted";

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
                    heard.push(format!("refused at {}", error.offset));
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
    }

    #[test]
    fn a_piece_without_its_end_is_refused_where_it_begins() {
        check("<a b='>", "refused at 0");
        check("<a></a", "Start <a>|refused at 3");
        check("<![CDATA[]]", "refused at 0");
        check("<!docTYPE", "refused at 0");
    }
}
