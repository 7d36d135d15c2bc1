//! What comes out of an expression, and how one kind of value is seen as another.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::message::json::java_double_text;
use crate::message::xml::{Kind, NodeId, XML_NAMESPACE, XmlTree};

/// A value, as far as it may borrow from the expression and the payload.
#[derive(Debug, Clone)]
pub enum XPathValue<'a> {
    /// Null, which only a host can give: nothing equals it, it is false, its text is empty.
    Nothing,
    Text(Cow<'a, str>),
    Number(f64),
    /// A whole number that a host gave and nothing was done with.
    Integer(i64),
    Boolean(bool),
    Nodes(NodeList<'a>),
}

/// Nodes in document order, of one tree or several.
#[derive(Clone)]
pub struct NodeList<'a> {
    pub(super) trees: SmallVec<[TreeRef<'a>; 1]>,
    pub(super) nodes: NodeSet,
    /// The expression says `node()`, which changes how Synapse writes a single node.
    pub(super) says_node: bool,
}

#[derive(Clone)]
pub enum TreeRef<'a> {
    Payload(&'a XmlTree),
    Other(Arc<XmlTree>),
}

impl Deref for TreeRef<'_> {
    type Target = XmlTree;

    fn deref(&self) -> &XmlTree {
        match self {
            TreeRef::Payload(tree) => tree,
            TreeRef::Other(tree) => tree,
        }
    }
}

/// A node of one of the trees of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct XPathNode {
    pub(super) tree: u32,
    pub node: NodeId,
    /// For a namespace node of the element `node`: one more than the number of its declaration.
    pub(super) namespace: u32,
}

/// The namespace node for `xml`, which no declaration stands for.
pub(super) const XML_DECLARATION: u32 = u32::MAX;

pub(super) type NodeSet = SmallVec<[XPathNode; 4]>;

impl XPathNode {
    pub(super) fn new(tree: u32, node: NodeId) -> XPathNode {
        XPathNode {
            tree,
            node,
            namespace: 0,
        }
    }

    pub fn is_namespace(self) -> bool {
        self.namespace != 0
    }

    pub fn is_of_payload(self) -> bool {
        self.tree == 0
    }

    /// For a namespace node, its prefix and its value.
    pub fn binding(self, tree: &XmlTree) -> Option<(&str, &str)> {
        match self.namespace {
            0 => None,
            XML_DECLARATION => Some(("xml", XML_NAMESPACE)),
            _ => {
                let found = tree.node_at(self.namespace - 1);
                Some((tree.local_name(found), tree.value(found)))
            }
        }
    }

    pub fn string_value(self, tree: &XmlTree) -> Cow<'_, str> {
        match self.binding(tree) {
            Some((_, uri)) => Cow::Borrowed(uri),
            None => tree.string_value(self.node),
        }
    }
}

impl<'a> NodeList<'a> {
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes with their trees.
    pub fn iter(&self) -> impl Iterator<Item = (&XmlTree, XPathNode)> {
        self.nodes.iter().map(|&node| (self.tree(node), node))
    }

    /// The tree of a node; a shared one can be kept.
    pub fn tree_of(&self, node: XPathNode) -> &TreeRef<'a> {
        &self.trees[node.tree as usize]
    }

    /// Those nodes that belong to the payload and can be changed there.
    pub fn of_payload(&self) -> Vec<NodeId> {
        self.nodes
            .iter()
            .filter(|node| node.is_of_payload() && !node.is_namespace())
            .map(|node| node.node)
            .collect()
    }

    /// The nodes as a tree of their own, to be kept when the payload has changed or gone. What belongs to another
    /// tree than the payload is not copied.
    pub fn into_fragment(self) -> (Arc<XmlTree>, Vec<NodeId>) {
        let first = self.nodes.first().map_or(0, |node| node.tree);
        if let Some(TreeRef::Other(tree)) = self.trees.get(first as usize)
            && self
                .nodes
                .iter()
                .all(|node| node.tree == first && !node.is_namespace())
        {
            return (
                Arc::clone(tree),
                self.nodes.iter().map(|node| node.node).collect(),
            );
        }
        let mut copy = XmlTree::new();
        let mut nodes = Vec::with_capacity(self.len());
        for (tree, node) in self.iter() {
            let node = match node.binding(tree) {
                Some((_, uri)) => copy.create_text(uri),
                None => copy.import(tree, node.node),
            };
            // Attributes stay outside of the document, which cannot hold them.
            copy.append(NodeId::DOCUMENT, node);
            nodes.push(node);
        }
        (Arc::new(copy), nodes)
    }

    fn tree(&self, node: XPathNode) -> &XmlTree {
        &self.trees[node.tree as usize]
    }
}

impl std::fmt::Debug for NodeList<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list()
            .entries(self.iter().map(|(tree, node)| tree.to_text(node.node)))
            .finish()
    }
}

impl XPathValue<'_> {
    /// XPath 1.0, 4.3: a list of nodes holds when it is not empty, even if its text is "false".
    pub fn as_boolean(&self) -> bool {
        match self {
            XPathValue::Nothing => false,
            XPathValue::Text(text) => !text.is_empty(),
            XPathValue::Number(number) => *number != 0.0 && !number.is_nan(),
            XPathValue::Integer(number) => *number != 0,
            XPathValue::Boolean(boolean) => *boolean,
            XPathValue::Nodes(nodes) => !nodes.is_empty(),
        }
    }

    /// XPath 1.0, 4.4.
    pub fn as_number(&self) -> f64 {
        match self {
            XPathValue::Nothing => f64::NAN,
            XPathValue::Number(number) => *number,
            XPathValue::Integer(number) => *number as f64,
            XPathValue::Boolean(boolean) => f64::from(u8::from(*boolean)),
            XPathValue::Text(text) => text_to_number(text),
            XPathValue::Nodes(_) => text_to_number(&self.as_text()),
        }
    }

    /// XPath 1.0, 4.2: of several nodes the first one's text.
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            XPathValue::Nothing => Cow::Borrowed(""),
            XPathValue::Text(text) => Cow::Borrowed(text),
            XPathValue::Number(number) => Cow::Owned(number_to_text(*number)),
            XPathValue::Integer(number) => Cow::Owned(number.to_string()),
            XPathValue::Boolean(boolean) => Cow::Borrowed(if *boolean { "true" } else { "false" }),
            XPathValue::Nodes(list) => match list.iter().next() {
                Some((tree, node)) => node.string_value(tree),
                None => Cow::Borrowed(""),
            },
        }
    }

    /// The text that Synapse makes of a value, none for null. (`SynapseXPath.stringValueOf`.)
    ///
    /// One element is its own text, trimmed; when that is blank, or when there are several nodes, it is XML. Numbers are
    /// written as Java writes a double: `count(//a)` is `3.0`.
    pub fn synapse_text(&self) -> Option<String> {
        match self {
            XPathValue::Nothing => None,
            XPathValue::Number(number) => Some(java_double_text(*number)),
            XPathValue::Nodes(list) => Some(list.synapse_text()),
            _ => Some(self.as_text().into_owned()),
        }
    }
}

impl NodeList<'_> {
    fn synapse_text(&self) -> String {
        let mut text = String::new();
        let single = self.len() == 1;
        for (tree, node) in self.iter().filter(|(_, node)| !node.is_namespace()) {
            let mut node = node.node;
            if single && self.says_node && tree.kind(node) == Kind::Text {
                node = tree.parent(node).unwrap_or(node);
            }
            match tree.kind(node) {
                Kind::Text | Kind::Attribute => text.push_str(tree.value(node)),
                Kind::Document => {
                    if let Some(element) = tree.document_element() {
                        text.push_str(&tree.to_text(element));
                    }
                }
                Kind::Element => {
                    let own = tree.own_text(node);
                    let spaced = own.replace('\u{A0}', " ");
                    // Java's trim takes away everything up to the space.
                    let trimmed = spaced.trim_matches(|character| character <= ' ');
                    if trimmed.is_empty() {
                        text.push_str(&tree.to_text(node));
                    } else if single && !self.says_node {
                        text.push_str(trimmed);
                    } else if trimmed == own {
                        text.push_str(&tree.to_text(node));
                    } else {
                        text.push_str(&tree.to_text(node).replace(&*own, trimmed));
                    }
                }
                Kind::Comment | Kind::Instruction | Kind::Declaration => {}
            }
        }
        text
    }
}

/// XPath 1.0, 4.2: without an exponent, whole numbers without a point.
pub fn number_to_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_string()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_string()
    } else if number == 0.0 {
        "0".to_string()
    } else {
        number.to_string()
    }
}

/// XPath 1.0, 4.4: white space, a minus, digits with or without a point; anything else is not a number.
pub fn text_to_number(text: &str) -> f64 {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let has_digit = digits.bytes().any(|byte| byte.is_ascii_digit());
    let points = digits.bytes().filter(|&byte| byte == b'.').count();
    if !has_digit || points > 1 || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return f64::NAN;
    }
    trimmed.parse().unwrap_or(f64::NAN)
}
