//! The functions of Synapse expressions.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fancy_regex::Regex;

use super::evaluate::{self, Answer};
use super::parse::Node;
use super::surroundings::Surroundings;
use super::value::{Decimal, Value, java_double, java_int, shown};
use crate::expression::{dates, functions as shared};
use crate::message::json::{Json, java_double_text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    ToUpper,
    ToLower,
    Trim,
    SubString,
    StartsWith,
    EndsWith,
    Contains,
    Replace,
    Split,
    IndexOf,
    CharAt,
    Abs,
    Ceil,
    Floor,
    Round,
    Sqrt,
    Log,
    Pow,
    Now,
    FormatDateTime,
    Base64Encode,
    Base64Decode,
    UrlEncode,
    UrlDecode,
    IsString,
    IsNumber,
    IsArray,
    IsObject,
    String,
    Integer,
    Float,
    Boolean,
    Object,
    Array,
    Exists,
    Not,
    XPath,
    Registry,
    Vault,
    HashicorpVault,
}

/// Name, function, and how many arguments it takes at least and at most.
const TABLE: &[(&str, Function, usize, usize)] = &[
    ("length", Function::Length, 1, 1),
    ("toUpper", Function::ToUpper, 1, 1),
    ("toLower", Function::ToLower, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("subString", Function::SubString, 2, 3),
    ("startsWith", Function::StartsWith, 2, 2),
    ("endsWith", Function::EndsWith, 2, 2),
    ("contains", Function::Contains, 2, 2),
    ("replace", Function::Replace, 3, 3),
    ("split", Function::Split, 2, 2),
    ("indexOf", Function::IndexOf, 2, 3),
    ("charAt", Function::CharAt, 2, 2),
    ("abs", Function::Abs, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("round", Function::Round, 1, 2),
    ("sqrt", Function::Sqrt, 1, 1),
    ("log", Function::Log, 1, 2),
    ("pow", Function::Pow, 2, 2),
    ("now", Function::Now, 0, 0),
    ("formatDateTime", Function::FormatDateTime, 2, 3),
    ("base64encode", Function::Base64Encode, 1, 2),
    ("base64decode", Function::Base64Decode, 1, 1),
    ("urlEncode", Function::UrlEncode, 1, 2),
    ("urlDecode", Function::UrlDecode, 1, 1),
    ("isString", Function::IsString, 1, 1),
    ("isNumber", Function::IsNumber, 1, 1),
    ("isArray", Function::IsArray, 1, 1),
    ("isObject", Function::IsObject, 1, 1),
    ("string", Function::String, 1, 1),
    ("integer", Function::Integer, 1, 1),
    ("float", Function::Float, 1, 1),
    ("boolean", Function::Boolean, 1, 1),
    ("object", Function::Object, 1, 1),
    ("array", Function::Array, 1, 1),
    ("exists", Function::Exists, 1, 1),
    ("not", Function::Not, 1, 1),
    ("xpath", Function::XPath, 1, 2),
    ("registry", Function::Registry, 1, 1),
    ("wso2-vault", Function::Vault, 1, 1),
    ("hashicorp-vault", Function::HashicorpVault, 2, 3),
];

/// Java reads base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Function {
    pub(super) fn named(name: &str) -> Option<Function> {
        TABLE
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, function, ..)| *function)
    }

    fn row(self) -> (&'static str, usize, usize) {
        TABLE
            .iter()
            .find(|(_, function, ..)| *function == self)
            .map(|(name, _, least, most)| (*name, *least, *most))
            .expect("every function is in the table")
    }
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, ..)| *name)
}

/// What is wrong with a call that can be seen at load: message and help.
pub(super) fn check(function: Function, arguments: &[Node]) -> Result<(), (String, Option<String>)> {
    let (name, least, most) = function.row();
    if !(least..=most).contains(&arguments.len()) {
        let wanted = match (least, most) {
            (0, 0) => "no argument".to_owned(),
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        return Err((format!("`{name}` takes {wanted}, not {}", arguments.len()), None));
    }
    match (function, arguments) {
        (Function::HashicorpVault, _) => Err((
            "HashiCorp Vault cannot be asked from here".to_owned(),
            Some(
                "put the secret into the environment as MYELIN_SECRET_<ALIAS> and use `wso2-vault('alias')`"
                    .to_owned(),
            ),
        )),
        (Function::Split, [_, Node::Text(pattern)]) => match Regex::new(pattern) {
            Ok(_) => Ok(()),
            Err(error) => Err((format!("`{pattern}` is no regular expression: {error}"), None)),
        },
        (Function::FormatDateTime, [_, patterns @ ..]) => {
            patterns.iter().try_for_each(|pattern| match pattern {
                Node::Text(pattern) => dates::check(pattern).map_err(|message| (message, None)),
                _ => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

pub(super) fn call(function: Function, arguments: &[Node], surroundings: &mut dyn Surroundings) -> Answer {
    if function == Function::Exists {
        // The one function that does not mind a failure.
        let found = arguments
            .first()
            .map(|argument| evaluate::evaluate(argument, surroundings));
        return Ok(Some(Value::Boolean(matches!(found, Some(Ok(Some(_)))))));
    }
    let (name, ..) = function.row();
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match evaluate::evaluate(argument, surroundings)? {
            Some(value) => values.push(value),
            None => return Err(format!("an argument of {name} is null")),
        }
    }
    let value = match function {
        Function::Now => Value::Long(surroundings.now()),
        Function::Vault => {
            let alias = string(&values, 0).ok_or_else(|| refused(name, &values))?;
            match surroundings.secret(alias) {
                Some(secret) => Value::Text(secret),
                None => return Err(format!("there is no secret `{alias}`")),
            }
        }
        _ => apply(function, &values)?.ok_or_else(|| refused(name, &values))?,
    };
    Ok(Some(value))
}

fn refused(name: &str, values: &[Value]) -> String {
    let values: Vec<String> = values.iter().map(shown).collect();
    format!("{name} has no answer for {}", values.join(", "))
}

fn string(values: &[Value], at: usize) -> Option<&str> {
    values.get(at)?.as_string()
}

fn int(values: &[Value], at: usize) -> Option<i32> {
    values.get(at)?.as_int()
}

/// The result; nothing when the arguments are not of the kinds that the function takes.
fn apply(function: Function, values: &[Value]) -> Result<Option<Value>, String> {
    let Some(first) = values.first() else {
        return Ok(None);
    };
    let text = first.as_string();
    Ok(match function {
        Function::Length => match text {
            Some(text) => Some(length(text.encode_utf16().count())),
            None => first
                .as_array()
                .and_then(|array| array.as_array().map(|items| length(items.len()))),
        },
        Function::ToUpper | Function::ToLower => {
            let text = match (text, first) {
                (Some(text), _) => Some(text.to_owned()),
                (None, Value::Number(_) | Value::Json(Json::Bool(_))) => Some(first.text()),
                _ => None,
            };
            let upper = function == Function::ToUpper;
            text.map(|text| {
                Value::Text(if upper {
                    text.to_uppercase()
                } else {
                    text.to_lowercase()
                })
            })
        }
        Function::Trim => {
            text.map(|text| Value::Text(text.trim_matches(|character: char| character <= ' ').to_owned()))
        }
        Function::SubString => sub_string(values),
        Function::StartsWith => pair(values, |text, other| Value::Boolean(text.starts_with(other))),
        Function::EndsWith => pair(values, |text, other| Value::Boolean(text.ends_with(other))),
        Function::Contains => pair(values, |text, other| Value::Boolean(text.contains(other))),
        Function::Replace => text
            .zip(string(values, 1))
            .zip(string(values, 2))
            .map(|((text, from), to)| Value::Text(text.replace(from, to))),
        Function::Split => match text.zip(string(values, 1)) {
            Some((text, pattern)) => Some(split(text, pattern)?),
            None => None,
        },
        Function::IndexOf => index_of(values),
        Function::CharAt => text.zip(int(values, 1)).and_then(|(text, index)| {
            let unit = text.encode_utf16().nth(usize::try_from(index).ok()?)?;
            Some(Value::Text(String::from_utf16_lossy(&[unit])))
        }),
        Function::Abs => match first {
            Value::Long(number) => Some(Value::Long(number.wrapping_abs())),
            first => numeric(first, |int| Value::Integer(int.wrapping_abs()), f64::abs),
        },
        Function::Ceil => keep_long(first).or_else(|| numeric(first, Value::Integer, f64::ceil)),
        Function::Floor => keep_long(first).or_else(|| numeric(first, Value::Integer, f64::floor)),
        Function::Round => round(values),
        Function::Sqrt => first.as_double().map(|number| Value::Double(number.sqrt())),
        Function::Log if values.len() == 1 => first.as_double().map(|number| Value::Double(number.log10())),
        Function::Log => first
            .as_double()
            .zip(values.get(1).and_then(Value::as_double))
            .map(|(number, base)| Value::Double(number.ln() / base.ln())),
        Function::Pow => first
            .as_double()
            .zip(values.get(1).and_then(Value::as_double))
            .map(|(number, exponent)| Value::Double(number.powf(exponent))),
        Function::FormatDateTime => format_date_time(values)?,
        Function::Base64Encode => match text.zip(charset(values)) {
            Some((text, charset)) => Some(Value::Text(BASE64.encode(shared::encode_text(text, charset)?))),
            None => None,
        },
        Function::Base64Decode => match text {
            Some(text) => {
                let bytes = BASE64
                    .decode(text)
                    .map_err(|_| "base64decode: this is not base64".to_owned())?;
                Some(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            None => None,
        },
        Function::UrlEncode => match text.zip(charset(values)) {
            Some((text, charset)) => {
                let encoded = shared::form_encode(&shared::encode_text(text, charset)?);
                Some(Value::Text(match charset.map(String::as_str) {
                    None | Some("UTF-8") => encoded.replace('+', "%20").replace('*', "%2A"),
                    Some(_) => encoded,
                }))
            }
            None => None,
        },
        Function::UrlDecode => text.map(|text| Value::Text(shared::url_decode(text))),
        Function::IsString => Some(Value::Boolean(text.is_some())),
        Function::IsNumber => Some(Value::Boolean(first.is_number())),
        Function::IsArray => Some(Value::Boolean(first.as_array().is_some())),
        Function::IsObject => Some(Value::Boolean(first.as_object().is_some())),
        Function::String => Some(Value::Text(first.text())),
        Function::Integer => first
            .as_int()
            .or_else(|| java_int(&first.text()))
            .map(Value::Integer),
        Function::Float => match first {
            first if first.is_double() => first.as_double(),
            first => java_double(&first.text()),
        }
        .map(Value::Double),
        Function::Boolean => {
            let value = first
                .as_boolean()
                .unwrap_or_else(|| first.text().eq_ignore_ascii_case("true"));
            Some(Value::Boolean(value))
        }
        Function::Object => first.as_object().map(Value::Json),
        Function::Array => first.as_array().map(Value::Json),
        Function::Not => first.as_boolean().map(|value| Value::Boolean(!value)),
        Function::Now
        | Function::Exists
        | Function::XPath
        | Function::Registry
        | Function::Vault
        | Function::HashicorpVault => None,
    })
}

/// The character set that a second argument names: none is UTF-8, and something that is no text is no answer.
fn charset(values: &[Value]) -> Option<Option<&String>> {
    match values.get(1) {
        None => Some(None),
        Some(Value::Text(name) | Value::Json(Json::String(name))) => Some(Some(name)),
        Some(_) => None,
    }
}

fn length(length: usize) -> Value {
    Value::Integer(i32::try_from(length).unwrap_or(i32::MAX))
}

fn pair(values: &[Value], answer: impl Fn(&str, &str) -> Value) -> Option<Value> {
    string(values, 0)
        .zip(string(values, 1))
        .map(|(text, other)| answer(text, other))
}

fn numeric(value: &Value, of_int: impl Fn(i32) -> Value, of_double: impl Fn(f64) -> f64) -> Option<Value> {
    match value.as_int() {
        Some(int) => Some(of_int(int)),
        None => value.as_double().map(|double| Value::Double(of_double(double))),
    }
}

fn keep_long(value: &Value) -> Option<Value> {
    match value.as_long() {
        Some(long) if value.as_int().is_none() => Some(Value::Long(long)),
        _ => None,
    }
}

fn round(values: &[Value]) -> Option<Value> {
    let first = values.first()?;
    if values.len() == 1 {
        if let Some(long) = first.as_long() {
            return Some(i32::try_from(long).map_or(Value::Long(long), Value::Integer));
        }
        // As Java rounds: halves go up, also below zero.
        let rounded = (first.as_double()? + 0.5).floor();
        let long = rounded as i64;
        return Some(i32::try_from(long).map_or(Value::Long(long), Value::Integer));
    }
    if first.as_long().is_some() && !first.is_double() {
        return Some(first.clone());
    }
    let places = int(values, 1).filter(|places| *places > 0)?;
    let double = first.as_double()?;
    let exact = Decimal::read(&java_double_text(double)).and_then(|decimal| decimal.round(places));
    Some(Value::Double(exact.map_or(double, Decimal::to_double)))
}

/// Positions are Java's: UTF-16 units.
fn sub_string(values: &[Value]) -> Option<Value> {
    let text: Vec<u16> = string(values, 0)?.encode_utf16().collect();
    let from = usize::try_from(int(values, 1)?).ok()?;
    let to = match values.get(2) {
        None => text.len(),
        Some(_) => usize::try_from(int(values, 2)?).ok()?,
    };
    text.get(from..to)
        .map(|part| Value::Text(String::from_utf16_lossy(part)))
}

fn index_of(values: &[Value]) -> Option<Value> {
    let (text, part) = string(values, 0).zip(string(values, 1))?;
    let (text, part): (Vec<u16>, Vec<u16>) = (text.encode_utf16().collect(), part.encode_utf16().collect());
    let from = match values.get(2) {
        None => 0,
        Some(_) => usize::try_from(int(values, 2)?.max(0)).ok()?,
    };
    let found = if part.is_empty() {
        Some(from.min(text.len()))
    } else {
        text.get(from..)
            .and_then(|rest| rest.windows(part.len()).position(|window| window == part))
            .map(|at| at + from)
    };
    Some(found.map_or(Value::Integer(-1), length))
}

/// `String.split`: empty parts at the end are left out.
fn split(text: &str, pattern: &str) -> Result<Value, String> {
    let regex =
        Regex::new(pattern).map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
    let mut parts: Vec<&str> = Vec::new();
    let mut from = 0;
    for found in regex.find_iter(text) {
        let found = found.map_err(|error| format!("`{pattern}` could not be searched for: {error}"))?;
        if found.end() == 0 || found.range().is_empty() && found.start() == text.len() {
            continue;
        }
        parts.push(&text[from..found.start()]);
        from = found.end();
    }
    let unsplit = parts.is_empty();
    parts.push(&text[from..]);
    while !unsplit && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    Ok(Value::Json(
        parts
            .into_iter()
            .map(|part| Json::String(part.to_owned()))
            .collect(),
    ))
}

fn format_date_time(values: &[Value]) -> Result<Option<Value>, String> {
    let written = match values {
        [moment, pattern] => match (moment.is_number(), pattern.as_string()) {
            (true, Some(pattern)) => {
                let millis = moment
                    .as_long()
                    .or_else(|| moment.as_double().map(|double| double as i64));
                dates::format(millis.unwrap_or(0), pattern)?
            }
            _ => return Ok(None),
        },
        [text, from, to] => match (text.as_string(), from.as_string(), to.as_string()) {
            (Some(text), Some(from), Some(to)) => dates::reformat(text, from, to)?,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Value::Text(written)))
}
