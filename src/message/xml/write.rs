//! From a tree to text, with the namespace declarations that the text needs to mean the same.

use super::names::XML_NAMESPACE;
use super::tree::{Kind, NodeId, XmlTree};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Begin with `<?xml version="1.0" encoding="UTF-8"?>`.
    pub declaration: bool,
}

impl XmlTree {
    /// Writes a node and everything in it, as UTF-8.
    pub fn write(&self, node: NodeId, out: &mut Vec<u8>) {
        self.write_with(node, WriteOptions::default(), out);
    }

    pub fn write_with(&self, node: NodeId, options: WriteOptions, out: &mut Vec<u8>) {
        if options.declaration {
            out.extend_from_slice(br#"<?xml version="1.0" encoding="UTF-8"?>"#);
        }
        Writer {
            tree: self,
            out,
            scope: Vec::new(),
            open: Vec::new(),
        }
        .write(node);
    }

    pub fn to_text(&self, node: NodeId) -> String {
        let mut out = Vec::new();
        self.write(node, &mut out);
        String::from_utf8(out).expect("only text and ASCII marks were written")
    }
}

struct Writer<'a, 'o> {
    tree: &'a XmlTree,
    out: &'o mut Vec<u8>,
    /// What was declared so far in the text.
    scope: Vec<(String, &'a str)>,
    /// The elements that are open, their names as they were written and how much was in scope around them.
    open: Vec<(NodeId, usize)>,
}

impl<'a> Writer<'a, '_> {
    fn write(&mut self, top: NodeId) {
        let tree = self.tree;
        let mut node = top;
        loop {
            let inside = self.begin(node);
            if inside && let Some(child) = tree.first_child(node) {
                node = child;
                continue;
            }
            loop {
                if self.open.last().is_some_and(|&(open, _)| open == node) {
                    self.end(node);
                }
                if node == top {
                    return;
                }
                if let Some(next) = tree.next_sibling(node) {
                    node = next;
                    break;
                }
                match tree.parent(node) {
                    Some(parent) => node = parent,
                    None => return,
                }
            }
        }
    }

    /// Writes a node up to its content; says whether content follows.
    fn begin(&mut self, node: NodeId) -> bool {
        let tree = self.tree;
        match tree.kind(node) {
            Kind::Document => return true,
            Kind::Element => return self.begin_element(node),
            Kind::Text => escape_text(tree.value(node), self.out),
            Kind::Comment => {
                self.out.extend_from_slice(b"<!--");
                // What a program put into a comment must not end it.
                let value = tree.value(node).replace("--", "- -");
                self.out.extend_from_slice(value.as_bytes());
                self.out
                    .extend_from_slice(if value.ends_with('-') { b" -->" } else { b"-->" });
            }
            Kind::Instruction => {
                self.out.extend_from_slice(b"<?");
                self.out.extend_from_slice(tree.local_name(node).as_bytes());
                if !tree.value(node).is_empty() {
                    self.out.push(b' ');
                    self.out
                        .extend_from_slice(tree.value(node).replace("?>", "? >").as_bytes());
                }
                self.out.extend_from_slice(b"?>");
            }
            Kind::Attribute | Kind::Declaration => escape_text(tree.value(node), self.out),
        }
        false
    }

    fn begin_element(&mut self, element: NodeId) -> bool {
        let tree = self.tree;
        let before = self.scope.len();
        self.out.push(b'<');
        self.write_name(tree.prefix(element), tree.local_name(element));
        self.need(element, before, tree.prefix(element), tree.namespace(element));
        for node in tree.beside(element) {
            if tree.kind(node) == Kind::Declaration {
                self.declare_again(element, before, node);
            }
        }
        for attribute in tree.attributes(element) {
            self.write_attribute(element, before, attribute);
        }
        if tree.first_child(element).is_none() {
            self.out.extend_from_slice(b"/>");
            self.scope.truncate(before);
            return false;
        }
        self.out.push(b'>');
        self.open.push((element, before));
        true
    }

    /// Writes a declaration of the tree, unless the names of this element need the prefix for something else.
    fn declare_again(&mut self, element: NodeId, before: usize, declaration: NodeId) {
        let tree = self.tree;
        let (prefix, uri) = (tree.local_name(declaration), tree.value(declaration));
        let taken = self.scope[before..].iter().any(|(known, _)| known == prefix);
        let says_nothing = tree.is_brought(declaration) && self.current(prefix) == Some(uri);
        // An element without a namespace must not get one by a default declaration of its own.
        let harms = prefix.is_empty() && !uri.is_empty() && tree.namespace(element).is_empty();
        let illegal = uri.is_empty() && !prefix.is_empty();
        let pointless = uri.is_empty() && self.current(prefix).is_none();
        if !taken && !says_nothing && !harms && !illegal && !pointless {
            self.declare(prefix.to_string(), uri);
        }
    }

    fn write_attribute(&mut self, element: NodeId, before: usize, attribute: NodeId) {
        let tree = self.tree;
        let (prefix, uri) = (tree.prefix(attribute), tree.namespace(attribute));
        let written = if uri.is_empty() {
            String::new()
        } else {
            self.attribute_prefix(before, prefix, uri)
        };
        if let Some(prefix) = tree.type_prefix(attribute)
            && self.current(prefix).is_none()
            && let Some(uri) = tree.namespace_for_prefix(element, prefix)
            && !prefix.is_empty()
        {
            self.declare(prefix.to_string(), uri);
        }
        self.out.push(b' ');
        self.write_name(&written, tree.local_name(attribute));
        self.out.extend_from_slice(b"=\"");
        escape_attribute(tree.value(attribute), self.out);
        self.out.push(b'"');
    }

    /// A prefix that stands for a namespace here; declares one when there is none.
    fn attribute_prefix(&mut self, before: usize, prefix: &str, uri: &'a str) -> String {
        if uri == XML_NAMESPACE {
            return "xml".to_string();
        }
        if !prefix.is_empty() && self.current(prefix) == Some(uri) {
            return prefix.to_string();
        }
        let is_free = |scope: &[(String, &str)], prefix: &str| {
            !scope[before..].iter().any(|(known, _)| known == prefix)
        };
        if !prefix.is_empty() && prefix != "xml" && is_free(&self.scope, prefix) {
            self.declare(prefix.to_string(), uri);
            return prefix.to_string();
        }
        let known = self
            .scope
            .iter()
            .rev()
            .find(|(known, name)| !known.is_empty() && *name == uri && self.current(known) == Some(uri));
        if let Some((known, _)) = known {
            return known.clone();
        }
        let mut number = 1;
        loop {
            let made = format!("ns{number}");
            if self.current(&made).is_none() {
                self.declare(made.clone(), uri);
                return made;
            }
            number += 1;
        }
    }

    /// Declares what the name of an element needs and the text does not say yet.
    fn need(&mut self, element: NodeId, before: usize, prefix: &str, uri: &'a str) {
        if prefix == "xml" || self.current(prefix).unwrap_or_default() == uri {
            return;
        }
        // Keep the place of the author's own declaration when it says the same.
        let tree = self.tree;
        let own = tree
            .declarations(element)
            .any(|declaration| tree.local_name(declaration) == prefix && tree.value(declaration) == uri);
        if !own && self.scope[before..].iter().all(|(known, _)| known != prefix) {
            self.declare(prefix.to_string(), uri);
        }
    }

    fn declare(&mut self, prefix: String, uri: &'a str) {
        self.out
            .extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(b"=\"");
        escape_attribute(uri, self.out);
        self.out.push(b'"');
        self.scope.push((prefix, uri));
    }

    fn current(&self, prefix: &str) -> Option<&'a str> {
        self.scope
            .iter()
            .rev()
            .find(|(known, _)| known == prefix)
            .map(|&(_, uri)| uri)
            .filter(|uri| !uri.is_empty())
    }

    fn end(&mut self, element: NodeId) {
        let tree = self.tree;
        self.out.extend_from_slice(b"</");
        self.write_name(tree.prefix(element), tree.local_name(element));
        self.out.push(b'>');
        if let Some((_, before)) = self.open.pop() {
            self.scope.truncate(before);
        }
    }

    fn write_name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }
}

fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |byte| match byte {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        // A parser would read it as a line feed.
        b'\r' => b"&#13;",
        _ => b"",
    });
}

fn escape_attribute(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |byte| match byte {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'"' => b"&quot;",
        b'\t' => b"&#9;",
        b'\n' => b"&#10;",
        b'\r' => b"&#13;",
        _ => b"",
    });
}

fn escape(text: &str, out: &mut Vec<u8>, replacement: impl Fn(u8) -> &'static [u8]) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        // All characters that are replaced stand below this one.
        if byte > b'>' {
            continue;
        }
        let replacement = replacement(byte);
        if !replacement.is_empty() {
            out.extend_from_slice(&bytes[done..at]);
            out.extend_from_slice(replacement);
            done = at + 1;
        }
    }
    out.extend_from_slice(&bytes[done..]);
}

#[cfg(test)]
mod tests {
    use super::super::{XmlLimits, XmlTree};

    /// What is written means the same as what was read, and here it is even the same text.
    fn check(text: &str) {
        let tree = XmlTree::parse_str(text, &XmlLimits::default()).expect(text);
        assert_eq!(tree.to_text(tree.document()), text);
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        check("<a/>");
        check("<!--x--><?pi some data?><a b=\"1\">t<c/>u</a><!--y-->");
        check(
            "<p:a xmlns:p=\"urn:p\" xmlns=\"urn:d\" p:x=\"1\" x=\"2\"><b/><p:b xmlns:p=\"urn:q\"><c xmlns=\"\"/></p:b></p:a>",
        );
        check("<a>&amp;&lt;&gt;\"&#13;</a>");
        check("<a b=\"&amp;&lt;>&quot;'&#9;&#10;&#13;\" xml:lang=\"de\"/>");
    }

    #[test]
    fn a_subtree_declares_what_it_uses() {
        let tree = XmlTree::parse_str(
            "<p:a xmlns:p='urn:p' xmlns:q='urn:q' xmlns='urn:d'><b q:x='1'/></p:a>",
            &XmlLimits::default(),
        )
        .expect("XML");
        let child = tree.first_child(tree.document_element().expect("a")).expect("b");
        assert_eq!(
            tree.to_text(child),
            "<b xmlns=\"urn:d\" xmlns:q=\"urn:q\" q:x=\"1\"/>"
        );
    }

    #[test]
    fn made_nodes_get_the_declarations_that_they_need() {
        let mut tree = XmlTree::new();
        let root = tree.create_element("", "urn:d", "a");
        tree.append(tree.document(), root);
        let plain = tree.create_element("", "", "b");
        tree.append(root, plain);
        tree.set_attribute(plain, "", "urn:x", "k", "1");
        tree.set_attribute(plain, "p", "urn:y", "k", "2");
        tree.set_attribute(plain, "p", "urn:z", "l", "3");
        let comment = tree.create_comment("a--b-");
        tree.append(plain, comment);
        let text = tree.to_text(root);
        assert_eq!(
            text,
            "<a xmlns=\"urn:d\"><b xmlns=\"\" xmlns:ns1=\"urn:x\" ns1:k=\"1\" xmlns:p=\"urn:y\" p:k=\"2\" \
            xmlns:ns2=\"urn:z\" ns2:l=\"3\"><!--a- -b- --></b></a>"
        );
        assert!(XmlTree::parse_str(&text, &XmlLimits::default()).is_ok());
    }

    #[test]
    fn a_very_deep_tree_is_written_copied_and_dropped() {
        let mut tree = XmlTree::new();
        let mut parent = tree.document();
        for _ in 0..100_000 {
            let child = tree.create_element("", "", "a");
            tree.append(parent, child);
            parent = child;
        }
        let root = tree.document_element().expect("a root element");
        assert_eq!(tree.to_text(root).len(), 100_000 * 7 - 3);
        let mut other = XmlTree::new();
        let copy = other.import(&tree, root);
        assert_eq!(other.string_value(copy), "");
        assert_eq!(tree.clone().descendants(root).count(), 99_999);
    }
}
