//! The XML tree: one arena of small nodes, names kept once, all text in one buffer.
//!
//! A parsed tree numbers its nodes in document order, so order costs nothing until the first change; after that it
//! is worked out when it is asked for.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::OnceLock;

use super::names::{Namespaces, XML_NAMESPACE};

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

// ---- reading

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

// ---- changing

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

    pub(super) fn with_room(nodes: usize, text: usize) -> XmlTree {
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

    /// A copy of a node and everything in it, not yet placed. Of a document, its element is copied.
    pub fn copy(&mut self, node: NodeId) -> NodeId {
        let node = if self.kind(node) == Kind::Document {
            self.document_element().unwrap_or(node)
        } else {
            node
        };
        let needed = self.needed_from_above(node);
        let mut source = node;
        let top = self.copy_shallow(node);
        let mut target = top;
        loop {
            if let Some(child) = self.first_child(source) {
                let copy = self.copy_shallow(child);
                self.append(target, copy);
                (source, target) = (child, copy);
                continue;
            }
            loop {
                if source == node {
                    self.bring(top, needed);
                    return top;
                }
                let parent = self.parent(target);
                if let Some(next) = self.next_sibling(source) {
                    let copy = self.copy_shallow(next);
                    if let Some(parent) = parent {
                        self.append(parent, copy);
                    }
                    (source, target) = (next, copy);
                    break;
                }
                match (self.parent(source), parent) {
                    (Some(above), Some(parent)) => (source, target) = (above, parent),
                    _ => return top,
                }
            }
        }
    }

    /// As `copy`, from another tree. Prefixes that are declared above the node and used in it come along.
    pub fn import(&mut self, other: &XmlTree, node: NodeId) -> NodeId {
        let node = if other.kind(node) == Kind::Document {
            other.document_element().unwrap_or(node)
        } else {
            node
        };
        let mut names = vec![None; other.names.len()];
        let top = self.import_shallow(other, node, &mut names);
        let (mut source, mut target) = (node, top);
        'walk: loop {
            if let Some(child) = other.first_child(source) {
                let copy = self.import_shallow(other, child, &mut names);
                self.append(target, copy);
                (source, target) = (child, copy);
                continue;
            }
            while source != node {
                let parent = self.parent(target);
                if let (Some(next), Some(parent)) = (other.next_sibling(source), parent) {
                    let copy = self.import_shallow(other, next, &mut names);
                    self.append(parent, copy);
                    (source, target) = (next, copy);
                    continue 'walk;
                }
                match (other.parent(source), parent) {
                    (Some(above), Some(parent)) => (source, target) = (above, parent),
                    _ => break 'walk,
                }
            }
            break;
        }
        self.bring(top, other.needed_from_above(node));
        top
    }

    /// The prefixes that are declared above an element and used inside it: by names, or by the value of an `xsi:type`.
    fn needed_from_above(&self, top: NodeId) -> Vec<(String, String)> {
        if !self.is_element(top) || self.parent(top).is_none() {
            return Vec::new();
        }
        let scope = self.namespaces_in_scope(top);
        let own = |prefix: &str| {
            self.declarations(top)
                .any(|declaration| self.local_name(declaration) == prefix)
        };
        let above: Vec<(&str, &str)> = scope.iter().filter(|&(prefix, _)| !own(prefix)).collect();
        let mut used = vec![false; above.len()];
        let mut mark = |prefix: &str, uri: Option<&str>| {
            let found = above
                .iter()
                .position(|&(known, name)| known == prefix && uri.is_none_or(|uri| uri == name));
            if let Some(index) = found {
                used[index] = true;
            }
        };
        let mut last_name = NameId::NONE;
        for element in std::iter::once(top)
            .chain(self.descendants(top))
            .filter(|&node| self.is_element(node))
        {
            if self.node(element).name != last_name {
                last_name = self.node(element).name;
                mark(self.prefix(element), Some(self.namespace(element)));
            }
            for attribute in self.attributes(element) {
                if !self.prefix(attribute).is_empty() {
                    mark(self.prefix(attribute), Some(self.namespace(attribute)));
                    if let Some(prefix) = self.type_prefix(attribute) {
                        mark(prefix, None);
                    }
                }
            }
        }
        above
            .iter()
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(&(prefix, uri), _)| (prefix.to_string(), uri.to_string()))
            .collect()
    }

    /// The prefix in the value of an `xsi:type` attribute.
    pub(super) fn type_prefix(&self, attribute: NodeId) -> Option<&str> {
        let is_type = self.local_name(attribute) == "type"
            && self.namespace(attribute) == "http://www.w3.org/2001/XMLSchema-instance";
        if is_type {
            self.value(attribute)
                .trim()
                .split_once(':')
                .map(|(prefix, _)| prefix)
        } else {
            None
        }
    }

    fn bring(&mut self, top: NodeId, needed: Vec<(String, String)>) {
        for (prefix, uri) in needed {
            let name = self.intern("", "", &prefix);
            let Content(start, length, _) = self.keep(&uri);
            let declaration = self.make_loose(Kind::Declaration, name, Content(start, length, 1));
            self.link_beside(top, declaration);
        }
    }

    /// A declaration that came along with a copy is left out when it would say nothing new.
    pub(super) fn is_brought(&self, declaration: NodeId) -> bool {
        self.node(declaration).content.2 == 1
    }

    fn copy_shallow(&mut self, node: NodeId) -> NodeId {
        let Node {
            kind, name, content, ..
        } = *self.node(node);
        if !kind.has_children() {
            // Values are never changed in place, so that two nodes can share one.
            return self.make_loose(kind, name, content);
        }
        let copy = self.make_loose(Kind::Element, name, NOTHING);
        let beside: Vec<NodeId> = self.beside(node).collect();
        for attribute in beside {
            let attribute = self.copy_shallow(attribute);
            self.link_beside(copy, attribute);
        }
        copy
    }

    fn import_shallow(&mut self, other: &XmlTree, node: NodeId, names: &mut [Option<NameId>]) -> NodeId {
        let Node {
            kind, name, content, ..
        } = *other.node(node);
        let name = match names[name.index()] {
            Some(known) => known,
            None => {
                let Name { prefix, local, uri } = other.names.name(name);
                let known = self.intern(other.symbol(prefix), other.symbol(uri), other.symbol(local));
                names[name.index()] = Some(known);
                known
            }
        };
        if !kind.has_children() {
            let Content(start, length, _) = self.keep(other.span(content));
            return self.make_loose(kind, name, Content(start, length, content.2));
        }
        let copy = self.make_loose(Kind::Element, name, NOTHING);
        for attribute in other.beside(node) {
            let attribute = self.import_shallow(other, attribute, names);
            self.link_beside(copy, attribute);
        }
        copy
    }

    fn may_hold(&self, parent: NodeId, child: NodeId) -> bool {
        self.node(parent).kind.has_children()
            && self.kind(child) != Kind::Document
            && parent != child
            && (self.first_child(child).is_none() || self.ancestors(parent).all(|above| above != child))
    }

    fn are_both_children(&self, one: NodeId, other: NodeId) -> bool {
        !self.node(one).kind.is_beside() && !self.node(other).kind.is_beside()
    }

    fn link(&mut self, parent: NodeId, child: NodeId, previous: u32, next: u32) {
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

    fn link_beside(&mut self, element: NodeId, attribute: NodeId) {
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

    fn make_loose(&mut self, kind: Kind, name: NameId, content: Content) -> NodeId {
        self.changed();
        self.make(kind, name, content)
    }

    fn make(&mut self, kind: Kind, name: NameId, content: Content) -> NodeId {
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

    fn changed(&mut self) {
        self.pristine = false;
        self.order = OnceLock::new();
    }

    fn intern(&mut self, prefix: &str, namespace: &str, local: &str) -> NameId {
        let uri = self.names.intern_symbol(namespace);
        // A name without a namespace cannot have a prefix.
        self.names
            .intern(if namespace.is_empty() { "" } else { prefix }, local, uri)
    }

    fn keep(&mut self, text: &str) -> Content {
        let start = self.text.len();
        self.text.push_str(text);
        u32::try_from(self.text.len()).expect("a tree has less than 4 GiB of text");
        Content(start as u32, text.len() as u32, 0)
    }
}

// ---- for the parser, which makes nodes in document order

impl XmlTree {
    pub(super) fn intern_uri(&mut self, uri: &str) -> Symbol {
        self.names.intern_symbol(uri)
    }

    pub(super) fn add_element(&mut self, parent: NodeId, prefix: &str, local: &str, uri: Symbol) -> NodeId {
        let name = self.names.intern(prefix, local, uri);
        let node = self.make(Kind::Element, name, NOTHING);
        self.add(parent, node);
        node
    }

    /// Adds an attribute behind another one of the same element (or as the first), without looking for it again.
    pub(super) fn add_beside(
        &mut self,
        element: NodeId,
        last: Option<NodeId>,
        kind: Kind,
        name: (&str, &str, Symbol),
        value: &str,
    ) -> NodeId {
        let name = self.names.intern(name.0, name.1, name.2);
        let content = self.keep(value);
        let node = self.make(kind, name, content);
        self.nodes[node.index()].parent = element.0;
        match last {
            Some(last) => {
                self.nodes[node.index()].previous = last.0;
                self.nodes[last.index()].next = node.0;
            }
            None => self.nodes[element.index()].content.2 = node.0,
        }
        node
    }

    pub(super) fn add_text(&mut self, parent: NodeId, value: &str) {
        if value.is_empty() {
            return;
        }
        // Text and CDATA sections side by side are one text.
        if let Some(last) = self
            .last_child(parent)
            .filter(|&last| self.kind(last) == Kind::Text)
        {
            let Content(start, length, _) = self.node(last).content;
            if (start + length) as usize == self.text.len() {
                self.keep(value);
                self.nodes[last.index()].content.1 += value.len() as u32;
                return;
            }
        }
        let content = self.keep(value);
        let node = self.make(Kind::Text, NameId::NONE, content);
        self.add(parent, node);
    }

    pub(super) fn add_other(&mut self, parent: NodeId, kind: Kind, target: &str, value: &str) {
        let name = if target.is_empty() {
            NameId::NONE
        } else {
            self.names.intern("", target, Symbol::EMPTY)
        };
        let content = self.keep(value);
        let node = self.make(kind, name, content);
        self.add(parent, node);
    }

    #[inline]
    fn add(&mut self, parent: NodeId, child: NodeId) {
        let last = self.nodes[parent.index()].content.1;
        let node = &mut self.nodes[child.index()];
        (node.parent, node.previous) = (parent.0, last);
        self.nodes[parent.index()].content.1 = child.0;
        match last {
            NONE => self.nodes[parent.index()].content.0 = child.0,
            last => self.nodes[last as usize].next = child.0,
        }
    }

    pub(super) fn trim(&mut self) {
        if self.nodes.capacity() > self.nodes.len() + self.nodes.len() / 4 {
            self.nodes.shrink_to_fit();
        }
        if self.text.capacity() > self.text.len() + self.text.len() / 4 {
            self.text.shrink_to_fit();
        }
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
mod tests {
    use super::super::XmlLimits;
    use super::*;

    fn parse(text: &str) -> XmlTree {
        XmlTree::parse_str(text, &XmlLimits::default()).expect(text)
    }

    /// Parses, lets a change happen, and compares what is written then.
    fn check(text: &str, change: impl Fn(&mut XmlTree, NodeId), expected: &str) {
        let mut tree = parse(text);
        let root = tree.document_element().expect("a root element");
        change(&mut tree, root);
        assert_eq!(tree.to_text(tree.document()), expected);
    }

    #[test]
    fn nodes_know_their_relatives_and_names() {
        let tree = parse("<a xmlns='urn:d' xmlns:p='urn:p' p:x='1' y='2'>t<p:b/><!--c--><?i v?></a>");
        let root = tree.document_element().expect("a root element");
        assert_eq!(
            (tree.local_name(root), tree.namespace(root), tree.prefix(root)),
            ("a", "urn:d", "")
        );
        let kinds: Vec<Kind> = tree.children(root).map(|child| tree.kind(child)).collect();
        assert_eq!(
            kinds,
            [Kind::Text, Kind::Element, Kind::Comment, Kind::Instruction]
        );
        assert_eq!(tree.attribute(root, "urn:p", "x"), Some("1"));
        assert_eq!(tree.attribute(root, "", "y"), Some("2"));
        assert_eq!(tree.attribute(root, "", "x"), None);
        assert_eq!(tree.declarations(root).count(), 2);
        let child = tree.find_child(root, "urn:p", "b").expect("a child");
        assert_eq!(tree.qualified_name(child), "p:b");
        assert_eq!(tree.parent(child), Some(root));
        assert_eq!(tree.string_value(root), "t");
        assert_eq!(tree.namespace_for_prefix(child, ""), Some("urn:d"));
        assert_eq!(tree.prefix_for_namespace(child, "urn:p").as_deref(), Some("p"));
        assert_eq!(
            tree.next_sibling(tree.attributes(root).next().expect("an attribute")),
            None
        );
    }

    #[test]
    fn text_and_cdata_side_by_side_are_one_text() {
        let tree = parse("<a>x&amp;<![CDATA[<y>]]>z</a>");
        let root = tree.document_element().expect("a root element");
        assert_eq!(tree.children(root).count(), 1);
        assert_eq!(tree.string_value(root), "x&<y>z");
    }

    #[test]
    fn nodes_can_be_put_anywhere() {
        check(
            "<a><b/><c/></a>",
            |tree, root| {
                let (b, c) = (
                    tree.first_child(root).expect("b"),
                    tree.last_child(root).expect("c"),
                );
                tree.insert_before(b, c);
                let text = tree.create_text("<t>");
                tree.insert_after(c, text);
                tree.set_attribute(b, "", "", "k", "a\"b\n");
            },
            "<a><c/>&lt;t&gt;<b k=\"a&quot;b&#10;\"/></a>",
        );
        check(
            "<a><b/><c/></a>",
            |tree, root| {
                let b = tree.first_child(root).expect("b");
                tree.append(root, b);
                let d = tree.create_element("", "", "d");
                tree.prepend(root, d);
                let e = tree.create_element("", "", "e");
                tree.replace(d, e);
            },
            "<a><e/><c/><b/></a>",
        );
        check(
            "<a><b><c/></b></a>",
            |tree, root| {
                let b = tree.first_child(root).expect("b");
                let c = tree.first_child(b).expect("c");
                tree.append(c, b);
                tree.append(root, root);
            },
            "<a><b><c/></b></a>",
        );
        check(
            "<a x='1' y='2'>t</a>",
            |tree, root| {
                tree.remove_attribute(root, "", "x");
                tree.set_value(root, "new");
                tree.rename(root, "p", "urn:p", "z");
            },
            "<p:z xmlns:p=\"urn:p\" y=\"2\">new</p:z>",
        );
    }

    #[test]
    fn document_order_is_known_after_changes() {
        let mut tree = parse("<a><b x='1'/><c/></a>");
        let root = tree.document_element().expect("a root element");
        let (b, c) = (
            tree.first_child(root).expect("b"),
            tree.last_child(root).expect("c"),
        );
        let x = tree.attribute_node(b, "", "x").expect("x");
        assert!(
            tree.document_order(b, c).is_lt()
                && tree.document_order(b, x).is_lt()
                && tree.document_order(x, c).is_lt()
        );
        tree.insert_before(b, c);
        assert!(tree.document_order(c, b).is_lt() && tree.document_order(c, x).is_lt());
        let mut found = Vec::new();
        tree.scan(root, Kind::Element, NameTest::Any, |node| {
            found.push(node);
            true
        });
        assert_eq!(found, [c, b]);
    }

    #[test]
    fn a_copy_brings_the_namespaces_that_it_needs() {
        let source = parse(
            "<e:E xmlns:e='urn:e' xmlns:xs='urn:xs' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:no='urn:no'>\
            <e:b xsi:type='xs:int'><c>1</c></e:b></e:E>",
        );
        let from = source
            .child_elements(source.document_element().expect("E"))
            .next()
            .expect("b");
        let mut target = parse("<a/>");
        let root = target.document_element().expect("a root element");
        let copy = target.import(&source, from);
        target.append(root, copy);
        let expected = "<a><e:b xmlns:e=\"urn:e\" xmlns:xs=\"urn:xs\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:int\"><c>1</c></e:b></a>";
        assert_eq!(target.to_text(target.document()), expected);
        assert_eq!(source.to_text(from).len(), expected.len() - "<a></a>".len());
        let read = parse(&source.to_text(from));
        let read_root = read.document_element().expect("b");
        assert_eq!(read.namespace_for_prefix(read_root, "xs"), Some("urn:xs"));
        assert_eq!(read.namespace_for_prefix(read_root, "no"), None);
        let again = target.copy(copy);
        target.append(copy, again);
        assert_eq!(target.to_text(again), target.to_text(again));
        assert_eq!(target.string_value(root), "11");
    }

    #[test]
    fn a_copy_within_one_namespace_declares_nothing_twice() {
        let mut tree = parse("<m:a xmlns:m='urn:m'><m:b><m:c/>x</m:b></m:a>");
        let root = tree.document_element().expect("a root element");
        let b = tree.first_child(root).expect("b");
        let copy = tree.copy(b);
        tree.append(root, copy);
        assert_eq!(
            tree.to_text(root),
            "<m:a xmlns:m=\"urn:m\"><m:b><m:c/>x</m:b><m:b><m:c/>x</m:b></m:a>"
        );
    }
}
