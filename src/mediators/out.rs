//! `<out>`: steps for responses only.

use crate::flow::{Exchange, Flow, Mediator, Outcome, Sequence};
use crate::plan::{Children, Element, Example, MediatorKind, Planner};
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "out",
    summary: "Runs the steps inside when the message is a response.",
    notes: "Only meaningful in sequences that see both directions, as `main` does: a request goes past it.",
    differences: "",
    attributes: &[],
    children: Children::STEPS,
    build,
    examples: &[Example::new(
        "Only what comes back",
        r#"<out><property name="first" value="not for a request"/></out>
<property name="RESPONSE" value="true"/>
<out><property name="second" value="for a response"/></out>"#,
        "GET /",
        "continues\nproperty first is not there\nproperty second = for a response",
    )],
};

struct Out {
    steps: Sequence,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let steps = planner.sequence(element);
    Some(Box::new(Out { steps }))
}

#[async_trait(?Send)]
impl Mediator for Out {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if !exchange.is_response() {
            return Ok(Flow::Continue);
        }
        self.steps.run(exchange).await
    }
}
