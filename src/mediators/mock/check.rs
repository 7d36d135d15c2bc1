//! Holds a request against its definition: parameters, media type, body. Everything that does not fit is told at once.

use crate::flow::mishap::problem;
use crate::flow::{Answer, Exchange, Fault};
use crate::message::json::{self, Json, Object};
use crate::message::media_type::{Form, MediaType};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

pub struct Check {
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
}

pub struct Parameter {
    pub name: String,
    pub place: Place,
    pub required: bool,
    /// `?name=` and `?name` fit, whatever the schema says.
    pub may_be_empty: bool,
    pub shape: Shape,
    pub schema: Option<Box<dyn Schema>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How the text of a parameter or of a form's field becomes a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// A number, true or false where it reads as one.
    Scalar,
    /// JSON text.
    Json,
    /// The parameter comes once for each value.
    Repeated(Box<Shape>),
    Separated(char, Box<Shape>),
    /// In a notation that is not taken apart, so it is only seen whether it is there.
    Opaque,
}

pub struct Body {
    pub required: bool,
    pub media: Vec<MediaCheck>,
}

pub struct MediaCheck {
    /// As the definition says it; `*` may stand for a part.
    pub essence: String,
    pub schema: Option<Box<dyn Schema>>,
    /// Of a form's fields, by their names.
    pub fields: Vec<(String, Shape)>,
}

pub trait Schema: Send + Sync {
    /// Everything that does not fit.
    fn misfits(&self, value: &Json) -> Vec<Misfit>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A pointer into the value (RFC 6901); empty for the whole.
    pub at: String,
    pub reason: String,
}

/// More than this is not told.
const MOST: usize = 50;

/// What is wrong with a request.
#[derive(Default)]
struct Wrongs {
    list: Vec<Json>,
    /// Of the body's content alone.
    only_content: bool,
}

impl Wrongs {
    fn tell(&mut self, place: &str, name: &str, reason: &str) {
        self.only_content &= place == "body";
        if self.list.len() >= MOST {
            return;
        }
        let mut wrong = Object::new();
        wrong.insert("in".to_owned(), place.into());
        if !name.is_empty() {
            let key = if place == "body" { "pointer" } else { "name" };
            wrong.insert(key.to_owned(), name.into());
        }
        wrong.insert("reason".to_owned(), reason.into());
        self.list.push(Json::Object(wrong));
    }
}

impl Check {
    /// The answer to a request that does not fit: 400, 415, or 422 when the body alone says something else than its schema.
    pub async fn refusal(&self, exchange: &mut Exchange) -> Result<Option<Answer>, Fault> {
        let mut wrongs = Wrongs {
            list: Vec::new(),
            only_content: true,
        };
        for parameter in &self.parameters {
            parameter.check(exchange, &mut wrongs);
        }
        if let Some(body) = &self.body
            && let Some(types) = body.check(exchange, &mut wrongs).await?
        {
            return Ok(Some(problem(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The media type is not taken",
                "The definition takes no body of this Content-Type here.",
                &[("types", types)],
            )));
        }
        if wrongs.list.is_empty() {
            return Ok(None);
        }
        let status = if wrongs.only_content {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        let detail = match wrongs.list.len() {
            1 => "One thing in it is not as the definition says.".to_owned(),
            count => format!("{count} things in it are not as the definition says."),
        };
        Ok(Some(problem(
            status,
            "The request does not fit",
            &detail,
            &[("errors", Json::Array(wrongs.list))],
        )))
    }
}

impl Parameter {
    fn check(&self, exchange: &Exchange, wrongs: &mut Wrongs) {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
            Place::Cookie => "cookie",
        };
        let texts = texts(self.place, &self.name, exchange);
        if texts.is_empty() {
            if self.required {
                wrongs.tell(place, &self.name, "it is required");
            }
            return;
        }
        let is_empty = self.may_be_empty && texts.iter().all(String::is_empty);
        let Some(schema) = self.schema.as_ref().filter(|_| !is_empty) else {
            return;
        };
        match value(&texts, &self.shape) {
            Ok(None) => {}
            Ok(Some(value)) => {
                for misfit in schema.misfits(&value) {
                    wrongs.tell(place, &self.name, &located(&misfit));
                }
            }
            Err(reason) => wrongs.tell(place, &self.name, reason),
        }
    }
}

/// The values under a name, decoded.
pub fn texts(place: Place, name: &str, exchange: &Exchange) -> Vec<String> {
    match place {
        Place::Path => {
            let value = exchange.properties.text(&format!("uri.var.{}", name));
            value.into_iter().collect()
        }
        Place::Query => pairs(exchange.request.query().unwrap_or(""), name),
        Place::Header => {
            let all = exchange.message.headers.get_all(name);
            let texts = all.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let joined = texts.collect::<Vec<_>>().join(",");
            if all.iter().next().is_none() {
                Vec::new()
            } else {
                vec![joined]
            }
        }
        Place::Cookie => {
            let all = exchange.message.headers.get_all(http::header::COOKIE);
            let cookies = all.iter().filter_map(|value| value.to_str().ok());
            cookies
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.trim().split_once('='))
                .filter(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
                .collect()
        }
    }
}

/// The values of one name in a query or a form; `name[]` counts as `name`.
fn pairs(text: &str, name: &str) -> Vec<String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| {
            let key = decoded(key);
            key == name || key.strip_suffix("[]") == Some(name)
        })
        .map(|(_, value)| decoded(value))
        .collect()
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// `None`: it cannot be looked at.
fn value(texts: &[String], shape: &Shape) -> Result<Option<Json>, &'static str> {
    let last = || texts.last().map_or("", String::as_str);
    Ok(Some(match shape {
        Shape::Opaque => return Ok(None),
        Shape::Json => {
            let parsed = json::parse(last().as_bytes(), &json::JsonLimits::default());
            parsed.map_err(|_| "it is no JSON")?
        }
        Shape::Text | Shape::Scalar => scalar(last(), shape),
        Shape::Repeated(inner) => Json::Array(texts.iter().map(|text| scalar(text, inner)).collect()),
        Shape::Separated(separator, inner) => {
            let text = last();
            let parts = text.split(*separator).map(|part| scalar(part, inner));
            Json::Array(if text.is_empty() {
                Vec::new()
            } else {
                parts.collect()
            })
        }
    }))
}

fn scalar(text: &str, shape: &Shape) -> Json {
    if *shape == Shape::Scalar {
        match text {
            "true" => return Json::Bool(true),
            "false" => return Json::Bool(false),
            "null" => return Json::Null,
            _ => {}
        }
        let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        if let Some(number) = is_number
            .then(|| serde_json::from_str::<serde_json::Number>(text).ok())
            .flatten()
        {
            return Json::Number(number);
        }
    }
    Json::String(text.to_owned())
}

fn located(misfit: &Misfit) -> Cow<'_, str> {
    match misfit.at.as_str() {
        "" => Cow::Borrowed(&misfit.reason),
        at => Cow::Owned(format!("{} (at {at})", misfit.reason)),
    }
}

impl Body {
    /// The media types that are taken, if they do not include the body's. A body that cannot be had is a fault, as anywhere else.
    async fn check(&self, exchange: &mut Exchange, wrongs: &mut Wrongs) -> Result<Option<Json>, Fault> {
        let declared = exchange.message.header("content-type").map(MediaType::parse);
        if exchange.message.payload.is_empty() {
            if self.required {
                wrongs.tell("body", "", "it is required");
                wrongs.only_content = false;
            }
            return Ok(None);
        }
        let taken = match &declared {
            None => self.media.first(),
            Some(declared) => self.media.iter().max_by_key(|media| media.precision(declared)),
        };
        let Some(taken) = taken else {
            return Ok(None);
        };
        if let Some(declared) = &declared
            && taken.precision(declared).is_none()
        {
            let types = self.media.iter().map(|media| media.essence.as_str().into());
            return Ok(Some(Json::Array(types.collect())));
        }
        let form = declared
            .as_ref()
            .map_or(Form::of(&taken.essence), MediaType::form);
        let looked_at = [
            Form::Json,
            Form::Xml,
            Form::Soap11,
            Form::Soap12,
            Form::UrlEncoded,
        ];
        if !looked_at.contains(&form) {
            return Ok(None);
        }
        exchange.load().await?;
        match content(exchange, form, &taken.fields) {
            Ok(None) => {}
            Ok(Some(value)) => {
                let misfits = taken.schema.as_ref().map(|schema| schema.misfits(&value));
                for misfit in misfits.into_iter().flatten() {
                    wrongs.tell("body", &misfit.at, &misfit.reason);
                }
            }
            Err(reason) => {
                wrongs.tell("body", "", &reason);
                wrongs.only_content = false;
            }
        }
        Ok(None)
    }
}

impl MediaCheck {
    /// How exactly a media type is meant, if it is.
    fn precision(&self, declared: &MediaType) -> Option<u8> {
        let own = MediaType::parse(&self.essence).essence;
        if own == declared.essence {
            return Some(2);
        }
        match own.split_once('/') {
            Some(("*", _)) | None => Some(0),
            Some((family, "*")) => declared
                .essence
                .split('/')
                .next()
                .is_some_and(|its| its == family)
                .then_some(1),
            _ => None,
        }
    }
}

/// The body as a value that a schema describes; nothing of XML, which is only read.
fn content(exchange: &mut Exchange, form: Form, fields: &[(String, Shape)]) -> Result<Option<Json>, String> {
    let catalog = std::sync::Arc::clone(&exchange.catalog);
    let payload = &mut exchange.message.payload;
    match form {
        Form::Json => {
            let text = payload.raw_text().map_err(|error| error.to_string())?;
            let value = json::parse(text.unwrap_or_default().as_bytes(), &catalog.limits.json);
            value.map(Some).map_err(|error| error.to_string())
        }
        Form::UrlEncoded => {
            let text = payload
                .raw_text()
                .map_err(|error| error.to_string())?
                .unwrap_or_default();
            Ok(Some(Json::Object(form_of(&text, fields))))
        }
        _ => payload
            .envelope(&catalog.build_context())
            .map(|_| None)
            .map_err(|error| error.to_string()),
    }
}

/// A form's fields, those that the definition knows in the shape it says.
fn form_of(text: &str, fields: &[(String, Shape)]) -> Object {
    let mut object = Object::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let key = decoded(pair.split_once('=').unwrap_or((pair, "")).0);
        let name = key.strip_suffix("[]").unwrap_or(&key);
        if object.contains_key(name) {
            continue;
        }
        let shape = fields.iter().find(|(field, _)| field == name);
        let shape = shape.map_or(&Shape::Text, |(_, shape)| shape);
        let value = value(&pairs(text, name), shape).ok().flatten();
        object.insert(name.to_owned(), value.unwrap_or(Json::Null));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_the_values_that_are_meant() {
        let check = |texts: &[&str], shape: Shape, expected: &str| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let told = match value(&texts, &shape) {
                Ok(value) => value.map_or("opaque".to_owned(), |value| json::text(&value)),
                Err(reason) => reason.to_owned(),
            };
            assert_eq!(told, expected, "{texts:?} {shape:?}");
        };
        let scalars = || Box::new(Shape::Scalar);
        check(&["7"], Shape::Text, "\"7\"");
        check(&["7"], Shape::Scalar, "7");
        check(&["1.50"], Shape::Scalar, "1.50");
        check(&["07"], Shape::Scalar, "\"07\"");
        check(&["true"], Shape::Scalar, "true");
        check(&["a", "b"], Shape::Text, "\"b\"");
        check(&["1", "x"], Shape::Repeated(scalars()), "[1,\"x\"]");
        check(&["1|2"], Shape::Separated('|', scalars()), "[1,2]");
        check(&[""], Shape::Separated(',', scalars()), "[]");
        check(&["{\"a\":1}"], Shape::Json, "{\"a\":1}");
        check(&["{a"], Shape::Json, "it is no JSON");
        check(&["x"], Shape::Opaque, "opaque");
    }

    #[test]
    fn a_name_may_come_several_times_and_in_escapes() {
        assert_eq!(pairs("a=1&b=2&a=x+y%21&a%5B%5D=3&c", "a"), ["1", "x y!", "3"]);
        assert_eq!(pairs("a=1&c", "c"), [""]);
        assert_eq!(pairs("", "c"), Vec::<String>::new());
        let fields = [
            ("n".to_owned(), Shape::Scalar),
            ("l".to_owned(), Shape::Repeated(Box::new(Shape::Text))),
        ];
        let form = form_of("n=1&l=a&l=b&m=2", &fields);
        assert_eq!(
            json::text(&Json::Object(form)),
            r#"{"n":1,"l":["a","b"],"m":"2"}"#
        );
    }
}
