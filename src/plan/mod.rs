//! From XML to something that runs.

pub mod compat;
pub mod element;
pub mod kind;
pub mod later;
pub mod names;
pub mod page;
pub mod planner;
pub mod table;
#[cfg(test)]
pub mod testing;

pub use element::{Attribute, Content, Element};
pub use kind::{
    ArtifactKind, Attr, Child, Children, EndpointKind, Example, MediatorKind, Shape, Support, joined,
};
pub use names::Names;
pub use planner::{Kinds, Planner};
