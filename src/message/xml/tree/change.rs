//! Changing a tree: nodes are made, put somewhere, taken out, renamed.

use std::sync::OnceLock;

use super::table::{NameId, NameTable};
use super::{Content, Kind, NONE, NOTHING, Node, NodeId, XmlTree};

impl Default for XmlTree {
    fn default() -> XmlTree {
        XmlTree::new()
    }
}

impl XmlTree {
    /// A document without anything in it.
    pub fn new() -> XmlTree {
        XmlTree::with_room(4, 0)
    }

    pub(in crate::message::xml) fn with_room(nodes: usize, text: usize) -> XmlTree {
        let mut tree = XmlTree {
            nodes: Vec::with_capacity(nodes),
            names: NameTable::new(),
            text: String::with_capacity(text),
            pristine: true,
            order: OnceLock::new(),
        };
        tree.make(Kind::Document, NameId::NONE, NOTHING);
        tree
    }

    pub fn create_element(&mut self, prefix: &str, namespace: &str, local: &str) -> NodeId {
        let name = self.intern(prefix, namespace, local);
        self.make_loose(Kind::Element, name, NOTHING)
    }

    pub fn create_text(&mut self, text: &str) -> NodeId {
        let content = self.keep(text);
        self.make_loose(Kind::Text, NameId::NONE, content)
    }

    pub fn create_comment(&mut self, text: &str) -> NodeId {
        let content = self.keep(text);
        self.make_loose(Kind::Comment, NameId::NONE, content)
    }

    pub fn create_instruction(&mut self, target: &str, value: &str) -> NodeId {
        let name = self.intern("", "", target);
        let content = self.keep(value);
        self.make_loose(Kind::Instruction, name, content)
    }

    /// Declares a prefix on an element; an earlier declaration of the same prefix there is replaced.
    pub fn declare_namespace(&mut self, element: NodeId, prefix: &str, uri: &str) {
        let known = self
            .declarations(element)
            .find(|&declaration| self.local_name(declaration) == prefix);
        match known {
            Some(declaration) => self.set_value(declaration, uri),
            None => {
                let name = self.intern("", "", prefix);
                let content = self.keep(uri);
                let declaration = self.make_loose(Kind::Declaration, name, content);
                self.link_beside(element, declaration);
            }
        }
    }

    /// Gives an element an attribute, or an attribute it has another value.
    pub fn set_attribute(
        &mut self,
        element: NodeId,
        prefix: &str,
        namespace: &str,
        local: &str,
        value: &str,
    ) -> NodeId {
        match self.attribute_node(element, namespace, local) {
            Some(attribute) => {
                self.set_value(attribute, value);
                attribute
            }
            None => {
                let name = self.intern(prefix, namespace, local);
                let content = self.keep(value);
                let attribute = self.make_loose(Kind::Attribute, name, content);
                self.link_beside(element, attribute);
                attribute
            }
        }
    }

    pub fn remove_attribute(&mut self, element: NodeId, namespace: &str, local: &str) {
        if let Some(attribute) = self.attribute_node(element, namespace, local) {
            self.detach(attribute);
        }
    }

    /// Puts a node at the end of a parent; it is taken from where it was. An attribute comes to the parent's attributes.
    /// Nothing happens when the child holds the parent, here and in the other methods that put nodes somewhere.
    pub fn append(&mut self, parent: NodeId, child: NodeId) {
        if self.may_hold(parent, child) {
            self.detach(child);
            if self.node(child).kind.is_beside() {
                self.link_beside(parent, child);
            } else {
                let last = self.node(parent).content.1;
                self.link(parent, child, last, NONE);
            }
        }
    }

    pub fn prepend(&mut self, parent: NodeId, child: NodeId) {
        if self.node(child).kind.is_beside() {
            self.append(parent, child);
        } else if self.may_hold(parent, child) {
            self.detach(child);
            let first = self.node(parent).content.0;
            self.link(parent, child, NONE, first);
        }
    }

    pub fn insert_before(&mut self, sibling: NodeId, new: NodeId) {
        let Some(parent) = self.parent(sibling) else {
            return;
        };
        if sibling != new && self.may_hold(parent, new) && self.are_both_children(sibling, new) {
            self.detach(new);
            let previous = self.node(sibling).previous;
            self.link(parent, new, previous, sibling.0);
        }
    }

    pub fn insert_after(&mut self, sibling: NodeId, new: NodeId) {
        let Some(parent) = self.parent(sibling) else {
            return;
        };
        if sibling != new && self.may_hold(parent, new) && self.are_both_children(sibling, new) {
            self.detach(new);
            let next = self.node(sibling).next;
            self.link(parent, new, sibling.0, next);
        }
    }

    /// Takes a node out of its place, with everything in it. It can be put elsewhere.
    pub fn detach(&mut self, node: NodeId) {
        let Node {
            kind,
            parent,
            previous,
            next,
            ..
        } = *self.node(node);
        if parent == NONE {
            return;
        }
        self.changed();
        if kind.is_beside() {
            if previous == NONE {
                self.nodes[parent as usize].content.2 = next;
            }
        } else {
            if previous == NONE {
                self.nodes[parent as usize].content.0 = next;
            }
            if next == NONE {
                self.nodes[parent as usize].content.1 = previous;
            }
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        let node = &mut self.nodes[node.index()];
        (node.parent, node.previous, node.next) = (NONE, NONE, NONE);
    }

    /// Puts a node where another was, and takes that one out.
    pub fn replace(&mut self, old: NodeId, new: NodeId) {
        if old == new {
            return;
        }
        if self.are_both_children(old, new) {
            self.insert_before(old, new);
        } else if let Some(parent) = self.parent(old) {
            self.append(parent, new);
        }
        self.detach(old);
    }

    /// Gives an element, attribute or instruction another name.
    pub fn rename(&mut self, node: NodeId, prefix: &str, namespace: &str, local: &str) {
        let name = self.intern(prefix, namespace, local);
        self.nodes[node.index()].name = name;
    }

    /// Gives a text, attribute, comment or instruction another value; an element gets the text as its only content.
    pub fn set_value(&mut self, node: NodeId, value: &str) {
        if self.node(node).kind.has_children() {
            self.remove_children(node);
            if !value.is_empty() {
                let text = self.create_text(value);
                self.append(node, text);
            }
            return;
        }
        if self.value(node) != value {
            let Content(start, length, _) = self.keep(value);
            let content = &mut self.nodes[node.index()].content;
            (content.0, content.1) = (start, length);
        }
    }

    pub fn remove_children(&mut self, node: NodeId) {
        while let Some(child) = self.last_child(node) {
            self.detach(child);
        }
    }

    pub(super) fn may_hold(&self, parent: NodeId, child: NodeId) -> bool {
        self.node(parent).kind.has_children()
            && self.kind(child) != Kind::Document
            && parent != child
            && (self.first_child(child).is_none() || self.ancestors(parent).all(|above| above != child))
    }

    pub(super) fn are_both_children(&self, one: NodeId, other: NodeId) -> bool {
        !self.node(one).kind.is_beside() && !self.node(other).kind.is_beside()
    }

    pub(super) fn link(&mut self, parent: NodeId, child: NodeId, previous: u32, next: u32) {
        self.changed();
        // Between detaching and linking, `previous` or `next` can only have been the child's neighbours, not itself.
        let node = &mut self.nodes[child.index()];
        (node.parent, node.previous, node.next) = (parent.0, previous, next);
        match previous {
            NONE => self.nodes[parent.index()].content.0 = child.0,
            previous => self.nodes[previous as usize].next = child.0,
        }
        match next {
            NONE => self.nodes[parent.index()].content.1 = child.0,
            next => self.nodes[next as usize].previous = child.0,
        }
    }

    pub(super) fn link_beside(&mut self, element: NodeId, attribute: NodeId) {
        if self.kind(element) != Kind::Element {
            return;
        }
        self.changed();
        let last = self.beside(element).last();
        let node = &mut self.nodes[attribute.index()];
        (node.parent, node.next) = (element.0, NONE);
        node.previous = last.map_or(NONE, |last| last.0);
        match last {
            Some(last) => self.nodes[last.index()].next = attribute.0,
            None => self.nodes[element.index()].content.2 = attribute.0,
        }
    }

    pub(super) fn make_loose(&mut self, kind: Kind, name: NameId, content: Content) -> NodeId {
        self.changed();
        self.make(kind, name, content)
    }

    pub(super) fn make(&mut self, kind: Kind, name: NameId, content: Content) -> NodeId {
        let number = u32::try_from(self.nodes.len())
            .ok()
            .filter(|&number| number != NONE);
        let node = NodeId(number.expect("a tree has fewer than four thousand million nodes"));
        self.nodes.push(Node {
            kind,
            name,
            parent: NONE,
            previous: NONE,
            next: NONE,
            content,
        });
        node
    }

    pub(super) fn changed(&mut self) {
        self.pristine = false;
        self.order = OnceLock::new();
    }

    pub(super) fn intern(&mut self, prefix: &str, namespace: &str, local: &str) -> NameId {
        let uri = self.names.intern_symbol(namespace);
        // A name without a namespace cannot have a prefix.
        self.names
            .intern(if namespace.is_empty() { "" } else { prefix }, local, uri)
    }

    pub(super) fn keep(&mut self, text: &str) -> Content {
        let start = self.text.len();
        self.text.push_str(text);
        u32::try_from(self.text.len()).expect("a tree has less than 4 GiB of text");
        Content(start as u32, text.len() as u32, 0)
    }
}
