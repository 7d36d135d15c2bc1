//! E4X (ECMA-357), XML in the syntax of JavaScript: scripts that use it are rewritten when they are loaded, and run with `e4x/values.js`.
//!
//! Only what JavaScript cannot parse is rewritten, in place and line by line: literals become templates, `x..@id` becomes `x["..@id"]`. What an
//! XML value does with such a key, or with a plain `x.name`, is the runtime's affair.

mod literal;
pub mod operators;
mod rewriter;
pub mod runtime;
#[cfg(test)]
mod tests;

pub use self::rewriter::rewrite;
use crate::text::Placed;
use std::ops::Range;

/// Something that can be written.
pub struct Form {
    pub written: &'static str,
    pub about: &'static str,
    /// A script whose last line is true.
    pub example: &'static str,
}

const fn form(written: &'static str, about: &'static str, example: &'static str) -> Form {
    Form {
        written,
        about,
        example,
    }
}

#[rustfmt::skip]
pub const FORMS: &[Form] = &[
    form("<a b={c}>{d}</a>", "XML as a value. What braces give is escaped, unless it is XML itself; in quotes braces are just braces. White space between tags, comments and instructions are left out. `<>…</>` is a list.",
        "var name = 'Nuts & bolts';\n<item no={7}>{name}</item>.toXMLString() == '<item no=\"7\">Nuts &amp; bolts</item>'"),
    form("x.child, x[\"child\"]", "The children of that name and of no namespace, as a list; `x.child[0]` is the first. A list that has one element, or only text, is that text in comparisons and sums. `x.*` is all children.",
        "var x = <a><b>1</b><b>2</b></a>;\nx.b.length() == 2 && x.b[1] == 2 && x.none == ''"),
    form("x.@name, x.@[\"name\"], x.@*", "Attributes.", "var x = <a b=\"1\"/>;\nx.@b == 1 && x.@*.length() == 1"),
    form("x..name, x..@name, x..*", "At any depth.", "var x = <a><b><c>1</c></b></a>;\nx..c == 1"),
    form("x.*::name, x.ns::name, x..ns::name, x.@ns::name", "Of any namespace, or of that one: `var ns = new Namespace(\"uri\")`.",
        "var x = <m:a xmlns:m=\"urn:m\"><m:b>1</m:b></m:a>, ns = new Namespace('urn:m');\nx.*::b == 1 && x..ns::b == 1 && x.b.length() == 0"),
    form("x.item.(condition)", "Those for which it holds. Names in it are first those of children, which each has to have; `@name` is an attribute.",
        "var x = <a><item no=\"1\"><size>2</size></item><item no=\"2\"><size>9</size></item></a>, wanted = 2;\nx.item.(@no == wanted).size == 9 && x.item.(size > 5).@no == 2"),
    form("x.child = value, x.@name = value, delete x.child", "Changes what there is, or adds it. Text is escaped, XML is copied. `+=` adds to a list.",
        "var x = <a><b/></a>, list = <></>;\nx.c = 'new'; x.@d = 1; delete x.b; list += <e/>; list += x;\nlist.toXMLString() == '<e/><a d=\"1\"><c>new</c></a>'"),
    form("for each (var y in x.item)", "Goes through values, where `for (… in …)` goes through names.",
        "var sum = 0;\nfor each (var n in <a><b>1</b><b>2</b></a>.b) { sum += Number(n); }\nsum == 3"),
    form("default xml namespace = \"uri\"", "For what is written without a prefix from there on, in literals and behind dots.",
        "default xml namespace = 'urn:d';\nvar x = <a><b>1</b></a>;\nx.b == 1 && x.namespace().uri == 'urn:d'"),
    form("new XML(text), new XMLList(text), new Namespace([prefix, ]uri), new QName([namespace, ]name)", "XML from a text, that is read here and now; lists of several; names.",
        "new XML('<a><b>1</b></a>').b == 1 && new XMLList('<a/><b/>').length() == 2"),
    form("XML.ignoreWhitespace, XML.ignoreComments, XML.ignoreProcessingInstructions, XML.prettyPrinting, XML.prettyIndent", "How XML is read and written, for this run. Pretty printing is off unless it is set.",
        "XML.prettyPrinting = true;\n<a><b/></a>.toXMLString() == '<a>\\n  <b/>\\n</a>'"),
    form("x.toString(), x.toXMLString()", "The text of what has only text, else the markup; always the markup.",
        "var x = <a><b>1</b></a>;\nx.b.toString() == '1' && x.b.toXMLString() == '<b>1</b>'"),
    form("x.text(), x.children(), x.child(n), x.elements(n), x.attribute(n), x.attributes(), x.descendants(n), x.comments(), x.processingInstructions(n), x.parent()", "What is in it and around it, as lists. A method is told from a child of its name by the parentheses.",
        "var x = <a><text>1</text>2</a>;\nx.text == 1 && x.text() == 2"),
    form("x.length(), x.name(), x.localName(), x.namespace([prefix]), x.nodeKind(), x.childIndex(), x.contains(y), x.hasOwnProperty(n), x.hasSimpleContent(), x.hasComplexContent(), x.inScopeNamespaces(), x.namespaceDeclarations()", "What it is like.",
        "<a/>.localName() == 'a' && <a b=\"\"/>.hasOwnProperty('@b')"),
    form("x.appendChild(y), x.prependChild(y), x.insertChildBefore(c, y), x.insertChildAfter(c, y), x.replace(n, y), x.setChildren(y), x.setName(n), x.setLocalName(n), x.setNamespace(ns), x.addNamespace(ns), x.removeNamespace(ns), x.normalize(), x.copy()", "Change it, or copy it.",
        "<a/>.appendChild(<b/>).appendChild('c').toXMLString() == '<a><b/>c</a>'"),
    form("x.getText(), x.setText(text), x.getLocalName(), x.getFirstElement(), x.getChildElements(), x.getAttributeValue(n), x.detach(); x.getElementsByTagName(n), x.getTextContent(), x.getAttribute(n), x.getNodeName(), x.getDocumentElement()", "As Java's elements (Axiom's, DOM's) are asked under `nashornJs` and `graalJs`. `toString()` stays the text of what has only text, where Java writes markup.",
        "var x = <a><b id=\"1\">text</b></a>;\nx.getFirstElement().getText() == 'text' && x.getFirstElement().getAttributeValue('id') == '1'"),
    form("x.split(…), x.substring(…), and other methods of strings", "Work on `x.toString()`.", "<a>b,c</a>.split(',').length == 2"),
];

/// A script without E4X, and the way back to the one that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    pub text: String,
    pub changed: bool,
    pieces: Vec<Piece>,
}

/// From `at` on, the text is the source's from `from` on, or something that stands for that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    at: usize,
    from: usize,
    copied: bool,
}

/// What is no E4X, and where in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct E4xError {
    pub at: Range<usize>,
    pub message: String,
}

/// Whether a word says that there is XML in a script, whatever its syntax: `XML`, `getPayloadXML`.
pub fn is_name(word: &str) -> bool {
    let gives_xml = [
        "getPayloadXML",
        "getEnvelopeXML",
        "getXpathResult",
        "parseXml",
        "getParsedOMElement",
    ];
    gives_xml.contains(&word) || runtime::NAMES.split(',').any(|name| name == word)
}

impl Rewritten {
    /// The text with the places of the source, which stands in a file.
    pub fn placed(self, source: &Placed) -> Placed {
        if !self.changed {
            return source.clone();
        }
        let mut placed = Placed::empty(source.span);
        for (index, piece) in self.pieces.iter().enumerate() {
            let end = self.pieces.get(index + 1).map_or(self.text.len(), |next| next.at);
            let text = &self.text[piece.at..end];
            if piece.copied {
                placed.append(&source.slice(piece.from..piece.from + text.len()));
                continue;
            }
            let place = source.span_of(piece.from..piece.from).start as usize;
            // Each character stands for the one place.
            for (at, character) in text.char_indices() {
                placed.push(&text[at..at + character.len_utf8()], place);
            }
        }
        placed.span = source.span;
        placed
    }
}

/// A text that grows out of a source.
struct Output<'s> {
    source: &'s str,
    /// Up to here the source is in `text`.
    copied: usize,
    text: String,
    pieces: Vec<Piece>,
}

impl<'s> Output<'s> {
    fn new(source: &'s str) -> Output<'s> {
        Output {
            source,
            copied: 0,
            text: String::new(),
            pieces: Vec::new(),
        }
    }

    fn replace(&mut self, range: Range<usize>, text: &str) {
        self.copy(range.start);
        if !text.is_empty() {
            self.push(range.start, false);
            self.text.push_str(text);
        }
        self.copied = range.end;
    }

    fn finish(mut self) -> Rewritten {
        if self.copied == 0 && self.pieces.is_empty() {
            return Rewritten {
                text: self.source.to_owned(),
                changed: false,
                pieces: Vec::new(),
            };
        }
        self.copy(self.source.len());
        Rewritten {
            text: self.text,
            changed: true,
            pieces: self.pieces,
        }
    }

    fn copy(&mut self, end: usize) {
        if end > self.copied {
            self.push(self.copied, true);
            self.text.push_str(&self.source[self.copied..end]);
            self.copied = end;
        }
    }

    fn push(&mut self, from: usize, copied: bool) {
        self.pieces.push(Piece {
            at: self.text.len(),
            from,
            copied,
        });
    }
}
