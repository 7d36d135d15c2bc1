//! Questions to a message: XPath, JSONPath and Synapse expressions, compiled at load.

mod built_path;
pub mod dates;
pub mod functions;
pub mod json_path;
mod scope;
pub mod synapse;
pub mod xpath;

pub use scope::{Scope, World};

use self::json_path::JsonPath;
use self::xpath::{XPath, XPathValue};
use crate::message::addressing::Field;
use crate::message::payload::PayloadError;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{Namespaces, NodeId};
use crate::text::{Diagnostic, Placed, Span};
use http::HeaderName;
use std::borrow::Cow;
use std::sync::Arc;

/// An expression in the language its text says.
#[derive(Debug)]
pub struct Expression {
    language: Language,
    source: Placed,
    /// It reads `To`, `Action` and the like, which may stand in the header of a SOAP message.
    addressing: bool,
    /// It is nothing but `$trp:name`.
    header: Option<HeaderName>,
}

#[derive(Debug)]
enum Language {
    XPath(XPath),
    /// `json-eval(…)`
    JsonPath {
        path: JsonPath,
        of: PathOf,
    },
    /// `json-eval(…)` on the body, with expressions in braces.
    BuiltPath(built_path::BuiltPath),
    /// `${…}`
    Synapse(synapse::Expression),
}

/// What a JSONPath looks at: the body, or a property that holds JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathOf {
    /// `true` for `$` or `$.` alone: the body's text, unparsed.
    Body {
        whole: bool,
    },
    Property(String),
    Header(String),
    Axis2(String),
    Variable(String),
}

/// A literal, or an expression in braces.
#[derive(Debug)]
pub enum Dynamic {
    Literal(Arc<str>),
    Expression(Expression),
}

impl Dynamic {
    pub fn waits(&self) -> bool {
        matches!(self, Dynamic::Expression(expression) if expression.waits())
    }
}

/// Why an expression has no answer.
#[derive(Debug)]
pub enum ExpressionError {
    Payload(PayloadError),
    Failed(String),
}

impl Expression {
    /// Compiles; the hints are warnings about what is legal and probably not meant.
    pub fn compile(
        text: &Placed,
        namespaces: &Namespaces,
    ) -> Result<(Expression, Vec<Diagnostic>), Box<Diagnostic>> {
        let trimmed = text.trimmed();
        if trimmed.text.is_empty() {
            return Err(Box::new(Diagnostic::error(
                "E0301",
                text.span,
                "an expression is expected here, and there is none",
            )));
        }
        let (language, hints) = if let Some(start) = json_eval(&trimmed.text) {
            // The last character is taken for the closing parenthesis, whatever it is, as in Synapse.
            let end = trimmed
                .text
                .char_indices()
                .next_back()
                .map_or(start, |(at, _)| at)
                .max(start);
            (
                compile_json_path(&trimmed.slice(start..end), namespaces)?,
                Vec::new(),
            )
        } else if trimmed.text.starts_with("${") && trimmed.text.ends_with('}') {
            let inner = trimmed.slice(2..trimmed.text.len() - 1);
            let expression = compile_synapse(&inner, namespaces)?;
            let hints = expression.hints().iter().map(|hint| {
                Diagnostic::warning("W0303", inner.span_of(hint.range.clone()), &hint.message)
                    .maybe_help(hint.help.clone())
            });
            let hints = hints.collect();
            (Language::Synapse(expression), hints)
        } else {
            (Language::XPath(compile_xpath(&trimmed, namespaces)?), Vec::new())
        };
        let addressing = reads_addressing(&trimmed.text);
        let header = match &language {
            Language::XPath(xpath) => xpath.plain_variable().filter(|(prefix, _)| *prefix == "trp"),
            _ => None,
        };
        let header = header.and_then(|(_, name)| HeaderName::from_bytes(name.as_bytes()).ok());
        Ok((
            Expression {
                language,
                source: trimmed,
                addressing,
                header,
            },
            hints,
        ))
    }

    /// A JSONPath without `json-eval( )` around it, as `evaluator="json"` allows.
    pub fn compile_json(text: &Placed, namespaces: &Namespaces) -> Result<Expression, Box<Diagnostic>> {
        let trimmed = text.trimmed();
        Ok(Expression {
            language: compile_json_path(&trimmed, namespaces)?,
            source: trimmed,
            addressing: false,
            header: None,
        })
    }

    pub fn source(&self) -> &str {
        &self.source.text
    }

    pub fn span(&self) -> Span {
        self.source.span
    }

    /// False when it can be answered without the payload, which may then keep streaming.
    pub fn needs_payload(&self) -> bool {
        match &self.language {
            Language::XPath(xpath) => xpath.needs_tree(),
            Language::JsonPath { of, .. } => matches!(of, PathOf::Body { .. }),
            Language::BuiltPath(_) => true,
            Language::Synapse(expression) => expression.needs_payload(),
        }
    }

    /// It reads `To`, `Action` and the like, which may stand in the header of a SOAP message.
    pub fn asks_addressing(&self) -> bool {
        self.addressing
    }

    /// Whether a body may have to arrive before it can be answered.
    pub fn waits(&self) -> bool {
        self.needs_payload() || self.addressing
    }

    pub fn is_json_path(&self) -> bool {
        matches!(self.language, Language::JsonPath { .. } | Language::BuiltPath(_))
    }

    pub fn is_synapse(&self) -> bool {
        matches!(self.language, Language::Synapse(_))
    }

    /// The XPath, if it is one: for mediators that change what it selects.
    pub fn xpath(&self) -> Option<&XPath> {
        match &self.language {
            Language::XPath(xpath) => Some(xpath),
            _ => None,
        }
    }

    /// The JSONPath over the body, if it is one that is known at load.
    pub fn json_path(&self) -> Option<&JsonPath> {
        match &self.language {
            Language::JsonPath {
                path,
                of: PathOf::Body { .. },
            } => Some(path),
            _ => None,
        }
    }

    /// The JSONPath over the body, if it is one; expressions in its braces are evaluated.
    pub fn json_path_of(&self, scope: &mut Scope<'_>) -> Result<Option<Cow<'_, JsonPath>>, ExpressionError> {
        match &self.language {
            Language::BuiltPath(built) => built.build(scope).map(|path| Some(Cow::Owned(path))),
            _ => Ok(self.json_path().map(Cow::Borrowed)),
        }
    }

    /// The string value (`SynapsePath.stringValueOf`); `None` is Synapse's null.
    pub fn text(&self, scope: &mut Scope<'_>) -> Result<Option<String>, ExpressionError> {
        if let Some(name) = &self.header {
            let value = scope
                .message
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            return Ok(value.map(str::to_owned));
        }
        match &self.language {
            Language::XPath(xpath) => scope.xpath_text(xpath),
            Language::JsonPath { path, of } => scope.json_text(path, of),
            Language::BuiltPath(built) => {
                let path = built.build(scope)?;
                scope.json_text(
                    &path,
                    &PathOf::Body {
                        whole: path.is_whole(),
                    },
                )
            }
            Language::Synapse(expression) => Ok(Some(expression.evaluate(scope).text())),
        }
    }

    /// Is it true? XPath by XPath's rules; the others only when their text is "true".
    pub fn holds(&self, scope: &mut Scope<'_>) -> Result<bool, ExpressionError> {
        match &self.language {
            Language::XPath(xpath) => scope.xpath_holds(xpath),
            Language::JsonPath { .. } | Language::BuiltPath(_) => {
                Ok(self.text(scope)?.as_deref() == Some("true"))
            }
            Language::Synapse(expression) => Ok(expression.evaluate(scope).text() == "true"),
        }
    }

    /// The nodes of the message that an XPath selects, to be changed there; none for anything else.
    pub fn selected(&self, scope: &mut Scope<'_>) -> Result<Vec<NodeId>, ExpressionError> {
        match &self.language {
            Language::XPath(xpath) => scope.xpath(xpath, |value| match value {
                XPathValue::Nodes(nodes) => nodes.of_payload(),
                _ => Vec::new(),
            }),
            _ => Ok(Vec::new()),
        }
    }

    /// The value with its type: nodes, numbers, JSON.
    pub fn value(&self, scope: &mut Scope<'_>) -> Result<Option<Value>, ExpressionError> {
        match &self.language {
            Language::XPath(xpath) => scope.xpath(xpath, |value| match value {
                XPathValue::Nothing => None,
                XPathValue::Boolean(value) => Some(Value::Boolean(value)),
                XPathValue::Number(value) => Some(Value::Double(value)),
                XPathValue::Integer(value) => Some(Value::Long(value)),
                XPathValue::Text(text) => Some(Value::text(text)),
                XPathValue::Nodes(nodes) if nodes.is_empty() => None,
                XPathValue::Nodes(nodes) => {
                    let (tree, nodes) = nodes.into_fragment();
                    Some(Value::Xml(Fragment { tree, nodes }))
                }
            }),
            Language::JsonPath { path, of } => scope.json_value(path, of),
            Language::BuiltPath(built) => {
                let path = built.build(scope)?;
                scope.json_value(
                    &path,
                    &PathOf::Body {
                        whole: path.is_whole(),
                    },
                )
            }
            Language::Synapse(expression) => Ok(expression.evaluate(scope).into_value()),
        }
    }
}

/// Whether `get-property` is asked for one of the names that WS-Addressing gives a value. Names that are computed are not seen.
fn reads_addressing(text: &str) -> bool {
    let mut names = Field::NAMES.iter().chain(&["MessageID"]);
    text.contains("get-property")
        && names.any(|name| text.contains(&format!("'{name}'")) || text.contains(&format!("\"{name}\"")))
}

/// Where the path starts, when the text is `json-eval(…`.
fn json_eval(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("json-eval")?;
    let open = rest.trim_start();
    open.starts_with('(').then(|| text.len() - open.len() + 1)
}

fn compile_xpath(text: &Placed, namespaces: &Namespaces) -> Result<XPath, Box<Diagnostic>> {
    XPath::compile(&text.text, namespaces).map_err(|error| {
        Box::new(
            Diagnostic::error(
                "E0301",
                text.span_of(error.range),
                format!("XPath: {}", error.message),
            )
            .maybe_help(error.help),
        )
    })
}

fn compile_synapse(text: &Placed, namespaces: &Namespaces) -> Result<synapse::Expression, Box<Diagnostic>> {
    synapse::Expression::compile(&text.text, namespaces).map_err(|error| {
        Box::new(
            Diagnostic::error(
                "E0303",
                text.span_of(error.range),
                format!("expression: {}", error.message),
            )
            .maybe_help(error.help),
        )
    })
}

fn compile_json_path(text: &Placed, namespaces: &Namespaces) -> Result<Language, Box<Diagnostic>> {
    let text = text.trimmed();
    let scoped = [("$ctx:", 0), ("$trp:", 1), ("$axis2:", 2), ("$var:", 3)];
    for (prefix, kind) in scoped {
        if let Some(rest) = text.text.strip_prefix(prefix) {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = rest[..end].to_owned();
            let of = match kind {
                0 => PathOf::Property(name),
                1 => PathOf::Header(name),
                2 => PathOf::Axis2(name),
                _ => PathOf::Variable(name),
            };
            let at = prefix.len() + end;
            let path = JsonPath::compile(&format!("${}", &rest[end..])).map_err(|error| {
                let shift = |offset: usize| (offset + at).saturating_sub(1).min(text.text.len());
                let range = shift(error.range.start)..shift(error.range.end);
                path_mistake(&text, range, &error.message, error.help)
            })?;
            return Ok(Language::JsonPath { path, of });
        }
    }
    if let Some(built) = built_path::BuiltPath::compile(&text, namespaces)? {
        return Ok(Language::BuiltPath(built));
    }
    let whole = matches!(text.text.as_str(), "$" | "$.");
    let body = if whole { "$" } else { text.text.as_str() };
    let path = JsonPath::compile(body)
        .map_err(|error| path_mistake(&text, error.range, &error.message, error.help))?;
    Ok(Language::JsonPath {
        path,
        of: PathOf::Body { whole },
    })
}

fn path_mistake(
    text: &Placed,
    range: std::ops::Range<usize>,
    message: &str,
    help: Option<String>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("E0302", text.span_of(range), format!("JSONPath: {message}")).maybe_help(help))
}
