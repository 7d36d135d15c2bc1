//! Synapse expressions: `${vars.total > 100 ? "large" : "small"}`.
//!
//! `parse` makes a tree of the text between the braces and tells every mistake at load, `evaluate` answers it with the
//! help of `surroundings`, `value` holds Synapse's kinds of numbers and what may be done with them, `functions` the
//! functions, and `template` texts with expressions in them. At run time nothing is a fault: what cannot be answered
//! is "" and a line in the log, as in Synapse.

mod evaluate;
mod functions;
mod parse;
mod path;
mod surroundings;
mod value;

use std::ops::Range;
use std::sync::Arc;

pub use surroundings::{Place, Surroundings, XPathAnswer};

use super::Scope;
use crate::message::json::Json;
use crate::message::properties::{self, Fragment};
use crate::message::xml::Namespaces;

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    root: Box<parse::Node>,
    hints: Box<[Mistake]>,
    needs_payload: bool,
}

/// What is wrong, or probably not meant, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub range: Range<usize>,
    pub help: Option<String>,
}

/// What an expression answered.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Null, or a failure that has been logged.
    Nothing,
    Text(String),
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Double(f64),
    Json(Json),
    /// Nodes that an XPath selected, and their text.
    Xml(String, Fragment),
}

impl Expression {
    /// Compiles what stands between `${` and `}`. The prefixes are for `xpath('…')`.
    pub fn compile(text: &str, namespaces: &Namespaces) -> Result<Expression, Mistake> {
        let parsed = parse::parse(text, namespaces)?;
        Ok(Expression {
            text: text.into(),
            root: Box::new(parsed.root),
            hints: parsed.hints.into(),
            needs_payload: parsed.needs_payload,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is legal and probably not meant, such as `a > 1 and b > 2` without parentheses.
    pub fn hints(&self) -> &[Mistake] {
        &self.hints
    }

    /// Whether the payload has to be read before this can be answered.
    pub fn needs_payload(&self) -> bool {
        self.needs_payload
    }

    pub fn evaluate(&self, scope: &mut Scope<'_>) -> Outcome {
        self.evaluate_in(scope)
    }

    pub fn evaluate_in(&self, surroundings: &mut dyn Surroundings) -> Outcome {
        match evaluate::evaluate(&self.root, surroundings) {
            Ok(value) => value.map_or(Outcome::Nothing, value::Value::into_outcome),
            Err(reason) => {
                tracing::warn!(expression = %self.text, %reason, "An expression could not be evaluated.");
                Outcome::Nothing
            }
        }
    }
}

impl Outcome {
    /// The string value; nothing is "".
    pub fn text(&self) -> String {
        match self {
            Outcome::Nothing => String::new(),
            Outcome::Text(text) | Outcome::Xml(text, _) => text.clone(),
            Outcome::Boolean(value) => value.to_string(),
            Outcome::Integer(value) => value.to_string(),
            Outcome::Long(value) => value.to_string(),
            Outcome::Double(value) => crate::message::json::java_double_text(*value),
            Outcome::Json(json) => super::json_path::value_text(json),
        }
    }

    /// Whether this is true: only the boolean or text "true" is.
    pub fn holds(&self) -> bool {
        match self {
            Outcome::Boolean(value) => *value,
            Outcome::Text(text) => text == "true",
            Outcome::Json(json) => matches!(json, Json::Bool(true)) || json.as_str() == Some("true"),
            _ => false,
        }
    }

    pub fn into_value(self) -> Option<properties::Value> {
        Some(match self {
            Outcome::Nothing => return None,
            Outcome::Text(text) => properties::Value::text(text),
            Outcome::Boolean(value) => properties::Value::Boolean(value),
            Outcome::Integer(value) => properties::Value::Integer(value),
            Outcome::Long(value) => properties::Value::Long(value),
            Outcome::Double(value) => properties::Value::Double(value),
            Outcome::Json(Json::String(text)) => properties::Value::text(text),
            Outcome::Json(Json::Bool(value)) => properties::Value::Boolean(value),
            Outcome::Json(json) => properties::Value::Json(Arc::new(json)),
            Outcome::Xml(_, nodes) => properties::Value::Xml(nodes),
        })
    }
}

#[cfg(test)]
mod tests;
