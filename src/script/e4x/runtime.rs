//! XML as values of scripts, on boa's side: the runtime that is evaluated once per context, and the way in and out for texts.

use crate::message::xml::{Event, Namespaces, Reader, XmlLimits};
use boa_engine::error::JsNativeError;
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::{Context, JsResult, JsString, JsValue, NativeFunction, js_string};
use std::path::Path;

/// What the runtime stands in stacks with.
pub const PATH: &str = "xml";
/// The names by which a rewritten script knows the runtime: parameters of what it is wrapped in.
pub const NAMES: &str = "$xml,XML,XMLList,Namespace,QName";

const RUNTIME: &str = include_str!("runtime.js");

/// What there is of E4X in a context.
struct Runtime {
    reset: JsFunction,
    read: JsFunction,
    markup: JsFunction,
    is_element: JsFunction,
    names: Vec<JsValue>,
}

/// What a rewritten script is called with, for `NAMES`.
pub fn names(context: &mut Context) -> JsResult<Vec<JsValue>> {
    load(context)?;
    Ok(runtime(context).map_or_else(Vec::new, |runtime| runtime.names.clone()))
}

/// Before each run: nothing that a script has set is there for the next.
pub fn reset(context: &mut Context) -> JsResult<()> {
    match runtime(context).map(|runtime| runtime.reset.clone()) {
        Some(reset) => reset.call(&JsValue::undefined(), &[], context).map(drop),
        None => Ok(()),
    }
}

/// A text as an XML value.
pub fn value(text: &str, context: &mut Context) -> JsResult<JsValue> {
    load(context)?;
    match runtime(context).map(|runtime| runtime.read.clone()) {
        Some(read) => read.call(&JsValue::undefined(), &[JsString::from(text).into()], context),
        None => Ok(JsValue::undefined()),
    }
}

/// The markup of an XML value; nothing for other values.
pub fn markup(value: &JsValue, context: &mut Context) -> JsResult<Option<String>> {
    if !value.is_object() {
        return Ok(None);
    }
    let Some(markup) = runtime(context).map(|runtime| runtime.markup.clone()) else {
        return Ok(None);
    };
    let text = markup.call(&JsValue::undefined(), std::slice::from_ref(value), context)?;
    Ok(text.as_string().map(|text| text.to_std_string_lossy()))
}

/// Whether an XML value is one element, rather than a text, an attribute or several.
pub fn is_element(value: &JsValue, context: &mut Context) -> JsResult<bool> {
    match runtime(context).map(|runtime| runtime.is_element.clone()) {
        Some(is_element) => {
            let answer = is_element.call(&JsValue::undefined(), std::slice::from_ref(value), context)?;
            Ok(answer.to_boolean())
        }
        None => Ok(false),
    }
}

fn runtime(context: &Context) -> Option<&Runtime> {
    context.get_data::<Runtime>()
}

fn load(context: &mut Context) -> JsResult<()> {
    if context.has_data::<Runtime>() {
        return Ok(());
    }
    let source = boa_engine::Source::from_bytes(RUNTIME).with_path(Path::new(PATH));
    let make = context.eval(source)?;
    let natives = [
        ("parse", NativeFunction::from_fn_ptr(parse), 5),
        ("escapeText", NativeFunction::from_fn_ptr(escape_text), 1),
        (
            "escapeAttribute",
            NativeFunction::from_fn_ptr(escape_attribute),
            1,
        ),
    ];
    let natives = natives.map(|(name, run, length)| {
        let built = FunctionObjectBuilder::new(context.realm(), run)
            .name(JsString::from(name))
            .length(length)
            .build();
        JsValue::from(built)
    });
    let make = make.as_callable().ok_or_else(broken)?;
    let port = make.call(&JsValue::undefined(), &natives, context)?;
    let port = port.as_object().ok_or_else(broken)?;
    let member = |name: &str, context: &mut Context| {
        let member = port.get(JsString::from(name), context)?;
        member
            .as_object()
            .and_then(JsFunction::from_object)
            .ok_or_else(broken)
    };
    let names = port.get(js_string!("names"), context)?;
    let names = JsArray::from_object(names.as_object().ok_or_else(broken)?)?;
    let count = names.length(context)?;
    let names: JsResult<Vec<JsValue>> = (0..count).map(|index| names.get(index, context)).collect();
    let runtime = Runtime {
        reset: member("reset", context)?,
        read: member("read", context)?,
        markup: member("markup", context)?,
        is_element: member("isElement", context)?,
        names: names?,
    };
    context.insert_data(runtime);
    Ok(())
}

fn broken() -> boa_engine::JsError {
    JsNativeError::typ()
        .with_message("the runtime for XML is broken")
        .into()
}

/// Kinds of nodes, as the runtime counts them.
const ELEMENT: i32 = 1;
const TEXT: i32 = 2;
const COMMENT: i32 = 3;
const INSTRUCTION: i32 = 4;
const ATTRIBUTE: i32 = 5;

/// `parse(text, defaultNamespace, ignoreWhitespace, ignoreComments, ignoreInstructions)`: the nodes side by side in a text.
fn parse(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [
        text,
        space,
        ignore_whitespace,
        ignore_comments,
        ignore_instructions,
    ] = arguments
    else {
        return Err(broken());
    };
    let text = text.to_string(context)?.to_std_string_lossy();
    let space = space.to_string(context)?.to_std_string_lossy();
    let mut namespaces = Namespaces::new();
    if !space.is_empty() {
        namespaces.bind("", space);
    }
    let text = without_declaration(&text);
    let limits = XmlLimits::default();
    let mut reader = Reader::fragment(text, &namespaces, &limits);
    let nothing = JsString::default();
    let mut open: Vec<JsObject> = Vec::new();
    let mut children: Vec<Vec<JsValue>> = vec![Vec::new()];
    let mut pending = String::new();
    loop {
        let event = reader.next().map_err(|error| {
            let message = format!("the text is not XML: {error}");
            JsNativeError::syntax().with_message(message)
        })?;
        if let Event::Text { value, .. } = &event {
            pending.push_str(value);
            continue;
        }
        if matches!(&event, Event::Comment { .. } if ignore_comments.to_boolean())
            || matches!(&event, Event::Instruction { .. } if ignore_instructions.to_boolean())
        {
            continue;
        }
        if !pending.is_empty() {
            if !(ignore_whitespace.to_boolean() && pending.trim_ascii().is_empty()) {
                let value = JsString::from(pending.as_str());
                let node = node(TEXT, [&nothing, &nothing, &nothing, &value], &open, context)?;
                children.last_mut().ok_or_else(broken)?.push(node.into());
            }
            pending.clear();
        }
        let node = match event {
            Event::Text { .. } => continue,
            Event::Start(tag) => {
                let name = [reader.uri(tag.uri), tag.local, tag.prefix].map(JsString::from);
                let node = node(ELEMENT, [&name[0], &name[1], &name[2], &nothing], &open, context)?;
                let mut attributes = Vec::new();
                let inside = [node.clone()];
                for attribute in reader.attributes() {
                    let name =
                        [reader.uri(attribute.uri), attribute.local, attribute.prefix].map(JsString::from);
                    let value = JsString::from(&*attribute.value);
                    let words = [&name[0], &name[1], &name[2], &value];
                    attributes.push(self::node(ATTRIBUTE, words, &inside, context)?.into());
                }
                let mut declarations = Vec::new();
                for (prefix, uri) in reader.declarations() {
                    let pair = [*prefix, reader.uri(*uri)].map(|word| JsValue::from(JsString::from(word)));
                    declarations.push(JsArray::from_iter(pair, context).into());
                }
                let attributes = JsArray::from_iter::<Vec<JsValue>>(attributes, context);
                node.set(js_string!("attributes"), attributes, true, context)?;
                let declarations = JsArray::from_iter::<Vec<JsValue>>(declarations, context);
                node.set(js_string!("declarations"), declarations, true, context)?;
                open.push(node);
                children.push(Vec::new());
                continue;
            }
            Event::End { .. } => {
                let list = children.pop().ok_or_else(broken)?;
                let list = JsArray::from_iter(list, context);
                let node = open.pop().ok_or_else(broken)?;
                node.set(js_string!("children"), list, true, context)?;
                node
            }
            Event::Comment { value, .. } => {
                let value = JsString::from(&*value);
                node(COMMENT, [&nothing, &nothing, &nothing, &value], &open, context)?
            }
            Event::Instruction { target, value, .. } => {
                let (target, value) = (JsString::from(target), JsString::from(&*value));
                node(INSTRUCTION, [&nothing, &target, &nothing, &value], &open, context)?
            }
            Event::Eof => {
                let list = children.pop().ok_or_else(broken)?;
                return Ok(JsArray::from_iter(list, context).into());
            }
        };
        children.last_mut().ok_or_else(broken)?.push(node.into());
    }
}

/// As the runtime's own `node`; `words` are its namespace, local name, prefix and value.
fn node(kind: i32, words: [&JsString; 4], open: &[JsObject], context: &mut Context) -> JsResult<JsObject> {
    let parent = open
        .last()
        .map_or_else(JsValue::null, |parent| JsValue::from(parent.clone()));
    let object = JsObject::with_object_proto(context.intrinsics());
    let [uri, local, prefix, value] = words.map(|word| JsValue::from(word.clone()));
    for (name, value) in [
        (js_string!("kind"), JsValue::from(kind)),
        (js_string!("uri"), uri),
        (js_string!("local"), local),
        (js_string!("prefix"), prefix),
        (js_string!("value"), value),
        (js_string!("parent"), parent),
        (js_string!("children"), JsValue::null()),
        (js_string!("attributes"), JsValue::null()),
        (js_string!("declarations"), JsValue::null()),
    ] {
        object.create_data_property_or_throw(name, value, context)?;
    }
    Ok(object)
}

/// `<?xml version="1.0"?>` may stand in front of a document, and not of a fragment.
fn without_declaration(text: &str) -> &str {
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    match trimmed.strip_prefix("<?xml") {
        Some(rest) if rest.starts_with(|next: char| next.is_ascii_whitespace()) => {
            rest.split_once("?>").map_or(text, |(_, behind)| behind)
        }
        _ => text,
    }
}

fn escape_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    escaped(arguments, context, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"),
        _ => None,
    })
}

fn escape_attribute(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    escaped(arguments, context, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        _ => None,
    })
}

fn escaped(
    arguments: &[JsValue],
    context: &mut Context,
    replacement: fn(char) -> Option<&'static str>,
) -> JsResult<JsValue> {
    let value = arguments
        .first()
        .cloned()
        .unwrap_or_default()
        .to_string(context)?;
    let text = value.to_std_string_lossy();
    if !text.contains(|character| replacement(character).is_some()) {
        return Ok(value.into());
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match replacement(character) {
            Some(entity) => out.push_str(entity),
            None => out.push(character),
        }
    }
    Ok(JsString::from(out.as_str()).into())
}
