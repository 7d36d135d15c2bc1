//! What may be a name, and which names prefixes stand for.

pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
pub const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

/// The prefixes in scope at some place, in the order of their declaration. The empty prefix is the default namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    bindings: Vec<(String, String)>,
}

impl Namespaces {
    pub fn new() -> Namespaces {
        Namespaces::default()
    }

    /// Binds a prefix; an earlier binding of the same prefix is replaced, an empty name takes it away.
    pub fn bind(&mut self, prefix: impl Into<String>, uri: impl Into<String>) {
        let (prefix, uri) = (prefix.into(), uri.into());
        self.bindings.retain(|(known, _)| *known != prefix);
        if !uri.is_empty() {
            self.bindings.push((prefix, uri));
        }
    }

    /// As `bind`, for building in a chain.
    pub fn with(mut self, prefix: &str, uri: &str) -> Namespaces {
        self.bind(prefix, uri);
        self
    }

    /// The name a prefix stands for. `xml` is always bound.
    pub fn get(&self, prefix: &str) -> Option<&str> {
        match self.bindings.iter().find(|(known, _)| known == prefix) {
            Some((_, uri)) => Some(uri),
            None if prefix == "xml" => Some(XML_NAMESPACE),
            None => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings
            .iter()
            .map(|(prefix, uri)| (prefix.as_str(), uri.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }
}

impl<P: Into<String>, U: Into<String>> FromIterator<(P, U)> for Namespaces {
    fn from_iter<I: IntoIterator<Item = (P, U)>>(pairs: I) -> Namespaces {
        let mut namespaces = Namespaces::new();
        for (prefix, uri) in pairs {
            namespaces.bind(prefix, uri);
        }
        namespaces
    }
}

/// White space as XML means it: space, tab, line feed, carriage return.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a text is a name without a colon.
pub fn is_nc_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|first| first != ':' && starts_name(first))
        && characters.all(|character| character != ':' && continues_name(character))
}

/// The end of the longest name (colons allowed) that starts at `at`; `at` itself when none does.
#[inline]
pub(super) fn end_of_name(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut end = at;
    match bytes.get(at) {
        Some(&byte) if byte < 128 => {
            if ASCII_NAMES[byte as usize] != START {
                return at;
            }
            end += 1;
        }
        Some(_) => match text[at..].chars().next() {
            Some(character) if starts_name(character) => end += character.len_utf8(),
            _ => return at,
        },
        None => return at,
    }
    while let Some(&byte) = bytes.get(end) {
        if byte < 128 {
            if ASCII_NAMES[byte as usize] == OTHER {
                break;
            }
            end += 1;
        } else {
            match text[end..].chars().next() {
                Some(character) if continues_name(character) => end += character.len_utf8(),
                _ => break,
            }
        }
    }
    end
}

pub fn starts_name(character: char) -> bool {
    matches!(character,
        ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

pub fn continues_name(character: char) -> bool {
    starts_name(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether a character may stand in a document at all.
pub(super) fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

const OTHER: u8 = 0;
const INSIDE: u8 = 1;
const START: u8 = 2;

/// For each ASCII character whether it may start a name, only go on with it, or neither.
const ASCII_NAMES: [u8; 128] = {
    let mut table = [OTHER; 128];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        if character.is_ascii_alphabetic() || character == b'_' || character == b':' {
            table[byte] = START;
        } else if character.is_ascii_digit() || character == b'-' || character == b'.' {
            table[byte] = INSIDE;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_where_its_characters_end() {
        assert_eq!(end_of_name("a:b-1.c d", 0), 7);
        assert_eq!(end_of_name("été=", 0), 5);
        assert_eq!(end_of_name("-a", 0), 0);
        assert_eq!(end_of_name("", 0), 0);
    }

    #[test]
    fn a_later_binding_of_a_prefix_wins() {
        let namespaces = Namespaces::new()
            .with("a", "urn:1")
            .with("b", "urn:2")
            .with("a", "urn:3");
        assert_eq!(namespaces.get("a"), Some("urn:3"));
        assert_eq!(namespaces.get("xml"), Some(XML_NAMESPACE));
        assert_eq!(namespaces.get(""), None);
    }
}
