//! From the bytes of a document to its text: byte order marks and the encodings a document may declare.

use std::borrow::Cow;

use super::names::is_space;
use super::reader::XmlError;

/// Decodes a document by its byte order mark, else by its declaration, else as UTF-8.
pub fn decode_bytes(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    decode_bytes_as(bytes, None)
}

/// As `decode_bytes`, with the charset parameter of a content type, which outranks the declaration (RFC 7303, 3.2).
pub fn decode_bytes_as<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, XmlError> {
    let text = decode(bytes, charset)?;
    if text.starts_with('\u{FEFF}') {
        return Err(XmlError::new(0, "a second byte order mark"));
    }
    Ok(text)
}

fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, XmlError> {
    if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        let declared = declared_encoding(rest);
        if declared.is_some_and(|name| !is(name, UTF_8)) {
            return Err(XmlError::new(
                0,
                "the document is UTF-8 by its byte order mark, but declares another encoding",
            ));
        }
        return utf_8(rest);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        return utf_16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        return utf_16(rest, u16::from_be_bytes);
    }
    let label = match charset {
        Some(charset) => charset.trim().as_bytes(),
        None => declared_encoding(bytes).unwrap_or(b"UTF-8"),
    };
    if is(label, UTF_8) {
        utf_8(bytes)
    } else if is(label, US_ASCII) {
        match bytes.iter().position(|byte| !byte.is_ascii()) {
            Some(at) => Err(XmlError::new(
                at,
                "a byte that is not US-ASCII, which the document declares to be",
            )),
            None => utf_8(bytes),
        }
    } else if is(label, LATIN_1) {
        Ok(Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()))
    } else if is(label, UTF_16) {
        Err(XmlError::new(
            0,
            "the document is declared to be UTF-16 but has no byte order mark",
        ))
    } else {
        let label = String::from_utf8_lossy(label);
        Err(XmlError::new(
            0,
            format!("the encoding `{label}` is not supported; use UTF-8"),
        ))
    }
}

const UTF_8: &[&str] = &["UTF-8", "UTF8"];
const US_ASCII: &[&str] = &["US-ASCII", "ASCII"];
const LATIN_1: &[&str] = &["ISO-8859-1", "ISO_8859-1", "LATIN1"];
const UTF_16: &[&str] = &["UTF-16", "UTF-16LE", "UTF-16BE"];

fn is(label: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| label.eq_ignore_ascii_case(name.as_bytes()))
}

/// The encoding named by an XML declaration in an encoding that agrees with ASCII.
fn declared_encoding(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"<?xml")?;
    if !is_space(*rest.first()?) {
        return None;
    }
    let end = memchr::memmem::find(rest, b"?>")?;
    let declaration = &rest[..end];
    let mut from = 0;
    loop {
        let at = from + memchr::memmem::find(&declaration[from..], b"encoding")?;
        from = at + b"encoding".len();
        if at == 0 || !is_space(declaration[at - 1]) {
            continue;
        }
        let rest = declaration[from..].trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else {
            continue;
        };
        let rest = rest.trim_ascii_start();
        let quote = *rest.first()?;
        let value = &rest[1..];
        return memchr::memchr(quote, value).map(|end| &value[..end]);
    }
}

fn utf_8(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => Err(XmlError::new(error.valid_up_to(), "bytes that are not UTF-8")),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, XmlError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(XmlError::new(
            bytes.len(),
            "UTF-16 with half a character at its end",
        ));
    }
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len() / 2 + bytes.len() / 8);
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => text.push(character),
            Err(_) => return Err(XmlError::new(text.len(), "half of a UTF-16 surrogate pair")),
        }
    }
    if declared_encoding(text.as_bytes()).is_some_and(|name| !is(name, UTF_16)) {
        return Err(XmlError::new(
            0,
            "the document is UTF-16 by its byte order mark, but declares another encoding",
        ));
    }
    Ok(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let decoded = decode_bytes(bytes);
        match (&decoded, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(part)) => assert!(error.message.contains(part), "{}", error.message),
            _ => panic!("{decoded:?} instead of {expected:?}"),
        }
    }

    fn wide(text: &str, little: bool) -> Vec<u8> {
        let order = |unit: u16| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        };
        std::iter::once(0xFEFF)
            .chain(text.encode_utf16())
            .flat_map(order)
            .collect()
    }

    #[test]
    fn marks_and_declarations_choose_the_encoding() {
        check(b"<a/>", Ok("<a/>"));
        check(b"\xEF\xBB\xBF<a/>", Ok("<a/>"));
        check(&wide("<a>\u{1F600}</a>", true), Ok("<a>\u{1F600}</a>"));
        check(
            &wide("<?xml version='1.0' encoding='utf-16'?><a/>", false),
            Ok("<?xml version='1.0' encoding='utf-16'?><a/>"),
        );
        check(
            b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>",
            Ok("<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>"),
        );
        check(
            b"<?xml version='1.0' encoding='us-ascii'?><a/>",
            Ok("<?xml version='1.0' encoding='us-ascii'?><a/>"),
        );
    }

    #[test]
    fn an_encoding_that_is_not_what_is_declared_is_refused() {
        check(
            b"<?xml version='1.0' encoding='us-ascii'?><a>\xE9</a>",
            Err("not US-ASCII"),
        );
        check(
            b"<?xml version='1.0' encoding='UTF-7'?><a/>",
            Err("`UTF-7` is not supported"),
        );
        check(
            b"<?xml version='1.0' encoding='UTF-16'?><a/>",
            Err("no byte order mark"),
        );
        check(
            b"\xEF\xBB\xBF<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            Err("by its byte order mark"),
        );
        check(
            &wide("<?xml version='1.0' encoding='UTF-8'?><a/>", true),
            Err("by its byte order mark"),
        );
        check(b"<a>\xC0\xAF</a>", Err("not UTF-8"));
        check(b"\xFF\xFE<\0a\0/\0>", Err("half a character"));
        check(b"\xFF\xFE\x00\xD8", Err("surrogate"));
    }

    #[test]
    fn a_charset_parameter_outranks_the_declaration() {
        let text = decode_bytes_as(
            b"<?xml version='1.0' encoding='UTF-8'?><a>\xE9</a>",
            Some("iso-8859-1"),
        );
        assert!(text.is_ok_and(|text| text.ends_with("<a>é</a>")));
    }
}
