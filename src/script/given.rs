//! What is given to a script: a message's headers, query, properties, variables and payload, read where they are when a script asks.

use super::rhai::with_given;
use crate::message::json::{Json, Object};
use crate::message::properties::{Properties, Value, Values};
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rhai::{Array, Dynamic, Engine, EvalAltResult, INT};
use std::borrow::Cow;
use std::sync::Arc;

/// What a script may see. Lent to it for the time of a run.
#[derive(Debug, Default)]
pub struct Given {
    pub headers: HeaderMap,
    pub properties: Properties,
    pub method: Method,
    /// Path and query.
    pub target: Arc<str>,
    /// The payload as JSON, for scripts that read it.
    pub payload: Option<Arc<Json>>,
    /// The claims of the client's token, if it has shown one.
    pub token: Option<Arc<Json>>,
}

/// What scripts call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Headers,
    Query,
    Path,
    Method,
    Properties,
    Variables,
    Payload,
    Token,
}

impl Name {
    pub const ALL: [Name; 8] = [
        Name::Headers,
        Name::Query,
        Name::Path,
        Name::Method,
        Name::Properties,
        Name::Variables,
        Name::Payload,
        Name::Token,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Name::Headers => "headers",
            Name::Query => "query",
            Name::Path => "path",
            Name::Method => "method",
            Name::Properties => "properties",
            Name::Variables => "vars",
            Name::Payload => "payload",
            Name::Token => "token",
        }
    }

    pub fn of(word: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|name| name.word() == word)
    }

    pub(super) fn value(self, given: &Given) -> Dynamic {
        let json = |json: &Option<Arc<Json>>| json.as_ref().map_or(Dynamic::UNIT, Node::root);
        match self {
            Name::Headers => Dynamic::from(Headers),
            Name::Query => Dynamic::from(Query),
            Name::Path => {
                let path = given
                    .target
                    .split_once('?')
                    .map_or(&*given.target, |(path, _)| path);
                path.to_owned().into()
            }
            Name::Method => given.method.as_str().to_owned().into(),
            Name::Properties => Dynamic::from(DefaultScope),
            Name::Variables => Dynamic::from(Variables),
            Name::Payload => json(&given.payload),
            Name::Token => json(&given.token),
        }
    }
}

// What stands for each in a script

#[derive(Debug, Clone, Copy)]
struct Headers;

#[derive(Debug, Clone, Copy)]
struct Query;

#[derive(Debug, Clone, Copy)]
struct DefaultScope;

#[derive(Debug, Clone, Copy)]
struct Variables;

/// An object or array somewhere in JSON. Texts, numbers and the like are values of rhai.
#[derive(Debug, Clone)]
struct Node {
    root: Arc<Json>,
    path: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Key(Box<str>),
    Index(usize),
}

impl Node {
    fn root(json: &Arc<Json>) -> Dynamic {
        scalar(json).unwrap_or_else(|| {
            Dynamic::from(Node {
                root: Arc::clone(json),
                path: Vec::new(),
            })
        })
    }

    fn json(&self) -> &Json {
        let mut json = &*self.root;
        for step in &self.path {
            let inner = match step {
                Step::Key(key) => json.get(&**key),
                Step::Index(index) => json.get(index),
            };
            json = inner.expect("a path is made of what is there");
        }
        json
    }

    fn at(&self, inner: Option<&Json>, step: impl FnOnce() -> Step) -> Dynamic {
        let Some(inner) = inner else {
            return Dynamic::UNIT;
        };
        scalar(inner).unwrap_or_else(|| {
            let mut path = self.path.clone();
            path.push(step());
            Dynamic::from(Node {
                root: Arc::clone(&self.root),
                path,
            })
        })
    }

    fn key(&self, key: &str) -> Dynamic {
        self.at(self.json().get(key), || Step::Key(key.into()))
    }

    /// From the end where negative, as in arrays of rhai.
    fn index(&self, index: INT) -> Dynamic {
        let length = self.length() as INT;
        let index = if index < 0 { index + length } else { index };
        match usize::try_from(index) {
            Ok(index) => self.at(self.json().get(index), || Step::Index(index)),
            Err(_) => Dynamic::UNIT,
        }
    }

    fn length(&self) -> usize {
        match self.json() {
            Json::Array(list) => list.len(),
            Json::Object(object) => object.len(),
            _ => 0,
        }
    }

    fn contains(&self, wanted: &str) -> bool {
        match self.json() {
            Json::Array(list) => list.iter().any(|inner| inner.as_str() == Some(wanted)),
            Json::Object(object) => object.contains_key(wanted),
            _ => false,
        }
    }
}

impl IntoIterator for Node {
    type Item = Dynamic;
    type IntoIter = Box<dyn Iterator<Item = Dynamic>>;

    fn into_iter(self) -> Self::IntoIter {
        match self.json() {
            Json::Array(list) => Box::new((0..list.len() as INT).map(move |index| self.index(index))),
            Json::Object(object) => {
                let keys: Vec<Dynamic> = object.keys().map(|key| key.clone().into()).collect();
                Box::new(keys.into_iter())
            }
            _ => Box::new(std::iter::empty()),
        }
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Headers>("headers")
        .register_indexer_get(|_: &mut Headers, name: &str| seen(|given| header(&given.headers, name)))
        .register_fn("contains", |_: &mut Headers, name: &str| {
            with_given(|given| given.headers.contains_key(name)).unwrap_or(false)
        })
        .register_fn("keys", |_: &mut Headers| {
            let keys = |given: &Given| {
                given
                    .headers
                    .keys()
                    .map(|name| name.as_str().to_owned().into())
                    .collect()
            };
            with_given(keys).unwrap_or_else(Array::new)
        });
    engine
        .register_type_with_name::<Query>("query")
        .register_indexer_get(|_: &mut Query, name: &str| seen(|given| parameter(&given.target, name)))
        .register_fn("contains", |_: &mut Query, name: &str| {
            with_given(|given| parameter(&given.target, name).is_some()).unwrap_or(false)
        });
    engine
        .register_type_with_name::<DefaultScope>("properties")
        .register_indexer_get(|_: &mut DefaultScope, name: &str| {
            seen(|given| given.properties.get(name).map(|value| of_value(&value)))
        })
        .register_fn("contains", |_: &mut DefaultScope, name: &str| {
            with_given(|given| given.properties.get(name).is_some()).unwrap_or(false)
        });
    engine
        .register_type_with_name::<Variables>("vars")
        .register_indexer_get(|_: &mut Variables, name: &str| {
            seen(|given| variables(given).get(name).map(of_value))
        })
        .register_fn("contains", |_: &mut Variables, name: &str| {
            with_given(|given| variables(given).get(name).is_some()).unwrap_or(false)
        });
    engine
        .register_type_with_name::<Node>("json")
        .register_indexer_get(|node: &mut Node, key: &str| node.key(key))
        .register_indexer_get(|node: &mut Node, index: INT| node.index(index))
        .register_fn("len", |node: &mut Node| node.length() as INT)
        .register_get("len", |node: &mut Node| match node.json() {
            // A field of that name goes first.
            Json::Object(object) if object.contains_key("len") => node.key("len"),
            _ => Dynamic::from(node.length() as INT),
        })
        .register_fn("is_empty", |node: &mut Node| node.length() == 0)
        .register_fn("contains", |node: &mut Node, wanted: &str| node.contains(wanted))
        .register_fn("keys", |node: &mut Node| -> Array {
            let object = node.json().as_object();
            object.map_or_else(Array::new, |object| {
                object.keys().map(|key| key.clone().into()).collect()
            })
        })
        .register_fn("to_string", |node: &mut Node| {
            crate::message::json::text(node.json())
        })
        .register_iterator::<Node>();
    engine.register_fn("encode", |text: &str| {
        utf8_percent_encode(text, UNRESERVED).to_string()
    });
    engine.register_fn("encode", |number: INT| number.to_string());
    engine.register_fn("encode", |_: ()| -> Result<String, Box<EvalAltResult>> {
        Err("there is nothing to encode: what is asked for is not there".into())
    });
}

const UNRESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn seen(look: impl FnOnce(&Given) -> Option<Dynamic>) -> Dynamic {
    with_given(look).flatten().unwrap_or(Dynamic::UNIT)
}

fn variables(given: &Given) -> &Values {
    &given.properties.variables
}

/// A header's first value.
fn header(headers: &HeaderMap, name: &str) -> Option<Dynamic> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned().into())
}

/// The first value of a parameter of the query, decoded.
fn parameter(target: &str, name: &str) -> Option<Dynamic> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value).into())
    })
}

fn decoded(text: &str) -> String {
    let spaced = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn of_value(value: &Value) -> Dynamic {
    match value {
        Value::Boolean(value) => (*value).into(),
        Value::Short(value) => INT::from(*value).into(),
        Value::Integer(value) => INT::from(*value).into(),
        Value::Long(value) => (*value).into(),
        Value::Float(value) => f64::from(*value).into(),
        Value::Double(value) => (*value).into(),
        Value::Json(json) => Node::root(json),
        Value::Text(_) | Value::Xml(_) => value.to_text().into_owned().into(),
    }
}

fn scalar(json: &Json) -> Option<Dynamic> {
    Some(match json {
        Json::Null => Dynamic::UNIT,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.to_string().into(),
        },
        Json::String(text) => text.clone().into(),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// A script's answer; `Err` names what no answer can hold.
pub(super) fn to_json(value: &Dynamic) -> Result<Json, String> {
    if value.is_unit() {
        return Ok(Json::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(Json::Bool(value));
    }
    if let Ok(value) = value.as_int() {
        return Ok(Json::from(value));
    }
    if let Ok(value) = value.as_float() {
        return Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Json::from(text.as_str()));
    }
    if let Ok(character) = value.as_char() {
        return Ok(Json::from(character.to_string()));
    }
    if let Some(node) = value.read_lock::<Node>() {
        return Ok(node.json().clone());
    }
    if let Ok(list) = value.as_array_ref() {
        return list
            .iter()
            .map(to_json)
            .collect::<Result<Vec<Json>, _>>()
            .map(Json::Array);
    }
    if let Ok(map) = value.as_map_ref() {
        let mut object = Object::new();
        for (key, value) in map.iter() {
            object.insert(key.to_string(), to_json(value)?);
        }
        return Ok(Json::Object(object));
    }
    let all = [
        (value.is::<Headers>(), "headers"),
        (value.is::<Query>(), "query"),
        (value.is::<DefaultScope>(), "properties"),
        (value.is::<Variables>(), "vars"),
    ];
    Err(match all.iter().find(|(is, _)| *is) {
        Some((_, name)) => format!("all of `{name}`"),
        None => {
            let name = value.type_name();
            format!("a value of the type {}", name.rsplit("::").next().unwrap_or(name))
        }
    })
}
