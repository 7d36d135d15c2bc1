//! JSONPath in the dialect of Jayway's JsonPath 2.x with Gson, as Synapse uses it.
//!
//! Compiled once, evaluated often; what a path finds is borrowed from the document wherever that is possible.
//! Where Jayway's answer is an accident (an exception from inside, or one that changes from use to use),
//! the plain meaning is taken: `tests/oracle/jsonpath_pairs.txt` lists those cases after a `!`.

mod change;
mod evaluate;
mod filter;
mod functions;
mod literal;
mod parse;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

pub use change::{Location, Segment};

use crate::message::json::{self, Json};

/// A compiled path.
#[derive(Debug, Clone)]
pub struct JsonPath {
    text: String,
    path: Path,
}

/// What a path found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'j> {
    /// A member on the way, or the last one, is not there.
    Missing,
    /// The one value of a definite path.
    One(Cow<'j, Json>),
    /// The values of a path that may have many: one with `..`, `*`, a filter, a slice or several indices.
    Many(Vec<Cow<'j, Json>>),
}

/// Why a text is not a path, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPathError {
    pub message: String,
    pub range: Range<usize>,
    pub help: Option<String>,
}

/// Why a path cannot be evaluated on a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindError {
    pub message: String,
}

#[derive(Debug, Clone)]
struct Path {
    tokens: Vec<Token>,
    /// Begins with `$` rather than `@`.
    from_root: bool,
    /// How many tokens from the start can have one result at most.
    definite: usize,
}

#[derive(Debug, Clone)]
enum Token {
    Property(String),
    Properties(Vec<String>),
    Wildcard,
    Index(i64),
    Indexes(Vec<i64>),
    Slice { from: Option<i64>, to: Option<i64> },
    Scan,
    Filter(filter::Filter),
    Function(functions::Call),
}

impl JsonPath {
    pub fn compile(text: &str) -> Result<JsonPath, JsonPathError> {
        Ok(JsonPath {
            text: text.to_owned(),
            path: parse::path(text)?,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the path has one result at most.
    pub fn is_definite(&self) -> bool {
        self.path.is_definite()
    }

    /// Whether the path is `$`: the whole document.
    pub fn is_whole(&self) -> bool {
        self.path.tokens.is_empty()
    }

    /// Whether the last step is one index, as in `$.list[0]`.
    pub fn ends_in_index(&self) -> bool {
        matches!(self.path.tokens.last(), Some(Token::Index(_)))
    }

    pub fn find<'j>(&self, json: &'j Json) -> Result<Found<'j>, FindError> {
        evaluate::find(&self.path, json)
    }

    /// The value as Synapse's `json-eval` gives it: strings bare, everything else as JSON, nothing as "".
    pub fn synapse_text(&self, json: &Json) -> String {
        if self.is_whole() {
            return json::text(json);
        }
        match self.find(json) {
            Ok(found) => found.synapse_text(),
            Err(_) => String::new(),
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'j> Found<'j> {
    pub fn synapse_text(&self) -> String {
        match self {
            Found::Missing => String::new(),
            Found::One(value) => value_text(value),
            Found::Many(values) => list_text(values),
        }
    }

    /// The found as one value: a list becomes an array.
    pub fn into_json(self) -> Option<Json> {
        match self {
            Found::Missing => None,
            Found::One(value) => Some(value.into_owned()),
            Found::Many(values) => Some(Json::Array(values.into_iter().map(Cow::into_owned).collect())),
        }
    }

    /// Every single value that was found.
    pub fn into_values(self) -> Vec<Cow<'j, Json>> {
        match self {
            Found::Missing => Vec::new(),
            Found::One(value) => vec![value],
            Found::Many(values) => values,
        }
    }
}

/// A string without its quotes, anything else as JSON text.
pub fn value_text(value: &Json) -> String {
    match value {
        Json::String(string) => string.clone(),
        other => json::text(other),
    }
}

fn list_text(values: &[Cow<'_, Json>]) -> String {
    let mut out = vec![b'['];
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write(value, &mut out);
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON is written as UTF-8")
}

impl Path {
    fn new(tokens: Vec<Token>, from_root: bool) -> Path {
        let last = tokens.len().saturating_sub(1);
        let definite = tokens
            .iter()
            .enumerate()
            .take_while(|(at, token)| token.is_definite(*at == last))
            .count();
        Path {
            tokens,
            from_root,
            definite,
        }
    }

    fn is_definite(&self) -> bool {
        self.definite == self.tokens.len()
    }
}

impl Token {
    fn is_definite(&self, last: bool) -> bool {
        match self {
            Token::Property(_) | Token::Index(_) | Token::Function(_) => true,
            // As the last token, several names make one object of their members.
            Token::Properties(_) => last,
            Token::Wildcard | Token::Indexes(_) | Token::Slice { .. } | Token::Scan | Token::Filter(_) => {
                false
            }
        }
    }
}

impl fmt::Display for JsonPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.message, self.range.start)
    }
}

impl std::error::Error for JsonPathError {}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FindError {}

#[cfg(test)]
mod tests;
