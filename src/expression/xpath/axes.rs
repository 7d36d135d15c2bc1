//! The ways from a node to others (XPath 1.0, 2.2).

use super::plan::Axis;
use super::value::{XML_DECLARATION, XPathNode};
use crate::message::xml::{Kind, NameTest, NodeId, XmlTree};

/// What a node has to be, with names made numbers of one tree. No kind means any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub kind: Option<Kind>,
    pub name: NameTest,
}

impl Wanted {
    #[inline]
    fn takes(self, tree: &XmlTree, node: NodeId) -> bool {
        match self.kind {
            None => true,
            Some(kind) => tree.kind(node) == kind && tree.satisfies(node, self.name),
        }
    }
}

/// Calls `found` for each node on an axis that is wanted, nearest first, until it says no. Returns how many nodes were
/// looked at.
pub(super) fn walk(
    tree: &XmlTree,
    from: XPathNode,
    axis: Axis,
    wanted: Wanted,
    mut found: impl FnMut(XPathNode) -> bool,
) -> u64 {
    if from.is_namespace() {
        return walk_from_namespace(tree, from, axis, wanted, &mut found);
    }
    walk_from_node(tree, from, axis, wanted, found)
}

fn walk_from_node(
    tree: &XmlTree,
    from: XPathNode,
    axis: Axis,
    wanted: Wanted,
    mut found: impl FnMut(XPathNode) -> bool,
) -> u64 {
    let node = from.node;
    let mut visits = 0;
    let mut visit = |node: NodeId| {
        visits += 1;
        !wanted.takes(tree, node) || found(XPathNode::new(from.tree, node))
    };
    match axis {
        Axis::Child => {
            let _ = tree.children(node).all(visit);
        }
        Axis::Attribute => {
            let _ = tree.attributes(node).all(visit);
        }
        Axis::Itself => {
            let _ = visit(node);
        }
        Axis::Parent => {
            let _ = tree.parent(node).into_iter().all(visit);
        }
        Axis::Ancestor => {
            let _ = tree.ancestors(node).all(visit);
        }
        Axis::AncestorOrSelf => {
            let _ = visit(node) && tree.ancestors(node).all(visit);
        }
        Axis::DescendantOrSelf | Axis::Descendant => {
            if axis == Axis::DescendantOrSelf && !visit(node) {
                return visits;
            }
            if let Some(kind) = wanted.kind {
                return 1 + tree.scan(node, kind, wanted.name, |node| {
                    found(XPathNode::new(from.tree, node))
                });
            }
            let _ = tree.descendants(node).all(visit);
        }
        Axis::AttributeBelow => {
            let kind = wanted.kind.unwrap_or(Kind::Attribute);
            if tree.kind(node) == Kind::Attribute || kind != Kind::Attribute {
                return 1;
            }
            if tree.is_pristine() {
                return 1 + tree.scan(node, kind, wanted.name, |node| {
                    found(XPathNode::new(from.tree, node))
                });
            }
            let elements = std::iter::once(node).chain(tree.descendants(node));
            let _ = elements.flat_map(|element| tree.attributes(element)).all(visit);
        }
        Axis::FollowingSibling => {
            let _ = successors(tree.next_sibling(node), |node| tree.next_sibling(node)).all(visit);
        }
        Axis::PrecedingSibling => {
            let _ = successors(tree.previous_sibling(node), |node| tree.previous_sibling(node)).all(visit);
        }
        Axis::Following => {
            let first = if tree.kind(node) == Kind::Attribute {
                tree.parent(node)
                    .and_then(|element| tree.first_child(element).or_else(|| behind(tree, element)))
            } else {
                behind(tree, node)
            };
            let _ = successors(first, |node| {
                tree.first_child(node).or_else(|| behind(tree, node))
            })
            .all(visit);
        }
        Axis::Preceding => {
            let start = if tree.kind(node) == Kind::Attribute {
                tree.parent(node).unwrap_or(node)
            } else {
                node
            };
            preceding(tree, start, visit);
        }
        Axis::Namespace => {
            if tree.kind(node) == Kind::Element {
                visits += namespaces(tree, from, wanted, &mut found);
            }
        }
    }
    visits
}

/// A namespace node has its element as parent, and nothing below it.
fn walk_from_namespace(
    tree: &XmlTree,
    from: XPathNode,
    axis: Axis,
    wanted: Wanted,
    found: &mut dyn FnMut(XPathNode) -> bool,
) -> u64 {
    let element = XPathNode::new(from.tree, from.node);
    match axis {
        Axis::Itself | Axis::DescendantOrSelf | Axis::AncestorOrSelf => {
            // `self::*` asks for elements; only `node()` takes a namespace node.
            if wanted.kind.is_none() && !found(from) {
                return 1;
            }
            if axis == Axis::AncestorOrSelf {
                return 1 + walk_from_node(tree, element, Axis::AncestorOrSelf, wanted, found);
            }
            1
        }
        Axis::Parent => walk_from_node(tree, element, Axis::Itself, wanted, found),
        Axis::Ancestor => walk_from_node(tree, element, Axis::AncestorOrSelf, wanted, found),
        Axis::Preceding => walk_from_node(tree, element, Axis::Preceding, wanted, found),
        Axis::Following => {
            // As for an attribute: what is in the element comes after it and is not below it.
            let mut go_on = true;
            let visits = walk_from_node(tree, element, Axis::Descendant, wanted, |node| {
                go_on = found(node);
                go_on
            });
            if go_on {
                visits + walk_from_node(tree, element, Axis::Following, wanted, found)
            } else {
                visits
            }
        }
        _ => 0,
    }
}

fn namespaces(
    tree: &XmlTree,
    from: XPathNode,
    wanted: Wanted,
    found: &mut impl FnMut(XPathNode) -> bool,
) -> u64 {
    let takes = |prefix: &str, declaration: Option<NodeId>| match (wanted.kind, wanted.name) {
        (None | Some(Kind::Declaration), NameTest::Any) => true,
        (Some(Kind::Declaration), name) => match declaration {
            Some(declaration) => tree.satisfies(declaration, name),
            None => tree.name_test("", Some(prefix)) == name && name != NameTest::Never,
        },
        _ => false,
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut visits = 0;
    for element in std::iter::once(from.node).chain(tree.ancestors(from.node)) {
        for declaration in tree.declarations(element) {
            visits += 1;
            let prefix = tree.local_name(declaration);
            if seen.contains(&prefix) {
                continue;
            }
            seen.push(prefix);
            let node = XPathNode {
                namespace: declaration.index() as u32 + 1,
                ..from
            };
            if !tree.value(declaration).is_empty() && takes(prefix, Some(declaration)) && !found(node) {
                return visits;
            }
        }
    }
    if takes("xml", None) {
        found(XPathNode {
            namespace: XML_DECLARATION,
            ..from
        });
    }
    visits + 1
}

/// The first node behind a node and everything in it.
fn behind(tree: &XmlTree, node: NodeId) -> Option<NodeId> {
    successors(Some(node), |node| tree.parent(node)).find_map(|node| tree.next_sibling(node))
}

/// Visits what stands before a node, ancestors left out, nearest first.
fn preceding(tree: &XmlTree, start: NodeId, mut visit: impl FnMut(NodeId) -> bool) {
    // The ancestor, or the node itself, whose preceding siblings are visited with everything in them.
    for beside in std::iter::once(start).chain(tree.ancestors(start)) {
        for sibling in successors(tree.previous_sibling(beside), |node| tree.previous_sibling(node)) {
            let deepest = |node: NodeId| {
                successors(Some(node), |node| tree.last_child(node))
                    .last()
                    .unwrap_or(node)
            };
            let mut node = deepest(sibling);
            while visit(node) {
                if node == sibling {
                    break;
                }
                node = match tree.previous_sibling(node) {
                    Some(previous) => deepest(previous),
                    None => match tree.parent(node) {
                        Some(parent) => parent,
                        None => return,
                    },
                };
            }
            if node != sibling {
                return;
            }
        }
    }
}

fn successors<F: FnMut(NodeId) -> Option<NodeId>>(
    first: Option<NodeId>,
    mut next: F,
) -> std::iter::Successors<NodeId, impl FnMut(&NodeId) -> Option<NodeId>> {
    std::iter::successors(first, move |&node| next(node))
}
