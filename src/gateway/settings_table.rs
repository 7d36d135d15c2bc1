//! A table of the settings whose values are texts: one reader for all of them, from `myelin.toml` and from the environment.

use super::settings_place::Place;
use crate::deployment::cors::Cors;
use crate::text::{Diagnostic, FileId, Mistakes, Span, suggest};
use toml::Spanned;
use toml::de::DeValue;

/// A table of `myelin.toml`. `[mock] mishaps` has the variable `MYELIN_MOCK_MISHAPS`.
pub trait SettingsTable: Clone {
    const NAME: &'static str;
    const KEYS: &'static [&'static str];

    /// Takes up the value of one of `KEYS`, or says what it should have been.
    fn set(&mut self, key: &str, text: &str) -> Result<(), String>;
}

impl SettingsTable for Cors {
    const NAME: &'static str = "cors";
    const KEYS: &'static [&'static str] = Cors::KEYS;

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        Cors::set(self, key, text)
    }
}

/// Reads the whole table but for keys that somebody else reads; a value that does not fit leaves what was there.
pub(super) fn read<T: SettingsTable>(
    table: &mut T,
    others: &[&'static str],
    file: FileId,
    value: &Spanned<DeValue<'_>>,
    mistakes: &mut Mistakes,
) {
    let Some(entries) = value.get_ref().as_table() else {
        let message = format!("`{}` is a table", T::NAME);
        return mistakes.push(Diagnostic::error("E0110", Span::new(file, value.span()), message));
    };
    for (key, value) in entries {
        let name = key.get_ref();
        if others.contains(&name.as_ref()) {
            continue;
        }
        if !T::KEYS.contains(&name.as_ref()) {
            mistakes.push(unknown(
                Span::new(file, key.span()),
                name,
                T::KEYS.iter().chain(others).copied(),
            ));
            continue;
        }
        let mut changed = table.clone();
        let read = Place::new(file, name, value, mistakes).read(|text| changed.set(name, text));
        if read.is_some() {
            *table = changed;
        }
    }
}

/// Takes up a variable if it is one of this table's: whether it is, and what is wrong with its value.
///
/// Others with such a beginning are anybody's: of a service with the name `myelin-mock` Kubernetes makes `MYELIN_MOCK_PORT`.
pub(super) fn take_variable<T: SettingsTable>(
    table: &mut T,
    name: &str,
    value: &str,
) -> Option<Result<(), String>> {
    let (prefix, key) = name.strip_prefix("MYELIN_")?.split_once('_')?;
    if !prefix.eq_ignore_ascii_case(T::NAME) {
        return None;
    }
    let key = key.to_ascii_lowercase().replace('_', "-");
    let key = T::KEYS.iter().find(|known| **known == key)?;
    Some(table.set(key, value))
}

/// What is said of a key that nobody knows.
pub(super) fn unknown(span: Span, key: &str, known: impl IntoIterator<Item = &'static str>) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let help = suggest::did_you_mean(key, known.iter().copied())
        .unwrap_or_else(|| format!("the settings here are {}", known.join(", ")));
    Diagnostic::error("E0109", span, format!("there is no setting `{key}`"))
        .label("unknown")
        .help(help)
}
