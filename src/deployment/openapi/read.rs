//! Reads YAML and JSON as one tree whose parts know where they stand. Aliases are followed, within a bound; nothing here recurses while reading.

use crate::text::{Diagnostic, FileId, Span};
use std::collections::HashMap;
use std::ops::Range;
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// A part of a definition.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum Value {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub span: Span,
}

/// No definition has more parts, even with its aliases written out.
const MOST_NODES: usize = 500_000;
const DEEPEST: usize = 128;

impl Node {
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }

    /// The members of a map; none of anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A scalar as it is written: numbers and words like `true` are text too.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Text(_) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// The first document of a text.
pub fn read(file: FileId, text: &str) -> Result<Node, Box<Diagnostic>> {
    let places = Places::of(file, text);
    let mut building = Building {
        places: &places,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, marker) = parser.next_token().map_err(|error| {
            places.mistake(
                *error.marker(),
                format!("this is neither YAML nor JSON: {}", error.info()),
            )
        })?;
        building.take(event, marker)?;
        if let Some(root) = building.root.take() {
            return Ok(root);
        }
    }
}

struct Building<'a> {
    places: &'a Places<'a>,
    /// What is not closed yet, from the outside in.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

struct Open {
    node: Node,
    anchor: usize,
    /// Of the member whose value comes next.
    key: Option<Key>,
}

impl Building<'_> {
    fn take(&mut self, event: Event, marker: Marker) -> Result<(), Box<Diagnostic>> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let span = self.places.span(marker, &text, style);
                let value = Value::Text(text);
                return self.place(Node { value, span }, anchor, marker);
            }
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    return Err(self.places.mistake(marker, "this alias names nothing"));
                };
                let node = known.clone();
                self.nodes += node.size();
                return self.place(node, 0, marker);
            }
            Event::SequenceStart(anchor, _) => (Value::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => (Value::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = self.open.pop().expect("the parser closes what it opened");
                return self.place(closed.node, closed.anchor, marker);
            }
            Event::StreamEnd | Event::DocumentEnd => {
                return Err(self.places.mistake(marker, "there is nothing here"));
            }
            Event::StreamStart | Event::DocumentStart | Event::Nothing => return Ok(()),
        };
        if self.open.len() >= DEEPEST {
            return Err(self
                .places
                .mistake(marker, format!("this is nested more than {DEEPEST} deep")));
        }
        let span = self.places.span(marker, "", TScalarStyle::Plain);
        self.open.push(Open {
            node: Node { value, span },
            anchor,
            key: None,
        });
        Ok(())
    }

    /// Puts a whole node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, marker: Marker) -> Result<(), Box<Diagnostic>> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self
                .places
                .mistake(marker, "the definition is too large with its aliases written out"));
        }
        if anchor > 0 {
            self.nodes += node.size();
            self.anchors.insert(anchor, node.clone());
        }
        let Some(around) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let entries = match &mut around.node.value {
            Value::Map(entries) => entries,
            Value::List(items) => {
                items.push(node);
                return Ok(());
            }
            Value::Text(_) => return Ok(()),
        };
        let Some(key) = around.key.take() else {
            let Value::Text(name) = node.value else {
                return Err(self.places.mistake(marker, "a name is text"));
            };
            around.key = Some(Key {
                name,
                span: node.span,
            });
            return Ok(());
        };
        if let Some((first, _)) = entries.iter().find(|(known, _)| known.name == key.name) {
            let mistake = Diagnostic::error("E0111", key.span, format!("`{}` stands here twice", key.name));
            return Err(mistake.also(first.span, "the first one").into());
        }
        entries.push((key, node));
        Ok(())
    }
}

/// Turns the places of the YAML reader, which counts characters, into those of a text.
struct Places<'a> {
    file: FileId,
    text: &'a str,
    /// Where each character begins; nothing for a text of single bytes.
    starts: Vec<usize>,
}

impl Places<'_> {
    fn of(file: FileId, text: &str) -> Places<'_> {
        let starts = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| at).collect()
        };
        Places { file, text, starts }
    }

    fn offset(&self, marker: Marker) -> usize {
        let at = if self.starts.is_empty() {
            marker.index()
        } else {
            self.starts
                .get(marker.index())
                .copied()
                .unwrap_or(self.text.len())
        };
        at.min(self.text.len())
    }

    fn span(&self, marker: Marker, text: &str, style: TScalarStyle) -> Span {
        let start = self.offset(marker);
        let quote = usize::from(!matches!(style, TScalarStyle::Plain));
        let written = self.text.get(start + quote..).unwrap_or("");
        if !text.is_empty() && written.starts_with(text) {
            return self.range(start + quote..start + quote + text.len());
        }
        let first = self.text.get(start..).and_then(|rest| rest.chars().next());
        self.range(start..start + first.map_or(0, char::len_utf8))
    }

    fn range(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn mistake(&self, marker: Marker, message: impl Into<String>) -> Box<Diagnostic> {
        let span = self.span(marker, "", TScalarStyle::Plain);
        Box::new(Diagnostic::error("E0111", span, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    /// The path's scalar and its place, or the mistake and its place.
    fn check(text: &str, path: &[&str], expected: &str) {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", text);
        let told = match read(file, text) {
            Ok(root) => {
                let node = path.iter().try_fold(&root, |node, name| node.get(name));
                let node = node.expect("it is there");
                let place = sources.place(node.span);
                format!("{}:{} {}", place.line, place.column, node.text().unwrap_or("…"))
            }
            Err(mistake) => {
                let place = sources.place(mistake.span.expect("a place"));
                format!("{}:{} {}", place.line, place.column, mistake.message)
            }
        };
        assert_eq!(told, expected, "for {text}");
    }

    #[test]
    fn every_part_knows_where_it_stands() {
        check("a:\n  b: 1\n", &["a", "b"], "2:6 1");
        check("{\"a\": {\"ö\": \"x\", \"b\": \"y\"}}", &["a", "b"], "1:24 y");
        check("x: &one\n  b: 'ü'\ny: *one\n", &["y", "b"], "2:7 ü");
        check("a: |\n  text\n", &["a"], "2:3 text\n");
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_place() {
        check("a: 1\nb: 2\na: 3\n", &[], "3:1 `a` stands here twice");
        check("", &[], "1:1 there is nothing here");
        check(
            "a: *none\n",
            &[],
            "1:4 this is neither YAML nor JSON: while parsing node, found unknown anchor",
        );
        check(
            "{\"a\": [1, 2\n",
            &[],
            "2:1 this is neither YAML nor JSON: while parsing a flow sequence, expected ',' or ']'",
        );
    }

    #[test]
    fn bombs_of_aliases_and_of_brackets_are_refused() {
        let mut bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", bomb.as_str());
        let mistake = read(file, &bomb).expect_err("it is too large");
        assert_eq!(
            mistake.message,
            "the definition is too large with its aliases written out"
        );
        let deep = "[".repeat(200);
        let file = sources.add("y.yaml", deep.as_str());
        let mistake = read(file, &deep).expect_err("it is too deep");
        assert_eq!(mistake.message, "this is nested more than 128 deep");
    }
}
