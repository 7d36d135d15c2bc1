//! A strict reader: everything that makes the pieces of a text XML with namespaces is checked here.
//!
//! A DOCTYPE is always refused, so entities can neither grow nor open files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::names::{
    Namespaces, XML_NAMESPACE, XMLNS_NAMESPACE, end_of_name, is_character, is_nc_name, is_space, starts_name,
};
use super::pieces::{Piece, Pieces};
use super::values::{check_declaration, is_declaration, line_ends, resolve_attribute, resolve_text};

/// How much a document may hold before it is refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
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
        XmlLimits {
            depth: 200,
            attributes: 256,
            namespaces: 256,
            nodes: 500_000,
            text: 10 << 20,
            name: 1024,
        }
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
        XmlError {
            message: message.into(),
            offset,
        }
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
    (
        before.bytes().filter(|&byte| byte == b'\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
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
    End {
        range: Range<usize>,
    },
    /// Text with references resolved and line ends normalised. Text and CDATA sections side by side come one by one.
    Text {
        value: Cow<'a, str>,
        range: Range<usize>,
        cdata: bool,
    },
    Comment {
        value: Cow<'a, str>,
        range: Range<usize>,
    },
    Instruction {
        target: &'a str,
        value: Cow<'a, str>,
        range: Range<usize>,
    },
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
    pieces: Pieces<'a>,
    begun: bool,
    limits: XmlLimits,
    fragment: bool,
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
        Reader {
            text,
            pieces: Pieces::new(text),
            begun: false,
            limits: limits.clone(),
            fragment,
            ending: None,
            open: Vec::new(),
            bindings: Vec::new(),
            uris: vec![Cow::Borrowed(""), Cow::Borrowed(XML_NAMESPACE)],
            uri_numbers: HashMap::from([
                (Cow::Borrowed(""), Uri::NONE),
                (Cow::Borrowed(XML_NAMESPACE), Uri::XML),
            ]),
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
        self.bindings
            .iter()
            .map(|&(prefix, uri)| (prefix, self.uri(uri)))
            .collect()
    }

    pub fn uri(&self, uri: Uri) -> &str {
        &self.uris[uri.index()]
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "a reader fails, and its events borrow the reader's state"
    )]
    pub fn next(&mut self) -> Result<Event<'a>, XmlError> {
        if let Some(at) = self.ending.take() {
            self.close();
            return Ok(Event::End { range: at..at });
        }
        let (piece, range) = self.pieces.next()?;
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

    fn text_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let raw = &self.text[range.clone()];
        if self.open.is_empty() && !self.fragment {
            if let Some(at) = raw.bytes().position(|byte| !is_space(byte)) {
                return Err(XmlError::new(range.start + at, "text outside the root element"));
            }
            return self.next();
        }
        let value = resolve_text(raw, range.start)?;
        self.count(range.start, value.len())?;
        Ok(Event::Text {
            value,
            range,
            cdata: false,
        })
    }

    fn cdata_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        if self.open.is_empty() && !self.fragment {
            return Err(XmlError::new(
                range.start,
                "a CDATA section outside the root element",
            ));
        }
        let raw = &self.text[range.start + "<![CDATA[".len()..range.end - "]]>".len()];
        self.count(range.start, raw.len())?;
        Ok(Event::Text {
            value: line_ends(raw),
            range,
            cdata: true,
        })
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
        Ok(Event::Comment {
            value: line_ends(raw),
            range,
        })
    }

    fn instruction_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let start = range.start + "<?".len();
        let raw = &self.text[start..range.end - "?>".len()];
        let end = end_of_name(raw, 0);
        let target = &raw[..end];
        if !is_nc_name(target) {
            return Err(XmlError::new(
                start,
                "a processing instruction begins with a name without a colon",
            ));
        }
        if target.eq_ignore_ascii_case("xml") {
            return Err(XmlError::new(
                range.start,
                "an XML declaration stands at the very beginning, once",
            ));
        }
        let value = raw[end..].trim_start_matches(|character| u8::try_from(character).is_ok_and(is_space));
        if !raw[end..].is_empty() && value.len() == raw.len() - end {
            return Err(XmlError::new(
                start + end,
                "white space is missing after the target of a processing instruction",
            ));
        }
        self.count(range.start, raw.len())?;
        Ok(Event::Instruction {
            target,
            value: line_ends(value),
            range,
        })
    }

    fn end_event(&mut self, range: Range<usize>) -> Result<Event<'a>, XmlError> {
        let raw = &self.text[range.start + "</".len()..range.end - ">".len()];
        let Some(open) = self.open.last() else {
            return Err(XmlError::new(range.start, format!("`</{raw}>` closes nothing")));
        };
        let name = &self.text[open.name.clone()];
        if raw != name && raw.trim_end_matches([' ', '\t', '\n', '\r']) != name {
            return Err(XmlError::new(
                range.start,
                format!("`</{raw}>` where `</{name}>` is expected"),
            ));
        }
        self.close();
        Ok(Event::End { range })
    }

    fn eof_event(&mut self) -> Result<Event<'a>, XmlError> {
        let end = self.text.len();
        if let Some(open) = self.open.last() {
            let name = &self.text[open.name.clone()];
            return Err(XmlError::new(
                open.name.start,
                format!("`<{name}>` is not closed"),
            ));
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
            return Err(XmlError::new(
                range.start,
                format!("elements are nested deeper than {depth}"),
            ));
        }
        self.root_seen = true;
        let text = self.text;
        let tag = &text[..range.end - if empty { "/>".len() } else { ">".len() }];
        let start = range.start + "<".len();
        let end = end_of_name(tag, start);
        let name_range = start..end;
        let (prefix, local) = self.split_name(name_range.clone(), "an element")?;
        self.open.push(Open {
            name: name_range.clone(),
            bindings: self.bindings.len(),
        });
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
        Ok(Event::Start(StartTag {
            prefix,
            local,
            uri,
            name_range,
            range,
            empty,
        }))
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
                return Err(XmlError::new(
                    at,
                    "white space is missing before this, or a name has a character it may not have",
                ));
            }
            let end = end_of_name(tag, next);
            let name_range = next..end;
            let (prefix, local) = self.split_name(name_range.clone(), "an attribute")?;
            at = skip_space(end);
            if bytes.get(at) != Some(&b'=') {
                return Err(XmlError::new(
                    end,
                    format!("`=` is missing after the attribute `{}`", &tag[next..end]),
                ));
            }
            at = skip_space(at + 1);
            let quote = match bytes.get(at) {
                Some(&quote @ (b'"' | b'\'')) => quote,
                _ => return Err(XmlError::new(at, "the value of an attribute stands in quotes")),
            };
            let value_start = at + 1;
            let Some(length) = memchr::memchr(quote, &bytes[value_start..]) else {
                return Err(XmlError::new(
                    at,
                    "the value of an attribute has no closing quote",
                ));
            };
            let raw_range = value_start..value_start + length;
            at = raw_range.end + 1;
            let value = resolve_attribute(&tag[raw_range.clone()], value_start)?;
            count += 1;
            if count > self.limits.attributes {
                let most = self.limits.attributes;
                return Err(XmlError::new(
                    next,
                    format!("an element has more than {most} attributes"),
                ));
            }
            self.count(next, value.len())?;
            if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
                self.declare(if prefix.is_empty() { "" } else { local }, value, next)?;
            } else {
                self.attributes.push(Attribute {
                    prefix,
                    local,
                    uri: Uri::NONE,
                    name_range,
                    value,
                    raw_range,
                });
            }
        }
    }

    fn declare(&mut self, prefix: &'a str, uri: Cow<'a, str>, at: usize) -> Result<(), XmlError> {
        if prefix == "xmlns" {
            return Err(XmlError::new(at, "the prefix `xmlns` may not be declared"));
        }
        if (prefix == "xml") != (uri == XML_NAMESPACE) {
            return Err(XmlError::new(
                at,
                format!("the prefix `xml` and the name `{XML_NAMESPACE}` belong to each other alone"),
            ));
        }
        if uri == XMLNS_NAMESPACE {
            return Err(XmlError::new(
                at,
                format!("the name `{XMLNS_NAMESPACE}` may not be declared"),
            ));
        }
        if uri.is_empty() && !prefix.is_empty() {
            return Err(XmlError::new(
                at,
                format!("the prefix `{prefix}` may not be bound to nothing"),
            ));
        }
        if self.bindings[self.declared_from..]
            .iter()
            .any(|&(known, _)| known == prefix)
        {
            return Err(XmlError::new(
                at,
                "this namespace is declared twice on one element",
            ));
        }
        if self.bindings.len() >= self.limits.namespaces {
            let most = self.limits.namespaces;
            return Err(XmlError::new(
                at,
                format!("more than {most} namespace declarations are in force"),
            ));
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
            let uri = if prefix.is_empty() {
                Uri::NONE
            } else {
                self.resolve(prefix, at)?
            };
            if self.attributes[..index]
                .iter()
                .any(|other| other.uri == uri && other.local == local)
            {
                return Err(XmlError::new(
                    at,
                    format!("the attribute `{local}` stands twice on one element"),
                ));
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
            None => Err(XmlError::new(
                at,
                format!("the prefix `{prefix}` is not declared"),
            )),
        }
    }

    #[inline]
    fn split_name(&self, range: Range<usize>, of: &str) -> Result<(&'a str, &'a str), XmlError> {
        let name = &self.text[range.clone()];
        if name.is_empty() {
            return Err(XmlError::new(
                range.start,
                format!("this is not the name of {of}"),
            ));
        }
        if name.len() > self.limits.name {
            return Err(XmlError::new(
                range.start,
                format!("a name is longer than {} bytes", self.limits.name),
            ));
        }
        // Names are short: a plain loop is through before a search for long texts has begun.
        match name.bytes().position(|byte| byte == b':') {
            None => Ok(("", name)),
            Some(colon) => {
                let (prefix, local) = (&name[..colon], &name[colon + 1..]);
                // The characters are known to be those of names; what may begin one is not.
                let begins = local.chars().next().is_some_and(starts_name);
                if prefix.is_empty() || !begins || local.bytes().any(|byte| byte == b':') {
                    return Err(XmlError::new(
                        range.start,
                        format!("`{name}` is not a name with a prefix"),
                    ));
                }
                if prefix == "xmlns" && of == "an element" {
                    return Err(XmlError::new(
                        range.start,
                        "an element may not have the prefix `xmlns`",
                    ));
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
            return Err(XmlError::new(
                at,
                format!("more than {} nodes", self.limits.nodes),
            ));
        };
        let Some(text) = self.text_left.checked_sub(text) else {
            return Err(XmlError::new(
                at,
                format!("more than {} bytes of text", self.limits.text),
            ));
        };
        (self.nodes_left, self.text_left) = (nodes, text);
        Ok(())
    }

    /// One fast pass over all bytes finds the characters that may stand nowhere, so that no piece need look for them.
    fn check_characters(&self) -> Result<(), XmlError> {
        for (index, chunk) in self.text.as_bytes().chunks(64).enumerate() {
            let suspicious = chunk.iter().fold(false, |found, &byte| {
                found | (byte < 0x20) & !is_space(byte) | (byte == 0xEF)
            });
            if !suspicious {
                continue;
            }
            let mut start = index * 64;
            while !self.text.is_char_boundary(start) {
                start += 1;
            }
            let wrong = self.text[start..]
                .char_indices()
                .take_while(|&(at, _)| at < 64)
                .find(|&(_, character)| !is_character(character));
            if let Some((at, character)) = wrong {
                let code = u32::from(character);
                return Err(XmlError::new(
                    start + at,
                    format!("the character U+{code:04X} may not stand in XML"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads to the end and says what came.
    fn read(text: &str, limits: &XmlLimits) -> Result<String, XmlError> {
        let mut reader = Reader::new(text, limits);
        let mut heard = String::new();
        loop {
            match reader.next()? {
                Event::Start(tag) => {
                    heard += &format!("<{{{}}}{}", reader.uri(tag.uri), tag.local);
                    for attribute in reader.attributes() {
                        heard += &format!(
                            " {{{}}}{}={}",
                            reader.uri(attribute.uri),
                            attribute.local,
                            attribute.value
                        );
                    }
                    heard += ">";
                }
                Event::End { .. } => heard += "</>",
                Event::Text { value, cdata, .. } => {
                    heard += &if cdata {
                        format!("[{value}]")
                    } else {
                        value.into_owned()
                    }
                }
                Event::Comment { value, .. } => heard += &format!("<!{value}>"),
                Event::Instruction { target, value, .. } => heard += &format!("<?{target} {value}>"),
                Event::Eof => return Ok(heard),
            }
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(
            read(text, &XmlLimits::default()).as_deref(),
            Ok(expected),
            "{text}"
        );
    }

    fn check_refused(text: &str, message: &str, offset: usize) {
        match read(text, &XmlLimits::default()) {
            Ok(heard) => panic!("{text} was read as {heard}"),
            Err(error) => {
                assert!(error.message.contains(message), "{text}: {}", error.message);
                assert_eq!(error.offset, offset, "{text}: {}", error.message);
            }
        }
    }

    #[test]
    fn a_document_is_read_piece_by_piece() {
        check(
            "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n<!--c--><a>t</a> <?p q?>\n",
            "<!c><{}a>t</><?p q>",
        );
        check("\u{FEFF}<?xml version='1.0'?><a/>", "<{}a></>");
        check(
            "<a xmlns='urn:d' xmlns:p='urn:p' x='1' p:y='2'><p:b/></a >",
            "<{urn:d}a {}x=1 {urn:p}y=2><{urn:p}b></></>",
        );
        check(
            "<a>1 &lt; 2 &#x26; &#51;<![CDATA[ & <b> ]]></a>",
            "<{}a>1 < 2 & 3[ & <b> ]</>",
        );
        check(
            "<a b=' x\t\r\ny&#10;&quot;>'>\r\n\r</a>",
            "<{}a {}b= x  y\n\">>\n\n</>",
        );
        check(
            "<a xml:lang='de' xmlns:x='urn:x' xmlns:y='urn:y' x:b='1' y:b='2'/>",
            "<{}a {http://www.w3.org/XML/1998/namespace}lang=de {urn:x}b=1 {urn:y}b=2></>",
        );
        check("<été>ж</été>", "<{}été>ж</>");
    }

    #[test]
    fn what_is_not_well_formed_is_refused_at_its_place() {
        check_refused("", "no root", 0);
        check_refused("<a/><b/>", "second root", 4);
        check_refused("<a/>x", "outside the root", 4);
        check_refused("x<a/>", "outside the root", 0);
        check_refused("<a/>&amp;", "outside the root", 4);
        check_refused("<a/><![CDATA[]]>", "outside the root", 4);
        check_refused("<a><b></a></b>", "`</b>` is expected", 6);
        check_refused("<a>", "`<a>` is not closed", 1);
        check_refused("</a>", "closes nothing", 0);
        check_refused("<a>&nbsp;</a>", "`nbsp` is not defined", 3);
        check_refused("<a>a & b</a>", "`&amp;`", 5);
        check_refused("<a>&#0;</a>", "not a character", 3);
        check_refused("<a>&#x1F;</a>", "not a character", 3);
        check_refused("<a>&#xFFFE;</a>", "not a character", 3);
        check_refused("<a>&#+65;</a>", "not a character", 3);
        check_refused("<a>\u{0}</a>", "U+0000", 3);
        check_refused("<a>é\u{FFFE}</a>", "U+FFFE", 5);
        check_refused("<a>]]></a>", "`]]&gt;`", 3);
        check_refused("<a><!-- a -- b --></a>", "`--`", 10);
        check_refused("<a><!-- a ---></a>", "`--", 10);
        check_refused("<a b='<'/>", "`&lt;`", 6);
        check_refused("<a b=c/>", "in quotes", 5);
        check_refused("<a b/>", "`=` is missing", 4);
        check_refused("<a b='1'c='2'/>", "white space is missing", 8);
        check_refused("<a b='1' b='2'/>", "stands twice", 9);
        check_refused("<1/>", "not the name", 1);
        check_refused("<a 1='2'/>", "not the name", 3);
        check_refused("<a><?xml version='1.0'?></a>", "very beginning", 3);
        check_refused(" <?xml version='1.0'?><a/>", "very beginning", 1);
        check_refused("<a/><?XML x?>", "very beginning", 4);
        check_refused("<?xml encoding='UTF-8'?><a/>", "the version is missing", 6);
        check_refused(
            "<?xml version='1.0' standalone='maybe'?><a/>",
            "not a value of standalone",
            31,
        );
        check_refused("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "DOCTYPE", 0);
        check_refused("<!DOCTYPE a", "DOCTYPE", 0);
    }

    #[test]
    fn namespace_rules_are_kept() {
        check_refused("<p:a/>", "`p` is not declared", 1);
        check_refused("<a p:b='1'/>", "`p` is not declared", 3);
        check_refused("<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", "stands twice", 35);
        check_refused("<a xmlns:p=''/>", "bound to nothing", 3);
        check_refused("<a xmlns:xml='urn:x'/>", "belong to each other", 3);
        check_refused(
            "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
            "belong to each other",
            3,
        );
        check_refused(
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            "may not be declared",
            3,
        );
        check_refused("<a xmlns:xmlns='urn:x'/>", "may not be declared", 3);
        check_refused("<xmlns:a/>", "may not have the prefix", 1);
        check_refused("<a:b:c/>", "not a name with a prefix", 1);
        check_refused("<:a/>", "not a name with a prefix", 1);
        check_refused("<a xmlns:p='1' xmlns:p='2'/>", "declared twice", 15);
        check_refused("<a><?p:i x?></a>", "without a colon", 5);
        check("<a xmlns='u'><b xmlns=''/><c/></a>", "<{u}a><{}b></><{u}c></></>");
    }

    #[test]
    fn every_limit_holds_at_its_edge() {
        let limits = XmlLimits {
            depth: 3,
            attributes: 2,
            namespaces: 2,
            nodes: 6,
            text: 5,
            name: 5,
        };
        let holds = |text: &str| assert!(read(text, &limits).is_ok(), "{text}");
        let breaks = |text: &str, message: &str| {
            let error = read(text, &limits).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        };
        holds("<a><a><a/></a></a>");
        breaks("<a><a><a><a/></a></a></a>", "deeper than 3");
        holds("<a b='' c=''/>");
        breaks("<a b='' c='' d=''/>", "more than 2 attributes");
        holds("<a xmlns='u'><b xmlns='v'/></a>");
        breaks("<a xmlns='u'><b xmlns='v'><c xmlns='w'/></b></a>", "in force");
        holds("<a><b/><b/><b/><b/><b/></a>");
        breaks("<a><b/><b/><b/><b/><b/><b/></a>", "more than 6 nodes");
        holds("<a b='12'>345</a>");
        breaks("<a b='12'>3456</a>", "more than 5 bytes");
        breaks("<a><!--123456--></a>", "more than 5 bytes");
        breaks("<abcdef/>", "longer than 5");
    }

    /// RB-05 asks for a refusal in under a second. What takes time is counted: how many parts of a document are read before it is refused, and
    /// how many of its bytes, whatever stands behind them.
    #[test]
    fn a_bomb_is_refused_where_its_limit_is_and_nothing_behind_it_is_read() {
        let limits = XmlLimits::default();
        let refused = |text: String| -> (usize, usize) {
            let mut reader = Reader::new(&text, &limits);
            let mut parts = 0;
            loop {
                match reader.next() {
                    Ok(Event::Eof) => panic!("it was read to its end"),
                    Ok(_) => parts += 1,
                    Err(error) => return (parts, error.offset),
                }
            }
        };
        let many = |make: fn(usize) -> String| (0..20_000).map(make).collect::<String>();
        assert_eq!(refused("<a>".repeat(100_000)), (limits.depth, 3 * limits.depth));
        let nodes = limits.nodes;
        let siblings = refused(format!("<a>{}", "<b/>".repeat(2 * nodes)));
        // Each has an end of its own.
        assert_eq!(siblings, (2 * nodes - 1, 3 + 4 * (nodes - 1)));
        // These are refused in the part in which they stand.
        for (parts, text) in [
            (0, format!("<a{}/>", many(|number| format!(" a{number}=''")))),
            (
                0,
                format!("<a{}/>", many(|number| format!(" xmlns:a{number}='u'"))),
            ),
            (0, format!("<a b='{}'/>", "x".repeat(11 << 20))),
            (0, format!("<{}/>", "x".repeat(100_000))),
            (1, format!("<a><![CDATA[{}]]></a>", "x".repeat(11 << 20))),
            (1, format!("<a><!--{}--></a>", "x".repeat(11 << 20))),
            (1, format!("<a><?x {}?></a>", "x".repeat(11 << 20))),
            (1, format!("<a>{}</a>", "&".repeat(1 << 20))),
        ] {
            let (read, offset) = refused(text);
            assert!(
                read == parts && offset <= 300 * 20,
                "{read} parts, {offset} bytes"
            );
        }
        assert_eq!(
            refused(format!(
                "<!DOCTYPE a [{}]><a/>",
                "<!ENTITY x 'y'>".repeat(100_000)
            ))
            .0,
            0
        );
    }

    #[test]
    fn ranges_show_where_things_stand() {
        let text = "<p:a xmlns:p='u' b = \"x&lt;y\">t&amp;<![CDATA[c]]></p:a>";
        let limits = XmlLimits::default();
        let mut reader = Reader::new(text, &limits);
        let Ok(Event::Start(tag)) = reader.next() else {
            panic!("a start tag comes first")
        };
        assert_eq!((&text[tag.name_range], &text[tag.range]), ("p:a", &text[..30]));
        let attribute = &reader.attributes()[0];
        assert_eq!(
            (
                &text[attribute.name_range.clone()],
                &text[attribute.raw_range.clone()],
                &*attribute.value
            ),
            ("b", "x&lt;y", "x<y")
        );
        assert_eq!(reader.in_scope().get("p"), Some("u"));
        let Ok(Event::Text { range, value, .. }) = reader.next() else {
            panic!("then a text")
        };
        assert_eq!((&text[range], &*value), ("t&amp;", "t&"));
        let Ok(Event::Text {
            range, cdata: true, ..
        }) = reader.next()
        else {
            panic!("then a CDATA section")
        };
        assert_eq!(&text[range], "<![CDATA[c]]>");
        assert!(matches!(reader.next(), Ok(Event::End { range }) if &text[range.clone()] == "</p:a>"));
        assert_eq!(line_and_column("a\né<b", 4), (2, 2));
    }

    #[test]
    fn a_fragment_has_many_tops_and_the_prefixes_of_its_place() {
        let namespaces = Namespaces::new().with("p", "urn:p");
        let limits = XmlLimits::default();
        let mut reader = Reader::fragment("text <p:a/> <b/>", &namespaces, &limits);
        let mut starts = Vec::new();
        loop {
            match reader.next().expect("a fragment") {
                Event::Start(tag) => starts.push(reader.uri(tag.uri).to_string()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(starts, ["urn:p", ""]);
    }
}
