//! The planner: checks an element against its kind, builds it, gathers mistakes.

use super::compat::Compat;
use super::kind::{Child, EndpointKind, MediatorKind, Support};
use super::{Element, Names, later, table};
use crate::expression::{Dynamic, Expression};
use crate::flow::health::Identity;
use crate::flow::{AllowList, Endpoint, EndpointId, Mediator, Sequence, SequenceId, Step, TemplateId};
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{XmlLimits, XmlTree};
use crate::text::{Diagnostic, Mistakes, Placed, Sources, Span, suggest};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// All mediators and endpoints there are. Handed down as a value, so that the planner stands below them.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub mediators: &'static [&'static MediatorKind],
    pub endpoints: &'static [&'static EndpointKind],
}

/// What a configuration can refer to outside its own artifacts.
pub trait Lookup {
    /// A registry resource or file, by its key: its name for diagnostics, and its text.
    /// `from` is the file the key stands in: a relative one may be meant from there.
    fn resource(&self, key: &str, from: &str) -> Option<(String, String)>;

    /// Why what a key names cannot be XML in the encoding that it declares, if so.
    fn false_encoding(&self, _key: &str, _from: &str) -> Option<String> {
        None
    }
    fn resource_names(&self) -> Vec<String>;
    /// `$SYSTEM:X`, `$FILE:X`, `${configs.X}` at the start of a value: `Ok(None)` when it is none of these.
    fn resolve(&self, text: &str) -> Result<Option<String>, Unset>;
    /// `$secret{alias}`.
    fn secret(&self, alias: &str) -> Result<String, Unset> {
        Err(Unset {
            reason: format!("there is no secret `{alias}`"),
            help: None,
        })
    }
    /// Where a file lies that is read again when it changes.
    fn path(&self, name: &str, _from: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// A value that stands outside the XML and is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    pub reason: String,
    pub help: Option<String>,
}

/// A sequence or endpoint that stands in a registry resource or local entry: planned after what mentions it.
pub enum Pending {
    Sequence(SequenceId, Rc<Element>),
    Endpoint(EndpointId, Rc<Element>),
}

pub struct Planner<'a> {
    pub kinds: Kinds,
    pub lookup: &'a dyn Lookup,
    pub names: Names,
    pub sources: Sources,
    pub mistakes: Mistakes,
    pub compat: Compat,
    /// Local entries, and registry resources that somebody mentioned.
    pub entries: HashMap<String, Value>,
    /// Local entries whose value is an artifact.
    pub entry_elements: HashMap<String, Rc<Element>>,
    pub pending: Vec<Pending>,
    /// Regular expressions by their text: compiling one takes longer than reading the file it stands in, and many are used again.
    patterns: HashMap<String, fancy_regex::Regex>,
    /// What is planned just now, for the names of its branches.
    pub owner: Arc<str>,
    /// The endpoint of the folder that is planned just now.
    pub planning: Option<EndpointId>,
    /// Which endpoint refers to which, and where.
    pub endpoint_references: Vec<(EndpointId, EndpointId, Span)>,
    /// The allow list of the whole gateway.
    pub allow: Option<Arc<AllowList>>,
    /// Endpoints whose state is kept.
    pub watched: Vec<Identity>,
    /// WSDLs that are fetched while the gateway runs.
    pub described: Vec<Arc<str>>,
    /// The names of those, which inline endpoints may share.
    endpoint_names: HashSet<Arc<str>>,
    /// What `<endpoint template="…">` is made from.
    pub endpoint_templates: HashMap<String, Rc<EndpointTemplate>>,
    /// Some step is a script that needs a worker.
    pub scripts: bool,
    /// Where prototypes stand: not every API may have them.
    pub prototypes: Vec<Span>,
    /// The templates that an endpoint is being made from just now.
    pub expanding: Vec<String>,
}

/// An endpoint with parameters.
#[derive(Debug)]
pub struct EndpointTemplate {
    pub name: String,
    pub parameters: Vec<String>,
    pub endpoint: Element,
}

impl<'a> Planner<'a> {
    pub fn new(kinds: Kinds, lookup: &'a dyn Lookup, sources: Sources) -> Planner<'a> {
        Planner {
            kinds,
            lookup,
            names: Names::default(),
            sources,
            mistakes: Mistakes::default(),
            compat: Compat::default(),
            entries: HashMap::new(),
            entry_elements: HashMap::new(),
            pending: Vec::new(),
            patterns: HashMap::new(),
            owner: Arc::from(""),
            planning: None,
            endpoint_references: Vec::new(),
            watched: Vec::new(),
            described: Vec::new(),
            allow: None,
            endpoint_names: HashSet::new(),
            endpoint_templates: HashMap::new(),
            scripts: false,
            prototypes: Vec::new(),
            expanding: Vec::new(),
        }
    }

    pub fn tell(&mut self, diagnostic: Diagnostic) {
        self.mistakes.push(diagnostic);
    }

    /// An error at a place; more can be said with `tell`.
    pub fn mistake(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.tell(Diagnostic::error(code, span, message));
    }

    // Steps

    /// The steps inside an element, as a branch of what is planned.
    pub fn sequence(&mut self, element: &Element) -> Sequence {
        let name = Arc::clone(&self.owner);
        Sequence::branch(name, self.steps(element))
    }

    pub fn steps(&mut self, element: &Element) -> Vec<Step> {
        self.steps_beside(element, &[])
    }

    /// The steps among the children, leaving out those that the element's own table explains.
    pub fn steps_beside(&mut self, element: &Element, others: &'static [Child]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut last: Option<(&'static str, Span)> = None;
        let mut told = false;
        for inner in element.elements() {
            let other = others.iter().any(|child| child.element == inner.name) || inner.name == "description";
            if other && inner.is_synapse() {
                continue;
            }
            if let (Some((end, at)), false) = (last, told) {
                told = true;
                self.tell(
                    Diagnostic::warning(
                        "W0401",
                        inner.span,
                        format!("`<{}>` is never reached", inner.name),
                    )
                    .also(at, format!("`<{end}>` ends the flow here"))
                    .help("remove it, or move it in front"),
                );
            }
            steps.extend(self.step(inner));
            if last.is_none()
                && inner.is_synapse()
                && let Some(end) = ends_flow(&inner.name)
            {
                last = Some((end, inner.span));
            }
        }
        steps
    }

    pub fn step(&mut self, element: &Element) -> Option<Step> {
        let kind = self.mediator_kind(element)?;
        self.compat.met(element.name.clone(), Support::Full, element.span);
        if !table::check(element, kind.attributes, &kind.children, self) {
            table::look_deeper(element, kind.attributes, &kind.children, self);
            return None;
        }
        let mediator: Box<dyn Mediator> = (kind.build)(element, self)?;
        Some(Step {
            element: kind.element,
            span: element.span,
            mediator,
        })
    }

    fn mediator_kind(&mut self, element: &Element) -> Option<&'static MediatorKind> {
        let name = element.name.as_str();
        if !element.is_synapse() {
            let known = self.kinds.mediators.iter().any(|kind| kind.element == name);
            let mistake = Diagnostic::error(
                "E0205",
                element.span,
                format!("there is no mediator `<{name}>` in this namespace"),
            );
            self.tell(mistake.help(if known {
                format!("mediators are in the namespace {}", super::element::SYNAPSE)
            } else {
                "Synapse refuses elements of other namespaces between mediators".to_owned()
            }));
            return None;
        }
        if let Some(kind) = self.kinds.mediators.iter().find(|kind| kind.element == name) {
            return Some(kind);
        }
        if let Some(advice) = later::advice(later::MEDIATORS, name) {
            self.compat
                .met(name.to_owned(), Support::Refused(advice), element.span);
            self.tell(
                Diagnostic::error(
                    "E0501",
                    element.span,
                    format!("the mediator `<{name}>` is not supported yet"),
                )
                .help(advice),
            );
            return None;
        }
        if name.contains('.') {
            let advice = "connectors are Java; `call` the service over HTTP instead";
            self.compat
                .met(name.to_owned(), Support::Refused(advice), element.span);
            self.tell(
                Diagnostic::error(
                    "E0506",
                    element.span,
                    format!("`<{name}>` is an operation of a connector"),
                )
                .help(advice),
            );
            return None;
        }
        let names = self.kinds.mediators.iter().map(|kind| kind.element);
        let help = suggest::did_you_mean(name, names.chain(later::MEDIATORS.iter().map(|(name, _)| *name)));
        self.tell(
            Diagnostic::error("E0205", element.span, format!("there is no mediator `<{name}>`"))
                .maybe_help(help),
        );
        None
    }

    // Endpoints

    /// An `<endpoint>`, whichever kind it is.
    pub fn endpoint(&mut self, element: &Element) -> Option<Arc<dyn Endpoint>> {
        let by_attribute = self
            .kinds
            .endpoints
            .iter()
            .find(|kind| kind.by_attribute && element.has(kind.element))
            .copied();
        if let Some(kind) = by_attribute {
            self.compat
                .met(format!("endpoint@{}", kind.element), Support::Full, element.span);
            if !table::check(element, kind.attributes, &kind.children, self) {
                return None;
            }
            return (kind.build)(element, element, self);
        }
        for inner in element.elements().filter(|inner| inner.is_synapse()) {
            let found = self
                .kinds
                .endpoints
                .iter()
                .find(|kind| !kind.by_attribute && kind.element == inner.name)
                .copied();
            if let Some(kind) = found {
                self.compat
                    .met(format!("endpoint/{}", kind.element), Support::Full, inner.span);
                if !table::check(inner, kind.attributes, &kind.children, self) {
                    return None;
                }
                return (kind.build)(element, inner, self);
            }
            if let Some(advice) = later::advice(later::ENDPOINTS, &inner.name) {
                self.compat.met(
                    format!("endpoint/{}", inner.name),
                    Support::Refused(advice),
                    inner.span,
                );
                self.tell(
                    Diagnostic::error(
                        "E0502",
                        inner.span,
                        format!("`<{}>` endpoints are not supported yet", inner.name),
                    )
                    .help(advice),
                );
                return None;
            }
        }
        let names = self
            .kinds
            .endpoints
            .iter()
            .filter(|kind| !kind.by_attribute)
            .map(|kind| kind.element);
        let known = names.chain(later::ENDPOINTS.iter().map(|(name, _)| *name));
        let odd = element
            .elements()
            .find(|inner| inner.name != "property" && inner.name != "description");
        let help = odd.and_then(|odd| suggest::did_you_mean(&odd.name, known));
        self.tell(
            Diagnostic::error(
                "E0209",
                odd.map_or(element.span, |odd| odd.span),
                "this endpoint is of no kind",
            )
            .help(help.unwrap_or_else(|| {
                "give it a `key`, or put an `<address>`, `<http>` or `<default>` inside".to_owned()
            })),
        );
        None
    }

    /// The name by which an endpoint is known to those who look after it: its own if it is the only one that has it.
    pub fn endpoint_name(&mut self, endpoint: &Element, kind: &str) -> Arc<str> {
        let own = endpoint
            .get("name")
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let first: Arc<str> = match own {
            Some(own) => Arc::from(own),
            None => Arc::from(format!("{kind} endpoint in {}", self.owner)),
        };
        // An inline endpoint leaves a name to the endpoint of the folder that has it too.
        let top = self.names.endpoints.get(&*first);
        let taken = top.is_some_and(|(_, span)| *span != endpoint.span);
        if !taken && self.endpoint_names.insert(Arc::clone(&first)) {
            return first;
        }
        let base = if own.is_some() {
            format!("{first} in {}", self.owner)
        } else {
            first.to_string()
        };
        let mut name: Arc<str> = Arc::from(base.as_str());
        let mut count = 1;
        while !self.endpoint_names.insert(Arc::clone(&name)) {
            count += 1;
            name = Arc::from(format!("{base} ({count})"));
        }
        name
    }

    /// The table's own spelling of a kind.
    pub fn endpoint_kind(&self, element: &str) -> &'static str {
        let kinds = self.kinds.endpoints.iter();
        kinds
            .map(|kind| kind.element)
            .find(|known| *known == element)
            .unwrap_or("endpoint")
    }

    // References

    pub fn sequence_key(&mut self, key: &Placed) -> Option<SequenceId> {
        let name = self.resolved(key)?;
        if let Some((id, _)) = self.names.sequences.get(&name) {
            return Some(*id);
        }
        let stored = self.stored_element(&name, "sequence", key);
        if let Some(element) = stored.or_else(|| self.given_sequence(&name)) {
            let id = SequenceId(self.names.sequences.len() as u32);
            self.names.sequences.insert(name, (id, element.span));
            self.pending.push(Pending::Sequence(id, element));
            return Some(id);
        }
        let known: Vec<String> = self.names.sequences.keys().cloned().collect();
        self.unresolved(key, &name, "sequence", &known);
        None
    }

    /// The `fault` sequence that Synapse makes where nobody did. It only logs, so that the client learns of the fault.
    fn given_sequence(&mut self, name: &str) -> Option<Rc<Element>> {
        if name != "fault" {
            return None;
        }
        let text = format!(
            "<sequence xmlns=\"{}\" name=\"fault\"><log level=\"full\">\
             <property name=\"MESSAGE\" value=\"Executing default 'fault' sequence\"/>\
             <property name=\"ERROR_CODE\" expression=\"get-property('ERROR_CODE')\"/>\
             <property name=\"ERROR_MESSAGE\" expression=\"get-property('ERROR_MESSAGE')\"/></log></sequence>",
            super::element::SYNAPSE
        );
        let file = self.sources.add("the default fault sequence", text.clone());
        super::element::parse(file, &text).ok().map(Rc::new)
    }

    pub fn endpoint_key(&mut self, key: &Placed) -> Option<EndpointId> {
        let id = self.known_endpoint(key)?;
        if let Some(from) = self.planning {
            self.endpoint_references.push((from, id, key.span));
        }
        Some(id)
    }

    fn known_endpoint(&mut self, key: &Placed) -> Option<EndpointId> {
        let name = self.resolved(key)?;
        if let Some((id, _)) = self.names.endpoints.get(&name) {
            return Some(*id);
        }
        if let Some(element) = self.stored_element(&name, "endpoint", key) {
            let id = EndpointId(self.names.endpoints.len() as u32);
            self.names.endpoints.insert(name, (id, element.span));
            self.pending.push(Pending::Endpoint(id, element));
            return Some(id);
        }
        let known: Vec<String> = self.names.endpoints.keys().cloned().collect();
        self.unresolved(key, &name, "endpoint", &known);
        None
    }

    pub fn template_key(&mut self, key: &Placed) -> Option<TemplateId> {
        let name = self.resolved(key)?;
        if let Some((id, _)) = self.names.templates.get(&name) {
            return Some(*id);
        }
        let known: Vec<String> = self.names.templates.keys().cloned().collect();
        self.unresolved(key, &name, "sequence template", &known);
        None
    }

    /// A local entry or registry resource. A resource that is XML comes as XML.
    pub fn entry(&mut self, key: &Placed) -> Option<Value> {
        let name = self.resolved(key)?;
        if let Some(value) = self.entries.get(&name) {
            return Some(value.clone());
        }
        if let Some((_, text)) = self.lookup.resource(&name, self.file_of(key)) {
            let value = entry_value(&text);
            self.entries.insert(name, value.clone());
            return Some(value);
        }
        let mut known: Vec<String> = self.entries.keys().cloned().collect();
        known.extend(self.lookup.resource_names());
        self.unresolved(key, &name, "local entry or registry resource", &known);
        None
    }

    fn unresolved(&mut self, key: &Placed, name: &str, what: &str, known: &[String]) {
        if let Some(element) = self.names.later.get(name).copied() {
            self.tell(Diagnostic::error(
                "E0401",
                key.span,
                format!("`{name}` is a `<{element}>`, which is not supported yet"),
            ));
            return;
        }
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        let help = suggest::did_you_mean(name, known.iter().copied())
            .map(|help| self.with_place(help, name, what, &known));
        self.tell(
            Diagnostic::error("E0401", key.span, format!("there is no {what} `{name}`"))
                .label(format!("no {what} has this name"))
                .maybe_help(help),
        );
    }

    /// ``did you mean `x` (endpoints/x.xml:2)?``
    fn with_place(&self, help: String, name: &str, what: &str, known: &[&str]) -> String {
        let Some(nearest) = suggest::nearest(name, known.iter().copied()) else {
            return help;
        };
        let span = match what {
            "sequence" => self.names.sequences.get(nearest).map(|(_, span)| *span),
            "endpoint" => self.names.endpoints.get(nearest).map(|(_, span)| *span),
            "sequence template" => self.names.templates.get(nearest).map(|(_, span)| *span),
            _ => self.names.entries.get(nearest).copied(),
        };
        match span {
            Some(span) => {
                let place = self.sources.place(span);
                format!("did you mean `{nearest}` ({}:{})?", place.file, place.line)
            }
            None => help,
        }
    }

    /// The name of the file in which a key stands.
    pub fn file_of(&self, key: &Placed) -> &str {
        &self.sources.file(key.span.file).name
    }

    /// A registry resource or local entry that holds an artifact of that kind.
    fn stored_element(&mut self, key: &str, kind: &str, from: &Placed) -> Option<Rc<Element>> {
        if let Some(element) = self.entry_elements.get(key) {
            return (element.name == kind && element.is_synapse()).then(|| Rc::clone(element));
        }
        let (name, text) = self.lookup.resource(key, self.file_of(from))?;
        let file = self.sources.add(name, text.clone());
        match super::element::parse(file, &text) {
            Ok(element) if element.name == kind && element.is_synapse() => Some(Rc::new(element)),
            Ok(_) => None,
            Err(mistake) => {
                self.tell(*mistake);
                None
            }
        }
    }

    // Values

    /// The value with `$SYSTEM:`, `$FILE:` and `${configs.}` resolved.
    pub fn resolved(&mut self, value: &Placed) -> Option<String> {
        match self.lookup.resolve(&value.text) {
            Ok(Some(resolved)) => Some(resolved),
            Ok(None) => Some(value.text.clone()),
            Err(unset) => {
                self.tell(Diagnostic::error("E0402", value.span, unset.reason).maybe_help(unset.help));
                None
            }
        }
    }

    /// An attribute's text, resolved.
    pub fn text(&mut self, element: &Element, attribute: &str) -> Option<String> {
        let value = element.attribute(attribute)?.value.clone();
        self.resolved(&value)
    }

    /// An expression in the language its text says (`json-eval(…)`, `${…}`, else XPath), with the prefixes of its element.
    pub fn expression(&mut self, text: &Placed, element: &Element) -> Option<Expression> {
        match Expression::compile(text, &element.namespaces) {
            Ok((expression, hints)) => {
                hints.into_iter().for_each(|hint| self.tell(hint));
                Some(expression)
            }
            Err(mistake) => {
                self.tell(*mistake);
                None
            }
        }
    }

    /// The expression in an attribute.
    pub fn expression_in(&mut self, element: &Element, attribute: &str) -> Option<Expression> {
        let value = &element.attribute(attribute)?.value;
        self.expression(value, element)
    }

    /// Text, or an expression in braces.
    pub fn dynamic(&mut self, value: &Placed, element: &Element) -> Option<Dynamic> {
        let text = value.text.trim();
        let braces = text.starts_with('{') && text.ends_with('}') && text.len() > 2;
        if braces && !text.starts_with("{{") {
            let trimmed = value.trimmed();
            let inner = trimmed.slice(1..trimmed.text.len() - 1);
            return self.expression(&inner, element).map(Dynamic::Expression);
        }
        if text.starts_with("${") && text.ends_with('}') && !text.starts_with("${configs.") {
            return self
                .expression(&value.trimmed(), element)
                .map(Dynamic::Expression);
        }
        self.resolved(value).map(|text| Dynamic::Literal(Arc::from(text)))
    }

    pub fn dynamic_in(&mut self, element: &Element, attribute: &str) -> Option<Dynamic> {
        let value = element.attribute(attribute)?.value.clone();
        self.dynamic(&value, element)
    }

    /// A regular expression in Java's notation, compiled once however often it is used. What went wrong is the caller's to tell.
    pub fn compiled(&mut self, pattern: &str) -> Result<fancy_regex::Regex, Box<fancy_regex::Error>> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        let regex = fancy_regex::RegexBuilder::new(pattern)
            .backtrack_limit(1_000_000)
            .build()?;
        self.patterns.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }

    /// A regular expression in Java's notation.
    pub fn regex(&mut self, text: &Placed) -> Option<fancy_regex::Regex> {
        match self.compiled(&text.text).map_err(|error| *error) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let span = match &error {
                    fancy_regex::Error::ParseError(at, _) if *at < text.text.len() => {
                        text.span_of(*at..*at + 1)
                    }
                    _ => text.span,
                };
                self.tell(Diagnostic::error(
                    "E0304",
                    span,
                    format!("this is not a regular expression: {error}"),
                ));
                None
            }
        }
    }

    /// A whole number in an attribute, or the default.
    pub fn integer(&mut self, element: &Element, attribute: &str, default: i64) -> i64 {
        self.text(element, attribute)
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(default)
    }
}

/// Steps after which nothing of the same list runs.
fn ends_flow(element: &str) -> Option<&'static str> {
    ["respond", "drop", "send", "loopback", "throwError"]
        .into_iter()
        .find(|end| *end == element)
}

/// A resource's text as a value: XML when it is XML, else text.
pub fn entry_value(text: &str) -> Value {
    if text.trim_start().starts_with('<')
        && let Ok(tree) = XmlTree::parse_str(text, &XmlLimits::default())
    {
        return Value::Xml(Fragment::of_element(tree));
    }
    Value::text(text)
}
