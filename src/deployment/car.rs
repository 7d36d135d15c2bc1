//! Reads a Carbon application (`.car`) in place: a zip with one folder an artifact, possibly with further archives inside.

use super::classify;
use super::descriptor::Tag;
use crate::text::{Diagnostic, Mistakes, Severity};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// What one archive may cost.
#[derive(Debug, Clone)]
pub struct ArchiveLimits {
    pub entries: usize,
    /// Of one file inside, unpacked.
    pub entry_bytes: u64,
    /// Of everything that is unpacked, archives inside archives included.
    pub total_bytes: u64,
    pub depth: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        ArchiveLimits {
            entries: 20_000,
            entry_bytes: 50 * 1024 * 1024,
            total_bytes: 512 * 1024 * 1024,
            depth: 3,
        }
    }
}

/// What an archive holds for us, in the order in which it wants to be deployed.
#[derive(Debug, Default)]
pub struct Contents {
    /// (name, text) of every artifact file.
    pub artifacts: Vec<(String, String)>,
    pub resources: Vec<ArchivedResource>,
    /// Texts of `config.properties` files.
    pub configs: Vec<String>,
}

#[derive(Debug)]
pub struct ArchivedResource {
    /// `/_system/governance/x/y.xslt`
    pub registry_path: String,
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Reads the archive called `name`.
pub fn read(name: &str, bytes: Vec<u8>, limits: &ArchiveLimits, mistakes: &mut Mistakes) -> Contents {
    let mut reading = Reading {
        contents: Contents::default(),
        limits,
        budget: limits.total_bytes,
        mistakes,
    };
    reading.archive(name, bytes, 1);
    reading.contents
}

struct Reading<'a> {
    contents: Contents,
    limits: &'a ArchiveLimits,
    budget: u64,
    mistakes: &'a mut Mistakes,
}

/// One open archive and the names in it.
struct Open {
    name: String,
    zip: ZipArchive<Cursor<Vec<u8>>>,
    entries: Vec<(String, usize)>,
}

/// One folder of an archive, as its `artifact.xml` describes it.
struct Described {
    folder: String,
    name: String,
    version: String,
    kind: String,
    file: String,
}

impl Reading<'_> {
    fn archive(&mut self, name: &str, bytes: Vec<u8>, depth: usize) {
        if depth > self.limits.depth {
            return self.refuse(name, "archives are nested too deeply");
        }
        let zip = match ZipArchive::new(Cursor::new(bytes)) {
            Ok(zip) => zip,
            Err(error) => return self.refuse(name, &format!("this is no readable archive: {error}")),
        };
        if zip.len() > self.limits.entries {
            return self.refuse(
                name,
                &format!("the archive has more than {} entries", self.limits.entries),
            );
        }
        let mut open = Open {
            name: name.to_owned(),
            entries: entries(&zip),
            zip,
        };
        // Archives inside come first: the outer one builds on them.
        for (inner, index) in open.ending_with(".car") {
            if let Some(bytes) = self.bytes(&mut open, &inner, index) {
                self.archive(&format!("{name}!/{inner}"), bytes, depth + 1);
            }
        }
        if open.index("artifacts.xml").is_some() {
            self.described(&mut open);
        } else {
            // Not packed by a Carbon tool; what is XML in it may still be an artifact.
            for (inner, index) in open.ending_with(".xml") {
                self.artifact(&mut open, &inner, index);
            }
        }
    }

    fn described(&mut self, open: &mut Open) {
        let Some(root) = self.tag(open, "artifacts.xml") else {
            return;
        };
        let wanted: Vec<(String, String)> = root
            .walk()
            .into_iter()
            .filter(|tag| tag.name == "dependency")
            .map(|tag| {
                (
                    tag.attribute("artifact").to_owned(),
                    tag.attribute("version").to_owned(),
                )
            })
            .collect();
        let mut found = Vec::new();
        for (inner, _) in open.ending_with("/artifact.xml") {
            let Some(tag) = self.tag(open, &inner) else {
                continue;
            };
            let described = Described {
                folder: inner.trim_end_matches("artifact.xml").to_owned(),
                name: tag.attribute("name").to_owned(),
                version: tag.attribute("version").to_owned(),
                kind: tag.attribute("type").to_owned(),
                file: tag.child_text("file").to_owned(),
            };
            let position = wanted
                .iter()
                .position(|(name, version)| *name == described.name && *version == described.version)
                .or_else(|| wanted.iter().position(|(name, _)| *name == described.name));
            match position {
                Some(position) => found.push((position, described)),
                // Descriptions for a service catalogue are never listed.
                None if inner.starts_with("metadata/") => {}
                None => self.tell(
                    Severity::Warning,
                    "W0104",
                    open,
                    &inner,
                    "`artifacts.xml` does not list this artifact, so it is not deployed",
                ),
            }
        }
        found.sort_by_key(|(position, _)| *position);
        for (position, (name, version)) in wanted.iter().enumerate() {
            if !found.iter().any(|(known, _)| *known == position) {
                self.tell(
                    Severity::Warning,
                    "W0105",
                    open,
                    "artifacts.xml",
                    &format!("`{name}` {version} is listed, and there is no folder for it in the archive"),
                );
            }
        }
        for (_, described) in found {
            self.deploy(open, &described);
        }
    }

    fn deploy(&mut self, open: &mut Open, described: &Described) {
        let inner = format!("{}{}", described.folder, described.file);
        let not_here = match described.kind.as_str() {
            "registry/resource" => return self.registry_resource(open, described),
            "config/property" => {
                if let Some(index) = self.required(open, &inner)
                    && let Some(text) = self.text(open, &inner, index)
                {
                    self.contents.configs.push(text);
                }
                return;
            }
            // What uses them is told at its own place.
            "lib/synapse/mediator"
            | "lib/connector/dependency"
            | "synapse/lib"
            | "lib/library/bundle"
            | "synapse/metadata"
            | "carbon/application" => return,
            kind if kind.starts_with("synapse/") => {
                if let Some(index) = self.required(open, &inner) {
                    self.artifact(open, &inner, index);
                }
                return;
            }
            "service/dataservice" => {
                "data services are not supported: put an API in front of a service that reads the database"
            }
            "datasource/datasource" => "data sources are not supported",
            _ => "artifacts of this type are not supported",
        };
        self.tell(
            Severity::Error,
            "E0503",
            open,
            &inner,
            &format!("{not_here} (type `{}`)", described.kind),
        );
    }

    fn registry_resource(&mut self, open: &mut Open, described: &Described) {
        let file = if described.file.is_empty() {
            "registry-info.xml"
        } else {
            &described.file
        };
        let Some(info) = self.tag(open, &format!("{}{file}", described.folder)) else {
            return;
        };
        for item in info.registry_items() {
            let base = format!("{}resources/{}", described.folder, item.source);
            let below = format!("{base}/");
            let members: Vec<(String, usize)> = open
                .entries
                .iter()
                .filter(|(entry, _)| {
                    if item.is_folder {
                        entry.starts_with(&below) && !entry.contains("/.meta/")
                    } else {
                        *entry == base
                    }
                })
                .cloned()
                .collect();
            if members.is_empty() && !item.is_folder {
                self.tell(
                    Severity::Warning,
                    "W0105",
                    open,
                    &base,
                    "this file is listed, and not in the archive",
                );
            }
            for (entry, index) in members {
                let tail = if item.is_folder {
                    &entry[below.len()..]
                } else {
                    item.source.rsplit('/').next().unwrap_or(&item.source)
                };
                let registry_path = format!("{}/{tail}", item.path);
                if let Some(bytes) = self.bytes(open, &entry, index) {
                    self.contents.resources.push(ArchivedResource {
                        registry_path,
                        name: format!("{}!/{entry}", open.name),
                        bytes,
                    });
                }
            }
        }
    }

    fn artifact(&mut self, open: &mut Open, inner: &str, index: usize) {
        if let Some(text) = self.text(open, inner, index) {
            self.contents
                .artifacts
                .push((format!("{}!/{inner}", open.name), text));
        }
    }

    fn tag(&mut self, open: &mut Open, inner: &str) -> Option<Tag> {
        let index = self.required(open, inner)?;
        let text = self.text(open, inner, index)?;
        let tag = Tag::parse(&text);
        if tag.is_none() {
            self.tell(
                Severity::Error,
                "E0106",
                open,
                inner,
                "this description is not well-formed XML",
            );
        }
        tag
    }

    fn required(&mut self, open: &Open, inner: &str) -> Option<usize> {
        let index = open.index(inner);
        if index.is_none() {
            self.tell(
                Severity::Error,
                "E0106",
                open,
                inner,
                "this file is listed, and not in the archive",
            );
        }
        index
    }

    fn text(&mut self, open: &mut Open, inner: &str, index: usize) -> Option<String> {
        let bytes = self.bytes(open, inner, index)?;
        match classify::decode(bytes) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.tell(Severity::Error, "E0103", open, inner, &reason);
                None
            }
        }
    }

    /// Unpacks one entry. The sizes an archive declares are not believed; what comes out is counted.
    fn bytes(&mut self, open: &mut Open, inner: &str, index: usize) -> Option<Vec<u8>> {
        let allowed = self.limits.entry_bytes.min(self.budget);
        let mut bytes = Vec::new();
        let read = open
            .zip
            .by_index(index)
            .map_err(|error| error.to_string())
            .and_then(|entry| {
                entry
                    .take(allowed + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| error.to_string())
            });
        let trouble = match read {
            Ok(length) if length as u64 > allowed => {
                format!(
                    "unpacked, this is larger than the {} MiB that are allowed",
                    allowed / 1024 / 1024
                )
            }
            Ok(length) => {
                self.budget -= length as u64;
                return Some(bytes);
            }
            Err(error) => format!("this entry cannot be unpacked: {error}"),
        };
        self.tell(Severity::Error, "E0106", open, inner, &trouble);
        None
    }

    fn tell(&mut self, severity: Severity, code: &'static str, open: &Open, inner: &str, message: &str) {
        self.mistakes
            .push(Diagnostic::new(severity, code, message).in_file(format!("{}!/{inner}", open.name)));
    }

    fn refuse(&mut self, name: &str, message: &str) {
        self.mistakes
            .push(Diagnostic::new(Severity::Error, "E0106", message).in_file(name));
    }
}

impl Open {
    fn index(&self, inner: &str) -> Option<usize> {
        self.entries
            .iter()
            .find(|(entry, _)| entry == inner)
            .map(|(_, index)| *index)
    }

    fn ending_with(&self, ending: &str) -> Vec<(String, usize)> {
        self.entries
            .iter()
            .filter(|(entry, _)| entry.ends_with(ending))
            .cloned()
            .collect()
    }
}

/// Names and indexes of the files; names that point out of the archive are nobody's.
fn entries(zip: &ZipArchive<Cursor<Vec<u8>>>) -> Vec<(String, usize)> {
    let mut entries: Vec<(String, usize)> = zip
        .file_names()
        .enumerate()
        .filter_map(|(index, name)| Some((name.ok()?.replace('\\', "/"), index)))
        .filter(|(name, _)| !name.ends_with('/') && !name.starts_with('/'))
        .filter(|(name, _)| !name.split('/').any(|part| part == ".."))
        .collect();
    entries.sort();
    entries
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    /// An archive of these files.
    pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    pub fn application(dependencies: &[&str]) -> String {
        let list: String = dependencies
            .iter()
            .map(|name| format!("<dependency artifact='{name}' version='1.0.0' include='true'/>"))
            .collect();
        format!(
            "<artifacts><artifact name='app' version='1.0.0' type='carbon/application'>{list}</artifact></artifacts>"
        )
    }

    pub fn artifact(name: &str, kind: &str, file: &str) -> String {
        format!("<artifact name='{name}' version='1.0.0' type='{kind}'><file>{file}</file></artifact>")
    }

    fn check(files: &[(&str, &[u8])], limits: &ArchiveLimits) -> (Contents, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let contents = read("app.car", archive(files), limits, &mut mistakes);
        let told = mistakes
            .into_iter()
            .map(|mistake| {
                format!(
                    "{} {}: {}",
                    mistake.code,
                    mistake.file.unwrap_or_default(),
                    mistake.message
                )
            })
            .collect();
        (contents, told)
    }

    #[test]
    fn artifacts_come_in_the_order_of_their_application() {
        let (contents, told) = check(
            &[
                ("artifacts.xml", application(&["B", "A", "Missing"]).as_bytes()),
                (
                    "A_1.0.0/artifact.xml",
                    artifact("A", "synapse/api", "A-1.0.0.xml").as_bytes(),
                ),
                ("A_1.0.0/A-1.0.0.xml", b"<api/>"),
                (
                    "B_1.0.0/artifact.xml",
                    artifact("B", "synapse/sequence", "B-1.0.0.xml").as_bytes(),
                ),
                ("B_1.0.0/B-1.0.0.xml", b"<sequence/>"),
                (
                    "C_1.0.0/artifact.xml",
                    artifact("C", "synapse/sequence", "C-1.0.0.xml").as_bytes(),
                ),
            ],
            &ArchiveLimits::default(),
        );
        let names: Vec<&str> = contents.artifacts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["app.car!/B_1.0.0/B-1.0.0.xml", "app.car!/A_1.0.0/A-1.0.0.xml"]
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("W0104 app.car!/C_1.0.0/artifact.xml"));
        assert!(told[1].contains("`Missing` 1.0.0 is listed"));
    }

    #[test]
    fn an_archive_inside_an_archive_is_read_first() {
        let inner = archive(&[
            ("artifacts.xml", application(&["In"]).as_bytes()),
            (
                "In_1.0.0/artifact.xml",
                artifact("In", "synapse/sequence", "In.xml").as_bytes(),
            ),
            ("In_1.0.0/In.xml", b"<sequence/>"),
        ]);
        let (contents, told) = check(
            &[
                ("artifacts.xml", application(&["Out"]).as_bytes()),
                (
                    "Out_1.0.0/artifact.xml",
                    artifact("Out", "synapse/api", "Out.xml").as_bytes(),
                ),
                ("Out_1.0.0/Out.xml", b"<api/>"),
                ("dependencies/in.car", &inner),
            ],
            &ArchiveLimits::default(),
        );
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(
            contents.artifacts[0].0,
            "app.car!/dependencies/in.car!/In_1.0.0/In.xml"
        );
        assert_eq!(contents.artifacts[1].0, "app.car!/Out_1.0.0/Out.xml");
    }

    #[test]
    fn a_bomb_is_refused_by_what_comes_out_of_it() {
        let bomb = vec![b' '; 3 * 1024 * 1024];
        let limits = ArchiveLimits {
            entry_bytes: 1024 * 1024,
            ..ArchiveLimits::default()
        };
        let (contents, told) = check(&[("big.xml", &bomb), ("small.xml", b"<api/>")], &limits);
        assert_eq!(contents.artifacts.len(), 1);
        assert!(told[0].contains("larger than the 1 MiB"), "{told:?}");

        let mut nested = archive(&[("a.xml", b"<api/>")]);
        for _ in 0..5 {
            nested = archive(&[("in.car", &nested)]);
        }
        let (_, told) = check(&[("in.car", &nested)], &ArchiveLimits::default());
        assert!(told[0].contains("nested too deeply"), "{told:?}");

        let (_, told) = check(
            &[("a.xml", b"1"), ("b.xml", b"2")],
            &ArchiveLimits {
                entries: 1,
                ..ArchiveLimits::default()
            },
        );
        assert!(told[0].contains("more than 1 entries"), "{told:?}");
    }

    #[test]
    fn what_is_not_supported_is_told() {
        let (_, told) = check(
            &[
                ("artifacts.xml", application(&["D"]).as_bytes()),
                (
                    "D_1.0.0/artifact.xml",
                    artifact("D", "service/dataservice", "D.dbs").as_bytes(),
                ),
                ("D_1.0.0/D.dbs", b"<data/>"),
            ],
            &ArchiveLimits::default(),
        );
        assert!(
            told[0].starts_with("E0503 app.car!/D_1.0.0/D.dbs: data services"),
            "{told:?}"
        );
    }

    #[test]
    fn rubbish_is_told_and_nothing_more() {
        let mut mistakes = Mistakes::default();
        read(
            "x.car",
            b"PK no".to_vec(),
            &ArchiveLimits::default(),
            &mut mistakes,
        );
        assert_eq!(mistakes.errors(), 1);
    }
}
