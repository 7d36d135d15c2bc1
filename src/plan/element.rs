//! An XML element of a configuration, with the places of its parts.

use crate::message::xml::{Event, Namespaces, Reader, XmlLimits};
use crate::text::{Diagnostic, FileId, Placed, Span};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The namespace of everything Synapse.
pub const SYNAPSE: &str = "http://ws.apache.org/ns/synapse";

#[derive(Debug, Clone)]
pub struct Element {
    pub name: String,
    pub namespace: String,
    /// The name in the start tag.
    pub span: Span,
    /// From the start of the start tag to the end of the end tag.
    pub whole: Span,
    /// Between the tags.
    pub inner: Span,
    pub attributes: Vec<Attribute>,
    pub content: Vec<Content>,
    /// The prefixes in force at this element: every XPath in it uses them.
    pub namespaces: Arc<Namespaces>,
}

#[derive(Debug, Clone)]
pub struct Attribute {
    /// As written, prefix included.
    pub name: String,
    pub namespace: String,
    pub name_span: Span,
    pub value: Placed,
    /// Set when somebody read it: a table that shows an attribute which `build` never reads would be a lie.
    pub read: Cell<bool>,
}

#[derive(Debug, Clone)]
pub enum Content {
    Element(Element),
    Text { text: Placed, cdata: bool },
}

impl Element {
    /// The attribute of that name, in no namespace.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let attribute = self
            .attributes
            .iter()
            .find(|attribute| attribute.namespace.is_empty() && attribute.name == name)?;
        attribute.read.set(true);
        Some(attribute)
    }

    /// The attribute's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .map(|attribute| attribute.value.text.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    pub fn is_synapse(&self) -> bool {
        self.namespace == SYNAPSE
    }

    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text { .. } => None,
        })
    }

    /// A hash of what is written here, wherever it stands and however it is indented.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.hash_into(&mut hasher);
        hasher.finish()
    }

    fn hash_into(&self, hasher: &mut std::hash::DefaultHasher) {
        (&self.name, &self.namespace).hash(hasher);
        for attribute in &self.attributes {
            (&attribute.name, &attribute.value.text).hash(hasher);
        }
        for content in &self.content {
            match content {
                Content::Element(element) => element.hash_into(hasher),
                Content::Text { text, .. } => text.text.trim().hash(hasher),
            }
        }
        "end".hash(hasher);
    }

    /// Child elements of that name in Synapse's namespace.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements()
            .filter(move |element| element.name == name && element.is_synapse())
    }

    pub fn child(&self, name: &str) -> Option<&Element> {
        self.elements()
            .find(|element| element.name == name && element.is_synapse())
    }

    /// All text directly inside, references resolved, with its places; white space kept.
    pub fn text(&self) -> Placed {
        let mut pieces = self.content.iter().filter_map(|content| match content {
            Content::Text { text, .. } => Some(text),
            Content::Element(_) => None,
        });
        let Some(first) = pieces.next() else {
            return Placed::empty(Span {
                end: self.span.start,
                ..self.span
            });
        };
        let mut all = first.clone();
        for piece in pieces {
            all.append(piece);
        }
        all
    }

    /// The text directly inside, trimmed; `None` when it is blank.
    pub fn trimmed_text(&self) -> Option<Placed> {
        let text = self.text().trimmed();
        (!text.text.is_empty()).then_some(text)
    }
}

/// Reads a configuration file into elements.
pub fn parse(file: FileId, text: &str) -> Result<Element, Box<Diagnostic>> {
    let limits = XmlLimits {
        text: 64 << 20,
        nodes: 5_000_000,
        ..XmlLimits::default()
    };
    let mut reader = Reader::new(text, &limits);
    let mut open: Vec<Element> = Vec::new();
    let mut scope: Vec<Arc<Namespaces>> = Vec::new();
    loop {
        let event = reader
            .next()
            .map_err(|error| not_xml(file, text, &error.message, error.offset))?;
        match event {
            Event::Start(tag) => {
                let namespaces = match scope.last() {
                    Some(outer) if reader.declarations().is_empty() => Arc::clone(outer),
                    _ => Arc::new(reader.in_scope()),
                };
                let attributes = reader
                    .attributes()
                    .iter()
                    .map(|attribute| Attribute {
                        name: text[attribute.name_range.clone()].to_owned(),
                        namespace: reader.uri(attribute.uri).to_owned(),
                        name_span: Span::new(file, attribute.name_range.clone()),
                        value: placed(file, text, attribute.raw_range.clone(), &attribute.value),
                        read: Cell::new(false),
                    })
                    .collect();
                open.push(Element {
                    name: tag.local.to_owned(),
                    namespace: reader.uri(tag.uri).to_owned(),
                    span: Span::new(file, tag.name_range),
                    inner: Span::new(file, tag.range.end..tag.range.end),
                    whole: Span::new(file, tag.range),
                    attributes,
                    content: Vec::new(),
                    namespaces: Arc::clone(&namespaces),
                });
                scope.push(namespaces);
            }
            Event::End { range } => {
                scope.pop();
                let mut element = open.pop().expect("the reader matches ends with starts");
                element.inner.end = element.inner.end.max(range.start as u32);
                element.whole.end = element.whole.end.max(range.end as u32);
                match open.last_mut() {
                    Some(parent) => parent.content.push(Content::Element(element)),
                    None => {
                        finish(&mut reader)
                            .map_err(|(message, offset)| not_xml(file, text, &message, offset))?;
                        return Ok(element);
                    }
                }
            }
            Event::Text { value, range, cdata } => {
                if let Some(parent) = open.last_mut() {
                    let raw = if cdata {
                        range.start + "<![CDATA[".len()..range.end - "]]>".len()
                    } else {
                        range
                    };
                    let placed = if cdata {
                        placed_cdata(file, text, raw, &value)
                    } else {
                        placed(file, text, raw, &value)
                    };
                    parent.content.push(Content::Text { text: placed, cdata });
                }
            }
            Event::Comment { .. } | Event::Instruction { .. } => {}
            Event::Eof => return Err(not_xml(file, text, "the file holds no element", 0)),
        }
    }
}

/// What follows the root element must be nothing.
fn finish(reader: &mut Reader<'_>) -> Result<(), (String, usize)> {
    loop {
        match reader.next() {
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err((error.message, error.offset)),
        }
    }
}

fn not_xml(file: FileId, text: &str, message: &str, offset: usize) -> Box<Diagnostic> {
    let start = offset.min(text.len());
    let end = text[start..]
        .chars()
        .next()
        .map_or(start, |c| start + c.len_utf8());
    Box::new(Diagnostic::error(
        "E0101",
        Span::new(file, start..end),
        format!("this is not well-formed XML: {message}"),
    ))
}

/// Decoded text with the places of its characters. References make raw and decoded text differ in length, and so do line ends.
fn placed(file: FileId, text: &str, raw: std::ops::Range<usize>, decoded: &str) -> Placed {
    let span = Span::new(file, raw.clone());
    let source = &text[raw.clone()];
    if source.len() == decoded.len() {
        return Placed::verbatim(decoded, span);
    }
    let mut placed = Placed::empty(span);
    let mut from = 0;
    let mut at = 0;
    let bytes = source.as_bytes();
    while at < bytes.len() {
        let (length, character) = match bytes[at] {
            b'&' => match source[at..].find(';') {
                Some(end) => (end + 1, reference(&source[at + 1..at + end])),
                None => (1, None),
            },
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => (2, Some('\n')),
            _ => {
                at += 1;
                continue;
            }
        };
        placed.push(&source[from..at], raw.start + from);
        if let Some(character) = character {
            placed.push(character.encode_utf8(&mut [0; 4]), raw.start + at);
        }
        at += length;
        from = at;
    }
    placed.push(&source[from..], raw.start + from);
    // The reader's word is the truth (attribute values are normalised): the places only follow it.
    if placed.text.len() == decoded.len() {
        placed.text.clear();
        placed.text.push_str(decoded);
        placed
    } else {
        Placed::verbatim(decoded, span)
    }
}

/// CDATA knows no references, only line ends.
fn placed_cdata(file: FileId, text: &str, raw: std::ops::Range<usize>, decoded: &str) -> Placed {
    let span = Span::new(file, raw.clone());
    let source = &text[raw.clone()];
    if source.len() == decoded.len() {
        return Placed::verbatim(decoded, span);
    }
    let mut placed = Placed::empty(span);
    let mut from = 0;
    for (at, _) in source.match_indices("\r\n") {
        placed.push(&source[from..at], raw.start + from);
        from = at + 1;
    }
    placed.push(&source[from..], raw.start + from);
    placed
}

fn reference(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let number = match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    fn read(text: &str) -> (Element, Sources) {
        let mut sources = Sources::default();
        let file = sources.add("a.xml", text);
        (parse(file, text).expect("well-formed"), sources)
    }

    #[test]
    fn a_place_behind_an_entity_is_where_its_author_typed_it() {
        let (element, sources) =
            read(r#"<filter xmlns="http://ws.apache.org/ns/synapse" xpath="1 &lt; x()"/>"#);
        let value = &element.attribute("xpath").expect("it is there").value;
        assert_eq!(value.text, "1 < x()");
        let span = value.span_of(4..5);
        assert_eq!(sources.text(span), "x");
    }

    #[test]
    fn text_and_cdata_are_one_text_with_two_places() {
        let (element, sources) = read("<a>one <![CDATA[<two>]]> &#x41;</a>");
        let text = element.text();
        assert_eq!(text.text, "one <two> A");
        assert_eq!(sources.text(text.span_of(5..8)), "two");
        assert_eq!(sources.place(text.span_of(10..11)).column, 26);
    }

    #[test]
    fn a_second_root_is_told_at_its_place() {
        let mut sources = Sources::default();
        let file = sources.add("a.xml", "<a/>\n<b/>");
        let mistake = parse(file, "<a/>\n<b/>").expect_err("two roots");
        assert_eq!(
            sources.place_text(mistake.span.expect("it has a place")),
            "a.xml:2:1"
        );
    }
}
