//! What an XML file is, told from its root element alone: a scan over the first bytes, no parser.

use std::ops::Range;

use crate::plan::element::SYNAPSE as NAMESPACE;

/// Roots that are hardly anybody else's, even without a namespace.
const OWN_ROOTS: &[&str] = &[
    "api",
    "proxy",
    "sequence",
    "endpoint",
    "localEntry",
    "inboundEndpoint",
    "messageStore",
    "messageProcessor",
];

/// Roots of Synapse's whose names others use as well.
const SHARED_ROOTS: &[&str] = &[
    "definitions",
    "template",
    "task",
    "taskManager",
    "eventSource",
    "priorityExecutor",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// In Synapse's namespace.
    Synapse { name: String, place: Range<usize> },
    /// A name of Synapse's, in no namespace.
    Bare {
        name: String,
        place: Range<usize>,
        /// Nobody else uses the name, so it is certainly meant for us.
        is_own: bool,
    },
    /// Something else: a pom, a schema, a stylesheet.
    Foreign,
    /// The text ends before the root's tag does.
    Unfinished,
    /// No root can be told.
    Garbled,
}

/// The root of a text that may be only the beginning of its file.
pub fn root_of(text: &str) -> Root {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        while bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace()) {
            at += 1;
        }
        let rest = &bytes[at..];
        let skipped = if rest.is_empty() {
            return Root::Unfinished;
        } else if rest.starts_with(b"<?") {
            find(rest, b"?>")
        } else if rest.starts_with(b"<!--") {
            find(rest, b"-->")
        } else if rest.starts_with(b"<!") {
            doctype(rest)
        } else if rest.starts_with(b"<") {
            return tag(text, at + 1);
        } else {
            return Root::Garbled;
        };
        match skipped {
            Some(length) => at += length,
            None => return Root::Unfinished,
        }
    }
}

fn find(rest: &[u8], end: &[u8]) -> Option<usize> {
    memchr::memmem::find(rest, end).map(|found| found + end.len())
}

fn doctype(rest: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn tag(text: &str, start: usize) -> Root {
    let bytes = text.as_bytes();
    let length = bytes[start..]
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
        .unwrap_or(bytes.len() - start);
    let place = start..start + length;
    let Some(full) = text.get(place.clone()).filter(|name| !name.is_empty()) else {
        return Root::Garbled;
    };
    let (prefix, name) = full.split_once(':').unwrap_or(("", full));
    let declaration = if prefix.is_empty() {
        "xmlns".to_owned()
    } else {
        format!("xmlns:{prefix}")
    };
    let mut rest = &text[place.end..];
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Root::Unfinished;
        }
        if rest.starts_with(['>', '/']) {
            break;
        }
        let Some((attribute, after)) = rest.split_once('=') else {
            return if rest.contains(['<', '>']) {
                Root::Garbled
            } else {
                Root::Unfinished
            };
        };
        let after = after.trim_start();
        let Some(quote) = after.chars().next() else {
            return Root::Unfinished;
        };
        if attribute.contains(['<', '>']) || (quote != '"' && quote != '\'') {
            return Root::Garbled;
        }
        let Some((value, after)) = after[1..].split_once(quote) else {
            return Root::Unfinished;
        };
        if attribute.trim_end() == declaration {
            return if value.trim() == NAMESPACE {
                Root::Synapse {
                    name: name.to_owned(),
                    place,
                }
            } else {
                Root::Foreign
            };
        }
        rest = after;
    }
    let is_own = OWN_ROOTS.contains(&name);
    if prefix.is_empty() && (is_own || SHARED_ROOTS.contains(&name)) {
        return Root::Bare {
            name: name.to_owned(),
            place,
            is_own,
        };
    }
    Root::Foreign
}

/// Text from a file's bytes: UTF-8, UTF-16 with its mark, or Latin-1 where the XML declaration says so. `Err` is what the author should
/// know.
pub fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let utf16 = |pairs: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = pairs
            .chunks_exact(2)
            .map(|pair| read([pair[0], pair[1]]))
            .collect();
        String::from_utf16(&units).map_err(|_| "the file is not valid UTF-16".to_owned())
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        _ => {}
    }
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with('\u{FEFF}') {
                text.drain(..3);
            }
            Ok(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_ascii_lowercase();
            let declared = ["iso-8859-1", "windows-1252", "us-ascii"].iter().any(|name| {
                head.contains(&format!("encoding=\"{name}\"")) || head.contains(&format!("encoding='{name}'"))
            });
            if declared {
                return Ok(bytes.into_iter().map(char::from).collect());
            }
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(format!("the file is not valid UTF-8 (line {line})"))
        }
    }
}

/// What is wrong with the encoding that an XML file declares, if it cannot be the one it is in.
pub fn false_encoding(bytes: &[u8]) -> Option<String> {
    let wide = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
    let text = decode(bytes.to_vec()).ok()?;
    let declaration = text.trim_start().strip_prefix("<?xml")?.split_once("?>")?.0;
    let (_, behind) = declaration.split_once("encoding")?;
    let declared = behind.split(['"', '\'']).nth(1)?;
    const NARROW: [&str; 4] = ["utf-8", "us-ascii", "iso-8859-1", "windows-1252"];
    let fits = match wide {
        true => declared.to_ascii_lowercase().starts_with("utf-16"),
        false => NARROW.iter().any(|name| declared.eq_ignore_ascii_case(name)),
    };
    (!fits).then(|| format!("it declares the encoding `{declared}`, in which it is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_encoding_has_to_be_the_one_that_is_used() {
        let declared = |name: &str| format!("<?xml version='1.0' encoding=\"{name}\"?><d/>");
        let wide = |text: &str| -> Vec<u8> {
            let units = ["\u{feff}", text].concat();
            units.encode_utf16().flat_map(u16::to_be_bytes).collect()
        };
        for fine in ["utf-8", "ISO-8859-1", "Windows-1252"] {
            assert_eq!(false_encoding(declared(fine).as_bytes()), None, "{fine}");
        }
        assert_eq!(false_encoding(b"<d encoding='x'/>"), None);
        assert_eq!(false_encoding(&wide(&declared("UTF-16"))), None);
        for wrong in ["UTF-16", "UTF-7", "x-evil"] {
            assert!(false_encoding(declared(wrong).as_bytes()).is_some(), "{wrong}");
        }
        assert!(false_encoding(&wide(&declared("UTF-8"))).is_some());
    }

    fn synapse(name: &str, place: Range<usize>) -> Root {
        Root::Synapse {
            name: name.to_owned(),
            place,
        }
    }

    #[test]
    fn the_root_is_found_behind_declaration_comments_and_doctype() {
        let text = format!(
            "<?xml version=\"1.0\"?>\n<!-- <api> -->\n<!DOCTYPE x [<!ELEMENT a (b)>]>\n<s:api name='a>b' xmlns:s = \"{NAMESPACE}\">"
        );
        let at = text.rfind("s:api").unwrap();
        assert_eq!(root_of(&text), synapse("api", at..at + 5));
    }

    #[test]
    fn a_name_alone_does_not_make_an_artifact() {
        assert_eq!(
            root_of("<project xmlns='http://maven.apache.org/POM/4.0.0'/>"),
            Root::Foreign
        );
        assert_eq!(
            root_of("<xs:sequence xmlns:xs='http://www.w3.org/2001/XMLSchema'/>"),
            Root::Foreign
        );
        assert_eq!(
            root_of("<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>"),
            Root::Foreign
        );
        assert_eq!(root_of("<unit-test>"), Root::Foreign);
        assert_eq!(
            root_of("<sequence name='a'>"),
            Root::Bare {
                name: "sequence".to_owned(),
                place: 1..9,
                is_own: true,
            }
        );
    }

    #[test]
    fn a_beginning_is_told_from_rubbish() {
        for text in ["", "<?xml ", "<!-- ", "<api name='x", "<api name", "<api "] {
            assert_eq!(root_of(text), Root::Unfinished, "{text}");
        }
        assert_eq!(root_of("hello"), Root::Garbled);
        assert_eq!(root_of("< api>"), Root::Garbled);
        assert_eq!(root_of("<api name><b c='d'/>"), Root::Garbled);
        assert_eq!(root_of("<api name=x>"), Root::Garbled);
    }

    #[test]
    fn other_encodings_become_text() {
        assert_eq!(decode(b"\xEF\xBB\xBF<a/>".to_vec()).unwrap(), "<a/>");
        assert_eq!(decode(b"\xFF\xFE<\0a\0/\0>\0".to_vec()).unwrap(), "<a/>");
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>".to_vec();
        assert!(decode(latin).unwrap().ends_with("<a>é</a>"));
        assert!(decode(b"<a>\n\xE9</a>".to_vec()).unwrap_err().contains("line 2"));
    }
}
