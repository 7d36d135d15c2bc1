//! Reads the text of an expression (Synapse: ExpressionLexer.g4, ExpressionParser.g4).
//!
//! The order of binding is Synapse's and unusual: `and` and `or` bind tighter than comparisons, have the same rank and
//! group to the right.

use std::ops::Range;

use super::Mistake;
use super::functions::{self, Function};
use super::path::Steps;
use super::surroundings::Place;
use super::value::{Arithmetic, Comparison, Value};
use crate::expression::xpath::XPath;
use crate::message::xml::Namespaces;
use crate::text::suggest::did_you_mean;

/// Parentheses, calls and conditions in each other.
const NESTING: usize = 64;

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Text(String),
    Boolean(bool),
    Number(Value),
    Array(Vec<Node>),
    Calculation {
        first: Box<Node>,
        rest: Vec<(Arithmetic, Node)>,
    },
    Comparison {
        first: Box<Node>,
        rest: Vec<(Comparison, Node)>,
    },
    /// Operands, and between each two of them whether it is `and` rather than `or`.
    Logic {
        operands: Vec<Node>,
        and: Vec<bool>,
    },
    Condition(Box<[Node; 3]>),
    Payload(Steps),
    Variable {
        name: String,
        steps: Steps,
    },
    Header(String),
    Config(String),
    Query(String),
    PathParameter(String),
    FunctionParameter(String),
    Property {
        place: Place,
        name: String,
    },
    Call {
        function: Function,
        arguments: Vec<Node>,
        steps: Steps,
    },
    Registry {
        path: Box<Node>,
        property: Option<Box<Node>>,
        steps: Steps,
    },
    XPath {
        query: Query,
        namespaces: Namespaces,
    },
}

/// The first argument of `xpath(…)`: known at load, or made at run time.
#[derive(Debug)]
pub(super) enum Query {
    Fixed {
        xpath: Box<XPath>,
        on: Option<XmlVariable>,
    },
    Made {
        text: Box<Node>,
        variable: Option<Box<Node>>,
    },
}

/// XML that is in a field of a variable: `xpath('//a', 'reply.payload')`.
#[derive(Debug, Clone)]
pub(super) struct XmlVariable {
    pub(super) name: String,
    pub(super) field: String,
}

pub(super) struct Parsed {
    pub(super) root: Node,
    pub(super) hints: Vec<Mistake>,
    pub(super) needs_payload: bool,
}

pub(super) fn parse(text: &str, namespaces: &Namespaces) -> Result<Parsed, Mistake> {
    let mut parser = Parser {
        text,
        at: 0,
        nesting: 0,
        namespaces,
        hints: Vec::new(),
        needs_payload: false,
    };
    let root = parser.expression()?;
    parser.skip_blanks();
    if parser.at < text.len() {
        let mut mistake = parser.mistake("an operator is missing here, or this is too much");
        let rest = &text[parser.at..];
        mistake.help = match rest.split_whitespace().next() {
            Some("AND" | "And") => Some("write `and` or `&&`".to_owned()),
            Some("OR" | "Or") => Some("write `or` or `||`".to_owned()),
            Some(word) if word.starts_with('=') => Some("write `==`".to_owned()),
            _ => None,
        };
        return Err(mistake);
    }
    Ok(Parsed {
        root,
        hints: parser.hints,
        needs_payload: parser.needs_payload,
    })
}

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    nesting: usize,
    namespaces: &'t Namespaces,
    hints: Vec<Mistake>,
    needs_payload: bool,
}

const ROOTS: &[&str] = &[
    "payload",
    "vars",
    "headers",
    "params",
    "properties",
    "props",
    "configs",
];

impl Parser<'_> {
    fn expression(&mut self) -> Result<Node, Mistake> {
        self.deeper(|parser| {
            let condition = parser.comparison()?;
            parser.skip_blanks();
            if parser.peek() != Some('?') {
                return Ok(condition);
            }
            parser.at += 1;
            let yes = parser.expression()?;
            parser.skip_blanks();
            parser.expect(':', "the `:` of the condition is missing")?;
            let no = parser.expression()?;
            Ok(Node::Condition(Box::new([condition, yes, no])))
        })
    }

    fn comparison(&mut self) -> Result<Node, Mistake> {
        self.skip_blanks();
        let start = self.at;
        let first = self.logic()?;
        let mut rest = Vec::new();
        let mut bare_logic = matches!(first, Node::Logic { .. });
        while let Some(comparison) = self.comparison_sign() {
            let operand = self.logic()?;
            bare_logic |= matches!(operand, Node::Logic { .. });
            rest.push((comparison, operand));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        if bare_logic {
            self.hints.push(Mistake {
                message: "`and` and `or` bind tighter than comparisons in this language".to_owned(),
                range: start..self.at,
                help: Some("put each comparison in parentheses: `(a > 1) and (b > 2)`".to_owned()),
            });
        }
        Ok(Node::Comparison {
            first: Box::new(first),
            rest,
        })
    }

    fn comparison_sign(&mut self) -> Option<Comparison> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let (length, comparison) = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            (">=", Comparison::GreaterOrEqual),
            ("<=", Comparison::LessOrEqual),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
        ]
        .into_iter()
        .find(|(sign, _)| rest.starts_with(sign))
        .map(|(sign, comparison)| (sign.len(), comparison))?;
        self.at += length;
        Some(comparison)
    }

    fn logic(&mut self) -> Result<Node, Mistake> {
        let first = self.sum()?;
        let mut operands = vec![first];
        let mut and = Vec::new();
        while let Some(next) = self.logic_sign() {
            and.push(next);
            operands.push(self.sum()?);
        }
        Ok(match operands.pop() {
            Some(only) if operands.is_empty() => only,
            last => {
                operands.extend(last);
                // A comparison that is an operand stands in parentheses, or else it would not be one.
                Node::Logic { operands, and }
            }
        })
    }

    fn logic_sign(&mut self) -> Option<bool> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let word = |word: &str| {
            rest.strip_prefix(word)
                .is_some_and(|after| !after.starts_with(|c: char| is_word(c) || c == '-'))
        };
        let (length, and) = if rest.starts_with("&&") {
            (2, true)
        } else if rest.starts_with("||") {
            (2, false)
        } else if word("and") {
            (3, true)
        } else if word("or") {
            (2, false)
        } else {
            return None;
        };
        self.at += length;
        Some(and)
    }

    fn sum(&mut self) -> Result<Node, Mistake> {
        self.calculation(
            |character| match character {
                '+' => Some(Arithmetic::Add),
                '-' => Some(Arithmetic::Subtract),
                _ => None,
            },
            Parser::product,
        )
    }

    fn product(&mut self) -> Result<Node, Mistake> {
        self.calculation(
            |character| match character {
                '*' => Some(Arithmetic::Multiply),
                '/' => Some(Arithmetic::Divide),
                '%' => Some(Arithmetic::Modulo),
                _ => None,
            },
            Parser::factor,
        )
    }

    fn calculation(
        &mut self,
        sign: impl Fn(char) -> Option<Arithmetic>,
        operand: impl Fn(&mut Self) -> Result<Node, Mistake>,
    ) -> Result<Node, Mistake> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let Some(operation) = self.peek().and_then(&sign) else {
                break;
            };
            self.at += 1;
            rest.push((operation, operand(self)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Node::Calculation {
                first: Box::new(first),
                rest,
            }
        })
    }

    fn factor(&mut self) -> Result<Node, Mistake> {
        self.skip_blanks();
        let start = self.at;
        match self.peek() {
            None => Err(self.mistake("a value is missing")),
            Some(quote @ ('"' | '\'')) => Ok(Node::Text(self.string(quote)?)),
            Some('0'..='9' | '-') => self.number(),
            Some('$') => self.root("$"),
            Some('(') => {
                self.at += 1;
                let inner = self.expression()?;
                self.skip_blanks();
                self.expect(')', "the `)` is missing")?;
                // In parentheses it is no longer a bare operand.
                Ok(match inner {
                    logic @ Node::Logic { .. } => Node::Calculation {
                        first: Box::new(logic),
                        rest: Vec::new(),
                    },
                    other => other,
                })
            }
            Some('[') => {
                self.at += 1;
                Ok(Node::Array(self.list(']')?))
            }
            Some('!') => {
                let mut mistake = self.mistake("`!` stands only in filters");
                mistake.help = Some("write `not(...)`".to_owned());
                Err(mistake)
            }
            Some(letter) if letter.is_alphabetic() || letter == '_' => {
                let word = self.word().to_owned();
                match word.as_str() {
                    "true" => return Ok(Node::Boolean(true)),
                    "false" => return Ok(Node::Boolean(false)),
                    "null" => return Ok(Node::Null),
                    _ => {}
                }
                if self.is_root(&word, start) {
                    self.at = start;
                    return self.root(&word);
                }
                Err(self.unknown(&word, start))
            }
            Some(_) => Err(self.mistake("a value cannot begin with this")),
        }
    }

    fn unknown(&mut self, word: &str, start: usize) -> Mistake {
        self.skip_blanks();
        let range = start..start + word.len();
        if self.peek() == Some('(') {
            let mut mistake = self.mistake_at(range, &format!("there is no function `{word}`"));
            mistake.help = did_you_mean(word, functions::names());
            return mistake;
        }
        let mut mistake = self.mistake_at(range, &format!("there is no `{word}` in expressions"));
        mistake.help = did_you_mean(word, ROOTS.iter().copied()).or_else(|| {
            Some(format!("a text stands in quotes; a variable is `vars.{word}`, a field of the payload `payload.{word}`"))
        });
        mistake
    }

    /// Whether a word begins an access or a call, so far as that can be told here.
    pub(super) fn is_root(&self, word: &str, start: usize) -> bool {
        if ROOTS.contains(&word) {
            return true;
        }
        let after = self.text[start + word.len()..].trim_start();
        after.starts_with('(') && Function::named(word).is_some()
    }

    /// An access or a call that begins here with `word`.
    pub(super) fn root(&mut self, word: &str) -> Result<Node, Mistake> {
        let start = self.at;
        self.at += word.len();
        match word {
            "$" | "payload" => {
                self.needs_payload = true;
                Ok(Node::Payload(self.steps()?))
            }
            "vars" => {
                let name = self.name("vars")?;
                Ok(Node::Variable {
                    name,
                    steps: self.steps()?,
                })
            }
            "headers" => Ok(Node::Header(self.name(word)?)),
            "configs" => Ok(Node::Config(self.name(word)?)),
            "params" => {
                let (kind, range) = self.kind(word)?;
                match kind.as_str() {
                    "queryParams" => Ok(Node::Query(self.name(&kind)?)),
                    "pathParams" => Ok(Node::PathParameter(self.name(&kind)?)),
                    "functionParams" => Ok(Node::FunctionParameter(self.name(&kind)?)),
                    _ => Err(self.wrong_kind(&kind, range, &["queryParams", "pathParams", "functionParams"])),
                }
            }
            "properties" | "props" => {
                let (kind, range) = self.kind(word)?;
                let place = match kind.as_str() {
                    "synapse" => Place::Synapse,
                    "axis2" => Place::Axis2,
                    _ => return Err(self.wrong_kind(&kind, range, &["synapse", "axis2"])),
                };
                Ok(Node::Property {
                    place,
                    name: self.name(&kind)?,
                })
            }
            _ => self.call(word, start),
        }
    }

    fn wrong_kind(&self, kind: &str, range: Range<usize>, known: &[&'static str]) -> Mistake {
        let mut mistake = self.mistake_at(range, &format!("`{kind}` is none of {}", known.join(", ")));
        mistake.help = did_you_mean(kind, known.iter().copied());
        mistake
    }

    fn kind(&mut self, root: &str) -> Result<(String, Range<usize>), Mistake> {
        self.skip_blanks();
        self.expect('.', &format!("`{root}` is followed by a point and a kind"))?;
        self.skip_blanks();
        let start = self.at;
        let kind = self.word().to_owned();
        Ok((kind, start..self.at))
    }

    /// `.name`, `.["name"]` or `["name"]`
    fn name(&mut self, root: &str) -> Result<String, Mistake> {
        let start = self.at;
        self.skip_blanks();
        let dot = self.peek() == Some('.');
        self.at += usize::from(dot);
        self.skip_blanks();
        match self.peek() {
            Some('[') => {
                self.at += 1;
                self.skip_blanks();
                let name = match self.peek() {
                    Some(quote @ ('"' | '\'')) => self.string(quote)?,
                    _ => return Err(self.mistake("a name in quotes is missing")),
                };
                self.skip_blanks();
                self.expect(']', "the `]` is missing")?;
                Ok(name)
            }
            Some(quote @ ('"' | '\'')) if dot => self.string(quote),
            Some(_) if dot => match self.word() {
                "" => Err(self.mistake("a name is missing")),
                name => Ok(name.to_owned()),
            },
            _ => Err(self.mistake_at(
                start.saturating_sub(root.len())..start,
                &format!("`{root}` is followed by a name: `{root}.name` or `{root}[\"name\"]`"),
            )),
        }
    }

    fn call(&mut self, word: &str, start: usize) -> Result<Node, Mistake> {
        let range = start..start + word.len();
        let Some(function) = Function::named(word) else {
            return Err(self.unknown(word, start));
        };
        self.skip_blanks();
        self.expect('(', "the `(` is missing")?;
        let arguments_at = self.at;
        let mut arguments = self.list(')')?;
        functions::check(function, &arguments).map_err(|(message, help)| Mistake {
            message,
            range: range.clone(),
            help,
        })?;
        match function {
            Function::XPath => self.xpath(arguments, arguments_at),
            Function::Registry => {
                let path = Box::new(arguments.remove(0));
                let before = self.at;
                self.skip_blanks();
                let property = self.text[self.at..]
                    .strip_prefix(".property")
                    .map(str::trim_start);
                if property.is_some_and(|rest| rest.starts_with('(')) {
                    self.at += ".property".len();
                    self.skip_blanks();
                    self.at += 1;
                    let mut names = self.list(')')?;
                    if names.len() != 1 {
                        return Err(self.mistake_at(before..self.at, "`property(...)` takes one name"));
                    }
                    return Ok(Node::Registry {
                        path,
                        property: names.pop().map(Box::new),
                        steps: Steps::None,
                    });
                }
                self.at = before;
                Ok(Node::Registry {
                    path,
                    property: None,
                    steps: self.steps()?,
                })
            }
            Function::Object | Function::Array => Ok(Node::Call {
                function,
                arguments,
                steps: self.steps()?,
            }),
            _ => Ok(Node::Call {
                function,
                arguments,
                steps: Steps::None,
            }),
        }
    }

    fn xpath(&mut self, mut arguments: Vec<Node>, at: usize) -> Result<Node, Mistake> {
        let variable = if arguments.len() == 2 {
            arguments.pop()
        } else {
            None
        };
        let text = arguments.pop().unwrap_or(Node::Null);
        let namespaces = self.namespaces.clone();
        let (query, on) = match (text, variable) {
            (Node::Text(text), None) => (text, None),
            (Node::Text(text), Some(Node::Text(variable))) => match variable.split_once('.') {
                Some((name, field)) => (
                    text,
                    Some(XmlVariable {
                        name: name.to_owned(),
                        field: field.to_owned(),
                    }),
                ),
                None if variable.is_empty() => {
                    return Err(self.mistake_at(at..self.at, "the name of the variable is empty"));
                }
                None => (format!("$var:{variable}{text}"), None),
            },
            (text, variable) => {
                self.needs_payload |= variable.is_none();
                let query = Query::Made {
                    text: Box::new(text),
                    variable: variable.map(Box::new),
                };
                return Ok(Node::XPath { query, namespaces });
            }
        };
        let xpath = XPath::compile(&query, self.namespaces).map_err(|error| {
            // The text of the XPath follows its quote; with a variable in front its place is not the same.
            let quote = self.text[at..]
                .find(['"', '\''])
                .map_or(at, |quote| at + quote + 1);
            let range = if query.starts_with("$var:") {
                at..self.at.saturating_sub(1)
            } else {
                quote + error.range.start..quote + error.range.end
            };
            let range = if self.text.get(range.clone()).is_some() {
                range
            } else {
                at..self.at
            };
            Mistake {
                message: format!("XPath: {}", error.message),
                range,
                help: error.help,
            }
        })?;
        self.needs_payload |= on.is_none() && xpath.needs_tree();
        Ok(Node::XPath {
            query: Query::Fixed {
                xpath: Box::new(xpath),
                on,
            },
            namespaces,
        })
    }

    fn list(&mut self, close: char) -> Result<Vec<Node>, Mistake> {
        let mut items = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(end) if end == close => {
                    self.at += 1;
                    return Ok(items);
                }
                _ => return Err(self.mistake(&format!("a comma or `{close}` is missing"))),
            }
        }
    }

    /// An index in brackets: an expression that may have a sign.
    pub(super) fn index(&mut self) -> Result<Node, Mistake> {
        let digits = self.text[self.at..]
            .strip_prefix('-')
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        if !digits {
            return self.expression();
        }
        self.at += 1;
        let operand = self.expression()?;
        let zero = Node::Number(Value::Integer(0));
        Ok(Node::Calculation {
            first: Box::new(zero),
            rest: vec![(Arithmetic::Subtract, operand)],
        })
    }

    fn number(&mut self) -> Result<Node, Mistake> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some('-'));
        let digits = self.digits();
        if digits == 0 {
            return Err(self.mistake("a digit is missing after the `-`"));
        }
        if self.peek() == Some('.') && self.text[self.at + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.at += 1;
            self.digits();
        }
        Ok(Node::Number(Value::of_text(self.text[start..self.at].to_owned())))
    }

    fn digits(&mut self) -> usize {
        let digits = self.text[self.at..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        self.at += digits;
        digits
    }

    /// A string in quotes. Backslashes keep a quote from ending it and stay in it, as in Synapse.
    pub(super) fn string(&mut self, quote: char) -> Result<String, Mistake> {
        let start = self.at;
        self.at += 1;
        let from = self.at;
        while let Some(character) = self.peek() {
            self.at += character.len_utf8();
            if character == quote {
                return Ok(self.text[from..self.at - 1].to_owned());
            }
            if character == '\\' {
                self.at += self.peek().map_or(0, char::len_utf8);
            }
        }
        Err(self.mistake_at(start..self.at, &format!("the closing {quote} is missing")))
    }

    /// Letters, digits, `_` and `-`.
    pub(super) fn word(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !is_word(c) && c != '-').unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    pub(super) fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        self.nesting += 1;
        if self.nesting > NESTING {
            return Err(self.mistake("the expression is nested too deeply"));
        }
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(
            self.text.as_bytes().get(self.at),
            Some(b' ' | b'\t' | b'\n' | b'\r')
        ) {
            self.at += 1;
        }
    }

    pub(super) fn expect(&mut self, wanted: char, otherwise: &str) -> Result<(), Mistake> {
        if self.peek() != Some(wanted) {
            return Err(self.mistake(otherwise));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    /// A mistake at the next character.
    pub(super) fn mistake(&self, message: &str) -> Mistake {
        let width = self.peek().map_or(0, char::len_utf8);
        self.mistake_at(self.at..self.at + width, message)
    }

    pub(super) fn mistake_at(&self, range: Range<usize>, message: &str) -> Mistake {
        Mistake {
            message: message.to_owned(),
            range,
            help: None,
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
