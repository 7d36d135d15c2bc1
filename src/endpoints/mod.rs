//! One file each: the endpoints, and `ALL`.

mod address;
mod common;
mod default;
mod http;
mod key;
mod key_expression;
pub mod uri_template;

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[&key::KIND, &key_expression::KIND, &address::KIND, &http::KIND, &default::KIND];
