//! Lists a folder: every file below it once, symlinks followed, litter left out, and a stamp that tells whether anything changed.

use super::openapi::files::{below_folder, mentioned};
use super::resources::read_bounded;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// More entries than this are no configuration folder; somebody pointed at `/`.
const MOST_FILES: usize = 200_000;
const DEEPEST: usize = 64;

/// What a folder's files looked like: paths, sizes, times and inodes. Equal stamps mean that nothing needs to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp(u64);

/// One file of a folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Below the listed folder, with `/`.
    pub name: String,
    pub path: PathBuf,
    pub size: u64,
}

#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their names.
    pub files: Vec<Listed>,
    /// Where a single file was asked for: those that it refers to, from the folder that it lies in.
    pub beside: Vec<Listed>,
    /// Files that Synapse put aside itself (`.back`): left alone, and told.
    pub put_aside: Vec<String>,
    /// What could not be looked at, and why.
    pub unreadable: Vec<(String, io::Error)>,
    pub too_many: bool,
    /// Folders in which a change matters, those of linked files included.
    pub folders: Vec<PathBuf>,
    identities: Vec<Identity>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    name: String,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
    inode: u64,
}

impl Stamp {
    /// The stamp of folders and of single files beside them (certificates, settings), read anew.
    pub fn of(roots: &[PathBuf], extra: &[PathBuf]) -> Stamp {
        let listings: Vec<Listing> = roots.iter().map(|root| list(root)).collect();
        Stamp::from_listings(&listings, extra)
    }

    pub fn from_listings(listings: &[Listing], extra: &[PathBuf]) -> Stamp {
        let mut hasher = DefaultHasher::new();
        for listing in listings {
            listing.identities.hash(&mut hasher);
        }
        for path in extra {
            let name = path.to_string_lossy();
            match std::fs::metadata(path) {
                Ok(metadata) => identity(&name, &metadata).hash(&mut hasher),
                Err(_) => name.hash(&mut hasher),
            }
        }
        Stamp(hasher.finish())
    }
}

/// What folders and the files beside them held at one time, to tell what is different at another.
#[derive(Debug, Default)]
pub struct Contents(HashMap<PathBuf, Identity>);

impl Contents {
    /// As of these listings; the files beside them are looked at now.
    pub fn of(roots: &[PathBuf], listings: &[Listing], extra: &[PathBuf]) -> Contents {
        let listed = roots.iter().zip(listings).flat_map(|(root, listing)| {
            let identities = listing.identities.iter();
            // A root that is a file is its own name, and what it refers to is named from beside it.
            let is_folder = root.is_dir();
            identities.map(move |own| {
                let path = match is_folder {
                    true => root.join(&own.name),
                    false => root.with_file_name(&own.name),
                };
                (path, own.clone())
            })
        });
        let beside = extra.iter().filter_map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((path.clone(), identity(&path.to_string_lossy(), &metadata)))
        });
        Contents(listed.chain(beside).collect())
    }

    /// The files that are new, gone, or not what they were, in the order of their names.
    pub fn difference(&self, before: &Contents) -> Vec<PathBuf> {
        let changed = self
            .0
            .iter()
            .filter(|(path, own)| before.0.get(*path) != Some(own));
        let gone = before.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        let mut paths: Vec<PathBuf> = changed.chain(gone).map(|(path, _)| path.clone()).collect();
        paths.sort_unstable();
        paths
    }
}

/// Every file below `root`; `root` may be a file itself.
pub fn list(root: &Path) -> Listing {
    let mut listing = Listing::default();
    let metadata = match std::fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) => {
            listing
                .unreadable
                .push((root.to_string_lossy().into_owned(), error));
            return listing;
        }
    };
    if !metadata.is_dir() {
        let name = root.file_name().unwrap_or(root.as_os_str()).to_string_lossy();
        listing.folders.extend(root.parent().map(Path::to_path_buf));
        listing.add(name.clone().into_owned(), root.to_path_buf(), &metadata);
        listing.follow(root, &name);
        return listing;
    }
    let mut walk = Walk {
        listing,
        folders: HashSet::from([(metadata.dev(), metadata.ino())]),
        files: HashSet::new(),
        links: Vec::new(),
    };
    walk.folder(root, "", 0);
    // Links come last: what they point to may have been listed under its own name.
    while let Some((path, name, depth)) = walk.links.pop() {
        walk.link(&path, name, depth);
    }
    let mut listing = walk.listing;
    listing
        .files
        .sort_unstable_by(|left, right| left.name.cmp(&right.name));
    listing.identities.sort_unstable();
    listing
}

struct Walk {
    listing: Listing,
    /// Folders already entered, so that a link to a parent ends.
    folders: HashSet<(u64, u64)>,
    files: HashSet<(u64, u64)>,
    links: Vec<(PathBuf, String, usize)>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(prefix.trim_end_matches('/'), error),
        };
        self.listing.folders.push(folder.to_path_buf());
        let mut below = Vec::new();
        let mut has_build_file = false;
        for entry in entries.flatten() {
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            if is_litter(&file_name) {
                continue;
            }
            has_build_file |= file_name == "pom.xml" || file_name == "Cargo.toml";
            let name = format!("{prefix}{file_name}");
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => self.links.push((entry.path(), name, depth)),
                Ok(kind) if kind.is_dir() => below.push((entry, name, file_name == "target")),
                Ok(kind) if kind.is_file() => match entry.metadata() {
                    Ok(metadata) => self.file(name, entry.path(), &metadata),
                    Err(error) => self.unreadable(&name, error),
                },
                // Sockets, pipes and devices are nobody's configuration, and reading one may never end.
                Ok(_) => {}
                Err(error) => self.unreadable(&name, error),
            }
        }
        for (entry, name, is_target) in below {
            if is_target && has_build_file {
                continue;
            }
            if let Ok(metadata) = entry.metadata()
                && self.folders.insert((metadata.dev(), metadata.ino()))
            {
                self.folder(&entry.path(), &format!("{name}/"), depth + 1);
            }
        }
    }

    fn link(&mut self, path: &Path, name: String, depth: usize) {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                if self.folders.insert((metadata.dev(), metadata.ino())) {
                    self.folder(path, &format!("{name}/"), depth + 1);
                }
            }
            Ok(metadata) if metadata.is_file() => {
                if let Ok(target) = std::fs::canonicalize(path)
                    && let Some(folder) = target.parent()
                {
                    self.listing.folders.push(folder.to_path_buf());
                }
                if !self.files.contains(&(metadata.dev(), metadata.ino())) {
                    self.file(name, path.to_path_buf(), &metadata);
                }
            }
            Ok(_) => {}
            Err(error) => self.unreadable(&name, error),
        }
    }

    fn file(&mut self, name: String, path: PathBuf, metadata: &Metadata) {
        self.files.insert((metadata.dev(), metadata.ino()));
        self.listing.add(name, path, metadata);
    }

    fn unreadable(&mut self, name: &str, error: io::Error) {
        self.listing.unreadable.push((name.to_owned(), error));
    }
}

/// A larger file refers to no others.
const LARGEST: u64 = 50 << 20;
const MOST_BESIDE: usize = 500;

impl Listing {
    /// A definition may be spread over several files: those that it names, and they name, below its own folder.
    fn follow(&mut self, root: &Path, name: &str) {
        let is_definition = [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| name.ends_with(ending));
        let folder = match root.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return,
        };
        let Some(inside) = std::fs::canonicalize(folder).ok().filter(|_| is_definition) else {
            return;
        };
        let mut seen = HashSet::from([name.to_owned()]);
        let mut waiting = vec![(name.to_owned(), root.to_path_buf())];
        while let Some((from, path)) = waiting.pop() {
            let Ok(bytes) = read_bounded(&path, LARGEST) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            for name in mentioned(&text).filter_map(|file| below_folder(&from, file)) {
                if self.beside.len() >= MOST_BESIDE || !seen.insert(name.clone()) {
                    continue;
                }
                let path = folder.join(&name);
                let is_inside = std::fs::canonicalize(&path).is_ok_and(|path| path.starts_with(&inside));
                let metadata = std::fs::metadata(&path).ok().filter(Metadata::is_file);
                let Some(metadata) = metadata.filter(|_| is_inside) else {
                    continue;
                };
                self.identities.push(identity(&name, &metadata));
                let of = path.parent().map(Path::to_path_buf);
                self.folders.extend(of.filter(|of| !self.folders.contains(of)));
                self.beside.push(Listed {
                    name: name.clone(),
                    path: path.clone(),
                    size: metadata.len(),
                });
                waiting.push((name, path));
            }
        }
        self.identities.sort_unstable();
    }

    fn add(&mut self, name: String, path: PathBuf, metadata: &Metadata) {
        if is_own_output(metadata) {
            return;
        }
        if self.files.len() >= MOST_FILES {
            self.too_many = true;
            return;
        }
        self.identities.push(identity(&name, metadata));
        if name.ends_with(".back") {
            self.put_aside.push(name);
            return;
        }
        self.files.push(Listed {
            name,
            path,
            size: metadata.len(),
        });
    }
}

fn identity(name: &str, metadata: &Metadata) -> Identity {
    Identity {
        name: name.to_owned(),
        size: metadata.len(),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
        inode: metadata.ino(),
    }
}

/// Whether this very program writes it: a log that is kept in the folder would otherwise change it with every line, for ever.
fn is_own_output(metadata: &Metadata) -> bool {
    static OUTPUTS: OnceLock<Vec<(u64, u64)>> = OnceLock::new();
    let outputs = OUTPUTS.get_or_init(|| {
        let files = ["/dev/stdout", "/dev/stderr"].iter();
        files
            .filter_map(|path| std::fs::metadata(path).ok())
            .filter(Metadata::is_file)
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .collect()
    });
    outputs.contains(&(metadata.dev(), metadata.ino()))
}

/// What editors and other programs leave behind while they save, and what no configuration is kept in.
pub fn is_litter(file_name: &str) -> bool {
    // The hidden ones include `..data`, which Kubernetes swaps: its files are reached by the links beside it.
    file_name.starts_with('.')
        || file_name.ends_with('~')
        || file_name == "4913"
        || file_name == "node_modules"
        || (file_name.starts_with('#') && file_name.ends_with('#'))
        || file_name.contains("___jb_")
        || [".swp", ".swx", ".swo", ".tmp", ".bak", ".orig", ".part", ".log"]
            .iter()
            .any(|ending| file_name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn names(root: &Path) -> Vec<String> {
        list(root).files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn litter_of_editors_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.xml",
            "a.xml~",
            ".a.xml.swp",
            ".#a.xml",
            "#a.xml#",
            "4913",
            "a.xml.tmp",
            "gateway.log",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(names(folder.path()), ["a.xml"]);
    }

    #[test]
    fn a_link_to_a_parent_ends_and_a_linked_file_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a.xml"), "x").unwrap();
        fs::write(outside.path().join("shared.xml"), "x").unwrap();
        symlink(folder.path(), folder.path().join("inner/loop")).unwrap();
        symlink("inner/a.xml", folder.path().join("again.xml")).unwrap();
        symlink(outside.path(), folder.path().join("shared")).unwrap();
        symlink("nowhere", folder.path().join("dangling.xml")).unwrap();
        assert_eq!(names(folder.path()), ["inner/a.xml", "shared/shared.xml"]);
        assert_eq!(list(folder.path()).unreadable.len(), 1);
    }

    #[test]
    fn a_config_map_is_read_through_its_links_and_a_swap_changes_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("a.xml"), text).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/a.xml", root.join("a.xml")).unwrap();
        assert_eq!(names(root), ["a.xml"]);
        let before = Stamp::of(&[root.to_path_buf()], &[]);
        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert_eq!(fs::read_to_string(&list(root).files[0].path).unwrap(), "new");
        assert_ne!(Stamp::of(&[root.to_path_buf()], &[]), before);
    }

    #[test]
    fn what_changed_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        let beside = [root.join(".env")];
        let contents = || Contents::of(std::slice::from_ref(&root), &[list(&root)], &beside);
        for name in ["gone.xml", "same.xml", "saved.xml"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let before = contents();
        assert_eq!(contents().difference(&before), Vec::<PathBuf>::new());
        fs::remove_file(root.join("gone.xml")).unwrap();
        // As editors save: under another name first.
        fs::write(root.join("saved.xml.new"), "xy").unwrap();
        fs::rename(root.join("saved.xml.new"), root.join("saved.xml")).unwrap();
        fs::write(root.join("new.xml"), "x").unwrap();
        fs::write(&beside[0], "A=1").unwrap();
        let names = [".env", "gone.xml", "new.xml", "saved.xml"];
        assert_eq!(
            contents().difference(&before),
            names.map(|name| root.join(name)).to_vec()
        );
    }

    #[test]
    fn a_stamp_stays_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join(".cert.pem");
        fs::write(folder.path().join("a.xml"), "x").unwrap();
        let stamp = || Stamp::of(&[folder.path().to_path_buf()], std::slice::from_ref(&certificate));
        let before = stamp();
        assert_eq!(stamp(), before);
        fs::write(&certificate, "x").unwrap();
        assert_ne!(stamp(), before);
    }
}
