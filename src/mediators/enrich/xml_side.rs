//! Enriching a message that is XML, or is seen as XML for it.

use super::inline::Filled;
use super::{Action, Node, Source, Target, json_side, nodes_of};
use crate::expression::Expression;
use crate::flow::{Exchange, Fault};
use crate::message::json::{self, Json};
use crate::message::payload::Payload;
use crate::message::properties::{Fragment, Value};
use crate::message::soap::Envelope;
use crate::message::xml::{Kind, NodeId, XmlTree};
use std::sync::Arc;

/// What is put, as nodes of their own (`Source.evaluate`).
pub(super) async fn nodes(
    source: &Source,
    filled: Option<Filled>,
    exchange: &mut Exchange,
) -> Result<Vec<Node>, Fault> {
    match source {
        Source::Custom(expression) => Ok(match exchange.value(expression).await? {
            // Whether something holds, and numbers, are no nodes.
            None | Some(Value::Boolean(_) | Value::Double(_) | Value::Long(_)) => {
                tracing::warn!(served_by = %exchange.served_by, xpath = expression.source(), "The source of `enrich` selects no node.");
                Vec::new()
            }
            Some(value) => nodes_of(value),
        }),
        Source::Body => {
            let envelope = exchange.envelope().await?;
            Ok(envelope
                .first_child()
                .map(|child| copied(&envelope.tree, child))
                .into_iter()
                .collect())
        }
        Source::Envelope => {
            let envelope = exchange.envelope().await?;
            Ok(vec![copied(&envelope.tree, envelope.root())])
        }
        Source::Property(name) => match exchange.properties.get(name) {
            Some(value) => Ok(nodes_of(value.into_owned())),
            None => {
                tracing::warn!(served_by = %exchange.served_by, property = name, "The source of `enrich` is not there.");
                Ok(Vec::new())
            }
        },
        Source::Inline(_) => Ok(filled.map(|filled| nodes_of(filled.value)).unwrap_or_default()),
    }
}

fn copied(tree: &XmlTree, node: NodeId) -> Node {
    let mut copy = XmlTree::new();
    let node = copy.import(tree, node);
    let document = copy.document();
    copy.append(document, node);
    Node::Element(Arc::new(copy), node)
}

/// Puts nodes into a target (`Target.insert`).
pub(super) async fn put(
    source: &Source,
    nodes: Vec<Node>,
    keep: bool,
    target: &Target,
    action: Action,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    match target {
        Target::Custom(expression) => {
            if nodes.is_empty() {
                tracing::warn!(served_by = %exchange.served_by, "Cannot enrich the message from an empty source.");
                return Ok(());
            }
            if let Some((scope, name)) = property_named(expression) {
                return put_in_scope(scope, &name, nodes, action, exchange);
            }
            let Some(&place) = exchange.select(expression).await?.first() else {
                return Err(Fault::mediation("Invalid Target object to be enrich."));
            };
            put_at(place, source, nodes, keep, action, exchange).await
        }
        Target::Body => put_in_body(source, nodes, keep, action, exchange).await,
        Target::Envelope => put_envelope(&nodes, exchange),
        Target::Property(name) => {
            let value = joined(exchange.properties.get(name).as_deref(), nodes, action, exchange);
            exchange.properties.set(name.as_str(), value);
            Ok(())
        }
        Target::Key { .. } => Err(Fault::mediation("Failed to rename the key.")),
    }
}

/// The nodes in the message that are moved rather than copied, and may leave their place before something stands in `place`.
async fn moved(
    source: &Source,
    keep: bool,
    place: NodeId,
    exchange: &mut Exchange,
) -> Result<Vec<NodeId>, Fault> {
    if keep {
        return Ok(Vec::new());
    }
    let originals = match source {
        Source::Custom(expression) => exchange.select(expression).await?,
        Source::Body => exchange.envelope().await?.first_child().into_iter().collect(),
        Source::Envelope | Source::Property(_) | Source::Inline(_) => Vec::new(),
    };
    let tree = &exchange.envelope().await?.tree;
    // What holds the target cannot be moved into it.
    let holds_place = |node: &NodeId| *node == place || tree.ancestors(place).any(|above| above == *node);
    Ok(originals.into_iter().filter(|node| !holds_place(node)).collect())
}

async fn put_at(
    place: NodeId,
    source: &Source,
    nodes: Vec<Node>,
    keep: bool,
    action: Action,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let moved = moved(source, keep, place, exchange).await?;
    let tree = &mut exchange.envelope_mut().await?.tree;
    for node in moved {
        tree.detach(node);
    }
    match (tree.kind(place), nodes.first()) {
        (Kind::Element, _) => put_element(tree, place, &nodes, action),
        (Kind::Text, Some(Node::Text(text))) => match tree.parent(place) {
            Some(parent) => tree.set_value(parent, text),
            None => tree.set_value(place, text),
        },
        (Kind::Text, Some(Node::Element(other, node))) => {
            if let Some(parent) = tree.parent(place) {
                tree.detach(place);
                let copy = tree.import(other, *node);
                tree.append(parent, copy);
            }
        }
        (Kind::Attribute, Some(Node::Text(text))) => tree.set_value(place, text),
        _ => return Err(Fault::mediation("Invalid Target object to be enrich.")),
    }
    Ok(())
}

/// `Target.insertElement`.
fn put_element(tree: &mut XmlTree, place: NodeId, nodes: &[Node], action: Action) {
    let mut replaced = false;
    for node in nodes {
        match (action, node) {
            (Action::Replace, Node::Element(other, node)) => {
                let copy = tree.import(other, *node);
                tree.insert_before(place, copy);
                replaced = true;
            }
            (Action::Replace, Node::Text(text)) => tree.set_value(place, text),
            (Action::Child, Node::Element(other, node)) => {
                let copy = tree.import(other, *node);
                tree.append(place, copy);
            }
            (Action::Sibling, Node::Element(other, node)) => {
                let copy = tree.import(other, *node);
                tree.insert_after(place, copy);
            }
            // A text is no child or sibling.
            (Action::Child | Action::Sibling, Node::Text(_)) => {}
        }
    }
    if replaced {
        tree.detach(place);
    }
}

async fn put_in_body(
    source: &Source,
    nodes: Vec<Node>,
    keep: bool,
    action: Action,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    if let (Action::Replace, Some(Node::Text(text))) = (action, nodes.first())
        && let Ok(json @ (Json::Object(_) | Json::Array(_))) =
            json::parse(text.as_bytes(), &exchange.catalog.limits.json)
    {
        exchange.load().await?;
        return json_side::replace_body(Payload::of_json(json), exchange);
    }
    let envelope = exchange.envelope().await?;
    if let Some(first) = envelope.first_child() {
        return put_at(first, source, nodes, keep, action, exchange).await;
    }
    let envelope = exchange.envelope_mut().await?;
    let body = envelope.body();
    for node in &nodes {
        if let Node::Element(other, node) = node {
            let copy = envelope.tree.import(other, *node);
            envelope.tree.append(body, copy);
        }
    }
    if nodes.iter().any(|node| matches!(node, Node::Text(_))) {
        tracing::warn!(served_by = %exchange.served_by, "A text cannot be put into an empty body.");
    }
    Ok(())
}

fn put_envelope(nodes: &[Node], exchange: &mut Exchange) -> Result<(), Fault> {
    let expected = || Fault::mediation("A SOAPEnvelope is expected");
    let Some(Node::Element(other, node)) = nodes.first() else {
        return Err(expected());
    };
    let mut tree = XmlTree::new();
    let root = tree.import(other, *node);
    let document = tree.document();
    tree.append(document, root);
    let envelope = Envelope::from_soap(tree).map_err(|error| expected().detail(error.to_string()))?;
    exchange.message.payload = Payload::xml(envelope);
    Ok(())
}

/// A property's new value: the nodes, or with `child` the one element it holds with the nodes added.
fn joined(held: Option<&Value>, nodes: Vec<Node>, action: Action, exchange: &Exchange) -> Value {
    if action == Action::Child {
        let element = match held {
            Some(Value::Xml(Fragment { tree, nodes })) => match nodes.as_slice() {
                [node] if tree.is_element(*node) => Some(copied(tree, *node)),
                _ => None,
            },
            Some(Value::Text(text)) => XmlTree::parse_str(text, &exchange.catalog.limits.xml)
                .ok()
                .and_then(|tree| Some((tree.document_element()?, tree)))
                .map(|(element, tree)| Node::Element(Arc::new(tree), element)),
            _ => None,
        };
        if let Some(Node::Element(tree, element)) = element {
            let mut tree = Arc::unwrap_or_clone(tree);
            put_element(&mut tree, element, &nodes, Action::Child);
            return Value::Xml(Fragment {
                tree: Arc::new(tree),
                nodes: vec![element],
            });
        }
    }
    match nodes.as_slice() {
        [Node::Text(text)] => Value::text(text),
        nodes => fragment(nodes),
    }
}

/// Nodes of several trees as one value. Nodes of one tree keep it.
fn fragment(nodes: &[Node]) -> Value {
    if let [Node::Element(tree, node)] = nodes {
        return Value::Xml(Fragment {
            tree: Arc::clone(tree),
            nodes: vec![*node],
        });
    }
    let mut tree = XmlTree::new();
    let document = tree.document();
    let ids = nodes
        .iter()
        .map(|node| {
            let copy = match node {
                Node::Element(other, node) => tree.import(other, *node),
                Node::Text(text) => tree.create_text(text),
            };
            tree.append(document, copy);
            copy
        })
        .collect();
    Value::Xml(Fragment {
        tree: Arc::new(tree),
        nodes: ids,
    })
}

#[derive(Copy, Clone)]
enum PropertyScope {
    Default,
    Axis2,
    Operation,
}

/// An XPath that is `get-property('name')` or `get-property('scope', 'name')` stands for the property itself
/// (`Target.handleProperty`, which takes the words between single quotes).
fn property_named(expression: &Expression) -> Option<(PropertyScope, String)> {
    let text = expression.xpath()?.text().trim();
    let arguments = text.strip_prefix("get-property")?;
    let words: Vec<&str> = arguments.split('\'').skip(1).step_by(2).collect();
    match words.as_slice() {
        [name] => Some((PropertyScope::Default, (*name).to_owned())),
        ["default" | "synapse", name, ..] => Some((PropertyScope::Default, (*name).to_owned())),
        ["axis2", name, ..] => Some((PropertyScope::Axis2, (*name).to_owned())),
        ["operation", name, ..] => Some((PropertyScope::Operation, (*name).to_owned())),
        _ => None,
    }
}

fn put_in_scope(
    scope: PropertyScope,
    name: &str,
    nodes: Vec<Node>,
    action: Action,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let properties = &exchange.properties;
    let held = match scope {
        PropertyScope::Default => properties.get(name).map(std::borrow::Cow::into_owned),
        PropertyScope::Axis2 => properties.axis2(name).map(std::borrow::Cow::into_owned),
        PropertyScope::Operation => properties.operation.get(name).cloned(),
    };
    let value = joined(held.as_ref(), nodes, action, exchange);
    match scope {
        PropertyScope::Default => exchange.properties.set(name, value),
        PropertyScope::Axis2 => exchange.properties.set_axis2(name, value),
        PropertyScope::Operation => exchange.properties.operation.set(name, value),
    }
    Ok(())
}

/// Takes what an XPath selects out of the message.
pub(super) async fn remove(what: &Expression, exchange: &mut Exchange) -> Result<(), Fault> {
    let nodes = exchange.select(what).await?;
    if nodes.is_empty() {
        return Ok(());
    }
    let tree = &mut exchange.envelope_mut().await?.tree;
    for node in nodes {
        tree.detach(node);
    }
    Ok(())
}
