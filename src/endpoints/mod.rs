//! One file each: the endpoints.

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[];
