//! What stands in `<source type="inline">`, with the expressions in it.

use crate::expression::Expression;
use crate::flow::{Exchange, Fault};
use crate::mediators::template::expression_end;
use crate::message::json::{self, Json, JsonLimits};
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{XmlLimits, XmlTree};
use crate::plan::{Element, Planner};
use crate::text::{Diagnostic, Placed};
use std::ops::Range;

pub enum Inline {
    /// Nothing in it to fill.
    Fixed(Value),
    /// XML or JSON as text, with places to fill.
    Template { pieces: Vec<Piece>, is_xml: bool },
}

pub enum Piece {
    Text(String),
    Expression {
        expression: Expression,
        is_json_path: bool,
    },
}

/// What an inline source is for one message.
pub struct Filled {
    pub value: Value,
}

impl Filled {
    pub fn is_xml(&self) -> bool {
        matches!(self.value, Value::Xml(_))
    }

    /// As JSON, if it is.
    pub fn json(&self, limits: &JsonLimits) -> Option<Json> {
        match &self.value {
            Value::Json(json) => Some(Json::clone(json)),
            Value::Xml(_) => None,
            other => json::parse(other.to_text().as_bytes(), limits).ok(),
        }
    }
}

impl Inline {
    /// Whether a message that is JSON has to become XML for it.
    pub fn is_xml(&self) -> bool {
        match self {
            Inline::Fixed(value) => matches!(value, Value::Xml(_)),
            Inline::Template { is_xml, .. } => *is_xml,
        }
    }

    pub async fn fill(&self, exchange: &mut Exchange) -> Result<Filled, Fault> {
        let (pieces, is_xml) = match self {
            Inline::Fixed(value) => return Ok(Filled { value: value.clone() }),
            Inline::Template { pieces, is_xml } => (pieces, *is_xml),
        };
        let mut text = String::new();
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Expression {
                    expression,
                    is_json_path,
                } => {
                    let value = exchange.text(expression).await?.unwrap_or_default();
                    let limits = &exchange.catalog.limits;
                    let quoted = text.ends_with('"')
                        && matches!(pieces.get(at + 1), Some(Piece::Text(next)) if next.starts_with('"'));
                    if is_xml {
                        match XmlTree::parse_str(&value, &limits.xml) {
                            Ok(_) => text.push_str(&value),
                            Err(_) => escape_xml(&value, &mut text),
                        }
                    } else {
                        fill_json(&value, quoted, *is_json_path, &limits.json, &mut text);
                    }
                }
            }
        }
        // Filled in, a text may have become XML.
        let value = match XmlTree::parse_str(text.trim(), &exchange.catalog.limits.xml) {
            Ok(tree) => Value::Xml(Fragment::of_element(tree)),
            Err(_) => Value::text(text),
        };
        Ok(Filled { value })
    }
}

/// What is JSON goes in as it is, any other text as a JSON string, with the quotes it needs
/// (`InlineExpressionUtil.replaceValue`).
fn fill_json(value: &str, quoted: bool, is_json_path: bool, limits: &JsonLimits, out: &mut String) {
    let is_json = json::parse(value.as_bytes(), limits).is_ok();
    let is_lone = out.trim().is_empty() && !quoted;
    if !quoted && (is_json || is_lone && !(value.is_empty() && is_json_path)) {
        out.push_str(value);
        return;
    }
    let mut string = Vec::new();
    json::write_string(value, &mut string);
    let string = String::from_utf8_lossy(&string).into_owned();
    out.push_str(if quoted {
        &string[1..string.len() - 1]
    } else {
        &string
    });
}

fn escape_xml(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// An element, else a text, else an entry (`EnrichMediatorFactory.populateSource`).
pub(super) fn build(source: &Element, planner: &mut Planner<'_>) -> Option<Inline> {
    if let Some(first) = source.elements().next() {
        return element(first, planner);
    }
    let text = source.text();
    if !text.text.trim().is_empty() {
        return text_of(&text, source, planner);
    }
    let Some(key) = source.attribute("key") else {
        planner.tell(
            Diagnostic::error("E0210", source.span, "this inline source is empty")
                .help("put XML, JSON or text into it, or name an entry with `key`"),
        );
        return None;
    };
    planner.entry(&key.value.clone()).map(Inline::Fixed)
}

fn element(first: &Element, planner: &mut Planner<'_>) -> Option<Inline> {
    let source = planner.sources.text(first.whole).to_owned();
    let tree = match XmlTree::parse_fragment(&source, &first.namespaces, &XmlLimits::default()) {
        Ok(tree) => tree,
        Err(error) => {
            planner.mistake(
                "E0101",
                first.span,
                format!("this cannot be kept as XML: {}", error.message),
            );
            return None;
        }
    };
    // Synapse looks for expressions in the element's own text alone, and then fills in all of them.
    let own = first.text();
    if marks(&own.text).is_empty() {
        return Some(Inline::Fixed(Value::Xml(Fragment::of_element(tree))));
    }
    let text = tree
        .document_element()
        .map(|element| tree.to_text(element))
        .unwrap_or_default();
    let compile = |inner: &str, planner: &mut Planner<'_>| {
        let plain = inner
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        match Expression::compile(&Placed::verbatim(plain, first.span), &first.namespaces) {
            Ok((expression, _)) => Some(expression),
            Err(mistake) => {
                planner.tell(mistake.at(first.span));
                None
            }
        }
    };
    cut(&text, |range, planner| compile(&text[range], planner), planner)
        .map(|pieces| Inline::Template { pieces, is_xml: true })
}

fn text_of(text: &Placed, source: &Element, planner: &mut Planner<'_>) -> Option<Inline> {
    if marks(&text.text).is_empty() {
        let json = json::parse(text.text.as_bytes(), &JsonLimits::default()).ok();
        let value = match (&json, XmlTree::parse_str(text.text.trim(), &XmlLimits::default())) {
            (None, Ok(tree)) => Value::Xml(Fragment::of_element(tree)),
            _ => Value::text(&text.text),
        };
        return Some(Inline::Fixed(value));
    }
    let pieces = cut(
        &text.text,
        |range, planner| planner.expression(&text.slice(range), source),
        planner,
    )?;
    Some(Inline::Template {
        pieces,
        is_xml: text.text.trim_start().starts_with('<'),
    })
}

fn cut<'p>(
    text: &str,
    mut compile: impl FnMut(Range<usize>, &mut Planner<'p>) -> Option<Expression>,
    planner: &mut Planner<'p>,
) -> Option<Vec<Piece>> {
    let (mut pieces, mut done, mut sound) = (Vec::new(), 0, true);
    for (whole, inner) in marks(text) {
        if whole.start > done {
            pieces.push(Piece::Text(text[done..whole.start].to_owned()));
        }
        done = whole.end;
        match compile(inner, planner) {
            Some(expression) => {
                let is_json_path = expression.is_json_path();
                pieces.push(Piece::Expression {
                    expression,
                    is_json_path,
                });
            }
            None => sound = false,
        }
    }
    if done < text.len() {
        pieces.push(Piece::Text(text[done..].to_owned()));
    }
    sound.then_some(pieces)
}

/// Each `{expression}` without white space, double quotes, commas, angle brackets or `]` in it, and each `${expression}`: the whole of
/// it, and what is compiled.
fn marks(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut marks: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let is_synapse = open > 0 && text.as_bytes()[open - 1] == b'$';
        let stops = |character: char| {
            character == '}' || character == '{' || character.is_whitespace() || "\",<>]".contains(character)
        };
        let inside = open + 1;
        let rest = &text[inside..];
        let end = match is_synapse {
            true => expression_end(rest),
            false => rest.find(stops),
        };
        let end = end.map(|at| inside + at);
        from = inside;
        if let Some(end) = end.filter(|&end| end > inside && text.as_bytes()[end] == b'}') {
            marks.push(match is_synapse {
                true => (open - 1..end + 1, open - 1..end + 1),
                false => (open..end + 1, inside..end),
            });
            from = end + 1;
        }
    }
    marks
}
