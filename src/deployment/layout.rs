//! Which of the known folder layouts a folder has, and what its parts mean.

use super::walk::Listed;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A Micro Integrator project: `src/main/wso2mi`.
    Project,
    /// `synapse.xml`, or `api/` and `sequences/`.
    Classic,
    /// Integration Studio's Maven modules: `*/src/main/synapse-config`.
    Modules,
    /// A server's home: `repository/deployment/server/synapse-configs/default`, or Apache's `repository/conf/synapse-config`.
    Server,
    /// Our own: `sequences/` and `scripts/`, with `tests/` and `examples/` beside them that are not deployed.
    Own,
    /// Any folder: what is an artifact is told by its root element.
    Plain,
    /// A single file.
    File,
}

/// Folders named after a kind, and the root element they are meant for.
const KINDS: &[(&str, &str)] = &[
    ("api", "api"),
    ("apis", "api"),
    ("sequences", "sequence"),
    ("endpoints", "endpoint"),
    ("local-entries", "localEntry"),
    ("proxy-services", "proxy"),
    ("templates", "template"),
    ("tasks", "task"),
    ("message-stores", "messageStore"),
    ("message-processors", "messageProcessor"),
    ("inbound-endpoints", "inboundEndpoint"),
    ("event-sources", "eventSource"),
    ("priority-executors", "priorityExecutor"),
    ("imports", "import"),
];

/// Folders that hold a part of the registry, and the registry path that they stand for.
const REGISTRY_FOLDERS: &[(&str, &str)] = &[
    ("src/main/wso2mi/resources/registry/gov", "/_system/governance"),
    ("src/main/wso2mi/resources/registry/conf", "/_system/config"),
    ("src/main/wso2mi/resources", "/_system/governance/mi-resources"),
    ("registry/governance", "/_system/governance"),
    ("registry/config", "/_system/config"),
    ("registry/local", "/_system/local"),
];

impl Layout {
    pub fn detect(root: &Path, files: &[Listed]) -> Layout {
        if root.is_file() {
            return Layout::File;
        }
        let has = |below: &str| root.join(below).exists();
        if has("src/main/wso2mi") {
            Layout::Project
        } else if has("synapse.xml")
            || (has("api") && has("sequences"))
            || has("default/synapse.xml")
            || (has("default/api") && has("default/sequences"))
        {
            Layout::Classic
        } else if files
            .iter()
            .any(|file| module_depth(&file.name).is_some_and(|depth| (1..=2).contains(&depth)))
        {
            Layout::Modules
        } else if has("repository/deployment/server/synapse-configs/default")
            || has("repository/deployment/server/carbonapps")
            || has("repository/conf/synapse-config")
        {
            Layout::Server
        } else if has("sequences") && ["scripts", "tests", "examples"].into_iter().any(has) {
            Layout::Own
        } else {
            Layout::Plain
        }
    }

    pub fn describe(self) -> &'static str {
        match self {
            Layout::Project => "Micro Integrator project",
            Layout::Classic => "classic synapse-configs folder",
            Layout::Modules => "Maven modules of Integration Studio",
            Layout::Server => "server home",
            Layout::Own => "folder with sequences/ and scripts/",
            Layout::Plain => "plain folder",
            Layout::File => "single file",
        }
    }

    /// Whether XML and archives of this name are deployed.
    pub fn deploys(self, name: &str) -> bool {
        match self {
            Layout::Project => {
                name.starts_with("src/main/wso2mi/artifacts/")
                    || (name.ends_with(".car") && !name.contains('/'))
            }
            Layout::Modules => {
                position(name, "src/main/synapse-config").is_some()
                    || (name.ends_with(".car") && !name.contains('/'))
            }
            Layout::Server => {
                name.starts_with("repository/deployment/server/synapse-configs/default/")
                    || name.starts_with("repository/deployment/server/carbonapps/")
                    || name.starts_with("repository/conf/synapse-config/")
            }
            Layout::Own => !["tests/", "examples/", "target/"]
                .iter()
                .any(|beside| name.starts_with(beside)),
            Layout::Classic | Layout::Plain | Layout::File => true,
        }
    }

    /// Whether a registry key may name a file of the folder itself.
    pub fn folder_is_registry(self) -> bool {
        matches!(self, Layout::Own | Layout::Plain | Layout::Classic)
    }

    /// The root element that the folder's name promises, in layouts where the name means something.
    pub fn promised_root(self, name: &str) -> Option<&'static str> {
        if matches!(self, Layout::Own | Layout::Plain | Layout::File) {
            return None;
        }
        let folder = name.rsplit('/').nth(1)?;
        KINDS
            .iter()
            .find(|(known, _)| *known == folder)
            .map(|(_, root)| *root)
    }
}

/// The registry path of a file that lies in a registry folder of any layout.
pub fn registry_path(name: &str) -> Option<String> {
    REGISTRY_FOLDERS.iter().find_map(|(folder, path)| {
        let at = position(name, folder)?;
        Some(format!("{path}/{}", &name[at + folder.len() + 1..]))
    })
}

/// How many folders lie above a module's `src/main/synapse-config`. Farther down, the folder given is more than one project.
fn module_depth(name: &str) -> Option<usize> {
    position(name, "src/main/synapse-config").map(|at| name[..at].matches('/').count())
}

/// Where a chain of folders stands in a name, as whole folders.
fn position(name: &str, folders: &str) -> Option<usize> {
    name.match_indices(folders).map(|(at, _)| at).find(|at| {
        (*at == 0 || name.as_bytes()[at - 1] == b'/')
            && name.as_bytes().get(at + folders.len()) == Some(&b'/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_folders_of_every_layout_have_a_registry_path() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(registry_path(name).as_deref(), expected);
        check("registry/config/x/a.xslt", Some("/_system/config/x/a.xslt"));
        check(
            "home/registry/governance/a.xml",
            Some("/_system/governance/a.xml"),
        );
        check(
            "src/main/wso2mi/resources/xslt/a.xslt",
            Some("/_system/governance/mi-resources/xslt/a.xslt"),
        );
        check(
            "src/main/wso2mi/resources/registry/gov/a.dmc",
            Some("/_system/governance/a.dmc"),
        );
        check("myregistry/config/a.xml", None);
        check("registry/configs/a.xml", None);
    }
}
