//! `<respond>`: the message goes back to the client as it is.

use crate::flow::{AtOnce, Exchange, Flow, Mediator, Outcome, Plain};
use crate::plan::{Children, Element, Example, MediatorKind, Planner};
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "respond",
    summary: "Sends the message back to the client as it is.",
    notes: "Works in in, out and fault sequences. Nothing after it runs, and the out sequence does not run. The status is the axis2 \
        property `HTTP_SC`, or 200.\n\n\
        More of the axis2 scope is looked at here, and wherever else an answer goes to the client: `HTTP_SC_DESC` is the phrase behind the status; `messageType` \
        decides how the body is written; `ContentType`, `CHARACTER_SET_ENCODING` and `setCharacterEncoding` what its Content-Type says; \
        `NO_ENTITY_BODY` leaves the body out; `DISABLE_CHUNKING` tells its length; `HTTP_ETAG` (true) adds its hash as `ETag`; `NO_KEEPALIVE` ends \
        the client's connection with it, and so does `FORCE_HTTP_1.0`, which tells the length too; `SC_ACCEPTED` makes it a 202; with \
        `FAULTS_AS_HTTP_200` a SOAP fault goes out with 200.",
    differences: "Headers that only make sense in a request (Host, Accept, Authorization, Cookie, User-Agent …) do not go back when a \
        request is turned round; Synapse sends all of them.",
    attributes: &[],
    children: Children::NONE,
    build,
    examples: &[Example::new(
        "Answer with the request's own body",
        "<respond/>",
        "POST /echo\nContent-Type: text/plain\n\nhello",
        "responds\nbody hello",
    )],
};

struct Respond;

fn build(_element: &Element, _planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    Some(Box::new(Respond))
}

#[async_trait(?Send)]
impl Mediator for Respond {
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Responds)
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        Some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        self.apply(exchange)
    }
}

impl AtOnce for Respond {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        exchange.message.addressing.to = None;
        exchange.message.response = true;
        Ok(Flow::Respond)
    }
}
