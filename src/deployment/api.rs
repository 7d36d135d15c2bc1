//! `<api>`: resources below a context.

use super::cors::{self, Cors};
use super::guard::{self, Guard};
use super::lifecycle::{self, State};
use super::publish::{self, Given};
use super::resource;
pub use super::resource::{Mapping, Methods, Resource};
use crate::plan::kind::ArtifactKind;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support, table};
use crate::text::{Diagnostic, Span};
use std::collections::HashMap;
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
        prototype to published, each `<prototype>` becomes an `<inSequence>` that sends to the backend.\n\n\
        The OpenAPI definition of an API is at `/NAME?swagger.json` and `/NAME?swagger.yaml`, where the name of one with a version is `NAME:vVERSION`.",
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
        Attr::optional(
            "publishSwagger",
            Shape::Text,
            "a registry resource that holds its OpenAPI definition, in JSON or YAML; without it, one is made of the resources",
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
            resource::RESOURCE,
            resource::RESOURCE_CHILDREN,
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
        r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Prices" context="/prices/{version}" version="2" version-type="context" publishSwagger="">
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
    /// The definition it publishes, if it is not made of the resources.
    pub published: Option<Given>,
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

impl Transports {
    pub const BOTH: Transports = Transports {
        http: true,
        https: true,
    };

    pub fn accept(self, https: bool) -> bool {
        if https { self.https } else { self.http }
    }

    pub(super) fn named(text: &str) -> Transports {
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
                .filter_map(|inner| resource::build(inner, &name, planner)),
        );
        resource::check(&resources, planner);
        let prototypes = planner.prototypes.split_off(prototypes);
        lifecycle::check(state, element, &prototypes, planner);
    }
    let guard = guard::of_handlers(element, planner);
    let cors = cors::of_handlers(element, planner).map(Arc::new);
    let published = publish::build(element, planner);
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
        published,
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
pub(super) fn binds_to_main(element: &Element, planner: &mut Planner<'_>) {
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
        check_resources(
            r#"<resource url-pattern="/a"><inSequence/></resource>"#,
            &["W0225 a.xml:2:11 `url-pattern` says nothing of the path"],
        );
        check_resources(r#"<resource uri-template="*"><inSequence/></resource>"#, &[]);
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
