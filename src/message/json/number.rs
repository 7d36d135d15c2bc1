//! Numbers by their digits: exact comparison, and the texts Java gives to its numbers.

use std::cmp::Ordering;

/// Compares two decimal numbers by value, whatever their length; nothing if one of them is no number.
pub fn compare_numbers(left: &str, right: &str) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (small(left), small(right)) {
        return Some(left.cmp(&right));
    }
    Some(Digits::read(left)?.compare(&Digits::read(right)?))
}

/// The text of `new BigDecimal(text)`: digits kept, a large or tiny exponent written as `1E+10`.
pub fn java_decimal_text(text: &str) -> Option<String> {
    let digits = Digits::read(text)?;
    let (unscaled, scale) = digits.unscaled(text);
    let sign = if digits.negative && !digits.is_zero() {
        "-"
    } else {
        ""
    };
    let length = unscaled.len() as i64;
    let adjusted = length - 1 - scale;
    if scale == 0 {
        return Some(format!("{sign}{unscaled}"));
    }
    if scale > 0 && adjusted >= -6 {
        let point = length - scale;
        return Some(match usize::try_from(point) {
            Ok(point) if point > 0 => format!("{sign}{}.{}", &unscaled[..point], &unscaled[point..]),
            _ => format!(
                "{sign}0.{}{unscaled}",
                "0".repeat(usize::try_from(-point).unwrap_or(0))
            ),
        });
    }
    let (first, rest) = unscaled.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let exponent = if adjusted == 0 {
        String::new()
    } else {
        format!("E{adjusted:+}")
    };
    Some(format!("{sign}{first}{point}{rest}{exponent}"))
}

/// The text of a Java `double`: `1.0`, `1.0E10`, `NaN`.
pub fn java_double_text(number: f64) -> String {
    // Java writes at least two digits, so the smallest double is 4.9E-324 there and 5e-324 elsewhere.
    match number.abs().to_bits() {
        1 => java_text(number, String::new(), format!("{}4.9e-324", minus(number))),
        _ => java_text(number, format!("{number:?}"), format!("{number:e}")),
    }
}

/// The text of a Java `float`, which has fewer digits than the `double` of its value.
pub fn java_float_text(number: f32) -> String {
    let double = f64::from(number);
    match number.abs().to_bits() {
        1 => java_text(double, String::new(), format!("{}1.4e-45", minus(double))),
        _ => java_text(double, format!("{number:?}"), format!("{number:e}")),
    }
}

fn minus(number: f64) -> &'static str {
    if number < 0.0 { "-" } else { "" }
}

fn java_text(number: f64, plain: String, scientific: String) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return format!("{}Infinity", minus(number));
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return plain;
    }
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}E{exponent}")
}

fn small(text: &str) -> Option<i64> {
    (text.len() < 18).then(|| text.parse().ok()).flatten()
}

/// A decimal number taken apart: sign, digits without leading and trailing zeros, and the power of ten of the first digit.
struct Digits<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Digits<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Digits {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn is_zero(&self) -> bool {
        self.whole
            .bytes()
            .chain(self.fraction.bytes())
            .all(|digit| digit == b'0')
    }

    fn significant(&self) -> impl Iterator<Item = u8> {
        self.whole
            .bytes()
            .chain(self.fraction.bytes())
            .skip_while(|digit| *digit == b'0')
    }

    fn compare(&self, other: &Digits<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => {
                return if other.negative {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
            }
            (false, true) => {
                return if self.negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
            }
            (false, false) => {}
        }
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
        }
    }

    fn compare_size(&self, other: &Digits<'_>) -> Ordering {
        let order = self.magnitude().cmp(&other.magnitude());
        if order != Ordering::Equal {
            return order;
        }
        let (mut left, mut right) = (self.significant(), other.significant());
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (left, right) => match left.unwrap_or(b'0').cmp(&right.unwrap_or(b'0')) {
                    Ordering::Equal => {}
                    order => return order,
                },
            }
        }
    }

    /// The power of ten of the first digit that is not zero, plus one.
    fn magnitude(&self) -> i64 {
        let zeros = (self.whole.len() + self.fraction.len()) as i64 - self.significant().count() as i64;
        (self.whole.len() as i64 - zeros).saturating_add(self.exponent)
    }

    /// Digits and scale as `BigDecimal` holds them: the value is digits x 10^-scale.
    fn unscaled(&self, text: &str) -> (String, i64) {
        let mut digits = String::with_capacity(text.len());
        digits.extend(self.significant().map(char::from));
        if digits.is_empty() {
            digits.push('0');
        }
        (digits, (self.fraction.len() as i64).saturating_sub(self.exponent))
    }
}

fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let check =
            |left, right, expected| assert_eq!(compare_numbers(left, right), expected, "{left} {right}");
        check("1", "1.0", Some(Ordering::Equal));
        check("10", "1e1", Some(Ordering::Equal));
        check("-0", "0.00", Some(Ordering::Equal));
        check("0.1", "0.09999999999999999999", Some(Ordering::Greater));
        check("-2", "1", Some(Ordering::Less));
        check("-2", "-10", Some(Ordering::Greater));
        check("1e400", "9e399", Some(Ordering::Greater));
        check(
            "12345678901234567890",
            "12345678901234567891",
            Some(Ordering::Less),
        );
        check("1e999999999999999999999", "1", Some(Ordering::Greater));
        check("x", "1", None);
        check("", "1", None);
    }

    #[test]
    fn doubles_are_written_as_java_does() {
        let check = |number, expected: &str| assert_eq!(java_double_text(number), expected);
        check(6.0, "6.0");
        check(0.001, "0.001");
        check(0.0001, "1.0E-4");
        check(1e7, "1.0E7");
        check(1.25e10, "1.25E10");
        check(-1234567.5, "-1234567.5");
        check(f64::from_bits(1), "4.9E-324");
        check(f64::NEG_INFINITY, "-Infinity");
        assert_eq!(java_float_text(0.0001), "1.0E-4");
        assert_eq!(java_float_text(0.1), "0.1");
        assert_eq!(java_float_text(-f32::from_bits(1)), "-1.4E-45");
    }

    #[test]
    fn decimals_are_written_as_java_does() {
        let check =
            |text, expected: &str| assert_eq!(java_decimal_text(text).as_deref(), Some(expected), "{text}");
        check("1e5", "1E+5");
        check("1.50", "1.50");
        check("007", "7");
        check("0.0000001", "1E-7");
        check("0.000001", "0.000001");
        check("12e-3", "0.012");
        check("-1.23E10", "-1.23E+10");
        check("1.0E1", "10");
        assert_eq!(java_decimal_text("abc"), None);
    }
}
