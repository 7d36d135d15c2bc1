//! `[endpoints]` of the settings: what holds for endpoints that say nothing of their own.

use super::settings_table::SettingsTable;
use crate::flow::health::{Bulkhead, Defaults};
use crate::wire::limits::parse_duration;
use std::time::Duration;

/// `None` where nobody said anything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EndpointSettings {
    pub suspend_duration: Option<Duration>,
    pub progression_factor: Option<f64>,
    pub maximum_duration: Option<Duration>,
    pub in_flight: Option<usize>,
    pub queue: Option<usize>,
    /// For everything that one request asks of backends, over all attempts.
    pub deadline: Option<Duration>,
    /// `ws-addressing-to = "send"`: a message may go where its own WS-Addressing header says.
    pub sends_where_senders_say: bool,
}

impl SettingsTable for EndpointSettings {
    const NAME: &'static str = "endpoints";
    const KEYS: &'static [&'static str] = &[
        "suspend-duration",
        "progression-factor",
        "maximum-duration",
        "in-flight",
        "queue",
        "deadline",
        "ws-addressing-to",
    ];

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        match key {
            "suspend-duration" => self.suspend_duration = Some(duration(text)?),
            "maximum-duration" => self.maximum_duration = Some(duration(text)?),
            "deadline" => {
                let deadline = duration(text)?;
                if deadline.is_zero() {
                    return Err("in no time nothing is answered".to_owned());
                }
                self.deadline = Some(deadline);
            }
            "progression-factor" => {
                let factor = text
                    .parse()
                    .ok()
                    .filter(|factor: &f64| factor.is_finite() && *factor >= 0.0);
                self.progression_factor =
                    Some(factor.ok_or("this is a number, such as 1.5, that is not negative")?);
            }
            "in-flight" => {
                let count = count(text)?;
                if count == 0 {
                    return Err("nothing could be sent".to_owned());
                }
                self.in_flight = Some(count);
            }
            "ws-addressing-to" => {
                self.sends_where_senders_say =
                    match text {
                        "send" => true,
                        "read" => false,
                        _ => return Err(
                            "this is `send`, which lets clients choose where their messages go, or `read`"
                                .to_owned(),
                        ),
                    };
            }
            "queue" => self.queue = Some(count(text)?),
            _ => return Err(format!("the settings here are {}", Self::KEYS.join(", "))),
        }
        Ok(())
    }
}

impl EndpointSettings {
    pub fn defaults(&self) -> Defaults {
        let built_in = Defaults::default();
        Defaults {
            initial: self.suspend_duration.unwrap_or(built_in.initial),
            factor: self.progression_factor.unwrap_or(built_in.factor),
            maximum: self.maximum_duration.or(built_in.maximum),
            bulkhead: Bulkhead {
                in_flight: self.in_flight.unwrap_or(built_in.bulkhead.in_flight),
                queue: self.queue.unwrap_or(built_in.bulkhead.queue),
            },
        }
    }
}

/// With a unit, or a number of milliseconds.
fn duration(text: &str) -> Result<Duration, String> {
    let millis = || text.replace('_', "").parse().ok().map(Duration::from_millis);
    parse_duration(text)
        .or_else(millis)
        .ok_or_else(|| "this is a duration, such as 30s, 500ms or 5m".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.replace('_', "")
        .parse()
        .map_err(|_| "this is a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_set_and_what_is_not_said_is_built_in() {
        let mut settings = EndpointSettings::default();
        assert_eq!(settings.defaults(), Defaults::default());
        for (key, value) in EndpointSettings::KEYS
            .iter()
            .zip(["5s", "2.5", "60000", "7", "0", "9s", "send"])
        {
            settings.set(key, value).unwrap();
        }
        let defaults = settings.defaults();
        assert_eq!(
            (defaults.initial, defaults.factor, defaults.maximum),
            (Duration::from_secs(5), 2.5, Some(Duration::from_secs(60)))
        );
        assert_eq!((defaults.bulkhead.in_flight, defaults.bulkhead.queue), (7, 0));
        assert_eq!(settings.deadline, Some(Duration::from_secs(9)));
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (key, value) in [
            ("suspend-duration", "-1"),
            ("progression-factor", "NaN"),
            ("progression-factor", "-1"),
            ("in-flight", "0"),
            ("deadline", "0s"),
            ("queue", "many"),
            ("depth", "1"),
        ] {
            assert!(
                EndpointSettings::default().set(key, value).is_err(),
                "{key} {value}"
            );
        }
    }
}
