//! Everything that runs, as one immutable value: built whole from a set of files, swapped whole.

pub mod api;
mod broken;
pub mod car;
pub mod classify;
pub mod configs;
pub mod descriptor;
pub mod folder;
pub mod layout;
pub mod load;
pub mod local_entry;
pub mod proxy;
pub mod resources;
pub mod sequence;
pub mod template;
pub mod walk;
pub mod watch;

pub use load::{Counts, LoadOptions, Loaded, load};

use crate::flow::{Catalog, SequenceId};
use crate::plan::ArtifactKind;
use std::sync::Arc;

/// Every artifact, in the order of the reference.
pub static ARTIFACTS: &[&ArtifactKind] = &[&sequence::KIND, &template::KIND, &local_entry::KIND];

pub struct Deployment {
    pub catalog: Arc<Catalog>,
    pub apis: Vec<api::Api>,
    pub proxies: Vec<proxy::Proxy>,
    pub handlers: Handlers,
    pub generation: u64,
}

/// Sequences whose names have a meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handlers {
    /// `main`: gets what no API and no proxy wants.
    pub main: Option<SequenceId>,
    /// `pre-mediate`: runs before everything else, for requests and for responses.
    pub pre_mediate: Option<SequenceId>,
    /// `_resource_mismatch_handler_`
    pub resource_mismatch: Option<SequenceId>,
    /// `_method_not_allowed_handler_`
    pub method_not_allowed: Option<SequenceId>,
}

impl Deployment {
    pub fn new(
        catalog: Catalog,
        apis: Vec<api::Api>,
        proxies: Vec<proxy::Proxy>,
        handlers: Handlers,
        generation: u64,
    ) -> Deployment {
        Deployment {
            catalog: Arc::new(catalog),
            apis,
            proxies,
            handlers,
            generation,
        }
    }
}
