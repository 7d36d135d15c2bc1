//! `<throwError>`: the author's own fault.

use crate::expression::Dynamic;
use crate::flow::{Code, Exchange, Fault, Mediator, Outcome};
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape};
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "throwError",
    summary: "Fails on purpose: the nearest fault sequence takes over.",
    notes: "`ERROR_CODE` becomes the `type`, which is a text and not a number, and `ERROR_MESSAGE` the message.",
    differences: "",
    attributes: &[
        Attr::optional("type", Shape::Text, "What `ERROR_CODE` becomes.").default("ANY"),
        Attr::optional("errorMessage", Shape::Dynamic, "What `ERROR_MESSAGE` becomes.")
            .default("Error occurred in the mediation flow"),
    ],
    children: Children::NONE,
    build,
    examples: &[
        Example::new(
            "Refuse an order without lines",
            r#"<throwError type="EMPTY_ORDER" errorMessage="{json-eval($.note)}"/>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"note\": \"nothing to do\", \"lines\": []}",
            "fails EMPTY_ORDER nothing to do",
        ),
        Example::new(
            "Say nothing about it",
            "<throwError/>",
            "GET /",
            "fails ANY Error occurred in the mediation flow",
        ),
    ],
};

struct ThrowError {
    kind: String,
    message: Dynamic,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let kind = planner.text(element, "type").filter(|text| !text.is_empty());
    let message = match element.attribute("errorMessage") {
        Some(message) if !message.value.text.is_empty() => planner.dynamic(&message.value, element)?,
        _ => Dynamic::Literal(Arc::from("Error occurred in the mediation flow")),
    };
    Some(Box::new(ThrowError {
        kind: kind.unwrap_or_else(|| "ANY".to_owned()),
        message,
    }))
}

#[async_trait(?Send)]
impl Mediator for ThrowError {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let message = exchange.dynamic(&self.message).await?.into_owned();
        Err(Fault::mediation(message).coded(Code::Named(self.kind.as_str().into())))
    }
}
