//! The OpenAPI definition that an API publishes of itself, at `/NAME?swagger.json` and `/NAME?swagger.yaml`: a given one, or one made of its
//! resources.

use super::api::{Api, Version};
use super::openapi::read::Node;
use super::openapi::{self, DefinitionFile};
use super::resource::{Mapping, Resource};
use crate::message::json::{self, Json, Object};
use crate::plan::{Element, Planner};
use crate::text::Diagnostic;
use std::sync::Arc;
use yaml_rust2::YamlEmitter;
use yaml_rust2::yaml::{Hash, Yaml};

/// A definition that somebody has written.
#[derive(Debug, Clone)]
pub struct Given {
    text: Arc<str>,
    root: Arc<Node>,
}

impl Given {
    pub fn new(text: Arc<str>, found: &DefinitionFile) -> Given {
        Given {
            text,
            root: Arc::clone(&found.root),
        }
    }

    pub fn is(&self, text: &str) -> bool {
        *self.text == *text
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    Json,
    Yaml,
}

impl Notation {
    /// What a query asks for, if it asks for a definition.
    pub fn asked(query: &str) -> Option<Notation> {
        let first = query.split(['&', '=']).next()?;
        match first {
            "swagger.json" => Some(Notation::Json),
            "swagger.yaml" => Some(Notation::Yaml),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Notation::Json => "application/json",
            Notation::Yaml => "application/yaml",
        }
    }
}

/// Reads what `publishSwagger` names. Without the file, or the attribute, the definition is made of the resources.
pub fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Given> {
    let key = element.attribute("publishSwagger")?.value.clone();
    let name = planner.resolved(&key)?;
    if name.trim().is_empty() {
        return None;
    }
    let Some((file, text)) = planner.lookup.resource(name.trim(), planner.file_of(&key)) else {
        planner.tell(
            Diagnostic::warning("W0404", key.span, format!("there is no definition `{name}`"))
                .label("no registry resource has this name")
                .help("until it is there, the definition that is published is made of the resources"),
        );
        return None;
    };
    let file = planner.sources.add(file, text.clone());
    match openapi::find(file, &text) {
        Ok(Some(found)) => Some(Given::new(Arc::from(text), &found)),
        Ok(None) => {
            planner.mistake("E0203", key.span, format!("`{name}` is no OpenAPI definition"));
            None
        }
        Err(mistake) => {
            planner.tell(mistake.also(key.span, "named here"));
            None
        }
    }
}

/// The definition of an API that is reached at `server` (`http://host:port`).
pub fn text(api: &Api, notation: Notation, server: &str) -> String {
    let Some(given) = &api.published else {
        return written(&made(api, server), notation);
    };
    let is_json = given.text.trim_start().starts_with('{');
    if is_json == (notation == Notation::Json) {
        return given.text.to_string();
    }
    written(&given.root.json(), notation)
}

fn written(definition: &Json, notation: Notation) -> String {
    match notation {
        Notation::Json => json::text(definition),
        Notation::Yaml => {
            let mut text = String::new();
            YamlEmitter::new(&mut text)
                .dump(&yaml(definition))
                .expect("a text takes whatever is written");
            text.strip_prefix("---\n").unwrap_or(&text).to_owned() + "\n"
        }
    }
}

fn yaml(value: &Json) -> Yaml {
    match value {
        Json::Null => Yaml::Null,
        Json::Bool(value) => Yaml::Boolean(*value),
        // Its digits are its own.
        Json::Number(number) => Yaml::Real(number.to_string()),
        Json::String(text) => Yaml::String(text.clone()),
        Json::Array(items) => Yaml::Array(items.iter().map(yaml).collect()),
        Json::Object(members) => Yaml::Hash(
            members
                .iter()
                .map(|(name, value)| (Yaml::String(name.clone()), yaml(value)))
                .collect::<Hash>(),
        ),
    }
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Json::Object(members.collect::<Object>())
}

fn made(api: &Api, server: &str) -> Json {
    let version = match api.version_text() {
        "" => "1.0.0",
        version => version,
    };
    let place = match &api.version {
        Some(Version::Url(version)) => format!("{server}{}/{version}", api.context),
        _ => format!("{server}{}", api.context),
    };
    let mut paths = Object::new();
    for resource in &api.resources {
        let (path, operation) = operation(resource);
        let item = paths.entry(path).or_insert_with(|| Json::Object(Object::new()));
        if let Json::Object(item) = item {
            for method in methods(resource) {
                let own = match (method.as_str(), &operation) {
                    ("post" | "put" | "patch", Json::Object(operation)) => {
                        let mut operation = operation.clone();
                        operation.insert("requestBody".to_owned(), any_body());
                        Json::Object(operation)
                    }
                    _ => operation.clone(),
                };
                item.entry(method).or_insert(own);
            }
        }
    }
    object([
        ("openapi", "3.0.1".into()),
        (
            "info",
            object([
                ("title", (&*api.name).into()),
                ("description", format!("API Definition of {}", api.name).into()),
                ("version", version.into()),
            ]),
        ),
        ("servers", Json::Array(vec![object([("url", place.into())])])),
        ("paths", Json::Object(paths)),
    ])
}

/// What is known of a body: nothing.
fn any_body() -> Json {
    let payload = object([("payload", object([("type", "object".into())]))]);
    let schema = object([("type", "object".into()), ("properties", payload)]);
    object([
        ("description", "Sample Payload".into()),
        (
            "content",
            object([("application/json", object([("schema", schema)]))]),
        ),
        ("required", Json::Bool(false)),
    ])
}

/// In small letters, as OpenAPI writes them.
fn methods(resource: &Resource) -> Vec<String> {
    const ALL: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    let named: Vec<&str> = if resource.methods.is_empty() {
        ALL.to_vec()
    } else {
        resource.methods.names().collect()
    };
    named.into_iter().map(str::to_ascii_lowercase).collect()
}

/// The path of a resource, and what is known of each of its operations.
fn operation(resource: &Resource) -> (String, Json) {
    let written = match &resource.mapping {
        Mapping::Default => "/*".to_owned(),
        mapping => mapping.to_string(),
    };
    let (path, query) = match written.split_once('?') {
        Some((path, query)) => (path.to_owned(), query),
        // RFC 6570 writes a query in braces.
        None => match written.split_once("{?") {
            Some((path, names)) => (path.to_owned(), names.trim_end_matches('}')),
            None => (written.clone(), ""),
        },
    };
    let parameter = |name: &str, place: &str, required: bool| {
        object([
            ("name", name.into()),
            ("in", place.into()),
            ("required", Json::Bool(required)),
            ("schema", object([("type", "string".into())])),
        ])
    };
    let mut parameters: Vec<Json> = Vec::new();
    let mut plain = String::new();
    for (at, piece) in path.split('{').enumerate() {
        match piece.split_once('}').filter(|_| at > 0) {
            Some((inside, behind)) => {
                let name = inside
                    .trim_start_matches(['+', '#', '/', '.', ';'])
                    .trim_end_matches('*');
                parameters.push(parameter(name, "path", true));
                plain.push_str(&format!("{{{name}}}{behind}"));
            }
            None => plain.push_str(piece),
        }
    }
    for piece in query.split(['&', ',']).filter(|piece| !piece.is_empty()) {
        let name = piece.split('=').next().unwrap_or(piece);
        parameters.push(parameter(name.trim_matches(['{', '}', '*']), "query", false));
    }
    let responses = object([("default", object([("description", "Default response".into())]))]);
    let operation = match parameters.is_empty() {
        true => object([("responses", responses)]),
        false => object([("parameters", Json::Array(parameters)), ("responses", responses)]),
    };
    (plain, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::plan;

    fn api(element: &str) -> Api {
        let (mut apis, told) = plan(element, "api", super::super::api::build);
        assert_eq!(told, "");
        apis.remove(0)
    }

    #[test]
    fn a_definition_is_made_of_the_resources() {
        let api = api(
            r#"<api name="Pets" context="/pets" version="2" version-type="url"><resource methods="GET DELETE" uri-template="/{id}?full={full}"><inSequence/></resource><resource methods="POST"><inSequence/></resource></api>"#,
        );
        assert_eq!(
            text(&api, Notation::Json, "http://here:8290"),
            r#"{"openapi":"3.0.1","info":{"title":"Pets","description":"API Definition of Pets","version":"2"},"servers":[{"url":"http://here:8290/pets/2"}],"paths":{"/{id}":{"get":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}},{"name":"full","in":"query","required":false,"schema":{"type":"string"}}],"responses":{"default":{"description":"Default response"}}},"delete":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}},{"name":"full","in":"query","required":false,"schema":{"type":"string"}}],"responses":{"default":{"description":"Default response"}}}},"/*":{"post":{"responses":{"default":{"description":"Default response"}},"requestBody":{"description":"Sample Payload","content":{"application/json":{"schema":{"type":"object","properties":{"payload":{"type":"object"}}}}},"required":false}}}}}"#
        );
        let yaml = text(&api, Notation::Yaml, "http://here:8290");
        assert!(
            yaml.starts_with("openapi: 3.0.1\ninfo:\n  title: Pets\n")
                && yaml.contains("\n  version: \"2\"\n"),
            "{yaml}"
        );
    }

    #[test]
    fn a_given_definition_is_published_as_it_is_or_in_the_other_notation() {
        let mut api = api(r#"<api name="A" context="/a"><resource><inSequence/></resource></api>"#);
        let given = "openapi: 3.0.1 # ours\ninfo: {title: A, version: '1.0'}\npaths: {}\n";
        let file = crate::text::FileId(0);
        let found = openapi::find(file, given)
            .expect("it can be read")
            .expect("it is one");
        api.published = Some(Given::new(Arc::from(given), &found));
        assert_eq!(text(&api, Notation::Yaml, ""), given);
        assert_eq!(
            text(&api, Notation::Json, ""),
            r#"{"openapi":"3.0.1","info":{"title":"A","version":"1.0"},"paths":{}}"#
        );
    }

    #[test]
    fn only_a_query_that_begins_so_asks() {
        assert_eq!(Notation::asked("swagger.json"), Some(Notation::Json));
        assert_eq!(Notation::asked("swagger.yaml=&x=1"), Some(Notation::Yaml));
        assert_eq!(Notation::asked("x=1&swagger.json"), None);
        assert_eq!(Notation::asked("swagger.jsonx"), None);
    }
}
