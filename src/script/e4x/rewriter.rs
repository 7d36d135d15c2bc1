//! From E4X to JavaScript: goes through a script token by token, and knows where a value has to stand.

use super::{E4xError, Output, Rewritten, literal};
use crate::script::js::scan::{BEFORE_VALUE, SIGNS, is_word, regex_end, template_end, text_end};
use std::ops::Range;

/// Expressions in braces inside each other.
pub const NESTING: usize = 50;
/// Methods that a filter calls on the element it looks at: `x.item.(name() == "a")`.
const METHODS: &[&str] = &[
    "attribute",
    "attributes",
    "child",
    "childIndex",
    "children",
    "comments",
    "contains",
    "copy",
    "descendants",
    "elements",
    "hasComplexContent",
    "hasOwnProperty",
    "hasSimpleContent",
    "inScopeNamespaces",
    "length",
    "localName",
    "name",
    "namespace",
    "namespaceDeclarations",
    "nodeKind",
    "parent",
    "processingInstructions",
    "propertyIsEnumerable",
    "text",
    "toString",
    "toXMLString",
];

/// Gives JavaScript for a script that may use E4X. One that does not comes back as it is.
pub fn rewrite(source: &str) -> Result<Rewritten, E4xError> {
    let mut rewriter = Rewriter {
        source,
        bytes: source.as_bytes(),
        at: 0,
        output: Output::new(source),
        before: Before::Start,
        words: [0..0, 0..0],
        brackets: Vec::new(),
        filters: 0,
        nesting: 0,
    };
    rewriter.code()?;
    Ok(rewriter.output.finish())
}

/// What stands before the place where the rewriter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// A statement may begin.
    Start,
    Operator,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    Block,
    Object,
    /// Of `if`, `while` and the like: a statement follows.
    Head,
    Group,
    Index,
    /// `${` in a template.
    Template,
    /// `for each (`, and whether its `in` has been seen.
    ForEach(bool),
    /// `x.(…)`
    Filter,
    /// `[…]` of a computed name, and what closes it.
    Computed(&'static str),
    /// `{…}` in a literal.
    Hole,
}

pub struct Rewriter<'s> {
    pub source: &'s str,
    pub bytes: &'s [u8],
    pub at: usize,
    output: Output<'s>,
    before: Before,
    /// The last two words or signs.
    words: [Range<usize>; 2],
    pub brackets: Vec<Bracket>,
    /// Filters that are open here.
    filters: usize,
    pub nesting: usize,
}

impl Rewriter<'_> {
    /// To the end of the source, or to the brace that ends a hole.
    pub fn code(&mut self) -> Result<(), E4xError> {
        let outermost = self.brackets.len();
        while self.at < self.bytes.len() {
            let at = self.at;
            let next = self.bytes.get(at + 1).copied().unwrap_or(0);
            match self.bytes[at] {
                byte if byte.is_ascii_whitespace() => self.at += 1,
                b'/' if matches!(next, b'/' | b'*') => self.at = self.comment_end(at),
                b'<' if self.before == Before::Start && self.bytes[at..].starts_with(b"<!--") => {
                    // At the beginning of a statement this is a comment of old browsers' scripts.
                    self.at = self.line_end(at);
                }
                b'<' if self.before != Before::Value && literal::may_begin(&self.source[at + 1..]) => {
                    self.literal()?;
                }
                b'/' if self.before != Before::Value => self.take(regex_end(self.bytes, at), Before::Value),
                quote @ (b'"' | b'\'') => self.take(text_end(self.bytes, at, quote).0, Before::Value),
                b'`' => self.template(at + 1),
                b'}' if self.brackets.len() > outermost
                    && self.brackets.last() == Some(&Bracket::Template) =>
                {
                    self.brackets.pop();
                    self.template(at + 1);
                }
                b'}' if self.brackets.len() == outermost && self.nesting > 0 => return Ok(()),
                byte if byte.is_ascii_digit()
                    || (byte == b'.' && next.is_ascii_digit() && self.before != Before::Value) =>
                {
                    let end = self.number_end(at);
                    self.take(end, Before::Value);
                }
                byte if is_word(byte) => self.word()?,
                b'.' if self.bytes[at..].starts_with(b"...") => self.take(at + 3, Before::Operator),
                b'.' if self.before == Before::Value => self.dot()?,
                b'.' => {
                    self.take(at + 1, Before::Operator);
                    self.property_name();
                }
                b'?' if next == b'.' && !self.bytes.get(at + 2).is_some_and(u8::is_ascii_digit) => {
                    self.take(at + 2, Before::Operator);
                    self.property_name();
                }
                b'@' => {
                    self.only_in_filter(at, "an attribute stands behind what it is of: `x.@id`")?;
                    self.selector(at, at, false)?;
                }
                b'*' if self.before != Before::Value && (self.filters > 0 || self.qualifies(at + 1)) => {
                    self.only_in_filter(at, "a name stands behind what it is of: `x.*::name`")?;
                    self.selector(at, at, false)?;
                }
                b'(' | b'[' | b'{' => self.open(),
                b')' | b']' | b'}' => self.close(outermost)?,
                _ => self.sign(),
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), E4xError> {
        let start = self.at;
        let end = self.word_end(start);
        let word = &self.source[start..end];
        if self.before != Before::Value && self.qualifies(end) && self.filters > 0 {
            self.selector(start, start, false)?;
            return Ok(());
        }
        match word {
            "for" => {
                let each = self.skip(end);
                let open = self.skip(each + 4);
                if self.is_word_at(each, "each") && self.bytes.get(open) == Some(&b'(') {
                    self.take(end, Before::Operator);
                    self.replace(each..each + 4, "");
                    self.at = open + 1;
                    self.note(open..open + 1, Before::Operator);
                    self.brackets.push(Bracket::ForEach(false));
                    return Ok(());
                }
            }
            "in" if self.brackets.last() == Some(&Bracket::ForEach(false)) => {
                self.replace(start..end, "of $xml.each(");
                self.note(start..end, Before::Operator);
                self.brackets.pop();
                self.brackets.push(Bracket::ForEach(true));
                return Ok(());
            }
            "default" => {
                let xml = self.skip(end);
                let namespace = self.skip(xml + 3);
                let equals = self.skip(namespace + 9);
                if self.is_word_at(xml, "xml")
                    && self.is_word_at(namespace, "namespace")
                    && self.bytes.get(equals) == Some(&b'=')
                {
                    self.replace(start..namespace + 9, "$xml.space");
                    self.note(start..end, Before::Value);
                    return Ok(());
                }
            }
            method
                if self.filters > 0
                    && METHODS.contains(&method)
                    && self.bytes.get(self.skip(end)) == Some(&b'(')
                    && self.before != Before::Value =>
            {
                self.insert(start, "$it.");
            }
            _ => {}
        }
        let before = if BEFORE_VALUE.contains(&word) {
            Before::Operator
        } else {
            Before::Value
        };
        self.take(end, before);
        Ok(())
    }

    /// `.` behind a value.
    fn dot(&mut self) -> Result<(), E4xError> {
        let start = self.at;
        let deep = self.bytes.get(start + 1) == Some(&b'.');
        let name = self.skip(start + if deep { 2 } else { 1 });
        match self.bytes.get(name) {
            Some(b'(') if !deep => {
                self.replace(start..name + 1, "[\"()\"](($it)=>{with($it)return(");
                self.note(name..name + 1, Before::Operator);
                self.brackets.push(Bracket::Filter);
                self.filters += 1;
                Ok(())
            }
            Some(b'@' | b'*') => self.selector(start, name, deep),
            Some(byte) if is_word(*byte) => {
                if deep || self.qualifies(self.word_end(name)) {
                    return self.selector(start, name, deep);
                }
                self.take(start + 1, Before::Operator);
                self.property_name();
                Ok(())
            }
            _ if deep => Err(self.error(start..start + 2, "a name has to follow `..`")),
            _ => {
                self.take(start + 1, Before::Operator);
                Ok(())
            }
        }
    }

    /// A name behind `.` or `..`, or in a filter behind nothing: `@id`, `*`, `*::name`, `ns::name`, `@[…]`, `ns::[…]`.
    fn selector(&mut self, start: usize, name: usize, deep: bool) -> Result<(), E4xError> {
        let mut key = String::from(if deep { ".." } else { "" });
        let mut at = name;
        if self.bytes[at] == b'@' {
            key.push('@');
            at = self.skip(at + 1);
        }
        let bare = if start == name { "$it" } else { "" };
        let mut first = self.name_at(at);
        let mut space = None;
        if let Some(found) = first.clone()
            && self.qualifies(found.end)
        {
            space = Some(found.clone());
            at = self.skip(self.skip(found.end) + 2);
            first = self.name_at(at);
        }
        let space = space.map(|space| (&self.source[space.clone()], space));
        let (open, close) = match &space {
            // Methods, whatever the children are called.
            Some(("function", _)) => (format!("{bare}[\"{key}"), "\"]"),
            Some(("*", _)) => (format!("{bare}[\"{key}*::"), "\"]"),
            Some((word, _)) if key.is_empty() => (format!("{bare}[$xml.name({word},\""), "\")]"),
            Some((word, _)) => (format!("{bare}[\"{key}\"+$xml.name({word},\""), "\")]"),
            None => (format!("{bare}[\"{key}"), "\"]"),
        };
        match (first, self.bytes.get(at)) {
            (Some(local), _) => {
                let lines = self.source[start..local.start].matches('\n').count();
                self.replace(start..local.start, &open);
                self.at = local.end;
                self.replace(local.end..local.end, &format!("{close}{}", "\n".repeat(lines)));
                self.note(local, Before::Value);
                Ok(())
            }
            (None, Some(b'[')) if space.is_some() || key.ends_with('@') => {
                let lines = "\n".repeat(self.source[start..at].matches('\n').count());
                let (open, close) = match close {
                    "\"]" => (format!("{open}\"+({lines}"), ")]"),
                    _ => (format!("{}({lines}", open.trim_end_matches('"')), "))]"),
                };
                self.replace(start..at + 1, &open);
                self.note(at..at + 1, Before::Operator);
                self.brackets.push(Bracket::Computed(close));
                Ok(())
            }
            _ => Err(self.error(start..at, "a name has to follow here")),
        }
    }

    fn open(&mut self) {
        let at = self.at;
        let last = &self.source[self.words[1].clone()];
        let bracket = match self.bytes[at] {
            b'[' => Bracket::Index,
            b'(' if matches!(last, "if" | "while" | "for" | "with")
                && &self.source[self.words[0].clone()] != "." =>
            {
                Bracket::Head
            }
            b'(' => Bracket::Group,
            _ if self.before == Before::Operator
                && !matches!(last, "=>" | "else" | "do" | "try" | "finally") =>
            {
                Bracket::Object
            }
            _ => Bracket::Block,
        };
        self.brackets.push(bracket);
        let before = if bracket == Bracket::Block {
            Before::Start
        } else {
            Before::Operator
        };
        self.take(at + 1, before);
    }

    fn close(&mut self, outermost: usize) -> Result<(), E4xError> {
        let at = self.at;
        let fits = |bracket: &Bracket| match self.bytes[at] {
            b')' => matches!(
                bracket,
                Bracket::Head | Bracket::Group | Bracket::ForEach(_) | Bracket::Filter
            ),
            b']' => matches!(bracket, Bracket::Index | Bracket::Computed(_)),
            _ => matches!(bracket, Bracket::Block | Bracket::Object),
        };
        // What does not fit is a mistake that the parser will find.
        let bracket = match self.brackets.last() {
            Some(bracket) if self.brackets.len() > outermost && fits(bracket) => *bracket,
            _ => {
                self.take(at + 1, Before::Value);
                return Ok(());
            }
        };
        self.brackets.pop();
        match bracket {
            Bracket::Filter => {
                self.filters -= 1;
                self.insert(at, ")}");
                self.take(at + 1, Before::Value);
            }
            Bracket::ForEach(true) => {
                self.insert(at, ")");
                self.take(at + 1, Before::Start);
            }
            Bracket::ForEach(false) => {
                return Err(self.error(
                    at..at + 1,
                    "`for each` goes through something: `for each (x in list)`",
                ));
            }
            Bracket::Computed(close) => {
                self.replace(at..at + 1, close);
                self.note(at..at + 1, Before::Value);
            }
            Bracket::Head | Bracket::Block => self.take(at + 1, Before::Start),
            _ => self.take(at + 1, Before::Value),
        }
        Ok(())
    }

    fn sign(&mut self) {
        let rest = &self.source[self.at..];
        let character = rest.chars().next().map_or(1, char::len_utf8);
        let length = SIGNS
            .iter()
            .find(|sign| rest.starts_with(**sign))
            .map_or(character, |sign| sign.len());
        let before = match &rest[..length] {
            // Behind a value they belong to it.
            "++" | "--" => self.before,
            ";" => Before::Start,
            _ => Before::Operator,
        };
        self.take(self.at + length, before);
    }

    /// From inside a template to its end, or into its next `${`.
    fn template(&mut self, inside: usize) {
        let (end, opens) = template_end(self.bytes, inside);
        if opens {
            self.brackets.push(Bracket::Template);
        }
        self.take(end, if opens { Before::Operator } else { Before::Value });
    }

    /// A word that is a name, whatever it is called.
    fn property_name(&mut self) {
        self.at = self.skip(self.at);
        if self.bytes.get(self.at).copied().is_some_and(is_word) {
            let end = self.word_end(self.at);
            self.take(end, Before::Value);
        }
    }

    // Looking

    /// Over white space and comments.
    pub fn skip(&self, mut at: usize) -> usize {
        while let Some(byte) = self.bytes.get(at) {
            let next = self.bytes.get(at + 1).copied();
            match byte {
                byte if byte.is_ascii_whitespace() => at += 1,
                b'/' if matches!(next, Some(b'/' | b'*')) => at = self.comment_end(at),
                _ => break,
            }
        }
        at.min(self.bytes.len())
    }

    /// A word, or `*`.
    fn name_at(&self, at: usize) -> Option<Range<usize>> {
        match self.bytes.get(at) {
            Some(b'*') => Some(at..at + 1),
            Some(byte) if is_word(*byte) => Some(at..self.word_end(at)),
            _ => None,
        }
    }

    fn qualifies(&self, at: usize) -> bool {
        self.bytes[self.skip(at)..].starts_with(b"::")
    }

    fn is_word_at(&self, at: usize, word: &str) -> bool {
        self.bytes.get(at).copied().is_some_and(is_word) && &self.source[at..self.word_end(at)] == word
    }

    fn word_end(&self, at: usize) -> usize {
        let word = self.bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        at + word
    }

    fn number_end(&self, mut at: usize) -> usize {
        let hex = self.bytes[at] == b'0' && self.bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
        let mut point = hex;
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b'.' if !point => point = true,
                b'+' | b'-' if !hex && matches!(self.bytes[at - 1], b'e' | b'E') => {}
                byte if is_word(*byte) => {}
                _ => break,
            }
            at += 1;
        }
        at
    }

    fn comment_end(&self, at: usize) -> usize {
        if self.bytes[at + 1] == b'/' {
            return self.line_end(at);
        }
        let end = memchr::memmem::find(&self.bytes[at + 2..], b"*/");
        end.map_or(self.bytes.len(), |found| at + 2 + found + 2)
    }

    fn line_end(&self, at: usize) -> usize {
        memchr::memchr2(b'\n', b'\r', &self.bytes[at..]).map_or(self.bytes.len(), |found| at + found)
    }

    fn only_in_filter(&self, at: usize, message: &str) -> Result<(), E4xError> {
        match self.filters {
            0 => Err(self.error(at..at + 1, message)),
            _ => Ok(()),
        }
    }

    pub fn error(&self, at: Range<usize>, message: impl Into<String>) -> E4xError {
        E4xError {
            at,
            message: message.into(),
        }
    }

    // Writing

    /// Goes on behind a word or sign, which stays as it is.
    fn take(&mut self, end: usize, before: Before) {
        self.note(self.at..end, before);
        self.at = end;
    }

    pub fn note(&mut self, word: Range<usize>, before: Before) {
        let [_, last] = std::mem::replace(&mut self.words, [0..0, word]);
        self.words[0] = last;
        self.before = before;
    }

    pub fn insert(&mut self, at: usize, text: &str) {
        self.replace(at..at, text);
    }

    pub fn replace(&mut self, range: Range<usize>, text: &str) {
        self.at = range.end;
        self.output.replace(range, text);
    }
}
