//! Scripts that run in place, between two steps of an exchange: rhai, with a limit on everything.

pub mod given;
mod rhai;

pub use self::given::{Given, Name};
pub use self::rhai::{Failure, Script};
