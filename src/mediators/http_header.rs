//! HTTP headers as mediators set and remove them.

use crate::flow::Fault;
use http::{HeaderMap, HeaderName, HeaderValue};

/// No client or backend takes a longer line, and one that is longer was not meant.
const LONGEST: usize = 64 << 10;

/// The name of a header that is known at load.
pub struct Name {
    text: String,
    key: Option<HeaderName>,
}

impl Name {
    pub fn of(text: String) -> Name {
        let key = key(&text);
        Name { text, key }
    }

    /// With its value, where that is known as well and both can stand in a header.
    pub fn line(&self, value: &str) -> Option<(HeaderName, HeaderValue)> {
        let key = self.key.clone()?;
        let value = checked(&key, value).ok()?;
        Some((key, value))
    }

    /// Sets it in place of all that have this name. What would break out of its line is a fault, and nothing is set.
    pub fn set(&self, headers: &mut HeaderMap, value: &str) -> Result<(), Fault> {
        match &self.key {
            Some(key) => put(headers, key.clone(), value),
            None => Err(no_name(&self.text)),
        }
    }

    /// Removes all headers of this name; a name that no header can have is not there.
    pub fn remove(&self, headers: &mut HeaderMap) {
        if let Some(key) = &self.key {
            headers.remove(key);
        }
    }
}

/// The same for a name that is known only now.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    match key(name) {
        Some(key) => put(headers, key, value),
        None => Err(no_name(name)),
    }
}

pub fn remove(headers: &mut HeaderMap, name: &str) {
    if let Some(key) = key(name) {
        headers.remove(key);
    }
}

fn key(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.trim().as_bytes()).ok()
}

fn no_name(name: &str) -> Fault {
    let name = name.escape_debug();
    Fault::mediation(format!("`{name}` cannot be the name of an HTTP header"))
}

fn put(headers: &mut HeaderMap, key: HeaderName, value: &str) -> Result<(), Fault> {
    let value = checked(&key, value)?;
    headers.insert(key, value);
    Ok(())
}

fn checked(key: &HeaderName, value: &str) -> Result<HeaderValue, Fault> {
    if value.len() > LONGEST {
        return Err(Fault::mediation(format!(
            "a value of {} bytes is too long for the HTTP header `{key}` (at most {LONGEST})",
            value.len()
        )));
    }
    // Other bytes than ASCII would pass, and be read differently by everyone on the way.
    let line = Some(value).filter(|value| value.is_ascii());
    line.and_then(|value| HeaderValue::from_str(value).ok())
        .ok_or_else(|| {
            Fault::mediation(format!(
                "the value for the HTTP header `{key}` holds characters that a header cannot carry: `{}`",
                value
                    .chars()
                    .take(80)
                    .flat_map(char::escape_default)
                    .collect::<String>()
            ))
        })
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
