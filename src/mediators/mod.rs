//! One file each: the mediators.

use crate::plan::MediatorKind;

/// Every mediator, in the order of the reference.
pub static ALL: &[&MediatorKind] = &[];
