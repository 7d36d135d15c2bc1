//! Everything that runs, as one immutable value: built whole from a set of files, swapped whole.

pub mod api;
mod artifacts;
mod broken;
pub mod car;
pub mod classify;
pub mod configs;
pub mod cors;
pub mod descriptor;
pub mod endpoint_template;
#[cfg(test)]
mod examples;
pub mod folder;
pub mod guard;
pub mod layout;
pub mod lifecycle;
pub mod load;
pub mod local_entry;
pub mod openapi;
pub mod proxy;
pub mod publish;
pub mod resource;
pub mod resources;
pub mod routes;
pub mod sequence;
pub mod template;
pub mod uri_template;
pub mod walk;
pub mod watch;

pub use load::{Counts, LoadOptions, Loaded, load};

use crate::flow::{Catalog, Endpoint, EndpointId, Sequence, SequenceId};
use crate::plan::ArtifactKind;
use std::sync::Arc;

/// Every artifact, in the order of the reference.
pub static ARTIFACTS: &[&ArtifactKind] = &[
    &api::KIND,
    &proxy::KIND,
    &sequence::KIND,
    &template::KIND,
    &endpoint_template::KIND,
    &local_entry::KIND,
];

pub struct Deployment {
    pub catalog: Arc<Catalog>,
    pub apis: Vec<Arc<api::Api>>,
    pub proxies: Vec<proxy::Proxy>,
    pub routes: routes::Routes,
    pub handlers: Handlers,
    pub generation: u64,
    /// Who has to present a token, by the settings.
    pub tokens: guard::TokenRules,
}

/// Sequences whose names have a meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handlers {
    /// `main`: gets what no API and no proxy wants.
    pub main: Option<SequenceId>,
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
            routes: routes::Routes::new(&apis, &proxies),
            apis: apis.into_iter().map(Arc::new).collect(),
            proxies,
            handlers,
            generation,
            tokens: guard::TokenRules::default(),
        }
    }
}

/// A sequence that an artifact holds itself, or calls by name.
#[derive(Clone)]
pub enum SequenceRef {
    Inline(Arc<Sequence>),
    Named(SequenceId),
}

/// An endpoint that an artifact holds itself, or calls by name.
#[derive(Clone)]
pub enum EndpointRef {
    Inline(Arc<dyn Endpoint>),
    Named(EndpointId),
}

impl SequenceRef {
    pub fn of(&self, catalog: &Catalog) -> Arc<Sequence> {
        match self {
            SequenceRef::Inline(sequence) => Arc::clone(sequence),
            SequenceRef::Named(id) => catalog.sequence(*id),
        }
    }
}

impl EndpointRef {
    pub fn of(&self, catalog: &Catalog) -> Arc<dyn Endpoint> {
        match self {
            EndpointRef::Inline(endpoint) => Arc::clone(endpoint),
            EndpointRef::Named(id) => catalog.endpoint(*id),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::planner::{Lookup, Unset};
    use crate::plan::{Element, Planner, element};
    use crate::text::Sources;

    pub(crate) struct Nothing;

    impl Lookup for Nothing {
        fn resource(&self, key: &str, _: &str) -> Option<(String, String)> {
            let wsdl = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>"#;
            (key == "file:a.wsdl").then(|| ("a.wsdl".to_owned(), wsdl.to_owned()))
        }

        fn resource_names(&self) -> Vec<String> {
            Vec::new()
        }

        fn resolve(&self, _: &str) -> Result<Option<String>, Unset> {
            Ok(None)
        }
    }

    /// Builds all elements of that name at the root, or right below it. The namespace is Synapse's. Mistakes come a line each.
    pub(crate) fn plan<T>(
        xml: &str,
        name: &str,
        build: impl Fn(&Element, &mut Planner<'_>) -> Option<T>,
    ) -> (Vec<T>, String) {
        plan_and_check(xml, name, build, |_, _| {})
    }

    pub(crate) fn plan_and_check<T>(
        xml: &str,
        name: &str,
        build: impl Fn(&Element, &mut Planner<'_>) -> Option<T>,
        check_all: impl Fn(&[T], &mut Planner<'_>),
    ) -> (Vec<T>, String) {
        let end = xml.find([' ', '>', '/']).expect("an element");
        let xml = format!("{} xmlns=\"{}\"{}", &xml[..end], element::SYNAPSE, &xml[end..]);
        let mut sources = Sources::default();
        let file = sources.add("a.xml", xml.as_str());
        let root = element::parse(file, &xml).expect("well-formed");
        let mut planner = Planner::new(load::KINDS, &Nothing, sources);
        let list: Vec<&Element> = if root.name == name {
            vec![&root]
        } else {
            root.all(name).collect()
        };
        let built: Vec<T> = list
            .into_iter()
            .filter_map(|element| build(element, &mut planner))
            .collect();
        check_all(&built, &mut planner);
        let lines = planner.mistakes.sorted();
        let line = |mistake: &crate::text::Diagnostic| {
            let place = mistake
                .span
                .map(|span| planner.sources.place_text(span))
                .unwrap_or_default();
            format!("{} {place} {}", mistake.code, mistake.message)
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        (built, lines.join("\n"))
    }
}
