//! Values that stand outside the XML: `$SYSTEM:NAME`, `$FILE:KEY` and `${configs.NAME}`.

use crate::text::suggest::did_you_mean;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The words that `config.properties` uses for the type of a value that is given elsewhere.
const TYPES: &[&str] = &["string", "int", "integer", "number", "float", "boolean", "cert"];

#[derive(Debug, Default, Clone)]
pub struct Configs {
    /// The process's environment, then what an env file adds to it.
    environment: BTreeMap<String, String>,
    /// `file.properties`.
    properties: BTreeMap<String, String>,
    /// `config.properties`: names, and a value where one is given.
    declared: BTreeMap<String, Option<String>>,
}

/// A marker whose value is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// As it stands in the text: `$SYSTEM:BACKEND`.
    pub marker: String,
    pub name: String,
    pub reason: String,
    pub help: Option<String>,
}

impl fmt::Display for Unset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    System,
    File,
    Custom,
    Config,
}

impl Configs {
    pub fn new(environment: BTreeMap<String, String>) -> Configs {
        Configs {
            environment,
            ..Configs::default()
        }
    }

    /// Lines of `NAME=value`. What the process's environment already has stays.
    pub fn add_env_file(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.starts_with('#') {
                continue;
            }
            if let Some((name, value)) = line.split_once('=') {
                self.environment
                    .entry(name.trim().to_owned())
                    .or_insert_with(|| unquoted(value.trim()));
            }
        }
    }

    pub fn add_file_properties(&mut self, text: &str) {
        self.properties.extend(properties(text));
    }

    /// `name:type` declares a value that comes from outside; `name=value` gives one, which the outside may still override.
    pub fn add_config_properties(&mut self, text: &str) {
        for (name, value) in properties(text) {
            let given =
                (!value.is_empty() && !TYPES.contains(&value.to_ascii_lowercase().as_str())).then_some(value);
            self.declared.insert(name, given);
        }
    }

    /// The value of `configs.NAME`: environment, `file.properties`, then what `config.properties` says itself.
    pub fn config(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .or_else(|| self.properties.get(name))
            .or_else(|| self.declared.get(name)?.as_ref())
            .map(String::as_str)
    }

    /// The value of `$secret{alias}`: the environment's variable of that name, or of that name in capitals, or what stands in a file of that name in
    /// the folder `MYELIN_SECRETS`.
    pub fn secret(&self, alias: &str) -> Result<String, Unset> {
        let capitals: String = alias
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        if let Some(value) = self.environment(alias).or_else(|| self.environment(&capitals)) {
            return Ok(value.to_owned());
        }
        let folder = self.environment("MYELIN_SECRETS").unwrap_or("/run/secrets");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let named = !alias.is_empty() && alias.chars().all(plain) && !alias.starts_with('.');
        let file = Path::new(folder).join(alias);
        let read = named.then(|| std::fs::read_to_string(&file));
        if let Some(Ok(text)) = read {
            return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
        }
        Err(Unset {
            marker: format!("$secret{{{alias}}}"),
            name: alias.to_owned(),
            reason: format!("there is no secret `{alias}`"),
            help: Some(format!(
                "set `{capitals}` in the environment, or write it to {}",
                file.display()
            )),
        })
    }

    /// Names that `config.properties` declares and nobody gives a value to.
    pub fn missing(&self) -> Vec<&str> {
        self.declared
            .keys()
            .map(String::as_str)
            .filter(|name| self.config(name).is_none())
            .collect()
    }

    pub fn environment(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    pub fn environment_values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn property_values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn config_names(&self) -> impl Iterator<Item = &str> {
        self.declared
            .keys()
            .chain(self.properties.keys())
            .map(String::as_str)
    }

    /// Replaces every marker of `text`; `None` when there is none. Synapse looks at a marker at the very beginning only; one inside a
    /// value is an extension.
    pub fn resolve(&self, text: &str) -> Result<Option<String>, Unset> {
        let mut out = String::new();
        let mut copied = 0;
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let start = at + found;
            match marker(&text[start..]) {
                Some((kind, name, length)) => {
                    out.push_str(&text[copied..start]);
                    out.push_str(self.value(kind, name, &text[start..start + length])?);
                    copied = start + length;
                    at = copied;
                }
                None => at = start + 1,
            }
        }
        if copied == 0 {
            return Ok(None);
        }
        out.push_str(&text[copied..]);
        Ok(Some(out))
    }

    fn value(&self, kind: Kind, name: &str, marker: &str) -> Result<&str, Unset> {
        let found = match kind {
            Kind::System => self.environment.get(name).map(String::as_str),
            Kind::File => self.properties.get(name).map(String::as_str),
            Kind::Config => self.config(name),
            Kind::Custom => None,
        };
        found.ok_or_else(|| {
            let (reason, help) = match kind {
                Kind::System => (
                    format!("the environment has no variable `{name}`"),
                    did_you_mean(name, self.environment.keys().map(String::as_str)).or_else(|| {
                        Some(format!(
                            "set it, or write `{name}=…` into a file given by --env-file"
                        ))
                    }),
                ),
                Kind::File => (
                    format!("`file.properties` has no key `{name}`"),
                    did_you_mean(name, self.properties.keys().map(String::as_str)),
                ),
                Kind::Config => (
                    format!("`configs.{name}` has no value"),
                    did_you_mean(name, self.config_names())
                        .or_else(|| Some(format!("set `{name}` in the environment or in `file.properties`"))),
                ),
                Kind::Custom => (
                    "resolvers written in Java are not supported".to_owned(),
                    Some(format!("use `$SYSTEM:{name}` or `$FILE:{name}`")),
                ),
            };
            Unset {
                marker: marker.to_owned(),
                name: name.to_owned(),
                reason,
                help,
            }
        })
    }
}

/// The marker a text begins with: kind, name, length.
fn marker(text: &str) -> Option<(Kind, &str, usize)> {
    if let Some(rest) = text.strip_prefix("${configs.") {
        let name = word(rest, true);
        // Anything else in the braces is a Synapse expression, and its own engine's business.
        return (!name.is_empty() && rest[name.len()..].starts_with('}'))
            .then(|| (Kind::Config, name, "${configs.".len() + name.len() + 1));
    }
    let rest = text.strip_prefix('$')?;
    let (kind, rest) = if let Some(rest) = rest.strip_prefix("SYSTEM:") {
        (Kind::System, rest)
    } else if let Some(rest) = rest.strip_prefix("FILE:") {
        (Kind::File, rest)
    } else {
        let class = rest.strip_prefix("CUSTOM_")?;
        (Kind::Custom, class[word(class, true).len()..].strip_prefix(':')?)
    };
    let name = word(rest, false);
    let length = text.len() - rest.len() + name.len();
    (!name.is_empty()).then_some((kind, name, length))
}

fn word(text: &str, dots: bool) -> &str {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (dots && (c == '.' || c == '-'))))
        .unwrap_or(text.len());
    &text[..end]
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner.to_owned();
        }
    }
    value.to_owned()
}

/// A Java properties file: `key=value`, `key:value` or `key value`, comments, continued lines, escapes.
pub fn properties(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while (line.len() - line.trim_end_matches('\\').len()) % 2 == 1 {
            line.pop();
            match lines.next() {
                Some(next) => line.push_str(next.trim_start()),
                None => break,
            }
        }
        let mut escaped = false;
        let end = line
            .find(|c: char| {
                let ends = !escaped && (c == '=' || c == ':' || c.is_whitespace());
                escaped = c == '\\' && !escaped;
                ends
            })
            .unwrap_or(line.len());
        let (key, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        found.insert(unescaped(key), unescaped(value));
    }
    found
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                out.extend(code.and_then(char::from_u32));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> Configs {
        let mut configs = Configs::new(BTreeMap::from([
            ("HOST".to_owned(), "orders.example".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]));
        configs.add_env_file("# comment\nexport PORT=\"8080\"\nHOST=ignored\n");
        configs.add_file_properties("user=anna\npath = /a\\u0062\\\n   /c\n! no\nkey:with\\:colon\n");
        configs.add_config_properties("db_url:string\nuser:string\nlevel=high\n");
        configs
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(
            configs().resolve(text).unwrap().as_deref().unwrap_or(text),
            expected
        );
    }

    #[test]
    fn markers_are_replaced_at_the_start_and_inside() {
        check("$SYSTEM:HOST", "orders.example");
        check(
            "http://$SYSTEM:HOST:$SYSTEM:PORT/x",
            "http://orders.example:8080/x",
        );
        check("$FILE:user", "anna");
        check("$FILE:path", "/ab/c");
        check("${configs.user}-${configs.level}", "anna-high");
        check("$SYSTEM:EMPTY", "");
    }

    #[test]
    fn what_is_no_marker_stays() {
        for text in [
            "$body",
            "$ctx:SYSTEM",
            "100$",
            "${vars.a}",
            "${configs.a + 1}",
            "$SYSTEM:",
            "US$ $",
        ] {
            assert_eq!(configs().resolve(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn secrets_come_from_the_environment_or_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in-a-file"), "two\n").unwrap();
        let configs = Configs::new(BTreeMap::from([
            ("orders_key".to_owned(), "zero".to_owned()),
            ("ORDERS_PASSWORD".to_owned(), "one".to_owned()),
            (
                "MYELIN_SECRETS".to_owned(),
                folder.path().to_string_lossy().into_owned(),
            ),
        ]));
        assert_eq!(configs.secret("orders_key").unwrap(), "zero");
        assert_eq!(configs.secret("orders-password").unwrap(), "one");
        assert_eq!(configs.secret("in-a-file").unwrap(), "two");
        let unset = configs.secret("../in-a-file").unwrap_err();
        assert_eq!(unset.reason, "there is no secret `../in-a-file`");
        assert!(configs.secret("").is_err());
    }

    #[test]
    fn an_unset_name_is_told_with_the_nearest() {
        let unset = configs().resolve("http://$SYSTEM:HOTS/").unwrap_err();
        assert_eq!(
            (unset.marker.as_str(), unset.name.as_str()),
            ("$SYSTEM:HOTS", "HOTS")
        );
        assert_eq!(unset.help.as_deref(), Some("did you mean `HOST`?"));
        assert!(
            configs()
                .resolve("${configs.db_url}")
                .unwrap_err()
                .reason
                .contains("no value")
        );
        assert!(
            configs()
                .resolve("$CUSTOM_x.Y:z")
                .unwrap_err()
                .reason
                .contains("Java")
        );
        assert_eq!(configs().missing(), ["db_url"]);
    }
}
