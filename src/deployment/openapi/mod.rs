//! OpenAPI definitions that lie in a folder: each becomes an API whose operations are answered by scripts, by functions, or from their examples.

mod bodies;
mod build;
pub mod calls;
pub mod files;
pub mod generate;
mod mock;
pub mod model;
pub mod read;
mod references;
pub mod sample;
mod schema;

use super::SequenceRef;
use super::api::{self, Api, Version};
use super::lifecycle::State;
use super::publish::Given;
use crate::flow::{Sequence, Step};
use crate::mediators::mock as mock_steps;
use crate::plan::{Content, Element, Planner};
use crate::text::{Diagnostic, FileId, Placed, Sources, Span};
use build::{element, text_of, verbatim};
use model::{Definition, Operation};
use read::Node;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The words by which an operation asks for a function of AWS Lambda.
const FUNCTION: &str = "x-amzn-resource-name";
/// The word behind which an operation's mock stands, as API Manager writes it.
const SCRIPT: &str = "x-mediation-script";

/// The state of the API, as `<api state>` says it.
const STATE: &str = "x-state";

/// Says of a whole definition whether what nothing implements is answered from its examples.
const MOCK: &str = "x-mock";

/// Words behind which the data of the scripts stands, and the properties in which they look for it.
const DATA: &[(&str, &str)] = &[
    ("x-wso2-mock-dataset", "mockDataset"),
    ("x-wso2-mockDB", "mockDB"),
    ("x-wso2-mockdb", "mockDB"),
];

/// Words that say where the service behind a definition is, so that it is no mock.
const BACKENDS: &[&str] = &[
    "x-wso2-production-endpoints",
    "x-wso2-sandbox-endpoints",
    "x-wso2-endpoints",
];

/// A definition as it was found.
#[derive(Debug)]
pub struct DefinitionFile {
    pub file: FileId,
    pub root: Arc<Node>,
}

/// What becomes of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What nothing implements is answered from its examples (`mock.definitions`).
    pub mocks: bool,
    /// Also where the definition says something else of itself: somebody has asked for this very mock.
    pub all: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            mocks: true,
            all: false,
        }
    }
}

/// Whether a text looks like a definition: of OpenAPI 2 or 3, in YAML or JSON.
pub fn is_definition(text: &str) -> bool {
    const WORDS: [&str; 2] = ["openapi", "swagger"];
    let names = |rest: &str| rest.trim_start_matches(['"', '\'', ' ', '\t']).starts_with(':');
    if text.trim_start().starts_with('{') {
        // It may stand in one line, the word anywhere in it.
        return WORDS.iter().any(|word| {
            let quoted = format!("\"{word}\"");
            text.match_indices(&quoted)
                .any(|(at, _)| names(text[at + quoted.len()..].trim_start()))
        });
    }
    text.lines().any(|line| {
        let line = line.trim_start_matches(['"', '\'', '\u{feff}']);
        WORDS
            .iter()
            .any(|word| line.strip_prefix(word).is_some_and(names))
    })
}

/// Reads what looks like a definition; `None` where it is none. References to other files lead nowhere yet: see `files::gather`.
pub fn find(file: FileId, text: &str) -> Result<Option<DefinitionFile>, Box<Diagnostic>> {
    let root = read::read(file, text)?;
    let is_one = root.get("openapi").or(root.get("swagger")).is_some();
    Ok(is_one.then(|| DefinitionFile {
        file,
        root: Arc::new(root),
    }))
}

/// The API of a definition; `None` where nothing of it is served. `apis` are those of the folder, which go before.
pub fn plan(found: &DefinitionFile, apis: &[Api], rules: Rules, planner: &mut Planner<'_>) -> Option<Api> {
    let planned = plan_of(found, &planner.sources, apis, rules);
    planned
        .mistakes
        .into_iter()
        .for_each(|mistake| planner.tell(mistake));
    let mut api = api::build(&planned.api?, planner)?;
    let text = Arc::from(planner.sources.file(found.file).text.as_str());
    api.published = Some(Given::new(text, found));
    let mut mocks = planned.mocks;
    let data = data_of(&found.root);
    for resource in &mut api.resources {
        if let Some(step) = mocks.remove(&resource.span) {
            let sequence = Sequence::branch(Arc::clone(&resource.label), vec![step]);
            resource.in_sequence = Some(SequenceRef::Inline(Arc::new(sequence)));
        } else if let (Some((name, data)), Some(SequenceRef::Inline(inner))) = (&data, &resource.in_sequence)
        {
            let step = Step {
                element: mock_steps::STEP,
                span: resource.span,
                mediator: Box::new(mock_steps::data::Data {
                    name,
                    begins: Arc::clone(data),
                    inner: Arc::clone(inner),
                }),
            };
            let sequence = Sequence::branch(Arc::clone(&resource.label), vec![step]);
            resource.in_sequence = Some(SequenceRef::Inline(Arc::new(sequence)));
        }
    }
    Some(api)
}

/// What the scripts of a definition begin with, as newer products write it: the property, and JSON or the text of it.
fn data_of(root: &Node) -> Option<(&'static str, Arc<str>)> {
    let (node, property) = DATA
        .iter()
        .find_map(|(name, property)| Some((root.get(name)?, *property)))?;
    let data = match node.text() {
        Some(text) => Arc::from(text),
        None => Arc::from(crate::message::json::text(&node.json())),
    };
    Some((property, data))
}

/// What a definition comes to before it is planned.
#[derive(Default)]
struct Planned {
    /// Its `<api>`, each part with its place in the definition's text.
    api: Option<Element>,
    /// What answers the resources that an element cannot say, by their places.
    mocks: HashMap<Span, Step>,
    /// With an error the API has a place, where `--lenient` answers 503, and is not served.
    mistakes: Vec<Diagnostic>,
}

fn plan_of(found: &DefinitionFile, sources: &Sources, apis: &[Api], rules: Rules) -> Planned {
    let root = &*found.root;
    let mut planned = Planned::default();
    let Some(definition) = model::definition(root, &mut planned.mistakes) else {
        return planned;
    };
    let context = match context(root) {
        Ok(context) => context,
        Err(mistake) => {
            planned.mistakes.push(*mistake);
            return planned;
        }
    };
    let version = root.get("openapi").or(root.get("swagger"));
    let place = version.map_or(root.span, |node| node.span);
    if let Some(api) = apis
        .iter()
        .find(|api| publishes(api, &sources.file(found.file).text) || documents(root, &context.text, api))
    {
        let message = format!(
            "this definition is taken for the documentation of the API `{}`",
            api.name
        );
        let note = Diagnostic::note("N0223", place, message);
        planned
            .mistakes
            .push(note.also(api.span, "which has its context or its name, and is served"));
        return planned;
    }
    let serving = Serving::of(&definition, rules);
    if let Serving::Nothing(why) = serving {
        let message = format!("nothing of this definition is served: {why}");
        planned.mistakes.push(Diagnostic::note("N0223", place, message));
        return planned;
    }
    let mut resources = Vec::new();
    let mut prototypes = Vec::new();
    for operation in in_order(&definition) {
        let mut methods = operation.method.to_owned();
        let inside = if let Some(function) = own(operation, FUNCTION) {
            lambda(function, operation.node, operation.path)
        } else if operation.node.get(SCRIPT).is_some() {
            prototypes.push(operation.span);
            prototype(operation, sources)
        } else {
            match serving {
                Serving::Absent | Serving::Nothing(_) => continue,
                Serving::NotImplemented => prototype(operation, sources),
                Serving::Examples => {
                    prototypes.push(operation.span);
                    let step = mock::step(operation, &definition, &found.root, &mut planned.mistakes);
                    planned.mocks.insert(operation.span, step);
                    if operation.method == "GET" && !has_head(&definition, operation.path) {
                        methods.push_str(" HEAD");
                    }
                    // A place for the step, which is no element.
                    Ok(element("prototype", operation.span, [], []))
                }
            }
        };
        match inside {
            Ok(inside) => {
                let attributes = [
                    ("methods", verbatim(&methods, operation.span)),
                    ("uri-template", verbatim(operation.path, operation.path_span)),
                ];
                resources.push(element("resource", operation.span, attributes, [inside]));
            }
            Err(mistake) => planned.mistakes.push(*mistake),
        }
    }
    if resources.is_empty() {
        return planned;
    }
    let mut attributes = vec![("name", title(root)), ("context", context)];
    // Who asks for a mock gets one, whatever becomes of the API.
    if let Some(node) = root.get(STATE).filter(|_| !rules.all) {
        match for_good(node).zip(prototypes.first()) {
            Some((state, first)) => planned
                .mistakes
                .push(in_the_way(state, node, *first, prototypes.len())),
            None => attributes.push(("state", verbatim(node.text().unwrap_or(""), node.span))),
        }
    }
    planned.api = Some(element("api", place, attributes, resources));
    planned
}

/// The state that a definition names, if the API's callers rely on it.
fn for_good(node: &Node) -> Option<State> {
    State::named(node.text()?).filter(|state| state.is_for_good())
}

fn in_the_way(state: State, node: &Node, first: Span, count: usize) -> Diagnostic {
    let operations = match count {
        1 => "an operation of this definition is",
        _ => "operations of this definition are",
    };
    let message = format!(
        "an API that is {} has no prototypes, and {operations} answered by scripts or examples",
        state.word()
    );
    Diagnostic::error("E0224", node.span, message)
        .also(first, if count == 1 { "this one" } else { "the first of them" })
        .help("make it PROTOTYPED, or write the API in XML with the real backend: the definition is its documentation then")
}

fn has_head(definition: &Definition<'_>, path: &str) -> bool {
    let mut operations = definition.operations.iter();
    operations.any(|operation| operation.path == path && operation.method == "HEAD")
}

/// What answers the operations that bring nothing of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serving {
    Examples,
    /// 501, as API Manager answers beside scripts.
    NotImplemented,
    /// They are not served.
    Absent,
    /// Nothing is served, and why.
    Nothing(&'static str),
}

impl Serving {
    fn of(definition: &Definition<'_>, rules: Rules) -> Serving {
        let root = definition.references.root();
        let has = |name: &str| {
            let mut operations = definition.operations.iter();
            operations.any(|operation| own(operation, name).is_some())
        };
        let says = root.get(MOCK).and_then(Node::text).map(str::trim);
        match says {
            _ if rules.all => Serving::Examples,
            Some("false") if !has(SCRIPT) && !has(FUNCTION) => Serving::Nothing("`x-mock` is false"),
            Some("true") => Serving::Examples,
            _ if has(SCRIPT) => Serving::NotImplemented,
            _ if has(FUNCTION) => Serving::Absent,
            _ if BACKENDS.iter().any(|name| root.get(name).is_some()) => {
                Serving::Nothing("it names the service behind it; `x-mock: true` answers from its examples")
            }
            _ if rules.mocks => Serving::Examples,
            _ => Serving::Nothing("`mock.definitions` is false"),
        }
    }
}

/// What an operation says for itself, or its path for it.
fn own<'a>(operation: &Operation<'a>, name: &str) -> Option<&'a Node> {
    operation.node.get(name).or(operation.item.get(name))
}

/// Paths without variables go before those with, as OpenAPI has it; else the order is the file's.
fn in_order<'d, 'a>(definition: &'d Definition<'a>) -> Vec<&'d Operation<'a>> {
    let vagueness = |operation: &&Operation<'_>| -> Vec<u8> {
        let segments = operation.path.split('/');
        let of_segment = |segment: &str| match (segment.starts_with('{'), segment.contains('{')) {
            (true, _) if segment.ends_with('}') => 2,
            (_, true) => 1,
            _ => 0,
        };
        segments.map(of_segment).collect()
    };
    let mut operations: Vec<_> = definition.operations.iter().collect();
    operations.sort_by_key(vagueness);
    operations
}

/// Whether an API in XML names this definition as its own (`publishSwagger`).
fn publishes(api: &Api, text: &str) -> bool {
    api.published.as_ref().is_some_and(|given| given.is(text))
}

/// Whether a definition only describes an API that stands in XML: they have one place, or one name.
fn documents(root: &Node, context: &str, api: &Api) -> bool {
    let place = match &api.version {
        Some(Version::Url(version)) => format!("{}/{version}", api.context),
        _ => api.context.to_string(),
    };
    let bare = |name: &str| {
        let letters = name.chars().filter(|letter| letter.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    // API Manager puts the provider in front and the version behind.
    let name = api.name.rsplit("--").next().unwrap_or(&api.name);
    let titles: HashSet<String> = [
        root.get("info")
            .and_then(|info| info.get("title")?.text())
            .map(str::to_owned),
        Some(title(root).text),
    ]
    .into_iter()
    .flatten()
    .map(|title| bare(&title))
    .collect();
    place == context.trim_end_matches('/') || titles.contains(&bare(name))
}

/// Title and version, which name the API.
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

/// `x-wso2-basePath`, else the path of the first server (OpenAPI 3) or `basePath` (2), else `/`, as OpenAPI has it.
fn context(root: &Node) -> Result<Placed, Box<Diagnostic>> {
    let server = root.get("servers").and_then(|servers| servers.items().first());
    let url = server.and_then(|server| server.get("url"));
    let Some(node) = root.get("x-wso2-basePath").or(url).or(root.get("basePath")) else {
        return Ok(verbatim("/", root.span));
    };
    let text = node.text().unwrap_or("").trim();
    let mut filled = text.to_owned();
    for (name, variable) in server
        .and_then(|server| server.get("variables"))
        .map_or(&[][..], Node::entries)
    {
        if let Some(default) = variable.get("default").and_then(Node::text) {
            filled = filled.replace(&format!("{{{}}}", name.name), default);
        }
    }
    let path = match filled.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        // A relative address begins where the definition lies.
        None => filled.trim_start_matches('.'),
    };
    let path = path.split(['?', '#']).next().unwrap_or("");
    if path.is_empty() {
        return Ok(verbatim("/", node.span));
    }
    if !path.starts_with('/') || path.contains(['{', ' ', '*']) {
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

/// What answers for an operation of a mock: its script, or 501 where there is none.
fn prototype(operation: &Operation<'_>, sources: &Sources) -> Result<Element, Box<Diagnostic>> {
    let Some(script) = operation.node.get(SCRIPT).filter(|script| !script.is_null()) else {
        return Ok(element("prototype", operation.span, [], []));
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
        text: script.placed(&sources.file(script.span.file).text),
        cdata: true,
    };
    Ok(text_of("prototype", script.span, inside))
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
    use crate::deployment::load::KINDS;
    use crate::deployment::tests::{Nothing, plan};
    use crate::text::Sources;

    fn check(text: &str, expected: &[&str]) {
        check_beside(text, "<x/>", Rules::default(), expected);
    }

    /// The API's name, context and resources, then what is told.
    fn check_beside(text: &str, apis: &str, rules: Rules, expected: &[&str]) {
        let (apis, _) = plan(apis, "api", api::build);
        let mut sources = Sources::default();
        let file = sources.add("pets.yaml", text);
        let mut planner = Planner::new(KINDS, &Nothing, sources);
        let mut told = Vec::new();
        match find(file, text) {
            Ok(found) => {
                let api = found.and_then(|found| super::plan(&found, &apis, rules, &mut planner));
                if let Some(api) = api {
                    told.push(format!("{} at {}", api.name, api.context));
                    told.extend(api.resources.iter().map(|resource| resource.name.to_string()));
                }
            }
            Err(mistake) => planner.tell(*mistake),
        }
        // Of functions of AWS, and nothing about definitions.
        let told_here = |mistake: &&Diagnostic| mistake.code != "N0201";
        for mistake in planner.mistakes.sorted().iter().filter(told_here) {
            let place = mistake
                .span
                .map(|span| planner.sources.place(span))
                .expect("a place");
            told.push(format!(
                "{} {}:{} {}",
                mistake.code, place.line, place.column, mistake.message
            ));
        }
        assert_eq!(told, expected, "for {text}");
    }

    #[test]
    fn a_definition_becomes_an_api() {
        check(
            "openapi: 3.0.1\ninfo: {title: 'Pets & more', version: 1.0.0}\nservers: [{url: 'https://example.com/pets/v1/'}]\npaths:\n  /{id}: {get: {}, delete: {}}\n  /own: {get: {}, head: {}}\n  /{id}/a.{type}: {post: {}}\n",
            &[
                "Pets & more 1.0.0 at /pets/v1",
                "GET /own",
                "HEAD /own",
                "GET,HEAD /{id}",
                "DELETE /{id}",
                "POST /{id}/a.{type}",
            ],
        );
        check(
            "{\n  \"swagger\": \"2.0\", \"paths\": {\"/x\": {\"get\": {}}}}",
            &["OpenAPI at ", "GET,HEAD /x"],
        );
    }

    #[test]
    fn operations_are_answered_as_they_say() {
        let function = "x-amzn-resource-name: 'arn:aws:lambda:eu-west-1:123456789012:function:f'";
        check(
            &format!("openapi: 3.0.0\npaths: {{/x: {{get: {{{function}}}, post: {{}}}}}}\n"),
            &["OpenAPI at ", "GET /x"],
        );
        check(
            &format!("openapi: 3.0.0\nx-mock: true\npaths: {{/x: {{get: {{{function}}}, post: {{}}}}}}\n"),
            &["OpenAPI at ", "GET /x", "POST /x"],
        );
        check(
            "openapi: 3.0.0\npaths:\n  /x:\n    get:\n      x-mediation-script: |\n        mc.setPayloadXML('<a/>');\n        var = 1;\n    post: {}\n",
            &[
                "OpenAPI at ",
                "E0309 7:13 this is no JavaScript: expected token 'identifier', got '=' in identifier parsing",
            ],
        );
        check(
            "openapi: 3.0.0\npaths: {/x: {get: {x-mediation-script: 'mc.setPayloadXML(\"<a/>\")'}, post: {}}}\n",
            &["OpenAPI at ", "GET /x", "POST /x"],
        );
        check(
            "openapi: 3.0.0\npaths: {/x: {get: {x-mock-latency: soon, x-mock-fault: bang}}}\n",
            &[
                "OpenAPI at ",
                "GET,HEAD /x",
                "E0203 2:36 `soon` is no time: write 200, 200ms or 1.5s",
                "E0203 2:56 `bang` is no fault: write reset, empty, timeout or a status such as 503",
            ],
        );
    }

    /// The `<api>` as it is planned, or what is wrong.
    fn check_written(text: &str, expected: &str) {
        let mut sources = Sources::default();
        let file = sources.add("pets.yaml", text);
        let found = find(file, text).expect("it can be read").expect("it is one");
        let planned = plan_of(&found, &sources, &[], Rules::default());
        let told = match planned.api {
            Some(api) => build::written(&api),
            None => planned
                .mistakes
                .iter()
                .map(|mistake| {
                    let place = sources.place(mistake.span.expect("a place"));
                    let (line, column) = (place.line, place.column);
                    format!("{} {line}:{column} {}\n", mistake.code, mistake.message)
                })
                .collect(),
        };
        assert_eq!(told, expected, "for {text}");
    }

    #[test]
    fn operations_that_name_functions_become_resources() {
        check_written(
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
        check_written(
            "openapi: 3.0.1\ninfo: {title: Pets}\npaths:\n  /{id}:\n    get:\n      x-mediation-script: |\n        mc.setPayloadJSON({});\n        // done\n    \
             put: {x-mediation-script: }\n    post: {}\n    trace: {}\n  /more: {$ref: '#/x-more'}\nx-more:\n  delete: {x-mediation-script: '1'}\n",
            "<api name=\"Pets\" context=\"/\">\
             <resource methods=\"DELETE\" uri-template=\"/more\"><prototype>1</prototype></resource>\
             <resource methods=\"GET\" uri-template=\"/{id}\"><prototype>mc.setPayloadJSON({});\n// done\n</prototype></resource>\
             <resource methods=\"PUT\" uri-template=\"/{id}\"><prototype/></resource>\
             <resource methods=\"POST\" uri-template=\"/{id}\"><prototype/></resource>\
             </api>",
        );
        check_written(
            "openapi: 3.0.1\npaths:\n  /x:\n    get:\n      x-mediation-script: {js: 1}\n",
            "E0203 5:27 `x-mediation-script` is the text of a script\n",
        );
    }

    #[test]
    fn a_definition_beside_its_api_is_its_documentation() {
        let api = "<x><api name='admin--Pets' context='/p' version='1' version-type='url'><resource><inSequence/></resource></api></x>";
        for text in [
            "openapi: 3.0.0\ninfo: {title: pets}\npaths: {/x: {get: {}}}\n",
            "openapi: 3.0.0\nservers: [{url: /p/1}]\npaths: {/x: {get: {}}}\n",
        ] {
            check_beside(
                text,
                api,
                Rules::default(),
                &["N0223 1:10 this definition is taken for the documentation of the API `admin--Pets`"],
            );
        }
    }

    #[test]
    fn what_is_not_to_be_a_mock_is_none() {
        let text = |more: &str| format!("openapi: 3.0.0\n{more}paths: {{/x: {{get: {{}}}}}}\n");
        check(
            &text("x-mock: false\n"),
            &["N0223 1:10 nothing of this definition is served: `x-mock` is false"],
        );
        check(
            &text("x-wso2-production-endpoints: {urls: ['http://b']}\n"),
            &[
                "N0223 1:10 nothing of this definition is served: it names the service behind it; `x-mock: true` answers from its examples",
            ],
        );
        let mocks = Rules {
            mocks: false,
            all: false,
        };
        check_beside(
            &text(""),
            "<x/>",
            mocks,
            &["N0223 1:10 nothing of this definition is served: `mock.definitions` is false"],
        );
        let all = Rules {
            mocks: false,
            all: true,
        };
        check_beside(
            &text("x-mock: false\n"),
            "<x/>",
            all,
            &["OpenAPI at ", "GET,HEAD /x"],
        );
    }

    #[test]
    fn the_state_of_a_definition_is_that_of_its_api() {
        let text = |state: &str| {
            format!("openapi: 3.0.0\nx-state: {state}\npaths: {{/x: {{get: {{}}, put: {{}}}}}}\n")
        };
        for state in ["PRE-RELEASED", "created", "BLOCKED", "RETIRED"] {
            check(&text(state), &["OpenAPI at ", "GET,HEAD /x", "PUT /x"]);
        }
        check(
            &text("published"),
            &[
                "OpenAPI at ",
                "GET,HEAD /x",
                "PUT /x",
                "E0224 2:10 an API that is PUBLISHED has no prototypes, and operations of this definition are answered by scripts or examples",
            ],
        );
        check(
            &text("LIVE"),
            &["OpenAPI at ", "E0203 2:10 `LIVE` is not what `state` takes"],
        );
        // A function is a backend.
        check(
            "openapi: 3.0.0\nx-state: PUBLISHED\npaths: {/x: {get: {x-amzn-resource-name: 'arn:aws:lambda:eu-west-1:123456789012:function:f'}}}\n",
            &["OpenAPI at ", "GET /x"],
        );
        let all = Rules {
            mocks: true,
            all: true,
        };
        check_beside(
            &text("PUBLISHED"),
            "<x/>",
            all,
            &["OpenAPI at ", "GET,HEAD /x", "PUT /x"],
        );
    }

    #[test]
    fn the_context_is_wso2s_before_the_servers() {
        for (part, expected) in [
            ("x-wso2-basePath: /a/1.0\nservers: [{url: /b}]", "/a/1.0"),
            ("servers: [{url: /b/}]", "/b"),
            ("servers: [{url: 'https://h'}]", "/"),
            (
                "servers: [{url: 'https://{h}/{v}/x', variables: {v: {default: v1}}}]",
                "/v1/x",
            ),
            ("servers: [{url: ./v2}]", "/v2"),
            ("basePath: /c", "/c"),
            ("host: h", "/"),
        ] {
            let mut sources = Sources::default();
            let file = sources.add("x.yaml", part);
            let root = read::read(file, part).expect("it can be read");
            assert_eq!(context(&root).expect("it is sound").text, expected, "{part}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_definition() {
        check(
            "openapi: 3.0.0\nservers: [{url: '{host}/x'}]\npaths:\n  /x:\n    get: {}\n",
            &["E0220 2:18 `{host}/x` gives no path to serve"],
        );
        check(
            "openapi: 3.0.0\npaths:\n  /x:\n    get: {x-amzn-resource-name: f}\n    put:\n      x-amzn-resource-name: arn:aws:lambda:x\n      x-amzn-resource-timeout: soon\n",
            &[
                "E0203 4:33 `x-amzn-resource-name` is the ARN of a function",
                "E0203 7:32 `x-amzn-resource-timeout` is a number of milliseconds",
            ],
        );
        check(
            "openapi: [\n",
            &[
                "E0111 2:1 this is neither YAML nor JSON: while parsing a node, did not find expected node content",
            ],
        );
    }

    #[test]
    fn other_files_are_nobodys_business() {
        assert!(!is_definition("paths: {}\nx:\n  openapi: 3\n"));
        assert!(!is_definition("{\"dependencies\": {\n\"swagger-ui\": \"1\"}}"));
        assert!(is_definition("# Pets\nopenapi: 3.0.0\n"));
        assert!(is_definition("{\"openapi\": \"3.0.0\"}"));
        assert!(is_definition("{\n  \"swagger\" : \"2.0\"}"));
        assert!(is_definition("{\"info\": {}, \"swagger\":\"2.0\"}"));
        check("a: 1\n", &[]);
    }
}
