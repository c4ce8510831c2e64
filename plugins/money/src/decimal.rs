//! Decimal text to integers of a scale and back, exact or refused. Owns both grammars: texts are JSON numbers without an
//! exponent, numbers may have one. Knows no currencies.

/// Longer texts are no amounts; bounds the work.
const TEXT_BYTES_MAX: usize = 64;

/// Far beyond what any digit of a legal value can be shifted by.
const EXPONENT_MAX: i32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("not a decimal number")]
    NotDecimal,
    #[error("more digits after the point than are allowed")]
    Inexact,
    #[error("too large")]
    TooLarge,
}

/// Canonical text on the stack: exactly `scale` digits after the point, no exponent, no plus, no minus zero.
#[derive(Clone, Copy)]
pub struct DecimalText {
    bytes: [u8; 48],
    start: u8,
}

/// Reads a text; `units_digits` is how many digits before the point are allowed.
#[inline]
pub(crate) fn parse_text(text: &str, scale: u32, units_digits: u32) -> Result<i128, DecimalError> {
    let (parts, rest) = Parts::split(text)?;
    if rest.is_empty() { parts.value(0, scale, units_digits) } else { Err(DecimalError::NotDecimal) }
}

/// Reads a JSON number.
pub(crate) fn parse_number(text: &str, scale: u32, units_digits: u32) -> Result<i128, DecimalError> {
    let (parts, rest) = Parts::split(text)?;
    let exponent = match rest.as_bytes() {
        [] => 0,
        [b'e' | b'E', ..] => exponent(&rest[1..])?,
        _ => return Err(DecimalError::NotDecimal),
    };
    parts.value(exponent, scale, units_digits)
}

/// `-123.45` taken apart.
struct Parts<'t> {
    is_negative: bool,
    units: &'t str,
    fraction: &'t str,
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Result<(Self, &'t str), DecimalError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecimalError::NotDecimal);
        }
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (units, rest) = digits(rest);
        let has_leading_zero = units.len() > 1 && units.starts_with('0');
        if units.is_empty() || has_leading_zero {
            return Err(DecimalError::NotDecimal);
        }
        let Some(after_point) = rest.strip_prefix('.') else {
            return Ok((Self { is_negative, units, fraction: "" }, rest));
        };
        let (fraction, rest) = digits(after_point);
        if fraction.is_empty() {
            return Err(DecimalError::NotDecimal);
        }
        Ok((Self { is_negative, units, fraction }, rest))
    }

    /// The value times 10^scale. Each digit has a place; digits below the scale or above the limit must be zeros.
    fn value(&self, exponent: i32, scale: u32, units_digits: u32) -> Result<i128, DecimalError> {
        let places_max = (units_digits + scale) as i32;
        let mut place = self.units.len() as i32 + exponent + scale as i32;
        let mut value = 0_i128;
        for digit in self.units.bytes().chain(self.fraction.bytes()).map(|byte| i128::from(byte - b'0')) {
            place -= 1;
            if digit != 0 && place < 0 {
                return Err(DecimalError::Inexact);
            }
            if digit != 0 && place >= places_max {
                return Err(DecimalError::TooLarge);
            }
            if (0..places_max).contains(&place) {
                value = value * 10 + digit;
            }
        }
        let zeros_left = place.clamp(0, places_max) as u32;
        let value = if value == 0 { 0 } else { value * 10_i128.pow(zeros_left) };
        Ok(if self.is_negative { -value } else { value })
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn exponent(text: &str) -> Result<i32, DecimalError> {
    let (is_negative, rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (number, rest) = digits(rest);
    if number.is_empty() || !rest.is_empty() {
        return Err(DecimalError::NotDecimal);
    }
    let size = number.bytes().fold(0_i32, |size, byte| (size * 10 + i32::from(byte - b'0')).min(EXPONENT_MAX));
    Ok(if is_negative { -size } else { size })
}

impl DecimalText {
    pub(crate) fn new(value: i128, scale: u32) -> Self {
        let mut text = Self { bytes: [0; 48], start: 48 };
        let mut size = value.unsigned_abs();
        let mut written = 0;
        while size > 0 || written <= scale {
            if written == scale && scale > 0 {
                text.push(b'.');
            }
            let digit = match u64::try_from(size) {
                Ok(small) => {
                    size = u128::from(small / 10);
                    (small % 10) as u8
                }
                Err(_) => {
                    let digit = (size % 10) as u8;
                    size /= 10;
                    digit
                }
            };
            text.push(b'0' + digit);
            written += 1;
        }
        if value < 0 {
            text.push(b'-');
        }
        text
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[usize::from(self.start)] = byte;
    }

    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[usize::from(self.start)..]).expect("digits, point and minus are ASCII")
    }
}

impl PartialEq for DecimalText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl std::fmt::Debug for DecimalText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for DecimalText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
