//! From what a definition says of an operation to the step that answers as it says (the Mock Implementation).

use super::bodies;
use super::model::{self, Definition, Operation, Place, Style};
use super::read::Node;
use super::references::References;
use super::sample::{Sampling, Way};
use super::schema::{Lazy, Written, shape};
use crate::flow::mishap::{self, Mishap};
use crate::flow::{Mediator, Step};
use crate::mediators::mock::check::{Body, Check, MediaCheck, Parameter, Schema, Shape};
use crate::mediators::mock::template::Template;
use crate::mediators::mock::{self, Example, Media, Mock, Response, Sampler};
use crate::message::media_type::{Form, MediaType};
use crate::text::Diagnostic;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

/// Switches the checks of requests off, for an operation, a path or all: `x-mock-validation: false`.
const VALIDATION: &str = "x-mock-validation";

/// Examples have places for what the request says, for an operation, a path or all: `x-mock-template: true`.
const TEMPLATE: &str = "x-mock-template";

/// The step of an operation. What its extensions say wrongly is told.
pub fn step(
    operation: &Operation<'_>,
    definition: &Definition<'_>,
    root: &Arc<Node>,
    mistakes: &mut Vec<Diagnostic>,
) -> Step {
    let making = Making {
        definition,
        references: definition.references,
        root,
        has_templates: extension(operation, definition, TEMPLATE).is_some_and(Node::is_true),
        told: RefCell::default(),
    };
    let is_off =
        extension(operation, definition, VALIDATION).is_some_and(|node| node.text() == Some("false"));
    let responses = operation
        .responses
        .iter()
        .map(|response| making.response(response));
    let query = operation
        .parameters
        .iter()
        .filter(|parameter| parameter.place == Place::Query);
    let mock = Mock {
        responses: responses.collect(),
        check: (!is_off).then(|| making.check(operation)),
        mishap: mishap_of(operation, definition, mistakes),
        own_query: query.map(|parameter| parameter.name.to_owned()).collect(),
    };
    mistakes.extend(making.told.take());
    Step {
        element: mock::STEP,
        span: operation.span,
        mediator: Box::new(mock) as Box<dyn Mediator>,
    }
}

/// What an operation says in an extension, or else its path, or the whole definition.
fn extension<'a>(operation: &Operation<'a>, definition: &Definition<'a>, name: &str) -> Option<&'a Node> {
    let places = [operation.node, operation.item, definition.references.root()];
    places.into_iter().find_map(|node| node.get(name))
}

fn mishap_of(
    operation: &Operation<'_>,
    definition: &Definition<'_>,
    mistakes: &mut Vec<Diagnostic>,
) -> Mishap {
    let mut tell = |node: &Node, message: String| {
        mistakes.push(Diagnostic::error("E0203", node.span, message));
    };
    let text = |node: &Node| node.text().unwrap_or("").to_owned();
    let mut mishap = Mishap::default();
    if let Some(node) = extension(operation, definition, mishap::LATENCY) {
        match mishap::latency(&text(node)) {
            Ok(latency) => mishap.latency = Some(latency),
            Err(message) => tell(node, message),
        }
    }
    if let Some(node) = extension(operation, definition, mishap::FAULT) {
        match mishap::breakage(&text(node)) {
            Ok(breakage) => mishap.breakage = Some(breakage),
            Err(message) => tell(node, message),
        }
    }
    mishap
}

struct Making<'a> {
    definition: &'a Definition<'a>,
    references: References<'a>,
    root: &'a Arc<Node>,
    has_templates: bool,
    /// What is wrong with templates.
    told: RefCell<Vec<Diagnostic>>,
}

impl Making<'_> {
    fn response(&self, response: &model::Response<'_>) -> Response {
        let headers = response.headers.iter().filter_map(|header| self.header(header));
        Response {
            statuses: response.code.clone(),
            headers: headers.collect(),
            media: response.media.iter().map(|media| self.media(media)).collect(),
        }
    }

    fn header(&self, header: &model::Header<'_>) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = bodies::header(header, self.references)?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    }

    fn media(&self, media: &model::Media<'_>) -> Media {
        let content_type = bodies::media_type(media);
        let media_type = MediaType::parse(&content_type);
        let form = media_type.form();
        let examples = media
            .examples
            .iter()
            .map(|example| self.example(example, media, form));
        Media {
            examples: examples.collect(),
            sampler: media.schema.map(|schema| self.sampler(schema, &media_type)),
            content_type,
            media_type,
        }
    }

    fn example(&self, example: &model::Example<'_>, media: &model::Media<'_>, form: Form) -> Example {
        let write = match self.has_templates {
            true => bodies::template,
            false => bodies::example,
        };
        let body = write(example.value, media.schema, form, self.root);
        let template = match Template::of(&body, form) {
            _ if !self.has_templates => None,
            Ok(template) => template,
            Err(message) => {
                let mistake = Diagnostic::error("E0203", example.value.span, message);
                self.told.borrow_mut().push(mistake);
                None
            }
        };
        Example {
            name: example.name.map(str::to_owned),
            body: Bytes::from(body),
            template,
        }
    }

    fn sampler(&self, schema: &Node, media_type: &MediaType) -> Box<dyn Sampler> {
        Box::new(Made {
            root: Arc::clone(self.root),
            schema: schema.clone(),
            form: media_type.form(),
            fixed: OnceLock::new(),
        })
    }

    fn check(&self, operation: &Operation<'_>) -> Check {
        let parameters = operation.parameters.iter().map(|parameter| Parameter {
            name: parameter.name.to_owned(),
            place: match parameter.place {
                Place::Path => mock::check::Place::Path,
                Place::Query => mock::check::Place::Query,
                Place::Header => mock::check::Place::Header,
                Place::Cookie => mock::check::Place::Cookie,
            },
            required: parameter.required,
            may_be_empty: parameter.node.get("allowEmptyValue").is_some_and(Node::is_true),
            shape: self.shape(parameter),
            schema: parameter.schema.map(|schema| self.schema(schema)),
        });
        Check {
            parameters: parameters.collect(),
            body: operation.body.as_ref().map(|body| self.body(body)),
        }
    }

    fn shape(&self, parameter: &model::Parameter<'_>) -> Shape {
        let is_content = parameter.node.get("content").is_some();
        shape(parameter.schema, self.references, |inner| match parameter.style {
            Style::Repeated => Shape::Repeated(inner),
            Style::Separated(separator) => Shape::Separated(separator, inner),
            Style::Whole if is_content => Shape::Json,
            Style::Whole => Shape::Opaque,
        })
    }

    fn body(&self, body: &model::Body<'_>) -> Body {
        let media = body.media.iter().map(|media| {
            let schema = media.schema.map(|schema| self.references.resolve(schema));
            let is_form = Form::of(media.media_type) == Form::UrlEncoded;
            let mut fields = Vec::new();
            if is_form {
                let properties = schema.and_then(|schema| schema.get("properties"));
                for (name, property) in properties.map_or(&[][..], Node::entries) {
                    let shape = shape(Some(property), self.references, Shape::Repeated);
                    fields.push((name.name.clone(), shape));
                }
                for field in &body.form {
                    fields.push((field.name.to_owned(), self.shape(field)));
                }
            }
            let of_form = (is_form && !body.form.is_empty()).then(|| self.form(&body.form));
            MediaCheck {
                essence: media.media_type.to_owned(),
                schema: of_form.or_else(|| media.schema.map(|schema| self.schema(schema))),
                fields,
            }
        });
        Body {
            required: body.required,
            media: media.collect(),
        }
    }

    fn schema(&self, schema: &Node) -> Box<dyn Schema> {
        self.lazy(Written::Schema(schema.clone()))
    }

    fn form(&self, fields: &[model::Parameter<'_>]) -> Box<dyn Schema> {
        let fields = fields
            .iter()
            .map(|field| (field.name.to_owned(), field.required, field.node.clone()));
        self.lazy(Written::Form(fields.collect()))
    }

    fn lazy(&self, written: Written) -> Box<dyn Schema> {
        Box::new(Lazy::new(Arc::clone(self.root), self.definition.version, written))
    }
}

/// Bodies of a schema. The usual one is made when it is first asked for: large definitions have thousands that nobody asks for.
struct Made {
    root: Arc<Node>,
    schema: Node,
    form: Form,
    fixed: OnceLock<Bytes>,
}

impl Sampler for Made {
    fn sample(&self, seed: Option<u64>) -> Bytes {
        match seed {
            None => self.fixed.get_or_init(|| self.make(None)).clone(),
            seed => self.make(seed),
        }
    }
}

impl Made {
    fn make(&self, seed: Option<u64>) -> Bytes {
        let sampling = Sampling {
            root: &self.root,
            way: Way::Answer,
            seed,
        };
        Bytes::from(bodies::made(&self.schema, self.form, &sampling))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Version;
    use super::super::read;
    use super::super::schema::{compile, json_schema};
    use super::*;
    use crate::text::Sources;

    const SCHEMAS: &str = r##"
S:
  type: object
  required: [id, kind, code, price, tags, when, at, one, list, deep]
  properties:
    id: {type: integer, format: int64, minimum: 10, maximum: 99}
    step: {type: integer, multipleOf: 7, minimum: 20, maximum: 80}
    half: {type: number, minimum: 0.5, maximum: 1.5}
    kind: {$ref: '#/K'}
    code: {type: string, pattern: '^[A-Z]{3}-[0-9]{2,4}$'}
    name: {type: string, minLength: 3, maxLength: 5}
    price: {type: number, minimum: 0, exclusiveMinimum: true}
    tags: {type: array, minItems: 2, maxItems: 4, uniqueItems: true, items: {type: string}}
    when: {type: string, format: date}
    at: {type: string, format: date-time}
    mail: {type: string, format: email}
    key: {type: string, format: uuid}
    link: {type: string, format: uri}
    ip: {type: string, format: ipv4}
    none: {type: string, nullable: true, enum: [a, b]}
    one: {oneOf: [{type: string, enum: [x]}, {type: integer, minimum: 5}]}
    any: {anyOf: [{type: boolean}, {type: string}]}
    list: {type: array, items: {allOf: [{$ref: '#/T'}, {type: object, required: [b], properties: {b: {type: boolean}}}]}}
    map: {type: object, additionalProperties: {type: integer}}
    deep: {$ref: '#/S2'}
K: {type: string, enum: [dog, cat]}
T: {type: object, required: [a], properties: {a: {type: integer}, next: {$ref: '#/T'}}}
S2: {type: object, properties: {s: {type: array, items: {$ref: '#/S2'}}}}
"##;

    #[test]
    fn what_is_made_by_chance_fits_its_schema() {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", SCHEMAS);
        let root = Arc::new(read::read(file, SCHEMAS).expect("it can be read"));
        let schema = root.get("S").expect("it is there");
        let written = json_schema(
            &Written::Schema(schema.clone()),
            References::new(&root),
            Version::Three,
        );
        let validator = compile(&written, Version::Three).expect("it is a schema");
        let made = Made {
            root: Arc::clone(&root),
            schema: schema.clone(),
            form: Form::Json,
            fixed: OnceLock::new(),
        };
        let mut bodies = std::collections::HashSet::new();
        for seed in std::iter::once(None).chain((0..100).map(Some)) {
            let body = made.sample(seed);
            let value: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            let wrong: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{seed:?}: {wrong:#?}");
            bodies.insert(body);
        }
        assert!(bodies.len() > 90, "{} different bodies", bodies.len());
    }
}
