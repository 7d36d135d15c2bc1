//! `<proxy>`: a service at `/services/NAME`.

use crate::flow::{Endpoint, Sequence};
use crate::plan::{Element, Planner};
use crate::text::Span;
use std::sync::Arc;

pub struct Proxy {
    pub name: Arc<str>,
    pub in_sequence: Option<Arc<Sequence>>,
    pub out_sequence: Option<Arc<Sequence>>,
    pub fault_sequence: Option<Arc<Sequence>>,
    /// Where the message goes when the in sequence ends without sending it.
    pub endpoint: Option<Arc<dyn Endpoint>>,
    pub span: Span,
    pub broken: Option<Arc<str>>,
}

pub fn build(_element: &Element, _planner: &mut Planner<'_>) -> Option<Proxy> {
    None
}

/// What only shows when all proxies are known.
pub fn check_all(_proxies: &[Proxy], _planner: &mut Planner<'_>) {}
