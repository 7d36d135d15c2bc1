//! HTTP headers as mediators set and remove them.

use crate::flow::Fault;
use http::{HeaderMap, HeaderName, HeaderValue};

/// No client or backend takes a longer line, and one that is longer was not meant.
const LONGEST: usize = 64 << 10;

/// Sets a header in place of all that have this name. What would break out of its line is a fault, and nothing is set.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    let Ok(key) = HeaderName::from_bytes(name.trim().as_bytes()) else {
        return Err(Fault::mediation(format!(
            "`{}` cannot be the name of an HTTP header",
            name.escape_debug()
        )));
    };
    if value.len() > LONGEST {
        return Err(Fault::mediation(format!(
            "a value of {} bytes is too long for the HTTP header `{key}` (at most {LONGEST})",
            value.len()
        )));
    }
    // Other bytes than ASCII would pass, and be read differently by everyone on the way.
    let line = Some(value).filter(|value| value.is_ascii());
    let Some(line) = line.and_then(|value| HeaderValue::from_str(value).ok()) else {
        return Err(Fault::mediation(format!(
            "the value for the HTTP header `{key}` holds characters that a header cannot carry: `{}`",
            value
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect::<String>()
        )));
    };
    headers.insert(key, line);
    Ok(())
}

/// Removes all headers of this name; a name that no header can have is not there.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    if let Ok(key) = HeaderName::from_bytes(name.trim().as_bytes()) {
        headers.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_out_of_a_header_line_is_a_fault() {
        let mut headers = HeaderMap::new();
        let long = "x".repeat(100 << 10);
        for (name, value) in [
            ("X-A", "a\r\nX-B: b"),
            ("X-A", "a\nb"),
            ("X-A", "a\0b"),
            ("X-A", "grün"),
            ("X-A", long.as_str()),
            ("X A", "a"),
            ("X-A:", "a"),
            ("", "a"),
        ] {
            assert!(set(&mut headers, name, value).is_err(), "{name}");
        }
        assert!(headers.is_empty());
        set(&mut headers, "X-A", "a\tb").expect("a tab is allowed");
        set(&mut headers, "x-a", "c").expect("any case");
        assert_eq!(headers.get("X-A").expect("it was set"), "c");
        remove(&mut headers, "x-A");
        remove(&mut headers, "not a name");
        assert!(headers.is_empty());
    }
}
