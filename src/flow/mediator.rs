//! A mediator: a step that reads or changes the message, or decides where it goes.

use super::{Endpoint, Exchange, Fault};
use async_trait::async_trait;
use std::sync::Arc;

#[async_trait(?Send)]
pub trait Mediator: Send + Sync {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome;

    /// The same for a step that waits for nothing, so that no future is made for it.
    fn at_once(&self) -> Option<&dyn AtOnce> {
        None
    }

    /// What it does, if it does so to every message without a look at it.
    fn plain(&self) -> Option<Plain<'_>> {
        None
    }
}

/// A step that never waits: it asks nobody, and looks at no body that may still be on its way.
pub trait AtOnce {
    fn apply(&self, exchange: &mut Exchange) -> Outcome;
}

/// A step that looks at nothing of a message, and changes nothing of it.
pub enum Plain<'a> {
    /// The endpoint's answer takes the place of the message.
    Calls(&'a Arc<dyn Endpoint>),
    /// The same, and the answer turns to the out side; an answer that is sent nowhere goes to the client.
    Sends(Option<&'a Arc<dyn Endpoint>>),
    Responds,
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
