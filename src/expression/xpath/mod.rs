//! XPath 1.0, with Synapse's variables and functions: compiled once, evaluated on trees.
//!
//! `lexer` and `parser` make an expression of a text and find what is wrong with it, `plan` is what they make,
//! `evaluate` answers it with the help of `axes`, `functions` and `compare`, `value` is what comes out.

mod axes;
mod compare;
mod evaluate;
mod functions;
mod lexer;
mod parser;
mod plan;
mod value;

use std::ops::Range;
use std::sync::Arc;

use crate::message::xml::{Namespaces, NodeId, XmlTree};

pub use value::{NodeList, TreeRef, XPathNode, XPathValue, number_to_text, text_to_number};

/// A compiled expression. It belongs to no document and is shared by all threads.
#[derive(Debug, Clone, PartialEq)]
pub struct XPath {
    text: Box<str>,
    root: plan::Expression,
    names: Vec<plan::WantedName>,
    needs_tree: bool,
}

/// What is wrong with an expression, where in its text, and what may help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XPathError {
    pub message: String,
    pub range: Range<usize>,
    pub help: Option<String>,
}

/// Where an expression is asked.
#[derive(Debug, Clone, Copy)]
pub struct Focus<'a> {
    /// The payload. An expression that does not need it can be answered without.
    pub tree: Option<&'a XmlTree>,
    pub context: NodeId,
    /// `$body`
    pub body: Option<NodeId>,
    /// `$header`
    pub header: Option<NodeId>,
}

impl<'a> Focus<'a> {
    /// A focus on a node of a tree.
    pub fn on(tree: &'a XmlTree, context: NodeId) -> Focus<'a> {
        Focus {
            tree: Some(tree),
            context,
            body: None,
            header: None,
        }
    }

    /// For expressions that do not need the payload.
    pub fn nowhere() -> Focus<'static> {
        Focus {
            tree: None,
            context: NodeId::DOCUMENT,
            body: None,
            header: None,
        }
    }
}

/// Who answers variables such as `$ctx:name` and functions such as `get-property`.
pub trait Host {
    fn variable(&mut self, prefix: &str, name: &str) -> Result<HostValue, String>;
    fn call(&mut self, prefix: &str, name: &str, arguments: &[XPathValue<'_>]) -> Result<HostValue, String>;
}

#[derive(Debug, Clone)]
pub enum HostValue {
    /// Null: there is no such thing.
    Nothing,
    Text(String),
    Number(f64),
    /// As a number, but written without `.0`.
    Integer(i64),
    Boolean(bool),
    /// Nodes of a tree of their own, as of a property that holds XML.
    Nodes(Arc<XmlTree>, Vec<NodeId>),
    /// Nodes of the payload.
    Here(Vec<NodeId>),
}

/// A host that knows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn variable(&mut self, prefix: &str, name: &str) -> Result<HostValue, String> {
        Err(format!("there is no variable `${prefix}:{name}` here"))
    }

    fn call(&mut self, _: &str, name: &str, _: &[XPathValue<'_>]) -> Result<HostValue, String> {
        Err(format!("there is no function `{name}` here"))
    }
}

/// How many nodes one evaluation may look at.
pub const MOST_VISITS: u64 = 10_000_000;

impl XPath {
    /// Parses and checks an expression. Prefixes are those in scope where it stands.
    pub fn compile(text: &str, namespaces: &Namespaces) -> Result<XPath, XPathError> {
        let (root, names) = parser::parse(text, namespaces)?;
        let needs_tree = root.needs_tree(false);
        Ok(XPath {
            text: text.into(),
            root,
            names,
            needs_tree,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the answer can depend on the payload, so that it has to be read first.
    pub fn needs_tree(&self) -> bool {
        self.needs_tree
    }

    /// The name of the property when the expression is nothing but `$prefix:name`.
    pub fn plain_variable(&self) -> Option<(&str, &str)> {
        match &self.root {
            plan::Expression::Variable(plan::Variable::Host { prefix, name }) => Some((prefix, name)),
            _ => None,
        }
    }

    pub fn evaluate<'a>(
        &'a self,
        focus: &Focus<'a>,
        host: &mut dyn Host,
    ) -> Result<XPathValue<'a>, XPathError> {
        self.evaluate_within(focus, host, MOST_VISITS)
    }

    /// As `evaluate`, with another budget of nodes to look at.
    pub fn evaluate_within<'a>(
        &'a self,
        focus: &Focus<'a>,
        host: &mut dyn Host,
        visits: u64,
    ) -> Result<XPathValue<'a>, XPathError> {
        evaluate::evaluate(self, focus, host, visits)
    }

    /// Whether the expression holds, without gathering more nodes than that takes.
    pub fn holds(&self, focus: &Focus<'_>, host: &mut dyn Host) -> Result<bool, XPathError> {
        evaluate::holds(self, focus, host, MOST_VISITS)
    }
}

impl XPathError {
    fn new(range: Range<usize>, message: impl Into<String>) -> XPathError {
        XPathError {
            message: message.into(),
            range,
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> XPathError {
        self.help = Some(help.into());
        self
    }

    fn maybe_help(mut self, help: Option<String>) -> XPathError {
        self.help = help;
        self
    }
}

impl std::fmt::Display for XPathError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for XPathError {}

#[cfg(test)]
mod tests;
