//! Scripts: rhai in place, between two steps of an exchange, with a limit on everything; JavaScript apart, in processes that can be killed.

pub mod e4x;
pub mod given;
pub mod js;
mod rhai;

pub use self::given::{Given, Name};
pub use self::rhai::{Failure, Script};
