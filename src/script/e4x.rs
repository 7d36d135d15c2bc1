//! E4X (ECMA-357), XML in the syntax of JavaScript: scripts that use it are rewritten when they are loaded, and run with `e4x/runtime.js`.
//!
//! Only what JavaScript cannot parse is rewritten, in place and line by line: literals become templates, `x..@id` becomes `x["..@id"]`. What an
//! XML value does with such a key, or with a plain `x.name`, is the runtime's affair.

mod literal;
pub mod operators;
pub mod runtime;
#[cfg(test)]
mod tests;

use super::js::scan::{BEFORE_VALUE, SIGNS, is_word, regex_end, template_end, text_end};
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

/// Expressions in braces inside each other.
const NESTING: usize = 50;
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

/// Whether a word is one that XML brings along, such as `XML`.
pub fn is_name(word: &str) -> bool {
    runtime::NAMES.split(',').any(|name| name == word)
}

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

/// What stands before the place where the rewriter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A statement may begin.
    Start,
    Operator,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
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

struct Rewriter<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    output: Output<'s>,
    before: Before,
    /// The last two words or signs.
    words: [Range<usize>; 2],
    brackets: Vec<Bracket>,
    /// Filters that are open here.
    filters: usize,
    nesting: usize,
}

impl Rewriter<'_> {
    /// To the end of the source, or to the brace that ends a hole.
    fn code(&mut self) -> Result<(), E4xError> {
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
    fn skip(&self, mut at: usize) -> usize {
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

    fn error(&self, at: Range<usize>, message: impl Into<String>) -> E4xError {
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

    fn note(&mut self, word: Range<usize>, before: Before) {
        let [_, last] = std::mem::replace(&mut self.words, [0..0, word]);
        self.words[0] = last;
        self.before = before;
    }

    fn insert(&mut self, at: usize, text: &str) {
        self.replace(at..at, text);
    }

    fn replace(&mut self, range: Range<usize>, text: &str) {
        self.at = range.end;
        self.output.replace(range, text);
    }
}
