//! A value from a schema: what its author gives as an example, else something that the schema allows, as JSON and as XML.
//!
//! Without a seed the same schema always gives the same value. What is not looked at: `not`, `if`, `dependentSchemas`, `contains` beside
//! `items`, and patterns with look-around. They can make a sample that its schema refuses, never a failure.

mod scalars;
mod shape;
mod xml;

use super::read::{Node, Value};
use super::references::References;
use crate::message::json::{Json, Object};
use shape::{Part, Shape};
use std::collections::HashSet;

/// What a sample is for.
#[derive(Clone, Copy)]
pub struct Sampling<'a> {
    /// The definition, in which references lead somewhere.
    pub root: &'a Node,
    pub way: Way,
    /// Makes other values than the fixed ones, always the same of one seed; examples that stand alone do not count then.
    pub seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Without what is only read.
    Request,
    /// Without what is only written.
    Answer,
}

/// A value that the schema describes.
pub fn json(schema: &Node, sampling: &Sampling<'_>) -> Json {
    let mut maker = Maker::new(sampling);
    maker
        .sample(schema)
        .unwrap_or_else(|| match Shape::of(schema, sampling.root, 0).kind().as_deref() {
            Some("object") => Json::Object(Object::new()),
            Some("array") => Json::Array(Vec::new()),
            _ => Json::Null,
        })
}

/// The same as the text of an XML document, without a declaration.
pub fn xml(schema: &Node, sampling: &Sampling<'_>) -> String {
    xml_of(&json(schema, sampling), schema, sampling.root)
}

/// A value, say an example, written as XML in the names that its schema gives.
pub fn xml_of(value: &Json, schema: &Node, root: &Node) -> String {
    xml::document(value, schema, root)
}

/// Bounds for schemas that grow by being used: a sample has no more parts and no more text than that.
const MOST_PARTS: usize = 20_000;
const MOST_TEXT: usize = 1 << 20;
const DEEPEST: usize = 60;
const MOST_ITEMS: usize = 1_000;

struct Maker<'a> {
    root: &'a Node,
    way: Way,
    random: Option<fastrand::Rng>,
    /// What a sample is being made of, from the outside in: none of it can stand in itself once more.
    open: Vec<&'a Node>,
    parts: usize,
    text: usize,
    /// The number of an item among items that have to differ.
    differing: usize,
}

impl<'a> Maker<'a> {
    fn new(sampling: &Sampling<'a>) -> Maker<'a> {
        Maker {
            root: sampling.root,
            way: sampling.way,
            random: sampling.seed.map(fastrand::Rng::with_seed),
            open: Vec::new(),
            parts: 0,
            text: 0,
            differing: 0,
        }
    }

    /// `None`: there is no value without one of the same schema in it, or it has grown too large.
    fn sample(&mut self, schema: &'a Node) -> Option<Json> {
        let target = References::new(self.root).resolve(schema);
        self.parts += 1;
        let is_open = self.open.iter().any(|open| std::ptr::eq(*open, target));
        let is_large = self.parts > MOST_PARTS || self.text > MOST_TEXT || self.open.len() > DEEPEST;
        if is_open || is_large {
            return None;
        }
        self.open.push(target);
        let made = self.made(schema);
        self.open.pop();
        made
    }

    fn made(&mut self, schema: &'a Node) -> Option<Json> {
        let ways = Shape::of(schema, self.root, 0).ways;
        let first = self.random.as_mut().map_or(0, |random| random.usize(..ways));
        let mut nullable = false;
        for choice in first..first + ways {
            let shape = Shape::of(schema, self.root, choice);
            nullable |= shape.is_nullable();
            let given = self.given(&shape);
            if let Some(value) = given.or_else(|| self.by_kind(&shape)) {
                return Some(value);
            }
        }
        nullable.then_some(Json::Null)
    }

    /// What the author gives: an example, a default, the only value or the first of several.
    fn given(&mut self, shape: &Shape<'a>) -> Option<Json> {
        let kind = shape.kind();
        let nullable = shape.is_nullable();
        let read = |node: &Node| {
            let value = typed(node, kind.as_deref());
            (nullable || !value.is_null()).then_some(value)
        };
        if let Some(node) = shape.get("const") {
            return Some(typed(node, kind.as_deref()));
        }
        let holds_properties = |part: &Part<'_>| part.node.get("properties").is_some();
        for (index, part) in shape.parts.iter().enumerate() {
            // An example that came with one of several parts tells a part of the object.
            let is_whole = !part.composed
                || !shape
                    .parts
                    .iter()
                    .enumerate()
                    .any(|(other, part)| other != index && holds_properties(part));
            let examples: Vec<&Node> = match part.node.get("examples").map(|examples| &examples.value) {
                Some(Value::List(items)) => items.iter().collect(),
                Some(Value::Map(entries)) => entries.iter().map(|(_, node)| node).collect(),
                _ => Vec::new(),
            };
            let single = ["example", "x-example"]
                .iter()
                .find_map(|name| part.node.get(name));
            let picked = match &mut self.random {
                None => single.or(examples.first().copied()).or(part.node.get("default")),
                Some(random) if examples.len() > 1 => Some(examples[random.usize(..examples.len())]),
                Some(_) => None,
            };
            let value = picked.and_then(read);
            if let Some(value) = value.filter(|value| is_whole || !value.is_object())
                && self.differing == 0
            {
                return Some(value);
            }
        }
        let choices = shape.get("enum")?.items();
        let choices: Vec<&Node> = choices
            .iter()
            .filter(|choice| read(choice).is_some_and(|value| !value.is_null()))
            .collect();
        let at = match &mut self.random {
            Some(random) if !choices.is_empty() => random.usize(..choices.len()),
            _ => self.differing.checked_rem(choices.len())?,
        };
        read(choices[at])
    }

    fn by_kind(&mut self, shape: &Shape<'a>) -> Option<Json> {
        let made = match shape.kind().as_deref() {
            Some("object") => return self.object(shape),
            Some("array") => return self.array(shape),
            Some("string") => Json::String(scalars::string(shape, self.random.as_mut(), self.differing)),
            Some("integer") => scalars::integer(shape, self.random.as_mut(), self.differing),
            Some("number") => scalars::number(shape, self.random.as_mut(), self.differing),
            Some("boolean") => Json::Bool(match &mut self.random {
                Some(random) => random.bool(),
                None => self.differing.is_multiple_of(2),
            }),
            Some("null") => Json::Null,
            Some("file") => Json::String("string".to_owned()),
            _ => Json::Object(Object::new()),
        };
        if let Json::String(text) = &made {
            self.text += text.len();
        }
        Some(made)
    }

    fn object(&mut self, shape: &Shape<'a>) -> Option<Json> {
        let discriminator = shape.discriminator();
        let told = self.told(shape);
        let mut object = Object::new();
        let properties = shape.properties();
        for (name, schema) in &properties {
            if self.is_hidden(schema) {
                continue;
            }
            let value = match &discriminator {
                Some((property, value)) if property == name => Some(Json::String(value.clone())),
                _ => match told.get(*name) {
                    Some(value) => Some(value.clone()),
                    None => self.sample(schema),
                },
            };
            match value {
                Some(value) => {
                    self.text += name.len();
                    object.insert((*name).to_owned(), value);
                }
                None if shape.requires(name) => return None,
                None => {}
            }
        }
        // What is demanded and nowhere described may be anything.
        for name in shape.all("required").flat_map(Node::items).filter_map(Node::text) {
            if !object.contains_key(name) && !properties.iter().any(|(known, _)| *known == name) {
                let value = match &discriminator {
                    Some((property, value)) if *property == name => Json::String(value.clone()),
                    _ => told
                        .get(name)
                        .cloned()
                        .unwrap_or_else(|| Json::String("string".to_owned())),
                };
                object.insert(name.to_owned(), value);
            }
        }
        self.more_members(shape, properties.is_empty(), &mut object);
        Some(Json::Object(object))
    }

    /// Examples of parts of an object, put together.
    fn told(&self, shape: &Shape<'a>) -> Object {
        let mut told = Object::new();
        if self.random.is_none() {
            for example in shape
                .parts
                .iter()
                .filter(|part| part.composed)
                .filter_map(|part| part.node.get("example"))
            {
                for (key, value) in example.entries() {
                    told.insert(key.name.clone(), value.json());
                }
            }
        }
        told
    }

    /// Members of a map, by the names that products give them.
    fn more_members(&mut self, shape: &Shape<'a>, is_map: bool, object: &mut Object) {
        let least = shape.count("minProperties").unwrap_or(0).min(MOST_ITEMS);
        let most = shape.count("maxProperties").unwrap_or(MOST_ITEMS);
        let schema = shape.get("additionalProperties");
        if is_map && let Some(patterns) = shape.get("patternProperties") {
            for (key, schema) in patterns.entries() {
                let name = scalars::matching(&key.name, 0, usize::MAX, self.random.as_mut());
                if let (Some(name), Some(value)) = (name, self.sample(schema)) {
                    object.insert(name, value);
                }
            }
        }
        let closed = schema.is_some_and(|schema| schema.text() == Some("false"));
        let wanted = match (is_map && object.is_empty(), schema) {
            (true, Some(_)) if !closed => 3.max(least),
            _ if closed => 0,
            _ => least,
        };
        let given = shape
            .get("propertyNames")
            .map(|names| Shape::of(names, self.root, 0))
            .and_then(|names| names.get("enum"))
            .map_or(&[][..], Node::items);
        let mut number = 0;
        while object.len() < wanted.min(most) {
            let name = match given {
                [] => format!("additionalProp{}", number + 1),
                given => match given.get(number).and_then(Node::text) {
                    Some(name) => name.to_owned(),
                    None => break,
                },
            };
            number += 1;
            let value = match schema {
                Some(schema) if schema.text().is_none() => self.sample(schema),
                _ => Some(Json::Object(Object::new())),
            };
            match value {
                Some(value) => {
                    self.text += name.len();
                    object.entry(name).or_insert(value);
                }
                None => break,
            }
            if number > MOST_ITEMS * 2 {
                break;
            }
        }
    }

    fn is_hidden(&self, schema: &'a Node) -> bool {
        let word = match self.way {
            Way::Request => "readOnly",
            Way::Answer => "writeOnly",
        };
        Shape::of(schema, self.root, 0).is_true(word)
    }

    fn array(&mut self, shape: &Shape<'a>) -> Option<Json> {
        let least = shape.count("minItems").unwrap_or(0);
        let most = shape.count("maxItems").unwrap_or(usize::MAX);
        let head = shape.get("prefixItems").map_or(&[][..], Node::items);
        let rest = shape
            .get("items")
            .or(shape.get("contains"))
            .filter(|items| items.text() != Some("false"));
        let wanted = match (&mut self.random, rest) {
            (_, None) => head.len(),
            (Some(random), Some(_)) => random.usize(1..=3),
            (None, Some(_)) => 1,
        };
        let wanted = wanted.max(head.len()).max(least).min(most).min(MOST_ITEMS);
        let differ = shape.is_true("uniqueItems");
        let around = self.differing;
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        let mut tries = 0;
        while items.len() < wanted && tries < wanted * 2 + 8 {
            if differ {
                self.differing = tries;
            }
            tries += 1;
            let made = match head.get(items.len()).or(rest) {
                Some(schema) => self.sample(schema),
                None => Some(Json::Object(Object::new())),
            };
            let Some(made) = made else { break };
            if differ && !seen.insert(crate::message::json::text(&made)) {
                continue;
            }
            items.push(made);
        }
        self.differing = around;
        (items.len() >= least.min(most).min(1)).then_some(Json::Array(items))
    }
}

/// A value as its schema means it: in YAML `version: 1.0` is a number, and its author meant text where the schema says so.
fn typed(node: &Node, kind: Option<&str>) -> Json {
    let value = node.json();
    match (kind, &value, node.text()) {
        (Some("string"), Json::Number(_) | Json::Bool(_), Some(text)) => Json::String(text.to_owned()),
        (Some("integer" | "number"), Json::String(text), _) => {
            match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) => Json::Number(number),
                Err(_) => value,
            }
        }
        (Some("boolean"), Json::String(text), _) => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => value,
        },
        _ => value,
    }
}

#[cfg(test)]
mod tests;
