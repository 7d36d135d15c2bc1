//! One file each: the endpoints.

pub mod uri_template;

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[];
