//! Text with places to fill: `$1` for an argument, `${expression}` in place.

use crate::expression::Expression;
use crate::message::xml::Namespaces;
use crate::plan::{Element, Planner};
use crate::text::{Diagnostic, Placed, Span};
use std::ops::Range;

/// A text cut at the places to fill.
#[derive(Debug, Default)]
pub struct Template {
    pub pieces: Vec<Piece>,
}

#[derive(Debug)]
pub enum Piece {
    Text(String),
    /// `$n`, counted from 1, and where it stands in the text.
    Argument(usize, Range<usize>),
    /// `${…}`; `quoted` when it stood between double quotes, which belong to the piece.
    Expression {
        expression: Expression,
        quoted: bool,
    },
}

/// What is a place to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// `"${…}"` with its quotes, `${…}` and `$digits`, as one pass of Synapse's pattern has it.
    All,
    /// `${…}` alone: quotes are quotes, and `$5` is a price.
    Expressions,
}

/// What stands in a text at one place.
enum Mark {
    Argument(usize),
    /// The range of `${…}` without its quotes.
    Expression {
        inner: Range<usize>,
        quoted: bool,
    },
}

/// Cuts a text at its places. `compile` gets each `${…}`. None when one of them could not be compiled; all are tried.
fn cut<E>(
    text: &str,
    places: Places,
    mut compile: impl FnMut(Range<usize>) -> Result<Expression, E>,
) -> Result<Template, E> {
    let mut template = Template::default();
    let mut failed = None;
    let mut done = 0;
    while let Some((range, mark)) = next_mark(text, done, places) {
        if range.start > done {
            template
                .pieces
                .push(Piece::Text(text[done..range.start].to_owned()));
        }
        done = range.end;
        match mark {
            Mark::Argument(number) => template.pieces.push(Piece::Argument(number, range)),
            Mark::Expression { inner, quoted } => match compile(inner) {
                Ok(expression) => template.pieces.push(Piece::Expression { expression, quoted }),
                Err(error) => failed = failed.or(Some(error)),
            },
        }
    }
    if done < text.len() {
        template.pieces.push(Piece::Text(text[done..].to_owned()));
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(template),
    }
}

/// A piece of a template as its author wrote it, or as it was rewritten from what stands somewhere in a place.
pub enum Written {
    Here(Placed),
    Within(String, Span),
}

impl Written {
    pub fn span(&self) -> Span {
        match self {
            Written::Here(placed) => placed.span,
            Written::Within(_, span) => *span,
        }
    }
}

/// A template of a configuration file. Each mistake is told at the place that `written` gives for a range of the text.
pub fn plan(
    text: &str,
    written: impl Fn(Range<usize>) -> Written,
    element: &Element,
    planner: &mut Planner<'_>,
) -> Option<Template> {
    let compile = |inner| match written(inner) {
        Written::Here(placed) => planner.expression(&placed, element).ok_or(()),
        Written::Within(text, span) => {
            Expression::compile(&Placed::verbatim(text, span), &element.namespaces)
                .map(|(expression, _)| expression)
                .map_err(|mistake| planner.tell(mistake.at(span)))
        }
    };
    cut(text, Places::All, compile).ok()
}

/// A text of a configuration file in which only `${…}` is filled in.
pub fn words(text: &Placed, element: &Element, planner: &mut Planner<'_>) -> Option<Template> {
    let compile = |inner| planner.expression(&text.slice(inner), element).ok_or(());
    cut(&text.text, Places::Expressions, compile).ok()
}

/// As `plan`, for a text that is only known when a message comes.
pub fn compile(text: &Placed, namespaces: &Namespaces) -> Result<Template, Box<Diagnostic>> {
    cut(&text.text, Places::All, |inner| {
        Expression::compile(&text.slice(inner), namespaces).map(|(expression, _)| expression)
    })
}

fn next_mark(text: &str, from: usize, places: Places) -> Option<(Range<usize>, Mark)> {
    for at in memchr::memchr_iter(b'$', &text.as_bytes()[from..]).map(|at| from + at) {
        let rest = &text[at + 1..];
        let digits = rest.len()
            - rest
                .trim_start_matches(|character: char| character.is_ascii_digit())
                .len();
        if digits > 0 && places == Places::All {
            // A number that is too large is no argument either; what plans the template says so.
            let number = rest[..digits].parse().unwrap_or(usize::MAX);
            return Some((at..at + 1 + digits, Mark::Argument(number)));
        }
        let Some(end) = rest
            .strip_prefix('{')
            .and_then(expression_end)
            .filter(|&length| length > 0)
        else {
            continue;
        };
        let inner = at..at + 1 + 1 + end + 1;
        let quoted = places == Places::All
            && at > from
            && text.as_bytes()[at - 1] == b'"'
            && text[inner.end..].starts_with('"');
        let whole = if quoted {
            at - 1..inner.end + 1
        } else {
            inner.clone()
        };
        return Some((whole, Mark::Expression { inner, quoted }));
    }
    None
}

/// Where the brace is that ends a `${…}`, of whose inside `text` is the beginning: the first one that stands in no string. Synapse takes the
/// first one, and refuses an expression with a brace in a string.
pub fn expression_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    // A quote that nothing closes was none.
    text.find('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{FileId, Span};

    fn check(text: &str, expected: &str) {
        let span = Span::new(FileId(0), 0..text.len());
        let template = compile(&Placed::verbatim(text, span), &Namespaces::new()).unwrap();
        let shown: Vec<String> = template
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Argument(number, range) => format!("#{number}@{}", range.start),
                Piece::Expression { expression, quoted } => {
                    format!("{}{}", if *quoted { "quoted " } else { "" }, expression.source())
                }
            })
            .collect();
        assert_eq!(shown.join("|"), expected);
    }

    #[test]
    fn arguments_and_expressions_are_cut_out() {
        check("a$1b$10", "a|#1@1|b|#10@4");
        check(
            r#"{"a": "${vars.x}", "b": ${vars.y}}"#,
            r#"{"a": |quoted ${vars.x}|, "b": |${vars.y}|}"#,
        );
        check(r#""${vars.x}""${vars.y}""#, "quoted ${vars.x}|quoted ${vars.y}");
    }

    #[test]
    fn a_brace_in_a_string_ends_no_expression() {
        check(
            r#"a ${replace(vars.x, "}", '{')} b"#,
            r#"a |${replace(vars.x, "}", '{')}| b"#,
        );
        check(r#"${vars["a\"}"]}!"#, r#"${vars["a\"}"]}|!"#);
        check("${vars.x}'s", "${vars.x}|'s");
        assert_eq!(expression_end("it's} more"), Some(4));
    }

    #[test]
    fn what_is_no_place_to_fill_stays() {
        check("", "");
        check("$", "$");
        check("5 $ or ${", "5 $ or ${");
        check("${}", "${}");
        check("$a ${vars.x} \"", "$a |${vars.x}| \"");
        check("x\"${vars.x}", "x\"|${vars.x}");
    }
}
