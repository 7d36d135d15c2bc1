//! Which names exist, and the numbers they have: references are resolved once, at load.

use crate::flow::{EndpointId, SequenceId, TemplateId};
use crate::text::Span;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Names {
    pub sequences: HashMap<String, (SequenceId, Span)>,
    pub endpoints: HashMap<String, (EndpointId, Span)>,
    pub templates: HashMap<String, (TemplateId, Span)>,
    pub entries: HashMap<String, Span>,
    /// Kinds of artifact that exist but are not supported yet, so that a reference to one is not called unknown: name to element.
    pub later: HashMap<String, &'static str>,
}
