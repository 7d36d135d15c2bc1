//! Texts and numbers that a schema allows.

use super::super::read::Node;
use super::Shape;
use crate::message::json::Json;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The samples that API Manager's generator gives, by format; what it has no sample for is chosen alike.
const FORMATS: &[(&str, &str)] = &[
    ("date", "2015-07-20"),
    ("date-time", "2015-07-20T15:49:04-07:00"),
    ("time", "15:49:04-07:00"),
    ("duration", "P1D"),
    ("email", "apiteam@swagger.io"),
    ("idn-email", "apiteam@swagger.io"),
    ("uuid", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
    ("uri", "https://example.com/"),
    ("url", "https://example.com/"),
    ("iri", "https://example.com/"),
    ("uri-reference", "/example"),
    ("iri-reference", "/example"),
    ("uri-template", "/example/{id}"),
    ("hostname", "example.com"),
    ("idn-hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("byte", "c3RyaW5n"),
    ("json-pointer", "/example"),
    ("relative-json-pointer", "0"),
    ("regex", "^.*$"),
    ("char", "s"),
];

const WORDS: &[&str] = &[
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "kestrel",
    "lagoon", "maple", "nectar", "otter", "pebble", "quartz", "raven", "sorrel", "thistle", "umber",
    "violet", "willow", "zephyr",
];

/// No sample is longer, whatever `minLength` says.
const LONGEST: usize = 10_000;

pub(super) fn string(shape: &Shape<'_>, mut random: Option<&mut fastrand::Rng>, differing: usize) -> String {
    let least = shape.count("minLength").unwrap_or(0).min(LONGEST);
    let most = shape.count("maxLength").unwrap_or(usize::MAX);
    let format = shape.get("format").and_then(Node::text).unwrap_or("");
    let known = FORMATS.iter().find(|(name, _)| *name == format);
    if let Some(pattern) = shape.get("pattern").and_then(Node::text) {
        let fixed = known.map_or("string", |(_, sample)| sample);
        let fits = |text: &str| {
            let length = text.chars().count();
            (least..=most).contains(&length)
                && regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
        };
        if random.is_none() && differing == 0 && fits(fixed) {
            return fixed.to_owned();
        }
        let mut own = fastrand::Rng::with_seed(differing as u64);
        let random = match random.as_deref_mut() {
            None if differing > 0 => Some(&mut own),
            random => random,
        };
        if let Some(text) = matching(pattern, least, most, random) {
            return text;
        }
    }
    let text = match (known, &mut random) {
        (Some((name, fixed)), Some(random)) => varied(name, fixed, random),
        (Some(("uuid", fixed)), None) if differing > 0 => format!("{}{differing:012x}", &fixed[..24]),
        (Some(("email", _)), None) if differing > 0 => format!("apiteam{differing}@swagger.io"),
        (Some(("date", _)), None) if differing > 0 => format!("2015-07-{:02}", (19 + differing) % 28 + 1),
        (Some((_, fixed)), None) => (*fixed).to_owned(),
        (None, Some(random)) => WORDS[random.usize(..WORDS.len())].to_owned(),
        (None, None) if differing > 0 => format!("string{differing}"),
        (None, None) => "string".to_owned(),
    };
    fitted(text, least, most, known.is_some(), differing > 0)
}

/// A text cut or repeated to a length; one with a format is only kept when it fits.
fn fitted(text: String, least: usize, most: usize, has_format: bool, differs: bool) -> String {
    let length = text.chars().count();
    if length >= least && (length <= most || has_format) {
        return text;
    }
    if length > most {
        // What differs stands at the end.
        let skipped = if differs { length - most } else { 0 };
        return text.chars().skip(skipped).take(most).collect();
    }
    text.chars().cycle().take(least.min(most)).collect()
}

fn varied(format: &str, fixed: &str, random: &mut fastrand::Rng) -> String {
    let date = |random: &mut fastrand::Rng| {
        let (year, month, day) = (random.u32(2000..2030), random.u32(1..=12), random.u32(1..=28));
        format!("{year}-{month:02}-{day:02}")
    };
    let time = |random: &mut fastrand::Rng| {
        let (hour, minute, second) = (random.u32(..24), random.u32(..60), random.u32(..60));
        format!("{hour:02}:{minute:02}:{second:02}Z")
    };
    let word = |random: &mut fastrand::Rng| WORDS[random.usize(..WORDS.len())];
    match format {
        "date" => date(random),
        "date-time" => format!("{}T{}", date(random), time(random)),
        "time" => time(random),
        "duration" => format!("P{}D", random.u32(1..30)),
        "email" | "idn-email" => format!("{}{}@example.com", word(random), random.u32(1..100)),
        "uuid" => {
            let bits = random.u128(..) & !(0xf000_c000 << 48) | (0x4000_8000 << 48);
            let hex = format!("{bits:032x}");
            format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            )
        }
        "uri" | "url" | "iri" => format!("https://example.com/{}", word(random)),
        "uri-reference" | "iri-reference" | "json-pointer" => format!("/{}", word(random)),
        "hostname" | "idn-hostname" => format!("{}.example.com", word(random)),
        "ipv4" => format!("192.0.2.{}", random.u8(1..=254)),
        "ipv6" => format!("2001:db8::{:x}", random.u16(1..)),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(word(random))
        }
        _ => fixed.to_owned(),
    }
}

/// A text that a pattern matches, if the pattern is a regular one and the lengths can be kept.
pub(super) fn matching(
    pattern: &str,
    least: usize,
    most: usize,
    mut random: Option<&mut fastrand::Rng>,
) -> Option<String> {
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    let regex = regex::Regex::new(pattern).ok()?;
    // Open ends are drawn out until the text is long enough.
    for more in (0..=16).chain([least.min(LONGEST)]) {
        let mut text = String::new();
        grow(&hir, more as u32, &mut text, random.as_deref_mut());
        let length = text.chars().count();
        if length < least {
            if let Some(text) = stretched(&text, least, &regex) {
                return Some(text);
            }
            continue;
        }
        if regex.is_match(&text) && length <= most {
            return Some(text);
        }
    }
    None
}

/// A pattern that is open at its end (or its beginning) matches with more behind (or before) it.
fn stretched(text: &str, least: usize, regex: &regex::Regex) -> Option<String> {
    let missing = least.checked_sub(text.chars().count())?;
    let last = text.chars().last().unwrap_or('a');
    [last, 'a', '0', 'A']
        .into_iter()
        .flat_map(|filler| {
            let filler: String = std::iter::repeat_n(filler, missing).collect();
            [format!("{text}{filler}"), format!("{filler}{text}")]
        })
        .find(|text| regex.is_match(text))
}

fn grow(hir: &Hir, more: u32, text: &mut String, mut random: Option<&mut fastrand::Rng>) {
    if text.len() > LONGEST * 4 {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.push(member(class, random)),
        HirKind::Repetition(repetition) => {
            let least = repetition.min;
            let spread = match random.as_deref_mut() {
                Some(random) => random.u32(0..=3),
                None => 0,
            };
            // One of `*` and `?`: a sample shows what may be there.
            let wanted = least.max(1).saturating_add(more.max(spread));
            let wanted = wanted.min(repetition.max.unwrap_or(u32::MAX)).min(LONGEST as u32);
            for _ in 0..wanted {
                grow(&repetition.sub, 0, text, random.as_deref_mut());
                if text.len() > LONGEST * 4 {
                    return;
                }
            }
        }
        HirKind::Capture(capture) => grow(&capture.sub, more, text, random),
        HirKind::Concat(parts) => {
            for part in parts {
                grow(part, more, text, random.as_deref_mut());
            }
        }
        HirKind::Alternation(parts) => {
            let at = random
                .as_deref_mut()
                .map_or(0, |random| random.usize(..parts.len()));
            grow(&parts[at], more, text, random);
        }
    }
}

/// A character of a class: one that people can read.
fn member(class: &Class, random: Option<&mut fastrand::Rng>) -> char {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
    };
    let holds = |character: &char| {
        ranges
            .iter()
            .any(|(first, last)| (first..=last).contains(&character))
    };
    let liked: Vec<char> = ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .filter(|character| holds(character))
        .collect();
    match (random, liked.first()) {
        (Some(random), Some(_)) => liked[random.usize(..liked.len())],
        (None, Some(first)) => *first,
        (_, None) => (' '..='~')
            .find(holds)
            .or(ranges.first().map(|(first, _)| *first))
            .unwrap_or('?'),
    }
}

/// The range that a schema allows, ends included, in steps of `step`.
struct Bounds {
    least: Option<f64>,
    most: Option<f64>,
    multiple: Option<f64>,
}

/// `step` is what an end that does not belong is away from the next number: 1 for integers.
fn bounds(shape: &Shape<'_>, step: f64) -> Bounds {
    let numbers = |name| {
        let texts = shape.all(name).filter_map(Node::text);
        texts.filter_map(|text| text.parse::<f64>().ok())
    };
    // In OpenAPI 3.0 the word is a Boolean beside the bound, later it is a bound itself.
    let mut least = numbers("minimum").reduce(f64::max);
    if shape.is_true("exclusiveMinimum") {
        least = least.map(|least| least + step);
    }
    let mut most = numbers("maximum").reduce(f64::min);
    if shape.is_true("exclusiveMaximum") {
        most = most.map(|most| most - step);
    }
    if let Some(other) = numbers("exclusiveMinimum").reduce(f64::max) {
        least = Some(least.map_or(other + step, |least| least.max(other + step)));
    }
    if let Some(other) = numbers("exclusiveMaximum").reduce(f64::min) {
        most = Some(most.map_or(other - step, |most| most.min(other - step)));
    }
    let multiple = numbers("multipleOf").find(|multiple| *multiple > 0.0);
    Bounds {
        least,
        most,
        multiple,
    }
}

impl Bounds {
    /// The nearest number to `wanted` that is allowed, as far as there is one.
    fn nearest(&self, wanted: f64) -> f64 {
        let mut number = wanted;
        if let Some(most) = self.most {
            number = number.min(most);
        }
        if let Some(least) = self.least {
            number = number.max(least);
        }
        if let Some(multiple) = self.multiple {
            let mut times = (number / multiple - 1e-9).ceil();
            if self
                .most
                .is_some_and(|most| times * multiple > most + multiple * 1e-9)
            {
                times -= 1.0;
            }
            number = times * multiple;
        }
        number
    }
}

pub(super) fn integer(shape: &Shape<'_>, random: Option<&mut fastrand::Rng>, differing: usize) -> Json {
    let bounds = bounds(shape, 1.0);
    let step = bounds.multiple.unwrap_or(1.0);
    let wanted = match random {
        Some(random) => {
            let least = bounds.least.unwrap_or(0.0).clamp(-9e15, 9e15) as i64;
            let most = bounds.most.unwrap_or(least as f64 + 1_000.0).clamp(-9e15, 9e15) as i64;
            random.i64(least..=most.max(least)) as f64
        }
        None => bounds.nearest(0.0) + differing as f64 * step,
    };
    let number = bounds.nearest(wanted).round();
    // A bound that a 64-bit float cannot hold is told as it is written.
    if number.abs() >= 9_007_199_254_740_992.0 {
        let written = ["minimum", "maximum"]
            .into_iter()
            .filter_map(|name| shape.get(name)?.text());
        let exact = written
            .filter_map(|text| text.parse::<i64>().ok())
            .find(|exact| *exact as f64 == number);
        return Json::from(exact.unwrap_or(number as i64));
    }
    Json::from(number as i64)
}

pub(super) fn number(shape: &Shape<'_>, random: Option<&mut fastrand::Rng>, differing: usize) -> Json {
    let format = shape.get("format").and_then(Node::text).unwrap_or("");
    if matches!(format, "int32" | "int64" | "integer") {
        return integer(shape, random, differing);
    }
    let written = |name| shape.get(name).and_then(Node::text).unwrap_or("");
    let digits = ["multipleOf", "minimum", "maximum"]
        .into_iter()
        .map(|name| {
            written(name)
                .split_once('.')
                .map_or(0, |(_, behind)| behind.len())
        })
        .max()
        .unwrap_or(0)
        .min(15);
    // Half a step of the finest number that is written stays on the right side of an end that does not belong.
    let step = 0.5 * 10f64.powi(-(digits as i32));
    let bounds = bounds(shape, step);
    let fixed = match format {
        "float" | "double" => 1.1,
        _ => 1.5,
    };
    let number = match random {
        Some(random) => {
            let least = bounds.least.unwrap_or(0.0);
            let most = bounds.most.unwrap_or(least + 1_000.0).max(least);
            bounds.nearest(((least + random.f64() * (most - least)) * 100.0).round() / 100.0)
        }
        None => bounds.nearest(bounds.nearest(fixed) + differing as f64 * bounds.multiple.unwrap_or(1.0)),
    };
    let number: f64 = format!("{number:.*}", digits.max(2)).parse().unwrap_or(number);
    match serde_json::Number::from_f64(number) {
        // 5, not 5.0: as its author would write it.
        Some(_) if number.fract() == 0.0 && number.abs() < 1e15 => Json::from(number as i64),
        Some(number) => Json::Number(number),
        None => Json::from(0),
    }
}
