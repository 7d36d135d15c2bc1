//! Texts with expressions in them: `Order ${payload.id} of ${vars.customer}`.

use std::ops::Range;

use super::surroundings::Surroundings;
use super::{Expression, Mistake};
use crate::expression::Scope;
use crate::message::xml::Namespaces;

/// A text in which every `${…}` stands for the value of its expression.
#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
pub enum Piece {
    Text(String),
    Expression {
        expression: Expression,
        /// Where `${…}` stands in the text.
        range: Range<usize>,
    },
}

impl Template {
    pub fn compile(text: &str, namespaces: &Namespaces) -> Result<Template, Mistake> {
        let mut pieces = Vec::new();
        let mut from = 0;
        let mut search = 0;
        while let Some(open) = text[search..].find("${").map(|at| at + search) {
            let Some(close) = closing(text, open + 2) else {
                break;
            };
            let inner = &text[open + 2..close];
            if inner.trim().is_empty() {
                search = close;
                continue;
            }
            let expression = Expression::compile(inner, namespaces).map_err(|mistake| Mistake {
                range: mistake.range.start + open + 2..mistake.range.end + open + 2,
                ..mistake
            })?;
            if from < open {
                pieces.push(Piece::Text(text[from..open].to_owned()));
            }
            pieces.push(Piece::Expression {
                expression,
                range: open..close + 1,
            });
            from = close + 1;
            search = from;
        }
        if from < text.len() {
            pieces.push(Piece::Text(text[from..].to_owned()));
        }
        Ok(Template { pieces })
    }

    /// Whether a text holds an expression, so that it is worth compiling.
    pub fn is_needed(text: &str) -> bool {
        text.contains("${")
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Expression { expression, .. } => Some(expression),
        })
    }

    pub fn needs_payload(&self) -> bool {
        self.expressions().any(Expression::needs_payload)
    }

    pub fn render(&self, scope: &mut Scope<'_>) -> String {
        self.render_in(scope)
    }

    pub fn render_in(&self, surroundings: &mut dyn Surroundings) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expression { expression, .. } => {
                    out.push_str(&expression.evaluate_in(surroundings).text());
                }
            }
        }
        out
    }
}

/// The brace that closes an expression. Synapse takes the first one; here a brace in quotes does not count, unless
/// the quotes never end.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'}') => return Some(at),
            (None, _) => {}
        }
    }
    text[from..].find('}').map(|at| at + from)
}
