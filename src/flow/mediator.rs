//! A mediator: a step that reads or changes the message, or decides where it goes.

use super::{Exchange, Fault};
use async_trait::async_trait;

#[async_trait(?Send)]
pub trait Mediator: Send + Sync {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome;
}

pub type Outcome = Result<Flow, Fault>;

/// What a sequence does after a step. Synapse's mediators say `true` for `Continue` and `false` for all the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next step runs.
    Continue,
    /// The in side is over: what is now the message is a response and goes through the out side (or the sequence that `receive` names).
    Turn,
    /// The message goes back to the client as it is.
    Respond,
    /// Nothing more happens to this message.
    Drop,
}
