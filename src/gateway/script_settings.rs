//! `[script]` of the settings: where scripts run, and what they may use.

use super::settings_table::SettingsTable;
use crate::script::js::{self, Isolation};
use crate::wire::limits::{parse_duration, parse_size};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSettings {
    pub isolation: Where,
    pub deadline: Duration,
    /// Bytes, of each worker process.
    pub memory: u64,
    /// Worker processes of each core.
    pub workers: usize,
    /// What a script answers to what it has been given before is given again without a run, where it looked at nothing else.
    pub remember: bool,
    /// Where chance begins; without it every start has another chance.
    pub seed: Option<u64>,
    /// Milliseconds since 1970: the clock stands still there, for everything that tells or looks at the time.
    pub clock: Option<i64>,
    /// What becomes a worker process. The command line says so; where nobody does, scripts run on threads.
    pub program: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Process,
    Thread,
}

impl Default for ScriptSettings {
    fn default() -> ScriptSettings {
        let built_in = js::Settings::default();
        ScriptSettings {
            isolation: Where::Process,
            deadline: built_in.time,
            memory: built_in.memory,
            workers: built_in.workers,
            remember: built_in.remember,
            seed: None,
            clock: None,
            program: None,
        }
    }
}

impl SettingsTable for ScriptSettings {
    const NAME: &'static str = "script";
    const KEYS: &'static [&'static str] = &[
        "isolation",
        "deadline",
        "memory",
        "workers",
        "remember",
        "seed",
        "clock",
    ];

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        match key {
            "isolation" => self.isolation = parse_where(text)?,
            "deadline" => {
                let millis = || text.replace('_', "").parse().ok().map(Duration::from_millis);
                let deadline = parse_duration(text).or_else(millis);
                let range = Duration::from_millis(10)..=Duration::from_secs(600);
                self.deadline = deadline
                    .filter(|deadline| range.contains(deadline))
                    .ok_or("this is a duration from 10ms to 10m, such as 1s")?;
            }
            "memory" => {
                let memory = parse_size(text);
                self.memory = memory
                    .filter(|memory| *memory >= 16 << 20)
                    .ok_or("this is a size of at least 16MiB, such as 256MiB")?;
            }
            "workers" => {
                let workers = text.parse().ok().filter(|workers| (1..=64).contains(workers));
                self.workers = workers.ok_or("this is a number from 1 to 64")?;
            }
            "remember" => {
                self.remember = match text.to_ascii_lowercase().as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err("this is `true` or `false`".to_owned()),
                };
            }
            "seed" => self.seed = Some(parse_seed(text)?),
            "clock" => self.clock = Some(parse_clock(text)?),
            _ => return Err(format!("the settings here are {}", Self::KEYS.join(", "))),
        }
        Ok(())
    }
}

impl ScriptSettings {
    pub fn pool(&self) -> js::Settings {
        js::Settings {
            isolation: match (&self.isolation, &self.program) {
                (Where::Process, Some(program)) => Isolation::Process(program.clone()),
                _ => Isolation::Thread,
            },
            time: self.deadline,
            memory: self.memory,
            workers: self.workers,
            here: true,
            remember: self.remember,
        }
    }
}

pub fn parse_seed(text: &str) -> Result<u64, String> {
    let seed = text.trim().parse();
    seed.map_err(|_| "this is a whole number, such as 1".to_owned())
}

/// A point in time (RFC 3339), or milliseconds since 1970.
pub fn parse_clock(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let point = || {
        let point = chrono::DateTime::parse_from_rfc3339(text).ok()?;
        Some(point.timestamp_millis())
    };
    let clock = text.parse::<i64>().ok().or_else(point);
    clock.ok_or_else(|| "this is a point in time, such as 2026-01-31T12:00:00Z".to_owned())
}

pub fn parse_where(text: &str) -> Result<Where, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "process" => Ok(Where::Process),
        "thread" => Ok(Where::Thread),
        _ => Err("this is `process` or `thread`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_takes_what_it_says_and_nothing_else() {
        for (key, right, wrong) in [
            ("isolation", "thread", "none"),
            ("deadline", "500ms", "0s"),
            ("memory", "64MiB", "1KiB"),
            ("workers", "3", "0"),
            ("remember", "false", "maybe"),
            ("seed", "7", "-1"),
            ("clock", "2026-01-31T12:00:00Z", "noon"),
        ] {
            let mut settings = ScriptSettings::default();
            assert_eq!(settings.set(key, right), Ok(()), "{key}");
            assert_ne!(settings, ScriptSettings::default(), "{key}");
            assert!(settings.set(key, wrong).is_err(), "{key}");
        }
        assert!(ScriptSettings::default().set("other", "1").is_err());
    }
}
