//! `<resource>` of an API: its methods, its paths, its sequences, and what one resource takes from another.

use super::SequenceRef;
use super::api::{Transports, binds_to_main};
use super::sequence::{self, INLINE};
use super::uri_template::{self, UriTemplate, UrlMapping};
use crate::flow::{Sequence, Step};
use crate::mediators::prototype;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape};
use crate::text::{Diagnostic, Placed, Span, suggest};
use http::Method;
use std::fmt;
use std::sync::Arc;

pub(super) const RESOURCE: &[Attr] = &[
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
    Attr::ignored("url-pattern", "Synapse reads `url-mapping`, and passes over this"),
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

pub(super) const RESOURCE_CHILDREN: Children = Children::of(&[
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

pub(super) fn build(element: &Element, api: &str, planner: &mut Planner<'_>) -> Option<Resource> {
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
    let mut side =
        |which: &'static str| sequence::of(element, which, &format!("of api {api} {name}"), planner);
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
        if let Some(pattern) = element.attribute("url-pattern") {
            planner.tell(
                Diagnostic::warning(
                    "W0225",
                    pattern.name_span,
                    "`url-pattern` says nothing of the path",
                )
                .label("so this resource takes whatever no other one takes, as in Synapse")
                .help("write `url-mapping` if you mean the path"),
            );
        }
        return Some(Mapping::Default);
    };
    let mut text = planner.resolved(&placed)?;
    if text == "*" {
        // Synapse takes it, for everything below the context.
        text.insert(0, '/');
    }
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
pub(super) fn check(resources: &[Resource], planner: &mut Planner<'_>) {
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
