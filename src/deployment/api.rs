//! `<api>`: resources below a context.

use super::SequenceRef;
use super::cors::{self, Cors};
use super::guard::{self, Guard};
use super::lifecycle::{self, State};
use super::uri_template::{self, UriTemplate, UrlMapping};
use crate::flow::{Sequence, Step};
use crate::mediators::prototype;
use crate::plan::kind::ArtifactKind;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support, table};
use crate::text::{Diagnostic, Placed, Span, suggest};
use http::Method;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "api",
    summary: "Serves the resources below a context: each has its methods, its paths and its sequences.",
    notes: "The API with the longest context that fits is chosen, then the version, host, port and transport must fit. \
        Among its resources those that accept the method go in this order: all `url-mapping`s (exact, longest prefix, extension), \
        all `uri-template`s in the order they are written, then the default resource. Nothing fits: 404. The path fits and the method \
        does not: 405. HEAD is not derived from GET. OPTIONS is answered from the resource's methods unless a resource declares it.\n\n\
        An API that says nothing of its `state` is served, whatever stands in it. `CREATED` and `PROTOTYPED` (newer products call it `PRE-RELEASED`) \
        may have `<prototype>`s: mocks, and endpoints that are only tried out. A `PROTOTYPED` API asks nobody for a token because the settings \
        demand one of all (one whose own `<handlers>` demand one does). `PUBLISHED` and `DEPRECATED` are for APIs whose callers rely on them: a \
        `<prototype>` is refused. `BLOCKED` answers every request with 503 and the code 700700. `RETIRED` is as if it were not there. On the way from \
        prototype to published, each `<prototype>` becomes an `<inSequence>` that sends to the backend.",
    differences: "Where a versioned API has a shorter context than an unversioned one and both fit, Synapse takes the versioned one; \
        here the longer context wins, and `check` tells. 405 carries `Allow`.",
    attributes: &[
        Attr::required("name", Shape::Text, "the name of the API"),
        Attr::required(
            "context",
            Shape::Text,
            "what its paths begin with; begins with a slash; `{version}` stands for the version",
        ),
        Attr::optional("version", Shape::Text, "the version; needs `version-type`"),
        Attr::optional(
            "version-type",
            Shape::Choice(&["url", "context"]),
            "`url`: the path segment after the context is the version; `context`: it stands in the context",
        ),
        Attr::ignored("version-param", "Synapse reads it and uses it for nothing"),
        Attr::optional(
            "hostname",
            Shape::Text,
            "only for requests to this host (Host header)",
        ),
        Attr::optional(
            "port",
            Shape::Integer,
            "only for requests to this port (Host header)",
        ),
        Attr::optional(
            "transports",
            Shape::Choice(&["http", "https", "http https", "https http", ""]),
            "only over this transport",
        )
        .default("both"),
        Attr::optional(
            "binds-to",
            Shape::Text,
            "names of inbound endpoints; `default` is the main port",
        )
        .default("default"),
        lifecycle::STATE,
        Attr::not_yet(
            "publishSwagger",
            "publishing a given OpenAPI file comes in a later release",
        ),
        Attr::not_yet(
            "validateSchema",
            "validation against OpenAPI comes in a later release: messages are let through unchecked",
        ),
        Attr::ignored("statistics", "statistics are not switched on by artifact here"),
        Attr::ignored("trace", "tracing is not switched on by artifact here"),
    ],
    children: Children::of(&[
        Child::required(
            "resource",
            RESOURCE,
            RESOURCE_CHILDREN,
            "what is served below the context",
        )
        .many(),
        guard::HANDLERS,
    ]),
    examples: &[
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Orders" context="/orders">
  <resource methods="GET" uri-template="/{id}">
    <inSequence/>
    <faultSequence/>
  </resource>
</api>"#,
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Prices" context="/prices/{version}" version="2" version-type="context">
  <resource methods="GET POST" url-mapping="/all/*"><inSequence/><outSequence/></resource>
</api>"#,
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Guarded" context="/guarded">
  <resource methods="GET" url-mapping="/*"><inSequence/></resource>
  <handlers>
    <handler class="org.wso2.carbon.apimgt.gateway.handlers.security.CORSRequestHandler">
      <property name="allowedOrigins" value="https://app.example.com"/>
      <property name="allowHeaders" value="authorization, Content-Type"/>
    </handler>
    <handler class="org.wso2.carbon.apimgt.gateway.handlers.security.APIAuthenticationHandler">
      <property name="APISecurity" value="oauth2,api_key"/>
    </handler>
  </handlers>
</api>"#,
    ],
};

const RESOURCE: &[Attr] = &[
    Attr::optional(
        "methods",
        Shape::Text,
        "GET, POST, PUT, DELETE, OPTIONS, HEAD, PATCH, with spaces between",
    )
    .default("all"),
    Attr::optional("uri-template", Shape::Text, "the paths, with variables in braces"),
    Attr::optional(
        "url-mapping",
        Shape::Text,
        "`/exact`, `/prefix/*` or `*.extension`; wins over `uri-template`",
    ),
    Attr::optional(
        "protocol",
        Shape::Choice(&["http", "https", ""]),
        "only over this transport",
    )
    .default("both"),
    Attr::optional(
        "content-type",
        Shape::Text,
        "only for bodies of exactly this Content-Type",
    ),
    Attr::optional(
        "user-agent",
        Shape::Regex,
        "only for clients whose whole User-Agent fits",
    ),
    Attr::optional(
        "binds-to",
        Shape::Text,
        "names of inbound endpoints; `default` is the main port",
    )
    .default("default"),
    Attr::optional(
        "inSequence",
        Shape::Sequence,
        "what requests go through; wins over the element",
    ),
    Attr::optional(
        "outSequence",
        Shape::Sequence,
        "what responses go through; wins over the element",
    ),
    Attr::optional(
        "faultSequence",
        Shape::Sequence,
        "what faults go to; wins over the element",
    )
    .default("`fault`"),
];

const RESOURCE_CHILDREN: Children = Children::of(&[
    Child::optional(
        "inSequence",
        INLINE,
        Children::STEPS,
        "what requests go through; without it the answer is 202",
    ),
    Child::optional(
        "prototype",
        prototype::ATTRIBUTES,
        prototype::CHILDREN,
        "what answers while there is no backend yet, in the place of the inSequence: see [`<prototype>`](#prototype)",
    ),
    Child::optional(
        "outSequence",
        INLINE,
        Children::STEPS,
        "what responses go through; without it they go back as they are",
    ),
    Child::optional(
        "faultSequence",
        INLINE,
        Children::STEPS,
        "what faults go to; without it to the sequence `fault`",
    ),
]);

/// Attributes of an inline sequence.
pub(super) const INLINE: &[Attr] = &[
    Attr::optional(
        "onError",
        Shape::Sequence,
        "what faults in this sequence go to first",
    ),
    Attr::ignored("name", "an inline sequence has no name"),
    Attr::ignored("statistics", "statistics are not switched on by artifact here"),
    Attr::ignored("trace", "tracing is not switched on by artifact here"),
];

pub struct Api {
    pub name: Arc<str>,
    /// Begins with a slash, ends without one; `{version}` already replaced. "" for the root context.
    pub context: Arc<str>,
    pub version: Option<Version>,
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    /// `http`, `https` or both.
    pub transports: Transports,
    pub resources: Vec<Resource>,
    pub span: Span,
    /// With `--lenient`: why it answers 503.
    pub broken: Option<Arc<str>>,
    /// Its callers have to present a token.
    pub guard: Option<Guard>,
    /// Which pages of other origins may call it.
    pub cors: Option<Arc<Cors>>,
    pub state: Option<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The path segment after the context.
    Url(Arc<str>),
    /// Part of the context.
    Context(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    pub http: bool,
    pub https: bool,
}

pub struct Resource {
    /// `GET,PUT /{id}`
    pub name: Arc<str>,
    /// As logs name it: `api Orders GET,PUT /{id}`.
    pub label: Arc<str>,
    pub methods: Methods,
    pub mapping: Mapping,
    pub transports: Transports,
    pub content_type: Option<Arc<str>>,
    pub user_agent: Option<fancy_regex::Regex>,
    pub in_sequence: Option<SequenceRef>,
    pub out_sequence: Option<SequenceRef>,
    pub fault_sequence: Option<SequenceRef>,
    pub span: Span,
    /// The caller's token needs one of these, if there are any.
    pub scopes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Takes what no other resource takes.
    Default,
    Url(UrlMapping),
    Template(UriTemplate),
}

/// A set of methods; empty means all, as in Synapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Methods(u8);

const METHODS: [(&str, Method); 7] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("DELETE", Method::DELETE),
    ("OPTIONS", Method::OPTIONS),
    ("HEAD", Method::HEAD),
    ("PATCH", Method::PATCH),
];

const OPTIONS: Methods = Methods(1 << 4);

impl Methods {
    pub fn add(&mut self, name: &str) -> bool {
        let Some(index) = METHODS.iter().position(|(known, _)| *known == name) else {
            return false;
        };
        self.0 |= 1 << index;
        true
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Every resource accepts OPTIONS.
    pub fn accept(self, method: &Method) -> bool {
        self.is_empty() || *method == Method::OPTIONS || self.declare(method)
    }

    /// Whether its author wrote the method down.
    pub fn declare(self, method: &Method) -> bool {
        METHODS
            .iter()
            .position(|(_, known)| known == method)
            .is_some_and(|index| self.0 & (1 << index) != 0)
    }

    pub fn only_options(self) -> bool {
        self == OPTIONS
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        METHODS
            .iter()
            .enumerate()
            .filter(move |(index, _)| self.0 & (1 << index) != 0)
            .map(|(_, (name, _))| *name)
    }

    pub fn union(self, other: Methods) -> Methods {
        Methods(self.0 | other.0)
    }

    fn overlaps(self, other: Methods) -> bool {
        self.0 & other.0 != 0
    }

    fn covers(self, other: Methods) -> bool {
        self.is_empty() || (!other.is_empty() && self.0 & other.0 == other.0)
    }

    /// What `Allow` says of one resource: its methods without OPTIONS, or Synapse's four.
    pub fn allow(self) -> String {
        if self.is_empty() {
            return "GET, POST, PUT, DELETE".to_owned();
        }
        self.names()
            .filter(|name| *name != "OPTIONS")
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mapping::Default => out.write_str("(default)"),
            Mapping::Url(mapping) => mapping.fmt(out),
            Mapping::Template(template) => out.write_str(template.source()),
        }
    }
}

impl Transports {
    pub const BOTH: Transports = Transports {
        http: true,
        https: true,
    };

    pub fn accept(self, https: bool) -> bool {
        if https { self.https } else { self.http }
    }

    fn named(text: &str) -> Transports {
        match text.trim() {
            text if text.eq_ignore_ascii_case("http") => Transports {
                http: true,
                https: false,
            },
            text if text.eq_ignore_ascii_case("https") => Transports {
                http: false,
                https: true,
            },
            _ => Transports::BOTH,
        }
    }
}

impl Api {
    /// `name`, or `name:vVERSION`.
    pub fn full_name(&self) -> String {
        full_name(&self.name, self.version.as_ref())
    }

    pub fn version_text(&self) -> &str {
        version_text(self.version.as_ref())
    }
}

/// What `SYNAPSE_REST_API` holds.
pub fn full_name(name: &str, version: Option<&Version>) -> String {
    match version_text(version) {
        "" => name.to_owned(),
        version => format!("{name}:v{version}"),
    }
}

pub fn version_text(version: Option<&Version>) -> &str {
    match version {
        Some(Version::Url(version) | Version::Context(version)) => version,
        None => "",
    }
}

/// Builds an `<api>`; `None` when not even its place is known. One with mistakes has no resources: `--lenient` answers 503 there.
pub fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Api> {
    planner
        .compat
        .met(element.name.clone(), Support::Full, element.span);
    let before = planner.mistakes.errors();
    let sound = table::check(element, KIND.attributes, &KIND.children, planner);
    if !sound {
        table::look_deeper(element, KIND.attributes, &KIND.children, planner);
    }
    let name = planner.text(element, "name")?;
    if name.trim().is_empty() {
        planner.mistake(
            "E0203",
            element.attribute("name")?.value.span,
            "an API needs a name",
        );
    }
    let version = version(element, planner);
    let context = context(element, version.as_ref(), planner);
    let port = port(element, planner);
    binds_to_main(element, planner);
    let host = planner
        .text(element, "hostname")
        .filter(|host| !host.is_empty())
        .map(Arc::from);
    let transports = planner
        .text(element, "transports")
        .map_or(Transports::BOTH, |text| Transports::named(&text));
    let state = State::of(element);
    let mut resources = Vec::new();
    let prototypes = planner.prototypes.len();
    if sound {
        resources.extend(
            element
                .all("resource")
                .filter_map(|inner| resource(inner, &name, planner)),
        );
        check_resources(&resources, planner);
        let prototypes = planner.prototypes.split_off(prototypes);
        lifecycle::check(state, element, &prototypes, planner);
    }
    let guard = guard::of_handlers(element, planner);
    let cors = cors::of_handlers(element, planner).map(Arc::new);
    if planner.mistakes.errors() > before {
        resources.clear();
    }
    Some(Api {
        name: Arc::from(name),
        // Without one there is no place to answer at; its author has heard of the resources' mistakes all the same.
        context: Arc::from(context?),
        version,
        host,
        port,
        transports,
        resources,
        span: element.span,
        broken: None,
        guard,
        cors,
        state,
    })
}

fn version(element: &Element, planner: &mut Planner<'_>) -> Option<Version> {
    let version = planner
        .text(element, "version")
        .filter(|version| !version.is_empty());
    let kind = planner
        .text(element, "version-type")
        .filter(|kind| !kind.trim().is_empty());
    match (version, kind) {
        (Some(version), Some(kind)) if kind.trim().eq_ignore_ascii_case("url") => {
            Some(Version::Url(Arc::from(version)))
        }
        (Some(version), Some(_)) => Some(Version::Context(Arc::from(version))),
        (Some(_), None) => {
            let span = element
                .attribute("version")
                .map_or(element.span, |version| version.name_span);
            planner.tell(
                Diagnostic::error("E0202", span, "a `version` needs a `version-type`")
                    .help("`url` when the version is the path segment after the context, `context` when it is part of it"),
            );
            None
        }
        (None, Some(_)) => {
            let span = element
                .attribute("version-type")
                .map_or(element.span, |kind| kind.name_span);
            planner.tell(
                Diagnostic::warning("W0220", span, "`version-type` without `version` has no effect")
                    .help("add the `version`, or remove the `version-type`"),
            );
            None
        }
        (None, None) => None,
    }
}

fn context(element: &Element, version: Option<&Version>, planner: &mut Planner<'_>) -> Option<String> {
    let placed = element.attribute("context")?.value.clone();
    let mut context = planner.resolved(&placed)?;
    if !context.starts_with('/') {
        planner.tell(
            Diagnostic::error("E0220", placed.span, "the context of an API begins with a slash")
                .help(format!("write `/{context}`")),
        );
        return None;
    }
    match version {
        Some(Version::Context(version)) => context = context.replace("{version}", version),
        _ if context.contains("{version}") => {
            planner.tell(
                Diagnostic::error(
                    "E0220",
                    placed.span,
                    "`{version}` in the context needs `version-type=\"context\"`",
                )
                .help("give `version` and `version-type`, or write the version out"),
            );
        }
        _ => {}
    }
    if let Some(odd) = context.find(['?', '#', '*', ' ', '{']) {
        let odd = &context[odd..odd + 1];
        planner.tell(
            Diagnostic::error(
                "E0220",
                placed.span,
                format!("`{odd}` cannot be in the context of an API"),
            )
            .help("variables belong in the `uri-template` of a resource"),
        );
    }
    context.truncate(context.trim_end_matches('/').len());
    Some(context)
}

fn port(element: &Element, planner: &mut Planner<'_>) -> Option<u16> {
    let text = planner.text(element, "port")?;
    match text.trim().parse::<i64>() {
        Ok(-1) => None,
        Ok(port) if (1..=65_535).contains(&port) => u16::try_from(port).ok(),
        _ => {
            let span = element.attribute("port")?.value.span;
            planner.mistake("E0203", span, format!("`{text}` is not a port"));
            None
        }
    }
}

/// Inbound endpoints come later. Serving on the main port what was meant for another one would open it to the wrong clients.
fn binds_to_main(element: &Element, planner: &mut Planner<'_>) {
    let Some(text) = planner.text(element, "binds-to") else {
        return;
    };
    if text.trim().is_empty() || text.split(',').any(|name| name.trim() == "default") {
        return;
    }
    let span = element
        .attribute("binds-to")
        .map_or(element.span, |attribute| attribute.value.span);
    planner.tell(
        Diagnostic::error(
            "E0503",
            span,
            "inbound endpoints are not supported yet, so this is bound to none",
        )
        .help("add `default` to serve it on the main port"),
    );
}

fn resource(element: &Element, api: &str, planner: &mut Planner<'_>) -> Option<Resource> {
    let methods = methods(element, planner);
    let mapping = mapping(element, planner);
    binds_to_main(element, planner);
    let content_type = planner
        .text(element, "content-type")
        .filter(|text| !text.is_empty());
    if let Some(text) = &content_type
        && text.split('/').count() != 2
    {
        let span = element
            .attribute("content-type")
            .map_or(element.span, |attribute| attribute.value.span);
        planner.mistake("E0203", span, format!("`{text}` is not a content type"));
    }
    let user_agent = element
        .attribute("user-agent")
        .map(|attribute| attribute.value.clone());
    let user_agent = user_agent
        .filter(|text| !text.text.is_empty())
        .and_then(|text| whole(&text, planner));
    let name = match (methods.is_some_and(|methods| !methods.is_empty()), &mapping) {
        (true, Some(mapping)) => format!(
            "{} {mapping}",
            methods.unwrap_or_default().names().collect::<Vec<_>>().join(",")
        ),
        (_, Some(mapping)) => mapping.to_string(),
        (_, None) => String::new(),
    };
    let mut side = |which: &'static str| sequence(element, which, &format!("of api {api} {name}"), planner);
    let (in_sequence, out_sequence, fault_sequence) =
        (side("inSequence"), side("outSequence"), side("faultSequence"));
    let in_sequence = match element.child("prototype") {
        Some(inner) => prototype(element, inner, &format!("of api {api} {name}"), planner),
        None => in_sequence,
    };
    if in_sequence.is_none() && !element.has("inSequence") && element.child("prototype").is_none() {
        planner.tell(
            Diagnostic::warning(
                "W0222",
                element.span,
                "this resource has no inSequence, so it answers 202 and does nothing",
            )
            .help("add an `<inSequence>`"),
        );
    }
    Some(Resource {
        label: Arc::from(format!("api {api} {name}")),
        name: Arc::from(name),
        methods: methods?,
        mapping: mapping?,
        transports: planner
            .text(element, "protocol")
            .map_or(Transports::BOTH, |text| Transports::named(&text)),
        content_type: content_type.map(Arc::from),
        user_agent,
        in_sequence,
        out_sequence,
        fault_sequence,
        span: element.span,
        scopes: Vec::new(),
    })
}

/// The in side of a resource that has a prototype.
fn prototype(
    resource: &Element,
    inner: &Element,
    of: &str,
    planner: &mut Planner<'_>,
) -> Option<SequenceRef> {
    let beside = resource
        .attribute("inSequence")
        .map(|attribute| attribute.name_span)
        .or(resource.child("inSequence").map(|sequence| sequence.span));
    if let Some(beside) = beside {
        planner.tell(
            Diagnostic::error(
                "E0210",
                inner.span,
                "a resource has an inSequence or a prototype, not both",
            )
            .also(beside, "the inSequence")
            .help("remove one of the two"),
        );
        return None;
    }
    planner.owner = Arc::from(format!("prototype {of}"));
    let step = Step {
        element: prototype::KIND.element,
        span: inner.span,
        mediator: prototype::build(inner, planner)?,
    };
    Some(SequenceRef::Inline(Arc::new(Sequence::branch(
        Arc::clone(&planner.owner),
        vec![step],
    ))))
}

/// A regular expression that must fit the whole text, as Java's `matches`.
fn whole(text: &Placed, planner: &mut Planner<'_>) -> Option<fancy_regex::Regex> {
    planner.regex(text)?;
    planner.regex(&Placed::verbatim(format!("^(?:{})$", text.text), text.span))
}

/// The sequence that the attribute names, else the one inside.
pub(super) fn sequence(
    element: &Element,
    which: &'static str,
    of: &str,
    planner: &mut Planner<'_>,
) -> Option<SequenceRef> {
    if let Some(key) = element.attribute(which).filter(|key| !key.value.text.is_empty()) {
        let key = key.value.clone();
        if let Some(inline) = element.child(which) {
            planner.tell(
                Diagnostic::warning("W0210", inline.span, format!("this `<{which}>` has no effect"))
                    .also(key.span, "the attribute wins"),
            );
        }
        return planner.sequence_key(&key).map(SequenceRef::Named);
    }
    let inline = element.child(which)?;
    planner.owner = Arc::from(format!("{which} {of}"));
    let mut sequence = planner.sequence(inline);
    if let Some(handler) = inline.attribute("onError").map(|handler| handler.value.clone()) {
        sequence.on_error = planner.sequence_key(&handler);
    }
    Some(SequenceRef::Inline(Arc::new(sequence)))
}

fn methods(element: &Element, planner: &mut Planner<'_>) -> Option<Methods> {
    let mut methods = Methods::default();
    let Some(placed) = element
        .attribute("methods")
        .map(|attribute| attribute.value.clone())
    else {
        return Some(methods);
    };
    let text = planner.resolved(&placed)?;
    let mut sound = true;
    for word in text.split_whitespace() {
        if !methods.add(word) {
            sound = false;
            let at = placed.text.find(word).map(|at| at..at + word.len());
            let known = METHODS.iter().map(|(name, _)| *name);
            let help = match word {
                _ if word.contains([',', '|']) => Some("write spaces between the methods".to_owned()),
                _ => suggest::did_you_mean(&word.to_ascii_uppercase(), known)
                    .or_else(|| Some("GET, POST, PUT, DELETE, OPTIONS, HEAD and PATCH are known".to_owned())),
            };
            planner.tell(
                Diagnostic::error(
                    "E0203",
                    at.map_or(placed.span, |at| placed.span_of(at)),
                    format!("there is no method `{word}`"),
                )
                .maybe_help(help),
            );
        }
    }
    sound.then_some(methods)
}

fn mapping(element: &Element, planner: &mut Planner<'_>) -> Option<Mapping> {
    let url = element
        .attribute("url-mapping")
        .map(|attribute| attribute.value.clone());
    let template = element
        .attribute("uri-template")
        .map(|attribute| attribute.value.clone());
    let url = url.filter(|text| !text.text.is_empty());
    let template = template.filter(|text| !text.text.is_empty());
    if let (Some(url), Some(template)) = (&url, &template) {
        planner.tell(
            Diagnostic::warning("W0210", template.span, "this `uri-template` has no effect")
                .also(url.span, "`url-mapping` wins"),
        );
    }
    if let Some(placed) = url {
        return planner
            .resolved(&placed)
            .map(|text| Mapping::Url(UrlMapping::parse(&text)));
    }
    let Some(placed) = template else {
        return Some(Mapping::Default);
    };
    let text = planner.resolved(&placed)?;
    match UriTemplate::parse(&text) {
        Ok(template) => Some(Mapping::Template(template)),
        Err(mistake) => {
            // A resolved text has other places than the one in the file.
            let span = if text == placed.text {
                placed.span_of(mistake.range)
            } else {
                placed.span
            };
            planner.tell(
                Diagnostic::error("E0221", span, mistake.message).maybe_help(mistake.help.map(str::to_owned)),
            );
            None
        }
    }
}

/// Resources of one API against each other: what Synapse refuses, and what can never be reached.
pub(super) fn check_resources(resources: &[Resource], planner: &mut Planner<'_>) {
    let before = planner.mistakes.errors();
    for (at, second) in resources.iter().enumerate() {
        for first in &resources[..at] {
            let same = first.mapping == second.mapping;
            if same && second.mapping == Mapping::Default {
                planner.tell(
                    Diagnostic::error(
                        "E0406",
                        second.span,
                        "an API has one resource without a path at most",
                    )
                    .also(first.span, "the first one")
                    .help("give it a `uri-template` or a `url-mapping`"),
                );
            } else if same && first.methods.overlaps(second.methods) {
                planner.tell(
                    Diagnostic::error(
                        "E0406",
                        second.span,
                        format!("`{}` is served twice for one method", second.mapping),
                    )
                    .also(first.span, "the first one"),
                );
            }
        }
    }
    // Quadratic; what a person writes is far smaller.
    if planner.mistakes.errors() > before || resources.len() > 400 {
        return;
    }
    for (at, hidden) in resources.iter().enumerate() {
        let hides = |(index, other): (usize, &Resource)| index != at && hides(other, index, hidden, at);
        if let Some(index) = resources.iter().enumerate().position(hides) {
            planner.tell(
                Diagnostic::warning(
                    "W0402",
                    hidden.span,
                    format!("`{}` is never reached", hidden.name),
                )
                .also(
                    resources[index].span,
                    format!("`{}` takes its requests", resources[index].name),
                )
                .help(match (&resources[index].mapping, &hidden.mapping) {
                    (Mapping::Url(_), Mapping::Template(_)) => {
                        "all `url-mapping`s are tried before any `uri-template`"
                    }
                    _ => "the first one that fits is taken",
                }),
            );
        }
    }
}

/// Whether the first takes every request that the second could get.
fn hides(first: &Resource, first_at: usize, second: &Resource, second_at: usize) -> bool {
    let filters = (first.content_type.is_none() || first.content_type == second.content_type)
        && first.user_agent.is_none()
        && (first.transports == Transports::BOTH || first.transports == second.transports);
    if !filters || !first.methods.covers(second.methods) {
        return false;
    }
    // Resources for OPTIONS alone are tried first.
    let earlier = match (first.methods.only_options(), second.methods.only_options()) {
        (true, false) => return false,
        (false, true) => false,
        _ => first_at < second_at,
    };
    match (&first.mapping, &second.mapping) {
        (Mapping::Url(first), Mapping::Url(second)) if first == second => earlier,
        (Mapping::Url(first), Mapping::Url(second)) => uri_template::mapping_hides(first, second),
        (Mapping::Url(first), Mapping::Template(second)) => {
            uri_template::mapping_hides_template(first, second)
        }
        (Mapping::Url(UrlMapping::Prefix(segments)), Mapping::Default) => segments.is_empty(),
        (Mapping::Template(first), Mapping::Template(second)) => {
            earlier && uri_template::template_hides(first, second)
        }
        _ => false,
    }
}

/// What only shows when all APIs are known: clashes, and orders that differ from Synapse's.
pub fn check_all(apis: &[Api], planner: &mut Planner<'_>) {
    clashes(apis)
        .into_iter()
        .for_each(|mistake| planner.tell(mistake));
    chosen_otherwise_in_synapse(apis)
        .into_iter()
        .for_each(|warning| planner.tell(warning));
}

/// APIs that Synapse would not load together: told with both places.
fn clashes(apis: &[Api]) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut paths: HashMap<(&str, &str), &Api> = HashMap::new();
    let mut names: HashMap<String, &Api> = HashMap::new();
    for api in apis.iter().filter(|api| !api.is_retired()) {
        if let Some(first) = paths.get(&(&*api.context, api.version_text())) {
            let context = if api.context.is_empty() { "/" } else { &api.context };
            mistakes.push(
                Diagnostic::error(
                    "E0405",
                    api.span,
                    format!("two APIs have the context `{context}` and the same version"),
                )
                .also(first.span, format!("`{}` has it too", first.name))
                .help("change the context of one, or give them versions"),
            );
        } else if let Some(first) = names.get(&api.full_name()) {
            mistakes.push(
                Diagnostic::error(
                    "E0405",
                    api.span,
                    format!("there are two APIs `{}`", api.full_name()),
                )
                .also(first.span, "the first one"),
            );
        }
        paths.entry((&*api.context, api.version_text())).or_insert(api);
        names.entry(api.full_name()).or_insert(api);
    }
    mistakes
}

/// Where Synapse would choose a versioned API with a shorter context, and we choose the longer context.
fn chosen_otherwise_in_synapse(apis: &[Api]) -> Vec<Diagnostic> {
    let mut versioned: HashMap<String, &Api> = HashMap::new();
    for api in apis.iter().filter(|api| !api.is_retired()) {
        match &api.version {
            Some(Version::Url(version)) => versioned.insert(format!("{}/{version}", api.context), api),
            Some(Version::Context(_)) => versioned.insert(api.context.to_string(), api),
            None => None,
        };
    }
    let mut warnings = Vec::new();
    for api in apis
        .iter()
        .filter(|api| api.version.is_none() && !api.is_retired())
    {
        let ends = api
            .context
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([api.context.len()]);
        for other in ends.filter_map(|end| versioned.get(&api.context[..end])) {
            // Equal contexts: the versioned one is first here too.
            if other.context.len() < api.context.len() {
                warnings.push(
                    Diagnostic::warning(
                        "W0403",
                        api.span,
                        format!(
                            "requests below `{}` go to `{}` here, and to `{}` in Synapse",
                            api.context, api.name, other.name
                        ),
                    )
                    .also(
                        other.span,
                        "Synapse asks versioned APIs first, whatever the length of their context",
                    )
                    .help("change one of the contexts if the difference matters"),
                );
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::plan_and_check;

    fn check(xml: &str, expected: &[&str]) {
        let (_, mistakes) = plan_and_check(xml, "api", build, check_all);
        assert_eq!(mistakes, expected.join("\n"), "{xml}");
    }

    fn check_resources(resources: &str, expected: &[&str]) {
        check(
            &format!("<api name=\"A\" context=\"/a\">\n{resources}</api>"),
            expected,
        );
    }

    #[test]
    fn the_examples_are_accepted_without_a_word() {
        for example in KIND.examples {
            check(
                &example.replace(&format!(" xmlns=\"{}\"", crate::plan::element::SYNAPSE), ""),
                &[],
            );
        }
    }

    #[test]
    fn what_is_wrong_with_an_api_is_told_at_its_place() {
        let resource = "<resource><inSequence/></resource>";
        check(
            &format!(r#"<api name="A" context="a">{resource}</api>"#),
            &["E0220 a.xml:1:64 the context of an API begins with a slash"],
        );
        check(
            r#"<api name="A" context="a"><resource><inSequence><nonsense/></inSequence></resource></api>"#,
            &[
                "E0220 a.xml:1:64 the context of an API begins with a slash",
                "E0205 a.xml:1:90 there is no mediator `<nonsense>`",
            ],
        );
        check(
            &format!(r#"<api name="A" context="/a" version="1">{resource}</api>"#),
            &["E0202 a.xml:1:68 a `version` needs a `version-type`"],
        );
        check(
            &format!(r#"<api name="A" context="/a" ransports="http">{resource}</api>"#),
            &["E0201 a.xml:1:68 `<api>` has no attribute `ransports`"],
        );
        check(
            &format!(r#"<api name="A" context="/a" binds-to="chat">{resource}</api>"#),
            &["E0503 a.xml:1:78 inbound endpoints are not supported yet, so this is bound to none"],
        );
        check(
            r#"<api name="A" context="/a"/>"#,
            &["E0208 a.xml:1:2 `<api>` needs a `<resource>` inside"],
        );
        check(
            &format!(
                r#"<api name="A" context="/a">{resource}<handlers><handler class="org.Cors"/></handlers></api>"#
            ),
            &["E0505 a.xml:1:128 there is no handler `org.Cors`"],
        );
    }

    #[test]
    fn what_is_wrong_with_a_resource_is_told_at_its_place() {
        check_resources(
            r#"<resource methods="GET,POST"><inSequence/></resource>"#,
            &["E0203 a.xml:2:20 there is no method `GET,POST`"],
        );
        check_resources(
            r#"<resource methods="GET get"><inSequence/></resource>"#,
            &["E0203 a.xml:2:24 there is no method `get`"],
        );
        check_resources(
            r#"<resource uri-template="/a/{b"><inSequence/></resource>"#,
            &["E0221 a.xml:2:28 this brace is never closed"],
        );
        check_resources(
            r#"<resource/>"#,
            &["W0222 a.xml:2:2 this resource has no inSequence, so it answers 202 and does nothing"],
        );
        check_resources(
            r#"<resource inSequence="x"/>"#,
            &["E0401 a.xml:2:23 there is no sequence `x`"],
        );
        check_resources(
            r#"<resource content-type="json"><inSequence/></resource>"#,
            &["E0203 a.xml:2:25 `json` is not a content type"],
        );
        check_resources(
            r#"<resource uri-template="/a" url-mapping="/b"><inSequence/></resource>"#,
            &["W0210 a.xml:2:25 this `uri-template` has no effect"],
        );
    }

    #[test]
    fn two_resources_for_one_request_are_refused() {
        check_resources(
            "<resource><inSequence/></resource>\n<resource methods=\"GET\"><inSequence/></resource>",
            &["E0406 a.xml:3:2 an API has one resource without a path at most"],
        );
        check_resources(
            "<resource methods=\"GET PUT\" url-mapping=\"/x/\"><inSequence/></resource>\n\
             <resource methods=\"PUT\" url-mapping=\"/x\"><inSequence/></resource>",
            &["E0406 a.xml:3:2 `/x` is served twice for one method"],
        );
    }

    #[test]
    fn a_resource_that_is_hidden_is_told() {
        let hidden = |first: &str, second: &str, hidden: Option<(usize, &str)>| {
            let expected =
                hidden.map(|(line, name)| format!("W0402 a.xml:{line}:2 `{name}` is never reached"));
            check_resources(
                &format!(
                    "<resource {first}><inSequence/></resource>\n<resource {second}><inSequence/></resource>"
                ),
                &expected.iter().map(String::as_str).collect::<Vec<_>>(),
            );
        };
        hidden(
            r#"methods="GET" uri-template="/x/{id}""#,
            r#"methods="GET" uri-template="/x/all""#,
            Some((3, "GET /x/all")),
        );
        hidden(
            r#"methods="GET" uri-template="/x/all""#,
            r#"methods="GET" uri-template="/x/{id}""#,
            None,
        );
        hidden(
            r#"methods="GET" uri-template="/x/{id}""#,
            r#"methods="GET PUT" uri-template="/x/all""#,
            None,
        );
        hidden(
            r#"methods="GET" uri-template="/x/{id}""#,
            r#"methods="GET" uri-template="/x/{+id}""#,
            None,
        );
        hidden(
            r#"uri-template="/x/*""#,
            r#"methods="GET" uri-template="/x/{a}/{b}?c={c}""#,
            Some((3, "GET /x/{a}/{b}?c={c}")),
        );
        hidden(
            r#"methods="GET" uri-template="/x/{id}""#,
            r#"methods="GET" url-mapping="/*""#,
            Some((2, "GET /x/{id}")),
        );
        hidden(
            r#"methods="GET""#,
            r#"methods="GET" url-mapping="/*""#,
            Some((2, "GET (default)")),
        );
        hidden(
            r#"methods="GET" url-mapping="/x/*""#,
            r#"methods="GET" url-mapping="/x/y""#,
            None,
        );
        hidden(
            r#"methods="GET" url-mapping="/x/*" user-agent="curl""#,
            r#"methods="GET" uri-template="/x/y""#,
            None,
        );
        hidden(
            r#"uri-template="/x/{id}""#,
            r#"methods="OPTIONS" uri-template="/x/{id}""#,
            None,
        );
    }

    #[test]
    fn apis_that_clash_are_told_with_both_places() {
        let api = |name: &str, rest: &str| {
            format!("<api name=\"{name}\" {rest}><resource><inSequence/></resource></api>\n")
        };
        check(
            &format!(
                "<x>\n{}{}{}</x>",
                api("A", "context=\"/a/\""),
                api("B", "context=\"/a\""),
                api("A", "context=\"/b\"")
            ),
            &[
                "E0405 a.xml:3:2 two APIs have the context `/a` and the same version",
                "E0405 a.xml:4:2 there are two APIs `A`",
            ],
        );
        check(
            &format!(
                "<x>\n{}{}</x>",
                api("A", "context=\"/a\" version=\"1\" version-type=\"url\""),
                api("A", "context=\"/a\"  version=\"2\" version-type=\"url\"")
            ),
            &[],
        );
    }

    #[test]
    fn a_choice_that_differs_from_synapse_is_told() {
        let api = |name: &str, rest: &str| {
            format!("<api name=\"{name}\" {rest}><resource><inSequence/></resource></api>\n")
        };
        check(
            &format!(
                "<x>\n{}{}</x>",
                api("V", "context=\"/a\" version=\"1\" version-type=\"url\""),
                api("Long", "context=\"/a/1/b\"")
            ),
            &["W0403 a.xml:3:2 requests below `/a/1/b` go to `Long` here, and to `V` in Synapse"],
        );
        check(
            &format!(
                "<x>\n{}{}</x>",
                api("V", "context=\"/a\" version=\"1\" version-type=\"url\""),
                api("Long", "context=\"/a/2/b\"")
            ),
            &[],
        );
    }
}
