//! Filters: `[?(@.price < 10 && @.kind in ['a', 'b'])]`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::evaluate::{self, Stop};
use super::parse::{Reader, mistake};
use super::{JsonPathError, Path, literal};
use crate::message::json::{Json, compare_numbers, java_decimal_text};
use crate::text::suggest::did_you_mean;

const NESTING: usize = 32;

#[derive(Debug, Clone)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists {
        path: Path,
        wanted: bool,
    },
    Compare {
        left: Operand,
        operator: Operator,
        right: Operand,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Path(Path),
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Json(Json),
    Pattern(Box<fancy_regex::Regex>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    SameType,
    Unequal,
    OtherType,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    SubsetOf,
    AnyOf,
    NoneOf,
    Contains,
    Size,
    Empty,
}

const SIGNS: &[(&str, Operator)] = &[
    ("==", Operator::Equal),
    ("===", Operator::SameType),
    ("!=", Operator::Unequal),
    ("!==", Operator::OtherType),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
    ("=~", Operator::Matches),
];

const WORDS: &[(&str, Operator)] = &[
    ("in", Operator::In),
    ("nin", Operator::NotIn),
    ("subsetof", Operator::SubsetOf),
    ("anyof", Operator::AnyOf),
    ("noneof", Operator::NoneOf),
    ("contains", Operator::Contains),
    ("size", Operator::Size),
    ("empty", Operator::Empty),
];

/// Reads what stands between the parentheses of a filter.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Filter, JsonPathError> {
    reader.nesting += 1;
    if reader.nesting > NESTING {
        return Err(reader.mistake("the filter is nested too deeply"));
    }
    let mut any = vec![all(reader)?];
    while next_is(reader, "||") {
        any.push(all(reader)?);
    }
    reader.nesting -= 1;
    Ok(match any.pop() {
        Some(only) if any.is_empty() => only,
        last => {
            any.extend(last);
            Filter::Or(any)
        }
    })
}

fn all(reader: &mut Reader<'_>) -> Result<Filter, JsonPathError> {
    let mut all = vec![single(reader)?];
    while next_is(reader, "&&") {
        all.push(single(reader)?);
    }
    Ok(match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            Filter::And(all)
        }
    })
}

fn single(reader: &mut Reader<'_>) -> Result<Filter, JsonPathError> {
    let mut negations = 0;
    reader.skip_blanks();
    let start = reader.at;
    while reader.peek() == Some('!') {
        reader.at += 1;
        reader.skip_blanks();
        negations += 1;
    }
    let filter = if reader.peek() == Some('(') {
        reader.at += 1;
        let filter = read(reader)?;
        reader.expect(')', "the `)` is missing")?;
        filter
    } else {
        comparison(reader)?
    };
    Ok(match filter {
        Filter::Exists { path, wanted } => Filter::Exists {
            path,
            wanted: wanted == (negations % 2 == 0),
        },
        Filter::Compare { .. } if negations > 0 && !reader.text[start..].starts_with("!(") => {
            let mut error = mistake("`!` before a path asks whether it is absent", start..reader.at);
            error.help = Some(format!("write `!({})`", reader.text[start + 1..reader.at].trim()));
            return Err(error);
        }
        filter if negations % 2 == 0 => filter,
        filter => Filter::Not(Box::new(filter)),
    })
}

fn comparison(reader: &mut Reader<'_>) -> Result<Filter, JsonPathError> {
    let start = reader.at;
    let left = operand(reader)?;
    let end = reader.at;
    reader.skip_blanks();
    if reader.at >= reader.end
        || reader.peek() == Some(')')
        || reader.rest().starts_with("&&")
        || reader.rest().starts_with("||")
    {
        let Operand::Path(path) = left else {
            return Err(mistake(
                "a filter compares something, or asks for a path that begins with `@` or `$`",
                start..end,
            ));
        };
        return Ok(Filter::Exists { path, wanted: true });
    }
    let operator = operator(reader)?;
    let right = operand(reader)?;
    Ok(Filter::Compare {
        left,
        operator,
        right,
    })
}

fn operator(reader: &mut Reader<'_>) -> Result<Operator, JsonPathError> {
    let rest = reader.rest();
    let length = rest.find(|c: char| !is_sign(c)).unwrap_or(rest.len());
    let (table, length, written) = if length > 0 {
        (SIGNS, length, rest[..length].to_owned())
    } else {
        let length = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        (WORDS, length, rest[..length].to_ascii_lowercase())
    };
    let range = reader.at..reader.at + length;
    let Some((_, operator)) = table.iter().find(|(known, _)| *known == written) else {
        if length == 0 {
            return Err(reader.mistake("an operator, `&&`, `||` or `)` is missing here"));
        }
        let mut error = mistake(
            format!("there is no operator `{}` in JSONPath", &rest[..length]),
            range,
        );
        error.help = match written.as_str() {
            "=" => Some("did you mean `==`?".to_owned()),
            "<>" => Some("did you mean `!=`?".to_owned()),
            "and" => Some("did you mean `&&`?".to_owned()),
            "or" => Some("did you mean `||`?".to_owned()),
            _ => did_you_mean(&written, table.iter().map(|(known, _)| *known)),
        };
        return Err(error);
    };
    reader.at += length;
    Ok(*operator)
}

fn operand(reader: &mut Reader<'_>) -> Result<Operand, JsonPathError> {
    reader.skip_blanks();
    let start = reader.at;
    match reader.peek() {
        Some('@' | '$') => {
            let end = end_of_path(reader)?;
            let path = Reader {
                text: reader.text,
                at: start,
                end,
                nesting: reader.nesting + 1,
            }
            .path()?;
            reader.at = end;
            Ok(Operand::Path(path))
        }
        Some(quote @ ('\'' | '"')) => Ok(Operand::Text(reader.quoted(quote)?)),
        Some('[' | '{') => Ok(Operand::Json(literal::json(reader)?)),
        Some('/') => pattern(reader),
        _ => {
            let rest = reader.rest();
            for (word, value) in [
                ("true", Operand::Boolean(true)),
                ("false", Operand::Boolean(false)),
                ("null", Operand::Null),
            ] {
                if rest.starts_with(word) {
                    reader.at += word.len();
                    return Ok(value);
                }
            }
            let length = rest
                .find(|c: char| !(c.is_ascii_digit() || "-.eE".contains(c)))
                .unwrap_or(rest.len());
            let text = &rest[..length];
            if java_decimal_text(text).is_none() {
                let length = rest.find([' ', ')', ']', ',']).unwrap_or(rest.len());
                let mut error = mistake(
                    "a path, string, number, list or pattern is missing",
                    start..start + length,
                );
                if length > 0 {
                    error.help = Some(format!("a string stands in quotes: '{}'", &rest[..length]));
                }
                return Err(error);
            }
            reader.at += length;
            Ok(Operand::Number(text.to_owned()))
        }
    }
}

/// A path in a filter ends at a blank, an operator, or a parenthesis that it did not open.
fn end_of_path(reader: &Reader<'_>) -> Result<usize, JsonPathError> {
    let mut at = reader.at;
    while at < reader.end {
        let rest = &reader.text[at..reader.end];
        let inner = Reader {
            text: reader.text,
            at,
            end: reader.end,
            nesting: reader.nesting,
        };
        match rest.chars().next() {
            Some('[') => at = inner.closing(']')? + 1,
            Some('(') => at = inner.closing(')')? + 1,
            None | Some(')' | ' ' | '\t' | '\n' | '\r') => break,
            Some(sign) if is_sign(sign) => break,
            Some(_) if rest.starts_with("&&") || rest.starts_with("||") => break,
            Some(other) => at += other.len_utf8(),
        }
    }
    Ok(at)
}

fn pattern(reader: &mut Reader<'_>) -> Result<Operand, JsonPathError> {
    let start = reader.at;
    let mut escaped = false;
    let close = reader.rest().bytes().enumerate().skip(1).find(|(_, byte)| {
        let end = *byte == b'/' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    });
    let Some((length, _)) = close else {
        return Err(mistake(
            "the closing `/` of the pattern is missing",
            start..reader.end,
        ));
    };
    let source = &reader.rest()[1..length];
    reader.at += length + 1;
    let mut flags = String::new();
    while let Some(flag @ ('d' | 'i' | 'x' | 'm' | 's' | 'u' | 'U')) = reader.peek() {
        reader.at += 1;
        // `d` is about line ends; `u` and `U` are always on here.
        if !"duU".contains(flag) {
            flags.push(flag);
        }
    }
    let flags = if flags.is_empty() {
        flags
    } else {
        format!("(?{flags})")
    };
    match fancy_regex::Regex::new(&format!("{flags}\\A(?:{source})\\z")) {
        Ok(regex) => Ok(Operand::Pattern(Box::new(regex))),
        Err(error) => Err(mistake(
            format!("this is no regular expression: {error}"),
            start..reader.at,
        )),
    }
}

fn next_is(reader: &mut Reader<'_>, sign: &str) -> bool {
    reader.skip_blanks();
    let found = reader.rest().starts_with(sign);
    reader.at += if found { sign.len() } else { 0 };
    found
}

fn is_sign(character: char) -> bool {
    matches!(character, '<' | '>' | '=' | '~' | '!')
}

/// An operand's value on a message.
enum Node<'j> {
    Undefined,
    Null,
    Boolean(bool),
    Number(Cow<'j, str>),
    Text(Cow<'j, str>),
    Json(Cow<'j, Json>),
    Pattern(&'j fancy_regex::Regex),
}

impl Filter {
    pub(super) fn accepts(&self, item: &Json, root: &Json) -> Result<bool, Stop> {
        match self {
            Filter::Or(any) => {
                for filter in any {
                    if filter.accepts(item, root)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::And(all) => {
                for filter in all {
                    if !filter.accepts(item, root)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Not(filter) => Ok(!filter.accepts(item, root)?),
            Filter::Exists { path, wanted } => Ok(evaluate::exists(path, item, root)? == *wanted),
            Filter::Compare {
                left,
                operator,
                right,
            } => Ok(compare(
                &left.node(item, root)?,
                *operator,
                &right.node(item, root)?,
            )),
        }
    }
}

impl Operand {
    fn node<'j>(&'j self, item: &'j Json, root: &'j Json) -> Result<Node<'j>, Stop> {
        Ok(match self {
            Operand::Path(path) => match evaluate::value(path, item, root) {
                Ok(value) => node(value),
                Err(Stop::Missing) => Node::Undefined,
                Err(broken) => return Err(broken),
            },
            Operand::Null => Node::Null,
            Operand::Boolean(value) => Node::Boolean(*value),
            Operand::Number(digits) => Node::Number(Cow::Borrowed(digits)),
            Operand::Text(text) => Node::Text(Cow::Borrowed(text)),
            Operand::Json(json) => Node::Json(Cow::Borrowed(json)),
            Operand::Pattern(regex) => Node::Pattern(regex),
        })
    }
}

fn node(value: Cow<'_, Json>) -> Node<'_> {
    match value {
        Cow::Borrowed(value) => borrowed(value),
        Cow::Owned(Json::String(text)) => Node::Text(Cow::Owned(text)),
        Cow::Owned(Json::Number(number)) => Node::Number(Cow::Owned(number.as_str().to_owned())),
        Cow::Owned(Json::Bool(value)) => Node::Boolean(value),
        Cow::Owned(Json::Null) => Node::Null,
        Cow::Owned(other) => Node::Json(Cow::Owned(other)),
    }
}

fn borrowed(value: &Json) -> Node<'_> {
    match value {
        Json::Null => Node::Null,
        Json::Bool(value) => Node::Boolean(*value),
        Json::Number(number) => Node::Number(Cow::Borrowed(number.as_str())),
        Json::String(text) => Node::Text(Cow::Borrowed(text)),
        other => Node::Json(Cow::Borrowed(other)),
    }
}

fn compare(left: &Node<'_>, operator: Operator, right: &Node<'_>) -> bool {
    match operator {
        Operator::Equal => equal(left, right),
        Operator::Unequal => !equal(left, right),
        Operator::SameType => same_type(left, right) && equal(left, right),
        Operator::OtherType => !(same_type(left, right) && equal(left, right)),
        Operator::Less => ordered(left, right, |order| order == Ordering::Less),
        Operator::LessOrEqual => ordered(left, right, |order| order != Ordering::Greater),
        Operator::Greater => ordered(left, right, |order| order == Ordering::Greater),
        Operator::GreaterOrEqual => ordered(left, right, |order| order != Ordering::Less),
        Operator::Matches => match (left, right) {
            (Node::Pattern(_), Node::Pattern(_)) => false,
            (Node::Pattern(regex), input) | (input, Node::Pattern(regex)) => matches(regex, input),
            _ => false,
        },
        // What is no list at all has neither what is in it nor what is not.
        Operator::In => list(right).is_some_and(|list| has(list, left)),
        Operator::NotIn => match right {
            Node::Json(_) => !list(right).is_some_and(|list| has(list, left)),
            _ => false,
        },
        Operator::SubsetOf => lists(left, right, |left, right| {
            left.iter().all(|item| has(right, &borrowed(item)))
        }),
        Operator::AnyOf => lists(left, right, |left, right| {
            left.iter().any(|item| has(right, &borrowed(item)))
        }),
        Operator::NoneOf => lists(left, right, |left, right| {
            !left.iter().any(|item| has(right, &borrowed(item)))
        }),
        Operator::Contains => match (left, right) {
            (Node::Text(text), Node::Text(part)) => text.contains(part.as_ref()),
            _ => list(left).is_some_and(|list| has(list, right)),
        },
        Operator::Size => match (left, right) {
            (Node::Text(text), Node::Number(size)) => is_size(text.encode_utf16().count(), size),
            (left, Node::Number(size)) => list(left).is_some_and(|list| is_size(list.len(), size)),
            _ => false,
        },
        Operator::Empty => match (left, right) {
            (Node::Text(text), Node::Boolean(wanted)) => text.is_empty() == *wanted,
            (Node::Json(json), Node::Boolean(wanted)) => {
                let empty = match json.as_ref() {
                    Json::Array(items) => items.is_empty(),
                    Json::Object(members) => members.is_empty(),
                    _ => false,
                };
                empty == *wanted
            }
            _ => false,
        },
    }
}

/// Jayway's equality is lopsided: a number equals a string that holds its value, a string equals a number
/// that is written like it.
fn equal(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Null, Node::Null) => true,
        (Node::Boolean(left), Node::Boolean(right)) => left == right,
        (Node::Text(left), Node::Text(right)) => left == right,
        (Node::Text(left), Node::Number(right)) => {
            java_decimal_text(right).is_some_and(|right| *left == right)
        }
        (Node::Number(left), Node::Number(right) | Node::Text(right)) => {
            compare_numbers(left, right) == Some(Ordering::Equal)
        }
        (Node::Json(left), Node::Json(right)) => same(left, right),
        _ => false,
    }
}

/// Whether two values are equal, numbers by their value.
fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => {
            compare_numbers(left.as_str(), right.as_str()) == Some(Ordering::Equal)
        }
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

fn same_type(left: &Node<'_>, right: &Node<'_>) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

fn ordered(left: &Node<'_>, right: &Node<'_>, holds: impl Fn(Ordering) -> bool) -> bool {
    match (left, right) {
        (Node::Number(left), Node::Number(right)) => compare_numbers(left, right).is_some_and(holds),
        (Node::Text(left), Node::Text(right)) => holds(left.encode_utf16().cmp(right.encode_utf16())),
        _ => false,
    }
}

fn matches(regex: &fancy_regex::Regex, input: &Node<'_>) -> bool {
    let matches = |text: &str| regex.is_match(text).unwrap_or(false);
    match input {
        Node::Json(json) => match json.as_ref() {
            Json::Array(items) => items.iter().any(|item| match item {
                Json::Array(_) | Json::Object(_) => false,
                single => self::matches(regex, &borrowed(single)),
            }),
            _ => matches(""),
        },
        Node::Text(text) => matches(text),
        Node::Number(digits) => matches(&java_decimal_text(digits).unwrap_or_default()),
        Node::Boolean(value) => matches(if *value { "true" } else { "false" }),
        // What is not there is matched as an empty text.
        Node::Undefined | Node::Null | Node::Pattern(_) => matches(""),
    }
}

fn list<'n>(node: &'n Node<'_>) -> Option<&'n [Json]> {
    match node {
        Node::Json(json) => json.as_array().map(Vec::as_slice),
        _ => None,
    }
}

fn lists(left: &Node<'_>, right: &Node<'_>, holds: impl Fn(&[Json], &[Json]) -> bool) -> bool {
    list(left)
        .zip(list(right))
        .is_some_and(|(left, right)| holds(left, right))
}

fn has(list: &[Json], wanted: &Node<'_>) -> bool {
    list.iter().any(|item| equal(wanted, &borrowed(item)))
}

fn is_size(size: usize, wanted: &str) -> bool {
    compare_numbers(&size.to_string(), wanted) == Some(Ordering::Equal)
}
