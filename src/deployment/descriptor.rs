//! The small XML files that describe artifacts (`artifacts.xml`, `artifact.xml`, `registry-info.xml`), as a plain tree.

use crate::message::xml::{Event, Reader, XmlLimits};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Tag>,
}

/// One `item` or `collection` of a registry resource: what becomes visible at which registry path.
#[derive(Debug, PartialEq, Eq)]
pub struct RegistryItem {
    /// A file name, or a folder's for a collection.
    pub source: String,
    pub is_folder: bool,
    /// The registry folder it lies in, `/_system/governance/x`.
    pub path: String,
}

impl Tag {
    pub fn parse(text: &str) -> Option<Tag> {
        let limits = XmlLimits {
            depth: 32,
            ..XmlLimits::default()
        };
        let mut reader = Reader::new(text, &limits);
        let mut open: Vec<Tag> = Vec::new();
        loop {
            match reader.next().ok()? {
                Event::Start(start) => {
                    let attributes = reader.attributes().iter();
                    open.push(Tag {
                        name: start.local.to_owned(),
                        attributes: attributes
                            .map(|attribute| {
                                (attribute.local.to_owned(), attribute.value.clone().into_owned())
                            })
                            .collect(),
                        ..Tag::default()
                    });
                }
                Event::End { .. } => {
                    let done = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Some(done),
                    }
                }
                Event::Text { value, .. } => {
                    if let Some(parent) = open.last_mut() {
                        parent.text.push_str(&value);
                    }
                }
                Event::Comment { .. } | Event::Instruction { .. } => {}
                Event::Eof => return None,
            }
        }
    }

    pub fn attribute(&self, name: &str) -> &str {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.trim())
    }

    /// The trimmed text of the first child of that name.
    pub fn child_text(&self, name: &str) -> &str {
        self.children
            .iter()
            .find(|child| child.name == name)
            .map_or("", |child| child.text.trim())
    }

    /// This tag and every tag below it.
    pub fn walk(&self) -> Vec<&Tag> {
        let mut all = vec![self];
        let mut at = 0;
        while at < all.len() {
            let tag = all[at];
            all.extend(tag.children.iter());
            at += 1;
        }
        all
    }

    /// What `item` and `collection` elements anywhere below say.
    pub fn registry_items(&self) -> Vec<RegistryItem> {
        self.walk()
            .into_iter()
            .filter_map(|tag| {
                let is_folder = match tag.name.as_str() {
                    "item" => false,
                    "collection" => true,
                    _ => return None,
                };
                let source = tag.child_text(if is_folder { "directory" } else { "file" });
                let path = tag.child_text("path");
                (!source.is_empty() && !path.is_empty()).then(|| RegistryItem {
                    source: source.to_owned(),
                    is_folder,
                    path: path.trim_end_matches('/').to_owned(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_items_are_read_from_both_shapes() {
        let tag = Tag::parse(
            "<?xml version='1.0'?><resources><item><file>a&amp;b.xslt</file><path>/_system/config/x/</path></item>\
             <collection><directory>c</directory><path>/_system/governance/c</path></collection></resources>",
        )
        .unwrap();
        let items = tag.registry_items();
        assert_eq!(items[0].source, "a&b.xslt");
        assert_eq!(items[0].path, "/_system/config/x");
        assert!(items[1].is_folder);
    }

    #[test]
    fn a_broken_or_endless_description_is_nothing() {
        assert_eq!(Tag::parse("<a><b></a>"), None);
        assert_eq!(Tag::parse(&"<a>".repeat(10_000)), None);
        assert_eq!(Tag::parse("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"), None);
    }
}
