//! JSONPath steps in Synapse expressions, with expressions in their brackets and filters: `$.cars[vars.index]`.

use super::Mistake;
use super::evaluate;
use super::parse::{Node, Parser};
use super::surroundings::Surroundings;
use super::value::Value;
use crate::expression::json_path::{Found, JsonPath};
use crate::message::json::{self, Json};

/// What comes behind a root such as `payload` or `vars.name`.
#[derive(Debug)]
pub(super) enum Steps {
    None,
    Fixed(Path),
    /// Has parts that are known only when a message is there. They were tried with a number at load.
    Built(Vec<Part>),
}

#[derive(Debug)]
pub(super) struct Path {
    path: JsonPath,
    /// Ends in an index, which gives numbers as they stand in the text.
    raw: bool,
}

#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    Value(Node),
}

impl Steps {
    /// The value at these steps; nothing for JSON null.
    pub(super) fn find(&self, json: &Json, built: Option<&Path>) -> Result<Option<Value>, String> {
        let path = match (self, built) {
            (Steps::Fixed(path), _) | (Steps::Built(_), Some(path)) => path,
            _ => return Ok(Value::of_json(json.clone(), true)),
        };
        match path.path.find(json).map_err(|error| error.message)? {
            Found::Missing => Err(format!("there is nothing at `{}`", path.path)),
            found => Ok(found
                .into_json()
                .and_then(|found| Value::of_json(found, path.raw))),
        }
    }

    /// Evaluates the parts that depend on the message. Only built steps have any.
    pub(super) fn build(&self, surroundings: &mut dyn Surroundings) -> Result<Option<Path>, String> {
        let Steps::Built(parts) = self else {
            return Ok(None);
        };
        let mut text = String::from("$");
        for part in parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(node) => push_value(&mut text, evaluate::evaluate(node, surroundings)?),
            }
        }
        compile(&text)
            .map(Some)
            .map_err(|error| format!("`{text}` is no JSONPath: {}", error.message))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Steps::None)
    }
}

/// Strings are quoted, so that data can never become part of the path.
fn push_value(text: &mut String, value: Option<Value>) {
    match value {
        None => text.push_str("null"),
        Some(value) => match value.as_string() {
            Some(string) => {
                text.push('"');
                for character in string.chars() {
                    if matches!(character, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(character);
                }
                text.push('"');
            }
            None => text.push_str(&value.text()),
        },
    }
}

fn compile(text: &str) -> Result<Path, crate::expression::json_path::JsonPathError> {
    let path = JsonPath::compile(text)?;
    let raw = path.is_definite() && path.ends_in_index();
    Ok(Path { path, raw })
}

impl Parser<'_> {
    /// Reads steps as long as there are any.
    pub(super) fn steps(&mut self) -> Result<Steps, Mistake> {
        let start = self.at;
        let mut parts = Vec::new();
        loop {
            let before = self.at;
            self.skip_blanks();
            match self.peek() {
                Some('.') => self.dotted(&mut parts)?,
                Some('[') => self.bracketed(&mut parts)?,
                _ => {
                    self.at = before;
                    break;
                }
            }
        }
        if parts.is_empty() {
            return Ok(Steps::None);
        }
        let fixed = parts.iter().all(|part| matches!(part, Part::Text(_)));
        let mut text = String::from("$");
        for part in &parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(_) => text.push('0'),
            }
        }
        let path = compile(&text).map_err(|error| Mistake {
            message: error.message,
            range: start..self.at,
            help: error.help,
        })?;
        Ok(if fixed {
            Steps::Fixed(path)
        } else {
            Steps::Built(parts)
        })
    }

    fn dotted(&mut self, parts: &mut Vec<Part>) -> Result<(), Mistake> {
        let start = self.at;
        self.at += 1;
        let scan = self.peek() == Some('.');
        self.at += usize::from(scan);
        self.skip_blanks();
        let dots = if scan { ".." } else { "." };
        match self.peek() {
            // `payload.[0]` is as good as `payload[0]`.
            Some('[') => {
                if scan {
                    push(parts, dots);
                }
                self.bracketed(parts)
            }
            Some('*') => {
                self.at += 1;
                push(parts, dots);
                push(parts, "*");
                Ok(())
            }
            Some(quote @ ('"' | '\'')) => {
                let name = self.string(quote)?;
                push(parts, if scan { dots } else { "" });
                push_name(parts, &name);
                Ok(())
            }
            _ => {
                let from = self.at;
                self.at += usize::from(self.peek() == Some('@'));
                let name = self.word();
                if name.is_empty() {
                    return Err(
                        self.mistake_at(start..self.at.max(start + 1), "a name is missing after the `.`")
                    );
                }
                let name = self.text[from..self.at].to_owned();
                push(parts, dots);
                push(parts, &name);
                if self.peek() == Some('(') {
                    self.at += 1;
                    self.skip_blanks();
                    self.expect(')', "functions in a path take no arguments")?;
                    push(parts, "()");
                }
                Ok(())
            }
        }
    }

    fn bracketed(&mut self, parts: &mut Vec<Part>) -> Result<(), Mistake> {
        self.deeper(|parser| {
            parser.at += 1;
            parser.skip_blanks();
            match parser.peek() {
                Some('*') => {
                    parser.at += 1;
                    push(parts, "[*]");
                }
                Some('?' | '(') => {
                    parser.at += usize::from(parser.peek() == Some('?'));
                    parser.skip_blanks();
                    parser.expect('(', "a filter is written `[?(...)]`")?;
                    push(parts, "[?(");
                    parser.filter(parts)?;
                    push(parts, ")]");
                }
                _ => parser.indices(parts)?,
            }
            parser.skip_blanks();
            parser.expect(']', "the `]` is missing")
        })
    }

    /// One or more indices or names, or a slice; each may be an expression.
    fn indices(&mut self, parts: &mut Vec<Part>) -> Result<(), Mistake> {
        push(parts, "[");
        loop {
            self.skip_blanks();
            match self.peek() {
                Some(separator @ (',' | ':')) => {
                    self.at += 1;
                    push(parts, if separator == ',' { "," } else { ":" });
                }
                Some(']') => break,
                None => return Err(self.mistake("the `]` is missing")),
                Some(_) => {
                    let start = self.at;
                    match self.index()? {
                        Node::Text(name) => push(parts, &quoted(&name)),
                        Node::Number(number) => push(parts, &number.text()),
                        Node::Null | Node::Boolean(_) => {
                            return Err(self.mistake_at(start..self.at, "an index is a number or a name"));
                        }
                        node => parts.push(Part::Value(node)),
                    }
                }
            }
        }
        push(parts, "]");
        Ok(())
    }

    /// The inside of a filter: JSONPath, where roots and functions of the expression stand for their values.
    fn filter(&mut self, parts: &mut Vec<Part>) -> Result<(), Mistake> {
        let start = self.at;
        let mut depth = 0_usize;
        // What stands before, blanks left out: `.length` and `@payload` are no roots, and `=~ /` begins a pattern.
        let mut before = '(';
        while let Some(character) = self.peek() {
            match character {
                ')' if depth == 0 => {
                    self.at += 1;
                    return Ok(());
                }
                '"' | '\'' => {
                    let text = self.string(character)?;
                    push(parts, &quoted(&text));
                    before = '"';
                    continue;
                }
                '/' if before == '~' => {
                    let from = self.at;
                    self.pattern()?;
                    push(parts, &self.text[from..self.at]);
                    before = '/';
                    continue;
                }
                '$' if !matches!(before, '.' | '@') => {
                    let node = self.root("$")?;
                    parts.push(Part::Value(node));
                    before = 'x';
                    continue;
                }
                letter if letter.is_alphabetic() || letter == '_' => {
                    let from = self.at;
                    let word = self.word().to_owned();
                    if !matches!(before, '.' | '@') && self.is_root(&word, from) {
                        self.at = from;
                        let node = self.root(&word)?;
                        parts.push(Part::Value(node));
                    } else {
                        push(
                            parts,
                            match word.as_str() {
                                "and" if before != '.' => "&&",
                                "or" if before != '.' => "||",
                                other => other,
                            },
                        );
                    }
                    before = 'x';
                    continue;
                }
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            self.at += character.len_utf8();
            if !character.is_whitespace() {
                before = character;
            }
            push(parts, character.encode_utf8(&mut [0; 4]));
        }
        Err(self.mistake_at(start..self.at, "the `)` of the filter is missing"))
    }

    fn pattern(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        while let Some(character) = self.peek() {
            self.at += character.len_utf8();
            match character {
                '/' if !escaped => return Ok(()),
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err(self.mistake_at(start..self.at, "the closing `/` of the pattern is missing"))
    }
}

fn push(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn push_name(parts: &mut Vec<Part>, name: &str) {
    push(parts, "[");
    push(parts, &quoted(name));
    push(parts, "]");
}

fn quoted(name: &str) -> String {
    let mut text = Vec::new();
    json::write_string(name, &mut text);
    String::from_utf8(text).expect("JSON is written as UTF-8")
}
