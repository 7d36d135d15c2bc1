//! What stands in for an artifact with mistakes when the user asked to serve the others all the same.

use crate::flow::{Answer, Endpoint, Exchange, Fault, Mediator, Outcome, Sequence, Step};
use crate::text::Span;
use async_trait::async_trait;
use std::sync::Arc;

struct Broken {
    reason: String,
}

#[async_trait(?Send)]
impl Mediator for Broken {
    async fn mediate(&self, _: &mut Exchange) -> Outcome {
        Err(fault(&self.reason))
    }
}

/// A sequence of one step that always fails with the reason.
pub fn broken_sequence(name: &str, span: Span, reason: String) -> Sequence {
    let step = Step {
        element: "sequence",
        span,
        mediator: Box::new(Broken { reason }),
    };
    Sequence {
        name: Arc::from(name),
        steps: vec![step],
        on_error: None,
        named: true,
    }
}

pub struct BrokenEndpoint {
    name: String,
    reason: String,
}

impl BrokenEndpoint {
    pub fn new(name: &str, reason: String) -> BrokenEndpoint {
        BrokenEndpoint {
            name: name.to_owned(),
            reason,
        }
    }
}

#[async_trait(?Send)]
impl Endpoint for BrokenEndpoint {
    async fn deliver(&self, _: &mut Exchange) -> Result<Answer, Fault> {
        Err(fault(&self.reason))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn fault(reason: &str) -> Fault {
    Fault::mediation(format!(
        "not served, because its configuration has a mistake: {reason}"
    ))
    .status(503)
}
