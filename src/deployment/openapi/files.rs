//! Definitions in several files: what a reference such as `schemas/pet.yaml#/Pet` leads to is brought into the definition's own tree, and the
//! reference leads there. Nothing is read that the deployed folder does not hold.

use super::read::{self, Key, Node, Style, Value};
use super::references::{References, below, reference};
use crate::text::{Diagnostic, FileId, Span, suggest};
use percent_encoding::percent_decode_str;
use std::collections::HashMap;

/// Under this name the other files stand in the tree: a list, in it each file alone in a map, under its own name without the ending.
const FILES: &str = "x-myelin-files";
/// How references to them begin.
pub const FILES_POINTER: &str = "#/x-myelin-files/";
/// More files than this make no definition.
const MOST_FILES: usize = 500;

/// Where the other files of a definition are.
pub trait Beside {
    /// The file of that name below the folder, if there is one, with its text.
    fn open(&mut self, name: &str) -> Option<Result<(FileId, String), String>>;
    /// What else there is, for "did you mean".
    fn names(&self) -> Vec<String>;
}

/// The definition with all that it refers to. `name` is its own, below the folder. What is wrong is told where it stands.
pub fn gather(root: Node, name: &str, beside: &mut dyn Beside, mistakes: &mut Vec<Diagnostic>) -> Node {
    let mut gathering = Gathering {
        names: vec![name.to_owned()],
        known: HashMap::from([(name.to_owned(), Some(0))]),
        waiting: Vec::new(),
        leads: Vec::new(),
        beside,
        mistakes,
    };
    let mut root = root;
    gathering.walk(&mut root, 0, false);
    let mut trees: Vec<Option<Node>> = Vec::new();
    while let Some((at, mut tree)) = gathering.waiting.pop() {
        gathering.walk(&mut tree, at, false);
        trees.resize(trees.len().max(at), None);
        trees[at - 1] = Some(tree);
    }
    let (names, leads) = (gathering.names, gathering.leads);
    if trees.is_empty() {
        return root;
    }
    let span = root.span;
    let plain = |value| Node {
        value,
        span,
        style: Style::Plain,
    };
    let key = |name: &str| Key {
        name: name.to_owned(),
        span,
    };
    let list = trees.into_iter().enumerate().map(|(at, tree)| {
        let tree = tree.unwrap_or_else(|| plain(Value::Map(Vec::new())));
        plain(Value::Map(vec![(key(stem(&names[at + 1])), tree)]))
    });
    let files = plain(Value::List(list.collect()));
    if let Value::Map(entries) = &mut root.value {
        entries.push((key(FILES), files));
    }
    check(&root, &leads, mistakes);
    root
}

/// Tells the references that lead to a file, and nowhere in it.
fn check(root: &Node, leads: &[Lead], mistakes: &mut Vec<Diagnostic>) {
    let references = References::new(root);
    for lead in leads {
        let found = references.find(&lead.pointer);
        let message = match found {
            None => format!(
                "`{}` leads nowhere: there is no such part in {}",
                lead.written, lead.name
            ),
            Some(found) => {
                let last = references.resolve(found);
                let circles = reference(last).is_some_and(|next| references.find(next).is_some());
                if !circles {
                    continue;
                }
                format!("`{}` refers to itself", lead.written)
            }
        };
        mistakes.push(Diagnostic::error("E0223", lead.span, message));
    }
}

/// The other files that a text may refer to, as it names them. Found without reading it: what is named too often does no harm.
pub fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '}' | '[' | ']');
    text.split(ends).filter_map(|word| {
        let file = word.split('#').next().unwrap_or("");
        let is_file = [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| file.ends_with(ending));
        (is_file && !file.contains("://")).then_some(file)
    })
}

/// The name below the folder of what the file `from` calls `path`; `None` outside of it.
pub fn below_folder(from: &str, path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.starts_with('/') || decoded.contains('\\') {
        return None;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn stem(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.split('.').next().unwrap_or(file)
}

struct Gathering<'a> {
    /// The definition's own comes first.
    names: Vec<String>,
    /// What has been asked for: its number, or nothing for what is not there.
    known: HashMap<String, Option<usize>>,
    /// Read, and not looked through yet.
    waiting: Vec<(usize, Node)>,
    leads: Vec<Lead>,
    beside: &'a mut dyn Beside,
    mistakes: &'a mut Vec<Diagnostic>,
}

/// A reference that another file has to do with.
struct Lead {
    written: String,
    span: Span,
    pointer: String,
    /// Of the file that it leads to.
    name: String,
}

impl Gathering<'_> {
    /// Turns the references below a part of the file `at`.
    fn walk(&mut self, node: &mut Node, at: usize, names: bool) {
        match &mut node.value {
            Value::Text(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| self.walk(item, at, false)),
            Value::Map(entries) => {
                for (key, inner) in entries {
                    if key.name == "$ref" && !names {
                        self.turn(inner, at, true);
                    } else if key.name == "mapping" && !names {
                        self.turn_mapping(inner, at);
                    } else if let Some(names) = below(&key.name, inner, names) {
                        self.walk(inner, at, names);
                    }
                }
            }
        }
    }

    /// A discriminator's values are references, or names of schemas.
    fn turn_mapping(&mut self, mapping: &mut Node, at: usize) {
        if let Value::Map(entries) = &mut mapping.value {
            for (_, target) in entries {
                let is_reference = target
                    .text()
                    .is_some_and(|text| text.contains('#') || mentioned(text).next().is_some());
                if is_reference {
                    self.turn(target, at, false);
                }
            }
        }
    }

    fn turn(&mut self, target: &mut Node, at: usize, tells: bool) {
        let span = target.span;
        let Value::Text(text) = &mut target.value else {
            return;
        };
        let (file, pointer) = text.split_once('#').unwrap_or((text, ""));
        let to = match file {
            "" if at == 0 => return,
            "" => at,
            file if file.contains("://") => {
                if tells {
                    let message = format!("`{text}` is elsewhere, and is not fetched");
                    self.warn(span, message, "save it below this folder and refer to it there; until then anything fits where it is used");
                }
                return;
            }
            file => {
                let Some(name) = below_folder(&self.names[at], file) else {
                    if tells {
                        let message =
                            format!("`{text}` lies outside of the folder that is served, and is not read");
                        self.warn(
                            span,
                            message,
                            "serve the folder around both files; until then anything fits where it is used",
                        );
                    }
                    return;
                };
                match self.number(&name, span, tells) {
                    Some(number) => number,
                    None => return,
                }
            }
        };
        let turned = match to {
            0 => format!("#{pointer}"),
            to => format!(
                "{FILES_POINTER}{}/{}{pointer}",
                to - 1,
                encoded(stem(&self.names[to]))
            ),
        };
        if tells {
            self.leads.push(Lead {
                written: text.clone(),
                span,
                pointer: turned.clone(),
                name: self.names[to].clone(),
            });
        }
        *text = turned;
    }

    /// The number of a file, which is read if it has not been.
    fn number(&mut self, name: &str, span: Span, tells: bool) -> Option<usize> {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let number = self.names.len();
        let message = match self.beside.open(name) {
            _ if number > MOST_FILES => format!("a definition has at most {MOST_FILES} files"),
            None => format!("there is no file `{name}`"),
            Some(Err(reason)) => format!("`{name}` cannot be read: {reason}"),
            Some(Ok((file, text))) => match read::read(file, &text) {
                Ok(tree) => {
                    self.names.push(name.to_owned());
                    self.known.insert(name.to_owned(), Some(number));
                    self.waiting.push((number, tree));
                    return Some(number);
                }
                Err(mistake) => {
                    self.mistakes.push(*mistake);
                    self.known.insert(name.to_owned(), None);
                    return None;
                }
            },
        };
        if tells {
            let names = self.beside.names();
            let help = suggest::did_you_mean(name, names.iter().map(String::as_str));
            self.mistakes
                .push(Diagnostic::error("E0223", span, message).maybe_help(help));
        }
        None
    }

    fn warn(&mut self, span: Span, message: String, help: &str) {
        self.mistakes
            .push(Diagnostic::warning("W0223", span, message).help(help));
    }
}

/// As a step of a pointer.
fn encoded(step: &str) -> String {
    step.replace('%', "%25").replace('~', "~0")
}

#[cfg(test)]
mod tests {
    use super::super::model;
    use super::*;
    use crate::text::Sources;

    struct Shelf {
        sources: Sources,
        files: Vec<(&'static str, &'static str)>,
    }

    impl Beside for Shelf {
        fn open(&mut self, name: &str) -> Option<Result<(FileId, String), String>> {
            let (name, text) = self.files.iter().find(|(known, _)| *known == name)?;
            let known = self.sources.files().find(|(_, file)| file.name == *name);
            let id = known.map(|(id, _)| id);
            let id = id.unwrap_or_else(|| self.sources.add(*name, *text));
            Some(Ok((id, (*text).to_owned())))
        }

        fn names(&self) -> Vec<String> {
            self.files.iter().map(|(name, _)| (*name).to_owned()).collect()
        }
    }

    /// The gathered tree of the first file, and what is told.
    fn gathered(files: &[(&'static str, &'static str)]) -> (Node, Vec<String>) {
        let mut sources = Sources::default();
        let (name, text) = files[0];
        let id = sources.add(name, text);
        let root = read::read(id, text).expect("it can be read");
        let mut shelf = Shelf {
            sources,
            files: files.to_vec(),
        };
        let mut mistakes = Vec::new();
        let root = gather(root, name, &mut shelf, &mut mistakes);
        model::definition(&root, &mut mistakes);
        let told = mistakes.iter().map(|mistake| {
            let place = shelf.sources.place_text(mistake.span.expect("a place"));
            format!("{} {place} {}", mistake.code, mistake.message)
        });
        (root, told.collect())
    }

    #[test]
    fn what_lies_in_other_files_is_found_from_there() {
        let (root, told) = gathered(&[
            (
                "api/shop.yaml",
                "openapi: 3.0.0\npaths: {/pets: {$ref: 'paths/pets.yaml'}}\ncomponents: {schemas: {Own: {type: integer}}}\n",
            ),
            (
                "api/paths/pets.yaml",
                "get:\n  responses:\n    '200': {$ref: '../common.json#/answers/pet'}\n",
            ),
            (
                "api/common.json",
                "{\"answers\": {\"pet\": {\"content\": {\"application/json\": {\"schema\": {\"$ref\": \"#/Pet\"}}}}},\n\
                 \"Pet\": {\"properties\": {\"own\": {\"$ref\": \"shop.yaml#/components/schemas/Own\"}, \"next\": {\"$ref\": \"#/Pet\"}}}}",
            ),
        ]);
        assert_eq!(told, [""; 0]);
        let mut mistakes = Vec::new();
        let definition = model::definition(&root, &mut mistakes).expect("it is one");
        let operation = &definition.operations[0];
        assert_eq!((operation.method, operation.path), ("GET", "/pets"));
        let schema = operation.responses[0].media[0].schema.expect("it is there");
        let references = References::new(&root);
        let own = references
            .resolve(schema)
            .get("properties")
            .and_then(|all| all.get("own"));
        let own = references.resolve(own.expect("it is there"));
        assert_eq!(own.get("type").and_then(Node::text), Some("integer"));
    }

    #[test]
    fn what_leads_nowhere_is_told_in_the_file_where_it_stands() {
        let (_, told) = gathered(&[
            (
                "shop.yaml",
                "openapi: 3.0.0\npaths:\n  /a: {$ref: a.yaml}\n  /b: {$ref: none.yaml}\n  /c: {$ref: ../c.yaml}\n  /d: {$ref: 'https://x/d.yaml'}\n  /e: {$ref: broken.yaml}\n  /f: {$ref: /etc/passwd}\n",
            ),
            (
                "a.yaml",
                "get:\n  parameters:\n    - $ref: '#/One'\n    - $ref: 'shop.yaml#/nowhere'\nOne: {$ref: 'b.yaml#/Two'}\n",
            ),
            ("b.yaml", "Two: {$ref: 'a.yaml#/One'}\n"),
            ("broken.yaml", "a: [\n"),
        ]);
        assert_eq!(
            told,
            [
                "E0223 shop.yaml:4:14 there is no file `none.yaml`",
                "W0223 shop.yaml:5:14 `../c.yaml` lies outside of the folder that is served, and is not read",
                "W0223 shop.yaml:6:15 `https://x/d.yaml` is elsewhere, and is not fetched",
                "E0111 broken.yaml:2:1 this is neither YAML nor JSON: while parsing a node, did not find expected node content",
                "W0223 shop.yaml:8:14 `/etc/passwd` lies outside of the folder that is served, and is not read",
                "E0223 a.yaml:3:14 `#/One` refers to itself",
                "E0223 a.yaml:4:14 `shop.yaml#/nowhere` leads nowhere: there is no such part in shop.yaml",
                "E0223 a.yaml:5:14 `b.yaml#/Two` refers to itself",
                "E0223 b.yaml:1:14 `a.yaml#/One` refers to itself",
            ]
        );
    }

    #[test]
    fn files_that_may_be_meant_are_found_without_reading() {
        let text =
            "a: {$ref: 'b.yaml#/x'}\nc: {\"$ref\":\"d/e.json\"}\nf: https://g/h.yaml\ni: j.yml.txt k.yml";
        let found: Vec<&str> = mentioned(text).collect();
        assert_eq!(found, ["b.yaml", "d/e.json", "k.yml"]);
        assert_eq!(
            below_folder("a/b.yaml", "../c%20d.yaml").as_deref(),
            Some("c d.yaml")
        );
        assert_eq!(below_folder("b.yaml", "../c.yaml"), None);
        assert_eq!(below_folder("b.yaml", "/c.yaml"), None);
    }
}
