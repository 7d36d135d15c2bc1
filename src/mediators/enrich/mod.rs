//! `<enrich>`: takes a part of the message, a property or a constant, and puts it somewhere else.

mod inline;
mod json_side;
mod xml_side;

use self::inline::Inline;
use crate::expression::{Dynamic, Expression};
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::media_type::Form;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{Kind, NodeId, XmlTree};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::{Diagnostic, Placed};
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "enrich",
    summary: "Puts a part of the message, a property or a constant somewhere else.",
    notes: "Source and target are of the type `custom` when they do not say otherwise.\n\n\
        A JSON payload stays JSON as long as only JSONPaths, properties, the body and inline JSON are involved and the source property \
        is no XML. Otherwise the payload is seen as XML, and written by its `messageType` later.\n\n\
        XML: `replace` puts the source in place of the target element, or sets the text when the source is a text; `child` appends; \
        `sibling` puts it behind. When the source selects nothing, nothing happens. A target that is the text or an attribute of an \
        element is set. The first node that the target's XPath selects counts. A property as target holds the nodes themselves.\n\n\
        JSON: `replace` sets every place that the path finds, `child` appends to a list or adds members to an object. A source or \
        a target that is not there is a fault. A property as target holds the JSON as text.\n\n\
        `remove` takes away what the source selects: with JSONPath, several paths with commas between them. A JSONPath, also one of \
        `remove` and of `key`, may hold `{expression}` (without white space).\n\n\
        Inline content may hold `{expression}` (without white space) and `${expression}`.",
    differences: "What an expression fills into inline content is escaped for what it stands in. With XPath, `remove` takes the nodes out of \
        the message (Synapse leaves them). A child is added to a property that holds one element even when an earlier `enrich` stored it.",
    attributes: &[],
    children: Children::of(&[
        Child::required("source", SOURCE, Children::ANY, "What is put."),
        Child::required("target", TARGET, Children::NONE, "Where it is put."),
    ]),
    build,
    examples: &[
        Example::new(
            "Keep the body for later, and send a constant",
            r#"<enrich><source type="body" clone="true"/><target type="property" property="original"/></enrich>
<enrich><source type="inline"><ping xmlns=""/></source><target type="body" action="replace"/></enrich>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order><id>7</id></order>",
            "continues\nproperty original = <order><id>7</id></order>\nbody <ping/>",
        ),
        Example::new(
            "Add an element to another one",
            r#"<property name="total" value="30"/>
<enrich><source type="inline"><total xmlns="">{$ctx:total}</total></source><target xpath="//order" action="child"/></enrich>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order><id>7</id></order>",
            "continues\nbody <order><id>7</id><total>30</total></order>",
        ),
        Example::new(
            "Move a part of a JSON body",
            r#"<enrich><source xpath="json-eval($.customer.name)" clone="false"/><target xpath="json-eval($.name)"/></enrich>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"name\": null, \"customer\": {\"name\": \"Ann\", \"id\": 7}}",
            "continues\nbody {\"name\":\"Ann\",\"customer\":{\"id\":7}}",
        ),
        Example::new(
            "Remove parts of a JSON body",
            r#"<enrich><source xpath="json-eval($.secret,$.lines[0])"/><target type="body" action="remove"/></enrich>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"secret\": 1, \"lines\": [1, 2]}",
            "continues\nbody {\"lines\":[2]}",
        ),
        Example::new(
            "Put a constant from an entry in place of the body",
            r#"<enrich><source type="inline" key="pong"/><target type="body"/></enrich>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order/>",
            "continues\nbody <pong/>",
        )
        .beside(r#"<localEntry key="pong"><pong xmlns=""/></localEntry>"#),
        Example::new(
            "Give a member another name",
            r#"<property name="name" value="id"/>
<enrich><source type="property" property="name"/><target type="key" xpath="json-eval($.order.number)"/></enrich>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"order\": {\"number\": 7}}",
            "continues\nbody {\"order\":{\"id\":7}}",
        ),
    ],
};

const TYPES: &[&str] = &["custom", "envelope", "body", "property", "inline"];

const SOURCE: &[Attr] = &[
    Attr::optional(
        "type",
        Shape::Choice(TYPES),
        "`body` is the first element of the body, `inline` stands in `<source>` or an entry.",
    )
    .default("custom"),
    Attr::optional(
        "clone",
        Shape::Boolean,
        "Whether the original stays where it was.",
    )
    .default("true"),
    Attr::optional("xpath", Shape::Text, "For `custom`: what is taken."),
    Attr::optional("property", Shape::Text, "For `property`: its name."),
    Attr::optional(
        "key",
        Shape::Text,
        "For `inline`: a local entry or registry resource.",
    ),
];

const TARGET: &[Attr] = &[
    Attr::optional(
        "type",
        Shape::Choice(&["custom", "envelope", "body", "property", "key"]),
        "`key` gives a JSON member another name.",
    )
    .default("custom"),
    Attr::optional(
        "action",
        Shape::Choice(&["replace", "child", "sibling", "remove"]),
        "What is done there.",
    )
    .default("replace"),
    Attr::optional("xpath", Shape::Text, "For `custom` and `key`: the place."),
    Attr::optional("property", Shape::Text, "For `property`: its name."),
];

enum Enrich {
    Put {
        source: Source,
        keep: bool,
        target: Target,
        action: Action,
        native: bool,
    },
    /// Paths into the holder; one with expressions in braces is put together for every message.
    RemoveJson {
        paths: Vec<Expression>,
        of: Holder,
    },
    RemoveXml {
        what: Expression,
    },
}

pub(super) enum Source {
    Custom(Expression),
    Envelope,
    Body,
    Property(String),
    Inline(Inline),
}

pub(super) enum Target {
    Custom(Expression),
    Envelope,
    Body,
    Property(String),
    /// The object, and the name of the member that gets another name.
    Key {
        object: Expression,
        name: Dynamic,
    },
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Replace,
    Child,
    Sibling,
}

enum Holder {
    Body,
    Property(String),
}

/// A node that is put somewhere: an element of some tree, or a text.
#[derive(Clone)]
enum Node {
    Element(Arc<XmlTree>, NodeId),
    Text(String),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let (source, target) = (element.child("source")?, element.child("target")?);
    let (source_type, target_type) = (word(source, "type", "custom"), word(target, "type", "custom"));
    let action = word(target, "action", "replace");
    // EnrichMediatorFactory.validateTypeCombination.
    let refused = matches!(
        (source_type.as_str(), target_type.as_str(), action.as_str()),
        ("envelope", "custom" | "envelope" | "body", _)
            | ("body", "envelope" | "body", _)
            | ("custom", "envelope", _)
            | ("envelope" | "body" | "property" | "inline", _, "remove")
            | (_, "custom" | "envelope" | "key", "remove")
            | (_, "envelope" | "key", "child" | "sibling")
            | ("body", "key", _)
    );
    if refused {
        planner.tell(
            Diagnostic::error(
                "E0212",
                target.span,
                format!("`enrich` cannot {action} from `{source_type}` to `{target_type}`"),
            )
            .also(source.span, "the source")
            .help("Synapse refuses this combination too"),
        );
        return None;
    }
    let enrich = if action == "remove" {
        remove(source, target, &target_type, planner)
    } else {
        put(source, target, planner)
    };
    enrich.map(|enrich| Box::new(enrich) as Box<dyn Mediator>)
}

fn word(element: &Element, attribute: &str, default: &str) -> String {
    element
        .get(attribute)
        .unwrap_or(default)
        .trim()
        .to_ascii_lowercase()
}

fn remove(
    source: &Element,
    target: &Element,
    target_type: &str,
    planner: &mut Planner<'_>,
) -> Option<Enrich> {
    let text = needed(source, "xpath", planner)?.trimmed();
    let of = match target_type {
        "property" => Holder::Property(needed(target, "property", planner)?.text),
        _ => Holder::Body,
    };
    let Some(paths) = text.text.strip_prefix("json-eval(") else {
        if let Holder::Property(_) = of {
            planner.tell(
                Diagnostic::error("E0212", text.span, "an XPath cannot remove a part of a property")
                    .help("`remove` takes JSONPaths here: json-eval($.a,$.b)"),
            );
            return None;
        }
        return planner
            .expression(&text, source)
            .map(|what| Enrich::RemoveXml { what });
    };
    // As everywhere, the last character is taken for the closing parenthesis.
    let length = paths.char_indices().next_back().map_or(0, |(at, _)| at);
    let inner = text.slice("json-eval(".len().."json-eval(".len() + length);
    let mut compiled = Vec::new();
    for path in split(&inner) {
        compiled.push(json_path(&path, source, planner)?);
    }
    Some(Enrich::RemoveJson { paths: compiled, of })
}

/// The text between commas that stand outside brackets and quotes.
fn split(text: &Placed) -> Vec<Placed> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0usize, None);
    for (at, character) in text.text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(text.slice(start..at).trimmed());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.slice(start..text.text.len()).trimmed());
    parts
}

/// A JSONPath into what is held; expressions may stand in its braces.
fn json_path(text: &Placed, element: &Element, planner: &mut Planner<'_>) -> Option<Expression> {
    let path = text.text.strip_suffix('.').map_or(text.text.len(), str::len);
    let path = text.slice(0..path);
    if path.text.starts_with("$ctx:") || path.text.starts_with("$trp:") || path.text.starts_with("$axis2:") {
        planner.tell(
            Diagnostic::error(
                "E0212",
                path.span,
                "this path leads into something else than what is changed",
            )
            .help("it begins with `$`; what it is about is said by `type`"),
        );
        return None;
    }
    match Expression::compile_json(&path, &element.namespaces) {
        Ok(path) => Some(path),
        Err(mistake) => {
            planner.tell(*mistake);
            None
        }
    }
}

fn put(source: &Element, target: &Element, planner: &mut Planner<'_>) -> Option<Enrich> {
    let action = match word(target, "action", "replace").as_str() {
        "child" => Action::Child,
        "sibling" => Action::Sibling,
        _ => Action::Replace,
    };
    let keep = !source.has("clone") || source.is_true("clone");
    let from = self::source(source, planner);
    let to = self::target(target, action, planner);
    let (from, to) = (from?, to?);
    // EnrichMediatorFactory: where JSON can stay JSON.
    let native = !matches!(from, Source::Envelope)
        && !matches!(to, Target::Envelope)
        && !matches!(&from, Source::Custom(path) if !path.is_json_path())
        && !matches!(&to, Target::Custom(path) if !path.is_json_path())
        && !matches!(&from, Source::Inline(inline) if inline.is_xml());
    Some(Enrich::Put {
        source: from,
        keep,
        target: to,
        action,
        native,
    })
}

fn source(source: &Element, planner: &mut Planner<'_>) -> Option<Source> {
    match word(source, "type", "custom").as_str() {
        "envelope" => Some(Source::Envelope),
        "body" => Some(Source::Body),
        "property" => Some(Source::Property(needed(source, "property", planner)?.text)),
        "inline" => inline::build(source, planner).map(Source::Inline),
        _ => {
            let text = needed(source, "xpath", planner)?;
            planner.expression(&text, source).map(Source::Custom)
        }
    }
}

fn target(target: &Element, action: Action, planner: &mut Planner<'_>) -> Option<Target> {
    match word(target, "type", "custom").as_str() {
        "envelope" => Some(Target::Envelope),
        "body" => Some(Target::Body),
        "property" => Some(Target::Property(needed(target, "property", planner)?.text)),
        "key" => key(&needed(target, "xpath", planner)?.trimmed(), target, planner),
        _ => {
            let text = needed(target, "xpath", planner)?;
            let expression = planner.expression(&text, target)?;
            if action == Action::Replace && expression.json_path().is_some_and(|path| path.is_whole()) {
                planner.tell(
                    Diagnostic::error(
                        "E0212",
                        text.span,
                        "the whole JSON document cannot be replaced by a `custom` target",
                    )
                    .help("write <target type=\"body\" action=\"replace\"/>"),
                );
                return None;
            }
            Some(Target::Custom(expression))
        }
    }
}

/// `json-eval($.a.b)`: the object `$.a`, and its member `b`.
fn key(text: &Placed, target: &Element, planner: &mut Planner<'_>) -> Option<Target> {
    let path = text
        .text
        .strip_prefix("json-eval(")
        .and_then(|path| path.strip_suffix(')'));
    let parts = path.and_then(|path| Some((path, last_point(path)?)));
    let Some((path, point)) = parts.filter(|(path, point)| point + 1 < path.len()) else {
        planner.tell(
            Diagnostic::error("E0212", text.span, "this names no member of a JSON object")
                .help("it takes json-eval($.object.member)"),
        );
        return None;
    };
    let start = "json-eval(".len();
    let name = planner.dynamic(&text.slice(start + point + 1..start + path.len()), target);
    let object = json_path(&text.slice(start..start + point), target, planner)?;
    Some(Target::Key { object, name: name? })
}

/// The last point that stands outside braces.
fn last_point(path: &str) -> Option<usize> {
    let mut depth = 0usize;
    path.char_indices()
        .filter(|(_, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            *character == '.' && depth == 0
        })
        .last()
        .map(|(at, _)| at)
}

/// What stands inside an element, as a source; `call` has one too.
pub(super) fn inline_source(element: &Element, planner: &mut Planner<'_>) -> Option<Source> {
    inline::build(element, planner).map(Source::Inline)
}

/// An attribute that this type of source or target needs.
fn needed(element: &Element, attribute: &str, planner: &mut Planner<'_>) -> Option<Placed> {
    let found = element
        .attribute(attribute)
        .map(|attribute| attribute.value.clone());
    let found = found.filter(|value| !value.text.trim().is_empty());
    if found.is_none() {
        let kind = word(element, "type", "custom");
        planner.mistake(
            "E0202",
            element.span,
            format!(
                "`<{}>` of type `{kind}` needs the attribute `{attribute}`",
                element.name
            ),
        );
    }
    found
}

#[async_trait(?Send)]
impl Mediator for Enrich {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        match self {
            Enrich::Put {
                source,
                keep,
                target,
                action,
                native,
            } => {
                put_in(source, *keep, target, *action, *native, exchange).await?;
                if matches!(target, Target::Body | Target::Envelope) {
                    exchange.properties.remove_axis2("NO_ENTITY_BODY");
                }
            }
            Enrich::RemoveJson { paths, of } => {
                let paths = json_side::built(paths, exchange).await?;
                match of {
                    Holder::Body => {
                        json_side::remove_from_body(&paths, exchange).await?;
                        exchange.properties.remove_axis2("NO_ENTITY_BODY");
                    }
                    Holder::Property(name) => json_side::remove_from_property(&paths, name, exchange)?,
                }
            }
            Enrich::RemoveXml { what } => xml_side::remove(what, exchange).await?,
        }
        Ok(Flow::Continue)
    }
}

/// Takes the source and puts it into the target; `native` where JSON may stay JSON.
pub(super) async fn put_in(
    source: &Source,
    keep: bool,
    target: &Target,
    action: Action,
    native: bool,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let filled = match source {
        Source::Inline(inline) => Some(inline.fill(exchange).await?),
        _ => None,
    };
    let is_xml = match (source, &filled) {
        (Source::Property(name), _) => exchange
            .properties
            .get(name)
            .is_some_and(|value| json_side::is_xml(&value)),
        (_, Some(filled)) => filled.is_xml(),
        _ => false,
    };
    if native && !is_xml && is_json(target, exchange) {
        return json_side::put(source, filled, keep, target, action, exchange).await;
    }
    let nodes = xml_side::nodes(source, filled, exchange).await?;
    xml_side::put(source, nodes, keep, target, action, exchange).await
}

/// Whether the message is JSON, or is going to be written as JSON and has a part of it named by a JSONPath.
fn is_json(target: &Target, exchange: &Exchange) -> bool {
    let by_path = match target {
        Target::Custom(path) => path.is_json_path(),
        Target::Key { .. } => true,
        _ => false,
    };
    let will_be = || {
        exchange
            .message_type()
            .is_some_and(|essence| Form::of(&essence) == Form::Json)
    };
    exchange.message.payload.is_json() || by_path && will_be()
}

/// What a value holds, as nodes to be put somewhere.
fn nodes_of(value: Value) -> Vec<Node> {
    match value {
        Value::Xml(Fragment { tree, nodes }) => {
            let node = |&node: &NodeId| match tree.kind(node) {
                Kind::Element => Some(Node::Element(Arc::clone(&tree), node)),
                Kind::Text => Some(Node::Text(tree.value(node).to_owned())),
                // Source.evaluate passes over attributes, comments and instructions.
                _ => None,
            };
            nodes.iter().filter_map(node).collect()
        }
        other => vec![Node::Text(other.to_text().into_owned())],
    }
}

#[cfg(test)]
mod tests;
