//! `<template>`: a sequence with parameters.

use super::{lifecycle, sequence};
use crate::flow::Sequence;
use crate::flow::catalog::{Parameter, Template};
use crate::plan::kind::{ArtifactKind, Attr, Child, Children, Shape};
use crate::plan::{Element, Planner, table};
use crate::text::Diagnostic;
use std::sync::Arc;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "template",
    summary: "A sequence with parameters, run by `call-template`.",
    notes: "Inside, `$func:NAME` reads a parameter; only the innermost template's parameters are visible.",
    differences: "",
    attributes: &[
        Attr::required("name", Shape::Text, "What `call-template target=` names."),
        Attr::optional(
            "onError",
            Shape::Sequence,
            "The sequence that runs when a step of this one fails.",
        ),
        Attr::ignored("trace", "tracing is switched for the whole gateway"),
        Attr::ignored("statistics", "statistics are kept for everything"),
    ],
    children: Children::of(&[
        Child::optional(
            "parameter",
            &[
                Attr::required("name", Shape::Text, "What `$func:` reads."),
                Attr::optional(
                    "isMandatory",
                    Shape::Boolean,
                    "Whether a call without it fails (ERROR_CODE 500101).",
                )
                .default("false"),
                Attr::optional("defaultValue", Shape::Text, "What a call without it gives."),
                Attr::ignored("description", "a note for people"),
            ],
            Children::NONE,
            "A parameter.",
        )
        .many(),
        Child::required(
            "sequence",
            &[
                Attr::optional(
                    "onError",
                    Shape::Sequence,
                    "The sequence that runs when a step fails.",
                ),
                Attr::ignored("trace", "tracing is switched for the whole gateway"),
                Attr::ignored("statistics", "statistics are kept for everything"),
                Attr::ignored("name", "the template's own name is used"),
            ],
            Children::STEPS,
            "The steps.",
        ),
    ]),
    examples: &[
        r#"<template xmlns="http://ws.apache.org/ns/synapse" name="hello" onError="fault"><parameter name="who" isMandatory="true" defaultValue="you"/><sequence onError="fault"><log level="custom"><property name="who" expression="$func:who"/></log></sequence></template>"#,
    ],
};

pub fn build(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<Template> {
    planner.owner = Arc::from(format!("template {name}"));
    if !table::check(element, KIND.attributes, &KIND.children, planner) {
        return None;
    }
    let mut parameters: Vec<Parameter> = Vec::new();
    for parameter in element.all("parameter") {
        let Some(attribute) = parameter.attribute("name") else {
            continue;
        };
        let known = Arc::from(attribute.value.text.trim());
        if parameters.iter().any(|other| other.name == known) {
            planner.tell(Diagnostic::error(
                "E0403",
                attribute.value.span,
                format!("the parameter `{known}` is there already"),
            ));
        }
        parameters.push(Parameter {
            name: known,
            mandatory: parameter.is_true("isMandatory"),
            default: parameter.get("defaultValue").map(Arc::from),
        });
    }
    let body = element.child("sequence")?;
    let on_error = sequence::on_error(body, planner).or_else(|| sequence::on_error(element, planner));
    let steps = lifecycle::shared_steps(body, planner);
    let sequence = Sequence {
        name: Arc::from(format!("template {name}")),
        steps,
        on_error,
        named: true,
    };
    Some(Template {
        name: Arc::from(name),
        parameters,
        sequence: Arc::new(sequence),
    })
}
