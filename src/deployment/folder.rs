//! Reads deployed folders: every Synapse artifact in any layout, archives included, and everything that keys may name beside them.

mod definitions;

use super::car::{self, ArchiveLimits};
use super::classify::{self, Root};
use super::configs::Configs;
use super::descriptor::Tag;
use super::layout::{self, Layout};
use super::openapi;
use super::resources::{Resources, read_bounded};
use super::walk::{self, Listed, Listing, Stamp};
use crate::plan::element::SYNAPSE as NAMESPACE;
use crate::text::{Diagnostic, FileId, Mistakes, Severity, Sources, Span};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A larger file is read only when its beginning shows that it is an artifact.
const SMALL: u64 = 256 * 1024;
const HEAD: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub struct ReadOptions {
    pub largest_file: u64,
    pub archives: ArchiveLimits,
    /// What `$SYSTEM:` and `${configs.}` see; the process's environment outside tests.
    pub environment: BTreeMap<String, String>,
    /// Read instead of the folder's own `.env`.
    pub env_file: Option<PathBuf>,
    /// Names files as they were given on the command line, not relative to their folder.
    pub names_as_given: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            largest_file: 50 * 1024 * 1024,
            archives: ArchiveLimits::default(),
            environment: BTreeMap::new(),
            env_file: None,
            names_as_given: false,
        }
    }
}

impl ReadOptions {
    pub fn from_environment() -> ReadOptions {
        ReadOptions {
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            ..ReadOptions::default()
        }
    }
}

/// Everything that was read.
#[derive(Debug)]
pub struct Collected {
    /// Of the first folder.
    pub layout: Layout,
    pub sources: Sources,
    pub xml: Vec<XmlFile>,
    /// Those of OpenAPI.
    pub definitions: Vec<openapi::DefinitionFile>,
    pub resources: Resources,
    pub configs: Configs,
    pub mistakes: Mistakes,
    pub stamp: Stamp,
}

/// A file whose root element says that it is Synapse's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlFile {
    pub file: FileId,
    pub origin: Origin,
    /// The root element's local name; empty when the beginning of the file is broken.
    pub root: String,
    /// `false`: the name is Synapse's, the namespace is missing, and that has been told.
    pub namespaced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An artifact in a file of its own.
    Folder,
    /// An artifact in a Carbon application.
    Archive,
    /// Not deployed by itself: something refers to it by this registry path.
    Registry(String),
}

/// Reads all of `roots`, each a folder, an archive or a single file.
pub fn read(roots: &[PathBuf], options: &ReadOptions) -> Collected {
    let mut reading = Reading {
        options,
        read: HashMap::new(),
        collected: Collected {
            layout: Layout::Plain,
            sources: Sources::default(),
            xml: Vec::new(),
            definitions: Vec::new(),
            resources: Resources::new(options.largest_file),
            configs: Configs::new(options.environment.clone()),
            mistakes: Mistakes::default(),
            stamp: Stamp::default(),
        },
    };
    let extra = extra_files(roots, options);
    for path in &extra {
        reading.env_file(path, options.env_file.is_some());
    }
    let listings: Vec<Listing> = roots.iter().map(|root| walk::list(root)).collect();
    for (at, (root, listing)) in roots.iter().zip(&listings).enumerate() {
        let layout = Layout::detect(root, &listing.files);
        if at == 0 {
            reading.collected.layout = layout;
        }
        let prefix = if roots.len() > 1 || options.names_as_given {
            prefix_of(root, layout)
        } else {
            String::new()
        };
        reading.root(root, layout, &prefix, listing);
    }
    let missing: Vec<String> = reading
        .collected
        .configs
        .missing()
        .into_iter()
        .map(|name| {
            format!(
                "`{name}` is declared, and neither the environment nor `file.properties` gives it a value"
            )
        })
        .collect();
    for message in missing {
        reading.tell_file(Severity::Warning, "W0108", "config.properties", &message);
    }
    reading.collected.stamp = Stamp::from_listings(&listings, &extra);
    reading.collected
}

/// The stamp that `read` would give now, without reading.
pub fn stamp(roots: &[PathBuf], options: &ReadOptions) -> Stamp {
    Stamp::of(roots, &extra_files(roots, options))
}

/// Files that belong to a deployment and lie outside of what is listed.
pub fn extra_files(roots: &[PathBuf], options: &ReadOptions) -> Vec<PathBuf> {
    match &options.env_file {
        Some(path) => vec![path.clone()],
        None => roots
            .iter()
            .filter(|root| root.is_dir())
            .map(|root| root.join(".env"))
            .collect(),
    }
}

/// The settings file of a Micro Integrator project or server.
pub fn deployment_toml(root: &Path) -> Option<PathBuf> {
    [
        "deployment/deployment.toml",
        "conf/deployment.toml",
        "deployment.toml",
    ]
    .iter()
    .map(|below| root.join(below))
    .find(|path| path.is_file())
}

struct Reading<'a> {
    options: &'a ReadOptions,
    /// Definitions and what they refer to, by their paths: each is one source, however often it is read.
    read: HashMap<PathBuf, FileId>,
    collected: Collected,
}

impl Reading<'_> {
    fn root(&mut self, root: &Path, layout: Layout, prefix: &str, listing: &Listing) {
        self.tell_listing(root, prefix, listing);
        self.collected
            .resources
            .add_root(root.to_path_buf(), layout.folder_is_registry());
        let described = self.described_resources(listing);
        for listed in &listing.files {
            let name = format!("{prefix}{}", listed.name);
            let registry_path = described
                .get(&listed.name)
                .cloned()
                .or_else(|| layout::registry_path(&listed.name));
            self.collected
                .resources
                .add_file(&name, listed, registry_path.clone());
            match ending(&listed.name) {
                "xml" if registry_path.is_some() || layout.deploys(&listed.name) => {
                    self.xml(listed, name, layout, registry_path);
                }
                "car" if layout.deploys(&listed.name) => self.car(listed, &name),
                "dbs" if layout.deploys(&listed.name) => self.tell_file(
                    Severity::Error,
                    "E0503",
                    &name,
                    "data services are not supported: put an API in front of a service that reads the database",
                ),
                "properties" => self.properties(listed),
                "yaml" | "yml" | "json" if !listed.name.contains('/') => {
                    self.definition(listed, prefix, listing);
                }
                _ => {}
            }
        }
    }

    /// Registry paths that `artifact.xml` files give to files beside them.
    fn described_resources(&mut self, listing: &Listing) -> HashMap<String, String> {
        let mut paths = HashMap::new();
        for listed in &listing.files {
            let Some(folder) = listed.name.strip_suffix("artifact.xml") else {
                continue;
            };
            let Some(tag) = (folder.is_empty() || folder.ends_with('/'))
                .then(|| read_bounded(&listed.path, self.options.largest_file).ok())
                .flatten()
                .filter(|bytes| memchr::memmem::find(bytes, b"registry/resource").is_some())
                .and_then(|bytes| Tag::parse(&classify::decode(bytes).ok()?))
            else {
                continue;
            };
            for item in tag.registry_items() {
                let source = format!("{folder}{}", item.source);
                if item.is_folder {
                    let below = format!("{source}/");
                    for member in listing.files.iter().filter(|file| file.name.starts_with(&below)) {
                        paths.insert(
                            member.name.clone(),
                            format!("{}/{}", item.path, &member.name[below.len()..]),
                        );
                    }
                } else {
                    let tail = item.source.rsplit('/').next().unwrap_or(&item.source);
                    paths.insert(source, format!("{}/{tail}", item.path));
                }
            }
        }
        paths
    }

    fn xml(&mut self, listed: &Listed, name: String, layout: Layout, registry_path: Option<String>) {
        if listed.size > SMALL && layout != Layout::File && self.is_foreign(listed) {
            return;
        }
        if listed.size > self.options.largest_file {
            let allowed = self.options.largest_file / 1024 / 1024;
            let message = format!("the file is larger than the {allowed} MiB that are allowed");
            return self.tell_file(Severity::Error, "E0102", &name, &message);
        }
        let bytes = match read_bounded(&listed.path, self.options.largest_file) {
            Ok(bytes) => bytes,
            // Gone since it was listed: somebody is saving, and another look will follow.
            Err(_) if !listed.path.exists() => return,
            Err(reason) => {
                return self.tell_file(
                    Severity::Error,
                    "E0100",
                    &name,
                    &format!("cannot be read: {reason}"),
                );
            }
        };
        let is_ours = memchr::memmem::find(&bytes, NAMESPACE.as_bytes()).is_some();
        let text = match classify::decode(bytes) {
            Ok(text) => text,
            // Nobody told us that this file concerns us.
            Err(_) if !is_ours && layout != Layout::File => return,
            Err(reason) => return self.tell_file(Severity::Error, "E0103", &name, &reason),
        };
        let origin = registry_path.map_or(Origin::Folder, Origin::Registry);
        let promised = layout
            .promised_root(&listed.name)
            .filter(|_| origin == Origin::Folder);
        if !self.keep(&name, text, origin, promised) && layout == Layout::File {
            self.tell_file(
                Severity::Error,
                "E0107",
                &name,
                &format!("this is no Synapse artifact: its root element is not in the namespace {NAMESPACE}"),
            );
        }
    }

    /// Classifies a text by its root; whether it was kept.
    fn keep(&mut self, name: &str, text: String, origin: Origin, promised: Option<&str>) -> bool {
        let (root, place, namespaced) = match classify::root_of(&text) {
            Root::Synapse { name, place } => (name, place, true),
            Root::Bare {
                name: root,
                place,
                is_own,
            } => {
                // A registry holds whatever its owner likes, under any name.
                if matches!(origin, Origin::Registry(_)) {
                    return false;
                }
                let file = self.collected.sources.add(name, text);
                let severity = if is_own {
                    Severity::Error
                } else {
                    Severity::Warning
                };
                let message = format!("`<{root}>` is not in Synapse's namespace, so it is not deployed");
                self.collected.mistakes.push(
                    Diagnostic::new(severity, if is_own { "E0105" } else { "W0106" }, message)
                        .at(Span::new(file, place))
                        .label("no namespace")
                        .help(format!("add xmlns=\"{NAMESPACE}\" here")),
                );
                if is_own {
                    self.collected.xml.push(XmlFile {
                        file,
                        origin,
                        root,
                        namespaced: false,
                    });
                }
                return true;
            }
            Root::Foreign => return false,
            // Too broken to tell its root, and still ours: the XML reader will say where.
            Root::Garbled | Root::Unfinished if text.contains(NAMESPACE) => (String::new(), 0..0, true),
            // Half of a file is somebody's save under way. To leave it alone would take down what it held before.
            Root::Unfinished if !matches!(origin, Origin::Registry(_)) => (String::new(), 0..0, true),
            Root::Garbled | Root::Unfinished => return false,
        };
        let file = self.collected.sources.add(name, text);
        if let Some(promised) = promised
            && promised != root
            && !root.is_empty()
        {
            self.collected.mistakes.push(
                Diagnostic::note(
                    "N0101",
                    Span::new(file, place),
                    format!("a `<{root}>` in a folder for `<{promised}>`"),
                )
                .label("deployed as what it is"),
            );
        }
        self.collected.xml.push(XmlFile {
            file,
            origin,
            root,
            namespaced,
        });
        true
    }

    /// Looks at the beginning of a large file only.
    fn is_foreign(&self, listed: &Listed) -> bool {
        let mut head = Vec::new();
        let read = std::fs::File::open(&listed.path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        read.is_ok() && classify::root_of(&String::from_utf8_lossy(&head)) == Root::Foreign
    }

    fn car(&mut self, listed: &Listed, name: &str) {
        let bytes = match read_bounded(&listed.path, self.options.archives.total_bytes) {
            Ok(bytes) => bytes,
            Err(_) if !listed.path.exists() => return,
            Err(reason) => {
                return self.tell_file(
                    Severity::Error,
                    "E0100",
                    name,
                    &format!("cannot be read: {reason}"),
                );
            }
        };
        let contents = car::read(name, bytes, &self.options.archives, &mut self.collected.mistakes);
        for (name, text) in contents.artifacts {
            self.keep(&name, text, Origin::Archive, None);
        }
        for resource in contents.resources {
            // A resource that is an artifact itself is checked when something refers to it, at a place in it.
            if let Ok(text) = String::from_utf8(resource.bytes.clone())
                && ending(&resource.name) == "xml"
            {
                let origin = Origin::Registry(resource.registry_path.clone());
                self.keep(&resource.name, text, origin, None);
            }
            self.collected
                .resources
                .add_archived(resource.registry_path, resource.name, resource.bytes);
        }
        for text in contents.configs {
            self.collected.configs.add_config_properties(&text);
        }
    }

    fn properties(&mut self, listed: &Listed) {
        let (folder, file) = listed.name.rsplit_once('/').unwrap_or(("", &listed.name));
        let known = [
            "",
            "conf",
            "deployment",
            "repository/conf",
            "src/main/wso2mi/resources/conf",
        ];
        if !known.contains(&folder) {
            return;
        }
        let Some(text) = read_bounded(&listed.path, self.options.largest_file)
            .ok()
            .and_then(|bytes| classify::decode(bytes).ok())
        else {
            return;
        };
        match file {
            "file.properties" => self.collected.configs.add_file_properties(&text),
            "config.properties" => self.collected.configs.add_config_properties(&text),
            _ => {}
        }
    }

    fn env_file(&mut self, path: &Path, was_asked_for: bool) {
        match read_bounded(path, self.options.largest_file) {
            Ok(bytes) => self
                .collected
                .configs
                .add_env_file(&String::from_utf8_lossy(&bytes)),
            Err(reason) if was_asked_for => {
                let message = format!("the env file cannot be read: {reason}");
                self.tell_file(Severity::Error, "E0100", &path.to_string_lossy(), &message);
            }
            Err(_) => {}
        }
    }

    fn tell_listing(&mut self, root: &Path, prefix: &str, listing: &Listing) {
        for (name, error) in &listing.unreadable {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            if *name == root.to_string_lossy() {
                let message = if is_missing {
                    "there is no such file or folder".to_owned()
                } else {
                    format!("cannot be read: {error}")
                };
                self.tell_file(Severity::Error, "E0100", name, &message);
            } else if is_missing {
                let name = format!("{prefix}{name}");
                self.tell_file(Severity::Warning, "W0103", &name, "this link points to nothing");
            } else {
                let name = format!("{prefix}{name}");
                self.tell_file(
                    Severity::Error,
                    "E0100",
                    &name,
                    &format!("cannot be read: {error}"),
                );
            }
        }
        for name in &listing.put_aside {
            let name = format!("{prefix}{name}");
            self.tell_file(
                Severity::Note,
                "N0102",
                &name,
                "Synapse put this file aside; it is ignored",
            );
        }
        if listing.too_many {
            let message = "there are too many files below this folder; is it the right one?";
            self.tell_file(Severity::Error, "E0104", &root.to_string_lossy(), message);
        }
    }

    fn tell_file(&mut self, severity: Severity, code: &'static str, file: &str, message: &str) {
        self.collected
            .mistakes
            .push(Diagnostic::new(severity, code, message).in_file(file));
    }
}

fn prefix_of(root: &Path, layout: Layout) -> String {
    let shown = if layout == Layout::File {
        root.parent().unwrap_or(Path::new(""))
    } else {
        root
    };
    let shown = shown.strip_prefix(".").unwrap_or(shown).to_string_lossy();
    if shown.is_empty() || shown.ends_with('/') {
        shown.into_owned()
    } else {
        format!("{shown}/")
    }
}

/// What follows the last dot, if it is one of the endings that matter here.
fn ending(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["xml", "car", "dbs", "properties", "yaml", "yml", "json"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(ending))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::super::car::tests::{application, archive, artifact};
    use super::*;
    use std::fs;

    /// A folder with a sequence, or an endpoint where the name says so, in each of these files.
    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new(files: &[&str]) -> Fixture {
            let fixture = Fixture(tempfile::tempdir().unwrap());
            for name in files {
                let root = if name.contains("endpoint") {
                    "endpoint"
                } else {
                    "sequence"
                };
                fixture.write(name, format!("<{root} xmlns=\"{NAMESPACE}\" name=\"{name}\"/>"));
            }
            fixture
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn read(&self) -> Collected {
            read(&[self.0.path().to_path_buf()], &ReadOptions::default())
        }
    }

    fn names(collected: &Collected) -> Vec<&str> {
        collected
            .xml
            .iter()
            .filter(|file| !matches!(file.origin, Origin::Registry(_)))
            .map(|file| collected.sources.file(file.file).name.as_str())
            .collect()
    }

    fn codes(collected: &Collected) -> Vec<&str> {
        collected.mistakes.iter().map(|mistake| mistake.code).collect()
    }

    fn check(files: &[&str], layout: Layout, expected: &[&str]) {
        let collected = Fixture::new(files).read();
        assert_eq!((collected.layout, names(&collected)), (layout, expected.to_vec()));
        assert_eq!(codes(&collected), Vec::<&str>::new());
    }

    #[test]
    fn every_layout_is_told_and_its_artifacts_are_found() {
        check(
            &["main.xml", "deep/er/a.xml", "target/b.xml"],
            Layout::Plain,
            &["deep/er/a.xml", "main.xml", "target/b.xml"],
        );
        check(
            &["synapse.xml", "sequences/main.xml", "endpoints/e.xml"],
            Layout::Classic,
            &["endpoints/e.xml", "sequences/main.xml", "synapse.xml"],
        );
        check(
            &[
                "src/main/wso2mi/artifacts/sequences/a.xml",
                "src/main/wso2mi/resources/sequences/not-deployed.xml",
                "src/test/wso2mi/t.xml",
                "other.xml",
            ],
            Layout::Project,
            &["src/main/wso2mi/artifacts/sequences/a.xml"],
        );
        check(
            &[
                "OrdersConfigs/src/main/synapse-config/sequences/a.xml",
                "OrdersConfigs/src/test/t.xml",
                "OrdersConfigs/artifact.xml",
            ],
            Layout::Modules,
            &["OrdersConfigs/src/main/synapse-config/sequences/a.xml"],
        );
        check(
            &[
                "repository/deployment/server/synapse-configs/default/sequences/a.xml",
                "repository/samples/synapse_sample_1.xml",
                "registry/config/sequences/b.xml",
            ],
            Layout::Server,
            &["repository/deployment/server/synapse-configs/default/sequences/a.xml"],
        );
        check(
            &[
                "repository/conf/synapse-config/synapse.xml",
                "repository/conf/sample/resources/sequence/b.xml",
            ],
            Layout::Server,
            &["repository/conf/synapse-config/synapse.xml"],
        );
    }

    #[test]
    fn an_artifact_in_the_registry_is_known_by_its_path() {
        let collected = Fixture::new(&["registry/governance/seq/a.xml"]).read();
        assert_eq!(
            collected.xml[0].origin,
            Origin::Registry("/_system/governance/seq/a.xml".to_owned())
        );
        assert!(collected.resources.find("gov:/seq/a.xml").is_some());
    }

    #[test]
    fn a_registry_module_maps_its_files_by_its_description() {
        let fixture = Fixture::new(&["AConfigs/src/main/synapse-config/sequences/a.xml"]);
        fixture.write("ARegistry/x.xslt", "<x/>");
        fixture.write("ARegistry/more/y.json", "{}");
        fixture.write(
            "ARegistry/artifact.xml",
            "<artifacts><artifact name='x' type='registry/resource'><item><file>x.xslt</file><path>/_system/config/in</path></item>\
             <collection><directory>more</directory><path>/_system/governance/m</path></collection></artifact></artifacts>",
        );
        let collected = fixture.read();
        for (key, name) in [
            ("conf:/in/x.xslt", "ARegistry/x.xslt"),
            ("gov:m/y.json", "ARegistry/more/y.json"),
        ] {
            assert_eq!(collected.resources.find(key).unwrap().name, name);
        }
    }

    #[test]
    fn archives_are_read_in_place() {
        let fixture = Fixture::new(&["repository/deployment/server/synapse-configs/default/sequences/a.xml"]);
        let sequence = format!("<sequence xmlns='{NAMESPACE}'/>");
        let car = archive(&[
            ("artifacts.xml", application(&["S", "R", "P"]).as_bytes()),
            (
                "S_1.0.0/artifact.xml",
                artifact("S", "synapse/sequence", "S-1.0.0.xml").as_bytes(),
            ),
            ("S_1.0.0/S-1.0.0.xml", sequence.as_bytes()),
            (
                "R_1.0.0/artifact.xml",
                artifact("R", "registry/resource", "registry-info.xml").as_bytes(),
            ),
            (
                "R_1.0.0/registry-info.xml",
                b"<resources><item><file>s.xml</file><path>/_system/governance/x</path></item></resources>",
            ),
            ("R_1.0.0/resources/s.xml", sequence.as_bytes()),
            (
                "P_1.0.0/artifact.xml",
                artifact("P", "config/property", "config.properties").as_bytes(),
            ),
            ("P_1.0.0/config.properties", b"level=7"),
        ]);
        fixture.write("repository/deployment/server/carbonapps/app.car", car);
        let collected = fixture.read();
        assert_eq!(codes(&collected), Vec::<&str>::new());
        assert_eq!(
            names(&collected)[0],
            "repository/deployment/server/carbonapps/app.car!/S_1.0.0/S-1.0.0.xml"
        );
        assert_eq!(
            collected.xml[1].origin,
            Origin::Registry("/_system/governance/x/s.xml".to_owned())
        );
        assert_eq!(
            &*collected.resources.find("gov:/x/s.xml").unwrap().text().unwrap(),
            sequence
        );
        assert_eq!(collected.configs.config("level"), Some("7"));
    }

    #[test]
    fn other_xml_is_left_alone_and_a_missing_namespace_is_told() {
        let fixture = Fixture::new(&["a.xml"]);
        fixture.write("pom.xml", "<project xmlns='http://maven.apache.org/POM/4.0.0'/>");
        fixture.write("test.xml", "<unit-test/>");
        fixture.write("latin.xml", b"<x>\xE9</x>");
        fixture.write("empty.xml", "");
        fixture.write("bare.xml", "<?xml version='1.0'?>\n<api name='x'/>");
        fixture.write("broken.xml", format!("oops <api xmlns='{NAMESPACE}'"));
        fixture.write("rejected.xml.back", "<api/>");
        fixture.write("big.xml", format!("<x>{}</x>", " ".repeat(400_000)));
        let collected = fixture.read();
        assert_eq!(
            names(&collected),
            ["a.xml", "bare.xml", "broken.xml", "empty.xml"]
        );
        assert_eq!(codes(&collected), ["N0102", "E0105"]);
        let bare = collected.mistakes.iter().last().unwrap();
        assert_eq!(collected.sources.place_text(bare.span.unwrap()), "bare.xml:2:2");
        assert!(!collected.xml[1].namespaced);
    }

    #[test]
    fn a_kind_in_the_wrong_folder_is_noted_and_deployed() {
        let collected = Fixture::new(&["synapse.xml", "endpoints/e.xml", "api/endpoint.xml"]).read();
        assert_eq!(codes(&collected), ["N0101"]);
        assert_eq!(collected.xml.len(), 3);
    }

    #[test]
    fn a_file_that_is_too_large_or_no_artifact_is_told() {
        let fixture = Fixture::new(&[]);
        fixture.write(
            "a.xml",
            format!("<api xmlns='{NAMESPACE}'>{}</api>", " ".repeat(3000)),
        );
        fixture.write("b.xml", "<b/>");
        let options = ReadOptions {
            largest_file: 2000,
            ..ReadOptions::default()
        };
        let path = |name: &str| fixture.0.path().join(name);
        assert_eq!(codes(&read(&[path("a.xml")], &options)), ["E0102"]);
        assert_eq!(codes(&read(&[path("b.xml")], &options)), ["E0107"]);
        assert_eq!(codes(&read(&[path("nowhere")], &options)), ["E0100"]);
    }

    #[test]
    fn values_come_from_the_environment_first_then_from_files() {
        let fixture = Fixture::new(&["a.xml"]);
        fixture.write(".env", "HOST=from-file\nPORT=1");
        fixture.write("conf/file.properties", "user=anna");
        fixture.write("config.properties", "user:string\nnobody:string");
        let options = ReadOptions {
            environment: BTreeMap::from([("HOST".to_owned(), "outer".to_owned())]),
            ..ReadOptions::default()
        };
        let collected = read(&[fixture.0.path().to_path_buf()], &options);
        assert_eq!(codes(&collected), ["W0108"]);
        assert_eq!(
            collected
                .configs
                .resolve("$SYSTEM:HOST $SYSTEM:PORT $FILE:user ${configs.user}"),
            Ok(Some("outer 1 anna anna".to_owned()))
        );
    }

    #[test]
    fn nothing_changes_the_stamp_but_a_change() {
        let fixture = Fixture::new(&["a.xml"]);
        let roots = [fixture.0.path().to_path_buf()];
        let options = ReadOptions::default();
        let before = fixture.read().stamp;
        assert_eq!(stamp(&roots, &options), before);
        fixture.write(".env", "A=1");
        assert_ne!(stamp(&roots, &options), before);
    }
}
