//! The log: one event is one line, whatever stands in it, for people or as JSON.

use crate::gateway::settings::LogFormat;
use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// A longer line is cut. Nobody reads it, and somebody may have sent it to fill the disk.
const LONGEST: usize = 4096;

/// Starts the log on standard error.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = parse_filter(filter)?;
    let colour = format == LogFormat::Human && wants_colour(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { format, colour })
        .with_writer(Stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| error.to_string())
}

fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(filter).map_err(|error| {
        format!("`{filter}` is no log filter ({error}); write `info`, or `warn,myelin::wire=debug`")
    })
}

/// Colour only for a terminal, and not for those who asked for none.
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Once;

    fn make_writer(&'a self) -> Once {
        Once
    }
}

/// Writes each line with one call, so that lines of several threads do not mix.
struct Once;

impl Write for Once {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A log that nobody takes any more must not stop the traffic.
        std::io::stderr().lock().write_all(bytes).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Lines {
    format: LogFormat,
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = match self.format {
            LogFormat::Human => human(now, metadata.level(), &fields, self.colour),
            LogFormat::Json => json(now, metadata.level(), metadata.target(), fields),
        };
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: serde_json::Value) {
        if field.name() == "message" {
            self.message = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
        } else {
            self.rest.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

fn human(now: Duration, level: &Level, fields: &Fields, colour: bool) -> String {
    let mut body = escaped(&fields.message);
    for (name, value) in &fields.rest {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let quoted = if text.is_empty() || text.contains([' ', '"']) {
            format!("{text:?}")
        } else {
            escaped(&text)
        };
        body.push_str(&format!(" {name}={quoted}"));
    }
    let time = rfc3339(now);
    let line = if colour {
        let code = match *level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "34",
        };
        format!("\x1b[2m{time}\x1b[0m \x1b[{code}m{level:>5}\x1b[0m ")
    } else {
        format!("{time} {level:>5} ")
    };
    let room = LONGEST.saturating_sub(line.len());
    line + cut(body, room).as_str()
}

fn json(now: Duration, level: &Level, target: &str, fields: Fields) -> String {
    // Values are cut first, so that the line stays JSON.
    let mut room = LONGEST.saturating_sub(256);
    let mut object = serde_json::Map::new();
    object.insert("time".to_owned(), rfc3339(now).into());
    object.insert("level".to_owned(), level.as_str().into());
    object.insert("target".to_owned(), target.into());
    for (name, value) in std::iter::once(("message", fields.message.into())).chain(fields.rest) {
        let value = match value {
            serde_json::Value::String(text) => serde_json::Value::String(cut_for_json(text, room)),
            other => other,
        };
        room = room.saturating_sub(name.len() + value.to_string().len() + 4);
        object.insert(name.to_owned(), value);
        if room == 0 {
            break;
        }
    }
    serde_json::Value::Object(object).to_string()
}

/// Control characters, and what a terminal or a reader of lines takes for one, in a visible form.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line separators, and marks that turn the direction of writing.
            '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
                out.extend(character.escape_unicode());
            }
            character if character.is_control() => out.extend(character.escape_unicode()),
            character => out.push(character),
        }
    }
    out
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let room = longest.saturating_sub('…'.len_utf8());
    let end = (0..=room)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.truncate(end);
    text.push('…');
    text
}

/// A quote or a control character takes up to six bytes in JSON.
fn cut_for_json(text: String, longest: usize) -> String {
    let mut taken = 0;
    for (at, character) in text.char_indices() {
        taken += match character {
            '"' | '\\' => 2,
            character if character.is_control() => 6,
            character => character.len_utf8(),
        };
        if taken > longest {
            return format!("{}…", &text[..at]);
        }
    }
    text
}

/// `2026-11-21T05:03:21.123Z`
fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let mut out = String::with_capacity(24);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
    .ok();
    out
}

/// The Gregorian date of a day after 1970-01-01: years are counted from March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str) -> Fields {
        Fields {
            message: message.to_owned(),
            rest: vec![("path", "/a\r\nfake".into()), ("status", 200.into())],
        }
    }

    #[test]
    fn one_event_is_one_line_whatever_stands_in_it() {
        let line = human(
            Duration::ZERO,
            &Level::INFO,
            &fields("a\nb\x1b[31m\u{202E}\u{9b}"),
            false,
        );
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z  INFO a\\nb\\u{1b}[31m\\u{202e}\\u{9b} path=/a\\r\\nfake status=200"
        );
    }

    #[test]
    fn json_lines_are_json_however_long_the_values_are() {
        for message in ["x".repeat(1_000_000), "\"\n".repeat(100_000)] {
            let line = json(Duration::ZERO, &Level::WARN, "t", fields(&message));
            assert!(line.len() <= LONGEST && !line.contains('\n'), "{}", line.len());
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["level"], "WARN");
        }
        let line = human(Duration::ZERO, &Level::WARN, &fields(&"ü".repeat(10_000)), false);
        assert!(line.len() <= LONGEST && line.ends_with('…'));
    }

    #[test]
    fn times_are_dates() {
        let check =
            |seconds: u64, expected: &str| assert_eq!(rfc3339(Duration::from_secs(seconds)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(1_795_237_401, "2026-11-21T05:03:21.000Z");
        check(4_102_444_799, "2099-12-31T23:59:59.000Z");
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        assert!(parse_filter("info,myelin=debug").is_ok());
        assert!(parse_filter("info,=").is_err());
    }
}
