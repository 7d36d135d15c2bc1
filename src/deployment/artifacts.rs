//! The artifacts of a set of files: sorted by kind, named, planned.

use super::broken::{BrokenEndpoint, broken_sequence};
use super::resources::Resources;
use super::{api, endpoint_template, local_entry, openapi, proxy, sequence, template};
use crate::flow::catalog::Template;
use crate::flow::{Endpoint, EndpointId, Sequence, SequenceId, TemplateId};
use crate::plan::kind::{Attr, Children, Support};
use crate::plan::planner::Pending;
use crate::plan::{Element, Planner, element, later, table};
use crate::text::{Diagnostic, Severity, Span, suggest};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Artifacts by kind, as elements.
#[derive(Default)]
pub(super) struct Artifacts {
    pub sequences: Vec<(String, Element)>,
    pub endpoints: Vec<(String, Element)>,
    pub templates: Vec<(String, Element)>,
    pub endpoint_templates: Vec<(String, Element)>,
    pub entries: Vec<(String, Element)>,
    pub apis: Vec<Element>,
    /// Of OpenAPI.
    pub definitions: Vec<openapi::DefinitionFile>,
    pub rules: openapi::Rules,
    pub proxies: Vec<Element>,
    pub registry: Option<Span>,
    pub registry_root: Option<String>,
}

const REGISTRY: &[Attr] = &[Attr::ignored(
    "provider",
    "registry keys are mapped to folders and files here",
)];
const DEFINITIONS: &[Attr] = &[Attr::optional("name", crate::plan::Shape::Text, "A label.")];

impl Artifacts {
    /// Sorts one file's root element in.
    pub fn take(&mut self, root: Element, planner: &mut Planner<'_>) {
        if root.name != "definitions" {
            return self.take_one(root, planner);
        }
        planner
            .compat
            .met("definitions".to_owned(), Support::Full, root.span);
        table::check(&root, DEFINITIONS, &Children::ANY, planner);
        for inner in root.content {
            if let crate::plan::Content::Element(inner) = inner {
                if inner.name == "description" && inner.is_synapse() {
                    continue;
                }
                self.take_one(inner, planner);
            }
        }
    }

    fn take_one(&mut self, element: Element, planner: &mut Planner<'_>) {
        const KNOWN: &[&str] = &[
            "api",
            "proxy",
            "sequence",
            "endpoint",
            "localEntry",
            "template",
            "registry",
            "taskManager",
            "definitions",
        ];
        if !element.is_synapse() {
            planner.tell(
                Diagnostic::error(
                    "E0206",
                    element.span,
                    format!("`<{}>` is not an artifact of Synapse", element.name),
                )
                .help(format!("artifacts are in the namespace {}", element::SYNAPSE)),
            );
            return;
        }
        match element.name.as_str() {
            "api" => self.apis.push(element),
            "proxy" => self.proxies.push(element),
            "sequence" => named(&mut self.sequences, element, "name", planner),
            "endpoint" => named(&mut self.endpoints, element, "name", planner),
            "localEntry" => named(&mut self.entries, element, "key", planner),
            "template" => self.take_template(element, planner),
            "registry" => self.take_registry(&element, planner),
            "taskManager" => {
                planner.compat.met(
                    "taskManager".to_owned(),
                    Support::Ignored("there is one scheduler, built in"),
                    element.span,
                );
            }
            other => {
                if let Some(advice) = later::advice(later::ARTIFACTS, other) {
                    planner
                        .compat
                        .met(other.to_owned(), Support::Refused(advice), element.span);
                    if let Some(name) = element.get("name").or_else(|| element.get("key")) {
                        let known = later::ARTIFACTS
                            .iter()
                            .find(|(known, _)| *known == other)
                            .map_or("", |(known, _)| known);
                        planner.names.later.insert(name.to_owned(), known);
                    }
                    planner.tell(
                        Diagnostic::error("E0503", element.span, format!("`<{other}>` is not supported yet"))
                            .help(advice),
                    );
                    return;
                }
                let help = suggest::did_you_mean(other, KNOWN.iter().copied());
                planner.tell(
                    Diagnostic::error(
                        "E0206",
                        element.span,
                        format!("`<{other}>` is not an artifact of Synapse"),
                    )
                    .maybe_help(help),
                );
            }
        }
    }

    fn take_template(&mut self, element: Element, planner: &mut Planner<'_>) {
        if endpoint_template::is_one(&element) {
            named(&mut self.endpoint_templates, element, "name", planner);
            return;
        }
        named(&mut self.templates, element, "name", planner);
    }

    fn take_registry(&mut self, element: &Element, planner: &mut Planner<'_>) {
        planner
            .compat
            .met("registry".to_owned(), Support::Full, element.span);
        table::check(element, REGISTRY, &Children::ANY, planner);
        match self.registry {
            Some(first) => planner.tell(
                Diagnostic::error("E0403", element.span, "there is a `<registry>` already")
                    .also(first, "the first one"),
            ),
            None => self.registry = Some(element.span),
        }
        let root = element
            .all("parameter")
            .find(|parameter| parameter.get("name") == Some("root"));
        self.registry_root = root
            .and_then(Element::trimmed_text)
            .map(|root| root.text)
            .filter(|root| !root.contains("://"));
    }

    /// Gives every sequence, endpoint, template and entry its number. Sequences, endpoints and local entries share their names, as in
    /// Synapse's local registry.
    pub fn name_all(&mut self, planner: &mut Planner<'_>) {
        let mut taken: HashMap<String, Span> = HashMap::new();
        let mut sequences = Vec::new();
        for (name, element) in std::mem::take(&mut self.sequences) {
            if free(&mut taken, &name, "sequence", &element, planner) {
                let id = SequenceId(sequences.len() as u32);
                planner.names.sequences.insert(name.clone(), (id, element.span));
                sequences.push((name, element));
            }
        }
        self.sequences = sequences;
        let mut endpoints = Vec::new();
        for (name, element) in std::mem::take(&mut self.endpoints) {
            if free(&mut taken, &name, "endpoint", &element, planner) {
                let id = EndpointId(endpoints.len() as u32);
                planner.names.endpoints.insert(name.clone(), (id, element.span));
                endpoints.push((name, element));
            }
        }
        self.endpoints = endpoints;
        let mut entries = Vec::new();
        for (name, element) in std::mem::take(&mut self.entries) {
            if free(&mut taken, &name, "local entry", &element, planner) {
                planner.names.entries.insert(name.clone(), element.span);
                entries.push((name, element));
            }
        }
        self.entries = entries;
        let mut template_names: HashMap<String, Span> = HashMap::new();
        let mut templates = Vec::new();
        for (name, element) in std::mem::take(&mut self.templates) {
            if free(&mut template_names, &name, "template", &element, planner) {
                let id = TemplateId(templates.len() as u32);
                planner.names.templates.insert(name.clone(), (id, element.span));
                templates.push((name, element));
            }
        }
        self.templates = templates;
        for (name, element) in std::mem::take(&mut self.endpoint_templates) {
            if !free(&mut template_names, &name, "template", &element, planner) {
                continue;
            }
            planner
                .compat
                .met("template/endpoint".to_owned(), Support::Full, element.span);
            if let Some(template) = endpoint_template::build(&element, &name, planner) {
                planner.endpoint_templates.insert(name, Rc::new(template));
            }
        }
    }

    pub fn read_entries(&self, resources: &Resources, planner: &mut Planner<'_>) {
        for (key, element) in &self.entries {
            planner
                .compat
                .met("localEntry".to_owned(), Support::Full, element.span);
            if !table::check(
                element,
                local_entry::KIND.attributes,
                &local_entry::KIND.children,
                planner,
            ) {
                continue;
            }
            if let Some(entry) = local_entry::build(element, resources, planner) {
                planner.entries.insert(key.clone(), entry.value);
                if let Some(element) = entry.element {
                    planner.entry_elements.insert(key.clone(), element);
                }
            }
        }
    }

    pub fn plan_all(&self, planner: &mut Planner<'_>) -> Plans {
        let mut plans = Plans::default();
        for (name, element) in &self.sequences {
            planner
                .compat
                .met("sequence".to_owned(), Support::Full, element.span);
            let before = first_error(planner);
            table::check(
                element,
                sequence::KIND.attributes,
                &sequence::KIND.children,
                planner,
            );
            let planned = sequence::build(element, name, planner);
            plans.sequences.push(match reason_since(before, planner) {
                None => Arc::new(planned),
                Some(reason) => Arc::new(broken_sequence(name, element.span, reason)),
            });
        }
        for (name, element) in &self.endpoints {
            let before = first_error(planner);
            planner.planning = Some(EndpointId(plans.endpoints.len() as u32));
            planner.owner = Arc::from(format!("endpoint {name}"));
            let planned = planner.endpoint(element);
            planner.planning = None;
            plans
                .endpoints
                .push(whole_endpoint(planned, name, reason_since(before, planner)));
        }
        for (name, element) in &self.templates {
            planner
                .compat
                .met("template".to_owned(), Support::Full, element.span);
            let before = first_error(planner);
            let planned = template::build(element, name, planner);
            plans
                .templates
                .push(match (planned, reason_since(before, planner)) {
                    (Some(planned), None) => Arc::new(planned),
                    (_, reason) => Arc::new(Template {
                        name: Arc::from(name.as_str()),
                        parameters: Vec::new(),
                        sequence: Arc::new(broken_sequence(name, element.span, reason.unwrap_or_default())),
                    }),
                });
        }
        let keep = |planned: Option<api::Api>, reason: Option<String>, apis: &mut Vec<api::Api>| {
            apis.extend(planned.map(|api| api::Api {
                broken: reason.map(Arc::from),
                ..api
            }));
        };
        for element in &self.apis {
            let before = first_error(planner);
            let planned = api::build(element, planner);
            keep(planned, reason_since(before, planner), &mut plans.apis);
        }
        let in_xml = plans.apis.len();
        for definition in &self.definitions {
            let before = first_error(planner);
            let planned = openapi::plan(definition, &plans.apis[..in_xml], self.rules, planner);
            keep(planned, reason_since(before, planner), &mut plans.apis);
        }
        for element in &self.proxies {
            let before = first_error(planner);
            let planned = proxy::build(element, planner);
            let reason = reason_since(before, planner);
            plans.proxies.extend(planned.map(|proxy| proxy::Proxy {
                broken: reason.map(Arc::from),
                ..proxy
            }));
        }
        plan_pending(&mut plans, planner);
        break_circles(&mut plans, planner);
        api::check_all(&plans.apis, planner);
        proxy::check_all(&plans.proxies, planner);
        plans
    }
}

#[derive(Default)]
pub(super) struct Plans {
    pub sequences: Vec<Arc<Sequence>>,
    pub endpoints: Vec<Arc<dyn Endpoint>>,
    pub templates: Vec<Arc<Template>>,
    pub apis: Vec<api::Api>,
    pub proxies: Vec<proxy::Proxy>,
}

/// Sequences and endpoints that stand in registry resources and local entries; planning one may mention more.
fn plan_pending(plans: &mut Plans, planner: &mut Planner<'_>) {
    while !planner.pending.is_empty() {
        for pending in std::mem::take(&mut planner.pending) {
            let before = first_error(planner);
            match pending {
                Pending::Sequence(id, element) => {
                    let name = name_of_sequence(planner, id);
                    let planned = sequence::build(&element, &name, planner);
                    let whole = match reason_since(before, planner) {
                        None => Arc::new(planned),
                        Some(reason) => Arc::new(broken_sequence(&name, element.span, reason)),
                    };
                    // Ids were given out in this order.
                    plans.sequences.push(whole);
                }
                Pending::Endpoint(id, element) => {
                    let name = name_of_endpoint(planner, id);
                    planner.planning = Some(id);
                    planner.owner = Arc::from(format!("endpoint {name}"));
                    let planned = planner.endpoint(&element);
                    planner.planning = None;
                    plans
                        .endpoints
                        .push(whole_endpoint(planned, &name, reason_since(before, planner)));
                }
            }
        }
    }
}

/// Endpoints that refer to each other in a circle could never send anything.
fn break_circles(plans: &mut Plans, planner: &mut Planner<'_>) {
    let references = std::mem::take(&mut planner.endpoint_references);
    for (from, to, span) in &references {
        let mut reached = vec![*to];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            let onward = references
                .iter()
                .filter(|(one, _, _)| *one == at)
                .map(|(_, other, _)| *other);
            let new: Vec<_> = onward.filter(|other| !reached.contains(other)).collect();
            reached.extend(new);
        }
        if reached.contains(from) {
            let name = name_of_endpoint(planner, *from);
            let message = format!("the endpoint `{name}` refers to itself, by way of others or at once");
            let mistake = Diagnostic::error("E0407", *span, message.clone());
            planner.tell(mistake.help("let one of them name an address"));
            plans.endpoints[from.0 as usize] = whole_endpoint(None, &name, Some(message));
        }
    }
}

fn name_of_sequence(planner: &Planner<'_>, id: SequenceId) -> String {
    planner
        .names
        .sequences
        .iter()
        .find(|(_, (known, _))| *known == id)
        .map(|(name, _)| name.clone())
        .unwrap_or_default()
}

fn name_of_endpoint(planner: &Planner<'_>, id: EndpointId) -> String {
    planner
        .names
        .endpoints
        .iter()
        .find(|(_, (known, _))| *known == id)
        .map(|(name, _)| name.clone())
        .unwrap_or_default()
}

fn whole_endpoint(
    planned: Option<Arc<dyn Endpoint>>,
    name: &str,
    reason: Option<String>,
) -> Arc<dyn Endpoint> {
    match (planned, reason) {
        (Some(planned), None) => planned,
        (_, reason) => Arc::new(BrokenEndpoint::new(name, reason.unwrap_or_default())),
    }
}

/// How many diagnostics there are before an artifact is planned.
fn first_error(planner: &Planner<'_>) -> usize {
    planner.mistakes.len()
}

/// The first error since then, in one line.
fn reason_since(before: usize, planner: &Planner<'_>) -> Option<String> {
    let error = planner
        .mistakes
        .iter()
        .skip(before)
        .find(|diagnostic| diagnostic.severity == Severity::Error)?;
    let place = error
        .span
        .map(|span| format!("{}: ", planner.sources.place_text(span)))
        .unwrap_or_default();
    Some(format!("{place}{}", error.message))
}

fn named(list: &mut Vec<(String, Element)>, element: Element, attribute: &str, planner: &mut Planner<'_>) {
    if element.name == "sequence" && element.has("key") && !element.has("name") {
        planner.tell(
            Diagnostic::error(
                "E0214",
                element.span,
                "a `<sequence key=…>` cannot stand at the top",
            )
            .help("give it a `name` and steps, or put it inside another sequence"),
        );
        return;
    }
    match element.get(attribute).map(|name| name.trim().to_owned()) {
        Some(name) if !name.is_empty() => list.push((name, element)),
        _ => planner.tell(
            Diagnostic::error(
                "E0202",
                element.span,
                format!("`<{}>` needs the attribute `{attribute}`", element.name),
            )
            .help("other artifacts call it by that name"),
        ),
    }
}

fn free(
    taken: &mut HashMap<String, Span>,
    name: &str,
    what: &str,
    element: &Element,
    planner: &mut Planner<'_>,
) -> bool {
    let attribute = element.attribute("name").or_else(|| element.attribute("key"));
    let span = attribute.map_or(element.span, |attribute| attribute.value.span);
    match taken.get(name) {
        Some(first) => {
            planner.tell(
                Diagnostic::error(
                    "E0403",
                    span,
                    format!("the name `{name}` of this {what} is taken"),
                )
                .label("here again")
                .also(*first, "the first one"),
            );
            false
        }
        None => {
            taken.insert(name.to_owned(), span);
            true
        }
    }
}
