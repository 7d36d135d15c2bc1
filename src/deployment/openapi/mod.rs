//! OpenAPI definitions that lie in a folder: their operations become resources of an API, built from Synapse's elements and planned like any other.

mod build;
pub mod generate;
pub mod model;
pub mod read;
pub mod sample;

use super::api::{self, Api};
use crate::plan::{Content, Element, Planner};
use crate::text::{Diagnostic, FileId, Placed};
use build::{element, text_of, verbatim};
use model::References;
use read::Node;

/// The words by which an operation asks for a function of AWS Lambda.
const FUNCTION: &str = "x-amzn-resource-name";
/// The word behind which an operation's mock stands, as API Manager writes it.
const SCRIPT: &str = "x-mediation-script";

/// A definition that was read.
#[derive(Debug)]
pub struct DefinitionFile {
    pub file: FileId,
    pub root: Node,
}

/// A definition (of OpenAPI 2 or 3, in YAML or JSON) whose operations name functions or have scripts.
pub fn is_definition(text: &str) -> bool {
    (text.contains(FUNCTION) || text.contains(SCRIPT))
        && text.lines().any(|line| {
            let line = line
                .trim_start_matches(['{', ' ', '\t'])
                .trim_start_matches(['"', '\'']);
            line.starts_with("openapi") || line.starts_with("swagger")
        })
}

/// The API of a definition; `None` where no operation has anything to do. What is wrong is told in the definition.
pub fn plan(definition: &DefinitionFile, planner: &mut Planner<'_>) -> Option<Api> {
    let text = planner.sources.file(definition.file).text.clone();
    match api_of(&definition.root, &text) {
        Ok(api) => api::build(&api?, planner),
        Err(mistakes) => {
            mistakes.into_iter().for_each(|mistake| planner.tell(mistake));
            None
        }
    }
}

/// The `<api>` of a definition, each part with its place in the definition's text.
fn api_of(root: &Node, text: &str) -> Result<Option<Element>, Vec<Diagnostic>> {
    if root.get("openapi").or(root.get("swagger")).is_none() {
        return Ok(None);
    }
    let references = References::new(root);
    let paths = || root.get("paths").map_or(&[][..], Node::entries).iter();
    let items = || paths().map(|(path, item)| (path, references.resolve(item)));
    // Where one operation has a script, the API is a mock: the others are not there yet.
    let is_mock = items().any(|(_, item)| item.entries().iter().any(|(_, node)| node.get(SCRIPT).is_some()));
    let mut mistakes = Vec::new();
    let mut resources = Vec::new();
    for (path, item) in items() {
        for (method, operation) in item.entries() {
            let name = method.name.to_ascii_uppercase();
            if !METHODS.contains(&name.as_str()) {
                continue;
            }
            let inside = if let Some(function) = operation.get(FUNCTION).or(item.get(FUNCTION)) {
                lambda(function, operation, &path.name)
            } else if is_mock {
                prototype(operation, method, text)
            } else {
                continue;
            };
            match inside {
                Ok(inside) => {
                    let attributes = [
                        ("methods", verbatim(&name, method.span)),
                        ("uri-template", verbatim(&path.name, path.span)),
                    ];
                    resources.push(element("resource", method.span, attributes, [inside]));
                }
                Err(mistake) => mistakes.push(*mistake),
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if resources.is_empty() {
        return Ok(None);
    }
    let context = context(root).map_err(|mistake| vec![*mistake])?;
    let title = title(root);
    let span = title.span;
    // What else an API says of itself (version, state) has no word in a definition; this is where it would come from.
    Ok(Some(element(
        "api",
        span,
        [("name", title), ("context", context)],
        resources,
    )))
}

/// What answers for an operation of a mock: its script, or 501 where there is none.
fn prototype(operation: &Node, method: &read::Key, text: &str) -> Result<Element, Box<Diagnostic>> {
    let Some(script) = operation.get(SCRIPT).filter(|script| !script.is_null()) else {
        return Ok(element("prototype", method.span, [], []));
    };
    if script.text().is_none() {
        let mistake = Diagnostic::error(
            "E0203",
            script.span,
            format!("`{SCRIPT}` is the text of a script"),
        );
        return Err(mistake
            .help("write it behind `|`, on the lines below, each further in")
            .into());
    }
    let inside = Content::Text {
        text: script.placed(text),
        cdata: true,
    };
    Ok(text_of("prototype", script.span, inside))
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"];

fn title(root: &Node) -> Placed {
    let node = |name: &str| {
        let node = root.get("info")?.get(name)?;
        let text = node.text()?.trim();
        (!text.is_empty()).then_some((text, node.span))
    };
    match (node("title"), node("version")) {
        (Some((title, span)), Some((version, _))) => verbatim(&format!("{title} {version}"), span),
        (Some((title, span)), None) => verbatim(title, span),
        (None, _) => verbatim("OpenAPI", root.span),
    }
}

/// `x-wso2-basePath`, else the path of the first server (OpenAPI 3) or `basePath` (2), else `/`.
fn context(root: &Node) -> Result<Placed, Box<Diagnostic>> {
    let server = || root.get("servers")?.items().first()?.get("url");
    let Some(node) = root
        .get("x-wso2-basePath")
        .or_else(server)
        .or(root.get("basePath"))
    else {
        return Ok(verbatim("/", root.span));
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
        "" => Ok(verbatim("/", node.span)),
        path => Ok(verbatim(path, node.span)),
    }
}

/// API Manager's time for a function, where an operation says nothing, or something that it does not take.
const DEFAULT_TIMEOUT: u64 = 50_000;
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1_000..=900_000;

/// The endpoint of an operation: function, time and encoding as API Manager's extensions say them.
fn lambda(function: &Node, operation: &Node, path: &str) -> Result<Element, Box<Diagnostic>> {
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
    ];
    let encode = encode
        .iter()
        .filter_map(|name| operation.get(name))
        .find(|node| node.is_true())
        .map(|node| ("content-encode", verbatim("on", node.span)));
    let id = operation.get("operationId").and_then(Node::text).unwrap_or(path);
    let span = function.span;
    let duration = Content::Text {
        text: verbatim(&timeout.to_string(), span),
        cdata: false,
    };
    let timeout = element("timeout", span, [], [text_of("duration", span, duration)]);
    let function = std::iter::once(("function", verbatim(name, span))).chain(encode);
    let lambda = element("lambda", span, function, [timeout]);
    let endpoint = element("endpoint", span, [("name", verbatim(id, span))], [lambda]);
    let call = element("call", span, [], [endpoint]);
    let respond = element("respond", span, [], []);
    Ok(element("inSequence", span, [], [call, respond]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    fn check(text: &str, expected: &str) {
        let mut sources = Sources::default();
        let file = sources.add("pets.yaml", text);
        let api = match read::read(file, text) {
            Ok(root) => api_of(&root, text),
            Err(mistake) => Err(vec![*mistake]),
        };
        let told = match api {
            Ok(api) => api.map_or(String::new(), |api| build::written(&api)),
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
            "<api name=\"Pets & more 1.0.0\" context=\"/pets/v1\">\
             <resource methods=\"GET\" uri-template=\"/{id}\"><inSequence><call><endpoint name=\"show\">\
             <lambda function=\"arn:aws:lambda:eu-west-1:123456789012:function:pets\"><timeout><duration>5000</duration></timeout></lambda>\
             </endpoint></call><respond/></inSequence></resource>\
             <resource methods=\"POST\" uri-template=\"/{id}\"><inSequence><call><endpoint name=\"/{id}\">\
             <lambda function=\"arn:aws:lambda:eu-west-1:123456789012:function:pets:live\" content-encode=\"on\"><timeout><duration>50000</duration></timeout></lambda>\
             </endpoint></call><respond/></inSequence></resource></api>",
        );
    }

    #[test]
    fn operations_with_scripts_become_prototypes_and_the_others_are_not_there_yet() {
        check(
            "openapi: 3.0.1\ninfo: {title: Pets}\npaths:\n  /{id}:\n    get:\n      x-mediation-script: |\n        mc.setPayloadJSON({});\n        // done\n    \
             put: {x-mediation-script: }\n    post: {}\n    trace: {}\n  /more: {$ref: '#/x-more'}\nx-more:\n  delete: {x-mediation-script: '1'}\n",
            "<api name=\"Pets\" context=\"/\">\
             <resource methods=\"GET\" uri-template=\"/{id}\"><prototype>mc.setPayloadJSON({});\n// done\n</prototype></resource>\
             <resource methods=\"PUT\" uri-template=\"/{id}\"><prototype/></resource>\
             <resource methods=\"POST\" uri-template=\"/{id}\"><prototype/></resource>\
             <resource methods=\"DELETE\" uri-template=\"/more\"><prototype>1</prototype></resource></api>",
        );
        check(
            "openapi: 3.0.1\npaths:\n  /x:\n    get:\n      x-mediation-script: {js: 1}\n",
            "E0203 5:27 `x-mediation-script` is the text of a script\n",
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
            let root = read::read(file, &text).expect("it can be read");
            let api = api_of(&root, &text).expect("it is sound").expect("an API");
            assert_eq!(api.get("context"), Some(context));
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
        assert!(is_definition("swagger: '2.0'\nx-mediation-script: a\n"));
        assert!(is_definition(
            "{\"openapi\": \"3.0.0\", \"x-amzn-resource-name\": 1}"
        ));
        check("openapi: 3.0.0\npaths: {}\n", "");
    }
}
