//! `[mock]` of the settings: which definitions are mocks, and what clients may ask of one.

use super::settings_table::SettingsTable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MockSettings {
    /// An OpenAPI definition in the folder that nothing implements is answered from its examples.
    pub definitions: bool,
    /// A request may ask a mock to answer late or brokenly (`x-mock-latency`, `x-mock-fault`, `Prefer: wait=`).
    pub mishaps: bool,
}

impl Default for MockSettings {
    fn default() -> MockSettings {
        MockSettings {
            definitions: true,
            mishaps: true,
        }
    }
}

impl SettingsTable for MockSettings {
    const NAME: &'static str = "mock";
    const KEYS: &'static [&'static str] = &["definitions", "mishaps"];

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let value = match text.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => return Err("this is `true` or `false`".to_owned()),
        };
        match key {
            "definitions" => self.definitions = value,
            "mishaps" => self.mishaps = value,
            _ => return Err(format!("the settings here are {}", Self::KEYS.join(", "))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_takes_what_it_says_and_nothing_else() {
        for key in MockSettings::KEYS {
            let mut settings = MockSettings::default();
            assert_eq!(settings.set(key, "false"), Ok(()), "{key}");
            assert_ne!(settings, MockSettings::default(), "{key}");
            assert!(settings.set(key, "maybe").is_err(), "{key}");
        }
        assert!(MockSettings::default().set("other", "true").is_err());
    }
}
