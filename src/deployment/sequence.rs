//! `<sequence>` as an artifact, a named list of mediators; and the sequences of APIs and proxies, by name or inline.

use super::SequenceRef;
use super::lifecycle;
use crate::flow::{Sequence, SequenceId};
use crate::plan::kind::{ArtifactKind, Attr, Children, Shape};
use crate::plan::{Element, Planner};
use crate::text::Diagnostic;
use std::sync::Arc;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "sequence",
    summary: "A named list of mediators.",
    notes: "Two names have a meaning: `main` gets what no API and no proxy wants, `fault` gets every fault that nobody else handles. \
            `pre-mediate` runs before everything else, for requests and for responses; `_resource_mismatch_handler_` and \
            `_method_not_allowed_handler_` answer where an API has no resource for a request.",
    differences: "",
    attributes: &[
        Attr::required("name", Shape::Text, "What other artifacts call it by."),
        Attr::optional(
            "onError",
            Shape::Sequence,
            "The sequence that runs when a step of this one fails.",
        ),
        Attr::ignored("trace", "tracing is switched for the whole gateway"),
        Attr::ignored("statistics", "statistics are kept for everything"),
        Attr::refused(
            "key",
            "a sequence at the top is a definition; put `<sequence key=…/>` inside another sequence",
        ),
    ],
    children: Children::STEPS,
    examples: &[
        r#"<sequence xmlns="http://ws.apache.org/ns/synapse" name="greet" onError="greet"><log level="simple"/></sequence>"#,
    ],
};

/// Plans a named sequence.
pub fn build(element: &Element, name: &str, planner: &mut Planner<'_>) -> Sequence {
    planner.owner = Arc::from(format!("sequence {name}"));
    let on_error = on_error(element, planner);
    let steps = if name == "main" {
        planner.steps(element)
    } else {
        lifecycle::shared_steps(element, planner)
    };
    Sequence {
        name: Arc::from(name),
        steps,
        on_error,
        named: true,
    }
}

/// The sequence that `onError` names.
pub fn on_error(element: &Element, planner: &mut Planner<'_>) -> Option<SequenceId> {
    let key = element.attribute("onError")?.value.clone();
    planner.sequence_key(&key)
}

/// Attributes of an inline sequence.
pub(super) const INLINE: &[Attr] = &[
    Attr::optional(
        "onError",
        Shape::Sequence,
        "what faults in this sequence go to first",
    ),
    Attr::ignored("name", "an inline sequence has no name"),
    Attr::ignored("statistics", "statistics are not switched on by artifact here"),
    Attr::ignored("trace", "tracing is not switched on by artifact here"),
];

/// The sequence that the attribute names, else the one inside.
pub(super) fn of(
    element: &Element,
    which: &'static str,
    of: &str,
    planner: &mut Planner<'_>,
) -> Option<SequenceRef> {
    if let Some(key) = element.attribute(which).filter(|key| !key.value.text.is_empty()) {
        let key = key.value.clone();
        if let Some(inline) = element.child(which) {
            planner.tell(
                Diagnostic::warning("W0210", inline.span, format!("this `<{which}>` has no effect"))
                    .also(key.span, "the attribute wins"),
            );
        }
        return planner.sequence_key(&key).map(SequenceRef::Named);
    }
    let inline = element.child(which)?;
    planner.owner = Arc::from(format!("{which} {of}"));
    let mut sequence = planner.sequence(inline);
    sequence.on_error = on_error(inline, planner);
    Some(SequenceRef::Inline(Arc::new(sequence)))
}
