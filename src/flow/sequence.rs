//! A sequence, and the one loop that runs steps.

use super::{Exchange, Fault, Fixed, Flow, Mediator, Outcome, Plain, SequenceId, straight};
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
        for (at, step) in self.steps.iter().enumerate() {
            let outcome = match step.mediator.at_once() {
                Some(step) => step.apply(exchange),
                None => {
                    if let Some(endpoint) = self.passes_on(at, exchange)
                        && let Some(response) = Box::pin(straight::call(exchange, endpoint)).await
                    {
                        exchange.passed = Some(Box::new(response));
                        return Ok(Flow::Respond);
                    }
                    step.mediator.mediate(exchange).await
                }
            };
            match outcome {
                Ok(Flow::Continue) => {}
                Ok(flow) => return Ok(flow),
                Err(mut fault) => {
                    self.note(step, &mut fault, exchange);
                    if let (Some(handler), false) = (fault.handler.take(), fault.unhandled) {
                        return Box::pin(exchange.handle(fault, handler)).await;
                    }
                    return Err(fault);
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// The innermost step is the one that failed; the containers around it only pass the fault on.
    fn note(&self, step: &Step, fault: &mut Fault, exchange: &Exchange) {
        if fault.at.is_none() {
            fault.at = Some((step.span, step.element));
            exchange.note_fault(fault, &self.name);
        }
    }

    /// Whether it never waits, and nobody else hears of its faults.
    pub fn is_at_once(&self) -> bool {
        !self.named
            && self.on_error.is_none()
            && self.steps.iter().all(|step| step.mediator.at_once().is_some())
    }

    /// Runs steps that never wait.
    pub fn apply(&self, exchange: &mut Exchange) -> Outcome {
        for step in &self.steps {
            let outcome = match step.mediator.at_once() {
                Some(mediator) => mediator.apply(exchange),
                None => unreachable!("only sequences that are at once are applied"),
            };
            match outcome {
                Ok(Flow::Continue) => {}
                Ok(flow) => return Ok(flow),
                Err(mut fault) => {
                    self.note(step, &mut fault, exchange);
                    return Err(fault);
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// The endpoint that a step asks, if the client gets the answer as the backend gives it: nobody looks at it, and nobody is answered before.
    fn passes_on(&self, at: usize, exchange: &Exchange) -> Option<Fixed> {
        let takers = exchange.takers;
        if !takers.client {
            return None;
        }
        let endpoint = match self.steps[at].mediator.plain()? {
            Plain::Calls(endpoint) => {
                let next = self.steps.get(at + 1)?.mediator.plain();
                Some(endpoint).filter(|_| matches!(next, Some(Plain::Responds)))
            }
            Plain::Sends(endpoint) => endpoint.filter(|_| takers.out_side),
            Plain::Responds => None,
        }?;
        if exchange.properties.axis2_is_true("FORCE_SC_ACCEPTED") {
            return None;
        }
        endpoint.fixed(Some(&exchange.catalog), &exchange.worker.runtime)
    }

    /// Whether an out side only sends what it gets back to the client.
    pub fn only_answers(&self) -> bool {
        let first = self.steps.first().and_then(|step| step.mediator.plain());
        matches!(first, Some(Plain::Responds | Plain::Sends(None)))
    }
}
