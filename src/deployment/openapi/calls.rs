//! How the operations of a definition can be called: first tries with all that each of them requires.

use super::DefinitionFile;
use super::bodies;
use super::model::{self, Operation, Parameter, Place};
use super::read::Node;
use super::sample::{self, Sampling, Way};
use crate::message::json::{self, Json};
use crate::message::media_type::Form;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// A call of one operation.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    /// As the definition writes it.
    pub path: String,
    /// With values in place of the variables, and with the query.
    pub target: String,
    /// Headers and body, as options of curl with a space in front of each.
    pub options: String,
}

/// Longer bodies are not shown.
const LONGEST_BODY: usize = 300;

/// What needs no escape in a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b',');

/// In the order of the definition.
pub fn calls(found: &DefinitionFile) -> Vec<Call> {
    let mut mistakes = Vec::new();
    let definition = model::definition(&found.root, &mut mistakes);
    let operations = definition.map(|definition| definition.operations);
    let operations = operations.into_iter().flatten();
    operations
        .map(|operation| call(&operation, &found.root))
        .collect()
}

fn call(operation: &Operation<'_>, root: &Node) -> Call {
    let mut target = utf8_percent_encode(operation.path, CONTROLS).to_string();
    let (mut query, mut options) = (String::new(), String::new());
    for parameter in &operation.parameters {
        let text = value(parameter, root);
        match parameter.place {
            Place::Path => {
                let variable = format!("{{{}}}", utf8_percent_encode(parameter.name, CONTROLS));
                target = target.replace(&variable, &escaped(&text));
            }
            Place::Query if parameter.required => {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(&format!("{}={}", escaped(parameter.name), escaped(&text)));
            }
            Place::Header if parameter.required => {
                options.push_str(&format!(" -H {}", quoted(&format!("{}: {text}", parameter.name))));
            }
            _ => {}
        }
    }
    if let Some((media_type, body)) = body(operation, root) {
        let header = quoted(&format!("content-type: {media_type}"));
        options.push_str(&format!(" -H {header} -d {}", quoted(&body)));
    }
    Call {
        method: operation.method,
        path: operation.path.to_owned(),
        target: target + query.as_str(),
        options,
    }
}

/// The body that an operation takes, as JSON if it can be.
fn body(operation: &Operation<'_>, root: &Node) -> Option<(String, String)> {
    let media = &operation.body.as_ref()?.media;
    let form = |media: &model::Media<'_>| Form::of(media.media_type);
    let media = media
        .iter()
        .find(|media| form(media) == Form::Json)
        .or(media.first())?;
    if !matches!(form(media), Form::Json | Form::Xml | Form::Text) {
        return None;
    }
    let body = bodies::usual(media, root, Way::Request)?;
    (body.len() <= LONGEST_BODY).then(|| (bodies::media_type(media), body))
}

fn value(parameter: &Parameter<'_>, root: &Node) -> String {
    let sampling = Sampling {
        root,
        way: Way::Request,
        seed: None,
    };
    let value = match (parameter.node.get("example"), parameter.schema) {
        (Some(example), _) => example.json(),
        (None, Some(schema)) => sample::json(schema, &sampling),
        (None, None) => Json::Null,
    };
    let one = match value {
        Json::Array(list) => list.into_iter().next().unwrap_or(Json::Null),
        value => value,
    };
    match one {
        Json::String(text) => text,
        Json::Null | Json::Object(_) => "1".to_owned(),
        other => json::text(&other),
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;
    use crate::text::FileId;

    #[test]
    fn a_first_call_has_all_that_is_required() {
        let text = r#"
openapi: 3.0.0
paths:
  /pets/{kind}:
    parameters:
      - {name: kind, in: path, required: true, schema: {type: string, enum: [big dog, cat]}}
    get:
      parameters:
        - {name: limit, in: query, required: true, schema: {type: integer, minimum: 3}}
        - {name: tags, in: query, required: true, schema: {type: array, items: {type: string, example: a&b}}}
        - {name: page, in: query, schema: {type: integer}}
        - {name: X-Tenant, in: header, required: true, example: blue, schema: {type: string}}
      responses: {'200': {description: ok}}
    post:
      requestBody:
        content:
          application/xml: {schema: {type: object}}
          application/json: {example: {name: "Rex's"}}
      responses: {'201': {description: made}}
"#;
        let found = find(FileId(0), text).unwrap().unwrap();
        let shown: Vec<String> = calls(&found)
            .into_iter()
            .map(|call| format!("{} {} {}{}", call.method, call.path, call.target, call.options))
            .collect();
        assert_eq!(
            shown,
            [
                "GET /pets/{kind} /pets/big%20dog?limit=3&tags=a%26b -H 'X-Tenant: blue'",
                r#"POST /pets/{kind} /pets/big%20dog -H 'content-type: application/json' -d '{"name":"Rex'\''s"}'"#,
            ]
        );
    }
}
