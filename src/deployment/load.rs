//! From files to a deployment: check, start and reload all come through here.

use super::artifacts::{Artifacts, Plans};
use super::cors::Cors;
use super::folder::{self, Collected, ReadOptions};
use super::guard::TokenRules;
use super::layout::Layout;
use super::resources::{Resource, Resources};
use super::walk::Stamp;
use super::{Deployment, classify, configs, openapi};
use crate::flow::catalog::Surroundings;
use crate::flow::{AllowList, Catalog};
use crate::message::json::convert::ConversionSettings;
use crate::message::payload::PayloadLimits;
use crate::plan::compat::Compat;
use crate::plan::planner::{Lookup, Unset};
use crate::plan::{Kinds, Planner, element};
use crate::text::{Mistakes, Sources};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

/// All mediators and endpoints there are.
pub static KINDS: Kinds = Kinds {
    mediators: crate::mediators::ALL,
    endpoints: crate::endpoints::ALL,
};

#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    pub read: ReadOptions,
    /// Serve what is whole, and answer 503 with the reason for the rest.
    pub lenient: bool,
    pub conversion: ConversionSettings,
    pub limits: PayloadLimits,
    /// Where messages may go that say themselves where.
    pub allow: Option<Arc<AllowList>>,
    pub generation: u64,
    /// Who has to present a token.
    pub tokens: TokenRules,
    /// Which pages of other origins may call APIs that say nothing of their own.
    pub cors: Cors,
    /// What becomes of OpenAPI definitions.
    pub definitions: openapi::Rules,
    /// Tell also what is right and may surprise. Said when somebody asks, not at every start.
    pub hints: bool,
}

/// What came of a load: with mistakes there may be no deployment.
pub struct Loaded {
    pub deployment: Option<Arc<Deployment>>,
    pub mistakes: Mistakes,
    pub sources: Sources,
    pub compat: Compat,
    pub counts: Counts,
    pub layout: Layout,
    pub stamp: Stamp,
}

/// How many artifacts of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub apis: usize,
    pub proxies: usize,
    pub sequences: usize,
    pub endpoints: usize,
    pub templates: usize,
    pub local_entries: usize,
}

pub fn load(roots: &[PathBuf], options: &LoadOptions) -> Loaded {
    build(folder::read(roots, &options.read), options)
}

/// Everything but the reading.
pub fn build(collected: Collected, options: &LoadOptions) -> Loaded {
    let Collected {
        layout,
        sources,
        xml,
        definitions,
        resources,
        configs,
        mistakes,
        stamp,
    } = collected;
    let lookup = FolderLookup {
        resources: &resources,
        configs: &configs,
        registry_root: OnceCell::new(),
    };
    let mut planner = Planner::new(KINDS, &lookup, sources);
    planner.mistakes = mistakes;
    planner.allow = options.allow.clone();

    let mut roots = Vec::new();
    // What lies in the registry is no artifact by itself; it is read when a key names it.
    let deployed = xml
        .iter()
        .filter(|file| file.namespaced && !matches!(file.origin, folder::Origin::Registry(_)));
    for file in deployed {
        let text = planner.sources.file(file.file).text.clone();
        match element::parse(file.file, &text) {
            Ok(root) => roots.push(root),
            Err(mistake) => planner.tell(*mistake),
        }
    }
    let mut artifacts = Artifacts {
        definitions,
        rules: options.definitions,
        ..Artifacts::default()
    };
    roots
        .into_iter()
        .for_each(|root| artifacts.take(root, &mut planner));
    if let Some(root) = artifacts.registry_root.take() {
        lookup.registry_root.get_or_init(|| root);
    }

    artifacts.name_all(&mut planner);
    artifacts.read_entries(&resources, &mut planner);
    let mut plans = artifacts.plan_all(&mut planner);
    let proxies: Vec<&str> = plans.proxies.iter().map(|proxy| &*proxy.name).collect();
    options.tokens.apply(&mut plans.apis, &proxies, &mut planner);
    if options.cors.is_on() {
        let cors = Arc::new(options.cors.clone());
        for api in &mut plans.apis {
            api.cors.get_or_insert_with(|| Arc::clone(&cors));
        }
    }
    let counts = Counts {
        apis: plans.apis.len(),
        proxies: plans.proxies.len(),
        sequences: artifacts.sequences.len(),
        endpoints: artifacts.endpoints.len(),
        templates: artifacts.templates.len() + planner.endpoint_templates.len(),
        local_entries: artifacts.entries.len(),
    };
    let mut mistakes = std::mem::take(&mut planner.mistakes).sorted();
    if !options.hints || mistakes.errors() > 0 {
        mistakes.drop_hints();
    }
    let sources = std::mem::take(&mut planner.sources);
    let compat = std::mem::take(&mut planner.compat);
    let servable = mistakes.errors() == 0 || options.lenient;
    let deployment = servable.then(|| Arc::new(link(plans, planner, sources.clone(), &configs, options)));
    Loaded {
        deployment,
        mistakes,
        sources,
        compat,
        counts,
        layout,
        stamp,
    }
}

struct FolderLookup<'a> {
    resources: &'a Resources,
    configs: &'a configs::Configs,
    /// What `<registry>` gives as its `root`: the folder from which its keys are meant.
    registry_root: OnceCell<String>,
}

impl FolderLookup<'_> {
    fn find(&self, key: &str, from: &str) -> Option<Arc<Resource>> {
        self.resources.find_from(key, from).or_else(|| {
            let root = self.registry_root.get().filter(|_| !key.contains(':'))?;
            self.resources.find(&format!("{root}/{key}"))
        })
    }
}

impl Lookup for FolderLookup<'_> {
    fn resource(&self, key: &str, from: &str) -> Option<(String, String)> {
        let resource = self.find(key, from)?;
        let text = resource.text().ok()?;
        Some((resource.name.clone(), text.to_string()))
    }

    fn false_encoding(&self, key: &str, from: &str) -> Option<String> {
        classify::false_encoding(&self.find(key, from)?.bytes().ok()?)
    }

    fn resource_names(&self) -> Vec<String> {
        self.resources.names().collect()
    }

    fn resolve(&self, text: &str) -> Result<Option<String>, Unset> {
        if !text.contains('$') {
            return Ok(None);
        }
        self.configs.resolve(text).map_err(|unset| Unset {
            reason: unset.reason,
            help: unset.help,
        })
    }

    fn secret(&self, alias: &str) -> Result<String, Unset> {
        self.configs.secret(alias).map_err(|unset| Unset {
            reason: unset.reason,
            help: unset.help,
        })
    }

    fn path(&self, name: &str, from: &str) -> PathBuf {
        self.resources.path(name, from)
    }
}

fn link(
    plans: Plans,
    planner: Planner<'_>,
    sources: Sources,
    configs: &configs::Configs,
    options: &LoadOptions,
) -> Deployment {
    let names = planner.names;
    let sequence = |name: &str| names.sequences.get(name).map(|(id, _)| *id);
    let (main, fault, pre_mediate) = (sequence("main"), sequence("fault"), sequence("pre-mediate"));
    let (mismatch, not_allowed) = (
        sequence("_resource_mismatch_handler_"),
        sequence("_method_not_allowed_handler_"),
    );
    let catalog = Catalog {
        sequences: plans.sequences,
        endpoints: plans.endpoints,
        templates: plans.templates,
        entries: planner.entries,
        sequence_names: names
            .sequences
            .into_iter()
            .map(|(name, (id, _))| (name, id))
            .collect(),
        endpoint_names: names
            .endpoints
            .into_iter()
            .map(|(name, (id, _))| (name, id))
            .collect(),
        template_names: names
            .templates
            .into_iter()
            .map(|(name, (id, _))| (name, id))
            .collect(),
        fault,
        pre_mediate,
        sources,
        conversion: options.conversion.clone(),
        limits: options.limits.clone(),
        surroundings: surroundings(configs),
        watched: planner.watched,
        described: planner.described,
        has_scripts: planner.scripts,
        allow: options.allow.clone(),
    };
    let deployment = Deployment::new(
        catalog,
        plans.apis,
        plans.proxies,
        super::Handlers {
            main,
            resource_mismatch: mismatch,
            method_not_allowed: not_allowed,
        },
        options.generation,
    );
    Deployment {
        tokens: options.tokens.clone(),
        ..deployment
    }
}

fn surroundings(configs: &configs::Configs) -> Surroundings {
    // Linux says it here; containers and other systems in the environment.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| configs.environment("HOSTNAME").map(str::to_owned))
        .unwrap_or_else(|| "localhost".to_owned());
    Surroundings {
        environment: configs
            .environment_values()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        file: configs
            .property_values()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        configs: configs
            .config_names()
            .filter_map(|name| Some((name.to_owned(), configs.config(name)?.to_owned())))
            .collect(),
        server_host: host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Severity;

    #[test]
    fn a_server_home_keeps_artifacts_beside_those_it_deploys() {
        let home = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text.replace("NS", element::SYNAPSE)).expect("a file");
        };
        write(
            "repository/conf/synapse-config/synapse.xml",
            r#"<definitions xmlns="NS"><registry><parameter name="root">file:./repository/shared/</parameter></registry>
               <localEntry key="b" src="file:repository/shared/b.xml"/>
               <sequence name="main"><sequence key="steps/a.xml"/><send><endpoint key="b"/></send></sequence></definitions>"#,
        );
        write(
            "repository/shared/steps/a.xml",
            r#"<sequence xmlns="NS" name="main"/>"#,
        );
        write(
            "repository/shared/b.xml",
            r#"<endpoint xmlns="NS"><address uri="http://b/"/></endpoint>"#,
        );
        let loaded = load(&[home.path().to_path_buf()], &LoadOptions::default());
        let told = loaded
            .mistakes
            .iter()
            .filter(|mistake| mistake.severity != Severity::Note);
        let told: Vec<&String> = told.map(|mistake| &mistake.message).collect();
        assert!(told.is_empty(), "{told:?}");
    }

    /// Their states outlive a reload by their names, so these depend on nothing that stands elsewhere.
    #[test]
    fn children_without_names_are_called_after_their_endpoint() {
        let child = r#"<endpoint><address uri="http://h/"/></endpoint>"#;
        let group = format!(r#"<endpoint name="orders"><failover>{child}{child}</failover></endpoint>"#);
        for beside in ["", r#"<sequence name="z"><drop/></sequence>"#] {
            let home = tempfile::tempdir().unwrap();
            let text = format!(
                r#"<definitions xmlns="http://ws.apache.org/ns/synapse">{beside}{group}</definitions>"#
            );
            std::fs::write(home.path().join("synapse.xml"), text).unwrap();
            let loaded = load(&[home.path().to_path_buf()], &LoadOptions::default());
            let deployment = loaded.deployment.expect("it is sound");
            let names: Vec<&str> = deployment
                .catalog
                .watched
                .iter()
                .map(|watched| &*watched.name)
                .collect();
            let own = "address endpoint in endpoint orders";
            assert_eq!(names, [own, &format!("{own} (2)"), "orders"]);
        }
    }

    #[test]
    fn endpoints_that_refer_to_each_other_are_told() {
        let home = tempfile::tempdir().unwrap();
        let text = r#"<definitions xmlns="http://ws.apache.org/ns/synapse">
<endpoint name="a"><failover><endpoint key="b"/></failover></endpoint>
<endpoint name="b" key="a"/>
<endpoint name="c" key="a"/></definitions>"#;
        std::fs::write(home.path().join("synapse.xml"), text).unwrap();
        let loaded = load(&[home.path().to_path_buf()], &LoadOptions::default());
        let told: Vec<&str> = loaded
            .mistakes
            .iter()
            .map(|mistake| mistake.message.as_str())
            .collect();
        let refers =
            |name: &str| format!("the endpoint `{name}` refers to itself, by way of others or at once");
        assert_eq!(told, [refers("a"), refers("b")]);
    }
}
