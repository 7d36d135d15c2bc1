//! JSONPaths with expressions in braces: `json-eval($.store.{$ctx:key})`, put together for every message.

use super::json_path::JsonPath;
use super::{Expression, ExpressionError, Scope};
use crate::message::xml::Namespaces;
use crate::text::{Diagnostic, Placed};

/// As in Synapse the value of an expression becomes part of the path's text: it may be a name, an index or whole steps.
#[derive(Debug)]
pub(super) struct BuiltPath {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(Expression),
}

impl BuiltPath {
    /// Compiles the expressions; nothing for a path that holds none.
    pub(super) fn compile(
        text: &Placed,
        namespaces: &Namespaces,
    ) -> Result<Option<BuiltPath>, Box<Diagnostic>> {
        let mut pieces = Vec::new();
        let mut from = 0;
        let mut search = 0;
        while let Some(open) = text.text[search..].find('{').map(|at| at + search) {
            let Some(close) = closing(&text.text, open + 1) else {
                search = open + 1;
                continue;
            };
            let (expression, _) = Expression::compile(&text.slice(open + 1..close), namespaces)?;
            pieces.push(Piece::Text(text.text[from..open].to_owned()));
            pieces.push(Piece::Value(expression));
            from = close + 1;
            search = from;
        }
        if pieces.is_empty() {
            return Ok(None);
        }
        pieces.push(Piece::Text(text.text[from..].to_owned()));
        // A number may stand wherever a value may.
        let tried: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Value(_) => "0",
            })
            .collect();
        match JsonPath::compile(&tried) {
            Ok(_) => Ok(Some(BuiltPath { pieces })),
            Err(error) => Err(Box::new(
                Diagnostic::error("E0302", text.span, format!("JSONPath: {}", error.message))
                    .maybe_help(error.help),
            )),
        }
    }

    pub(super) fn build(&self, scope: &mut Scope<'_>) -> Result<JsonPath, ExpressionError> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value(expression) => text.push_str(&expression.text(scope)?.unwrap_or_default()),
            }
        }
        // A point at the end is overlooked where an author wrote it, not where a value is missing behind it.
        if text.ends_with('.') {
            return Err(ExpressionError::Failed(format!(
                "`{text}` is no JSONPath: its last name is empty"
            )));
        }
        JsonPath::compile(&text)
            .map_err(|error| ExpressionError::Failed(format!("`{text}` is no JSONPath: {}", error.message)))
    }
}

/// The end of an expression that begins here: `InlineExpressionUtil` allows no blanks, quotes, commas or brackets that
/// would make it JSON.
fn closing(text: &str, from: usize) -> Option<usize> {
    let end =
        text[from..].find(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '<' | '>' | '}' | ']'))?;
    (end > 0 && text[from + end..].starts_with('}')).then_some(from + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{FileId, Span};

    fn compiled(text: &str) -> Result<bool, String> {
        let placed = Placed::verbatim(text, Span::new(FileId(0), 0..text.len()));
        BuiltPath::compile(&placed, &Namespaces::new())
            .map(|path| path.is_some())
            .map_err(|mistake| mistake.message.clone())
    }

    #[test]
    fn only_braces_around_an_expression_make_a_path_built() {
        assert_eq!(compiled("$.store.{$ctx:key}.name"), Ok(true));
        assert_eq!(compiled("$.list[{get-property('index')}]"), Ok(true));
        assert_eq!(compiled("$.list[?(@.id == '{json-eval($.wanted)}')]"), Ok(true));
        assert_eq!(compiled("$.list[?(@.id == {\"a\":1})]"), Ok(false));
        assert_eq!(compiled("$.plain"), Ok(false));
        assert_eq!(compiled("$.odd{}"), Ok(false));
    }

    #[test]
    fn mistakes_are_told_at_load() {
        assert!(compiled("$.store[.{$ctx:key}").is_err());
        assert!(compiled("$.store.{//a[}").is_err());
    }
}
