//! A value written as XML, by what `xml` in its schema says: names, attributes, wrapped lists, namespaces.

use super::super::read::Node;
use super::Shape;
use crate::deployment::openapi::references::References;
use crate::message::json::Json;
use crate::message::xml::{continues_name, starts_name};

/// The name of a document's element where neither the schema nor a reference gives one.
const UNNAMED: &str = "root";

pub(super) fn document(value: &Json, schema: &Node, root: &Node) -> String {
    let shape = Shape::of(schema, root, 0);
    // A text where the schema says object or array is XML already.
    if let (Json::String(text), Some("object" | "array")) = (value, shape.kind().as_deref()) {
        return text.clone();
    }
    let name = said(&shape, "name")
        .or(first_reference(schema, root))
        .unwrap_or(UNNAMED);
    let mut out = String::new();
    match value {
        Json::Array(items) => {
            let named = said(&shape, "name").is_some() || first_reference(schema, root).is_some();
            match (items.as_slice(), is_wrapped(&shape) || named) {
                // A list that nobody named has no element of its own, as long as the document has one.
                ([item], false) => {
                    let inner = shape.get("items").unwrap_or(schema);
                    let name = item_name(&shape, root)
                        .or(first_reference(inner, root))
                        .unwrap_or(name);
                    element(item, Some(inner), name, root, 0, &mut out);
                }
                _ => {
                    let inner = shape.get("items").and_then(|items| first_reference(items, root));
                    let item = item_name(&shape, root).or(inner).unwrap_or(name);
                    wrapped(items, &shape, name, item, root, 0, &mut out);
                }
            }
        }
        value => element(value, Some(schema), name, root, 0, &mut out),
    }
    out
}

/// No value of a schema is nested deeper; examples may be.
const DEEPEST: usize = 128;

/// One value as an element; a list as its elements, wrapped or not.
fn element(value: &Json, schema: Option<&Node>, name: &str, root: &Node, depth: usize, out: &mut String) {
    if depth > DEEPEST {
        return;
    }
    let shape = schema.map(|schema| Shape::of(schema, root, 0));
    let name = shape
        .as_ref()
        .filter(|_| !value.is_array())
        .and_then(|shape| said(shape, "name"))
        .unwrap_or(name);
    if let Json::Array(items) = value {
        let Some(shape) = shape else {
            items
                .iter()
                .for_each(|item| element(item, None, name, root, depth + 1, out));
            return;
        };
        if is_wrapped(&shape) {
            let outer = said(&shape, "name").unwrap_or(name);
            let item = item_name(&shape, root).unwrap_or(outer);
            wrapped(items, &shape, outer, item, root, depth, out);
        } else {
            let inner = shape.get("items");
            items
                .iter()
                .for_each(|item| element(item, inner, name, root, depth + 1, out));
        }
        return;
    }
    let (tag, declared) = tag(shape.as_ref(), name);
    out.push('<');
    out.push_str(&tag);
    out.push_str(&declared);
    let Json::Object(object) = value else {
        return close(&tag, &escaped(&text(value), false), out);
    };
    let mut inside = String::new();
    for (key, value) in object {
        let schema = property(schema, key, root, 0);
        let inner = schema.map(|schema| Shape::of(schema, root, 0));
        match inner {
            Some(inner) if said(&inner, "attribute") == Some("true") => {
                let (name, declared) = self::tag(Some(&inner), said(&inner, "name").unwrap_or(key));
                out.push_str(&format!("{declared} {name}=\"{}\"", escaped(&text(value), true)));
            }
            _ => element(value, schema, key, root, depth + 1, &mut inside),
        }
    }
    close(&tag, &inside, out);
}

fn wrapped(
    items: &[Json],
    shape: &Shape<'_>,
    outer: &str,
    item: &str,
    root: &Node,
    depth: usize,
    out: &mut String,
) {
    let (tag, declared) = tag(Some(shape), outer);
    out.push('<');
    out.push_str(&tag);
    out.push_str(&declared);
    let inner = shape.get("items");
    let mut inside = String::new();
    items
        .iter()
        .for_each(|value| element(value, inner, item, root, depth + 1, &mut inside));
    close(&tag, &inside, out);
}

fn close(tag: &str, inside: &str, out: &mut String) {
    match inside {
        "" => out.push_str("/>"),
        inside => {
            out.push('>');
            out.push_str(inside);
            out.push_str(&format!("</{tag}>"));
        }
    }
}

/// The name of a tag with its prefix, and the declaration that it needs.
fn tag(shape: Option<&Shape<'_>>, name: &str) -> (String, String) {
    let said = |word| {
        shape
            .and_then(|shape| said(shape, word))
            .filter(|text| !text.is_empty())
    };
    let name = legal(name);
    let namespace = said("namespace").map(|uri| escaped(uri, true));
    match (said("prefix"), namespace) {
        (Some(prefix), Some(uri)) => {
            let prefix = legal(prefix);
            (format!("{prefix}:{name}"), format!(" xmlns:{prefix}=\"{uri}\""))
        }
        // A prefix that nothing declares would be no XML.
        (_, None) => (name, String::new()),
        (None, Some(uri)) => (name, format!(" xmlns=\"{uri}\"")),
    }
}

/// What `xml` says in a schema or in what it is put together from.
fn said<'a>(shape: &Shape<'a>, word: &str) -> Option<&'a str> {
    let mut own = shape.parts.iter().filter(|part| !part.composed);
    let of = |node: &'a Node| node.get("xml")?.get(word)?.text();
    own.find_map(|part| of(part.node))
        .or_else(|| shape.parts.iter().find_map(|part| of(part.node)))
}

fn is_wrapped(shape: &Shape<'_>) -> bool {
    said(shape, "wrapped") == Some("true")
}

fn item_name<'a>(shape: &Shape<'a>, root: &'a Node) -> Option<&'a str> {
    said(&Shape::of(shape.get("items")?, root, 0), "name")
}

/// The name by which a schema is referred to, as products name the element of a document.
fn first_reference<'a>(schema: &'a Node, _root: &'a Node) -> Option<&'a str> {
    schema.get("$ref").and_then(Node::text)?.rsplit('/').next()
}

/// The schema of a property, wherever in a composed schema it is described.
fn property<'a>(schema: Option<&'a Node>, key: &str, root: &'a Node, depth: usize) -> Option<&'a Node> {
    let schema = schema?;
    if depth > 16 {
        return None;
    }
    if let Some(found) = schema
        .get("properties")
        .and_then(|properties| properties.get(key))
    {
        return Some(found);
    }
    let target = References::new(root).resolve(schema);
    if !std::ptr::eq(target, schema)
        && let Some(found) = property(Some(target), key, root, depth + 1)
    {
        return Some(found);
    }
    let composed = ["allOf", "oneOf", "anyOf"];
    let found = composed
        .iter()
        .filter_map(|word| schema.get(word))
        .flat_map(Node::items)
        .find_map(|part| property(Some(part), key, root, depth + 1));
    found.or_else(|| {
        let rest = schema.get("additionalProperties")?;
        (!rest.entries().is_empty()).then_some(rest)
    })
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        value => crate::message::json::text(value),
    }
}

fn legal(name: &str) -> String {
    let mut legal = String::new();
    for character in name.chars() {
        let fits = character != ':'
            && if legal.is_empty() {
                starts_name(character)
            } else {
                continues_name(character)
            };
        match fits {
            true => legal.push(character),
            // A name that begins with a digit keeps it.
            false if legal.is_empty() && continues_name(character) => {
                legal.push('_');
                legal.push(character);
            }
            false => legal.push('_'),
        }
    }
    if legal.is_empty() {
        legal.push('_');
    }
    legal
}

fn escaped(text: &str, in_attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\t' | '\n' if in_attribute => out.push_str(&format!("&#{};", character as u32)),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            // No document can hold them.
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            character => out.push(character),
        }
    }
    out
}
