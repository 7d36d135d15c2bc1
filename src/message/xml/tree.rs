//! The XML tree: one arena of small nodes, names kept once, all text in one buffer.
//!
//! A parsed tree numbers its nodes in document order, so order costs nothing until the first change; after that it
//! is worked out when it is asked for.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::OnceLock;

use super::names::{Namespaces, XML_NAMESPACE};

mod add;
mod change;
mod copy;
mod table;

use table::NameTable;
pub(super) use table::{Name, NameId, Symbol};

/// A node of one tree. Attributes and namespace declarations are nodes as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The document of every tree.
    pub const DOCUMENT: NodeId = NodeId(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Document,
    Element,
    Text,
    Comment,
    Instruction,
    Attribute,
    /// `xmlns:p="…"`: its local name is the prefix, its value the namespace.
    Declaration,
}

#[derive(Clone)]
pub struct XmlTree {
    nodes: Vec<Node>,
    names: NameTable,
    text: String,
    /// Nodes are numbered in document order: the tree is as it was parsed.
    pristine: bool,
    order: OnceLock<Box<[u32]>>,
}

/// What a name has to be, worked out once for one tree and then compared as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameTest {
    Any,
    /// No node of this tree can have it.
    Never,
    Namespace(Symbol),
    /// The one name that this is in the tree.
    Name(NameId),
    /// A namespace and a local name for which the tree uses several prefixes.
    Exactly(Symbol, Symbol),
}

#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    name: NameId,
    parent: u32,
    previous: u32,
    next: u32,
    content: Content,
}

/// The first child or the start of the value; the last child or the length of the value; the first attribute.
#[derive(Clone, Copy)]
struct Content(u32, u32, u32);

const NONE: u32 = u32::MAX;
const NOTHING: Content = Content(NONE, NONE, NONE);

impl XmlTree {
    pub fn document(&self) -> NodeId {
        NodeId::DOCUMENT
    }

    pub fn document_element(&self) -> Option<NodeId> {
        self.child_elements(self.document()).next()
    }

    /// The node of a number that `NodeId::index` gave.
    pub fn node_at(&self, index: u32) -> NodeId {
        NodeId(index.min(self.nodes.len() as u32 - 1))
    }

    /// How many nodes were ever made, those taken out included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Roughly how many bytes of memory the tree takes.
    pub fn size(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.text.capacity() + self.names.size()
    }

    pub fn kind(&self, node: NodeId) -> Kind {
        self.node(node).kind
    }

    pub fn is_element(&self, node: NodeId) -> bool {
        self.kind(node) == Kind::Element
    }

    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        some(self.node(node).parent)
    }

    pub fn first_child(&self, node: NodeId) -> Option<NodeId> {
        let node = self.node(node);
        if node.kind.has_children() {
            some(node.content.0)
        } else {
            None
        }
    }

    pub fn last_child(&self, node: NodeId) -> Option<NodeId> {
        let node = self.node(node);
        if node.kind.has_children() {
            some(node.content.1)
        } else {
            None
        }
    }

    /// Attributes have no siblings.
    pub fn next_sibling(&self, node: NodeId) -> Option<NodeId> {
        let node = self.node(node);
        if node.kind.is_beside() {
            None
        } else {
            some(node.next)
        }
    }

    pub fn previous_sibling(&self, node: NodeId) -> Option<NodeId> {
        let node = self.node(node);
        if node.kind.is_beside() {
            None
        } else {
            some(node.previous)
        }
    }

    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        std::iter::successors(self.first_child(node), |&child| some(self.node(child).next))
    }

    pub fn child_elements(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.children(node).filter(|&child| self.is_element(child))
    }

    pub fn attributes(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.beside(node)
            .filter(|&attribute| self.kind(attribute) == Kind::Attribute)
    }

    /// The namespace declarations that stand on an element itself.
    pub fn declarations(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.beside(node)
            .filter(|&declaration| self.kind(declaration) == Kind::Declaration)
    }

    /// A node's descendants in document order, without itself and without attributes.
    pub fn descendants(&self, top: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        std::iter::successors(self.first_child(top), move |&node| {
            self.following_within(node, top)
        })
    }

    pub fn ancestors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        std::iter::successors(self.parent(node), |&node| self.parent(node))
    }

    pub fn local_name(&self, node: NodeId) -> &str {
        self.names.symbol(self.name(node).local)
    }

    /// The namespace of an element or attribute; "" when it has none.
    pub fn namespace(&self, node: NodeId) -> &str {
        self.names.symbol(self.name(node).uri)
    }

    pub fn prefix(&self, node: NodeId) -> &str {
        self.names.symbol(self.name(node).prefix)
    }

    pub fn qualified_name(&self, node: NodeId) -> Cow<'_, str> {
        match self.prefix(node) {
            "" => Cow::Borrowed(self.local_name(node)),
            prefix => Cow::Owned(format!("{prefix}:{}", self.local_name(node))),
        }
    }

    pub fn is_named(&self, node: NodeId, namespace: &str, local: &str) -> bool {
        self.local_name(node) == local && self.namespace(node) == namespace
    }

    /// The value of a text, attribute, declaration, comment or instruction; "" for others.
    pub fn value(&self, node: NodeId) -> &str {
        let node = self.node(node);
        if node.kind.has_children() {
            ""
        } else {
            self.span(node.content)
        }
    }

    /// The string value as XPath means it: of an element, all text inside.
    pub fn string_value(&self, node: NodeId) -> Cow<'_, str> {
        if !self.node(node).kind.has_children() {
            return Cow::Borrowed(self.value(node));
        }
        self.joined(self.descendants(node))
    }

    /// The text that stands directly in an element, not in its children.
    pub fn own_text(&self, node: NodeId) -> Cow<'_, str> {
        self.joined(self.children(node))
    }

    pub fn attribute(&self, node: NodeId, namespace: &str, local: &str) -> Option<&str> {
        self.attribute_node(node, namespace, local)
            .map(|attribute| self.value(attribute))
    }

    pub fn attribute_node(&self, node: NodeId, namespace: &str, local: &str) -> Option<NodeId> {
        self.attributes(node)
            .find(|&attribute| self.is_named(attribute, namespace, local))
    }

    /// The first child element of a name.
    pub fn find_child(&self, node: NodeId, namespace: &str, local: &str) -> Option<NodeId> {
        self.child_elements(node)
            .find(|&child| self.is_named(child, namespace, local))
    }

    /// The name that a prefix stands for at a node; the empty prefix is the default namespace.
    pub fn namespace_for_prefix(&self, node: NodeId, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML_NAMESPACE);
        }
        for element in std::iter::once(node).chain(self.ancestors(node)) {
            if let Some(declaration) = self
                .declarations(element)
                .find(|&declaration| self.local_name(declaration) == prefix)
            {
                return Some(self.value(declaration)).filter(|uri| !uri.is_empty());
            }
            // An element that was made here may use a prefix that nobody declared yet; writing will declare it.
            if self.is_element(element)
                && self.prefix(element) == prefix
                && !self.namespace(element).is_empty()
            {
                return Some(self.namespace(element));
            }
        }
        None
    }

    /// A prefix that stands for a namespace at a node; the default namespace only when no other prefix does.
    pub fn prefix_for_namespace(&self, node: NodeId, namespace: &str) -> Option<String> {
        let scope = self.namespaces_in_scope(node);
        let found = |named: bool| {
            scope
                .iter()
                .find(|&(prefix, uri)| uri == namespace && prefix.is_empty() != named)
        };
        found(true)
            .or_else(|| found(false))
            .map(|(prefix, _)| prefix.to_string())
    }

    pub fn namespaces_in_scope(&self, node: NodeId) -> Namespaces {
        let mut path: Vec<NodeId> = std::iter::once(node).chain(self.ancestors(node)).collect();
        path.reverse();
        let mut namespaces = Namespaces::new();
        for element in path.into_iter().filter(|&node| self.is_element(node)) {
            for declaration in self.declarations(element) {
                namespaces.bind(self.local_name(declaration), self.value(declaration));
            }
            let (prefix, uri) = (self.prefix(element), self.namespace(element));
            if !uri.is_empty() && namespaces.get(prefix) != Some(uri) {
                namespaces.bind(prefix, uri);
            }
        }
        namespaces
    }

    pub fn document_order(&self, one: NodeId, other: NodeId) -> Ordering {
        self.position(one).cmp(&self.position(other))
    }

    /// A number that grows in document order: an element, its attributes, its children.
    pub fn position(&self, node: NodeId) -> u32 {
        if self.pristine {
            node.0
        } else {
            self.order.get_or_init(|| self.number_nodes())[node.index()]
        }
    }

    /// Whether node numbers are document order.
    pub fn is_pristine(&self) -> bool {
        self.pristine
    }

    /// What a name has to be in this tree. Without a local name any name of the namespace will do.
    pub fn name_test(&self, namespace: &str, local: Option<&str>) -> NameTest {
        let Some(uri) = self.names.find(namespace) else {
            return NameTest::Never;
        };
        match local.map(|local| self.names.find(local)) {
            None => NameTest::Namespace(uri),
            Some(Some(local)) => self.names.test(uri, local),
            Some(None) => NameTest::Never,
        }
    }

    #[inline]
    pub fn satisfies(&self, node: NodeId, test: NameTest) -> bool {
        match test {
            NameTest::Any => true,
            NameTest::Never => false,
            NameTest::Namespace(uri) => self.name(node).uri == uri,
            NameTest::Name(name) => self.node(node).name == name,
            NameTest::Exactly(uri, local) => {
                let name = self.name(node);
                name.local == local && name.uri == uri
            }
        }
    }

    /// Gives the descendants of a kind and name until `found` says no, by a walk along the arena where that is document
    /// order. Returns how many nodes were looked at.
    pub fn scan(
        &self,
        top: NodeId,
        kind: Kind,
        test: NameTest,
        mut found: impl FnMut(NodeId) -> bool,
    ) -> u64 {
        let mut looked_at = 0;
        if test == NameTest::Never {
            return 0;
        }
        if !self.pristine {
            for node in self.descendants(top) {
                looked_at += 1;
                if self.kind(node) == kind && self.satisfies(node, test) && !found(node) {
                    break;
                }
            }
            return looked_at;
        }
        let range = self.arena_range(top);
        for (offset, node) in self.nodes[range.clone()].iter().enumerate() {
            let id = NodeId((range.start + offset) as u32);
            let named = match test {
                NameTest::Name(name) => node.name == name,
                _ => self.satisfies(id, test),
            };
            if named && node.kind == kind && !found(id) {
                return offset as u64 + 1;
            }
        }
        range.len() as u64
    }

    /// How many nodes stand below a node, attributes perhaps included.
    pub fn weight(&self, top: NodeId) -> usize {
        if self.pristine {
            self.arena_range(top).len()
        } else {
            self.descendants(top).count()
        }
    }

    /// The next node in document order that is inside `top`, attributes left out.
    pub fn following_within(&self, node: NodeId, top: NodeId) -> Option<NodeId> {
        if let Some(child) = self.first_child(node) {
            return Some(child);
        }
        let mut node = node;
        loop {
            if node == top {
                return None;
            }
            if let Some(next) = self.next_sibling(node) {
                return Some(next);
            }
            node = self.parent(node)?;
        }
    }

    /// In a pristine tree the nodes below a node, attributes included.
    fn arena_range(&self, top: NodeId) -> std::ops::Range<usize> {
        let start = top.index() + 1;
        if !self.node(top).kind.has_children() {
            return start..start;
        }
        let mut node = top;
        loop {
            if let Some(next) = self.next_sibling(node) {
                return start..next.index();
            }
            match self.parent(node) {
                Some(parent) => node = parent,
                None => return start..self.nodes.len(),
            }
        }
    }

    fn number_nodes(&self) -> Box<[u32]> {
        let mut order = vec![0; self.nodes.len()].into_boxed_slice();
        let mut number = 0;
        let mut give = |node: NodeId| {
            order[node.index()] = number;
            number += 1;
        };
        let tops = (0..self.nodes.len() as u32)
            .map(NodeId)
            .filter(|&node| self.parent(node).is_none());
        for top in tops {
            let mut next = Some(top);
            while let Some(node) = next {
                give(node);
                self.beside(node).for_each(&mut give);
                next = self.following_within(node, top);
            }
        }
        order
    }

    fn joined<'a>(&'a self, nodes: impl Iterator<Item = NodeId>) -> Cow<'a, str> {
        let mut texts = nodes
            .filter(|&node| self.kind(node) == Kind::Text)
            .map(|text| self.value(text));
        let Some(first) = texts.next() else {
            return Cow::Borrowed("");
        };
        let Some(second) = texts.next() else {
            return Cow::Borrowed(first);
        };
        let mut joined = String::with_capacity((first.len() + second.len()) * 2);
        joined.push_str(first);
        joined.push_str(second);
        texts.for_each(|text| joined.push_str(text));
        Cow::Owned(joined)
    }

    /// Attributes and declarations, as they were written.
    pub(super) fn beside(&self, node: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
        let node = self.node(node);
        let first = if node.kind == Kind::Element {
            some(node.content.2)
        } else {
            None
        };
        std::iter::successors(first, |&node| some(self.node(node).next))
    }

    #[inline]
    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    pub(super) fn name(&self, node: NodeId) -> Name {
        self.names.name(self.node(node).name)
    }

    pub(super) fn symbol(&self, symbol: Symbol) -> &str {
        self.names.symbol(symbol)
    }

    fn span(&self, content: Content) -> &str {
        &self.text[content.0 as usize..(content.0 + content.1) as usize]
    }
}

impl Kind {
    fn has_children(self) -> bool {
        matches!(self, Kind::Document | Kind::Element)
    }

    /// Whether a node stands beside the children of its parent, not among them.
    fn is_beside(self) -> bool {
        matches!(self, Kind::Attribute | Kind::Declaration)
    }
}

impl std::fmt::Debug for XmlTree {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.to_text(self.document()))
    }
}

#[inline]
fn some(node: u32) -> Option<NodeId> {
    if node == NONE { None } else { Some(NodeId(node)) }
}

#[cfg(test)]
mod tests;
