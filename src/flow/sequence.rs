//! A sequence, and the one loop that runs steps.

use super::{Exchange, Fault, Flow, Mediator, Outcome, SequenceId};
use crate::text::Span;
use std::sync::Arc;

/// How deep named sequences and templates may call each other before it is taken for an endless recursion.
const DEEPEST: usize = 64;

pub struct Step {
    /// The element's name, for logs and faults.
    pub element: &'static str,
    pub span: Span,
    pub mediator: Box<dyn Mediator>,
}

/// Mediators in order, with an optional onError sequence.
pub struct Sequence {
    /// Its key, or what it is for ("inSequence of api Orders").
    pub name: Arc<str>,
    pub steps: Vec<Step>,
    pub on_error: Option<SequenceId>,
    /// Named sequences and templates can call each other in circles; branches cannot.
    pub named: bool,
}

impl Sequence {
    pub fn branch(name: impl Into<Arc<str>>, steps: Vec<Step>) -> Sequence {
        Sequence {
            name: name.into(),
            steps,
            on_error: None,
            named: false,
        }
    }

    /// Runs the steps. A fault goes to this sequence's own onError sequence first; what that leaves undone stays undone, as in Synapse
    /// (`MediatorFaultHandler` clears the continuation stack).
    pub async fn run(&self, exchange: &mut Exchange) -> Outcome {
        if self.named {
            exchange.depth += 1;
        }
        let outcome = if exchange.depth > DEEPEST {
            Err(Fault::mediation(format!(
                "sequences call each other more than {DEEPEST} deep (`{}` is the last)",
                self.name
            )))
        } else {
            self.run_steps(exchange).await
        };
        if self.named {
            exchange.depth -= 1;
        }
        match (outcome, self.on_error) {
            (Err(fault), Some(handler)) if !fault.unhandled => {
                Box::pin(exchange.handle(fault, handler)).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn run_steps(&self, exchange: &mut Exchange) -> Outcome {
        for step in &self.steps {
            match step.mediator.mediate(exchange).await {
                Ok(Flow::Continue) => {}
                Ok(flow) => return Ok(flow),
                Err(mut fault) => {
                    // The innermost step is the one that failed; the containers around it only pass the fault on.
                    if fault.at.is_none() {
                        fault.at = Some((step.span, step.element));
                        exchange.note_fault(&fault, &self.name);
                    }
                    if let (Some(handler), false) = (fault.handler.take(), fault.unhandled) {
                        return Box::pin(exchange.handle(fault, handler)).await;
                    }
                    return Err(fault);
                }
            }
        }
        Ok(Flow::Continue)
    }
}
