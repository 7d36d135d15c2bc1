//! Holds an element against its table: what is unknown, missing or of the wrong sort, each at its own place.

use super::kind::{Attr, Child, Children, Shape, Support};
use super::{Attribute, Content, Element, Planner};
use crate::text::{Diagnostic, suggest};

/// Attributes that every Synapse element may carry.
const COMMON: &[&str] = &["description"];

/// True when `build` may rely on the element.
pub fn check(
    element: &Element,
    attributes: &'static [Attr],
    children: &Children,
    planner: &mut Planner<'_>,
) -> bool {
    let before = planner.mistakes.errors();
    check_attributes(element, attributes, planner);
    check_content(element, children, planner);
    planner.mistakes.errors() == before
}

/// For an element that is not built because of other mistakes: its expressions and steps are looked at all the same, so that its author
/// hears of everything at once.
pub fn look_deeper(
    element: &Element,
    attributes: &'static [Attr],
    children: &Children,
    planner: &mut Planner<'_>,
) {
    for attribute in &element.attributes {
        let Some(known) = attributes.iter().find(|known| known.name == attribute.name) else {
            continue;
        };
        match known.shape {
            Shape::Expression => drop(planner.expression(&attribute.value, element)),
            Shape::Dynamic => drop(planner.dynamic(&attribute.value, element)),
            Shape::Regex => drop(planner.regex(&attribute.value)),
            Shape::Sequence => drop(planner.sequence_key(&attribute.value)),
            Shape::Endpoint => drop(planner.endpoint_key(&attribute.value)),
            Shape::Template => drop(planner.template_key(&attribute.value)),
            _ => {}
        }
    }
    for inner in element.elements().filter(|inner| inner.is_synapse()) {
        if let Some(child) = children.elements.iter().find(|child| child.element == inner.name) {
            if child.endpoint {
                drop(planner.endpoint(inner));
            } else {
                look_deeper(inner, child.attributes, &child.children, planner);
            }
        }
    }
    if children.steps {
        drop(planner.steps_beside(element, children.elements));
    }
}

/// The attributes alone.
pub fn check_attributes(element: &Element, attributes: &'static [Attr], planner: &mut Planner<'_>) {
    for attribute in &element.attributes {
        if !attribute.namespace.is_empty() || COMMON.contains(&attribute.name.as_str()) {
            // Schema locations and the notes of editors.
            continue;
        }
        let Some(known) = attributes.iter().find(|known| known.name == attribute.name) else {
            let names = attributes
                .iter()
                .map(|known| known.name)
                .chain(COMMON.iter().copied());
            planner.tell(
                Diagnostic::error(
                    "E0201",
                    attribute.name_span,
                    format!("`<{}>` has no attribute `{}`", element.name, attribute.name),
                )
                .maybe_help(suggest::did_you_mean(&attribute.name, names).or_else(|| list_of(attributes))),
            );
            continue;
        };
        planner.compat.met(
            format!("{}@{}", element.name, known.name),
            known.support,
            attribute.name_span,
        );
        match known.support {
            Support::Full => check_value(attribute, known, planner),
            Support::Ignored(_) => {}
            Support::NotYet(what) => planner.tell(
                Diagnostic::warning(
                    "W0504",
                    attribute.name_span,
                    format!("`{}` is not in effect yet", known.name),
                )
                .help(what),
            ),
            Support::Refused(advice) => planner.tell(
                Diagnostic::error(
                    "E0505",
                    attribute.name_span,
                    format!("`{}` is not supported", known.name),
                )
                .help(advice),
            ),
        }
    }
    for known in attributes.iter().filter(|known| known.required) {
        if !element
            .attributes
            .iter()
            .any(|attribute| attribute.name == known.name)
        {
            planner.tell(
                Diagnostic::error(
                    "E0202",
                    element.span,
                    format!("`<{}>` needs the attribute `{}`", element.name, known.name),
                )
                .help(known.about),
            );
        }
    }
}

fn list_of(attributes: &[Attr]) -> Option<String> {
    if attributes.is_empty() {
        return Some("it has none but `description`".to_owned());
    }
    let names: Vec<String> = attributes
        .iter()
        .map(|known| format!("`{}`", known.name))
        .collect();
    Some(format!("its attributes are {}", names.join(", ")))
}

fn check_value(attribute: &Attribute, known: &Attr, planner: &mut Planner<'_>) {
    let Some(text) = planner.resolved(&attribute.value) else {
        return;
    };
    let text = text.trim();
    let bad = match known.shape {
        Shape::Choice(words) if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
            Some(suggest::did_you_mean(text, words.iter().copied()))
        }
        Shape::Boolean if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") => {
            Some(None)
        }
        Shape::Integer if text.parse::<i64>().is_err() => Some(None),
        _ => None,
    };
    if let Some(help) = bad {
        planner.tell(
            Diagnostic::error(
                "E0203",
                attribute.value.span,
                format!("`{}` is not what `{}` takes", text, known.name),
            )
            .label(format!("expected {}", known.shape.words()))
            .maybe_help(help),
        );
    }
}

fn check_content(element: &Element, children: &Children, planner: &mut Planner<'_>) {
    if children.any {
        return;
    }
    for content in &element.content {
        match content {
            Content::Text { text, .. } if !children.text && !text.text.trim().is_empty() => planner.tell(
                Diagnostic::warning(
                    "W0206",
                    text.trimmed().span,
                    format!("`<{}>` takes no text", element.name),
                )
                .label("this has no effect"),
            ),
            Content::Text { .. } => {}
            Content::Element(inner) => check_child(element, inner, children, planner),
        }
    }
    for child in children.elements.iter() {
        let found: Vec<&Element> = element.all(child.element).collect();
        if child.required && found.is_empty() {
            planner.tell(
                Diagnostic::error(
                    "E0208",
                    element.span,
                    format!("`<{}>` needs a `<{}>` inside", element.name, child.element),
                )
                .help(child.about),
            );
        }
        if let ([first, second, ..], false) = (found.as_slice(), child.many) {
            planner.tell(
                Diagnostic::error(
                    "E0207",
                    second.span,
                    format!("`<{}>` takes one `<{}>`", element.name, child.element),
                )
                .also(first.span, "the first one"),
            );
        }
    }
}

fn check_child(element: &Element, inner: &Element, children: &Children, planner: &mut Planner<'_>) {
    if inner.name == "description" && inner.is_synapse() {
        return;
    }
    let known = children.elements.iter().find(|child| child.element == inner.name);
    match known {
        Some(child) if inner.is_synapse() => check_known_child(inner, child, planner),
        // Steps are checked one by one when they are planned.
        _ if children.steps => {}
        _ if children.foreign.is_some() && !inner.is_synapse() => {}
        _ => {
            let names = children.elements.iter().map(|child| child.element);
            let mistake = Diagnostic::error(
                "E0204",
                inner.span,
                format!("`<{}>` has no `<{}>` inside", element.name, inner.name),
            );
            let help = if inner.is_synapse() {
                suggest::did_you_mean(&inner.name, names.clone()).or_else(|| {
                    let list: Vec<String> = names.map(|name| format!("`<{name}>`")).collect();
                    (!list.is_empty()).then(|| format!("it takes {}", list.join(", ")))
                })
            } else {
                Some(format!("it is not in the namespace {}", super::element::SYNAPSE))
            };
            planner.tell(mistake.maybe_help(help));
        }
    }
}

fn check_known_child(inner: &Element, child: &'static Child, planner: &mut Planner<'_>) {
    if child.endpoint {
        return;
    }
    planner.compat.met(inner.name.clone(), child.support, inner.span);
    match child.support {
        Support::Full => {}
        Support::Ignored(_) => return,
        Support::NotYet(what) => {
            planner.tell(
                Diagnostic::warning(
                    "W0504",
                    inner.span,
                    format!("`<{}>` is not in effect yet", inner.name),
                )
                .help(what),
            );
            return;
        }
        Support::Refused(advice) => {
            planner.tell(
                Diagnostic::error(
                    "E0505",
                    inner.span,
                    format!("`<{}>` is not supported", inner.name),
                )
                .help(advice),
            );
            return;
        }
    }
    check_attributes(inner, child.attributes, planner);
    check_content(inner, &child.children, planner);
}
