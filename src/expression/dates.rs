//! Dates and times written and read by Java's patterns (`yyyy-MM-dd'T'HH:mm:ss.SSSXXX`).

use std::fmt::Write;

use chrono::{
    DateTime, Datelike, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike,
    Utc,
};

/// Milliseconds since 1970 in the time zone of the machine.
pub fn format(millis: i64, pattern: &str) -> Result<String, String> {
    let pieces = pieces(pattern)?;
    let moment = Utc
        .timestamp_millis_opt(millis)
        .single()
        .ok_or_else(|| format!("{millis} is no time that can be written"))?;
    let zone = Local.offset_from_utc_datetime(&moment.naive_utc()).fix();
    let local = moment.with_timezone(&zone);
    write(&pieces, &Fields::of(local))
}

/// Reads a date, a time or both by one pattern and writes what was read by another. What was not read cannot be written.
pub fn reformat(text: &str, from: &str, to: &str) -> Result<String, String> {
    let (from, to) = (pieces(from)?, pieces(to)?);
    let fields = read(text, &from)?;
    write(&to, &fields)
}

/// Whether a pattern can be used at all; for patterns that are known at load.
pub fn check(pattern: &str) -> Result<(), String> {
    pieces(pattern).map(|_| ())
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(char, usize),
}

struct Fields {
    date: Option<NaiveDate>,
    time: Option<NaiveTime>,
    zone: Option<FixedOffset>,
}

impl Fields {
    fn of(moment: DateTime<FixedOffset>) -> Fields {
        let local: NaiveDateTime = moment.naive_local();
        Fields {
            date: Some(local.date()),
            time: Some(local.time()),
            zone: Some(*moment.offset()),
        }
    }
}

const LETTERS: &str = "GyuYMLwWdDFEecaHhkKmsSnNAzZXxOVQq";

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' if characters.next_if_eq(&'\'').is_some() => literal.push('\''),
            '\'' => loop {
                match characters.next() {
                    Some('\'') if characters.next_if_eq(&'\'').is_some() => literal.push('\''),
                    Some('\'') => break,
                    Some(quoted) => literal.push(quoted),
                    None => return Err(format!("the pattern `{pattern}` has an open quote")),
                }
            },
            letter if letter.is_ascii_alphabetic() => {
                if !LETTERS.contains(letter) {
                    return Err(format!(
                        "`{letter}` stands for nothing in the date pattern `{pattern}`"
                    ));
                }
                let mut width = 1;
                while characters.next_if_eq(&letter).is_some() {
                    width += 1;
                }
                let most = if letter == 'S' { 9 } else { 19 };
                if width > most {
                    return Err(format!(
                        "there are too many `{letter}` in the date pattern `{pattern}`"
                    ));
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Field(letter, width));
            }
            // Optional parts are always written, and their brackets never.
            '[' | ']' => {}
            '{' | '}' | '#' => {
                return Err(format!("`{character}` is reserved in date patterns: `{pattern}`"));
            }
            plain => literal.push(plain),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

fn write(pieces: &[Piece], fields: &Fields) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Field(letter, width) => write_field(&mut out, *letter, *width, fields)?,
        }
    }
    Ok(out)
}

fn write_field(out: &mut String, letter: char, width: usize, fields: &Fields) -> Result<(), String> {
    let missing = |what: &str| format!("`{letter}` cannot be written: there is no {what}");
    let date = || fields.date.ok_or_else(|| missing("date"));
    let time = || fields.time.ok_or_else(|| missing("time"));
    let zone = || fields.zone.ok_or_else(|| missing("time zone"));
    match letter {
        'G' => {
            let era = if date()?.year() > 0 {
                ["AD", "Anno Domini"]
            } else {
                ["BC", "Before Christ"]
            };
            out.push_str(era[usize::from(width == 4)]);
        }
        'y' => {
            let year = date()?.year();
            year_text(out, if year > 0 { year } else { 1 - year }, width);
        }
        'u' => year_text(out, date()?.year(), width),
        'Y' => year_text(out, week(date()?).0, width),
        'w' => number(out, i64::from(week(date()?).1), width),
        'W' => number(out, i64::from(week_of_month(date()?)), width),
        'M' | 'L' => named(out, date()?.month0() as usize, width, &MONTHS),
        'd' => number(out, i64::from(date()?.day()), width),
        'D' => number(out, i64::from(date()?.ordinal()), width),
        'F' => number(out, i64::from((date()?.day() - 1) / 7 + 1), width),
        'Q' | 'q' => {
            let quarter = date()?.month0() / 3 + 1;
            match width {
                1 | 2 => number(out, i64::from(quarter), width),
                3 => out.push_str(&format!("Q{quarter}")),
                _ => out.push_str(
                    ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][quarter as usize - 1],
                ),
            }
        }
        'E' => named(
            out,
            date()?.weekday().num_days_from_monday() as usize,
            width.max(3),
            &DAYS,
        ),
        'e' | 'c' => match width {
            1 | 2 => number(
                out,
                i64::from(date()?.weekday().num_days_from_sunday() + 1),
                width,
            ),
            _ => named(
                out,
                date()?.weekday().num_days_from_monday() as usize,
                width,
                &DAYS,
            ),
        },
        'a' => out.push_str(if time()?.hour() < 12 { "AM" } else { "PM" }),
        'H' => number(out, i64::from(time()?.hour()), width),
        'k' => number(out, i64::from((time()?.hour() + 23) % 24 + 1), width),
        'K' => number(out, i64::from(time()?.hour() % 12), width),
        'h' => number(out, i64::from((time()?.hour() + 11) % 12 + 1), width),
        'm' => number(out, i64::from(time()?.minute()), width),
        's' => number(out, i64::from(time()?.second()), width),
        'S' => {
            let digits = format!("{:09}", time()?.nanosecond() % 1_000_000_000);
            out.push_str(&digits[..width.min(9)]);
        }
        'n' => number(out, i64::from(time()?.nanosecond() % 1_000_000_000), width),
        'A' => number(out, nanos(time()?) / 1_000_000, width),
        'N' => number(out, nanos(time()?), width),
        'X' | 'x' | 'Z' | 'O' | 'z' | 'V' => zone_text(out, letter, width, zone()?.local_minus_utc()),
        other => return Err(format!("`{other}` stands for nothing in a date pattern")),
    }
    Ok(())
}

fn nanos(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000)
}

fn year_text(out: &mut String, year: i32, width: usize) {
    match width {
        2 => number(out, i64::from(year.rem_euclid(100)), 2),
        _ => number(out, i64::from(year), width),
    }
}

fn number(out: &mut String, value: i64, width: usize) {
    // Writing into a String cannot fail.
    let _written = write!(out, "{value:0width$}");
}

fn named(out: &mut String, index: usize, width: usize, names: &[&str]) {
    match width {
        1 | 2 => number(out, index as i64 + 1, width),
        3 => out.push_str(&names[index][..3]),
        5 => out.push_str(&names[index][..1]),
        _ => out.push_str(names[index]),
    }
}

/// Week-based year and week as in the United States: weeks begin on Sunday, the first holds January 1.
fn week(date: NaiveDate) -> (i32, u32) {
    let start = |year: i32| {
        let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
        first.checked_sub_days(chrono::Days::new(u64::from(
            first.weekday().num_days_from_sunday(),
        )))
    };
    let year = match start(date.year() + 1) {
        Some(next) if date >= next => date.year() + 1,
        _ => date.year(),
    };
    let days = start(year).map_or(0, |start| (date - start).num_days());
    (year, u32::try_from(days / 7 + 1).unwrap_or(1))
}

fn week_of_month(date: NaiveDate) -> u32 {
    let first = date
        .with_day(1)
        .map_or(0, |first| first.weekday().num_days_from_sunday());
    (date.day() - 1 + first) / 7 + 1
}

fn zone_text(out: &mut String, letter: char, width: usize, seconds: i32) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    let text = match (letter, width) {
        ('X', _) if seconds == 0 => "Z".to_owned(),
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 1 | 2 | 4) | ('Z', 1..=3) => format!("{sign}{hours:02}{minutes:02}"),
        ('Z', 5) if seconds == 0 => "Z".to_owned(),
        ('X' | 'x', _) | ('Z', 5) => format!("{sign}{hours:02}:{minutes:02}"),
        ('z' | 'V', _) if seconds == 0 => "UTC".to_owned(),
        ('z' | 'V' | 'O' | 'Z', _) if seconds == 0 => "GMT".to_owned(),
        _ => format!("GMT{sign}{hours:02}:{minutes:02}"),
    };
    out.push_str(&text);
}

/// What a text says, before it is known whether that is a date.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    /// Monday is 0. It must be that of the date.
    weekday: Option<u32>,
    hour: Option<u32>,
    /// Hour of the half day, 0 to 11, and whether it is the second half.
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    nano: Option<u32>,
    zone: Option<FixedOffset>,
}

fn read(text: &str, pieces: &[Piece]) -> Result<Fields, String> {
    let mut rest = text;
    let mut read = Read::default();
    for (at, piece) in pieces.iter().enumerate() {
        let result = match piece {
            Piece::Literal(literal) => rest.strip_prefix(literal.as_str()),
            Piece::Field(letter, width) => {
                // Where digits follow on digits, only the width tells where one number ends.
                let close =
                    matches!(pieces.get(at + 1), Some(Piece::Field(next, width)) if is_number(*next, *width));
                read.field(*letter, *width, close, rest)
            }
        };
        rest = result.ok_or_else(|| {
            let offset = text.len() - rest.len();
            format!(
                "`{text}` is not written as the pattern says, from character {} on",
                offset + 1
            )
        })?;
    }
    if !rest.is_empty() {
        return Err(format!("`{text}` goes on where the pattern ends"));
    }
    read.resolve()
        .ok_or_else(|| format!("`{text}` is no date and no time"))
}

fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'M' | 'L' | 'Q' | 'q' | 'e' | 'c' => width < 3,
        'G' | 'E' | 'a' | 'z' | 'Z' | 'X' | 'x' | 'O' | 'V' => false,
        _ => true,
    }
}

impl Read {
    /// Reads one field from the start of a text; gives the rest.
    fn field<'t>(&mut self, letter: char, width: usize, close: bool, text: &'t str) -> Option<&'t str> {
        match letter {
            'y' | 'u' | 'Y' => {
                let most = if close || width == 2 { width } else { width.max(9) };
                let (year, rest) = digits(text, if width == 2 { 2 } else { width.min(4) }, most)?;
                self.year = Some(if width == 2 {
                    2000 + year as i32
                } else {
                    i32::try_from(year).ok()?
                });
                Some(rest)
            }
            'M' | 'L' if width >= 3 => {
                let (index, rest) = name(text, &MONTHS, width)?;
                self.month = Some(index as u32 + 1);
                Some(rest)
            }
            'E' | 'e' | 'c' if width >= 3 || letter == 'E' => {
                let (index, rest) = name(text, &DAYS, width.max(3))?;
                self.weekday = Some(index as u32);
                Some(rest)
            }
            'a' => {
                let afternoon = match text.get(..2)? {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                };
                self.afternoon = Some(afternoon);
                Some(&text[2..])
            }
            'S' => {
                let (value, rest) = digits(text, width, width)?;
                self.nano = Some(
                    u32::try_from(value)
                        .ok()?
                        .checked_mul(10_u32.checked_pow(9 - width as u32)?)?,
                );
                Some(rest)
            }
            'X' | 'x' | 'Z' => self.offset(text),
            'G' => ["AD", "BC"].iter().find_map(|era| text.strip_prefix(era)),
            'z' | 'V' | 'O' => ["UTC", "GMT", "Z"].iter().find_map(|zone| {
                let rest = text.strip_prefix(zone)?;
                self.zone = FixedOffset::east_opt(0);
                Some(rest)
            }),
            _ => {
                let (least, most) = match width {
                    1 if close => (1, 1),
                    1 => (1, 9),
                    width => (width, width),
                };
                let (value, rest) = digits(text, least, most.min(9))?;
                let value = u32::try_from(value).ok()?;
                match letter {
                    'M' | 'L' => self.month = Some(value),
                    'd' => self.day = Some(value),
                    'D' => self.day_of_year = Some(value),
                    'H' => self.hour = Some(value),
                    'k' => self.hour = Some(value % 24),
                    'h' if (1..=12).contains(&value) => self.half_hour = Some(value % 12),
                    'K' if value < 12 => self.half_hour = Some(value),
                    'm' => self.minute = Some(value),
                    's' => self.second = Some(value),
                    'n' => self.nano = Some(value),
                    _ => return None,
                }
                Some(rest)
            }
        }
    }

    fn offset<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix('Z') {
            self.zone = FixedOffset::east_opt(0);
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, rest) = digits(&text[1..], 2, 2)?;
        let with_colon = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = digits(with_colon, 2, 2).unwrap_or((0, rest));
        self.zone = FixedOffset::east_opt(
            sign * (i32::try_from(hours).ok()? * 3600 + i32::try_from(minutes).ok()? * 60),
        );
        Some(rest)
    }

    fn resolve(self) -> Option<Fields> {
        let date = match (self.year, self.month, self.day, self.day_of_year) {
            (Some(year), Some(month), Some(day @ 1..=31), _) => {
                // Java's smart style: the 31st of a shorter month is its last day.
                let last = (28..=31)
                    .rev()
                    .find(|last| NaiveDate::from_ymd_opt(year, month, *last).is_some())?;
                Some(NaiveDate::from_ymd_opt(year, month, day.min(last))?)
            }
            (Some(year), _, _, Some(day)) => Some(NaiveDate::from_yo_opt(year, day)?),
            (_, _, Some(_), _) => return None,
            _ => None,
        };
        if let (Some(date), Some(weekday)) = (date, self.weekday)
            && date.weekday().num_days_from_monday() != weekday
        {
            return None;
        }
        let hour = match (self.hour, self.half_hour, self.afternoon) {
            (Some(hour), _, _) => Some(hour),
            (None, Some(hour), Some(afternoon)) => Some(hour + if afternoon { 12 } else { 0 }),
            _ => None,
        };
        let time = match hour {
            Some(hour) => Some(NaiveTime::from_hms_nano_opt(
                hour,
                self.minute.unwrap_or(0),
                self.second.unwrap_or(0),
                self.nano.unwrap_or(0),
            )?),
            None => None,
        };
        (date.is_some() || time.is_some()).then_some(Fields {
            date,
            time,
            zone: self.zone,
        })
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(u64, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    Some((text[..length].parse().ok()?, &text[length..]))
}

fn name<'t>(text: &'t str, names: &[&str], width: usize) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if width == 3 { &name[..3] } else { name };
        let start = text.get(..name.len())?;
        (start == name).then(|| (index, &text[name.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Fields {
        let zone = FixedOffset::east_opt(5 * 3600 + 30 * 60).unwrap();
        Fields::of(zone.with_ymd_and_hms(2024, 3, 9, 15, 4, 5).unwrap() + chrono::Duration::milliseconds(78))
    }

    fn check(pattern: &str, expected: &str) {
        assert_eq!(
            write(&pieces(pattern).unwrap(), &moment()).as_deref(),
            Ok(expected),
            "{pattern}"
        );
    }

    #[test]
    fn java_s_letters_are_understood() {
        check("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-03-09T15:04:05.078+05:30");
        check("yy/M/d h:m a", "24/3/9 3:4 PM");
        check("EEE, dd MMM yyyy HH:mm:ss Z", "Sat, 09 Mar 2024 15:04:05 +0530");
        check("EEEE, MMMM d, yyyy", "Saturday, March 9, 2024");
        check("DDD w Q QQQ k K", "069 10 1 Q1 15 3");
        check("yyyyMMddHHmmssSSS", "20240309150405078");
        check("SSSSSS n A", "078000 78000000 54245078");
        check("'it''s' yyyy", "it's 2024");
        check("h 'o''clock' a", "3 o'clock PM");
        check("X xx OOOO", "+0530 +0530 GMT+05:30");
        check("e EEEEE", "7 S");
    }

    #[test]
    fn a_mistaken_pattern_is_told() {
        for pattern in [
            "yyyy-bb",
            "'open",
            "yyyy#",
            "SSSSSSSSSS",
            "yyyyyyyyyyyyyyyyyyyyyyyy",
        ] {
            assert!(super::check(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_end_of_the_year_belongs_to_the_week_of_the_next() {
        assert_eq!(week(NaiveDate::from_ymd_opt(2024, 12, 29).unwrap()), (2025, 1));
        assert_eq!(week(NaiveDate::from_ymd_opt(2024, 1, 1).unwrap()), (2024, 1));
        assert_eq!(week(NaiveDate::from_ymd_opt(2022, 1, 1).unwrap()), (2022, 1));
        assert_eq!(week(NaiveDate::from_ymd_opt(2024, 12, 28).unwrap()), (2024, 52));
    }

    fn rewrite(text: &str, from: &str, to: &str) -> String {
        reformat(text, from, to).unwrap_or_else(|_| "refused".to_owned())
    }

    #[test]
    fn what_one_pattern_reads_another_writes() {
        assert_eq!(
            rewrite("2023-05-15 12:30:45", "yyyy-MM-dd HH:mm:ss", "dd/MM/yy h:mm a"),
            "15/05/23 12:30 PM"
        );
        assert_eq!(rewrite("15-May-2023", "dd-MMM-yyyy", "yyyyMMdd"), "20230515");
        assert_eq!(rewrite("20230515123045", "yyyyMMddHHmmss", "HH:mm"), "12:30");
        assert_eq!(rewrite("11:05 PM", "hh:mm a", "HH:mm:ss"), "23:05:00");
        assert_eq!(rewrite("2023-02-31", "yyyy-MM-dd", "yyyy-MM-dd"), "2023-02-28");
        assert_eq!(
            rewrite(
                "2023-05-15T12:30:45.123Z",
                "yyyy-MM-dd'T'HH:mm:ss.SSSX",
                "HH.mm.ss,SSS"
            ),
            "12.30.45,123"
        );
        assert_eq!(rewrite("5/6/2023", "M/d/yyyy", "yyyy-MM-dd"), "2023-05-06");
        assert_eq!(rewrite("23-05-15", "yy-MM-dd", "yyyy"), "2023");
    }

    #[test]
    fn what_was_not_read_cannot_be_written() {
        assert_eq!(rewrite("2023-05-15", "yyyy-MM-dd", "yyyy HH"), "refused");
        assert_eq!(rewrite("12:30", "HH:mm", "dd"), "refused");
        assert_eq!(rewrite("2023-5-15", "yyyy-MM-dd", "yyyy"), "refused");
        assert_eq!(rewrite("2023-13-15", "yyyy-MM-dd", "yyyy"), "refused");
        assert_eq!(rewrite("2023-05-15x", "yyyy-MM-dd", "yyyy"), "refused");
        assert_eq!(rewrite("25:00", "HH:mm", "HH"), "refused");
        assert_eq!(rewrite("Mon, 05 Jan 2024", "EEE, dd MMM yyyy", "dd"), "refused");
        assert_eq!(rewrite("10:30 pm", "hh:mm a", "HH"), "refused");
        assert_eq!(rewrite("é", "yyyy", "yyyy"), "refused");
    }

    #[test]
    fn any_moment_is_written_or_refused_without_harm() {
        for millis in [0, -1, i64::MAX, i64::MIN, 4_102_444_800_000] {
            let _either = format(millis, "yyyy-MM-dd HH:mm:ss.SSS z");
        }
    }
}
