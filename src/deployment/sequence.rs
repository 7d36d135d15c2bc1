//! `<sequence>` as an artifact: a named list of mediators.

use super::lifecycle;
use crate::flow::{Sequence, SequenceId};
use crate::plan::kind::{ArtifactKind, Attr, Children, Shape};
use crate::plan::{Element, Planner};
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
