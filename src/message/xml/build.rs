//! From text to a tree.

use super::encoding::decode_bytes;
use super::names::Namespaces;
use super::reader::{Event, Reader, Uri, XmlError, XmlLimits};
use super::tree::{Kind, NameId, NodeId, Symbol, XmlTree};

impl XmlTree {
    /// Reads a document in the encoding that it says.
    pub fn parse(bytes: &[u8], limits: &XmlLimits) -> Result<XmlTree, XmlError> {
        XmlTree::parse_str(&decode_bytes(bytes)?, limits)
    }

    pub fn parse_str(text: &str, limits: &XmlLimits) -> Result<XmlTree, XmlError> {
        build(text, Reader::new(text, limits))
    }

    /// Reads what may stand inside an element: elements and text side by side become children of the document.
    pub fn parse_fragment(
        text: &str,
        namespaces: &Namespaces,
        limits: &XmlLimits,
    ) -> Result<XmlTree, XmlError> {
        build(text, Reader::fragment(text, namespaces, limits))
    }
}

fn build<'a>(text: &'a str, mut reader: Reader<'a>) -> Result<XmlTree, XmlError> {
    // Each `<` begins or ends an element, most elements have one text; a hostile text must not reserve too much.
    let angles = memchr::memchr_iter(b'<', text.as_bytes()).count().min(600_000);
    let mut tree = XmlTree::with_room(angles * 5 / 4 + 8, text.len() / 2);
    let mut parent = tree.document();
    let mut recent = RecentNames::default();
    // The tree's symbols for the namespaces that the reader numbers.
    let mut uris: Vec<Option<Symbol>> = vec![Some(Symbol::EMPTY)];
    let mut symbol = |tree: &mut XmlTree, reader: &Reader<'_>, uri: Uri| {
        if uris.len() <= uri.index() {
            uris.resize(uri.index() + 1, None);
        }
        *uris[uri.index()].get_or_insert_with(|| tree.intern_uri(reader.uri(uri)))
    };
    loop {
        match reader.next()? {
            Event::Start(tag) => {
                let written = &text[tag.name_range.clone()];
                let name = match recent.get(written, tag.uri) {
                    Some(name) => name,
                    None => {
                        let uri = symbol(&mut tree, &reader, tag.uri);
                        recent.put(written, tag.uri, tree.intern_name(tag.prefix, tag.local, uri))
                    }
                };
                let element = tree.add_element(parent, name);
                let mut last: Option<NodeId> = None;
                for &(prefix, uri) in reader.declarations() {
                    let name = ("", prefix, Symbol::EMPTY);
                    last = Some(tree.add_beside(element, last, Kind::Declaration, name, reader.uri(uri)));
                }
                for attribute in reader.attributes() {
                    let uri = symbol(&mut tree, &reader, attribute.uri);
                    let name = (attribute.prefix, attribute.local, uri);
                    last = Some(tree.add_beside(element, last, Kind::Attribute, name, &attribute.value));
                }
                parent = element;
            }
            Event::End { .. } => parent = tree.parent(parent).expect("the reader closes only what is open"),
            Event::Text { value, .. } => tree.add_text(parent, &value),
            Event::Comment { value, .. } => tree.add_other(parent, Kind::Comment, "", &value),
            Event::Instruction { target, value, .. } => {
                tree.add_other(parent, Kind::Instruction, target, &value)
            }
            Event::Eof => break,
        }
    }
    tree.trim();
    Ok(tree)
}

/// The names of elements that came lately: most elements have the name of one before them. Names that want the same place
/// only drive each other out.
#[derive(Default)]
struct RecentNames<'a>([Option<(&'a str, Uri, NameId)>; 32]);

impl<'a> RecentNames<'a> {
    #[inline]
    fn place(written: &str) -> usize {
        let bytes = written.as_bytes();
        let (first, last) = (bytes.first().copied(), bytes.last().copied());
        let middle = bytes.get(bytes.len() / 2).copied();
        let sum = bytes.len() * 7
            + usize::from(first.unwrap_or(0)) * 3
            + usize::from(middle.unwrap_or(0)) * 5
            + usize::from(last.unwrap_or(0));
        sum % 32
    }

    #[inline]
    fn get(&self, written: &str, uri: Uri) -> Option<NameId> {
        match self.0[RecentNames::place(written)] {
            Some((known, of, name)) if of == uri && known == written => Some(name),
            _ => None,
        }
    }

    fn put(&mut self, written: &'a str, uri: Uri, name: NameId) -> NameId {
        self.0[RecentNames::place(written)] = Some((written, uri, name));
        name
    }
}
