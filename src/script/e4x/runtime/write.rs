//! XML values as text: with the namespaces that their names need, and those that they inherit.

use super::{ATTRIBUTE, COMMENT, DEPTH, ELEMENT, INSTRUCTION, TEXT, broken, items_of, kind, too_deep, word};
use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsResult, JsString, JsValue, js_string};

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// `write(items, pretty, indent)`
pub fn write(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [items, pretty, indent] = arguments else {
        return Err(broken());
    };
    // More than a screen is as wide is no indent.
    let indent = indent.to_number(context)?.clamp(0.0, 80.0) as usize;
    let mut writer = Writer {
        out: String::new(),
        scope: Vec::new(),
        indent: pretty.to_boolean().then_some(indent),
    };
    for (index, item) in items_of(items, context)?.iter().enumerate() {
        if index > 0 && writer.indent.is_some() {
            writer.out.push('\n');
        }
        writer.scope.clear();
        writer.node(item, 0, 0, context)?;
    }
    Ok(JsString::from(writer.out.as_str()).into())
}

pub fn escape_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    escaped(arguments, push_text, context)
}

pub fn escape_attribute(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    escaped(arguments, push_attribute, context)
}

fn escaped(arguments: &[JsValue], push: fn(&mut String, &str), context: &mut Context) -> JsResult<JsValue> {
    let text = arguments
        .first()
        .cloned()
        .unwrap_or_default()
        .to_string(context)?;
    let mut out = String::new();
    push(&mut out, &text.to_std_string_lossy());
    Ok(JsString::from(out.as_str()).into())
}

struct Writer {
    out: String,
    /// (prefix, namespace) as the elements around declare them, the nearest last.
    scope: Vec<(String, String)>,
    /// How far children are moved to the right, where it is done at all.
    indent: Option<usize>,
}

impl Writer {
    fn node(&mut self, node: &JsObject, depth: usize, margin: usize, context: &mut Context) -> JsResult<()> {
        if depth > DEPTH {
            return Err(too_deep());
        }
        self.space(margin);
        let kind = kind(node, context)?;
        if kind == ELEMENT {
            return self.element(node, depth, margin, context);
        }
        let value = text(node, js_string!("value"), context)?;
        match kind {
            TEXT if self.indent.is_some() => push_text(&mut self.out, value.trim()),
            TEXT => push_text(&mut self.out, &value),
            ATTRIBUTE => push_attribute(&mut self.out, &value),
            COMMENT => self.out.extend(["<!--", &value, "-->"]),
            INSTRUCTION => {
                let target = text(node, js_string!("local"), context)?;
                let between = if value.is_empty() { "" } else { " " };
                self.out.extend(["<?", &target, between, &value, "?>"]);
            }
            _ => return Err(broken()),
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &JsObject,
        depth: usize,
        margin: usize,
        context: &mut Context,
    ) -> JsResult<()> {
        let around = self.scope.len();
        let name = Name::of(element, context)?;
        let declarations = match depth {
            0 => in_scope(element, context)?,
            _ => declarations(element, context)?,
        };
        let mut tag = Tag::default();
        for (prefix, uri) in declarations {
            // A name without a namespace forbids one for names without a prefix.
            if !prefix.is_empty() || !name.uri.is_empty() {
                self.declare(&mut tag, prefix, uri);
            }
        }
        let name = self.named(&mut tag, name, false);
        let mut attributes = String::new();
        for attribute in items_of(&element.get(js_string!("attributes"), context)?, context)? {
            let name = Name::of(&attribute, context)?;
            let name = self.named(&mut tag, name, true);
            attributes.extend([" ", &name, "=\""]);
            push_attribute(&mut attributes, &text(&attribute, js_string!("value"), context)?);
            attributes.push('"');
        }
        self.out.extend(["<", &name, &tag.written, &attributes]);
        let children = items_of(&element.get(js_string!("children"), context)?, context)?;
        let alone = match children.as_slice() {
            [] => {
                self.out.push_str("/>");
                self.scope.truncate(around);
                return Ok(());
            }
            [one] => kind(one, context)? == TEXT,
            _ => false,
        };
        self.out.push('>');
        let apart = self.indent.filter(|_| !alone);
        for child in &children {
            match apart {
                Some(indent) => {
                    self.out.push('\n');
                    self.node(child, depth + 1, margin + indent, context)?;
                }
                None => self.node(child, depth + 1, 0, context)?,
            }
        }
        if apart.is_some() {
            self.out.push('\n');
            self.space(margin);
        }
        self.out.extend(["</", &name, ">"]);
        self.scope.truncate(around);
        Ok(())
    }

    fn declare(&mut self, tag: &mut Tag, prefix: String, uri: String) {
        tag.prefixes.push(prefix.clone());
        if self.namespace(&prefix) == uri {
            return;
        }
        let (colon, prefix_written) = if prefix.is_empty() {
            ("", "")
        } else {
            (":", prefix.as_str())
        };
        tag.written.extend([" xmlns", colon, prefix_written, "=\""]);
        push_attribute(&mut tag.written, &uri);
        tag.written.push('"');
        self.scope.push((prefix, uri));
    }

    /// A name as it has to be written here; what it needs is declared.
    fn named(&mut self, tag: &mut Tag, name: Name, is_attribute: bool) -> String {
        let Name {
            mut prefix,
            local,
            uri,
        } = name;
        if is_attribute && uri.is_empty() {
            return local;
        }
        let nameless = is_attribute && prefix.is_empty();
        if nameless || self.namespace(&prefix) != uri {
            if uri.is_empty() {
                prefix.clear();
            } else if nameless || tag.prefixes.contains(&prefix) {
                let free = (0..).map(|number| format!("ns{number}")).find(|prefix| {
                    let taken = self.namespace(prefix);
                    taken.is_empty() || taken == uri
                });
                prefix = free.unwrap_or_default();
            }
            self.declare(tag, prefix.clone(), uri);
        }
        match prefix.as_str() {
            "" => local,
            prefix => format!("{prefix}:{local}"),
        }
    }

    fn namespace(&self, prefix: &str) -> &str {
        let found = self.scope.iter().rev().find(|(known, _)| known == prefix);
        match found {
            Some((_, uri)) => uri,
            None if prefix == "xml" => XML_NAMESPACE,
            None => "",
        }
    }

    fn space(&mut self, margin: usize) {
        if self.indent.is_some() {
            self.out.extend(std::iter::repeat_n(' ', margin));
        }
    }
}

/// What a start tag declares.
#[derive(Default)]
struct Tag {
    prefixes: Vec<String>,
    written: String,
}

struct Name {
    prefix: String,
    local: String,
    uri: String,
}

impl Name {
    fn of(node: &JsObject, context: &mut Context) -> JsResult<Name> {
        Ok(Name {
            prefix: text(node, js_string!("prefix"), context)?,
            local: text(node, js_string!("local"), context)?,
            uri: text(node, js_string!("uri"), context)?,
        })
    }
}

/// What an element declares, and what those around it do.
fn in_scope(element: &JsObject, context: &mut Context) -> JsResult<Vec<(String, String)>> {
    let mut found = declarations(element, context)?;
    let mut next = element.get(js_string!("parent"), context)?.as_object();
    while let Some(parent) = next {
        for (prefix, uri) in declarations(&parent, context)? {
            if !found.iter().any(|(known, _)| *known == prefix) {
                found.push((prefix, uri));
            }
        }
        next = parent.get(js_string!("parent"), context)?.as_object();
    }
    Ok(found)
}

fn declarations(element: &JsObject, context: &mut Context) -> JsResult<Vec<(String, String)>> {
    let pairs = items_of(&element.get(js_string!("declarations"), context)?, context)?;
    let mut declarations = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let pair = JsArray::from_object(pair)?;
        let mut half = |index: u64| {
            let half = pair.get(index, context)?;
            half.as_string()
                .map(|half| half.to_std_string_lossy())
                .ok_or_else(broken)
        };
        declarations.push((half(0)?, half(1)?));
    }
    Ok(declarations)
}

fn text(node: &JsObject, name: JsString, context: &mut Context) -> JsResult<String> {
    Ok(word(node, name, context)?.to_std_string_lossy())
}

fn push_text(out: &mut String, text: &str) {
    push(out, text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

fn push_attribute(out: &mut String, text: &str) {
    push(out, text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

fn push(out: &mut String, text: &str, replacement: fn(u8) -> Option<&'static str>) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(replacement) = replacement(byte) {
            out.push_str(&text[done..at]);
            out.push_str(replacement);
            done = at + 1;
        }
    }
    out.push_str(&text[done..]);
}
