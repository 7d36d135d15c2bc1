//! A strict reader: quick-xml finds the pieces, everything that makes them XML with namespaces is checked here.
//!
//! quick-xml alone accepts two thirds of the W3C suite's ill-formed documents (two roots, unbound prefixes, undefined
//! entities, characters that are not XML). A DOCTYPE is always refused, so entities can neither grow nor open files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use quick_xml::events::Event as Token;

use super::names::{Namespaces, XML_NAMESPACE, XMLNS_NAMESPACE, end_of_name, is_character, is_nc_name, is_space};

/// How much a document may hold before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlLimits {
    /// Elements inside each other.
    pub depth: usize,
    /// Attributes and namespace declarations of one element.
    pub attributes: usize,
    /// Namespace declarations in force at one place.
    pub namespaces: usize,
    /// Elements, attributes, declarations, texts, comments and instructions together.
    pub nodes: usize,
    /// Bytes of text, attribute values, comments and instructions together.
    pub text: usize,
    /// Bytes of one name.
    pub name: usize,
}

impl Default for XmlLimits {
    fn default() -> XmlLimits {
        XmlLimits { depth: 200, attributes: 256, namespaces: 256, nodes: 500_000, text: 10 << 20, name: 1024 }
    }
}

/// Why a text is not XML that we accept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlError {
    pub message: String,
    /// Byte offset in the text (in the bytes, when they could not be decoded).
    pub offset: usize,
}

impl XmlError {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> XmlError {
        XmlError { message: message.into(), offset }
    }
}

impl std::fmt::Display for XmlError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} (at byte {})", self.message, self.offset)
    }
}

impl std::error::Error for XmlError {}

/// Line and column, from 1, of a byte offset; columns count characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.bytes().filter(|&byte| byte == b'\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A namespace name as the reader numbers it; `Reader::uri` gives its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uri(u32);

impl Uri {
    pub const NONE: Uri = Uri(0);
    const XML: Uri = Uri(1);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A piece of a document. All ranges are byte ranges of the text that is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A start tag; `Reader::attributes` and `Reader::declarations` hold the rest of it until the next event.
    Start(StartTag<'a>),
    /// The end of an element; for `<a/>` an empty range behind the tag.
    End { range: Range<usize> },
    /// Text with references resolved and line ends normalised. Text and CDATA sections side by side come one by one.
    Text { value: Cow<'a, str>, range: Range<usize>, cdata: bool },
    Comment { value: Cow<'a, str>, range: Range<usize> },
    Instruction { target: &'a str, value: Cow<'a, str>, range: Range<usize> },
    Eof,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StartTag<'a> {
    pub prefix: &'a str,
    pub local: &'a str,
    pub uri: Uri,
    /// The name as written, prefix included.
    pub name_range: Range<usize>,
    /// The whole tag.
    pub range: Range<usize>,
    /// Written as `<a/>`. An `End` follows all the same.
    pub empty: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute<'a> {
    pub prefix: &'a str,
    pub local: &'a str,
    pub uri: Uri,
    pub name_range: Range<usize>,
    /// The value, normalised.
    pub value: Cow<'a, str>,
    /// The value as written, without its quotes.
    pub raw_range: Range<usize>,
}

pub struct Reader<'a> {
    text: &'a str,
    tokens: quick_xml::Reader<&'a [u8]>,
    /// Where quick-xml's text begins in ours: behind a byte order mark.
    base: usize,
    begun: bool,
    limits: XmlLimits,
    fragment: bool,
    /// A token that was read to find the end of a text.
    waiting: Option<(Piece, Range<usize>)>,
    /// An empty element whose `End` is due.
    ending: Option<usize>,
    open: Vec<Open>,
    bindings: Vec<(&'a str, Uri)>,
    uris: Vec<Cow<'a, str>>,
    uri_numbers: HashMap<Cow<'a, str>, Uri>,
    attributes: Vec<Attribute<'a>>,
    /// Where the bindings of the latest start tag begin.
    declared_from: usize,
    root_seen: bool,
    nodes_left: usize,
    text_left: usize,
}

struct Open {
    name: Range<usize>,
    /// How many bindings were in force around the element.
    bindings: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Start,
    Empty,
    End,
    Text,
    CData,
    Comment,
    Instruction,
    Eof,
}

impl<'a> Reader<'a> {
    /// Reads a whole document.
    pub fn new(text: &'a str, limits: &XmlLimits) -> Reader<'a> {
        Reader::with(text, limits, false)
    }

    /// Reads what may stand inside an element: any number of elements, with text between them. The prefixes are those
    /// of the place where it will stand.
    pub fn fragment(text: &'a str, namespaces: &'a Namespaces, limits: &XmlLimits) -> Reader<'a> {
        let mut reader = Reader::with(text, limits, true);
        for (prefix, uri) in namespaces.iter() {
            let uri = reader.number(Cow::Borrowed(uri));
            reader.bindings.push((prefix, uri));
        }
        reader.declared_from = reader.bindings.len();
        reader
    }

    fn with(text: &'a str, limits: &XmlLimits, fragment: bool) -> Reader<'a> {
        let base = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        let mut tokens = quick_xml::Reader::from_str(&text[base..]);
        let config = tokens.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        Reader {
            text,
            tokens,
            base,
            begun: false,
            limits: limits.clone(),
            fragment,
            waiting: None,
            ending: None,
            open: Vec::new(),
            bindings: Vec::new(),
            uris: vec![Cow::Borrowed(""), Cow::Borrowed(XML_NAMESPACE)],
            uri_numbers: HashMap::from([(Cow::Borrowed(""), Uri::NONE), (Cow::Borrowed(XML_NAMESPACE), Uri::XML)]),
            attributes: Vec::new(),
            declared_from: 0,
            root_seen: false,
            nodes_left: limits.nodes,
            text_left: limits.text,
        }
    }

    /// The attributes of the latest start tag, without namespace declarations.
    pub fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The prefixes that the latest start tag declares.
    pub fn declarations(&self) -> &[(&'a str, Uri)] {
        &self.bindings[self.declared_from..]
    }

    /// The prefixes in force at the latest event.
    pub fn in_scope(&self) -> Namespaces {
        self.bindings.iter().map(|&(prefix, uri)| (prefix, self.uri(uri))).collect()
    }

    pub fn uri(&self, uri: Uri) -> &str {
        &self.uris[uri.index()]
    }

    #[expect(clippy::should_implement_trait, reason = "a reader fails, and its events borrow the reader's state")]
    pub fn next(&mut self) -> Result<Event<'a>, XmlError> {
        if let Some(at) = self.ending.take() {
            self.close();
            return Ok(Event::End { range: at..at });
        }
        let (piece, range) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => self.piece()?,
        };
        if !self.begun {
            self.begun = true;
            self.check_characters()?;
            if piece == Piece::Instruction && !self.fragment && is_declaration(&self.text[range.clone()]) {
                check_declaration(&self.text[range.clone()], range.start)?;
                return self.next();
            }
        }
        match piece {
            Piece::Text => self.text_event(range),
            Piece::Start => self.start_event(range, false),
            Piece::Empty => self.start_event(range, true),
            Piece::End => self.end_event(range),
            Piece::CData => self.cdata_event(range),
            Piece::Comment => self.comment_event(range),
            Piece::Instruction => self.instruction_event(range),
            Piece::Eof => self.eof_event(),
        }
    }

    fn piece(&mut self) -> Result<(Piece, Range<usize>), XmlError> {
        let start = self.base + self.tokens.buffer_position() as usize;
        let piece = match self.tokens.read_event() {
            Ok(Token::Start(_)) => Piece::Start,
            Ok(Token::Empty(_)) => Piece::Empty,
            Ok(Token::End(_)) => Piece::End,
            Ok(Token::Text(_) | Token::GeneralRef(_)) => Piece::Text,
            Ok(Token::CData(_)) => Piece::CData,
            Ok(Token::Comment(_)) => Piece::Comment,
            Ok(Token::Decl(_) | Token::PI(_)) => Piece::Instruction,
            Ok(Token::DocType(_)) => return Err(XmlError::new(start, "a DOCTYPE is not accepted")),
            Ok(Token::Eof) => Piece::Eof,
            Err(error) => {
                let at = self.base + self.tokens.error_position() as usize;
                // Whatever else is wrong with it, the author shall hear that there is no DOCTYPE.
                if self.text.get(at..at + 9).is_some_and(|text| text.eq_ignore_ascii_case("<!doctype")) {
                    return Err(XmlError::new(at, "a DOCTYPE is not accepted"));
                }
                return Err(XmlError::new(at, error.to_string()));
            }
        };
        Ok((piece, start..self.base + self.tokens.buffer_position() as usize))
    }

    /// quick-xml gives a reference as a piece of its own; here they belong to the text around them.
    fn text_event(&mut self, mut range: Range<usize>) -> Result<Event<'a>, XmlError> {
        loop {
            let (piece, next) = self.piece()?;
            if piece != Piece::Text {
                self.waiting = Some((piece, next));
                break;
            }
            range.end = next.end;
        }
        let raw = &self.text[range.clone()];
        if self.open.is_empty() && !self.fragment {
            if let Some(at) = raw.bytes().position(|byte| !is_space(byte)) {
                return Err(XmlError::new(range.start + at, "text outside the root element"));
            }
            return self.next();
        }
        if raw.is_empty() {
            return self.next();
        }
        let value = resolve_text(raw, range.start)?;
        self.count(range.start, value.len())?;
        Ok(Event::Text { value, range, cdata: false })
    }

    fn cdata_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        if self.open.is_empty() && !self.fragment {
            return Err(XmlError::new(range.start, "a CDATA section outside the root element"));
        }
        let raw = &self.text[range.start + "<![CDATA[".len()..range.end - "]]>".len()];
        self.count(range.start, raw.len())?;
        Ok(Event::Text { value: line_ends(raw), range, cdata: true })
    }

    fn comment_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let raw = &self.text[range.start + "<!--".len()..range.end - "-->".len()];
        if let Some(at) = raw.find("--") {
            return Err(XmlError::new(range.start + 4 + at, "`--` inside a comment"));
        }
        if raw.ends_with('-') {
            return Err(XmlError::new(range.end - 4, "a comment may not end with `--->`"));
        }
        self.count(range.start, raw.len())?;
        Ok(Event::Comment { value: line_ends(raw), range })
    }

    fn instruction_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let start = range.start + "<?".len();
        let raw = &self.text[start..range.end - "?>".len()];
        let end = end_of_name(raw, 0);
        let target = &raw[..end];
        if !is_nc_name(target) {
            return Err(XmlError::new(start, "a processing instruction begins with a name without a colon"));
        }
        if target.eq_ignore_ascii_case("xml") {
            return Err(XmlError::new(range.start, "an XML declaration stands at the very beginning, once"));
        }
        let value = raw[end..].trim_start_matches(|character| u8::try_from(character).is_ok_and(is_space));
        if !raw[end..].is_empty() && value.len() == raw.len() - end {
            return Err(XmlError::new(start + end, "white space is missing after the target of a processing instruction"));
        }
        self.count(range.start, raw.len())?;
        Ok(Event::Instruction { target, value: line_ends(value), range })
    }

    fn end_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let raw = &self.text[range.start + "</".len()..range.end - ">".len()];
        let Some(open) = self.open.last() else {
            return Err(XmlError::new(range.start, format!("`</{raw}>` closes nothing")));
        };
        let name = &self.text[open.name.clone()];
        if raw != name && raw.trim_end_matches([' ', '\t', '\n', '\r']) != name {
            return Err(XmlError::new(range.start, format!("`</{raw}>` where `</{name}>` is expected")));
        }
        self.close();
        Ok(Event::End { range })
    }

    fn eof_event(&mut self) -> Result<Event<'a>, XmlError> {
        let end = self.text.len();
        self.waiting = Some((Piece::Eof, end..end));
        if let Some(open) = self.open.last() {
            let name = &self.text[open.name.clone()];
            return Err(XmlError::new(open.name.start, format!("`<{name}>` is not closed")));
        }
        if !self.root_seen && !self.fragment {
            return Err(XmlError::new(end, "there is no root element"));
        }
        Ok(Event::Eof)
    }

    fn start_event(&mut self, range: Range<usize>, empty: bool) -> Result<Event<'a>, XmlError> {
        if self.open.is_empty() && self.root_seen && !self.fragment {
            return Err(XmlError::new(range.start, "a second root element"));
        }
        if self.open.len() >= self.limits.depth {
            let depth = self.limits.depth;
            return Err(XmlError::new(range.start, format!("elements are nested deeper than {depth}")));
        }
        self.root_seen = true;
        let text = self.text;
        let tag = &text[..range.end - if empty { "/>".len() } else { ">".len() }];
        let start = range.start + "<".len();
        let end = end_of_name(tag, start);
        let name_range = start..end;
        let (prefix, local) = self.split_name(name_range.clone(), "an element")?;
        self.open.push(Open { name: name_range.clone(), bindings: self.bindings.len() });
        self.declared_from = self.bindings.len();
        self.count(range.start, 0)?;
        self.attributes.clear();
        if end < tag.len() {
            self.read_attributes(tag, end)?;
            self.resolve_attributes()?;
        }
        let uri = self.resolve(prefix, start)?;
        if empty {
            self.ending = Some(range.end);
        }
        Ok(Event::Start(StartTag { prefix, local, uri, name_range, range, empty }))
    }

    fn read_attributes(&mut self, tag: &'a str, mut at: usize) -> Result<(), XmlError> {
        let bytes = tag.as_bytes();
        let skip_space = |mut at: usize| {
            while bytes.get(at).copied().is_some_and(is_space) {
                at += 1;
            }
            at
        };
        let mut count = 0;
        loop {
            let next = skip_space(at);
            if next >= bytes.len() {
                return Ok(());
            }
            if next == at {
                return Err(XmlError::new(at, "white space is missing before this, or a name has a character it may not have"));
            }
            let end = end_of_name(tag, next);
            let name_range = next..end;
            let (prefix, local) = self.split_name(name_range.clone(), "an attribute")?;
            at = skip_space(end);
            if bytes.get(at) != Some(&b'=') {
                return Err(XmlError::new(end, format!("`=` is missing after the attribute `{}`", &tag[next..end])));
            }
            at = skip_space(at + 1);
            let quote = match bytes.get(at) {
                Some(&quote @ (b'"' | b'\'')) => quote,
                _ => return Err(XmlError::new(at, "the value of an attribute stands in quotes")),
            };
            let value_start = at + 1;
            let Some(length) = memchr::memchr(quote, &bytes[value_start..]) else {
                return Err(XmlError::new(at, "the value of an attribute has no closing quote"));
            };
            let raw_range = value_start..value_start + length;
            at = raw_range.end + 1;
            let value = resolve_attribute(&tag[raw_range.clone()], value_start)?;
            count += 1;
            if count > self.limits.attributes {
                let most = self.limits.attributes;
                return Err(XmlError::new(next, format!("an element has more than {most} attributes")));
            }
            self.count(next, value.len())?;
            if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
                self.declare(if prefix.is_empty() { "" } else { local }, value, next)?;
            } else {
                self.attributes.push(Attribute { prefix, local, uri: Uri::NONE, name_range, value, raw_range });
            }
        }
    }

    fn declare(&mut self, prefix: &'a str, uri: Cow<'a, str>, at: usize) -> Result<(), XmlError> {
        if prefix == "xmlns" {
            return Err(XmlError::new(at, "the prefix `xmlns` may not be declared"));
        }
        if (prefix == "xml") != (uri == XML_NAMESPACE) {
            return Err(XmlError::new(at, format!("the prefix `xml` and the name `{XML_NAMESPACE}` belong to each other alone")));
        }
        if uri == XMLNS_NAMESPACE {
            return Err(XmlError::new(at, format!("the name `{XMLNS_NAMESPACE}` may not be declared")));
        }
        if uri.is_empty() && !prefix.is_empty() {
            return Err(XmlError::new(at, format!("the prefix `{prefix}` may not be bound to nothing")));
        }
        if self.bindings[self.declared_from..].iter().any(|&(known, _)| known == prefix) {
            return Err(XmlError::new(at, "this namespace is declared twice on one element"));
        }
        if self.bindings.len() >= self.limits.namespaces {
            let most = self.limits.namespaces;
            return Err(XmlError::new(at, format!("more than {most} namespace declarations are in force")));
        }
        let uri = self.number(uri);
        self.bindings.push((prefix, uri));
        Ok(())
    }

    fn number(&mut self, uri: Cow<'a, str>) -> Uri {
        if let Some(&known) = self.uri_numbers.get(&uri) {
            return known;
        }
        let number = Uri(self.uris.len() as u32);
        self.uris.push(uri.clone());
        self.uri_numbers.insert(uri, number);
        number
    }

    /// Gives attributes their namespaces, once all declarations of the tag are known, and looks for doubles.
    fn resolve_attributes(&mut self) -> Result<(), XmlError> {
        for index in 0..self.attributes.len() {
            let (prefix, local) = (self.attributes[index].prefix, self.attributes[index].local);
            let at = self.attributes[index].name_range.start;
            let uri = if prefix.is_empty() { Uri::NONE } else { self.resolve(prefix, at)? };
            if self.attributes[..index].iter().any(|other| other.uri == uri && other.local == local) {
                return Err(XmlError::new(at, format!("the attribute `{local}` stands twice on one element")));
            }
            self.attributes[index].uri = uri;
        }
        Ok(())
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<Uri, XmlError> {
        match self.bindings.iter().rev().find(|&&(known, _)| known == prefix) {
            Some(&(_, uri)) => Ok(uri),
            None if prefix.is_empty() => Ok(Uri::NONE),
            None if prefix == "xml" => Ok(Uri::XML),
            None => Err(XmlError::new(at, format!("the prefix `{prefix}` is not declared"))),
        }
    }

    fn split_name(&self, range: Range<usize>, of: &str) -> Result<(&'a str, &'a str), XmlError> {
        let name = &self.text[range.clone()];
        if name.is_empty() {
            return Err(XmlError::new(range.start, format!("this is not the name of {of}")));
        }
        if name.len() > self.limits.name {
            return Err(XmlError::new(range.start, format!("a name is longer than {} bytes", self.limits.name)));
        }
        match memchr::memchr(b':', name.as_bytes()) {
            None => Ok(("", name)),
            Some(colon) => {
                let (prefix, local) = (&name[..colon], &name[colon + 1..]);
                if prefix.is_empty() || !is_nc_name(local) {
                    return Err(XmlError::new(range.start, format!("`{name}` is not a name with a prefix")));
                }
                if prefix == "xmlns" && of == "an element" {
                    return Err(XmlError::new(range.start, "an element may not have the prefix `xmlns`"));
                }
                Ok((prefix, local))
            }
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.bindings.truncate(open.bindings);
            self.declared_from = self.bindings.len();
        }
    }

    fn count(&mut self, at: usize, text: usize) -> Result<(), XmlError> {
        let Some(nodes) = self.nodes_left.checked_sub(1) else {
            return Err(XmlError::new(at, format!("more than {} nodes", self.limits.nodes)));
        };
        let Some(text) = self.text_left.checked_sub(text) else {
            return Err(XmlError::new(at, format!("more than {} bytes of text", self.limits.text)));
        };
        (self.nodes_left, self.text_left) = (nodes, text);
        Ok(())
    }

    /// One fast pass over all bytes finds the characters that may stand nowhere, so that no piece need look for them.
    fn check_characters(&self) -> Result<(), XmlError> {
        for (index, chunk) in self.text.as_bytes().chunks(64).enumerate() {
            let suspicious = chunk.iter().fold(false, |found, &byte| found | (byte < 0x20) & !is_space(byte) | (byte == 0xEF));
            if !suspicious {
                continue;
            }
            let mut start = index * 64;
            while !self.text.is_char_boundary(start) {
                start += 1;
            }
            let wrong = self.text[start..].char_indices().take_while(|&(at, _)| at < 64).find(|&(_, character)| !is_character(character));
            if let Some((at, character)) = wrong {
                let code = u32::from(character);
                return Err(XmlError::new(start + at, format!("the character U+{code:04X} may not stand in XML")));
            }
        }
        Ok(())
    }
}

fn is_declaration(text: &str) -> bool {
    text.strip_prefix("<?xml").is_some_and(|rest| rest.bytes().next().is_some_and(is_space))
}

/// `<?xml version="1.0" encoding="…" standalone="yes"?>`, in this order.
fn check_declaration(declaration: &str, offset: usize) -> Result<(), XmlError> {
    let mut rest = &declaration["<?xml".len()..declaration.len() - "?>".len()];
    let wrong = |rest: &str, message: &str| {
        let at = declaration.len() - "?>".len() - rest.len();
        Err(XmlError::new(offset + at, format!("in the XML declaration: {message}")))
    };
    let mut expected: &[&str] = &["version", "encoding", "standalone"];
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if trimmed.is_empty() {
            break;
        }
        if trimmed.len() == rest.len() {
            return wrong(rest, "white space is missing");
        }
        rest = trimmed;
        let name = &rest[..end_of_name(rest, 0)];
        let Some(index) = expected.iter().position(|known| *known == name) else {
            return wrong(rest, "version, then encoding, then standalone is expected");
        };
        if expected.len() == 3 && index != 0 {
            return wrong(rest, "the version is missing");
        }
        expected = &expected[index + 1..];
        let after = rest[name.len()..].trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(after) = after.strip_prefix('=') else { return wrong(after, "`=` is missing") };
        let after = after.trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(quote) = after.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else {
            return wrong(after, "a value stands in quotes");
        };
        let Some((value, after_value)) = after[1..].split_once(quote) else {
            return wrong(after, "a closing quote is missing");
        };
        let good = match name {
            "version" => value.strip_prefix("1.").is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())),
            "encoding" => {
                value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            }
            _ => matches!(value, "yes" | "no"),
        };
        if !good {
            return wrong(after, &format!("this is not a value of {name}"));
        }
        rest = after_value;
    }
    if expected.len() == 3 {
        return wrong(rest, "the version is missing");
    }
    Ok(())
}

/// `\r\n` and `\r` are read as `\n`.
fn line_ends(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

fn resolve_text(raw: &str, offset: usize) -> Result<Cow<'_, str>, XmlError> {
    let bytes = raw.as_bytes();
    let mut resolved = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'&', b'\r', b'>', &bytes[at..]) {
        at += found;
        match bytes[at] {
            b'>' => {
                if bytes[..at].ends_with(b"]]") {
                    return Err(XmlError::new(offset + at - 2, "`]]>` in text is written `]]&gt;`"));
                }
                at += 1;
            }
            b'\r' => {
                resolved.push_str(&raw[done..at]);
                resolved.push('\n');
                at += if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
                done = at;
            }
            _ => {
                let (character, length) = resolve_reference(&raw[at..], offset + at)?;
                resolved.push_str(&raw[done..at]);
                resolved.push(character);
                at += length;
                done = at;
            }
        }
    }
    if done == 0 {
        return Ok(Cow::Borrowed(raw));
    }
    resolved.push_str(&raw[done..]);
    Ok(Cow::Owned(resolved))
}

fn resolve_attribute(raw: &str, offset: usize) -> Result<Cow<'_, str>, XmlError> {
    let bytes = raw.as_bytes();
    let special = |byte: &u8| matches!(byte, b'<' | b'&' | b'\t' | b'\n' | b'\r');
    let Some(first) = bytes.iter().position(special) else { return Ok(Cow::Borrowed(raw)) };
    let mut resolved = String::with_capacity(raw.len());
    let mut done = 0;
    let mut at = first;
    loop {
        resolved.push_str(&raw[done..at]);
        match bytes[at] {
            b'<' => return Err(XmlError::new(offset + at, "`<` in the value of an attribute is written `&lt;`")),
            b'&' => {
                let (character, length) = resolve_reference(&raw[at..], offset + at)?;
                resolved.push(character);
                at += length;
            }
            byte => {
                resolved.push(' ');
                at += if byte == b'\r' && bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
            }
        }
        done = at;
        match bytes[at..].iter().position(special) {
            Some(next) => at += next,
            None => break,
        }
    }
    resolved.push_str(&raw[done..]);
    Ok(Cow::Owned(resolved))
}

/// The character that a reference at the start of `raw` stands for, and the length of the reference.
fn resolve_reference(raw: &str, offset: usize) -> Result<(char, usize), XmlError> {
    // No reference is longer than this, leading zeros aside; a missing semicolon must not cost a search to the end.
    let window = &raw.as_bytes()[..raw.len().min(64)];
    let Some(end) = memchr::memchr(b';', window) else {
        return Err(XmlError::new(offset, "`&` alone is written `&amp;`"));
    };
    let name = raw.get(1..end).unwrap_or_default();
    let character = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#') {
            Some(number) => {
                let (digits, radix) = match number.strip_prefix('x') {
                    Some(digits) => (digits, 16),
                    None => (number, 10),
                };
                let number = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix).ok()).flatten();
                let character = number.and_then(char::from_u32).filter(|&character| is_character(character));
                if character.is_none() {
                    return Err(XmlError::new(offset, format!("`&{name};` is not a character of XML")));
                }
                character
            }
            None => None,
        },
    };
    match character {
        Some(character) => Ok((character, end + 1)),
        None if is_nc_name(name) => Err(XmlError::new(offset, format!("the entity `{name}` is not defined"))),
        None => Err(XmlError::new(offset, "`&` alone is written `&amp;`")),
    }
}
