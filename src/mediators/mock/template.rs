//! Examples with places for what the request says: `{"id": {{path.id}}, "for": "{{query.name}}", "of": "{{body.items.0.sku}}"}`.

use super::check::{Place, texts};
use crate::flow::{Exchange, Fault};
use crate::message::json::{self, Json};
use crate::message::media_type::Form;
use bytes::Bytes;
use std::ops::Range;

/// A body with places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    places: Vec<Filled>,
    /// Behind the last of them.
    rest: String,
    reads_body: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filled {
    before: String,
    source: Source,
    surroundings: Surroundings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Parameter(Place, String),
    /// The way into a body of JSON.
    Body(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surroundings {
    /// A whole text of JSON, whose quotes are gone: a text stays one, a value of the body stays what it is.
    Quoted,
    /// A part of a text of JSON.
    Text,
    /// In JSON without quotes: numbers and words of JSON are taken as they are.
    Bare,
    Xml,
    Plain,
}

impl Template {
    /// Nothing where a body has no places; or what a place is that names nothing.
    pub fn of(body: &str, form: Form) -> Result<Option<Template>, String> {
        let mut places: Vec<Filled> = Vec::new();
        let mut rest = body;
        let mut in_text = false;
        while let Some(range) = next(rest) {
            let name = rest[range.start + 2..range.end - 2].trim();
            let source = Source::named(name).ok_or_else(|| {
                format!("`{{{{{name}}}}}` names nothing: write path.NAME, query.NAME, header.NAME, cookie.NAME, body or body.NAME")
            })?;
            let mut before = &rest[..range.start];
            let mut behind = &rest[range.end..];
            let surroundings = match form {
                Form::Json => {
                    in_text ^= quotes(before) % 2 == 1;
                    match (before.strip_suffix('"'), behind.strip_prefix('"')) {
                        (Some(without), Some(after)) if in_text => {
                            (before, behind) = (without, after);
                            in_text = false;
                            Surroundings::Quoted
                        }
                        _ if in_text => Surroundings::Text,
                        _ => Surroundings::Bare,
                    }
                }
                Form::Xml | Form::Soap11 | Form::Soap12 => Surroundings::Xml,
                _ => Surroundings::Plain,
            };
            places.push(Filled {
                before: before.to_owned(),
                source,
                surroundings,
            });
            rest = behind;
        }
        let is_body = |place: &Filled| matches!(place.source, Source::Body(_));
        Ok((!places.is_empty()).then(|| Template {
            reads_body: places.iter().any(is_body),
            places,
            rest: rest.to_owned(),
        }))
    }

    /// The body with what this request says.
    pub async fn fill(&self, exchange: &mut Exchange) -> Result<Bytes, Fault> {
        let mut body = Json::Null;
        if self.reads_body {
            exchange.load().await?;
            let limits = &exchange.catalog.limits.json;
            let text = exchange.message.payload.raw_text().ok().flatten();
            let parsed = text.and_then(|text| json::parse(text.as_bytes(), limits).ok());
            body = parsed.unwrap_or(Json::Null);
        }
        let mut out = String::new();
        for place in &self.places {
            out.push_str(&place.before);
            let value = match &place.source {
                Source::Parameter(from, name) => texts(*from, name, exchange).pop().map(Json::String),
                Source::Body(path) => found(&body, path).cloned(),
            };
            put(value, place.surroundings, &mut out);
        }
        out.push_str(&self.rest);
        Ok(Bytes::from(out))
    }
}

/// A text whose places hold a number, to see what it is else.
pub fn numbered(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(range) = next(rest) {
        out.push_str(&rest[..range.start]);
        out.push('0');
        rest = &rest[range.end..];
    }
    out + rest
}

/// The next place, with its braces.
fn next(text: &str) -> Option<Range<usize>> {
    let start = text.find("{{")?;
    let end = start + text[start..].find("}}")? + 2;
    Some(start..end)
}

/// Quotes that begin or end a text of JSON.
fn quotes(json: &str) -> usize {
    let mut count = 0;
    let mut escaped = false;
    for byte in json.bytes() {
        count += usize::from(byte == b'"' && !escaped);
        escaped = byte == b'\\' && !escaped;
    }
    count
}

impl Source {
    fn named(name: &str) -> Option<Source> {
        let (from, rest) = name.split_once('.').unwrap_or((name, ""));
        let place = match from {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            "cookie" => Place::Cookie,
            "body" => {
                let steps = rest.split('.').filter(|step| !step.is_empty());
                return Some(Source::Body(steps.map(str::to_owned).collect()));
            }
            _ => return None,
        };
        (!rest.is_empty()).then(|| Source::Parameter(place, rest.to_owned()))
    }
}

fn found<'j>(json: &'j Json, path: &[String]) -> Option<&'j Json> {
    path.iter().try_fold(json, |json, step| match json {
        Json::Array(items) => items.get(step.parse::<usize>().ok()?),
        json => json.get(step),
    })
}

/// Nothing is `null` in JSON, and an empty text elsewhere.
fn put(value: Option<Json>, surroundings: Surroundings, out: &mut String) {
    let value = value.unwrap_or(Json::Null);
    let text = match &value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => json::text(other),
    };
    match surroundings {
        Surroundings::Quoted => out.push_str(&json::text(&value)),
        Surroundings::Bare => {
            let is_word = serde_json::from_str::<Json>(&text).is_ok_and(|json| !json.is_string());
            match (&value, is_word) {
                (Json::String(_), true) => out.push_str(&text),
                _ => out.push_str(&json::text(&value)),
            }
        }
        Surroundings::Text => {
            let quoted = json::text(&Json::String(text));
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
        Surroundings::Xml => {
            for character in text.chars() {
                match character {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    '\'' => out.push_str("&#39;"),
                    other => out.push(other),
                }
            }
        }
        Surroundings::Plain => out.push_str(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_fits_what_stands_around() {
        let check = |value: Option<Json>, surroundings: Surroundings, expected: &str| {
            let mut out = String::new();
            put(value.clone(), surroundings, &mut out);
            assert_eq!(out, expected, "{value:?} {surroundings:?}");
        };
        let text = || Some(Json::String("a\"<&".to_owned()));
        check(text(), Surroundings::Quoted, r#""a\"<&""#);
        check(text(), Surroundings::Text, r#"a\"<&"#);
        check(text(), Surroundings::Bare, r#""a\"<&""#);
        check(text(), Surroundings::Xml, "a&quot;&lt;&amp;");
        check(text(), Surroundings::Plain, "a\"<&");
        check(Some("07".into()), Surroundings::Bare, "\"07\"");
        check(Some("7".into()), Surroundings::Bare, "7");
        check(Some("{}".into()), Surroundings::Bare, "{}");
        check(Some(7.into()), Surroundings::Quoted, "7");
        check(None, Surroundings::Quoted, "null");
        check(None, Surroundings::Text, "");
        check(None, Surroundings::Bare, "null");
    }

    #[test]
    fn places_know_whether_they_stand_in_a_text() {
        let of = |body: &str| {
            let template = Template::of(body, Form::Json).expect("it is sound");
            let places = template.map_or_else(Vec::new, |template| template.places);
            places
                .into_iter()
                .map(|place| place.surroundings)
                .collect::<Vec<_>>()
        };
        use Surroundings::{Bare, Quoted, Text};
        assert_eq!(
            of(
                r#"{"a": {{path.a}}, "b\"": "{{query.b}}", "c": "x{{ body.c }}{{body}}", "d": "{{body.d}}", "e": [{{header.e}}]}"#
            ),
            [Bare, Quoted, Text, Text, Quoted, Bare]
        );
        assert_eq!(of("{\"a\": {\"b\": {}}}"), []);
        assert_eq!(
            Template::of("{{none}}", Form::Text),
            Err("`{{none}}` names nothing: write path.NAME, query.NAME, header.NAME, cookie.NAME, body or body.NAME".to_owned())
        );
    }
}
