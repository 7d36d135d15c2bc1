//! JSON values written inside a path: more forgiving than JSON, single quotes and bare words are strings.

use super::JsonPathError;
use super::parse::{Reader, mistake};
use crate::message::json::{self, Json, JsonLimits, Object};

const NESTING: usize = 32;

/// Reads one value.
pub(super) fn json(reader: &mut Reader<'_>) -> Result<Json, JsonPathError> {
    value(reader, 0)
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Json, JsonPathError> {
    if depth > NESTING {
        return Err(reader.mistake("the value is nested too deeply"));
    }
    reader.skip_blanks();
    match reader.peek() {
        Some(quote @ ('\'' | '"')) => Ok(Json::String(reader.quoted(quote)?)),
        Some('[') => {
            let mut items = Vec::new();
            reader.at += 1;
            while !closed(reader, ']')? {
                items.push(value(reader, depth + 1)?);
                comma(reader, ']')?;
            }
            Ok(Json::Array(items))
        }
        Some('{') => {
            let mut members = Object::new();
            reader.at += 1;
            while !closed(reader, '}')? {
                let key = match value(reader, depth + 1)? {
                    Json::String(key) => key,
                    other => json::text(&other),
                };
                reader.expect(':', "a colon is missing after the key")?;
                members.insert(key, value(reader, depth + 1)?);
                comma(reader, '}')?;
            }
            Ok(Json::Object(members))
        }
        Some(_) => word(reader),
        None => Err(reader.mistake("a value is missing")),
    }
}

fn word(reader: &mut Reader<'_>) -> Result<Json, JsonPathError> {
    let start = reader.at;
    while let Some(character) = reader.peek() {
        if matches!(character, ',' | ']' | '}' | ':') {
            break;
        }
        reader.at += character.len_utf8();
    }
    let word = reader.text[start..reader.at].trim();
    if word.is_empty() {
        return Err(mistake("a value is missing", start..reader.at));
    }
    // A word that is no JSON is a string without its quotes.
    Ok(
        json::parse(word.as_bytes(), &JsonLimits::default())
            .unwrap_or_else(|_| Json::String(word.to_owned())),
    )
}

fn closed(reader: &mut Reader<'_>, close: char) -> Result<bool, JsonPathError> {
    reader.skip_blanks();
    match reader.peek() {
        None => Err(reader.mistake(&format!("the closing `{close}` is missing"))),
        Some(character) => {
            let closed = character == close;
            reader.at += usize::from(closed);
            Ok(closed)
        }
    }
}

fn comma(reader: &mut Reader<'_>, close: char) -> Result<(), JsonPathError> {
    reader.skip_blanks();
    match reader.peek() {
        Some(',') => reader.at += 1,
        Some(character) if character == close => {}
        _ => return Err(reader.mistake(&format!("a comma or `{close}` is missing"))),
    }
    Ok(())
}
