//! Schemas of OpenAPI as JSON Schema, for the checks of requests.

use super::model::Version;
use super::read::{Node, Value};
use super::references::{References, reference};
use crate::mediators::mock::check::{Misfit, Schema, Shape};
use crate::message::json::{Json, Object};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A schema of a definition. It is compiled when the first request comes: large definitions have thousands that nobody asks for.
pub struct Lazy {
    pub root: Arc<Node>,
    pub version: Version,
    pub schema: Written,
    compiled: OnceLock<Option<Validator>>,
}

/// What is held against the value.
pub enum Written {
    Schema(Node),
    /// A form of version 2: its fields, and whether each has to be there.
    Form(Vec<(String, bool, Node)>),
}

impl Lazy {
    pub fn new(root: Arc<Node>, version: Version, schema: Written) -> Lazy {
        Lazy {
            root,
            version,
            schema,
            compiled: OnceLock::new(),
        }
    }
}

/// More misfits than this of one value say nothing new.
const MOST_MISFITS: usize = 50;

impl Schema for Lazy {
    fn misfits(&self, value: &Json) -> Vec<Misfit> {
        let compiled = self.compiled.get_or_init(|| {
            let schema = json_schema(&self.schema, References::new(&self.root), self.version);
            let compiled = compile(&schema, self.version);
            compiled
                .inspect_err(|reason| {
                    tracing::warn!(reason, "A schema of a definition is none, so it is not checked.");
                })
                .ok()
        });
        let Some(validator) = compiled.as_ref().filter(|validator| !validator.is_valid(value)) else {
            return Vec::new();
        };
        let mut misfits = Vec::new();
        for error in validator.iter_errors(value).take(MOST_MISFITS) {
            tell(&error, 0, &mut misfits);
        }
        misfits
    }
}

/// What is wrong. Where one of several schemas has to fit it is what is wrong with the one that was meant, if that can be told.
fn tell(error: &ValidationError<'_>, depth: usize, misfits: &mut Vec<Misfit>) {
    let meant = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            meant(context, error.instance_path().as_str())
        }
        _ => None,
    };
    match meant.filter(|_| depth < 8) {
        Some(errors) => errors.iter().for_each(|error| tell(error, depth + 1, misfits)),
        None => misfits.push(Misfit {
            at: error.instance_path().as_str().to_owned(),
            reason: error.masked_with("the value").to_string(),
        }),
    }
}

/// The alternative that is missed least: it is of the value's own type, has the given values in it, and little else is wrong. None, where two are as
/// likely.
fn meant<'e>(
    alternatives: &'e [Vec<ValidationError<'static>>],
    at: &str,
) -> Option<&'e [ValidationError<'static>]> {
    let rank = |errors: &Vec<ValidationError<'_>>| {
        let is_another = |error: &&ValidationError<'_>| match error.kind() {
            ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => true,
            ValidationErrorKind::Type { .. } => error.instance_path().as_str() == at,
            _ => false,
        };
        (errors.iter().filter(is_another).count(), errors.len())
    };
    let best = alternatives.iter().min_by_key(|errors| rank(errors))?;
    let equals = alternatives.iter().filter(|errors| rank(errors) == rank(best));
    (equals.count() == 1).then_some(best.as_slice())
}

pub fn compile(schema: &Json, version: Version) -> Result<Validator, String> {
    let draft = match version {
        // What version 3.0 takes from, and version 2 as well.
        Version::Two | Version::Three => Draft::Draft4,
        Version::ThreeOne => Draft::Draft202012,
    };
    jsonschema::options()
        .offline()
        .with_draft(draft)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(1_000_000))
        .build(schema)
        .map_err(|error| error.to_string())
}

/// The schema with everything that it refers to.
pub fn json_schema(written: &Written, references: References<'_>, version: Version) -> Json {
    let mut converting = Converting {
        references,
        version,
        known: HashMap::new(),
        waiting: Vec::new(),
    };
    let mut schema = match written {
        Written::Schema(node) => converting.schema(node),
        Written::Form(fields) => converting.form(fields),
    };
    let mut definitions = Object::new();
    while let Some((name, node)) = converting.waiting.pop() {
        let converted = converting.schema(node);
        definitions.insert(name, converted);
    }
    if let (Json::Object(schema), false) = (&mut schema, definitions.is_empty()) {
        schema.insert("definitions".to_owned(), Json::Object(definitions));
    }
    schema
}

/// Members that hold a schema, a list of schemas, and schemas by name.
const ONE: &[&str] = &[
    "items",
    "not",
    "additionalProperties",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
];
const SEVERAL: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: &[&str] = &["properties", "patternProperties", "dependentSchemas"];
/// Taken as they are. What else there is describes, and says nothing of what fits.
const PLAIN: &[&str] = &[
    "type",
    "enum",
    "const",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "dependentRequired",
];

struct Converting<'a> {
    references: References<'a>,
    version: Version,
    /// What is referred to, by its new name.
    known: HashMap<String, String>,
    waiting: Vec<(String, &'a Node)>,
}

impl<'a> Converting<'a> {
    fn schema(&mut self, node: &Node) -> Json {
        let mut schema = Object::new();
        if let Some(target) = reference(node) {
            if let Some(name) = self.referred(target) {
                schema.insert("$ref".to_owned(), format!("#/definitions/{name}").into());
            }
            // Only version 3.1 looks at what stands beside a reference.
            if self.version != Version::ThreeOne {
                return Json::Object(schema);
            }
        }
        for (key, value) in node.entries() {
            let key = key.name.as_str();
            let converted = match key {
                _ if PLAIN.contains(&key) => value.json(),
                "required" => match self.required(value, node) {
                    Some(required) => required,
                    None => continue,
                },
                _ if ONE.contains(&key) => match &value.value {
                    Value::Map(_) => self.schema(value),
                    Value::List(items) => Json::Array(items.iter().map(|item| self.schema(item)).collect()),
                    Value::Text(_) => value.json(),
                },
                "oneOf" | "anyOf" if node.get("discriminator").is_some() => Json::Array(
                    value
                        .items()
                        .iter()
                        .map(|item| self.variant(item, node))
                        .collect(),
                ),
                _ if SEVERAL.contains(&key) => {
                    Json::Array(value.items().iter().map(|item| self.schema(item)).collect())
                }
                _ if NAMED.contains(&key) => {
                    let members = value.entries().iter();
                    Json::Object(
                        members
                            .map(|(name, node)| (name.name.clone(), self.schema(node)))
                            .collect(),
                    )
                }
                _ => continue,
            };
            schema.insert(key.to_owned(), converted);
        }
        if schema.get("type") == Some(&Json::String("file".to_owned())) {
            schema.remove("type");
        }
        let nullable = ["nullable", "x-nullable"];
        if nullable
            .iter()
            .filter_map(|name| node.get(name))
            .any(Node::is_true)
        {
            return Json::Object(or_null(schema));
        }
        Json::Object(schema)
    }

    /// One of several schemas, where a property tells which is meant (`discriminator`).
    fn variant(&mut self, variant: &Node, around: &Node) -> Json {
        let schema = self.schema(variant);
        let discriminator = around.get("discriminator");
        let property = discriminator.and_then(|node| node.get("propertyName")?.text());
        let (Some(property), Some(target)) = (property, reference(variant)) else {
            return schema;
        };
        let name = target.rsplit('/').next().unwrap_or(target);
        let mapping = discriminator.and_then(|node| node.get("mapping"));
        let mapped = mapping.map_or(&[][..], Node::entries).iter().filter(|(_, to)| {
            let to = to.text();
            to == Some(target) || to == Some(name)
        });
        let mut values: Vec<Json> = mapped.map(|(key, _)| key.name.clone().into()).collect();
        if values.is_empty() {
            values.push(name.into());
        }
        let object = |key: &str, value: Json| {
            let mut object = Object::new();
            object.insert(key.to_owned(), value);
            Json::Object(object)
        };
        let told = object(property, object("enum", Json::Array(values)));
        let both = vec![schema, object("properties", told)];
        object("allOf", Json::Array(both))
    }

    /// The name under which a referred schema stands among the definitions.
    fn referred(&mut self, target: &str) -> Option<String> {
        if let Some(name) = self.known.get(target) {
            return Some(name.clone());
        }
        let node = self.references.find(target)?;
        let name = format!("s{}", self.known.len());
        self.known.insert(target.to_owned(), name.clone());
        self.waiting.push((name.clone(), node));
        Some(name)
    }

    /// What has to be there of an object; what only answers have (`readOnly`) is not asked of a request.
    fn required(&self, value: &Node, schema: &Node) -> Option<Json> {
        let Value::List(names) = &value.value else {
            return None;
        };
        let is_asked = |name: &&str| {
            let property = schema
                .get("properties")
                .and_then(|properties| properties.get(name));
            let property = property.map(|property| self.references.resolve(property));
            !property
                .and_then(|property| property.get("readOnly"))
                .is_some_and(Node::is_true)
        };
        let names: Vec<Json> = names
            .iter()
            .filter_map(Node::text)
            .filter(is_asked)
            .map(Json::from)
            .collect();
        // Draft 4 knows no empty list here.
        (!names.is_empty()).then_some(Json::Array(names))
    }

    fn form(&mut self, fields: &[(String, bool, Node)]) -> Json {
        let mut properties = Object::new();
        let mut required = Vec::new();
        for (name, is_required, node) in fields {
            properties.insert(name.clone(), self.schema(node));
            if *is_required {
                required.push(Json::String(name.clone()));
            }
        }
        let mut schema = Object::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), Json::Object(properties));
        if !required.is_empty() {
            schema.insert("required".to_owned(), Json::Array(required));
        }
        Json::Object(schema)
    }
}

/// The same schema, which nothing at all fits as well.
fn or_null(mut schema: Object) -> Object {
    let is_composed = ["$ref", "allOf", "anyOf", "oneOf", "not"]
        .iter()
        .any(|name| schema.contains_key(*name));
    if !is_composed {
        if let Some(name @ Json::String(_)) = schema.get("type").cloned() {
            schema.insert("type".to_owned(), Json::Array(vec![name, "null".into()]));
        }
        if let Some(Json::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Json::Null)
        {
            values.push(Json::Null);
        }
        return schema;
    }
    let mut null = Object::new();
    null.insert("enum".to_owned(), Json::Array(vec![Json::Null]));
    let mut either = Object::new();
    let alternatives = vec![Json::Object(schema), Json::Object(null)];
    either.insert("anyOf".to_owned(), Json::Array(alternatives));
    either
}

/// How the text of a parameter becomes a value that fits the schema.
pub fn shape(schema: Option<&Node>, references: References<'_>, list: impl Fn(Box<Shape>) -> Shape) -> Shape {
    let Some(schema) = schema.map(|schema| references.resolve(schema)) else {
        return Shape::Text;
    };
    let types = types_of(schema, references, 0);
    let has = |name: &str| types.iter().any(|known| known == name);
    if has("array") {
        let items = scalar_shape(schema.get("items"), references);
        return list(Box::new(items));
    }
    if has("object") {
        return Shape::Opaque;
    }
    scalar_shape(Some(schema), references)
}

fn scalar_shape(schema: Option<&Node>, references: References<'_>) -> Shape {
    let Some(schema) = schema.map(|schema| references.resolve(schema)) else {
        return Shape::Text;
    };
    let types = types_of(schema, references, 0);
    let is_scalar = |name: &String| matches!(name.as_str(), "integer" | "number" | "boolean" | "null");
    if types.iter().any(is_scalar) {
        Shape::Scalar
    } else {
        Shape::Text
    }
}

/// The types that a schema names, itself or in its parts; those of its values where it names none.
fn types_of(schema: &Node, references: References<'_>, depth: usize) -> Vec<String> {
    let mut types = Vec::new();
    if let Some(node) = schema.get("type") {
        let several = node.items().iter().filter_map(Node::text);
        types.extend(node.text().into_iter().chain(several).map(str::to_owned));
    }
    if depth < 8 {
        for part in ["allOf", "anyOf", "oneOf"]
            .iter()
            .filter_map(|name| schema.get(name))
        {
            for item in part.items() {
                types.extend(types_of(references.resolve(item), references, depth + 1));
            }
        }
    }
    if types.is_empty() {
        let values = schema.get("enum").map_or(&[][..], Node::items);
        let values = values.iter().chain(schema.get("const"));
        types.extend(values.map(|value| {
            match value.json() {
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
                _ => "number",
            }
            .to_owned()
        }));
    }
    types
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::message::json;
    use crate::text::Sources;

    /// What does not fit the schema `S` of the definition.
    fn check(version: Version, schemas: &str, value: &str, expected: &[&str]) {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", schemas);
        let root = Arc::new(read::read(file, schemas).expect("it can be read"));
        let schema = root.get("S").expect("it is there").clone();
        let lazy = Lazy::new(root, version, Written::Schema(schema));
        let value = json::parse(value.as_bytes(), &Default::default()).expect("it is JSON");
        let told: Vec<String> = lazy
            .misfits(&value)
            .into_iter()
            .map(|misfit| format!("{}: {}", misfit.at, misfit.reason))
            .collect();
        assert_eq!(told, expected, "{schemas} {value}");
    }

    #[test]
    fn a_value_is_held_against_a_schema_of_its_version() {
        let pet = "S: {type: object, required: [id, name], properties: {id: {type: integer, readOnly: true}, name: {type: string, nullable: true, minLength: 2}, of: {$ref: '#/S'}, n: {type: number, minimum: 1, exclusiveMinimum: true}}}";
        check(
            Version::Three,
            pet,
            r#"{"name": null, "of": {"name": "Rex"}}"#,
            &[],
        );
        check(
            Version::Three,
            pet,
            r#"{"name": "R", "of": {}, "n": 1}"#,
            &[
                "/name: the value is shorter than 2 characters",
                "/of: \"name\" is a required property",
                "/n: the value is less than or equal to the minimum of 1",
            ],
        );
        check(
            Version::ThreeOne,
            "S: {type: [object, 'null'], properties: {a: {$ref: '#/T', maximum: 9}}}\nT: {type: integer, exclusiveMinimum: 1}",
            r#"{"a": 10}"#,
            &["/a: the value is greater than the maximum of 9"],
        );
        check(
            Version::Two,
            "S: {type: string, format: date, x-nullable: true}",
            "null",
            &[],
        );
        check(
            Version::Three,
            "S: {type: string, format: date}",
            "\"2026-02-30\"",
            &[": the value is not a \"date\""],
        );
    }

    #[test]
    fn of_several_schemas_the_one_that_is_meant_says_what_is_wrong() {
        let pets = "S: {discriminator: {propertyName: kind, mapping: {katze: '#/Cat'}}, oneOf: [{$ref: '#/Cat'}, {$ref: '#/Dog'}]}\n\
                    Cat: {type: object, required: [kind], properties: {kind: {type: string}, lives: {type: integer, maximum: 9}}}\n\
                    Dog: {type: object, required: [kind], properties: {kind: {type: string}, barks: {type: boolean}}}\n";
        check(Version::Three, pets, r#"{"kind": "katze", "lives": 9}"#, &[]);
        check(Version::Three, pets, r#"{"kind": "Dog", "lives": 10}"#, &[]);
        check(
            Version::Three,
            pets,
            r#"{"kind": "katze", "lives": 10}"#,
            &["/lives: the value is greater than the maximum of 9"],
        );
        check(
            Version::Three,
            pets,
            r#"{"kind": "Dog", "barks": 1}"#,
            &["/barks: the value is not of type \"boolean\""],
        );
        check(
            Version::Three,
            pets,
            r#"{"kind": "cow"}"#,
            &[": the value is not valid under any of the schemas listed in the 'oneOf' keyword"],
        );
        check(
            Version::Three,
            "S: {type: object, properties: {e: {nullable: true, allOf: [{$ref: '#/T'}]}}}\nT: {type: object, required: [x]}",
            r#"{"e": {}}"#,
            &["/e: \"x\" is a required property"],
        );
    }

    #[test]
    fn a_schema_that_is_none_checks_nothing() {
        check(Version::Three, "S: {type: nonsense}", "1", &[]);
        check(Version::Three, "S: {$ref: 'other.yaml'}", "1", &[]);
    }
}
