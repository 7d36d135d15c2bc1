//! `<api>`: resources below a context.

use crate::flow::Sequence;
use crate::plan::{Element, Planner};
use crate::text::Span;
use std::sync::Arc;

pub struct Api {
    pub name: Arc<str>,
    /// Begins with a slash, ends without one; `{version}` already replaced. "" for the root context.
    pub context: Arc<str>,
    pub version: Option<Version>,
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    /// `http`, `https` or both.
    pub transports: Transports,
    pub resources: Vec<Resource>,
    pub span: Span,
    /// With `--lenient`: why it answers 503.
    pub broken: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The path segment after the context.
    Url(Arc<str>),
    /// Part of the context.
    Context(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    pub http: bool,
    pub https: bool,
}

pub struct Resource {
    pub in_sequence: Option<Arc<Sequence>>,
    pub out_sequence: Option<Arc<Sequence>>,
    pub fault_sequence: Option<Arc<Sequence>>,
    pub span: Span,
}

pub fn build(_element: &Element, _planner: &mut Planner<'_>) -> Option<Api> {
    None
}

/// What only shows when all APIs are known: clashes, and orders that differ from Synapse's.
pub fn check_all(_apis: &[Api], _planner: &mut Planner<'_>) {}
