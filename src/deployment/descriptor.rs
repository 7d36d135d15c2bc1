//! The small XML files that describe artifacts (`artifacts.xml`, `artifact.xml`, `registry-info.xml`), as a plain tree.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

const DEEPEST: usize = 32;

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
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Tag> = vec![Tag::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) if open.len() <= DEEPEST => open.push(Tag::from_start(&start)?),
                Event::Start(_) => return None,
                Event::Empty(start) => open.last_mut()?.children.push(Tag::from_start(&start)?),
                Event::End(_) => {
                    let done = open.pop()?;
                    open.last_mut()?.children.push(done);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text.into_inner()),
                Event::CData(text) => open.last_mut()?.text.push_str(&text.into_inner()),
                Event::GeneralRef(reference) => {
                    let text = &mut open.last_mut()?.text;
                    if let Ok(Some(character)) = reference.resolve_char_ref() {
                        text.push(character);
                    } else if let Some(known) = resolve_predefined_entity(&reference.into_inner()) {
                        text.push_str(known);
                    }
                }
                Event::DocType(_) => return None,
                Event::Eof => break,
                _ => {}
            }
        }
        let mut document = open.pop()?;
        if open.is_empty() && document.children.len() == 1 {
            document.children.pop()
        } else {
            None
        }
    }

    fn from_start(start: &BytesStart<'_>) -> Option<Tag> {
        let mut tag = Tag {
            name: start.local_name().as_ref().to_owned(),
            ..Tag::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            tag.attributes.push((
                attribute.key.local_name().as_ref().to_owned(),
                unescape(&attribute.value).ok()?.into_owned(),
            ));
        }
        Some(tag)
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
