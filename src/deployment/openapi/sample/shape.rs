//! A schema with its bases and variants put together.

use crate::deployment::openapi::read::Node;
use crate::deployment::openapi::references::References;

const LONGEST_CHAIN: usize = 32;

/// A schema with all that it is put together from.
pub struct Shape<'a> {
    pub parts: Vec<Part<'a>>,
    /// How many ways there are to choose among `oneOf` and `anyOf`.
    pub ways: usize,
    /// What a reference called it.
    pub name: Option<&'a str>,
    reference: Option<&'a str>,
}

pub struct Part<'a> {
    pub node: &'a Node,
    /// It came by `allOf`, `oneOf` or `anyOf`: its example may tell a part only.
    pub composed: bool,
}

impl<'a> Shape<'a> {
    /// `choice` counts through the members of `oneOf` and `anyOf`.
    pub fn of(schema: &'a Node, root: &'a Node, choice: usize) -> Shape<'a> {
        let mut shape = Shape {
            parts: Vec::new(),
            ways: 1,
            name: None,
            reference: None,
        };
        shape.collect(schema, root, choice, false, 0);
        shape
    }

    fn collect(&mut self, schema: &'a Node, root: &'a Node, choice: usize, composed: bool, depth: usize) {
        let known = self.parts.iter().any(|part| std::ptr::eq(part.node, schema));
        if known || depth > LONGEST_CHAIN || self.parts.len() > 200 {
            return;
        }
        self.parts.push(Part {
            node: schema,
            composed,
        });
        if let Some(reference) = schema.get("$ref").and_then(Node::text) {
            // The last name wins: a variant of a `oneOf` is what the value is.
            if self.name.is_none() || composed {
                self.name = reference.rsplit('/').next();
                self.reference = Some(reference);
            }
            if let Some(target) = References::new(root).find(reference) {
                self.collect(target, root, choice, composed, depth + 1);
            }
        }
        let named = (self.name, self.reference);
        for base in schema.get("allOf").map_or(&[][..], Node::items) {
            self.collect(base, root, choice, true, depth + 1);
            if named.0.is_some() {
                (self.name, self.reference) = named;
            }
        }
        for word in ["oneOf", "anyOf"] {
            let variants: Vec<&Node> = schema
                .get(word)
                .map_or(&[][..], Node::items)
                .iter()
                .filter(|variant| !is_null(variant))
                .collect();
            if !variants.is_empty() {
                self.ways = self.ways.max(variants.len());
                let variant = variants[choice % variants.len()];
                self.collect(variant, root, choice, true, depth + 1);
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.parts.iter().find_map(|part| part.node.get(name))
    }

    pub fn all(&self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.parts.iter().filter_map(move |part| part.node.get(name))
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.parts
            .iter()
            .any(|part| part.node.get(name).is_some_and(Node::is_true))
    }

    pub fn count(&self, name: &'a str) -> Option<usize> {
        self.all(name)
            .find_map(Node::text)
            .and_then(|text| text.parse().ok())
    }

    /// `null` is allowed beside other things.
    pub fn is_nullable(&self) -> bool {
        let nulls = |word: &'a str| self.all(word).flat_map(Node::items).any(is_null);
        let listed = self
            .all("type")
            .flat_map(Node::items)
            .any(|kind| kind.text() == Some("null"));
        self.is_true("nullable")
            || self.is_true("x-nullable")
            || listed
            || nulls("oneOf")
            || nulls("anyOf")
            || self.get("type").and_then(Node::text) == Some("null")
    }

    /// `type`, or what the other words let guess.
    pub fn kind(&self) -> Option<String> {
        for kind in self.all("type") {
            let named = kind.text().or_else(|| {
                let names: Vec<&str> = kind.items().iter().filter_map(Node::text).collect();
                let named = names.iter().find(|name| **name != "null").or(names.first());
                named.copied()
            });
            if let Some(named) = named {
                return Some(named.to_owned());
            }
        }
        const SIGNS: &[(&str, &[&str])] = &[
            (
                "object",
                &[
                    "properties",
                    "additionalProperties",
                    "required",
                    "patternProperties",
                    "minProperties",
                ],
            ),
            (
                "array",
                &["items", "prefixItems", "minItems", "maxItems", "contains"],
            ),
            (
                "number",
                &[
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "multipleOf",
                ],
            ),
            ("string", &["pattern", "minLength", "maxLength", "format"]),
        ];
        let sign = |words: &[&str]| words.iter().any(|word| self.get(word).is_some());
        SIGNS
            .iter()
            .find(|(_, words)| sign(words))
            .map(|(kind, _)| (*kind).to_owned())
    }

    /// Names and schemas of the properties, bases first, each once.
    pub fn properties(&self) -> Vec<(&'a str, &'a Node)> {
        let mut properties: Vec<(&str, &Node)> = Vec::new();
        let (bases, own): (Vec<&Part<'_>>, Vec<&Part<'_>>) =
            self.parts.iter().partition(|part| part.composed);
        for part in bases.into_iter().chain(own) {
            for (key, schema) in part.node.get("properties").map_or(&[][..], Node::entries) {
                match properties.iter_mut().find(|(name, _)| *name == key.name) {
                    // What stands later says more.
                    Some((_, known)) => *known = schema,
                    None => properties.push((&key.name, schema)),
                }
            }
        }
        properties
    }

    pub fn requires(&self, name: &str) -> bool {
        self.all("required")
            .flat_map(Node::items)
            .any(|required| required.text() == Some(name))
    }

    /// What the property that tells the variants apart has to say.
    pub fn discriminator(&self) -> Option<(&'a str, String)> {
        let name = self.name?;
        let (property, mapping) = self.all("discriminator").find_map(|node| match node.text() {
            Some(property) => Some((property, None)),
            None => Some((node.get("propertyName")?.text()?, node.get("mapping"))),
        })?;
        let mapped = mapping.map_or(&[][..], Node::entries).iter().find(|(_, target)| {
            let target = target.text();
            target == self.reference || target == Some(name)
        });
        let value = mapped.map_or(name, |(key, _)| &key.name);
        Some((property, value.to_owned()))
    }
}

fn is_null(schema: &Node) -> bool {
    schema.get("type").and_then(Node::text) == Some("null")
}
