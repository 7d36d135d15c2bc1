//! Reads JSON text into values, without recursion and under limits.
//!
//! serde_json's own reader is not used: with kept digits it takes `{"$serde_json::private::Number": "1"}` from a
//! client for a number, and a raw value in disguise would be parsed with a fresh depth limit.

use std::fmt;

use super::{Json, Object};

/// How much JSON is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonLimits {
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Bytes of text.
    pub size: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        JsonLimits {
            depth: 128,
            size: 2 * 1024 * 1024,
        }
    }
}

/// Why a text is not JSON, and the byte where that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub message: String,
    pub offset: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON value that fills the whole text. A byte order mark is skipped; of two equal keys the last one wins.
pub fn parse(bytes: &[u8], limits: &JsonLimits) -> Result<Json, JsonError> {
    if bytes.len() > limits.size {
        return Err(JsonError {
            message: format!("the JSON is longer than {} bytes", limits.size),
            offset: limits.size,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
        message: "this is not UTF-8".to_owned(),
        offset: error.valid_up_to(),
    })?;
    let at = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    Reader {
        text,
        bytes,
        at,
        depth: limits.depth,
    }
    .document()
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    depth: usize,
}

/// What is open, and from where on its items or members wait. They move into a container of the right size when it
/// is closed, which costs less than containers that grow.
enum Open {
    Array(usize),
    Object(usize),
}

/// How many bytes, at least one, certainly go on with a string. They are looked at in groups, which the processor does at once.
fn plain(bytes: &[u8]) -> usize {
    const GROUP: usize = 32;
    let ends = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let mut length = 0;
    for group in bytes.chunks_exact(GROUP) {
        if group.iter().fold(false, |found, &byte| found | ends(byte)) {
            break;
        }
        length += GROUP;
    }
    let rest = bytes[length..].iter().take(GROUP);
    length + rest.take_while(|&&byte| !ends(byte)).count()
}

impl Reader<'_> {
    fn document(mut self) -> Result<Json, JsonError> {
        let mut open: Vec<Open> = Vec::new();
        let mut items: Vec<Json> = Vec::new();
        let mut members: Vec<(String, Json)> = Vec::new();
        loop {
            self.skip_white_space();
            let mut value = match self.bytes.get(self.at) {
                None => return Err(self.mistake("a value is missing")),
                Some(b'{') => {
                    self.enter(open.len())?;
                    if self.next_is(b'}') {
                        Json::Object(Object::new())
                    } else {
                        open.push(Open::Object(members.len()));
                        members.push((self.key()?, Json::Null));
                        continue;
                    }
                }
                Some(b'[') => {
                    self.enter(open.len())?;
                    if self.next_is(b']') {
                        Json::Array(Vec::new())
                    } else {
                        open.push(Open::Array(items.len()));
                        continue;
                    }
                }
                Some(b'"') => Json::String(self.string()?),
                Some(b't') => self.word("true", Json::Bool(true))?,
                Some(b'f') => self.word("false", Json::Bool(false))?,
                Some(b'n') => self.word("null", Json::Null)?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(_) => return Err(self.mistake("a value cannot begin with this")),
            };
            // The value is whole: hand it to what is open around it, closing all that ends here.
            loop {
                self.skip_white_space();
                value = match open.last() {
                    None if self.at == self.bytes.len() => return Ok(value),
                    None => return Err(self.mistake("there is something after the value")),
                    Some(Open::Array(from)) => {
                        items.push(value);
                        match self.bytes.get(self.at) {
                            Some(b',') => {
                                self.at += 1;
                                break;
                            }
                            Some(b']') => Json::Array(items.drain(*from..).collect()),
                            _ => return Err(self.mistake("a comma or `]` is missing")),
                        }
                    }
                    Some(Open::Object(from)) => {
                        if let Some((_, waiting)) = members.last_mut() {
                            *waiting = value;
                        }
                        match self.bytes.get(self.at) {
                            Some(b',') => {
                                self.at += 1;
                                self.skip_white_space();
                                members.push((self.key()?, Json::Null));
                                break;
                            }
                            Some(b'}') => {
                                let mut object = Object::with_capacity(members.len() - from);
                                object.extend(members.drain(*from..));
                                Json::Object(object)
                            }
                            _ => return Err(self.mistake("a comma or `}` is missing")),
                        }
                    }
                };
                self.at += 1;
                open.pop();
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= self.depth {
            return Err(self.mistake(&format!("the JSON is nested deeper than {} levels", self.depth)));
        }
        self.at += 1;
        self.skip_white_space();
        Ok(())
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn key(&mut self) -> Result<String, JsonError> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.mistake("a key in double quotes is missing"));
        }
        let key = self.string()?;
        self.skip_white_space();
        if !self.next_is(b':') {
            return Err(self.mistake("a colon is missing after the key"));
        }
        Ok(key)
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut start = self.at;
        let mut whole = String::new();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.mistake("the string has no end")),
                Some(b'"') => {
                    let tail = &self.text[start..self.at];
                    self.at += 1;
                    if whole.is_empty() {
                        return Ok(tail.to_owned());
                    }
                    whole.push_str(tail);
                    return Ok(whole);
                }
                Some(b'\\') => {
                    whole.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    whole.push(self.escape()?);
                    start = self.at;
                }
                Some(0..0x20) => return Err(self.mistake("a control character must be escaped in a string")),
                Some(_) => self.at += plain(&self.bytes[self.at..]),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let plain = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.mistake("this escape is unknown")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// A lone surrogate is no character; it becomes U+FFFD, as in Java when such text is written as UTF-8.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.four_digits()?;
        if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.four_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self
                .bytes
                .get(self.at)
                .and_then(|byte| char::from(*byte).to_digit(16))
            else {
                return Err(self.mistake("`\\u` wants four hexadecimal digits"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.mistake("a digit is missing after the minus")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("a digit is missing after the point")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.some_digits("a digit is missing in the exponent")?;
        }
        Ok(number(&self.text[start..self.at]))
    }

    fn some_digits(&mut self, otherwise: &str) -> Result<(), JsonError> {
        if !matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            return Err(self.mistake(otherwise));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.mistake(&format!("is this meant to be `{word}`?")));
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_white_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn mistake(&self, message: &str) -> JsonError {
        JsonError {
            message: message.to_owned(),
            offset: self.at,
        }
    }
}

/// A number with its digits as written. The text must be a JSON number.
pub(super) fn number(digits: &str) -> Json {
    Json::Number(serde_json::Number::from_string_unchecked(digits.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match parse(text.as_bytes(), &JsonLimits::default()) {
            Ok(value) => super::super::text(&value),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        check(
            "[1.10, -0, 1e400, 1E+05, 12345678901234567890123]",
            "[1.10,-0,1e400,1E+05,12345678901234567890123]",
        );
    }

    #[test]
    fn a_scalar_may_stand_alone() {
        check(" \"x\" ", "\"x\"");
        check("1", "1");
        check("null", "null");
        check("\u{feff}{}", "{}");
    }

    #[test]
    fn keys_keep_their_order_and_the_last_of_two_wins() {
        check(r#"{"b":1,"a":2,"b":{"c":[]}}"#, r#"{"b":{"c":[]},"a":2}"#);
        check(r#"{"__proto__":1}"#, r#"{"__proto__":1}"#);
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place() {
        check("", "a value is missing at byte 0");
        check("{} x", "there is something after the value at byte 3");
        check("[1,]", "a value cannot begin with this at byte 3");
        check("[1 2]", "a comma or `]` is missing at byte 3");
        check("{a:1}", "a key in double quotes is missing at byte 1");
        check("{\"a\":1,}", "a key in double quotes is missing at byte 7");
        check("01", "there is something after the value at byte 1");
        check("1.", "a digit is missing after the point at byte 2");
        check("tru", "is this meant to be `true`? at byte 0");
        check(
            "\"a\u{0}\"",
            "a control character must be escaped in a string at byte 2",
        );
        check("\"a", "the string has no end at byte 2");
        check("'a'", "a value cannot begin with this at byte 0");
        check("]", "a value cannot begin with this at byte 0");
    }

    #[test]
    fn escapes_become_characters_and_lone_surrogates_are_replaced() {
        check(r#""a\u00e9\ud83d\ude00\n""#, "\"aé😀\\n\"");
        check(r#""\ud83d x \udc00""#, "\"\u{fffd} x \u{fffd}\"");
        check(r#""\ud83d\u0041""#, "\"\u{fffd}A\"");
    }

    #[test]
    fn depth_and_size_are_limited() {
        let deep = "[".repeat(100_000);
        check(&deep, "the JSON is nested deeper than 128 levels at byte 128");
        let allowed = format!("{}{}", "[".repeat(128), "]".repeat(128));
        check(&allowed, &allowed);
        let long = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
        check(&long, "the JSON is longer than 2097152 bytes at byte 2097152");
    }

    #[test]
    fn serde_s_private_marks_are_plain_keys() {
        let text = r#"{"$serde_json::private::Number":"1"}"#;
        check(text, text);
        let text = r#"{"$serde_json::private::RawValue":"[[1]]"}"#;
        check(text, text);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused() {
        let error = parse(b"\"\xff\"", &JsonLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), "this is not UTF-8 at byte 1");
    }
}
