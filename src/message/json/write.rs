//! Writes JSON values as text, without recursion.

use super::Json;

/// Writes a value as compact JSON text.
pub fn write(json: &Json, out: &mut Vec<u8>) {
    enum Open<'j> {
        Array(std::slice::Iter<'j, Json>),
        Object(serde_json::map::Iter<'j>),
    }
    let mut open: Vec<(Open<'_>, bool)> = Vec::new();
    let mut value = Some(json);
    loop {
        match value.take() {
            None => {}
            Some(Json::Null) => out.extend_from_slice(b"null"),
            Some(Json::Bool(true)) => out.extend_from_slice(b"true"),
            Some(Json::Bool(false)) => out.extend_from_slice(b"false"),
            Some(Json::Number(number)) => out.extend_from_slice(number.as_str().as_bytes()),
            Some(Json::String(string)) => write_string(string, out),
            Some(Json::Array(items)) => {
                out.push(b'[');
                open.push((Open::Array(items.iter()), true));
            }
            Some(Json::Object(members)) => {
                out.push(b'{');
                open.push((Open::Object(members.iter()), true));
            }
        }
        let Some((around, first)) = open.last_mut() else {
            return;
        };
        let comma = !std::mem::replace(first, false);
        let next = match around {
            Open::Array(items) => items.next().map(|item| (None, item)),
            Open::Object(members) => members.next().map(|(key, member)| (Some(key), member)),
        };
        match next {
            Some((key, next)) => {
                if comma {
                    out.push(b',');
                }
                if let Some(key) = key {
                    write_string(key, out);
                    out.push(b':');
                }
                value = Some(next);
            }
            None => {
                out.push(if matches!(around, Open::Array(_)) {
                    b']'
                } else {
                    b'}'
                });
                open.pop();
            }
        }
    }
}

/// The value as compact JSON text.
pub fn text(json: &Json) -> String {
    let mut out = Vec::new();
    write(json, &mut out);
    String::from_utf8(out).expect("strings are UTF-8 and everything else is ASCII")
}

/// Writes a string with its quotes. U+2028 and U+2029 are escaped, as Gson does: they end lines in JavaScript.
pub fn write_string(string: &str, out: &mut Vec<u8>) {
    let bytes = string.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0xE2 {
            at += 1;
            continue;
        }
        let mut control = *b"\\u0000";
        let (width, escape): (usize, &[u8]) = match byte {
            b'"' => (1, b"\\\""),
            b'\\' => (1, b"\\\\"),
            b'\n' => (1, b"\\n"),
            b'\r' => (1, b"\\r"),
            b'\t' => (1, b"\\t"),
            0x8 => (1, b"\\b"),
            0xC => (1, b"\\f"),
            0xE2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (3, b"\\u2028"),
            0xE2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (3, b"\\u2029"),
            0xE2 => {
                at += 1;
                continue;
            }
            other => {
                control[4] = b"01"[usize::from(other >> 4)];
                control[5] = b"0123456789abcdef"[usize::from(other & 15)];
                (1, &control)
            }
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(escape);
        at += width;
        start = at;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_gson_does() {
        let json = Json::String("a\"\\\n\t\u{1}\u{1f}\u{7f}é\u{2028}€".to_owned());
        assert_eq!(text(&json), "\"a\\\"\\\\\\n\\t\\u0001\\u001f\u{7f}é\\u2028€\"");
    }

    #[test]
    fn nested_values_are_written_in_order() {
        let json: Json = serde_json::json!({"b": [1, {"c": null}, []], "a": {}, "d": true});
        assert_eq!(text(&json), r#"{"b":[1,{"c":null},[]],"a":{},"d":true}"#);
    }
}
