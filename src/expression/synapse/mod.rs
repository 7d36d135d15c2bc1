//! Synapse expressions: the contract; the engine lands from the branch `json`, which replaces this file.
use super::Scope;
use crate::message::properties::Value;
use crate::message::xml::Namespaces;
use std::ops::Range;
#[derive(Debug)]
pub struct Expression {}
#[derive(Debug)]
pub struct Mistake {
    pub message: String,
    pub range: Range<usize>,
    pub help: Option<String>,
}
pub struct Outcome {}
impl Outcome {
    pub fn text(&self) -> String {
        String::new()
    }
    pub fn into_value(self) -> Option<Value> {
        None
    }
}
impl Expression {
    pub fn compile(_text: &str, _namespaces: &Namespaces) -> Result<Expression, Mistake> {
        Ok(Expression {})
    }
    pub fn needs_payload(&self) -> bool {
        true
    }
    pub fn evaluate(&self, _scope: &mut Scope<'_>) -> Outcome {
        Outcome {}
    }
}
