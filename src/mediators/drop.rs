//! `<drop>`: nothing more happens to this message.

use crate::flow::{AtOnce, Exchange, Flow, Mediator, Outcome};
use crate::plan::{Children, Element, Example, MediatorKind, Planner};
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "drop",
    summary: "Ends the flow: nothing more happens to this message.",
    notes: "The client of a dropped request gets 202 Accepted with an empty body, in a fault sequence too; a fault sequence that merely ends leaves the \
            client the fault's own status. Nothing after `drop` runs, in no enclosing sequence.",
    differences: "The client of a dropped response gets 202 with an empty body too; Synapse lets it wait.",
    attributes: &[],
    children: Children::NONE,
    build,
    examples: &[Example::new(
        "Take a message and do nothing",
        "<drop/>",
        "POST /audit\nContent-Type: text/plain\n\nseen",
        "drops",
    )],
};

struct Drop;

fn build(_element: &Element, _planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    Some(Box::new(Drop))
}

#[async_trait(?Send)]
impl Mediator for Drop {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        Some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        self.apply(exchange)
    }
}

impl AtOnce for Drop {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        exchange.message.addressing.to = None;
        Ok(Flow::Drop)
    }
}
