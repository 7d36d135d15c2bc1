//! The values of Synapse expressions, and arithmetic as Synapse does it.

use std::cmp::Ordering;

use super::Outcome;
use super::surroundings::XPathAnswer;
use crate::message::json::{self, Json, JsonLimits, compare_numbers, java_decimal_text, java_double_text};
use crate::message::properties;

/// A value; null is the absence of one.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Double(f64),
    /// A string, boolean, object or array of JSON.
    Json(Json),
    Number(JsonNumber),
    Nodes(XPathAnswer),
}

/// A number as it stands in JSON.
#[derive(Debug, Clone)]
pub(super) struct JsonNumber {
    pub(super) digits: String,
    /// Taken from an array by its index. Gson has not looked at such a number, and then it is an int and a double at
    /// once: `payload.list[0] + 1` is a double.
    pub(super) raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Value {
    /// A value of JSON; null is none.
    pub(super) fn of_json(json: Json, raw: bool) -> Option<Value> {
        Some(match json {
            Json::Null => return None,
            Json::Number(number) => Value::Number(JsonNumber {
                digits: number.as_str().to_owned(),
                raw,
            }),
            other => Value::Json(other),
        })
    }

    pub(super) fn of_property(value: properties::Value) -> Option<Value> {
        Some(match value {
            properties::Value::Text(text) => Value::Text(text.to_string()),
            properties::Value::Boolean(value) => Value::Boolean(value),
            properties::Value::Short(value) => Value::Integer(i32::from(value)),
            properties::Value::Integer(value) => Value::Integer(value),
            properties::Value::Long(value) => Value::Long(value),
            properties::Value::Float(value) => Value::Double(f64::from(value)),
            properties::Value::Double(value) => Value::Double(value),
            properties::Value::Json(json) => return Value::of_json(json.as_ref().clone(), false),
            properties::Value::Xml(nodes) => Value::Nodes(XPathAnswer {
                text: nodes.text(),
                nodes: Some(nodes),
            }),
        })
    }

    /// Headers, properties and parameters: what looks like a number to Java is one.
    pub(super) fn of_text(text: String) -> Value {
        if let Some(number) = java_int(&text) {
            return Value::Integer(number);
        }
        if let Some(number) = java_long(&text) {
            return Value::Long(number);
        }
        match java_double(&text) {
            Some(number) => Value::Double(number),
            None => Value::Text(text),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Value::Text(text) => Outcome::Text(text),
            Value::Boolean(value) => Outcome::Boolean(value),
            Value::Integer(value) => Outcome::Integer(value),
            Value::Long(value) => Outcome::Long(value),
            Value::Double(value) => Outcome::Double(value),
            Value::Json(json) => Outcome::Json(json),
            Value::Number(number) => Outcome::Json(Json::Number(serde_json::Number::from_string_unchecked(
                number.digits,
            ))),
            Value::Nodes(XPathAnswer {
                text,
                nodes: Some(nodes),
            }) => Outcome::Xml(text, nodes),
            Value::Nodes(XPathAnswer { text, nodes: None }) => Outcome::Text(text),
        }
    }

    /// The string form, by which `==` compares.
    pub(super) fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Nodes(answer) => answer.text.clone(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Double(value) => java_double_text(*value),
            Value::Json(Json::String(text)) => text.clone(),
            Value::Json(json) => json::text(json),
            Value::Number(number) => number.text(),
        }
    }

    pub(super) fn as_string(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Json(Json::String(text)) => Some(text),
            Value::Nodes(answer) => Some(&answer.text),
            _ => None,
        }
    }

    pub(super) fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Boolean(value) | Value::Json(Json::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i32> {
        match self {
            Value::Integer(value) => Some(*value),
            Value::Number(number) => number.whole().and_then(|whole| i32::try_from(whole).ok()),
            _ => None,
        }
    }

    /// A whole number of any length.
    pub(super) fn as_long(&self) -> Option<i64> {
        match self {
            Value::Integer(value) => Some(i64::from(*value)),
            Value::Long(value) => Some(*value),
            Value::Number(number) => number.whole(),
            _ => None,
        }
    }

    pub(super) fn as_double(&self) -> Option<f64> {
        match self {
            Value::Integer(value) => Some(f64::from(*value)),
            Value::Long(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            Value::Number(number) => number.digits.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(
            self,
            Value::Integer(_) | Value::Long(_) | Value::Double(_) | Value::Number(_)
        )
    }

    /// A number that makes arithmetic go by doubles.
    pub(super) fn is_double(&self) -> bool {
        match self {
            Value::Double(_) => true,
            Value::Number(number) => number.raw || number.whole().is_none(),
            _ => false,
        }
    }

    /// An array, also one in a string.
    pub(super) fn as_array(&self) -> Option<Json> {
        self.container().filter(Json::is_array)
    }

    /// An object, also one in a string.
    pub(super) fn as_object(&self) -> Option<Json> {
        self.container().filter(Json::is_object)
    }

    fn container(&self) -> Option<Json> {
        let text = match self {
            Value::Json(json @ (Json::Array(_) | Json::Object(_))) => return Some(json.clone()),
            other => other.as_string()?.trim(),
        };
        if !text.starts_with(['[', '{', '\\', '"']) {
            return None;
        }
        let limits = JsonLimits::default();
        // Synapse takes every backslash away first, which spoils strings that need theirs; here that is the second try.
        json::parse(text.as_bytes(), &limits)
            .ok()
            .filter(|json| json.is_array() || json.is_object())
            .or_else(|| {
                let bare = text.replace('\\', "");
                let bare = bare
                    .strip_prefix('"')
                    .and_then(|bare| bare.strip_suffix('"'))
                    .unwrap_or(&bare);
                json::parse(bare.as_bytes(), &limits).ok()
            })
    }
}

impl JsonNumber {
    /// As an int or long, if Gson would make it one: `1e2` is 100, `1.0` stays a double.
    fn whole(&self) -> Option<i64> {
        if let Ok(whole) = self.digits.parse() {
            return Some(whole);
        }
        if self.raw || self.digits.contains('.') && !self.digits.contains(['e', 'E']) {
            return None;
        }
        let (number, scale) = Decimal::read(&self.digits).map(|decimal| (decimal.unscaled, decimal.scale))?;
        if scale > 0 {
            return None;
        }
        let power = 10_i128.checked_pow(u32::try_from(-scale).ok()?)?;
        i64::try_from(number.checked_mul(power)?).ok()
    }

    fn text(&self) -> String {
        if self.raw {
            return self.digits.clone();
        }
        if let Some(whole) = self.whole() {
            return whole.to_string();
        }
        // A double where that is exact enough, as GsonJsonProvider.unwrapNumber has it.
        let double: f64 = self.digits.parse().unwrap_or(f64::INFINITY);
        let shown = java_double_text(double);
        if double.is_finite() && compare_numbers(&shown, &self.digits) == Some(Ordering::Equal) {
            return shown;
        }
        java_decimal_text(&self.digits).unwrap_or_else(|| self.digits.clone())
    }
}

/// BinaryOperationNode: null is equal to null alone, everything else goes by its string form, and only numbers have an order.
pub(super) fn compare(
    left: Option<&Value>,
    comparison: Comparison,
    right: Option<&Value>,
) -> Result<Value, String> {
    let equal = || match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => left.text() == right.text(),
        _ => false,
    };
    let holds = match comparison {
        Comparison::Equal => equal(),
        Comparison::Unequal => !equal(),
        ordering => {
            let (left, right) = both(left, right)?;
            let order = match (
                left.as_long(),
                right.as_long(),
                left.as_double(),
                right.as_double(),
            ) {
                (Some(left), Some(right), _, _) => Some(left.cmp(&right)),
                (_, _, Some(left), Some(right)) => left.partial_cmp(&right),
                _ => {
                    return Err(format!(
                        "{} and {} are not both numbers",
                        shown(left),
                        shown(right)
                    ));
                }
            };
            match ordering {
                Comparison::Less => order == Some(Ordering::Less),
                Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Comparison::Greater => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }
        }
    };
    Ok(Value::Boolean(holds))
}

pub(super) fn calculate(
    left: Option<&Value>,
    operation: Arithmetic,
    right: Option<&Value>,
) -> Result<Value, String> {
    let (left, right) = both(left, right)?;
    if operation == Arithmetic::Add
        && let (Some(left), Some(right)) = (left.as_string(), right.as_string())
    {
        return Ok(Value::Text(format!("{left}{right}")));
    }
    if !left.is_number() || !right.is_number() {
        let wanted = if operation == Arithmetic::Add {
            "two numbers or two strings"
        } else {
            "two numbers"
        };
        return Err(format!("{} and {} are not {wanted}", shown(left), shown(right)));
    }
    if left.is_double() || right.is_double() {
        return doubles(left, operation, right);
    }
    let (Some(left), Some(right)) = (left.as_long(), right.as_long()) else {
        return doubles(left, operation, right);
    };
    let ints = i32::try_from(left).ok().zip(i32::try_from(right).ok());
    if matches!(operation, Arithmetic::Divide | Arithmetic::Modulo) && right == 0 {
        return Err("this divides by zero".to_owned());
    }
    // Java's long arithmetic wraps.
    Ok(match operation {
        Arithmetic::Add => whole(ints.is_some(), left.wrapping_add(right)),
        Arithmetic::Subtract => match ints {
            // Ints that are subtracted wrap, though added or multiplied they grow into longs.
            Some((left, right)) => Value::Integer(left.wrapping_sub(right)),
            None => Value::Long(left.wrapping_sub(right)),
        },
        Arithmetic::Multiply => whole(ints.is_some(), left.wrapping_mul(right)),
        Arithmetic::Divide => match ints {
            Some(_) if left % right == 0 => whole(true, left / right),
            _ => Value::Double(left as f64 / right as f64),
        },
        Arithmetic::Modulo => match ints {
            Some(_) => whole(true, left.wrapping_rem(right)),
            None => Value::Long(left.wrapping_rem(right)),
        },
    })
}

fn whole(of_ints: bool, result: i64) -> Value {
    match i32::try_from(result) {
        Ok(result) if of_ints => Value::Integer(result),
        _ => Value::Long(result),
    }
}

fn doubles(left: &Value, operation: Arithmetic, right: &Value) -> Result<Value, String> {
    let (left, right) = (
        left.as_double().unwrap_or(f64::NAN),
        right.as_double().unwrap_or(f64::NAN),
    );
    if !left.is_finite() || !right.is_finite() {
        return Err("one of the numbers is not finite".to_owned());
    }
    if matches!(operation, Arithmetic::Divide | Arithmetic::Modulo) && right == 0.0 {
        return Err("this divides by zero".to_owned());
    }
    let exact = Decimal::read(&java_double_text(left))
        .zip(Decimal::read(&java_double_text(right)))
        .and_then(|(left, right)| match operation {
            Arithmetic::Add => left.add(right),
            Arithmetic::Subtract => left.add(Decimal {
                unscaled: right.unscaled.checked_neg()?,
                ..right
            }),
            Arithmetic::Multiply => left.multiply(right),
            Arithmetic::Divide => left.divide(right),
            Arithmetic::Modulo => left.remainder(right),
        });
    Ok(Value::Double(match exact {
        Some(exact) => exact.to_double(),
        // Numbers too far apart for exact digits.
        None => match operation {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Modulo => left % right,
        },
    }))
}

fn both<'v>(left: Option<&'v Value>, right: Option<&'v Value>) -> Result<(&'v Value, &'v Value), String> {
    left.zip(right).ok_or_else(|| "one side is null".to_owned())
}

/// The start of a value, for messages.
pub(super) fn shown(value: &Value) -> String {
    let text = value.text();
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    match value.as_string() {
        Some(_) => format!("\"{start}\""),
        None => start,
    }
}

/// A decimal number of up to 38 digits: unscaled x 10^-scale, as Java's BigDecimal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    unscaled: i128,
    scale: i32,
}

impl Decimal {
    pub(super) fn read(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let unscaled = format!("{whole}{fraction}").parse().ok()?;
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Decimal { unscaled, scale })
    }

    pub(super) fn to_double(self) -> f64 {
        format!("{}e{}", self.unscaled, -i64::from(self.scale))
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// Half up, at so many places behind the point.
    pub(super) fn round(self, places: i32) -> Option<Decimal> {
        if self.scale <= places {
            return Some(self);
        }
        let power = power(self.scale - places)?;
        Some(Decimal {
            unscaled: half_up(self.unscaled, power)?,
            scale: places,
        })
    }

    fn add(self, other: Decimal) -> Option<Decimal> {
        let (left, right, scale) = self.aligned(other)?;
        Some(Decimal {
            unscaled: left.checked_add(right)?,
            scale,
        })
    }

    fn multiply(self, other: Decimal) -> Option<Decimal> {
        Some(Decimal {
            unscaled: self.unscaled.checked_mul(other.unscaled)?,
            scale: self.scale.checked_add(other.scale)?,
        })
    }

    /// At the scale of the dividend, half up: 1.0 / 3 is 0.3.
    fn divide(self, other: Decimal) -> Option<Decimal> {
        let (mut dividend, mut divisor) = (self.unscaled, other.unscaled);
        match other.scale {
            scale if scale >= 0 => dividend = dividend.checked_mul(power(scale)?)?,
            scale => divisor = divisor.checked_mul(power(-scale)?)?,
        }
        Some(Decimal {
            unscaled: half_up(dividend, divisor)?,
            scale: self.scale,
        })
    }

    fn remainder(self, other: Decimal) -> Option<Decimal> {
        let (left, right, scale) = self.aligned(other)?;
        Some(Decimal {
            unscaled: left.checked_rem(right)?,
            scale,
        })
    }

    fn aligned(self, other: Decimal) -> Option<(i128, i128, i32)> {
        let scale = self.scale.max(other.scale);
        let left = self
            .unscaled
            .checked_mul(power(scale.checked_sub(self.scale)?)?)?;
        let right = other
            .unscaled
            .checked_mul(power(scale.checked_sub(other.scale)?)?)?;
        Some((left, right, scale))
    }
}

fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn half_up(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?;
    let away = rest.unsigned_abs().checked_mul(2)? >= divisor.unsigned_abs();
    let sign = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
    if away {
        quotient.checked_add(sign)
    } else {
        Some(quotient)
    }
}

/// `Integer.parseInt`
pub(super) fn java_int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// `Long.parseLong`
fn java_long(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `Double.parseDouble`, without its hexadecimal form: blanks around are allowed, and a `d` or `f` at the end.
pub(super) fn java_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|character: char| character <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => {
            return Some(if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        _ => {}
    }
    let unsuffixed = unsigned.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(unsigned);
    // Rust reads words such as `inf`, which Java does not.
    if !unsuffixed.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let number: f64 = unsuffixed.parse().ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}
