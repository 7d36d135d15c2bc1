//! The words of an expression. Whether `*`, `and`, `or`, `div` and `mod` are operators depends on what stands before
//! them (XPath 1.0, 3.7).

use std::ops::Range;

use super::XPathError;
use super::plan::Operator;
use crate::message::xml::{continues_name, starts_name};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub word: Word<'a>,
    pub range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Word<'a> {
    Literal(&'a str),
    Number(f64),
    /// `$prefix:name`
    Variable(&'a str, &'a str),
    Name(&'a str, &'a str),
    /// `*`, or `prefix:*`
    Wildcard(&'a str),
    Operator(Operator),
    Union,
    Slash,
    DoubleSlash,
    Dot,
    DoubleDot,
    At,
    Comma,
    DoubleColon,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    End,
}

impl Word<'_> {
    /// Whether an operand ends with it, so that an operator has to follow.
    fn ends_operand(self) -> bool {
        matches!(
            self,
            Word::Literal(_)
                | Word::Number(_)
                | Word::Variable(..)
                | Word::Name(..)
                | Word::Wildcard(_)
                | Word::Dot
                | Word::DoubleDot
                | Word::Close
                | Word::CloseBracket
        )
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, XPathError> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    loop {
        while bytes
            .get(at)
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            at += 1;
        }
        let Some(&byte) = bytes.get(at) else {
            tokens.push(Token {
                word: Word::End,
                range: text.len()..text.len(),
            });
            return Ok(tokens);
        };
        let after_operand = tokens.last().is_some_and(|token| token.word.ends_operand());
        let next = bytes.get(at + 1).copied();
        let (word, length) = match byte {
            b'(' => (Word::Open, 1),
            b')' => (Word::Close, 1),
            b'[' => (Word::OpenBracket, 1),
            b']' => (Word::CloseBracket, 1),
            b',' => (Word::Comma, 1),
            b'@' => (Word::At, 1),
            b'|' => (Word::Union, 1),
            b'+' => (Word::Operator(Operator::Add), 1),
            b'-' => (Word::Operator(Operator::Subtract), 1),
            b'=' => (Word::Operator(Operator::Equal), 1),
            b'!' if next == Some(b'=') => (Word::Operator(Operator::Unequal), 2),
            b'<' if next == Some(b'=') => (Word::Operator(Operator::LessOrEqual), 2),
            b'<' => (Word::Operator(Operator::Less), 1),
            b'>' if next == Some(b'=') => (Word::Operator(Operator::GreaterOrEqual), 2),
            b'>' => (Word::Operator(Operator::Greater), 1),
            b'/' if next == Some(b'/') => (Word::DoubleSlash, 2),
            b'/' => (Word::Slash, 1),
            b':' if next == Some(b':') => (Word::DoubleColon, 2),
            b'*' if after_operand => (Word::Operator(Operator::Multiply), 1),
            b'*' => (Word::Wildcard(""), 1),
            b'.' if next == Some(b'.') => (Word::DoubleDot, 2),
            b'.' if !next.is_some_and(|byte| byte.is_ascii_digit()) => (Word::Dot, 1),
            b'.' | b'0'..=b'9' => {
                let end = end_of_number(bytes, at);
                (Word::Number(text[at..end].parse().unwrap_or(f64::NAN)), end - at)
            }
            b'"' | b'\'' => match memchr::memchr(byte, &bytes[at + 1..]) {
                Some(length) => (Word::Literal(&text[at + 1..at + 1 + length]), length + 2),
                None => return Err(XPathError::new(at..text.len(), "this text has no closing quote")),
            },
            b'$' => {
                let (prefix, local, end) = qualified_name(text, at + 1);
                if local.is_empty() || local == "*" {
                    return Err(XPathError::new(
                        at..end.max(at + 1),
                        "the name of a variable is missing after `$`",
                    ));
                }
                (Word::Variable(prefix, local), end - at)
            }
            _ => {
                let (prefix, local, end) = qualified_name(text, at);
                let word = match (prefix, local) {
                    ("", "") => {
                        let character = text[at..].chars().next().unwrap_or_default();
                        let range = at..at + character.len_utf8();
                        let error = XPathError::new(range, format!("`{character}` has no meaning here"));
                        return Err(match character {
                            '!' => error.help("`not(…)` negates, `!=` compares"),
                            '&' => error.help("write `and`"),
                            '{' | '}' => error.help("braces belong around a whole expression, not inside it"),
                            _ => error,
                        });
                    }
                    ("", "and") if after_operand => Word::Operator(Operator::And),
                    ("", "or") if after_operand => Word::Operator(Operator::Or),
                    ("", "div") if after_operand => Word::Operator(Operator::Divide),
                    ("", "mod") if after_operand => Word::Operator(Operator::Modulo),
                    (prefix, "*") => Word::Wildcard(prefix),
                    (prefix, local) => Word::Name(prefix, local),
                };
                (word, end - at)
            }
        };
        tokens.push(Token {
            word,
            range: at..at + length,
        });
        at += length;
    }
}

/// A name with or without a prefix, or `prefix:*`, and where it ends. Names are as long as they can be: dots and hyphens
/// belong to them.
fn qualified_name(text: &str, at: usize) -> (&str, &str, usize) {
    let first = end_of_nc_name(text, at);
    if first == at || text.as_bytes().get(first) != Some(&b':') {
        return ("", &text[at..first], first);
    }
    if text.as_bytes().get(first + 1) == Some(&b'*') {
        return (&text[at..first], "*", first + 2);
    }
    let second = end_of_nc_name(text, first + 1);
    if second == first + 1 {
        return ("", &text[at..first], first);
    }
    (&text[at..first], &text[first + 1..second], second)
}

fn end_of_nc_name(text: &str, at: usize) -> usize {
    let mut characters = text[at..].chars();
    match characters.next() {
        Some(first) if first != ':' && starts_name(first) => {
            let rest = characters.take_while(|&character| character != ':' && continues_name(character));
            at + first.len_utf8() + rest.map(char::len_utf8).sum::<usize>()
        }
        _ => at,
    }
}

fn end_of_number(bytes: &[u8], at: usize) -> usize {
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let end = digits(at);
    if bytes.get(end) == Some(&b'.') {
        digits(end + 1)
    } else {
        end
    }
}
