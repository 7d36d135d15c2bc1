//! XML as values of scripts, on boa's side: the runtime that is evaluated once per context, and the way in and out for texts.

mod write;
mod xpath;

use crate::message::xml::{Event, Namespaces, Reader, XmlLimits};
use boa_engine::error::JsNativeError;
use boa_engine::native_function::NativeFunctionPointer;
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsResult, JsString, JsValue, NativeFunction, js_string};
use std::path::Path;

/// What the runtime stands in stacks with.
pub const PATH: &str = "xml";
/// The names by which a rewritten script knows the runtime: parameters of what it is wrapped in.
pub const NAMES: &str = "$xml,XML,XMLList,Namespace,QName";

const TREE: &str = include_str!("tree.js");
const VALUES: &str = include_str!("values.js");

/// What there is of E4X in a context.
struct Runtime {
    reset: JsFunction,
    read: JsFunction,
    markup: JsFunction,
    is_element: JsFunction,
    xpath: JsFunction,
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

/// An XPath that scripts ask XML values.
pub fn xpath(expression: &str, context: &mut Context) -> JsResult<JsValue> {
    load(context)?;
    match runtime(context).map(|runtime| runtime.xpath.clone()) {
        Some(xpath) => xpath.call(
            &JsValue::undefined(),
            &[JsString::from(expression).into()],
            context,
        ),
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
    let natives = [
        ("parse", parse as NativeFunctionPointer),
        ("find", find),
        ("write", write::write),
        ("escapeText", write::escape_text),
        ("escapeAttribute", write::escape_attribute),
    ];
    let natives = natives.map(|(name, run)| {
        let run = NativeFunction::from_fn_ptr(run);
        let built = FunctionObjectBuilder::new(context.realm(), run)
            .name(JsString::from(name))
            .build();
        JsValue::from(built)
    });
    let tree = made(TREE, &natives, context)?;
    let ask = NativeFunction::from_fn_ptr(xpath::ask);
    let ask = FunctionObjectBuilder::new(context.realm(), ask)
        .name(js_string!("ask"))
        .build();
    let port = made(VALUES, &[tree, ask.into()], context)?;
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
        xpath: member("xpath", context)?,
        names: names?,
    };
    context.insert_data(runtime);
    Ok(())
}

/// What a function gives whose text is a file.
fn made(text: &str, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let source = boa_engine::Source::from_bytes(text).with_path(Path::new(PATH));
    let make = context.eval(source)?;
    let make = make.as_callable().ok_or_else(broken)?;
    make.call(&JsValue::undefined(), arguments, context)
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
/// Elements inside each other, as far as anything here goes down.
const DEPTH: usize = 1_000;

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
                let node = node(TEXT, [&nothing, &nothing, &nothing, &value], &open, context);
                children.last_mut().ok_or_else(broken)?.push(node.into());
            }
            pending.clear();
        }
        let node = match event {
            Event::Text { .. } => continue,
            Event::Start(tag) => {
                let name = [reader.uri(tag.uri), tag.local, tag.prefix].map(JsString::from);
                let node = node(ELEMENT, [&name[0], &name[1], &name[2], &nothing], &open, context);
                let mut attributes = Vec::new();
                let inside = [node.clone()];
                for attribute in reader.attributes() {
                    let name =
                        [reader.uri(attribute.uri), attribute.local, attribute.prefix].map(JsString::from);
                    let value = JsString::from(&*attribute.value);
                    let words = [&name[0], &name[1], &name[2], &value];
                    attributes.push(self::node(ATTRIBUTE, words, &inside, context).into());
                }
                let mut declarations = Vec::new();
                for (prefix, uri) in reader.declarations() {
                    let pair = [*prefix, reader.uri(*uri)].map(|word| JsValue::from(JsString::from(word)));
                    declarations.push(JsArray::from_iter(pair, context).into());
                }
                let attributes = JsArray::from_iter::<Vec<JsValue>>(attributes, context);
                node.insert_property(js_string!("attributes"), data(attributes.into()));
                let declarations = JsArray::from_iter::<Vec<JsValue>>(declarations, context);
                node.insert_property(js_string!("declarations"), data(declarations.into()));
                open.push(node);
                children.push(Vec::new());
                continue;
            }
            Event::End { .. } => {
                let list = children.pop().ok_or_else(broken)?;
                let list = JsArray::from_iter(list, context);
                let node = open.pop().ok_or_else(broken)?;
                node.insert_property(js_string!("children"), data(list.into()));
                node
            }
            Event::Comment { value, .. } => {
                let value = JsString::from(&*value);
                node(COMMENT, [&nothing, &nothing, &nothing, &value], &open, context)
            }
            Event::Instruction { target, value, .. } => {
                let (target, value) = (JsString::from(target), JsString::from(&*value));
                node(INSTRUCTION, [&nothing, &target, &nothing, &value], &open, context)
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
fn node(kind: i32, words: [&JsString; 4], open: &[JsObject], context: &Context) -> JsObject {
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
        object.insert_property(name, data(value));
    }
    object
}

fn data(value: JsValue) -> PropertyDescriptor {
    PropertyDescriptor::builder()
        .value(value)
        .writable(true)
        .enumerable(true)
        .configurable(true)
        .build()
}

/// `find(items, uri, local, attributes, deep)`: their children or attributes of that name, in their order. No `uri`: of any namespace.
fn find(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [items, uri, local, attributes, deep] = arguments else {
        return Err(broken());
    };
    let local = local.to_string(context)?;
    let wanted = Wanted {
        uri: uri.as_string(),
        any: local == "*",
        local,
        attributes: attributes.to_boolean(),
        deep: deep.to_boolean(),
    };
    let mut found = Vec::new();
    for item in items_of(items, context)? {
        wanted.among(&item, 0, &mut found, context)?;
    }
    Ok(JsArray::from_iter(found, context).into())
}

struct Wanted {
    /// `None`: of any.
    uri: Option<JsString>,
    local: JsString,
    /// `*`
    any: bool,
    attributes: bool,
    deep: bool,
}

impl Wanted {
    fn among(
        &self,
        element: &JsObject,
        depth: usize,
        found: &mut Vec<JsValue>,
        context: &mut Context,
    ) -> JsResult<()> {
        if depth > DEPTH {
            return Err(too_deep());
        }
        if kind(element, context)? != ELEMENT {
            return Ok(());
        }
        if self.attributes {
            for attribute in items_of(&element.get(js_string!("attributes"), context)?, context)? {
                if self.fits(&attribute, context)? {
                    found.push(attribute.into());
                }
            }
            if !self.deep {
                return Ok(());
            }
        }
        for child in items_of(&element.get(js_string!("children"), context)?, context)? {
            if !self.attributes && self.fits(&child, context)? {
                found.push(child.clone().into());
            }
            if self.deep {
                self.among(&child, depth + 1, found, context)?;
            }
        }
        Ok(())
    }

    fn fits(&self, node: &JsObject, context: &mut Context) -> JsResult<bool> {
        if self.any && self.uri.is_none() {
            return Ok(true);
        }
        if !matches!(kind(node, context)?, ELEMENT | ATTRIBUTE) {
            return Ok(false);
        }
        if !self.any && word(node, js_string!("local"), context)? != self.local {
            return Ok(false);
        }
        match &self.uri {
            Some(uri) => Ok(word(node, js_string!("uri"), context)? == *uri),
            None => Ok(true),
        }
    }
}

fn kind(node: &JsObject, context: &mut Context) -> JsResult<i32> {
    let kind = node.get(js_string!("kind"), context)?;
    kind.as_i32().ok_or_else(broken)
}

fn word(node: &JsObject, name: JsString, context: &mut Context) -> JsResult<JsString> {
    node.get(name, context)?.as_string().ok_or_else(broken)
}

/// The objects of a list.
fn items_of(list: &JsValue, context: &mut Context) -> JsResult<Vec<JsObject>> {
    let list = JsArray::from_object(list.as_object().ok_or_else(broken)?)?;
    let length = list.length(context)?;
    let items = (0..length).map(|index| list.get(index, context)?.as_object().ok_or_else(broken));
    items.collect()
}

fn too_deep() -> boa_engine::JsError {
    JsNativeError::range()
        .with_message(format!("elements are nested deeper than {DEPTH}"))
        .into()
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
