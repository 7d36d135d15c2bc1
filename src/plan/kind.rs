//! Kinds: all that is known about an element. What it checks, what it explains and how it is built come from one table.

use super::{Element, Planner};
use crate::flow::{Endpoint, Mediator};
use std::sync::Arc;

/// A mediator: its table, its pages, its code.
pub struct MediatorKind {
    pub element: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What a user must know beyond the table.
    pub notes: &'static str,
    /// Where we differ from Synapse on purpose, and why.
    pub differences: &'static str,
    /// Attributes beside `description`, which every element has.
    pub attributes: &'static [Attr],
    pub children: Children,
    pub build: fn(&Element, &mut Planner) -> Option<Box<dyn Mediator>>,
    pub examples: &'static [Example],
}

/// A leaf or group of `<endpoint>`, told by its child element or by an attribute of `<endpoint>` itself.
pub struct EndpointKind {
    /// The child element of `<endpoint>`, or the attribute that makes it this kind.
    pub element: &'static str,
    /// True when `element` names an attribute of `<endpoint>`.
    pub by_attribute: bool,
    pub summary: &'static str,
    pub notes: &'static str,
    pub differences: &'static str,
    pub attributes: &'static [Attr],
    pub children: Children,
    /// Gets `<endpoint>` and the element that makes it this kind (`<endpoint>` again when by attribute).
    pub build: fn(&Element, &Element, &mut Planner) -> Option<Arc<dyn Endpoint>>,
    pub examples: &'static [Example],
}

/// An artifact: what may stand at the root of a file or inside `<definitions>`. Its code is called by name in `deployment`.
pub struct ArtifactKind {
    pub element: &'static str,
    pub summary: &'static str,
    pub notes: &'static str,
    pub differences: &'static str,
    pub attributes: &'static [Attr],
    pub children: Children,
    /// A whole artifact each; `check` accepts them without a word.
    pub examples: &'static [&'static str],
}

/// An attribute as its author may write it.
#[derive(Debug, Clone, Copy)]
pub struct Attr {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub default: Option<&'static str>,
    pub about: &'static str,
    pub support: Support,
}

/// What an attribute's value must look like; checked before `build` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// true or false.
    Boolean,
    /// A whole number.
    Integer,
    /// XPath, `json-eval(…)` or `${…}`.
    Expression,
    /// Text, or an expression in braces.
    Dynamic,
    /// A regular expression in Java's notation.
    Regex,
    /// The name of a sequence.
    Sequence,
    /// The name of a sequence, or an expression in braces that gives one.
    DynamicSequence,
    /// The name of an endpoint.
    Endpoint,
    /// The name of a sequence template.
    Template,
    /// A local entry or a registry resource.
    Entry,
}

impl Shape {
    /// How the reference names it.
    pub fn words(self) -> String {
        match self {
            Shape::Text => "text".into(),
            Shape::Choice(words) => words
                .iter()
                .filter(|word| !word.is_empty())
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Shape::Boolean => "`true` or `false`".into(),
            Shape::Integer => "whole number".into(),
            Shape::Expression => "expression".into(),
            Shape::Dynamic => "text, or `{expression}`".into(),
            Shape::Regex => "regular expression".into(),
            Shape::Sequence => "name of a sequence".into(),
            Shape::DynamicSequence => "name of a sequence, or `{expression}`".into(),
            Shape::Endpoint => "name of an endpoint".into(),
            Shape::Template => "name of a sequence template".into(),
            Shape::Entry => "local entry or registry key".into(),
        }
    }
}

/// Does it do what Synapse does?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Full,
    /// Accepted and without effect, for this reason.
    Ignored(&'static str),
    /// Not in effect yet: the configuration is served, and `check` warns.
    NotYet(&'static str),
    /// The configuration is refused, with this advice.
    Refused(&'static str),
}

impl Attr {
    pub const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Attr {
        Attr {
            name,
            shape,
            required: false,
            default: None,
            about,
            support: Support::Full,
        }
    }

    pub const fn required(name: &'static str, shape: Shape, about: &'static str) -> Attr {
        Attr {
            required: true,
            ..Attr::optional(name, shape, about)
        }
    }

    pub const fn ignored(name: &'static str, why: &'static str) -> Attr {
        Attr {
            support: Support::Ignored(why),
            ..Attr::optional(name, Shape::Text, why)
        }
    }

    pub const fn not_yet(name: &'static str, what: &'static str) -> Attr {
        Attr {
            support: Support::NotYet(what),
            ..Attr::optional(name, Shape::Text, what)
        }
    }

    pub const fn refused(name: &'static str, advice: &'static str) -> Attr {
        Attr {
            support: Support::Refused(advice),
            ..Attr::optional(name, Shape::Text, advice)
        }
    }

    pub const fn default(self, default: &'static str) -> Attr {
        Attr {
            default: Some(default),
            ..self
        }
    }
}

/// What may stand inside an element.
#[derive(Debug, Clone, Copy)]
pub struct Children {
    pub elements: &'static [Child],
    /// Mediators.
    pub steps: bool,
    /// Text.
    pub text: bool,
    /// Anything: a literal payload, or a shape that `build` checks itself.
    pub any: bool,
    /// Elements of other namespaces beside those of Synapse, which `build` checks itself: what they are.
    pub foreign: Option<&'static str>,
}

impl Children {
    pub const NONE: Children = Children {
        elements: &[],
        steps: false,
        text: false,
        any: false,
        foreign: None,
    };
    pub const STEPS: Children = Children {
        steps: true,
        ..Children::NONE
    };
    pub const TEXT: Children = Children {
        text: true,
        ..Children::NONE
    };
    pub const ANY: Children = Children {
        any: true,
        text: true,
        ..Children::NONE
    };

    pub const fn of(elements: &'static [Child]) -> Children {
        Children {
            elements,
            ..Children::NONE
        }
    }

    pub const fn or_steps(self) -> Children {
        Children { steps: true, ..self }
    }

    pub const fn or_foreign(self, what: &'static str) -> Children {
        Children {
            foreign: Some(what),
            ..self
        }
    }

    pub const fn or_text(self) -> Children {
        Children { text: true, ..self }
    }
}

/// Two lists as one, for kinds that share the first.
pub const fn joined<T: Copy, const N: usize>(first: &[T], second: &[T]) -> [T; N] {
    assert!(N == first.len() + second.len());
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() {
            first[at]
        } else {
            second[at - first.len()]
        };
        at += 1;
    }
    all
}

/// An element inside another one.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    pub element: &'static str,
    pub attributes: &'static [Attr],
    pub children: Children,
    pub required: bool,
    pub many: bool,
    pub about: &'static str,
    pub support: Support,
    /// It is an `<endpoint>`, checked and built as one.
    pub endpoint: bool,
}

impl Child {
    pub const fn optional(
        element: &'static str,
        attributes: &'static [Attr],
        children: Children,
        about: &'static str,
    ) -> Child {
        Child {
            element,
            attributes,
            children,
            required: false,
            many: false,
            about,
            support: Support::Full,
            endpoint: false,
        }
    }

    pub const fn required(
        element: &'static str,
        attributes: &'static [Attr],
        children: Children,
        about: &'static str,
    ) -> Child {
        Child {
            required: true,
            ..Child::optional(element, attributes, children, about)
        }
    }

    pub const fn many(self) -> Child {
        Child { many: true, ..self }
    }

    /// An inline endpoint.
    pub const fn endpoint(about: &'static str) -> Child {
        Child {
            endpoint: true,
            ..Child::optional("endpoint", &[], Children::ANY, about)
        }
    }

    pub const fn support(self, support: Support) -> Child {
        Child { support, ..self }
    }
}

/// A configuration, a message, and what comes of it. Read by people in the reference, and run as a test.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    pub title: &'static str,
    /// Steps, as they stand in a sequence (the namespace is Synapse's), or an endpoint.
    pub config: &'static str,
    /// Artifacts that the steps refer to.
    pub beside: &'static str,
    /// `POST /path`, headers, an empty line, a body.
    pub given: &'static str,
    /// What a backend answers, if the steps call one: `200`, headers, an empty line, a body. The backend is `http://backend/…`.
    pub backend: &'static str,
    /// What comes of it, a line each: `continues` / `responds` / `turns` / `drops` / `fails CODE reason`, then any of
    /// `property NAME = VALUE`, `axis2 NAME = VALUE`, `variable NAME = VALUE`, `header NAME = VALUE`, `… NAME is not there`, `to URL`, `log …`, `backend METHOD URL`,
    /// `backend header NAME = VALUE`, `backend body …`, `body …`.
    pub then: &'static str,
}

impl Example {
    pub const fn new(
        title: &'static str,
        config: &'static str,
        given: &'static str,
        then: &'static str,
    ) -> Example {
        Example {
            title,
            config,
            beside: "",
            given,
            backend: "",
            then,
        }
    }

    pub const fn beside(self, beside: &'static str) -> Example {
        Example { beside, ..self }
    }

    pub const fn backend(self, backend: &'static str) -> Example {
        Example { backend, ..self }
    }
}
