//! `<loopback>`: the request turns round without having been anywhere.

use crate::flow::{Exchange, Flow, Mediator, Outcome};
use crate::plan::{Children, Element, Example, MediatorKind, Planner};
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "loopback",
    summary: "Gives the request to the out side, as if it were a backend's answer.",
    notes: "Nothing after it runs. In an answer there is no side left to turn to: the message ends there, and the client gets 202 with an empty \
        body.",
    differences: "In an answer, Synapse leaves the client waiting.",
    attributes: &[],
    children: Children::NONE,
    build,
    examples: &[Example::new(
        "Answer from the out sequence",
        "<loopback/>",
        "POST /\nContent-Type: text/plain\n\nhello",
        "turns\nbody hello",
    )],
};

struct Loopback;

fn build(_element: &Element, _planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    Some(Box::new(Loopback))
}

#[async_trait(?Send)]
impl Mediator for Loopback {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if exchange.is_response() {
            return Ok(Flow::Drop);
        }
        exchange.message.response = true;
        exchange.message.addressing.to = None;
        exchange.receive = None;
        Ok(Flow::Turn)
    }
}
