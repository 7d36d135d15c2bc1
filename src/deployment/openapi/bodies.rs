//! What a definition tells of an answer, as it goes out: the body of a media type, the value of a header.

use super::model::{Header, Media};
use super::read::{Node, Value};
use super::references::References;
use super::sample::{self, Sampling, Way};
use crate::mediators::mock::{self, template};
use crate::message::json::{self, Json};
use crate::message::media_type::{Form, MediaType};
use http::HeaderName;

/// The body that is sent when nobody wishes for another: the first example, else what fits the schema. `None`: nothing is said of it.
pub fn usual(media: &Media<'_>, root: &Node, way: Way) -> Option<String> {
    let form = MediaType::parse(&media_type(media)).form();
    let sampling = Sampling {
        root,
        way,
        seed: None,
    };
    match (media.examples.first(), media.schema) {
        (Some(first), schema) => Some(example(first.value, schema, form, root)),
        (None, Some(schema)) => Some(made(schema, form, &sampling)),
        // An empty body would be no JSON.
        (None, None) => (form == Form::Json).then(|| "{}".to_owned()),
    }
}

/// A media type without stars: JSON, or plain text where the example is text.
pub fn media_type(media: &Media<'_>) -> String {
    if !media.media_type.contains('*') {
        return media.media_type.to_owned();
    }
    let family = media.media_type.split('/').next().unwrap_or("*");
    let is_text = media
        .examples
        .first()
        .is_some_and(|example| matches!(example.value.json(), Json::String(_)));
    match family {
        "*" | "application" if !is_text => "application/json".to_owned(),
        "*" | "text" => "text/plain".to_owned(),
        "image" => "image/png".to_owned(),
        family => format!("{family}/octet-stream"),
    }
}

/// An example: what is text in another media type than JSON is the body itself.
pub fn example(value: &Node, schema: Option<&Node>, form: Form, root: &Node) -> String {
    let value_json = value.json();
    match (&value_json, form) {
        (Json::String(text), Form::Json) => {
            let schema = schema.map(|schema| References::new(root).resolve(schema));
            let is_string = schema
                .and_then(|schema| schema.get("type"))
                .is_some_and(|kind| kind.text() == Some("string"));
            // Many write JSON as a text.
            let is_json = !is_string && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            if is_json {
                text.clone()
            } else {
                json::text(&value_json)
            }
        }
        (Json::String(text), _) => text.clone(),
        (_, Form::Json) => json::text(&value_json),
        (Json::Array(_) | Json::Object(_), Form::Xml | Form::Soap11 | Form::Soap12) => {
            sample::xml_of(&value_json, schema.unwrap_or(value), root)
        }
        _ => value
            .text()
            .map_or_else(|| json::text(&value_json), str::to_owned),
    }
}

/// An example whose places are filled at each request. JSON as a text may have them where a value stands.
pub fn template(value: &Node, schema: Option<&Node>, form: Form, root: &Node) -> String {
    let is_json =
        |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(&template::numbered(text)).is_ok();
    match value.json() {
        Json::String(text)
            if form == Form::Json && text.trim_start().starts_with(['{', '[']) && is_json(&text) =>
        {
            text
        }
        _ => example(value, schema, form, root),
    }
}

/// A body that fits a schema.
pub fn made(schema: &Node, form: Form, sampling: &Sampling<'_>) -> String {
    match form {
        Form::Xml | Form::Soap11 | Form::Soap12 => sample::xml(schema, sampling),
        form => match sample::json(schema, sampling) {
            Json::String(text) if form != Form::Json => text,
            value => json::text(&value),
        },
    }
}

/// A header with its value, where the definition tells that; none is made up, for a `Location: string` leads clients astray.
pub fn header(header: &Header<'_>, references: References<'_>) -> Option<(HeaderName, String)> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok();
    let name = name.filter(|name| !mock::is_own_header(name))?;
    let schema = header.schema.map(|schema| references.resolve(schema));
    let told = || {
        let schema = schema?;
        let first = |name: &str| schema.get(name)?.items().first();
        schema
            .get("example")
            .or_else(|| first("examples"))
            .or_else(|| schema.get("default"))
            .or_else(|| schema.get("const"))
            .or_else(|| first("enum"))
    };
    Some((name, header.example.or_else(told).map(header_text)?))
}

/// A value as a header has it: text without quotes, lists with commas.
fn header_text(value: &Node) -> String {
    match &value.value {
        Value::Text(text) => text.clone(),
        Value::List(items) => items.iter().map(header_text).collect::<Vec<_>>().join(", "),
        Value::Map(_) => json::text(&value.json()),
    }
}
