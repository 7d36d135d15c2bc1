//! Reads YAML and JSON as one tree whose parts know where they stand. Aliases are followed, within a bound; nothing here recurses while reading.

use crate::message::json::Json;
use crate::text::{Diagnostic, FileId, Placed, Span};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// A part of a definition.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    /// Of a scalar that is written as it reads: the whole of it. Of any other: its first character.
    pub span: Span,
    pub style: Style,
}

/// How a scalar is written; lists and maps are plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Single,
    Double,
    /// A block behind `|`.
    Literal,
    /// A block behind `>`.
    Folded,
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

    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Whether nothing is written here, in one of YAML's ways.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Text(text) if self.style == Style::Plain && plain(text).is_null())
    }

    pub fn json(&self) -> Json {
        match &self.value {
            Value::Text(text) if self.style == Style::Plain => plain(text),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.json()))
                    .collect(),
            ),
        }
    }

    /// A scalar with the place of each of its characters in `text`, the text of its file.
    pub fn placed(&self, text: &str) -> Placed {
        let mut placed = Placed::verbatim("", self.span);
        if let Value::Text(decoded) = &self.value {
            align(decoded, self.style, text, self.span.range().start, &mut placed);
        }
        placed
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Text(_) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// What a scalar without quotes means, by YAML's core schema; JSON's words are among them.
fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let radix = [("0x", 16), ("0o", 8)].into_iter().find_map(|(prefix, radix)| {
        let digits = text.strip_prefix(prefix)?;
        u64::from_str_radix(digits, radix).ok()
    });
    if let Some(number) = radix {
        return Json::from(number);
    }
    // YAML's numbers may have a sign and may leave digits out around the point; JSON's keep the digits as they are written.
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let starts = unsigned
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if starts && unsigned.parse::<f64>().is_ok_and(f64::is_finite) {
        if let Ok(number) = serde_json::from_str::<serde_json::Number>(unsigned) {
            return Json::Number(number);
        }
        if let Ok(number) = unsigned.parse::<i64>() {
            return Json::from(number);
        }
        if let Some(number) = unsigned.parse().ok().and_then(serde_json::Number::from_f64) {
            return Json::Number(number);
        }
    }
    Json::String(text.to_owned())
}

/// Walks a decoded scalar and its source side by side: escapes, folded lines and the indentation of blocks make them differ.
fn align(decoded: &str, style: Style, text: &str, start: usize, placed: &mut Placed) {
    let before = text.get(..start).unwrap_or("");
    let indent = before.chars().rev().take_while(|c| *c == ' ').count();
    let mut at = start;
    // What has been walked and runs beside the source: where it begins, in both.
    let (mut from, mut beside) = (0, start);
    for (index, character) in decoded.char_indices() {
        let mut source = text.get(at..).unwrap_or("");
        if style == Style::Double {
            while let Some(length) = continued(source) {
                at += length;
                source = text.get(at..).unwrap_or("");
            }
        }
        if !character.is_whitespace() && !source.starts_with(character) {
            at += source.len() - source.trim_start().len();
            source = text.get(at..).unwrap_or("");
        }
        if character == '\n' && source.starts_with("\r\n") {
            at += 1;
            source = &source[1..];
        }
        if at - beside != index - from {
            placed.push(&decoded[from..index], beside);
            (from, beside) = (index, at);
        }
        at += match style {
            Style::Double if source.starts_with('\\') => escape(source),
            Style::Single if source.starts_with("''") => 2,
            _ if source.starts_with(character) => {
                let next = character.len_utf8();
                let spaces = source[next..]
                    .bytes()
                    .take(indent)
                    .take_while(|byte| *byte == b' ');
                match (style, character) {
                    (Style::Literal | Style::Folded, '\n') => next + spaces.count(),
                    (_, ' ') if !source.trim_start_matches([' ', '\t']).starts_with(['\r', '\n']) => next,
                    (_, ' ' | '\n') => source.len() - source.trim_start().len(),
                    _ => next,
                }
            }
            // A line that was folded into a space, or breaks that a block has lost at its beginning.
            _ if character.is_whitespace() => source.len() - source.trim_start().len(),
            _ => 0,
        };
    }
    placed.push(&decoded[from..], beside);
}

/// A line of a quoted text that goes on in the next one, without a space.
fn continued(source: &str) -> Option<usize> {
    let rest = source.strip_prefix('\\')?;
    let rest = rest.strip_prefix("\r\n").or(rest.strip_prefix('\n'))?;
    Some(source.len() - rest.trim_start_matches([' ', '\t']).len())
}

/// How long an escape is written.
fn escape(source: &str) -> usize {
    let length = match source.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') if two_halves(source).is_some() => 12,
        Some(b'u') => 6,
        Some(b'U') => 10,
        _ => 1 + source[1..].chars().next().map_or(0, char::len_utf8),
    };
    length.min(source.len())
}

/// The first document of a text.
pub fn read(file: FileId, text: &str) -> Result<Node, Box<Diagnostic>> {
    let (prepared, shifts) = prepared(text);
    let places = Places {
        shifts,
        ..Places::of(file, text)
    };
    let mut building = Building {
        places: &places,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(&prepared);
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

/// What the YAML reader does not take of JSON, as YAML: tabs between parts, and characters in two halves (`\ud83d\ude00`), which become two
/// characters shorter; where, is told.
fn prepared(text: &str) -> (Cow<'_, str>, Vec<usize>) {
    if !text.trim_start().starts_with('{') || !text.contains(['\t', '\\']) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut shifts = Vec::new();
    let mut quoted = false;
    let mut prepared = String::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        match first {
            '"' => quoted = !quoted,
            '\t' if !quoted => {
                prepared.push(' ');
                count += 1;
                rest = &rest[taken..];
                continue;
            }
            '\\' if quoted => match two_halves(rest) {
                Some(whole) => {
                    prepared.push_str(&format!("\\U{:08x}", u32::from(whole)));
                    count += 10;
                    shifts.push(count);
                    rest = &rest[12..];
                    continue;
                }
                None => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            },
            _ => {}
        }
        prepared.push_str(&rest[..taken]);
        count += rest[..taken].chars().count();
        rest = &rest[taken..];
    }
    (Cow::Owned(prepared), shifts)
}

/// The character that begins here as two escapes.
fn two_halves(text: &str) -> Option<char> {
    let half = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    char::decode_utf16([half(0)?, half(6)?])
        .next()?
        .ok()
        .filter(|whole| *whole > '\u{ffff}')
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
                let style = match style {
                    TScalarStyle::Plain => Style::Plain,
                    TScalarStyle::SingleQuoted => Style::Single,
                    TScalarStyle::DoubleQuoted => Style::Double,
                    TScalarStyle::Literal => Style::Literal,
                    TScalarStyle::Folded => Style::Folded,
                };
                let span = self.places.span(marker, &text, style);
                let value = Value::Text(text);
                return self.place(Node { value, span, style }, anchor, marker);
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
        let span = self.places.span(marker, "", Style::Plain);
        self.open.push(Open {
            node: Node {
                value,
                span,
                style: Style::Plain,
            },
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
    /// Behind these characters the text that was read is two shorter, each time.
    shifts: Vec<usize>,
}

impl Places<'_> {
    fn of(file: FileId, text: &str) -> Places<'_> {
        let starts = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| at).collect()
        };
        Places {
            file,
            text,
            starts,
            shifts: Vec::new(),
        }
    }

    fn offset(&self, marker: Marker) -> usize {
        let index = marker.index();
        let index = index + 2 * self.shifts.partition_point(|shift| *shift <= index);
        let at = if self.starts.is_empty() {
            index
        } else {
            self.starts.get(index).copied().unwrap_or(self.text.len())
        };
        at.min(self.text.len())
    }

    fn span(&self, marker: Marker, text: &str, style: Style) -> Span {
        let quote = usize::from(matches!(style, Style::Single | Style::Double));
        let start = (self.offset(marker) + quote).min(self.text.len());
        let written = self.text.get(start..).unwrap_or("");
        if !text.is_empty() && written.starts_with(text) {
            return self.range(start..start + text.len());
        }
        let first = self.text.get(start..).and_then(|rest| rest.chars().next());
        self.range(start..start + first.map_or(0, char::len_utf8))
    }

    fn range(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn mistake(&self, marker: Marker, message: impl Into<String>) -> Box<Diagnostic> {
        let span = self.span(marker, "", Style::Plain);
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
        check(r#"{"a": {"c": "\ud83d\ude00", "b": "y"}}"#, &["a", "b"], "1:35 y");
    }

    #[test]
    fn every_character_of_a_scalar_knows_where_it_stands() {
        // The place of `!` in the scalar, and what is decoded.
        let placed = |text: &str, decoded: &str, expected: &str| {
            let mut sources = Sources::default();
            let file = sources.add("x.yaml", text);
            let root = read(file, text).expect("it can be read");
            let placed = root.get("a").expect("it is there").placed(text);
            assert_eq!(placed.text, decoded, "for {text}");
            let places: Vec<String> = decoded
                .match_indices('!')
                .map(|(at, _)| sources.place(placed.span_of(at..at + 1)))
                .map(|place| format!("{}:{}", place.line, place.column))
                .collect();
            assert_eq!(places.join(" "), expected, "for {text}");
        };
        placed("a: x!y", "x!y", "1:5");
        placed(
            "a: |\n  one!\n\n    two!\n  three!\nb: 1\n",
            "one!\n\n  two!\nthree!\n",
            "2:6 4:8 5:8",
        );
        placed("a: |-\r\n  one!\r\n  two!\r\n", "one!\ntwo!", "2:6 3:6");
        placed("a: |2\n    one!\n  two!\n", "  one!\ntwo!\n", "2:8 3:6");
        placed("a: |\n\n  ö!\n", "\nö!\n", "3:4");
        placed(
            "a: >\n  one\n  two!\n\n  three!\n",
            "one two!\nthree!\n",
            "3:6 5:8",
        );
        placed(r#"{"a": "1\n2!\t\u00e9\"\\\/!"}"#, "1\n2!\té\"\\/!", "1:12 1:27");
        placed(r#"{"a": "\ud83d\ude00!"}"#, "😀!", "1:20");
        placed("a: 'it''s!\n  folded!'\n", "it's! folded!", "1:10 2:9");
        placed(
            "a: \"one!\n\n  two! \\\n   three!\"\n",
            "one!\ntwo! three!",
            "1:8 3:6 4:9",
        );
        placed("a: one!\n  two!\n", "one! two!", "1:7 2:6");
    }

    #[test]
    fn scalars_without_quotes_are_values_of_json() {
        let text = "[1, '1', 1.10, -2e3, +4, .5, 0x1F, true, 'true', null, ~, , 2026-01-02, .inf, 1_000, -a, 012, {a: [No]}]";
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", text);
        let json = read(file, &text.replace(", ,", ", \"\","))
            .expect("it can be read")
            .json();
        assert_eq!(
            crate::message::json::text(&json),
            r#"[1,"1",1.10,-2e+3,4,0.5,31,true,"true",null,null,"","2026-01-02",".inf","1_000","-a",12,{"a":["No"]}]"#
        );
    }

    #[test]
    fn json_may_have_tabs_and_characters_in_two_halves() {
        let text = "{\n\t\"a\":\t\"\\ud83d\\ude00\t\\\\ud83d\",\n\t\"b\": [\t1\t]\n}";
        let mut sources = Sources::default();
        let file = sources.add("x.json", text);
        let json = read(file, text).expect("it can be read").json();
        let parsed: Json = serde_json::from_str(&text.replace("\t\\\\", "\\t\\\\")).expect("it is JSON");
        assert_eq!(json, parsed);
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
