//! The functions a path may end with.

use std::borrow::Cow;

use super::evaluate::{self, Stop};
use super::{Path, Token, value_text};
use crate::message::json::{Json, java_double_text};

pub(super) const NAMES: &[(&str, Function)] = &[
    ("length", Function::Length),
    ("size", Function::Length),
    ("min", Function::Min),
    ("max", Function::Max),
    ("avg", Function::Average),
    ("sum", Function::Sum),
    ("stddev", Function::Deviation),
    ("keys", Function::Keys),
    ("concat", Function::Concat),
    ("append", Function::Append),
    ("first", Function::First),
    ("last", Function::Last),
    ("index", Function::Index),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Min,
    Max,
    Average,
    Sum,
    Deviation,
    Keys,
    Concat,
    Append,
    First,
    Last,
    Index,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: Function,
    pub(super) arguments: Vec<Argument>,
}

#[derive(Debug, Clone)]
pub(super) enum Argument {
    Path(Path),
    Json(Json),
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Function> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, function)| *function)
    }
}

impl Call {
    /// Applies the function to `model`; paths among the arguments begin at the root of the document.
    pub(super) fn invoke(&self, model: &Json, root: &Json) -> Result<Json, Stop> {
        match self.function {
            Function::Length => self.length(model),
            Function::Keys => Ok(match model {
                Json::Object(members) => members.keys().map(|key| Json::String(key.clone())).collect(),
                _ => Json::Null,
            }),
            Function::Concat => self.concat(model, root),
            Function::Append => self.append(model, root),
            Function::First => self.element(model, 0),
            Function::Last => self.element(model, -1),
            Function::Index => {
                let index = self.numbers(root)?.first().copied().unwrap_or(f64::NAN);
                if index.is_nan() {
                    return Err(Stop::broken("index() wants a number"));
                }
                self.element(model, index as i64)
            }
            Function::Min | Function::Max | Function::Average | Function::Sum | Function::Deviation => {
                self.aggregate(model, root)
            }
        }
    }

    fn length(&self, model: &Json) -> Result<Json, Stop> {
        if let Some(Argument::Path(path)) = self.arguments.first() {
            // Jayway asks for the children of the argument: the length of an array or object, nothing for others.
            let mut children = path.clone();
            if !matches!(path.tokens.last(), Some(Token::Function(_))) {
                children.tokens.push(Token::Wildcard);
                children = Path::new(children.tokens, children.from_root);
            }
            let single = path.is_definite()
                && !matches!(
                    *evaluate::value(path, model, model)?,
                    Json::Array(_) | Json::Object(_)
                );
            if let Json::Array(items) = evaluate::value(&children, model, model)?.as_ref() {
                return Ok(if single {
                    Json::Null
                } else {
                    Json::from(items.len())
                });
            }
        }
        Ok(match model {
            Json::Array(items) => Json::from(items.len()),
            Json::Object(members) => Json::from(members.len()),
            _ => Json::Null,
        })
    }

    fn aggregate(&self, model: &Json, root: &Json) -> Result<Json, Stop> {
        let mut numbers: Vec<f64> = Vec::new();
        if let Json::Array(items) = model {
            numbers.extend(items.iter().filter_map(Json::as_f64));
        }
        numbers.extend(self.numbers(root)?);
        if numbers.is_empty() {
            return Err(Stop::broken("there is no number to count with"));
        }
        let count = numbers.len() as f64;
        let sum: f64 = numbers.iter().sum();
        let result = match self.function {
            Function::Sum => sum,
            Function::Average => sum / count,
            Function::Min => numbers.iter().copied().fold(f64::MAX, f64::min),
            // Jayway begins at Java's Double.MIN_VALUE, the smallest positive number: a list of negatives has this maximum.
            Function::Max => numbers.iter().copied().fold(f64::from_bits(1), f64::max),
            _ => {
                let squares: f64 = numbers.iter().map(|number| number * number).sum();
                (squares / count - sum * sum / count / count).sqrt()
            }
        };
        if !result.is_finite() {
            return Err(Stop::broken("the result is no finite number"));
        }
        Ok(number(&java_double_text(result)))
    }

    fn numbers(&self, root: &Json) -> Result<Vec<f64>, Stop> {
        let mut numbers = Vec::new();
        for value in self.values(root)? {
            match value.as_ref() {
                Json::Array(items) => numbers.extend(items.iter().filter_map(Json::as_f64)),
                single => numbers.extend(single.as_f64()),
            }
        }
        Ok(numbers)
    }

    fn concat(&self, model: &Json, root: &Json) -> Result<Json, Stop> {
        let mut whole = String::new();
        if let Json::Array(items) = model {
            whole.extend(items.iter().filter_map(Json::as_str));
        }
        for value in self.values(root)? {
            match value.as_ref() {
                Json::Array(items) => {
                    whole.extend(items.iter().filter(|item| !item.is_null()).map(value_text));
                }
                Json::Null => {}
                single => whole.push_str(&value_text(single)),
            }
        }
        Ok(Json::String(whole))
    }

    fn append(&self, model: &Json, root: &Json) -> Result<Json, Stop> {
        let mut result = model.clone();
        if let Json::Array(items) = &mut result {
            items.extend(self.values(root)?.into_iter().map(Cow::into_owned));
        }
        Ok(result)
    }

    fn element(&self, model: &Json, index: i64) -> Result<Json, Stop> {
        let Json::Array(items) = model else {
            return Err(Stop::broken("there is no array to take an element from"));
        };
        evaluate::element(items, index)
            .cloned()
            .ok_or_else(|| Stop::broken("the array has no such element"))
    }

    fn values<'j>(&'j self, root: &'j Json) -> Result<Vec<Cow<'j, Json>>, Stop> {
        self.arguments
            .iter()
            .map(|argument| match argument {
                Argument::Path(path) => evaluate::value(path, root, root),
                Argument::Json(value) => Ok(Cow::Borrowed(value)),
            })
            .collect()
    }
}

fn number(digits: &str) -> Json {
    Json::Number(serde_json::Number::from_string_unchecked(digits.to_owned()))
}
