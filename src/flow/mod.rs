//! How a message moves: exchanges, steps, faults.

pub mod allow;
pub mod answered;
pub mod backend_jwt;
pub mod catalog;
pub mod credentials;
pub mod delivery;
pub mod description;
pub mod endpoint;
pub mod exchange;
pub mod fault;
pub mod group;
pub mod grpc;
pub mod health;
pub mod mediator;
pub mod mishap;
pub mod outgoing;
pub mod request;
pub mod runtime;
pub mod sequence;
pub mod straight;
#[cfg(test)]
pub mod testing;
pub mod token;
mod websocket;
mod world;

pub use allow::AllowList;
pub use catalog::{Catalog, EndpointId, SequenceId, TemplateId};
pub use endpoint::{Answer, Endpoint, Fixed, RetryRule};
pub use exchange::{Deadline, Exchange};
pub use fault::{Code, Fault, Origin, Retry};
pub use mediator::{AtOnce, Flow, Mediator, Outcome, Plain};
pub use runtime::{Runtime, Worker};
pub use sequence::{Sequence, Step};
