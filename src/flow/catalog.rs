//! What an exchange reaches by id: sequences, endpoints, templates, entries. Immutable once deployed.

use super::health::Identity;
use super::{AllowList, Endpoint, Sequence};
use crate::message::json::convert::ConversionSettings;
use crate::message::payload::{BuildContext, PayloadLimits};
use crate::message::properties::Value;
use crate::text::{Sources, Span};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemplateId(pub u32);

/// A parameterised sequence.
pub struct Template {
    pub name: Arc<str>,
    pub parameters: Vec<Parameter>,
    pub sequence: Arc<Sequence>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: Arc<str>,
    pub mandatory: bool,
    pub default: Option<Arc<str>>,
}

#[derive(Default)]
pub struct Catalog {
    pub sequences: Vec<Arc<Sequence>>,
    pub endpoints: Vec<Arc<dyn Endpoint>>,
    pub templates: Vec<Arc<Template>>,
    /// Local entries and the registry resources that the configuration mentions, by key.
    pub entries: HashMap<String, Value>,
    /// For keys that are computed per message; everything else was resolved at load.
    pub sequence_names: HashMap<String, SequenceId>,
    pub endpoint_names: HashMap<String, EndpointId>,
    pub template_names: HashMap<String, TemplateId>,
    /// The sequence `fault`.
    pub fault: Option<SequenceId>,
    /// The sequence `pre-mediate`: runs before everything else, for requests and for answers.
    pub pre_mediate: Option<SequenceId>,
    pub sources: Sources,
    pub conversion: ConversionSettings,
    pub limits: PayloadLimits,
    pub surroundings: Surroundings,
    /// Endpoints whose state is kept.
    pub watched: Vec<Identity>,
    /// The WSDLs that endpoints wait for.
    pub described: Vec<Arc<str>>,
    /// Some step needs a worker for scripts.
    pub has_scripts: bool,
    /// Where messages may go that say themselves where, if an endpoint has no list of its own.
    pub allow: Option<Arc<AllowList>>,
}

/// What configuration values and `get-property` read of the world around the gateway. Taken once per deployment.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    pub environment: HashMap<String, String>,
    /// `file.properties`
    pub file: HashMap<String, String>,
    /// `${configs.NAME}`
    pub configs: HashMap<String, String>,
    pub server_host: String,
}

impl Catalog {
    pub fn sequence(&self, id: SequenceId) -> Arc<Sequence> {
        Arc::clone(
            self.sequences
                .get(id.0 as usize)
                .expect("the planner numbered the sequences"),
        )
    }

    pub fn endpoint(&self, id: EndpointId) -> Arc<dyn Endpoint> {
        Arc::clone(
            self.endpoints
                .get(id.0 as usize)
                .expect("the planner numbered the endpoints"),
        )
    }

    pub fn template(&self, id: TemplateId) -> Arc<Template> {
        Arc::clone(
            self.templates
                .get(id.0 as usize)
                .expect("the planner numbered the templates"),
        )
    }

    /// What payloads are built and converted by.
    pub fn build_context(&self) -> BuildContext<'_> {
        BuildContext {
            limits: &self.limits,
            conversion: &self.conversion,
        }
    }

    pub fn place(&self, span: Span) -> String {
        self.sources.place_text(span)
    }
}
