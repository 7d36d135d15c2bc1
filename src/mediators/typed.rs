//! Values of a type that the author names: what `property` and `variable` share.

use crate::message::json::{self, Json};
use crate::message::payload::PayloadLimits;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::XmlTree;
use crate::plan::{Element, Planner};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    Boolean,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Json,
    /// `OM` for properties, `XML` for variables.
    Xml,
}

impl Type {
    pub fn named(name: &str) -> Option<Type> {
        Some(match name.trim().to_ascii_uppercase().as_str() {
            "STRING" => Type::Text,
            "BOOLEAN" => Type::Boolean,
            "SHORT" => Type::Short,
            "INTEGER" => Type::Integer,
            "LONG" => Type::Long,
            "FLOAT" => Type::Float,
            "DOUBLE" => Type::Double,
            "JSON" => Type::Json,
            "OM" | "XML" => Type::Xml,
            _ => return None,
        })
    }

    pub fn words(self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::Boolean => "true or false",
            Type::Short => "a whole number from -32768 to 32767",
            Type::Integer => "a whole number of 32 bits",
            Type::Long => "a whole number of 64 bits",
            Type::Float | Type::Double => "a number",
            Type::Json => "JSON",
            Type::Xml => "XML",
        }
    }
}

/// Where a text comes from decides how strictly it is read (`PropertyMediator.parseInteger`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Constant,
    /// XPath writes whole numbers with `.0`.
    Expression,
}

/// The text as a value of that type, or why it is none.
pub fn read(text: &str, kind: Type, origin: Origin, limits: &PayloadLimits) -> Result<Value, String> {
    let not = || format!("`{}` is not {}", shortened(text), kind.words());
    let cut = |text: &str| match origin {
        Origin::Expression if text.contains('.') => java_double(text).map(|number| number as i32),
        _ => text.parse::<i32>().ok(),
    };
    Ok(match kind {
        Type::Text => Value::text(text),
        // Axis2's JavaUtils.isTrueExplicitly: everything else is false.
        Type::Boolean => Value::Boolean(
            ["true", "yes", "1"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word)),
        ),
        Type::Short => match origin {
            Origin::Expression if text.contains('.') => Value::Short(cut(text).ok_or_else(not)? as i16),
            _ => Value::Short(text.parse().map_err(|_| not())?),
        },
        Type::Integer => Value::Integer(cut(text).ok_or_else(not)?),
        Type::Long => Value::Long(text.parse().map_err(|_| not())?),
        Type::Float => Value::Float(java_double(text).ok_or_else(not)? as f32),
        Type::Double => Value::Double(java_double(text).ok_or_else(not)?),
        Type::Json => Value::Json(Arc::new(read_json(text, limits).ok_or_else(not)?)),
        Type::Xml => match XmlTree::parse_str(text.trim(), &limits.xml) {
            Ok(tree) => Value::Xml(Fragment::of_element(tree)),
            Err(error) => return Err(format!("{}: {}", not(), error.message)),
        },
    })
}

/// An element of the configuration as a value, with the namespaces that hold where it stands.
pub fn literal(element: &Element, planner: &mut Planner<'_>) -> Option<Fragment> {
    let text = planner.sources.text(element.whole).to_owned();
    match XmlTree::parse_fragment(&text, &element.namespaces, &PayloadLimits::default().xml) {
        Ok(tree) => Some(Fragment::of_element(tree)),
        Err(error) => {
            planner.mistake(
                "E0101",
                element.span,
                format!("this cannot be kept as XML: {}", error.message),
            );
            None
        }
    }
}

/// Gson reads a text that is no JSON as a JSON string, as long as nothing in it looks like more (`PropertyMediator.buildJSONElement`).
fn read_json(text: &str, limits: &PayloadLimits) -> Option<Json> {
    if text.trim().is_empty() {
        return Some(Json::Null);
    }
    match json::parse(text.as_bytes(), &limits.json) {
        Ok(json) => Some(json),
        Err(_) if text.trim_start().starts_with(['{', '[']) || text.contains('"') => None,
        Err(_) => Some(Json::String(text.to_owned())),
    }
}

/// `Double.parseDouble`: white space around it, an exponent and a trailing `d` or `f` are fine.
fn java_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = match text.strip_suffix(['d', 'D', 'f', 'F']) {
        Some(digits) if digits.ends_with(|last: char| last.is_ascii_digit() || last == '.') => digits,
        _ => text,
    };
    let unsigned = digits.trim_start_matches(['+', '-']);
    let word = matches!(unsigned, "NaN" | "Infinity");
    if !word && !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    digits.parse().ok()
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kind: Type, origin: Origin, expected: Option<&str>) {
        let value = read(text, kind, origin, &PayloadLimits::default());
        assert_eq!(
            value.as_ref().ok().map(|value| value.to_text()).as_deref(),
            expected,
            "{text} as {kind:?}"
        );
    }

    #[test]
    fn a_whole_number_with_a_point_is_one_only_when_it_was_computed() {
        check("1.0", Type::Integer, Origin::Expression, Some("1"));
        check("-7.9", Type::Integer, Origin::Expression, Some("-7"));
        check("1.0", Type::Integer, Origin::Constant, None);
        check("+12", Type::Integer, Origin::Constant, Some("12"));
        check(" 12", Type::Integer, Origin::Constant, None);
        check("70000.0", Type::Short, Origin::Expression, Some("4464"));
        check("70000", Type::Short, Origin::Expression, None);
        check("1.0", Type::Long, Origin::Expression, None);
    }

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        check(" 1.5d ", Type::Double, Origin::Constant, Some("1.5"));
        check("1e3", Type::Double, Origin::Constant, Some("1000.0"));
        check("NaN", Type::Double, Origin::Constant, Some("NaN"));
        check("inf", Type::Double, Origin::Constant, None);
        check("", Type::Float, Origin::Constant, None);
    }

    #[test]
    fn only_three_words_are_true() {
        for (text, expected) in [("YES", "true"), ("1", "true"), ("on", "false"), ("", "false")] {
            check(text, Type::Boolean, Origin::Constant, Some(expected));
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_a_json_string_unless_it_looks_like_more() {
        check("hello world", Type::Json, Origin::Constant, Some("hello world"));
        check("", Type::Json, Origin::Constant, Some("null"));
        check(r#"{"a":1}"#, Type::Json, Origin::Constant, Some(r#"{"a":1}"#));
        check(r#"{"a":"#, Type::Json, Origin::Constant, None);
    }
}
