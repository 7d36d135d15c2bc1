//! `<localEntry>`: a named constant.

use super::resources::Resources;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{XmlLimits, XmlTree};
use crate::plan::kind::{ArtifactKind, Attr, Children, Shape};
use crate::plan::planner::entry_value;
use crate::plan::{Element, Planner, element};
use crate::text::{Diagnostic, suggest};
use std::rc::Rc;
use std::sync::Arc;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "localEntry",
    summary: "A named constant: text, XML, or the content of a file.",
    notes: "Text is trimmed. `get-property('KEY')` reads it where no property has that name; `key=` attributes find it before they look \
            for a registry resource.",
    differences: "A `src` that is an http(s) URL is refused: what a gateway serves must not depend on another host at its start.",
    attributes: &[
        Attr::required("key", Shape::Text, "Its name."),
        Attr::optional(
            "src",
            Shape::Text,
            "A file, relative to the deployed folder or as `file:` URL.",
        ),
    ],
    children: Children::ANY,
    examples: &[
        r#"<localEntry xmlns="http://ws.apache.org/ns/synapse" key="version">1.0</localEntry>"#,
        r#"<localEntry xmlns="http://ws.apache.org/ns/synapse" key="limits"><limits xmlns=""><max>3</max></limits></localEntry>"#,
    ],
};

/// What an entry is: a value, and the element when it may be an artifact of its own.
pub struct Entry {
    pub value: Value,
    pub element: Option<Rc<Element>>,
}

pub fn build(element: &Element, resources: &Resources, planner: &mut Planner<'_>) -> Option<Entry> {
    if let Some(src) = element.attribute("src") {
        return from_file(element, &src.value.clone(), resources, planner);
    }
    let mut inners = element
        .elements()
        .filter(|inner| !(inner.name == "description" && inner.is_synapse()));
    let inner = inners.next();
    if let (Some(first), Some(second)) = (inner, inners.next()) {
        // Synapse takes the first and says nothing of the others (`EntryFactory`).
        planner.tell(
            Diagnostic::error("E0207", second.span, "a local entry holds one element")
                .also(first.span, "the first one")
                .help("put one element around them, or give each an entry of its own"),
        );
        return None;
    }
    if let Some(inner) = inner {
        let text = planner.sources.file(inner.whole.file).text[inner.whole.range()].to_owned();
        return match XmlTree::parse_fragment(&text, &element.namespaces, &XmlLimits::default()) {
            Ok(tree) => {
                let nodes = tree.child_elements(tree.document()).collect();
                let value = Value::Xml(Fragment {
                    tree: Arc::new(tree),
                    nodes,
                });
                Some(Entry {
                    value,
                    element: Some(Rc::new(inner.clone())),
                })
            }
            Err(error) => {
                planner.mistake(
                    "E0101",
                    inner.span,
                    format!("this is not well-formed XML: {}", error.message),
                );
                None
            }
        };
    }
    Some(Entry {
        value: Value::text(element.text().text.trim()),
        element: None,
    })
}

fn from_file(
    element: &Element,
    src: &crate::text::Placed,
    resources: &Resources,
    planner: &mut Planner<'_>,
) -> Option<Entry> {
    let key = planner.resolved(src)?;
    if key.starts_with("http:") || key.starts_with("https:") {
        planner.tell(
            Diagnostic::error("E0505", src.span, "a local entry from a URL is not supported")
                .help("save the file beside the configuration and name it with `src=\"file:…\"`"),
        );
        return None;
    }
    let from = planner.sources.file(element.span.file).name.clone();
    let resource = resources.find_from(&key, &from);
    match resource.as_ref().map(|resource| resource.text()) {
        Some(Ok(text)) => {
            let name = resource.map(|resource| resource.name.clone()).unwrap_or_default();
            Some(Entry {
                value: entry_value(&text),
                element: artifact(name, &text, planner),
            })
        }
        Some(Err(reason)) => {
            planner.mistake("E0404", src.span, format!("`{key}` cannot be read: {reason}"));
            None
        }
        None => {
            let names: Vec<String> = resources.names().collect();
            let help = suggest::did_you_mean(&key, names.iter().map(String::as_str));
            // Synapse reads the file when somebody asks for the entry; an entry that nobody uses does no harm.
            planner.tell(
                Diagnostic::warning("W0404", src.span, format!("there is no file `{key}`")).maybe_help(help),
            );
            None
        }
    }
}

/// A file that is a sequence or an endpoint can be called by the entry's key.
fn artifact(name: String, text: &str, planner: &mut Planner<'_>) -> Option<Rc<Element>> {
    if !text.contains(element::SYNAPSE) {
        return None;
    }
    let file = planner.sources.add(name, text);
    let root = element::parse(file, text).ok()?;
    (root.is_synapse() && matches!(root.name.as_str(), "sequence" | "endpoint")).then(|| Rc::new(root))
}

#[cfg(test)]
mod tests {
    use crate::deployment::{LoadOptions, load};

    #[test]
    fn an_entry_of_two_elements_is_told_at_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"<localEntry xmlns="http://ws.apache.org/ns/synapse" key="k"><a xmlns=""/><b xmlns=""/></localEntry>"#;
        std::fs::write(folder.path().join("k.xml"), text).unwrap();
        let loaded = load(&[folder.path().to_path_buf()], &LoadOptions::default());
        let told: Vec<_> = loaded.mistakes.iter().map(|mistake| mistake.code).collect();
        assert_eq!(told, ["E0207"]);
        let span = loaded
            .mistakes
            .iter()
            .next()
            .and_then(|mistake| mistake.span)
            .unwrap();
        assert_eq!(loaded.sources.text(span), "b");
    }
}
