//! Everything that runs, as one immutable value: built whole from a set of files, swapped whole.

pub mod api;
pub mod car;
pub mod classify;
pub mod configs;
pub mod descriptor;
pub mod folder;
pub mod layout;
pub mod proxy;
pub mod resources;
pub mod walk;
pub mod watch;

use crate::flow::{Catalog, SequenceId};
use std::sync::Arc;

pub struct Deployment {
    pub catalog: Arc<Catalog>,
    pub apis: Vec<api::Api>,
    pub proxies: Vec<proxy::Proxy>,
    /// Gets what no API and no proxy wants.
    pub main: Option<SequenceId>,
    /// Runs before everything else, for requests and for responses.
    pub pre_mediate: Option<SequenceId>,
    pub resource_mismatch: Option<SequenceId>,
    pub method_not_allowed: Option<SequenceId>,
    pub generation: u64,
}
