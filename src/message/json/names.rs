//! Keys of JSON as names of XML elements, and back.

use std::borrow::Cow;

use crate::message::xml::is_nc_name;

const DIGIT: &str = "_JsonReader_PD_";
const DOLLAR: &str = "_JsonReader_PS_";
const CODE: &str = "_JsonReader_";

/// The element for a key. Synapse escapes a leading digit and `$`, and everything else that is no name only when
/// `buildValidNCNames` is set; the text of the XML is then broken, or holds whatever markup a client put into a key.
/// Here only a colon between two names is left to that setting.
pub(in crate::message) fn element_name(key: &str, colons_too: bool) -> String {
    if is_nc_name(key) {
        return key.to_owned();
    }
    let (prefix, rest) = match key.chars().next() {
        None => return format!("{CODE}0_"),
        Some('$') => (DOLLAR, &key[1..]),
        Some(first) if first.is_ascii_digit() => (DIGIT, key),
        Some(_) => ("", key),
    };
    let colon = rest.split_once(':').filter(|(left, right)| {
        !colons_too && prefix.is_empty() && is_nc_name(left) && is_nc_name(right) && *left != "xmlns"
    });
    if colon.is_some() {
        return key.to_owned();
    }
    let mut name = prefix.to_owned();
    let mut buffer = [0_u8; 5];
    for character in rest.chars() {
        // Behind something else every character of a name may stand, at the start only some.
        buffer[0] = b'a';
        let width = character.encode_utf8(&mut buffer[1..]).len();
        let from = usize::from(name.is_empty());
        let allowed = std::str::from_utf8(&buffer[from..=width]).is_ok_and(is_nc_name);
        if allowed {
            name.push(character);
        } else {
            // A single 0 stands for the empty key.
            let code = match u32::from(character) {
                0 => "00".to_owned(),
                code => code.to_string(),
            };
            name.push_str(&format!("{CODE}{code}_"));
        }
    }
    name
}

/// The key for an element's name.
pub(in crate::message) fn json_key(name: &str) -> Cow<'_, str> {
    if !name.contains(CODE) {
        return Cow::Borrowed(name);
    }
    let (mut key, mut rest) = match (name.strip_prefix(DIGIT), name.strip_prefix(DOLLAR)) {
        (Some(rest), _) => (String::new(), rest),
        (_, Some(rest)) => ("$".to_owned(), rest),
        _ => (String::new(), name),
    };
    while let Some(at) = rest.find(CODE) {
        key.push_str(&rest[..at]);
        rest = &rest[at..];
        let code = rest[CODE.len()..].split_once('_').and_then(|(code, after)| {
            let digits = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
            let number = code.parse::<u32>().ok().filter(|_| digits)?;
            let character = match code {
                "0" => None,
                _ => Some(char::from_u32(number)?),
            };
            Some((character, after))
        });
        match code {
            Some((character, after)) => {
                key.extend(character);
                rest = after;
            }
            None => {
                key.push_str(CODE);
                rest = &rest[CODE.len()..];
            }
        }
    }
    key.push_str(rest);
    Cow::Owned(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, name: &str) {
        assert_eq!(element_name(key, false), name);
        assert_eq!(json_key(name), key);
    }

    #[test]
    fn keys_that_are_no_names_are_escaped_and_come_back() {
        check("a", "a");
        check("1a", "_JsonReader_PD_1a");
        check("$a", "_JsonReader_PS_a");
        check("a b", "a_JsonReader_32_b");
        check("-a", "_JsonReader_45_a");
        check("", "_JsonReader_0_");
        check("\0", "_JsonReader_00_");
        check("a:b", "a:b");
        check(":b", "_JsonReader_58_b");
        check("😀", "😀");
        check("a>", "a_JsonReader_62_");
    }

    #[test]
    fn a_name_that_only_looks_escaped_stays() {
        assert_eq!(json_key("c_JsonReader_x_"), "c_JsonReader_x_");
        assert_eq!(json_key("c_JsonReader_"), "c_JsonReader_");
    }
}
