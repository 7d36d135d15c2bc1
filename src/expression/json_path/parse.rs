//! Reads the text of a path into tokens.

use std::ops::Range;

use super::functions::{self, Argument, Call, Function};
use super::{JsonPathError, Path, Token, filter, literal};
use crate::text::suggest::did_you_mean;

/// Filters in filters, and calls in calls: more than anyone writes, less than a stack holds.
const NESTING: usize = 32;

/// Compiles a whole text. `$.` before it may be left out, and one point at its end is overlooked, as in Synapse.
pub(super) fn path(text: &str) -> Result<Path, JsonPathError> {
    let start = text.len() - text.trim_start().len();
    let mut end = text.trim_end().len();
    if start >= end {
        return Err(mistake("the path is empty", 0..text.len()));
    }
    if text[..end].ends_with('.') && !text[..end].ends_with("..") {
        end -= 1;
    }
    Reader {
        text,
        at: start,
        end,
        nesting: 0,
    }
    .path()
}

/// A place in the text, and the end of the part that is read.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) nesting: usize,
}

pub(super) fn mistake(message: impl Into<String>, range: Range<usize>) -> JsonPathError {
    JsonPathError {
        message: message.into(),
        range,
        help: None,
    }
}

impl<'t> Reader<'t> {
    pub(super) fn path(mut self) -> Result<Path, JsonPathError> {
        if self.nesting > NESTING {
            return Err(self.mistake("the path is nested too deeply"));
        }
        let from_root = self.peek() != Some('@');
        let mut tokens = Vec::new();
        if matches!(self.peek(), Some('$' | '@')) {
            self.at += 1;
            if !matches!(self.peek(), None | Some('.' | '[')) {
                return Err(self.mistake("`$` is followed by `.` or `[`"));
            }
        } else {
            self.name_or_call(&mut tokens)?;
        }
        while self.at < self.end {
            self.token(&mut tokens)?;
        }
        if matches!(tokens.last(), Some(Token::Scan)) {
            return Err(mistake(
                "a path does not end with `..`",
                self.end.saturating_sub(2)..self.end,
            ));
        }
        Ok(scanned_function(tokens, from_root))
    }

    fn token(&mut self, tokens: &mut Vec<Token>) -> Result<(), JsonPathError> {
        match self.peek() {
            Some('[') => self.brackets(tokens),
            Some('.') => {
                self.at += 1;
                if self.peek() == Some('.') {
                    self.at += 1;
                    tokens.push(Token::Scan);
                }
                match self.peek() {
                    None => Err(mistake("a path does not end with `.`", self.at - 1..self.end)),
                    Some('.') => Err(self.mistake("there is one `.` too many")),
                    Some('[') => self.brackets(tokens),
                    Some(_) => self.name_or_call(tokens),
                }
            }
            _ => self.name_or_call(tokens),
        }
    }

    fn name_or_call(&mut self, tokens: &mut Vec<Token>) -> Result<(), JsonPathError> {
        if self.peek() == Some('*') {
            self.at += 1;
            tokens.push(Token::Wildcard);
            return Ok(());
        }
        let start = self.at;
        while let Some(character) = self.peek() {
            match character {
                '.' | '[' => break,
                ' ' => {
                    let mut error = mistake("a name with a blank stands in brackets", start..self.end);
                    let name = &self.text[start..self.end];
                    error.help = Some(format!(
                        "write `['{}']`",
                        name.split(['.', '[']).next().unwrap_or(name).trim()
                    ));
                    return Err(error);
                }
                '(' => return self.call(start, tokens),
                _ => self.at += character.len_utf8(),
            }
        }
        if start == self.at {
            return Err(self.mistake("a name is missing"));
        }
        tokens.push(Token::Property(self.text[start..self.at].to_owned()));
        Ok(())
    }

    fn call(&mut self, start: usize, tokens: &mut Vec<Token>) -> Result<(), JsonPathError> {
        let name = &self.text[start..self.at];
        let range = start..self.at;
        let Some(function) = Function::named(name) else {
            let mut error = mistake(format!("there is no function `{name}()` in JSONPath"), range);
            error.help = did_you_mean(name, functions::NAMES.iter().map(|(name, _)| *name));
            return Err(error);
        };
        if matches!(tokens.last(), Some(Token::Scan)) {
            return Err(mistake("a name is missing between `..` and the function", range));
        }
        let end = self.closing(')')?;
        self.at += 1;
        let mut arguments = Vec::new();
        loop {
            self.skip_blanks();
            if self.at >= end {
                break;
            }
            let comma = self.end_of_argument(end);
            arguments.push(self.argument(comma)?);
            self.at = (comma + 1).min(end);
        }
        self.at = end + 1;
        tokens.push(Token::Function(Call { function, arguments }));
        Ok(())
    }

    fn argument(&self, end: usize) -> Result<Argument, JsonPathError> {
        let text = &self.text[self.at..end];
        let end = self.at + text.trim_end().len();
        if text.starts_with(['$', '@']) {
            let path = Reader {
                text: self.text,
                at: self.at,
                end,
                nesting: self.nesting + 1,
            }
            .path()?;
            return Ok(Argument::Path(path));
        }
        let mut reader = Reader {
            text: self.text,
            at: self.at,
            end,
            nesting: self.nesting,
        };
        let value = literal::json(&mut reader)?;
        if reader.at < reader.end {
            return Err(mistake("an argument is a path or a JSON value", self.at..end));
        }
        Ok(Argument::Json(value))
    }

    fn end_of_argument(&self, end: usize) -> usize {
        let mut depth = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        for (at, byte) in self.text.bytes().enumerate().take(end).skip(self.at) {
            match (quote, byte) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'(' | b'[' | b'{') => depth += 1,
                (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                (None, b',') if depth == 0 => return at,
                (None, _) => {}
            }
        }
        end
    }

    fn brackets(&mut self, tokens: &mut Vec<Token>) -> Result<(), JsonPathError> {
        let open = self.at;
        self.at += 1;
        self.skip_blanks();
        let token = match self.peek() {
            Some('\'' | '"') => self.names()?,
            Some('0'..='9' | '-' | ':') => self.indices(open)?,
            Some('*') => {
                self.at += 1;
                Token::Wildcard
            }
            Some('?') => {
                self.at += 1;
                self.skip_blanks();
                if self.peek() != Some('(') {
                    return Err(self.mistake("a filter is written `[?(...)]`"));
                }
                self.at += 1;
                let filter = filter::read(self)?;
                self.expect(')', "the `)` of the filter is missing")?;
                Token::Filter(filter)
            }
            Some(_) => {
                let mut error =
                    self.mistake("brackets hold a quoted name, an index, a slice, `*` or `?(...)`");
                let inside = self.text[self.at..self.end]
                    .split(']')
                    .next()
                    .unwrap_or_default()
                    .trim();
                if !inside.is_empty()
                    && inside
                        .chars()
                        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
                {
                    error.help = Some(format!("is `['{inside}']` meant?"));
                }
                return Err(error);
            }
            None => return Err(mistake("the `]` is missing", open..self.end)),
        };
        self.expect(']', "the `]` is missing")?;
        tokens.push(token);
        Ok(())
    }

    fn names(&mut self) -> Result<Token, JsonPathError> {
        let mut names = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                Some(quote @ ('\'' | '"')) => names.push(self.quoted(quote)?),
                _ => return Err(self.mistake("a quoted name is missing")),
            }
            self.skip_blanks();
            if self.peek() != Some(',') {
                break;
            }
            self.at += 1;
        }
        Ok(match names.pop() {
            Some(name) if names.is_empty() => Token::Property(name),
            Some(name) => {
                names.push(name);
                Token::Properties(names)
            }
            None => return Err(self.mistake("a quoted name is missing")),
        })
    }

    fn indices(&mut self, open: usize) -> Result<Token, JsonPathError> {
        let close = self.text[self.at..self.end]
            .find(']')
            .map(|length| self.at + length);
        let Some(close) = close else {
            return Err(mistake("the `]` is missing", open..self.end));
        };
        let inside = self.text[self.at..close].trim();
        let range = self.at..close;
        self.at = close;
        let index = |text: &str| {
            let text = text.trim();
            text.parse::<i32>()
                .map(i64::from)
                .map_err(|_| mistake(format!("`{text}` is no index"), range.clone()))
        };
        if inside.contains(':') {
            let mut ends = inside.split(':').map(|end| {
                if end.is_empty() {
                    Ok(None)
                } else {
                    index(end).map(Some)
                }
            });
            let from = ends.next().transpose()?.flatten();
            let to = ends.next().transpose()?.flatten();
            if from.is_none() && to.is_none() {
                return Err(mistake("a slice has a start or an end", range.clone()));
            }
            // Jayway reads a step and then ignores it; a step of one is the only one that keeps its meaning.
            if let Some(step) = ends.next().transpose()?.flatten()
                && step != 1
            {
                return Err(mistake("a slice has no step in this dialect", range.clone()));
            }
            return Ok(Token::Slice { from, to });
        }
        let mut indexes = inside.split(',').map(index).collect::<Result<Vec<_>, _>>()?;
        match (indexes.len(), indexes.pop()) {
            (1, Some(only)) => Ok(Token::Index(only)),
            (_, Some(last)) => {
                indexes.push(last);
                Ok(Token::Indexes(indexes))
            }
            (_, None) => Err(mistake("an index is missing", range.clone())),
        }
    }

    /// Reads a quoted string, with the escapes of Java.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, JsonPathError> {
        let start = self.at;
        self.at += 1;
        let mut string = String::new();
        while let Some(character) = self.peek() {
            self.at += character.len_utf8();
            match character {
                '\\' => self.escape(&mut string),
                end if end == quote => return Ok(string),
                plain => string.push(plain),
            }
        }
        Err(mistake(
            format!("the closing {quote} is missing"),
            start..self.end,
        ))
    }

    fn escape(&mut self, string: &mut String) {
        let Some(character) = self.peek() else { return };
        self.at += character.len_utf8();
        match character {
            'n' => string.push('\n'),
            't' => string.push('\t'),
            'r' => string.push('\r'),
            'b' => string.push('\u{8}'),
            'f' => string.push('\u{c}'),
            'u' => {
                let code = self.text.get(self.at..(self.at + 4).min(self.end));
                match code
                    .filter(|code| code.len() == 4)
                    .and_then(|code| u32::from_str_radix(code, 16).ok())
                {
                    Some(code) => {
                        self.at += 4;
                        string.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    None => string.push('u'),
                }
            }
            other => string.push(other),
        }
    }

    /// Where the bracket that opens here is closed, past strings and inner brackets of its kind.
    pub(super) fn closing(&self, close: char) -> Result<usize, JsonPathError> {
        let mut depth = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        let open = self.text.as_bytes()[self.at];
        for (at, byte) in self.text.bytes().enumerate().take(self.end).skip(self.at) {
            match (quote, byte) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, _) if byte == open => depth += 1,
                (None, _) if char::from(byte) == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(at);
                    }
                }
                (None, _) => {}
            }
        }
        Err(mistake(
            format!("the closing `{close}` is missing"),
            self.at..self.end,
        ))
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text[self.at..self.end].chars().next()
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..self.end]
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(
            self.text.as_bytes()[..self.end].get(self.at),
            Some(b' ' | b'\t' | b'\n' | b'\r')
        ) {
            self.at += 1;
        }
    }

    pub(super) fn expect(&mut self, wanted: char, otherwise: &str) -> Result<(), JsonPathError> {
        self.skip_blanks();
        if self.peek() != Some(wanted) {
            return Err(self.mistake(otherwise));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    /// A mistake at the next character.
    pub(super) fn mistake(&self, message: &str) -> JsonPathError {
        let width = self.peek().map_or(0, char::len_utf8);
        mistake(message, self.at..self.at + width)
    }
}

/// `$..price.sum()` is the sum over all that `$..price` finds, not one sum for each: `$.sum($..price)`.
fn scanned_function(mut tokens: Vec<Token>, from_root: bool) -> Path {
    let functions = tokens
        .iter()
        .filter(|token| matches!(token, Token::Function(_)))
        .count();
    let inverted = functions == 1 && matches!(tokens.first(), Some(Token::Scan));
    match tokens.pop() {
        Some(Token::Function(Call { function, .. })) if inverted => {
            let argument = Argument::Path(Path::new(tokens, from_root));
            Path::new(
                vec![Token::Function(Call {
                    function,
                    arguments: vec![argument],
                })],
                from_root,
            )
        }
        Some(last) => {
            tokens.push(last);
            Path::new(tokens, from_root)
        }
        None => Path::new(tokens, from_root),
    }
}
