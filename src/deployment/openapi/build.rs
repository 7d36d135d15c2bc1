//! Synapse's elements, made of what a definition says: each has its place there.

use crate::plan::element::{Attribute, SYNAPSE};
use crate::plan::{Content, Element};
use crate::text::{Placed, Span};
use std::cell::Cell;

pub fn element(
    name: &str,
    span: Span,
    attributes: impl IntoIterator<Item = (&'static str, Placed)>,
    inside: impl IntoIterator<Item = Element>,
) -> Element {
    let attributes = attributes.into_iter().map(|(name, value)| Attribute {
        name: name.to_owned(),
        namespace: String::new(),
        name_span: value.span,
        value,
        read: Cell::new(false),
    });
    Element {
        name: name.to_owned(),
        namespace: SYNAPSE.to_owned(),
        span,
        whole: span,
        inner: span,
        attributes: attributes.collect(),
        content: inside.into_iter().map(Content::Element).collect(),
        namespaces: Default::default(),
    }
}

/// An element that holds a text.
pub fn text_of(name: &str, span: Span, text: Content) -> Element {
    Element {
        content: vec![text],
        ..element(name, span, [], [])
    }
}

/// A text that does not stand in the file as it is, or does.
pub fn verbatim(text: &str, span: Span) -> Placed {
    Placed::verbatim(text, span)
}

/// The element as XML, for tests to look at; nothing is escaped.
#[cfg(test)]
pub fn written(element: &Element) -> String {
    let mut out = format!("<{}", element.name);
    for attribute in &element.attributes {
        out.push_str(&format!(" {}=\"{}\"", attribute.name, attribute.value.text));
    }
    if element.content.is_empty() {
        return out + "/>";
    }
    out.push('>');
    for content in &element.content {
        match content {
            Content::Element(inner) => out.push_str(&written(inner)),
            Content::Text { text, .. } => out.push_str(&text.text),
        }
    }
    out.push_str(&format!("</{}>", element.name));
    out
}
