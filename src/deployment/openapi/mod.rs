//! OpenAPI definitions that lie in a folder: their operations become resources of an API, written in Synapse's words and planned like any other.

pub mod model;
pub mod read;
pub mod sample;

use crate::plan::element::SYNAPSE;
use crate::text::{Diagnostic, FileId};
use read::Node;

/// The words by which an operation asks for a function of AWS Lambda.
const FUNCTION: &str = "x-amzn-resource-name";

/// A definition (of OpenAPI 2 or 3, in YAML or JSON) whose operations name functions.
pub fn is_definition(text: &str) -> bool {
    text.contains(FUNCTION)
        && text.lines().any(|line| {
            let line = line
                .trim_start_matches(['{', ' ', '\t'])
                .trim_start_matches(['"', '\'']);
            line.starts_with("openapi") || line.starts_with("swagger")
        })
}

/// The API of a definition, as the text of an `<api>`; `None` where no operation has anything to do. Everything that is wrong is told.
pub fn api_of(file: FileId, text: &str) -> Result<Option<String>, Vec<Diagnostic>> {
    let root = read::read(file, text).map_err(|mistake| vec![*mistake])?;
    if root.get("openapi").or(root.get("swagger")).is_none() {
        return Ok(None);
    }
    let mut mistakes = Vec::new();
    let mut resources = String::new();
    for (path, item) in root.get("paths").map_or(&[][..], Node::entries) {
        for (method, operation) in item.entries() {
            let method = method.name.to_ascii_uppercase();
            if !METHODS.contains(&method.as_str()) {
                continue;
            }
            if let Some(function) = operation.get(FUNCTION).or(item.get(FUNCTION)) {
                let path = path.name.as_str();
                match lambda(function, operation, path) {
                    Ok(endpoint) => resources.push_str(&resource(&method, path, &endpoint)),
                    Err(mistake) => mistakes.push(*mistake),
                }
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if resources.is_empty() {
        return Ok(None);
    }
    let context = context(&root).map_err(|mistake| vec![*mistake])?;
    Ok(Some(format!(
        "<api xmlns=\"{SYNAPSE}\" name=\"{}\" context=\"{}\">\n{resources}</api>\n",
        escaped(&title(&root)),
        escaped(&context)
    )))
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"];

fn title(root: &Node) -> String {
    let text = |name: &str| {
        let text = root.get("info")?.get(name)?.text()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    match (text("title"), text("version")) {
        (Some(title), Some(version)) => format!("{title} {version}"),
        (Some(title), None) => title,
        (None, _) => "OpenAPI".to_owned(),
    }
}

/// `x-wso2-basePath`, else the path of the first server (OpenAPI 3) or `basePath` (2), else `/`.
fn context(root: &Node) -> Result<String, Box<Diagnostic>> {
    let server = || root.get("servers")?.items().first()?.get("url");
    let Some(node) = root
        .get("x-wso2-basePath")
        .or_else(server)
        .or(root.get("basePath"))
    else {
        return Ok("/".to_owned());
    };
    let text = node.text().unwrap_or("").trim();
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => text,
    };
    let path = path.split(['?', '#']).next().unwrap_or("");
    if !path.starts_with('/') || path.contains(['{', ' ']) {
        let mistake = Diagnostic::error("E0220", node.span, format!("`{text}` gives no path to serve"));
        return Err(mistake
            .help("it begins with a slash and has no variables; `x-wso2-basePath` says it best")
            .into());
    }
    match path.trim_end_matches('/') {
        "" => Ok("/".to_owned()),
        path => Ok(path.to_owned()),
    }
}

fn resource(method: &str, path: &str, endpoint: &str) -> String {
    let path = escaped(path);
    format!(
        "  <resource methods=\"{method}\" uri-template=\"{path}\">\n    \
         <inSequence><call>{endpoint}</call><respond/></inSequence>\n  </resource>\n"
    )
}

/// API Manager's time for a function, where an operation says nothing, or something that it does not take.
const DEFAULT_TIMEOUT: u64 = 50_000;
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1_000..=900_000;

/// The endpoint of an operation: function, time and encoding as API Manager's extensions say them.
fn lambda(function: &Node, operation: &Node, path: &str) -> Result<String, Box<Diagnostic>> {
    let name = function.text().unwrap_or("").trim();
    if !name.starts_with("arn:") {
        let mistake = Diagnostic::error(
            "E0203",
            function.span,
            format!("`{FUNCTION}` is the ARN of a function"),
        );
        return Err(mistake
            .help("it looks like arn:aws:lambda:eu-central-1:123456789012:function:NAME")
            .into());
    }
    let timeout = match operation.get("x-amzn-resource-timeout") {
        None => DEFAULT_TIMEOUT,
        Some(node) => node
            .text()
            .and_then(|text| text.trim().parse::<f64>().ok())
            .map(|millis| millis as u64)
            .ok_or_else(|| {
                let message = "`x-amzn-resource-timeout` is a number of milliseconds";
                Diagnostic::error("E0203", node.span, message)
            })?,
    };
    let timeout = if TIMEOUTS.contains(&timeout) {
        timeout
    } else {
        DEFAULT_TIMEOUT
    };
    let encode = [
        "x-amzn-resource-content-encode",
        "x-amzn-resource-content-encoded",
    ]
    .iter()
    .filter_map(|name| operation.get(name))
    .any(Node::is_true);
    let encode = if encode { " content-encode=\"on\"" } else { "" };
    let id = operation.get("operationId").and_then(Node::text).unwrap_or(path);
    Ok(format!(
        "<endpoint name=\"{}\"><lambda function=\"{}\"{encode}><timeout><duration>{timeout}</duration></timeout></lambda></endpoint>",
        escaped(id),
        escaped(name)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    fn check(text: &str, expected: &str) {
        let mut sources = Sources::default();
        let file = sources.add("pets.yaml", text);
        let told = match api_of(file, text) {
            Ok(api) => api.unwrap_or_default(),
            Err(mistakes) => mistakes
                .iter()
                .map(|mistake| {
                    let place = mistake.span.map(|span| sources.place(span));
                    let place =
                        place.map_or(String::new(), |place| format!("{}:{}", place.line, place.column));
                    format!("{} {place} {}\n", mistake.code, mistake.message)
                })
                .collect(),
        };
        assert_eq!(told, expected, "for {text}");
    }

    #[test]
    fn operations_that_name_functions_become_resources() {
        check(
            r#"openapi: 3.0.1
info: {title: "Pets & more", version: 1.0.0}
servers: [{url: "https://example.com/pets/v1/"}]
paths:
  /{id}:
    get:
      operationId: show
      x-amzn-resource-name: arn:aws:lambda:eu-west-1:123456789012:function:pets
      x-amzn-resource-timeout: 5000
    post:
      x-amzn-resource-name: arn:aws:lambda:eu-west-1:123456789012:function:pets:live
      x-amzn-resource-timeout: 5
      x-amzn-resource-content-encode: true
    delete: {responses: {}}
"#,
            r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Pets &amp; more 1.0.0" context="/pets/v1">
  <resource methods="GET" uri-template="/{id}">
    <inSequence><call><endpoint name="show"><lambda function="arn:aws:lambda:eu-west-1:123456789012:function:pets"><timeout><duration>5000</duration></timeout></lambda></endpoint></call><respond/></inSequence>
  </resource>
  <resource methods="POST" uri-template="/{id}">
    <inSequence><call><endpoint name="/{id}"><lambda function="arn:aws:lambda:eu-west-1:123456789012:function:pets:live" content-encode="on"><timeout><duration>50000</duration></timeout></lambda></endpoint></call><respond/></inSequence>
  </resource>
</api>
"#,
        );
    }

    #[test]
    fn the_context_is_wso2s_before_the_servers() {
        for (part, context) in [
            (
                "\"x-wso2-basePath\": \"/a/1.0\", \"servers\": [{\"url\": \"/b\"}]",
                "/a/1.0",
            ),
            ("\"servers\": [{\"url\": \"/b/\"}]", "/b"),
            ("\"servers\": [{\"url\": \"https://h\"}]", "/"),
            ("\"basePath\": \"/c\"", "/c"),
            ("\"host\": \"h\"", "/"),
        ] {
            let text = format!(
                "{{\"swagger\": \"2.0\", {part}, \"paths\": {{\"/x\": {{\"get\": {{\"x-amzn-resource-name\": \"arn:aws:lambda:eu-west-1:123456789012:function:f\"}}}}}}}}"
            );
            let mut sources = Sources::default();
            let file = sources.add("x.json", text.as_str());
            let api = api_of(file, &text).expect("it is sound").expect("an API");
            assert!(api.contains(&format!("context=\"{context}\"")), "{api}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_definition() {
        check(
            "openapi: 3.0.0\nservers: [{url: '{host}/x'}]\npaths:\n  /x:\n    get: {x-amzn-resource-name: 'arn:aws:lambda:eu-west-1:123456789012:function:f'}\n",
            "E0220 2:18 `{host}/x` gives no path to serve\n",
        );
        check(
            "openapi: 3.0.0\npaths:\n  /x:\n    get: {x-amzn-resource-name: f}\n    put:\n      x-amzn-resource-name: arn:aws:lambda:x\n      x-amzn-resource-timeout: soon\n",
            "E0203 4:33 `x-amzn-resource-name` is the ARN of a function\nE0203 7:32 `x-amzn-resource-timeout` is a number of milliseconds\n",
        );
        check(
            "openapi: [\nx-amzn-resource-name",
            "E0111 2:1 this is neither YAML nor JSON: invalid indentation\n",
        );
    }

    #[test]
    fn other_files_are_nobodys_business() {
        assert!(!is_definition("openapi: 3.0.0\npaths: {}\n"));
        assert!(!is_definition("x-amzn-resource-name: a\n"));
        assert!(is_definition(
            "{\"openapi\": \"3.0.0\", \"x-amzn-resource-name\": 1}"
        ));
        check("openapi: 3.0.0\npaths: {}\n", "");
    }
}
