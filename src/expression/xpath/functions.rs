//! The functions of XPath 1.0, three that Jaxen adds, and the names of those that the host answers.

use std::borrow::Cow;
use std::collections::HashMap;

use super::evaluate::{Context, Evaluation, Need, Outcome, Value};
use super::plan::Expression;
use super::value::{NodeSet, TreeRef, XPathNode, text_to_number};
use crate::message::xml::{Kind, XML_NAMESPACE, XmlTree};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Boolean,
    Ceiling,
    Concat,
    Contains,
    Count,
    EndsWith,
    False,
    Floor,
    Id,
    Lang,
    Last,
    LocalName,
    LowerCase,
    Name,
    NamespaceUri,
    NormalizeSpace,
    Not,
    Number,
    Position,
    Round,
    StartsWith,
    String,
    StringLength,
    Substring,
    SubstringAfter,
    SubstringBefore,
    Sum,
    Translate,
    True,
    UpperCase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returns {
    Nodes,
    Number,
    Text,
    Boolean,
    /// Only the host knows.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub name: &'static str,
    pub function: Function,
    pub least: usize,
    pub most: usize,
    pub returns: Returns,
    /// The first argument has to be nodes.
    pub wants_nodes: bool,
}

const fn entry(name: &'static str, function: Function, least: usize, most: usize, returns: Returns) -> Entry {
    Entry {
        name,
        function,
        least,
        most,
        returns,
        wants_nodes: false,
    }
}

const fn of_nodes(name: &'static str, function: Function, least: usize, returns: Returns) -> Entry {
    Entry {
        name,
        function,
        least,
        most: 1,
        returns,
        wants_nodes: true,
    }
}

/// In the order of `Function`.
pub(super) const FUNCTIONS: &[Entry] = &[
    entry("boolean", Function::Boolean, 1, 1, Returns::Boolean),
    entry("ceiling", Function::Ceiling, 1, 1, Returns::Number),
    entry("concat", Function::Concat, 2, usize::MAX, Returns::Text),
    entry("contains", Function::Contains, 2, 2, Returns::Boolean),
    of_nodes("count", Function::Count, 1, Returns::Number),
    entry("ends-with", Function::EndsWith, 2, 2, Returns::Boolean),
    entry("false", Function::False, 0, 0, Returns::Boolean),
    entry("floor", Function::Floor, 1, 1, Returns::Number),
    entry("id", Function::Id, 1, 1, Returns::Nodes),
    entry("lang", Function::Lang, 1, 1, Returns::Boolean),
    entry("last", Function::Last, 0, 0, Returns::Number),
    of_nodes("local-name", Function::LocalName, 0, Returns::Text),
    entry("lower-case", Function::LowerCase, 1, 2, Returns::Text),
    of_nodes("name", Function::Name, 0, Returns::Text),
    of_nodes("namespace-uri", Function::NamespaceUri, 0, Returns::Text),
    entry("normalize-space", Function::NormalizeSpace, 0, 1, Returns::Text),
    entry("not", Function::Not, 1, 1, Returns::Boolean),
    entry("number", Function::Number, 0, 1, Returns::Number),
    entry("position", Function::Position, 0, 0, Returns::Number),
    entry("round", Function::Round, 1, 1, Returns::Number),
    entry("starts-with", Function::StartsWith, 2, 2, Returns::Boolean),
    entry("string", Function::String, 0, 1, Returns::Text),
    entry("string-length", Function::StringLength, 0, 1, Returns::Number),
    entry("substring", Function::Substring, 2, 3, Returns::Text),
    entry("substring-after", Function::SubstringAfter, 2, 2, Returns::Text),
    entry("substring-before", Function::SubstringBefore, 2, 2, Returns::Text),
    of_nodes("sum", Function::Sum, 1, Returns::Number),
    entry("translate", Function::Translate, 3, 3, Returns::Text),
    entry("true", Function::True, 0, 0, Returns::Boolean),
    entry("upper-case", Function::UpperCase, 1, 2, Returns::Text),
];

/// Functions of the host: name, least and most arguments. Any prefix, or none, may stand before them.
pub(super) const HOST_FUNCTIONS: &[(&str, usize, usize)] = &[
    ("get-property", 1, 2),
    ("base64Encode", 1, 2),
    ("base64Decode", 1, 2),
    ("url-encode", 1, 2),
    ("hmac-generate", 2, 3),
    ("encrypt", 1, 6),
    ("decrypt", 1, 6),
    ("vault-lookup", 1, 3),
];

impl Function {
    pub fn entry(self) -> &'static Entry {
        &FUNCTIONS[self as usize]
    }

    /// Whether a call with so many arguments asks for the context node.
    pub fn asks_context(self, arguments: usize) -> bool {
        match self {
            Function::Lang | Function::Id => true,
            Function::Position | Function::Last | Function::True | Function::False => false,
            _ => arguments == 0,
        }
    }
}

impl<'e> Evaluation<'e, '_> {
    pub(super) fn call(
        &mut self,
        function: Function,
        arguments: &'e [Expression],
        context: Context,
    ) -> Outcome<Value<'e>> {
        let text = |text: Cow<'e, str>| Ok(Value::Text(text));
        match function {
            Function::True => Ok(Value::Boolean(true)),
            Function::False => Ok(Value::Boolean(false)),
            Function::Boolean => Ok(Value::Boolean(self.boolean(&arguments[0], context)?)),
            Function::Not => Ok(Value::Boolean(!self.boolean(&arguments[0], context)?)),
            Function::Lang => self.lang(&arguments[0], context),

            Function::Position => Ok(Value::Number(context.position as f64)),
            Function::Last => Ok(Value::Number(context.size as f64)),
            Function::Count => match self.value(&arguments[0], context)? {
                Value::Nodes(nodes) => Ok(Value::Number(nodes.len() as f64)),
                Value::Nothing => Ok(Value::Number(0.0)),
                // As Jaxen counts what is not a list.
                _ => Ok(Value::Number(1.0)),
            },
            Function::Sum => {
                let mut sum = 0.0;
                for node in self.nodes(&arguments[0], context, Need::All)? {
                    sum += text_to_number(&self.text_of(node)?);
                }
                Ok(Value::Number(sum))
            }
            Function::Number => match arguments.first() {
                Some(argument) => Ok(Value::Number(self.number(argument, context)?)),
                None => Ok(Value::Number(text_to_number(&self.context_text(context)?))),
            },
            Function::Floor => Ok(Value::Number(self.number(&arguments[0], context)?.floor())),
            Function::Ceiling => Ok(Value::Number(self.number(&arguments[0], context)?.ceil())),
            Function::Round => Ok(Value::Number(round(self.number(&arguments[0], context)?))),
            Function::StringLength => {
                let text = self.text_or_context(arguments, context)?;
                Ok(Value::Number(text.chars().count() as f64))
            }

            Function::String => text(self.text_or_context(arguments, context)?),
            Function::Concat => {
                let mut joined = String::new();
                for argument in arguments {
                    joined.push_str(&self.text(argument, context)?);
                }
                text(Cow::Owned(joined))
            }
            Function::StartsWith => {
                let (whole, part) = self.two_texts(arguments, context)?;
                Ok(Value::Boolean(whole.starts_with(&*part)))
            }
            Function::EndsWith => {
                let (whole, part) = self.two_texts(arguments, context)?;
                Ok(Value::Boolean(whole.ends_with(&*part)))
            }
            Function::Contains => {
                let (whole, part) = self.two_texts(arguments, context)?;
                Ok(Value::Boolean(
                    memchr::memmem::find(whole.as_bytes(), part.as_bytes()).is_some(),
                ))
            }
            Function::SubstringBefore => {
                let (whole, part) = self.two_texts(arguments, context)?;
                let end = whole.find(&*part).unwrap_or(0);
                text(piece(whole, 0, Some(end)))
            }
            Function::SubstringAfter => {
                let (whole, part) = self.two_texts(arguments, context)?;
                let start = whole.find(&*part).map_or(whole.len(), |at| at + part.len());
                text(piece(whole, start, None))
            }
            Function::Substring => {
                let whole = self.text(&arguments[0], context)?;
                let first = round(self.number(&arguments[1], context)?);
                let behind = match arguments.get(2) {
                    Some(length) => first + round(self.number(length, context)?),
                    None => f64::INFINITY,
                };
                text(substring(whole, first, behind))
            }
            Function::NormalizeSpace => {
                let whole = self.text_or_context(arguments, context)?;
                text(normalize(whole))
            }
            Function::Translate => {
                let whole = self.text(&arguments[0], context)?;
                let (from, to) = self.two_texts(&arguments[1..], context)?;
                let mut to = to.chars();
                let mut map: HashMap<char, Option<char>> = HashMap::new();
                for character in from.chars() {
                    let replacement = to.next();
                    map.entry(character).or_insert(replacement);
                }
                let translate = |character: char| map.get(&character).copied().unwrap_or(Some(character));
                text(Cow::Owned(whole.chars().filter_map(translate).collect()))
            }
            Function::LowerCase => text(Cow::Owned(self.text(&arguments[0], context)?.to_lowercase())),
            Function::UpperCase => text(Cow::Owned(self.text(&arguments[0], context)?.to_uppercase())),

            Function::LocalName | Function::Name | Function::NamespaceUri => {
                let node = match arguments.first() {
                    Some(argument) => self.nodes(argument, context, Need::First)?.first().copied(),
                    None => context.node,
                };
                text(node.map_or(Cow::Borrowed(""), |node| self.name_of(node, function)))
            }
            Function::Id => self.by_id(&arguments[0], context),
        }
    }

    fn context_text(&mut self, context: Context) -> Outcome<Cow<'e, str>> {
        match context.node {
            Some(node) => self.text_of(node),
            None => Ok(Cow::Borrowed("")),
        }
    }

    fn text_or_context(&mut self, arguments: &'e [Expression], context: Context) -> Outcome<Cow<'e, str>> {
        match arguments.first() {
            Some(argument) => self.text(argument, context),
            None => self.context_text(context),
        }
    }

    fn two_texts(
        &mut self,
        arguments: &'e [Expression],
        context: Context,
    ) -> Outcome<(Cow<'e, str>, Cow<'e, str>)> {
        Ok((
            self.text(&arguments[0], context)?,
            self.text(&arguments[1], context)?,
        ))
    }

    fn name_of(&self, node: XPathNode, function: Function) -> Cow<'e, str> {
        match &self.trees[node.tree as usize] {
            TreeRef::Payload(tree) => name_of(tree, node, function),
            TreeRef::Other(tree) => Cow::Owned(name_of(tree, node, function).into_owned()),
        }
    }

    fn lang(&mut self, argument: &'e Expression, context: Context) -> Outcome<Value<'e>> {
        let wanted = self.text(argument, context)?;
        let Some(node) = context.node else {
            return Ok(Value::Boolean(false));
        };
        let tree = self.tree(node);
        let language = std::iter::once(node.node)
            .chain(tree.ancestors(node.node))
            .find_map(|element| tree.attribute(element, XML_NAMESPACE, "lang"));
        let holds = language.is_some_and(|language| match language.get(..wanted.len()) {
            Some(start) if start.eq_ignore_ascii_case(&wanted) => {
                matches!(language.as_bytes().get(wanted.len()), None | Some(b'-'))
            }
            _ => false,
        });
        Ok(Value::Boolean(holds))
    }

    /// Without a DTD, only `xml:id` makes an attribute an identifier.
    fn by_id(&mut self, argument: &'e Expression, context: Context) -> Outcome<Value<'e>> {
        let mut wanted: Vec<String> = Vec::new();
        let mut add = |text: &str| wanted.extend(text.split_ascii_whitespace().map(str::to_string));
        match self.value(argument, context)? {
            Value::Nodes(nodes) => {
                for node in nodes {
                    add(&self.text_of(node)?);
                }
            }
            _ => add(&self.text(argument, context)?),
        }
        let Some(node) = context.node.filter(|_| !wanted.is_empty()) else {
            return Ok(Value::Nodes(NodeSet::new()));
        };
        let tree = self.tree(node);
        let mut found = NodeSet::new();
        let mut visits = 0;
        for element in tree.descendants(self.root_of(node)) {
            visits += 1;
            if let Some(id) = tree.attribute(element, XML_NAMESPACE, "id")
                && let Some(index) = wanted.iter().position(|wanted| wanted == id)
            {
                wanted.swap_remove(index);
                found.push(XPathNode::new(node.tree, element));
            }
        }
        self.charge(visits)?;
        Ok(Value::Nodes(found))
    }
}

fn name_of(tree: &XmlTree, node: XPathNode, function: Function) -> Cow<'_, str> {
    if let Some((prefix, _)) = node.binding(tree) {
        return Cow::Borrowed(if function == Function::NamespaceUri {
            ""
        } else {
            prefix
        });
    }
    match (tree.kind(node.node), function) {
        (Kind::Element | Kind::Attribute, Function::NamespaceUri) => Cow::Borrowed(tree.namespace(node.node)),
        (Kind::Element | Kind::Attribute, Function::Name) => tree.qualified_name(node.node),
        (Kind::Element | Kind::Attribute, _) => Cow::Borrowed(tree.local_name(node.node)),
        (Kind::Instruction, Function::LocalName | Function::Name) => {
            Cow::Borrowed(tree.local_name(node.node))
        }
        _ => Cow::Borrowed(""),
    }
}

/// XPath 1.0, 4.4: halves go up, and what rounds to nothing keeps its sign.
pub(super) fn round(number: f64) -> f64 {
    let floor = number.floor();
    let rounded = if number - floor >= 0.5 { floor + 1.0 } else { floor };
    if rounded == 0.0 && number.is_sign_negative() {
        -0.0
    } else {
        rounded
    }
}

/// Positions count characters from 1; comparing as numbers makes NaN and infinities come out as 4.2 says.
fn substring(whole: Cow<'_, str>, first: f64, behind: f64) -> Cow<'_, str> {
    let (mut start, mut end) = (None, whole.len());
    for (index, (at, _)) in whole.char_indices().enumerate() {
        let position = (index + 1) as f64;
        let inside = position >= first && position < behind;
        if inside && start.is_none() {
            start = Some(at);
        } else if !inside && start.is_some() {
            end = at;
            break;
        }
    }
    match start {
        Some(start) => piece(whole, start, Some(end)),
        None => Cow::Borrowed(""),
    }
}

fn piece(whole: Cow<'_, str>, start: usize, end: Option<usize>) -> Cow<'_, str> {
    match whole {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..end.unwrap_or(text.len())]),
        Cow::Owned(mut text) => {
            text.truncate(end.unwrap_or(text.len()));
            text.drain(..start.min(text.len()));
            Cow::Owned(text)
        }
    }
}

fn normalize(whole: Cow<'_, str>) -> Cow<'_, str> {
    let spaces = [' ', '\t', '\n', '\r'];
    let words = whole.split(spaces).filter(|word| !word.is_empty());
    let mut normal = String::with_capacity(whole.len());
    for word in words {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.push_str(word);
    }
    if normal.len() == whole.len() {
        whole
    } else {
        Cow::Owned(normal)
    }
}
