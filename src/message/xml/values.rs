//! What texts, attribute values and the XML declaration may say, and what they mean.

use std::borrow::Cow;

use super::names::{end_of_name, is_character, is_nc_name, is_space};
use super::reader::XmlError;

pub(super) fn is_declaration(text: &str) -> bool {
    text.strip_prefix("<?xml")
        .is_some_and(|rest| rest.bytes().next().is_some_and(is_space))
}

/// `<?xml version="1.0" encoding="…" standalone="yes"?>`, in this order.
pub(super) fn check_declaration(declaration: &str, offset: usize) -> Result<(), XmlError> {
    let mut rest = &declaration["<?xml".len()..declaration.len() - "?>".len()];
    let wrong = |rest: &str, message: &str| {
        let at = declaration.len() - "?>".len() - rest.len();
        Err(XmlError::new(
            offset + at,
            format!("in the XML declaration: {message}"),
        ))
    };
    let mut expected: &[&str] = &["version", "encoding", "standalone"];
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if trimmed.is_empty() {
            break;
        }
        if trimmed.len() == rest.len() {
            return wrong(rest, "white space is missing");
        }
        rest = trimmed;
        let name = &rest[..end_of_name(rest, 0)];
        let Some(index) = expected.iter().position(|known| *known == name) else {
            return wrong(rest, "version, then encoding, then standalone is expected");
        };
        if expected.len() == 3 && index != 0 {
            return wrong(rest, "the version is missing");
        }
        expected = &expected[index + 1..];
        let after = rest[name.len()..].trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(after) = after.strip_prefix('=') else {
            return wrong(after, "`=` is missing");
        };
        let after = after.trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(quote) = after.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else {
            return wrong(after, "a value stands in quotes");
        };
        let Some((value, after_value)) = after[1..].split_once(quote) else {
            return wrong(after, "a closing quote is missing");
        };
        let good = match name {
            "version" => value
                .strip_prefix("1.")
                .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())),
            "encoding" => {
                value
                    .bytes()
                    .next()
                    .is_some_and(|byte| byte.is_ascii_alphabetic())
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            }
            _ => matches!(value, "yes" | "no"),
        };
        if !good {
            return wrong(after, &format!("this is not a value of {name}"));
        }
        rest = after_value;
    }
    if expected.len() == 3 {
        return wrong(rest, "the version is missing");
    }
    Ok(())
}

/// `\r\n` and `\r` are read as `\n`.
pub(super) fn line_ends(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

pub(super) fn resolve_text(raw: &str, offset: usize) -> Result<Cow<'_, str>, XmlError> {
    let bytes = raw.as_bytes();
    let mut resolved = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'&', b'\r', b'>', &bytes[at..]) {
        at += found;
        match bytes[at] {
            b'>' => {
                if bytes[..at].ends_with(b"]]") {
                    return Err(XmlError::new(
                        offset + at - 2,
                        "`]]>` in text is written `]]&gt;`",
                    ));
                }
                at += 1;
            }
            b'\r' => {
                resolved.push_str(&raw[done..at]);
                resolved.push('\n');
                at += if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
                done = at;
            }
            _ => {
                let (character, length) = resolve_reference(&raw[at..], offset + at)?;
                resolved.push_str(&raw[done..at]);
                resolved.push(character);
                at += length;
                done = at;
            }
        }
    }
    if done == 0 {
        return Ok(Cow::Borrowed(raw));
    }
    resolved.push_str(&raw[done..]);
    Ok(Cow::Owned(resolved))
}

pub(super) fn resolve_attribute(raw: &str, offset: usize) -> Result<Cow<'_, str>, XmlError> {
    let bytes = raw.as_bytes();
    let special = |byte: &u8| matches!(byte, b'<' | b'&' | b'\t' | b'\n' | b'\r');
    let Some(first) = bytes.iter().position(special) else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut resolved = String::with_capacity(raw.len());
    let mut done = 0;
    let mut at = first;
    loop {
        resolved.push_str(&raw[done..at]);
        match bytes[at] {
            b'<' => {
                return Err(XmlError::new(
                    offset + at,
                    "`<` in the value of an attribute is written `&lt;`",
                ));
            }
            b'&' => {
                let (character, length) = resolve_reference(&raw[at..], offset + at)?;
                resolved.push(character);
                at += length;
            }
            byte => {
                resolved.push(' ');
                at += if byte == b'\r' && bytes.get(at + 1) == Some(&b'\n') {
                    2
                } else {
                    1
                };
            }
        }
        done = at;
        match bytes[at..].iter().position(special) {
            Some(next) => at += next,
            None => break,
        }
    }
    resolved.push_str(&raw[done..]);
    Ok(Cow::Owned(resolved))
}

/// The character that a reference at the start of `raw` stands for, and the length of the reference.
fn resolve_reference(raw: &str, offset: usize) -> Result<(char, usize), XmlError> {
    // No reference is longer than this, leading zeros aside; a missing semicolon must not cost a search to the end.
    let window = &raw.as_bytes()[..raw.len().min(64)];
    let Some(end) = memchr::memchr(b';', window) else {
        return Err(XmlError::new(offset, "`&` alone is written `&amp;`"));
    };
    let name = raw.get(1..end).unwrap_or_default();
    let character = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#') {
            Some(number) => {
                let (digits, radix) = match number.strip_prefix('x') {
                    Some(digits) => (digits, 16),
                    None => (number, 10),
                };
                let number = digits
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit())
                    .then(|| u32::from_str_radix(digits, radix).ok())
                    .flatten();
                let character = number
                    .and_then(char::from_u32)
                    .filter(|&character| is_character(character));
                if character.is_none() {
                    return Err(XmlError::new(
                        offset,
                        format!("`&{name};` is not a character of XML"),
                    ));
                }
                character
            }
            None => None,
        },
    };
    match character {
        Some(character) => Ok((character, end + 1)),
        None if is_nc_name(name) => Err(XmlError::new(
            offset,
            format!("the entity `{name}` is not defined"),
        )),
        None => Err(XmlError::new(offset, "`&` alone is written `&amp;`")),
    }
}
