//! Answers an expression on trees.
//!
//! Lists of nodes are kept in document order without doubles. Steps that keep that order by themselves are not sorted,
//! steps of which only the first or any node is asked for stop there.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use smallvec::{SmallVec, smallvec};

use super::axes::{Wanted, walk};
use super::plan::{Axis, Expression, Operator, Path, Predicate, Start, Step, Test, Variable};
use super::value::{NodeList, NodeSet, TreeRef, XPathNode, XPathValue, number_to_text, text_to_number};
use super::{Focus, Host, HostValue, XPath, XPathError};
use crate::message::xml::{Kind, NameTest, XmlTree};

pub(super) fn evaluate<'a>(
    xpath: &'a XPath,
    focus: &Focus<'a>,
    host: &mut dyn Host,
    visits: u64,
) -> Result<XPathValue<'a>, XPathError> {
    let mut evaluation = Evaluation::new(xpath, focus, host, visits);
    let value = evaluation.value(&xpath.root, evaluation.here())?;
    Ok(evaluation.give(value))
}

pub(super) fn holds(
    xpath: &XPath,
    focus: &Focus<'_>,
    host: &mut dyn Host,
    visits: u64,
) -> Result<bool, XPathError> {
    let mut evaluation = Evaluation::new(xpath, focus, host, visits);
    evaluation.boolean(&xpath.root, evaluation.here())
}

pub(super) type Outcome<T> = Result<T, XPathError>;

pub(super) struct Evaluation<'e, 'h> {
    xpath: &'e XPath,
    focus: Focus<'e>,
    host: &'h mut dyn Host,
    /// The payload first, then whatever trees the host gave.
    pub(super) trees: SmallVec<[TreeRef<'e>; 1]>,
    /// What the names of the expression are in each tree, once they were looked up.
    names: SmallVec<[Option<NameTest>; 8]>,
    visits_left: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'e> {
    Nothing,
    Text(Cow<'e, str>),
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Nodes(NodeSet),
}

/// The context of XPath 1.0, 1: a node, where it stands, among how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub node: Option<XPathNode>,
    pub position: usize,
    pub size: usize,
}

/// A tree, and what a step looks for in it.
struct Place<'e> {
    number: u32,
    wanted: Wanted,
    tree: TreeRef<'e>,
}

/// How many nodes of a path are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    All,
    /// At least the first one in document order.
    First,
    /// At least one, if there is one.
    Any,
}

static NO_TREE: LazyLock<XmlTree> = LazyLock::new(XmlTree::new);

impl<'e, 'h> Evaluation<'e, 'h> {
    fn new(xpath: &'e XPath, focus: &Focus<'e>, host: &'h mut dyn Host, visits: u64) -> Evaluation<'e, 'h> {
        Evaluation {
            xpath,
            focus: *focus,
            host,
            trees: smallvec![TreeRef::Payload(focus.tree.unwrap_or(&NO_TREE))],
            names: smallvec![None; xpath.names.len()],
            visits_left: visits,
        }
    }

    fn here(&self) -> Context {
        let node = self.focus.tree.map(|_| XPathNode::new(0, self.focus.context));
        Context {
            node,
            position: 1,
            size: 1,
        }
    }

    pub(super) fn value(&mut self, expression: &'e Expression, context: Context) -> Outcome<Value<'e>> {
        match expression {
            Expression::Literal(text) => Ok(Value::Text(Cow::Borrowed(text))),
            Expression::Number(number) => Ok(Value::Number(*number)),
            Expression::Variable(variable) => self.variable(variable),
            Expression::Negate(inner) => Ok(Value::Number(-self.number(inner, context)?)),
            Expression::Chain(first, rest) => self.chain(first, rest, context),
            Expression::Union(parts) => {
                let mut nodes = NodeSet::new();
                for part in parts {
                    nodes.extend(self.nodes(part, context, Need::All)?);
                }
                self.put_in_order(&mut nodes)?;
                Ok(Value::Nodes(nodes))
            }
            Expression::Call(function, arguments) => self.call(*function, arguments, context),
            Expression::HostCall {
                prefix,
                name,
                arguments,
            } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let value = self.value(argument, context)?;
                    values.push(self.give(value));
                }
                let answer = self
                    .host
                    .call(prefix, name, &values)
                    .map_err(|reason| self.error(reason))?;
                self.take(answer)
            }
            Expression::Path(path) => Ok(Value::Nodes(self.path(path, context, Need::All)?)),
        }
    }

    fn variable(&mut self, variable: &'e Variable) -> Outcome<Value<'e>> {
        let node = match variable {
            Variable::Body => self.focus.body,
            Variable::Header => self.focus.header,
            Variable::Environment => self.focus.tree.and_then(XmlTree::document_element),
            Variable::Host { prefix, name } => {
                let answer = self
                    .host
                    .variable(prefix, name)
                    .map_err(|reason| self.error(reason))?;
                return self.take(answer);
            }
        };
        let node = self.focus.tree.and(node);
        Ok(Value::Nodes(
            node.into_iter().map(|node| XPathNode::new(0, node)).collect(),
        ))
    }

    fn chain(
        &mut self,
        first: &'e Expression,
        rest: &'e [(Operator, Expression)],
        context: Context,
    ) -> Outcome<Value<'e>> {
        match rest.first().map(|(operator, _)| *operator) {
            Some(Operator::Or | Operator::And) => {
                let decides = rest
                    .first()
                    .is_some_and(|(operator, _)| *operator == Operator::Or);
                for part in std::iter::once(first).chain(rest.iter().map(|(_, part)| part)) {
                    if self.boolean(part, context)? == decides {
                        return Ok(Value::Boolean(decides));
                    }
                }
                Ok(Value::Boolean(!decides))
            }
            Some(operator) if operator.is_arithmetic() => {
                let mut number = self.number(first, context)?;
                for (operator, part) in rest {
                    let other = self.number(part, context)?;
                    number = match operator {
                        Operator::Add => number + other,
                        Operator::Subtract => number - other,
                        Operator::Multiply => number * other,
                        Operator::Divide => number / other,
                        // The sign is that of the left side, as for this operator of Rust.
                        _ => number % other,
                    };
                }
                Ok(Value::Number(number))
            }
            _ => {
                let mut value = self.value(first, context)?;
                for (operator, part) in rest {
                    let other = self.value(part, context)?;
                    value = Value::Boolean(self.compare(*operator, value, other)?);
                }
                Ok(value)
            }
        }
    }

    pub(super) fn boolean(&mut self, expression: &'e Expression, context: Context) -> Outcome<bool> {
        match expression {
            Expression::Path(path) => Ok(!self.path(path, context, Need::Any)?.is_empty()),
            Expression::Union(parts) => {
                for part in parts {
                    if self.boolean(part, context)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(self.value(expression, context)?.as_boolean()),
        }
    }

    pub(super) fn number(&mut self, expression: &'e Expression, context: Context) -> Outcome<f64> {
        match expression {
            Expression::Path(_) => Ok(text_to_number(&self.text(expression, context)?)),
            _ => match self.value(expression, context)? {
                Value::Nodes(nodes) => match nodes.first() {
                    Some(&first) => Ok(text_to_number(&self.text_of(first)?)),
                    None => Ok(f64::NAN),
                },
                value => Ok(value.as_number()),
            },
        }
    }

    pub(super) fn text(&mut self, expression: &'e Expression, context: Context) -> Outcome<Cow<'e, str>> {
        let value = match expression {
            Expression::Path(path) => Value::Nodes(self.path(path, context, Need::First)?),
            _ => self.value(expression, context)?,
        };
        let text = match value {
            Value::Nothing => Cow::Borrowed(""),
            Value::Text(text) => text,
            Value::Number(number) => Cow::Owned(number_to_text(number)),
            Value::Integer(number) => Cow::Owned(number.to_string()),
            Value::Boolean(boolean) => Cow::Borrowed(if boolean { "true" } else { "false" }),
            Value::Nodes(nodes) => match nodes.first() {
                Some(&first) => return self.text_of(first),
                None => Cow::Borrowed(""),
            },
        };
        self.charge(text.len() as u64 / 16)?;
        Ok(text)
    }

    /// The nodes of an expression; none when it gives something else, as a property may.
    pub(super) fn nodes(
        &mut self,
        expression: &'e Expression,
        context: Context,
        need: Need,
    ) -> Outcome<NodeSet> {
        match expression {
            Expression::Path(path) => self.path(path, context, need),
            _ => match self.value(expression, context)? {
                Value::Nodes(nodes) => Ok(nodes),
                _ => Ok(NodeSet::new()),
            },
        }
    }

    /// The string value of a node.
    pub(super) fn text_of(&mut self, node: XPathNode) -> Outcome<Cow<'e, str>> {
        let text = match &self.trees[node.tree as usize] {
            TreeRef::Payload(tree) => {
                let tree: &'e XmlTree = tree;
                node.string_value(tree)
            }
            TreeRef::Other(tree) => Cow::Owned(node.string_value(tree).into_owned()),
        };
        let tree = self.tree(node);
        let first = tree.first_child(node.node);
        let is_plain =
            first.is_none_or(|first| tree.kind(first) == Kind::Text && tree.next_sibling(first).is_none());
        let weight = if is_plain {
            0
        } else {
            tree.weight(node.node) as u64
        };
        self.charge(1 + weight + text.len() as u64 / 16)?;
        Ok(text)
    }

    fn path(&mut self, path: &'e Path, context: Context, need: Need) -> Outcome<NodeSet> {
        let mut nodes: NodeSet = match &path.start {
            Start::Here => context.node.into_iter().collect(),
            Start::Root => {
                let root = |node: XPathNode| XPathNode::new(node.tree, self.root_of(node));
                context.node.into_iter().map(root).collect()
            }
            Start::From(start, predicates) => {
                let enough = match predicates.first() {
                    _ if !path.steps.is_empty() => Need::All,
                    None => need,
                    Some(Predicate::At(1)) => Need::First,
                    Some(_) => Need::All,
                };
                let mut nodes = self.nodes(start, context, enough)?;
                self.filter(&mut nodes, predicates)?;
                nodes
            }
        };
        let mut apart = nodes.len() <= 1;
        for (index, step) in path.steps.iter().enumerate() {
            let need = if index + 1 == path.steps.len() {
                need
            } else {
                Need::All
            };
            (nodes, apart) = match nodes[..] {
                [] => return Ok(nodes),
                [single] => self.step_from_one(single, step, need)?,
                _ => self.step_from_many(&nodes, apart, step, need)?,
            };
        }
        Ok(nodes)
    }

    /// One step from one node. Also says whether no node of the result stands inside another.
    fn step_from_one(&mut self, from: XPathNode, step: &'e Step, need: Need) -> Outcome<(NodeSet, bool)> {
        let enough = match step.predicates.first() {
            Some(Predicate::At(position)) => *position,
            None if need == Need::Any || (need == Need::First && !step.axis.is_reverse()) => 1,
            _ => usize::MAX,
        };
        let mut nodes = NodeSet::new();
        let place = self.place(from.tree, step);
        self.gather(from, step.axis, &place, enough, &mut nodes)?;
        self.filter(&mut nodes, &step.predicates)?;
        if step.axis.is_reverse() {
            nodes.reverse();
        }
        let apart = match step.axis {
            Axis::Descendant | Axis::DescendantOrSelf | Axis::Ancestor | Axis::AncestorOrSelf => {
                nodes.len() <= 1
            }
            Axis::Following | Axis::Preceding => nodes.len() <= 1,
            _ => true,
        };
        Ok((nodes, apart))
    }

    fn step_from_many(
        &mut self,
        from: &NodeSet,
        apart: bool,
        step: &'e Step,
        need: Need,
    ) -> Outcome<(NodeSet, bool)> {
        let goes_down = matches!(
            step.axis,
            Axis::Descendant | Axis::DescendantOrSelf | Axis::AttributeBelow
        );
        let positional = step.predicates.iter().any(Predicate::is_positional);
        let in_order = match step.axis {
            Axis::Attribute | Axis::Itself | Axis::Namespace => true,
            Axis::Child => apart,
            _ => goes_down && (apart || !positional),
        };
        let enough = match step.predicates.first() {
            Some(Predicate::At(position)) => *position,
            _ => usize::MAX,
        };
        let mut result = NodeSet::new();
        let mut place = self.place(from[0].tree, step);
        let mut covering: Option<XPathNode> = None;
        // Ancestors of many nodes are mostly the same ones; they must not pile up.
        let mut bound = 65_536;
        for &node in from {
            // What is below an inner node was found below the outer one.
            if goes_down && !positional && !apart {
                if covering.is_some_and(|covering| self.is_inside(node, covering)) {
                    continue;
                }
                covering = Some(node);
            }
            if place.number != node.tree {
                place = self.place(node.tree, step);
            }
            if step.predicates.is_empty() {
                self.gather(node, step.axis, &place, enough, &mut result)?;
            } else {
                let mut nodes = NodeSet::new();
                self.gather(node, step.axis, &place, enough, &mut nodes)?;
                self.filter(&mut nodes, &step.predicates)?;
                result.extend(nodes);
            }
            if !in_order && result.len() >= bound {
                self.put_in_order(&mut result)?;
                bound = bound.max(result.len() * 2);
            }
            if !result.is_empty() && (need == Need::Any || (need == Need::First && in_order)) {
                break;
            }
        }
        if !in_order {
            self.put_in_order(&mut result)?;
        }
        let stays_apart = matches!(
            step.axis,
            Axis::Attribute | Axis::Itself | Axis::Namespace | Axis::Child
        );
        Ok((
            result,
            (stays_apart && apart) || step.axis == Axis::Attribute || step.axis == Axis::AttributeBelow,
        ))
    }

    /// Adds what a step finds from one node, nearest first, predicates not yet applied.
    fn gather(
        &mut self,
        from: XPathNode,
        axis: Axis,
        place: &Place<'e>,
        enough: usize,
        nodes: &mut NodeSet,
    ) -> Outcome<()> {
        let most = nodes.len().saturating_add(enough);
        let visits = walk(&place.tree, from, axis, place.wanted, |node| {
            nodes.push(node);
            nodes.len() < most
        });
        self.charge(visits + 1)
    }

    /// What a step looks for in one tree.
    fn place(&mut self, tree: u32, step: &Step) -> Place<'e> {
        Place {
            number: tree,
            wanted: self.wanted(tree, step),
            tree: self.trees[tree as usize].clone(),
        }
    }

    fn wanted(&mut self, tree: u32, step: &Step) -> Wanted {
        let principal = match step.axis {
            Axis::Attribute | Axis::AttributeBelow => Kind::Attribute,
            Axis::Namespace => Kind::Declaration,
            _ => Kind::Element,
        };
        let any = |kind: Option<Kind>| Wanted {
            kind,
            name: NameTest::Any,
        };
        match step.test {
            Test::Node => any(None),
            Test::Text => any(Some(Kind::Text)),
            Test::Comment => any(Some(Kind::Comment)),
            Test::Instruction(None) => any(Some(Kind::Instruction)),
            Test::AnyName => any(Some(principal)),
            Test::Instruction(Some(name)) => Wanted {
                kind: Some(Kind::Instruction),
                name: self.name(tree, name),
            },
            Test::Name(name) => Wanted {
                kind: Some(principal),
                name: self.name(tree, name),
            },
        }
    }

    fn name(&mut self, tree: u32, name: usize) -> NameTest {
        let slot = tree as usize * self.xpath.names.len() + name;
        if self.names.len() <= slot {
            self.names.resize(slot + 1, None);
        }
        let wanted = &self.xpath.names[name];
        let tree = &self.trees[tree as usize];
        *self.names[slot].get_or_insert_with(|| tree.name_test(&wanted.namespace, wanted.local.as_deref()))
    }

    /// Keeps the nodes that all predicates let through; nodes come in the order in which they are counted.
    fn filter(&mut self, nodes: &mut NodeSet, predicates: &'e [Predicate]) -> Outcome<()> {
        for predicate in predicates {
            match predicate {
                Predicate::At(position) => {
                    let kept = nodes.get(position - 1).copied();
                    nodes.clear();
                    nodes.extend(kept);
                }
                Predicate::Last => {
                    let kept = nodes.last().copied();
                    nodes.clear();
                    nodes.extend(kept);
                }
                Predicate::Holds {
                    condition,
                    positional,
                } => {
                    let size = nodes.len();
                    let mut kept = 0;
                    for index in 0..size {
                        let context = Context {
                            node: Some(nodes[index]),
                            position: index + 1,
                            size,
                        };
                        let holds = if *positional {
                            match self.value(condition, context)? {
                                Value::Number(number) => number == context.position as f64,
                                Value::Integer(number) => number == context.position as i64,
                                value => value.as_boolean(),
                            }
                        } else {
                            self.boolean(condition, context)?
                        };
                        if holds {
                            nodes[kept] = nodes[index];
                            kept += 1;
                        }
                    }
                    self.charge(size as u64)?;
                    nodes.truncate(kept);
                }
            }
        }
        Ok(())
    }

    pub(super) fn root_of(&self, node: XPathNode) -> crate::message::xml::NodeId {
        let tree = &self.trees[node.tree as usize];
        tree.ancestors(node.node).last().unwrap_or(node.node)
    }

    pub(super) fn tree(&self, node: XPathNode) -> &XmlTree {
        &self.trees[node.tree as usize]
    }

    fn is_inside(&self, node: XPathNode, other: XPathNode) -> bool {
        node.tree == other.tree
            && !other.is_namespace()
            && (node.node == other.node
                || self
                    .tree(node)
                    .ancestors(node.node)
                    .any(|above| above == other.node))
    }

    fn put_in_order(&mut self, nodes: &mut NodeSet) -> Outcome<()> {
        let size = nodes.len() as u64;
        let key = |node: &XPathNode| (node.tree, self.tree(*node).position(node.node), node.namespace);
        if nodes.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
            return Ok(());
        }
        nodes.sort_unstable_by_key(key);
        nodes.dedup();
        self.charge(4 * size)
    }

    /// Pays for looking at nodes, or ends the evaluation.
    pub(super) fn charge(&mut self, visits: u64) -> Outcome<()> {
        match self.visits_left.checked_sub(visits) {
            Some(left) => {
                self.visits_left = left;
                Ok(())
            }
            None => Err(self.error("the expression looks at too many nodes of this message")),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> XPathError {
        XPathError::new(0..self.xpath.text.len(), message)
    }

    /// A value of the host as one of ours.
    fn take(&mut self, value: HostValue) -> Outcome<Value<'e>> {
        Ok(match value {
            HostValue::Nothing => Value::Nothing,
            HostValue::Text(text) => Value::Text(Cow::Owned(text)),
            HostValue::Number(number) => Value::Number(number),
            HostValue::Integer(number) => Value::Integer(number),
            HostValue::Boolean(boolean) => Value::Boolean(boolean),
            HostValue::Here(nodes) => {
                let mut nodes = nodes.into_iter().map(|node| XPathNode::new(0, node)).collect();
                self.put_in_order(&mut nodes)?;
                Value::Nodes(nodes)
            }
            HostValue::Nodes(tree, nodes) => {
                let number = self.number_of(tree);
                let mut nodes = nodes
                    .into_iter()
                    .map(|node| XPathNode::new(number, node))
                    .collect();
                self.put_in_order(&mut nodes)?;
                Value::Nodes(nodes)
            }
        })
    }

    fn number_of(&mut self, tree: Arc<XmlTree>) -> u32 {
        // A predicate asks for the same property again and again; a few trees back is far enough to look.
        let same = |known: &TreeRef<'_>| matches!(known, TreeRef::Other(known) if Arc::ptr_eq(known, &tree));
        let recent = self.trees.len().saturating_sub(8);
        if let Some(found) = self.trees[recent..].iter().position(same) {
            return (recent + found) as u32;
        }
        self.trees.push(TreeRef::Other(tree));
        self.trees.len() as u32 - 1
    }

    /// A value of ours for those outside.
    fn give(&self, value: Value<'e>) -> XPathValue<'e> {
        match value {
            Value::Nothing => XPathValue::Nothing,
            Value::Text(text) => XPathValue::Text(text),
            Value::Number(number) => XPathValue::Number(number),
            Value::Integer(number) => XPathValue::Integer(number),
            Value::Boolean(boolean) => XPathValue::Boolean(boolean),
            Value::Nodes(nodes) => {
                let says_node = self.xpath.text.contains("node()");
                XPathValue::Nodes(NodeList {
                    trees: self.trees.clone(),
                    nodes,
                    says_node,
                })
            }
        }
    }
}

impl Value<'_> {
    pub(super) fn as_boolean(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0.0 && !number.is_nan(),
            Value::Integer(number) => *number != 0,
            Value::Boolean(boolean) => *boolean,
            Value::Nodes(nodes) => !nodes.is_empty(),
        }
    }

    /// The number of a value that is not nodes.
    pub(super) fn as_number(&self) -> f64 {
        match self {
            Value::Nothing | Value::Nodes(_) => f64::NAN,
            Value::Text(text) => text_to_number(text),
            Value::Number(number) => *number,
            Value::Integer(number) => *number as f64,
            Value::Boolean(boolean) => f64::from(u8::from(*boolean)),
        }
    }
}
