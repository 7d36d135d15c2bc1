//! `<proxy>`: a service at `/services/NAME`.

use crate::flow::{Endpoint, Sequence};
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
