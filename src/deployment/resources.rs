//! Files that keys name: `conf:/x.xslt`, `gov:/x`, `resources:x`, `/_system/…`, `file:x`, `scripts/x.js`.

use super::classify;
use super::walk::Listed;
use bytes::Bytes;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Everything below the deployed folders that a key may name. Contents are read when first asked for, and kept.
#[derive(Debug, Default)]
pub struct Resources {
    by_registry_path: HashMap<String, Arc<Resource>>,
    by_name: HashMap<String, Arc<Resource>>,
    /// Deployed folders whose own files stand for registry resources too.
    folder_is_registry: bool,
    roots: Vec<PathBuf>,
    largest: u64,
}

#[derive(Debug)]
pub struct Resource {
    /// As its author knows it: relative to the deployed folder, or `orders.car!/x/resources/y.xslt`.
    pub name: String,
    /// `None` inside an archive.
    pub path: Option<PathBuf>,
    largest: u64,
    bytes: OnceLock<Result<Bytes, String>>,
    text: OnceLock<Result<Arc<str>, String>>,
}

impl Resources {
    pub(super) fn new(largest: u64) -> Resources {
        Resources {
            largest,
            ..Resources::default()
        }
    }

    pub(super) fn add_root(&mut self, root: PathBuf, folder_is_registry: bool) {
        self.roots.push(root);
        self.folder_is_registry |= folder_is_registry;
    }

    pub(super) fn add_file(&mut self, name: &str, listed: &Listed, registry_path: Option<String>) {
        let resource = Arc::new(Resource::new(name, Some(listed.path.clone()), self.largest));
        self.by_name.insert(listed.name.clone(), resource.clone());
        if name != listed.name {
            self.by_name.insert(name.to_owned(), resource.clone());
        }
        if let Some(path) = registry_path {
            self.by_registry_path.insert(path, resource);
        }
    }

    pub(super) fn add_archived(&mut self, path: String, name: String, bytes: Vec<u8>) {
        let resource = Resource::new(&name, None, self.largest);
        resource.bytes.get_or_init(|| Ok(bytes.into()));
        self.by_registry_path.insert(path, Arc::new(resource));
    }

    /// The file that `key` names.
    pub fn find(&self, key: &str) -> Option<Arc<Resource>> {
        self.find_from(key, "")
    }

    /// The same, for a key that stands in the file called `from`: a relative one may be meant from there.
    pub fn find_from(&self, key: &str, from: &str) -> Option<Arc<Resource>> {
        let key = key.trim();
        if let Some(path) = registry_path(key) {
            return self.in_registry(&path);
        }
        if let Some(path) = key.strip_prefix("file:") {
            // `file:///a`, `file://localhost/a` and `file:/a` are all absolute.
            let path = path
                .strip_prefix("//")
                .map_or(path, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
            return if path.starts_with('/') {
                self.absolute(Path::new(path))
            } else {
                self.relative(path, from)
            };
        }
        // A plain key never leaves the folder; `http:` and the like are not files.
        if key.starts_with('/') || key.contains("://") {
            return None;
        }
        self.relative(key, from)
    }

    /// Whether a key can only mean a file, so that not finding one is a mistake.
    pub fn is_file_key(key: &str) -> bool {
        let key = key.trim();
        registry_path(key).is_some() || key.starts_with("file:")
    }

    /// Every name a key could use, for "did you mean".
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.by_registry_path
            .keys()
            .map(|path| {
                [
                    "/_system/governance/mi-resources/",
                    "/_system/governance",
                    "/_system/config",
                ]
                .iter()
                .zip(["resources:", "gov:", "conf:"])
                .find_map(|(long, short)| Some(format!("{short}{}", path.strip_prefix(long)?)))
                .unwrap_or_else(|| path.clone())
            })
            .chain(self.by_name.keys().cloned())
    }

    /// Where a file lies on disk that its reader opens itself: from the served folder, then from beside the file that names it.
    pub fn path(&self, name: &str, from: &str) -> PathBuf {
        let name = name.strip_prefix("file:").unwrap_or(name);
        let found = self.find_from(name, from).and_then(|found| found.path.clone());
        found.unwrap_or_else(|| match self.roots.first() {
            Some(root) if root.is_dir() => root.join(name),
            Some(root) => root.parent().unwrap_or(root).join(name),
            None => PathBuf::from(name),
        })
    }

    fn in_registry(&self, path: &str) -> Option<Arc<Resource>> {
        let path = normal(path)?;
        let path = format!("/{path}");
        if let Some(found) = self.by_registry_path.get(&path) {
            return Some(found.clone());
        }
        if !self.folder_is_registry {
            return None;
        }
        let (folder, tail) = [
            "/_system/governance/mi-resources/",
            "/_system/governance/",
            "/_system/config/",
        ]
        .iter()
        .zip(["resources", "governance", "config"])
        .find_map(|(prefix, folder)| Some((folder, path.strip_prefix(prefix)?)))?;
        self.by_name
            .get(&format!("{folder}/{tail}"))
            .or_else(|| self.by_name.get(tail))
            .cloned()
    }

    fn relative(&self, path: &str, from: &str) -> Option<Arc<Resource>> {
        if let Some(found) = normal(path).and_then(|name| self.by_name.get(&name)) {
            return Some(found.clone());
        }
        let (folder, _) = from.rsplit_once('/')?;
        let name = normal(&format!("{folder}/{path}"))?;
        self.by_name.get(&name).cloned()
    }

    fn absolute(&self, path: &Path) -> Option<Arc<Resource>> {
        for root in &self.roots {
            if let Ok(below) = path.strip_prefix(root)
                && let Some(found) = self.by_name.get(below.to_string_lossy().as_ref())
            {
                return Some(found.clone());
            }
        }
        // An absolute `file:` names whatever its author may read, as in Synapse.
        path.is_file().then(|| {
            Arc::new(Resource::new(
                &path.to_string_lossy(),
                Some(path.to_path_buf()),
                self.largest,
            ))
        })
    }
}

impl Resource {
    fn new(name: &str, path: Option<PathBuf>, largest: u64) -> Resource {
        Resource {
            name: name.to_owned(),
            path,
            largest,
            bytes: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    /// The content as of the first call.
    pub fn bytes(&self) -> Result<Bytes, String> {
        self.bytes
            .get_or_init(|| {
                let path = self.path.as_deref().unwrap_or(Path::new(""));
                read_bounded(path, self.largest).map(Bytes::from)
            })
            .clone()
    }

    pub fn text(&self) -> Result<Arc<str>, String> {
        self.text
            .get_or_init(|| classify::decode(self.bytes()?.to_vec()).map(Arc::from))
            .clone()
    }
}

/// Reads a file that may have grown since its size was asked for.
pub fn read_bounded(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::with_capacity(
        file.metadata()
            .map_or(0, |known| known.len().min(largest) as usize + 1),
    );
    file.take(largest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > largest {
        return Err(format!(
            "it is larger than the {} MiB that are allowed",
            largest / 1024 / 1024
        ));
    }
    Ok(bytes)
}

fn registry_path(key: &str) -> Option<String> {
    let short = |prefix: &str, path: &str| {
        key.strip_prefix(prefix)
            .map(|rest| format!("{path}/{}", rest.trim_start_matches('/')))
    };
    short("conf:", "/_system/config")
        .or_else(|| short("gov:", "/_system/governance"))
        .or_else(|| short("resources:", "/_system/governance/mi-resources"))
        .or_else(|| short("local:", "/_system/local"))
        .or_else(|| key.starts_with("/_system/").then(|| key.to_owned()))
}

/// Without `.` and `..`; `None` if it would leave the folder.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn resources(files: &[&str], folder_is_registry: bool) -> (tempfile::TempDir, Resources) {
        let folder = tempfile::tempdir().unwrap();
        let mut resources = Resources::new(1024);
        resources.add_root(folder.path().to_path_buf(), folder_is_registry);
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            let listed = Listed {
                name: (*name).to_owned(),
                path,
                size: 0,
            };
            resources.add_file(name, &listed, super::super::layout::registry_path(name));
        }
        (folder, resources)
    }

    fn check(resources: &Resources, key: &str, expected: Option<&str>) {
        let found = resources
            .find(key)
            .map(|resource| resource.text().unwrap().to_string());
        assert_eq!(found.as_deref(), expected, "{key}");
    }

    #[test]
    fn registry_keys_reach_their_folders() {
        let (_folder, resources) = resources(
            &[
                "registry/config/x/a.xslt",
                "registry/governance/b.xml",
                "src/main/wso2mi/resources/json/c.json",
                "scripts/d.js",
            ],
            false,
        );
        check(&resources, "conf:/x/a.xslt", Some("registry/config/x/a.xslt"));
        check(&resources, "conf:x/a.xslt", Some("registry/config/x/a.xslt"));
        check(&resources, "gov:/b.xml", Some("registry/governance/b.xml"));
        check(
            &resources,
            "/_system/governance/b.xml",
            Some("registry/governance/b.xml"),
        );
        check(
            &resources,
            "resources:json/c.json",
            Some("src/main/wso2mi/resources/json/c.json"),
        );
        check(
            &resources,
            "gov:mi-resources/json/c.json",
            Some("src/main/wso2mi/resources/json/c.json"),
        );
        check(&resources, "scripts/d.js", Some("scripts/d.js"));
        check(&resources, "conf:/scripts/d.js", None);
        let mut names: Vec<String> = resources.names().filter(|name| name.contains(':')).collect();
        names.sort();
        assert_eq!(names, ["conf:/x/a.xslt", "gov:/b.xml", "resources:json/c.json"]);
    }

    #[test]
    fn a_plain_folder_is_its_own_registry() {
        let (_folder, resources) = resources(&["xslt/a.xslt", "config/b.js"], true);
        check(&resources, "conf:/xslt/a.xslt", Some("xslt/a.xslt"));
        check(&resources, "gov:xslt/a.xslt", Some("xslt/a.xslt"));
        check(&resources, "conf:/b.js", Some("config/b.js"));
    }

    #[test]
    fn a_relative_key_never_leaves_the_folder() {
        let (folder, resources) = resources(&["sequences/a.xml", "wsdl/b.wsdl"], true);
        check(&resources, "file:wsdl/b.wsdl", Some("wsdl/b.wsdl"));
        let from = resources.find_from("../wsdl/b.wsdl", "sequences/a.xml").unwrap();
        assert_eq!(from.name, "wsdl/b.wsdl");
        for key in [
            "../../etc/passwd",
            "file:../../etc/passwd",
            "conf:/../../../etc/passwd",
            "/etc/passwd",
            "http://x/y",
        ] {
            assert!(resources.find_from(key, "sequences/a.xml").is_none(), "{key}");
        }
        let absolute = format!("file://{}/wsdl/b.wsdl", folder.path().display());
        check(&resources, &absolute, Some("wsdl/b.wsdl"));
    }

    #[test]
    fn a_resource_is_read_once_and_within_its_limit() {
        let (folder, resources) = resources(&["a.js", "big.js"], true);
        let resource = resources.find("a.js").unwrap();
        assert_eq!(&*resource.text().unwrap(), "a.js");
        fs::write(folder.path().join("a.js"), "changed").unwrap();
        assert_eq!(&*resource.text().unwrap(), "a.js");
        fs::write(folder.path().join("big.js"), vec![b'x'; 2000]).unwrap();
        assert!(
            resources
                .find("big.js")
                .unwrap()
                .text()
                .unwrap_err()
                .contains("larger")
        );
    }
}
