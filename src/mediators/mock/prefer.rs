//! What a client prefers: `Prefer: code=404, example=none; dynamic=true, wait=2`, or `?responseCode=404&example=none`.

use crate::flow::{Exchange, mishap};
use http::HeaderValue;
use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    pub code: Option<u16>,
    /// In the capitals of the client.
    pub example: Option<String>,
    pub dynamic: bool,
    pub wait: Option<Duration>,
    /// Those of the header, as they are applied.
    said: Vec<(&'static str, String)>,
}

impl Preferences {
    /// The header's, which win, and the query's; `own_query` names the parameters that mean something else here.
    pub fn of(exchange: &Exchange, own_query: &[String]) -> Result<Preferences, String> {
        let mut preferences = Preferences::default();
        for header in exchange.message.headers.get_all("prefer") {
            let text = String::from_utf8_lossy(header.as_bytes());
            for (name, value) in parts(&text) {
                preferences.take(&name, value)?;
            }
        }
        for (query, name) in [("responseCode", "code"), ("example", "example")] {
            let is_said = preferences.said.iter().any(|(said, _)| *said == name);
            if is_said || own_query.iter().any(|own| own == query) {
                continue;
            }
            let value = exchange.properties.text(&format!("query.param.{query}"));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                preferences.take(name, value)?;
                preferences.said.retain(|(said, _)| *said != name);
            }
        }
        Ok(preferences)
    }

    /// Takes up one preference; the first of a name counts, those that are unknown are left alone (RFC 7240).
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        let name = ["code", "example", "dynamic", "wait"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        let Some(name) = name.filter(|name| !self.said.iter().any(|(said, _)| said == name)) else {
            return Ok(());
        };
        match name {
            "code" => {
                let code = value
                    .trim()
                    .parse()
                    .ok()
                    .filter(|code| (200..=599).contains(code));
                self.code = Some(code.ok_or_else(|| format!("`{value}` is no status from 200 to 599."))?);
            }
            "example" => self.example = Some(value.clone()),
            "dynamic" => self.dynamic = value.is_empty() || value.eq_ignore_ascii_case("true"),
            _ => {
                // Seconds in RFC 7240, in which a time may say its unit as well.
                let is_bare = value.trim().ends_with(|last: char| last.is_ascii_digit());
                let unit = if is_bare { "s" } else { "" };
                self.wait = Some(mishap::latency(&format!("{}{unit}", value.trim()))?);
            }
        }
        self.said.push((name, value));
        Ok(())
    }

    /// `Preference-Applied`.
    pub fn applied(&self, waits: bool) -> Option<HeaderValue> {
        let applied = self.said.iter().filter(|(name, _)| waits || *name != "wait");
        let parts: Vec<String> = applied
            .map(|(name, value)| {
                let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                match (*name, &self.wait) {
                    ("wait", Some(wait)) => format!("wait={}", wait.as_secs_f64()),
                    _ if !value.is_empty() && value.bytes().all(is_token) => format!("{name}={value}"),
                    _ if value.is_empty() => (*name).to_owned(),
                    _ => format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
                }
            })
            .collect();
        if parts.is_empty() {
            return None;
        }
        HeaderValue::from_bytes(parts.join(", ").as_bytes()).ok()
    }
}

/// Names and values of a header, between `,` or `;`; a value may stand in quotes.
fn parts(text: &str) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    let (mut name, mut value) = (String::new(), None::<String>);
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', _) => quoted = !quoted,
            ('\\', true) => value.get_or_insert_default().extend(characters.next()),
            (',' | ';', false) => parts.push((std::mem::take(&mut name), value.take().unwrap_or_default())),
            ('=', false) if value.is_none() => value = Some(String::new()),
            _ => value.as_mut().unwrap_or(&mut name).push(character),
        }
    }
    parts.push((name, value.unwrap_or_default()));
    parts
        .into_iter()
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, code: Option<u16>, example: Option<&str>, applied: &str) {
        let mut preferences = Preferences::default();
        for (name, value) in parts(header) {
            preferences.take(&name, value).expect("it is sound");
        }
        assert_eq!(preferences.code, code, "{header}");
        assert_eq!(preferences.example.as_deref(), example, "{header}");
        let told = preferences.applied(true);
        let told = told
            .as_ref()
            .map_or("", |value| value.to_str().expect("it is text"));
        assert_eq!(told, applied, "{header}");
    }

    #[test]
    fn preferences_keep_their_capitals_and_stand_between_commas_or_semicolons() {
        check(
            "code=404, example=NotFound",
            Some(404),
            Some("NotFound"),
            "code=404, example=NotFound",
        );
        check(
            "CODE=404;example = \"a, b\"",
            Some(404),
            Some("a, b"),
            "code=404, example=\"a, b\"",
        );
        check("respond-async, code=200, code=500", Some(200), None, "code=200");
        check("dynamic, wait=0.25; wait=3", None, None, "dynamic, wait=0.25");
        check("wait=90", None, None, "wait=30");
        check("", None, None, "");
    }

    #[test]
    fn a_preference_that_cannot_be_is_told() {
        for header in ["code=abc", "code=1000", "code=100", "wait=soon", "code="] {
            let mut preferences = Preferences::default();
            let told = parts(header)
                .into_iter()
                .try_for_each(|(name, value)| preferences.take(&name, value));
            assert!(told.is_err(), "{header}");
        }
    }
}
