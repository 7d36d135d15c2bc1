//! Serving: which resource a request belongs to, its in, out and fault side, the answer.

pub mod deployment_toml;
pub mod reload;
pub mod settings;
