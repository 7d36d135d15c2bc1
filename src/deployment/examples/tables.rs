//! Holds the examples against the tables: whatever an element may have stands in one of them, and is read.

use super::{parsed, text_of};
use crate::deployment::load::KINDS;
use crate::flow::{EndpointId, SequenceId, TemplateId};
use crate::plan::planner::{Lookup, Unset, entry_value};
use crate::plan::{Attr, Child, Children, Element, Example, Planner, Support};
use crate::text::Sources;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

#[test]
fn examples_together_use_every_attribute_and_child() {
    let mut missing = Vec::new();
    let mediators = KINDS.mediators.iter();
    let mediators = mediators.map(|kind| (kind.element, kind.attributes, &kind.children, kind.examples));
    // An endpoint that is named by a key is no element of its own.
    let endpoints = KINDS.endpoints.iter().filter(|kind| !kind.by_attribute);
    for (name, attributes, children, examples) in mediators {
        missing.extend(not_shown(name, attributes, children, examples));
    }
    // Leaf endpoints share most of what may stand inside them: one of them shows it.
    let without_kind = |name: &str, paths: Vec<String>| -> HashSet<String> {
        let shown = |path: String| {
            path.replacen(&format!("<{name}"), "<", 1)
                .replacen(&format!("{name}/"), "/", 1)
        };
        paths.into_iter().map(shown).collect()
    };
    let endpoints: Vec<_> = endpoints
        .map(|kind| {
            let not_shown = |examples| {
                let paths = not_shown(kind.element, kind.attributes, &kind.children, examples);
                without_kind(kind.element, paths)
            };
            (kind.element, not_shown(&[]), not_shown(kind.examples))
        })
        .collect();
    for (name, _, not_shown) in &endpoints {
        let elsewhere = |path: &&String| {
            let mut others = endpoints.iter();
            others.any(|(_, all, not_shown)| all.contains(*path) && !not_shown.contains(*path))
        };
        let nowhere = not_shown.iter().filter(|path| !elsewhere(path));
        missing.extend(nowhere.map(|path| format!("{name} {path}")));
    }
    assert!(missing.is_empty(), "no example uses {}", missing.join(", "));
}

/// The attributes and children of a kind that none of the examples has.
fn not_shown(
    name: &str,
    attributes: &'static [Attr],
    children: &Children,
    examples: &[Example],
) -> Vec<String> {
    let elements: Vec<Element> = examples.iter().map(parsed).collect();
    let mut found = Vec::new();
    elements
        .iter()
        .for_each(|element| named(element, name, &mut found));
    let mut missing = Vec::new();
    unused(
        name,
        &found,
        &found,
        attributes,
        children,
        &mut Vec::new(),
        &mut missing,
    );
    missing
}

/// An attribute that is in the table, stands in an example and is never asked for would be a promise that nobody keeps.
#[test]
fn whatever_stands_in_an_example_is_read() {
    let mut unread = Vec::new();
    for kind in KINDS.mediators {
        for example in kind.examples {
            let definitions = parsed(example);
            let mut planner = Planner::new(KINDS, &Nowhere, Sources::default());
            for artifact in definitions.elements() {
                let name = artifact
                    .get("name")
                    .or(artifact.get("key"))
                    .unwrap_or("")
                    .to_owned();
                let names = &mut planner.names;
                match artifact.name.as_str() {
                    "sequence" => _ = names.sequences.insert(name, (SequenceId(0), artifact.span)),
                    "endpoint" => _ = names.endpoints.insert(name, (EndpointId(0), artifact.span)),
                    "template" => _ = names.templates.insert(name, (TemplateId(0), artifact.span)),
                    _ => {
                        let value = match artifact.elements().next() {
                            Some(_) => entry_value("<x/>"),
                            None => entry_value(artifact.text().text.trim()),
                        };
                        planner.entries.insert(name, value);
                    }
                }
            }
            planner.sources.add("example.xml", text_of(example));
            let steps = definitions.elements().last().expect("the example stands last");
            planner.steps(steps);
            let mut found = Vec::new();
            named(steps, kind.element, &mut found);
            for element in found {
                note_unread(element, kind.attributes, &kind.children, &mut unread);
            }
        }
    }
    assert!(unread.is_empty(), "nobody reads {}", unread.join(", "));
}

fn note_unread(element: &Element, attributes: &[Attr], children: &Children, unread: &mut Vec<String>) {
    for attribute in &element.attributes {
        let known = attributes.iter().find(|known| known.name == attribute.name);
        if known.is_some_and(|known| known.support == Support::Full) && !attribute.read.get() {
            unread.push(format!("{}@{}", element.name, attribute.name));
        }
    }
    for child in children.elements.iter().filter(|child| !child.endpoint) {
        for inner in element.all(child.element) {
            note_unread(inner, child.attributes, &child.children, unread);
        }
    }
}

struct Nowhere;

impl Lookup for Nowhere {
    fn resource(&self, _: &str, _: &str) -> Option<(String, String)> {
        None
    }

    fn resource_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, _: &str) -> Result<Option<String>, Unset> {
        Ok(None)
    }

    fn path(&self, name: &str, _: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples/certificates")
            .join(name)
    }
}

/// All elements of that name, wherever they stand.
fn named<'a>(element: &'a Element, name: &str, found: &mut Vec<&'a Element>) {
    if element.name == name && element.is_synapse() {
        found.push(element);
    }
    element.elements().for_each(|inner| named(inner, name, found));
}

fn unused(
    path: &str,
    roots: &[&Element],
    found: &[&Element],
    attributes: &'static [Attr],
    children: &Children,
    seen: &mut Vec<*const Child>,
    missing: &mut Vec<String>,
) {
    if found.is_empty() {
        missing.push(format!("<{path}>"));
    }
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.support == Support::Full)
    {
        if !found.iter().any(|element| element.has(attribute.name)) {
            missing.push(format!("{path}@{}", attribute.name));
        }
    }
    for child in children
        .elements
        .iter()
        .filter(|child| child.support == Support::Full)
    {
        // Tables may refer to themselves, and to the table of another kind, whose own examples show it.
        let others = KINDS.mediators.iter().any(|kind| {
            let names = |attributes: &'static [Attr]| attributes.iter().map(|attribute| attribute.name);
            kind.element == child.element && names(kind.attributes).eq(names(child.attributes))
        });
        if others || seen.contains(&std::ptr::from_ref(child)) {
            continue;
        }
        seen.push(std::ptr::from_ref(child));
        // Evaluators may be used deeper, or elsewhere, than where the table first names them.
        let mut inner = Vec::new();
        for element in roots.iter().flat_map(|root| root.elements()) {
            named(element, child.element, &mut inner);
        }
        let path = format!("{path}/{}", child.element);
        unused(
            &path,
            roots,
            &inner,
            child.attributes,
            &child.children,
            seen,
            missing,
        );
    }
}
