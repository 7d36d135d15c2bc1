//! One binary of integration tests: a module a theme.

mod wire_kit;
mod wire_serving;
