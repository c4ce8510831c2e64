//! One member's value: read in place where it can be, and only when it is asked for.

use std::borrow::Cow;

use serde_json::Value;

use crate::Failure;

/// The value of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    kind: Kind<'a>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind<'a> {
    Missing,
    Null,
    Bool(bool),
    /// Text without escapes.
    String(&'a str),
    /// The same, not known to be UTF-8.
    Bytes(&'a [u8]),
    /// A number and what comes after it.
    Number(&'a [u8]),
    /// Text, numbers and nested values of an unusual object. Boxed, so that the usual ones are small and drop at once.
    Owned(Box<Value>),
}

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

const POWERS_U64: [u64; 16] = {
    let mut powers = [1; 16];
    let mut at = 1;
    while at < 16 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

impl<'a> Member<'a> {
    pub(super) const MISSING: Self = Self { kind: Kind::Missing };

    #[inline(always)]
    pub(super) fn string(text: Result<&'a str, &'a [u8]>) -> Self {
        Self { kind: text.map_or_else(Kind::Bytes, Kind::String) }
    }

    /// A value that begins here and is neither string nor nested; `None` if it is.
    #[inline(always)]
    pub(super) fn scalar(rest: &'a [u8]) -> Option<Self> {
        let kind = match rest.first()? {
            b'-' | b'0'..=b'9' => Kind::Number(rest),
            b'n' if is_literal(rest, b"null") => Kind::Null,
            b't' if is_literal(rest, b"true") => Kind::Bool(true),
            b'f' if is_literal(rest, b"false") => Kind::Bool(false),
            _ => return None,
        };
        Some(Self { kind })
    }

    #[inline(always)]
    pub fn is_missing(&self) -> bool {
        matches!(self.kind, Kind::Missing)
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Text, whose bytes need not be UTF-8 if the sender's were not.
    ///
    /// # Errors
    /// `malformed` if it is no string.
    #[inline]
    pub fn as_bytes(&self) -> Result<&[u8], Failure> {
        match &self.kind {
            Kind::String(text) => Ok(text.as_bytes()),
            Kind::Bytes(text) => Ok(text),
            Kind::Owned(value) => value.as_str().map(str::as_bytes).ok_or_else(|| self.is_no("string")),
            _ => Err(self.is_no("string")),
        }
    }

    /// # Errors
    /// `malformed` if it is no string, or not UTF-8.
    #[inline]
    pub fn as_str(&self) -> Result<&str, Failure> {
        match &self.kind {
            Kind::String(text) => Ok(text),
            _ => std::str::from_utf8(self.as_bytes()?).map_err(|_| self.is_no("UTF-8 text")),
        }
    }

    /// The text, borrowed from the object unless it had escapes.
    ///
    /// # Errors
    /// `malformed` if it is no string, or not UTF-8.
    #[inline]
    pub fn into_text(self) -> Result<Cow<'a, str>, Failure> {
        match self.kind {
            Kind::String(text) => Ok(Cow::Borrowed(text)),
            _ => Ok(Cow::Owned(self.as_str()?.to_owned())),
        }
    }

    /// # Errors
    /// `malformed` if it is no whole number of 64 bits.
    #[inline]
    pub fn as_i64(&self) -> Result<i64, Failure> {
        let integer = match &self.kind {
            Kind::Number(rest) => short_integer(rest).or_else(|| text(rest)?.parse().ok()),
            Kind::Owned(value) => value.as_i64(),
            _ => None,
        };
        integer.ok_or_else(|| self.is_no("whole number"))
    }

    /// The nearest number of 64 bits.
    ///
    /// # Errors
    /// `malformed` if it is no number.
    #[inline]
    pub fn as_f64(&self) -> Result<f64, Failure> {
        let float = match &self.kind {
            Kind::Number(rest) => short_decimal(rest).or_else(|| text(rest)?.parse().ok()),
            Kind::Owned(value) => value.as_f64(),
            _ => None,
        };
        float.ok_or_else(|| self.is_no("number"))
    }

    /// The digits of a number as they were written, for decimals.
    ///
    /// # Errors
    /// `malformed` if it is no number.
    pub fn as_number_text(&self) -> Result<Cow<'_, str>, Failure> {
        let digits = match &self.kind {
            Kind::Number(rest) => text(rest).map(Cow::Borrowed),
            Kind::Owned(value) => match &**value {
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => None,
            },
            _ => None,
        };
        digits.ok_or_else(|| self.is_no("number"))
    }

    /// # Errors
    /// `malformed` if it is neither true nor false.
    pub fn as_bool(&self) -> Result<bool, Failure> {
        match self.kind {
            Kind::Bool(value) => Ok(value),
            _ => Err(self.is_no("boolean")),
        }
    }

    #[cold]
    fn is_no(&self, wanted: &str) -> Failure {
        let what = match &self.kind {
            Kind::Missing => "missing",
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::String(_) | Kind::Bytes(_) => "a string",
            Kind::Number(_) => "another number",
            Kind::Owned(_) => "another value",
        };
        Failure::new("malformed", format!("a member should be a {wanted}, but is {what}"))
    }

    fn owned(value: Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            other => Kind::Owned(Box::new(other)),
        };
        Self { kind }
    }
}

/// Reads all of an object by the book.
pub(super) fn read_all<'a, const N: usize>(object: &[u8], names: &[&str; N]) -> Result<[Member<'a>; N], Failure> {
    let Value::Object(mut all) = serde_json::from_slice(object)? else {
        return Err(Failure::new("malformed", "no JSON object"));
    };
    Ok(names.map(|name| all.remove(name).map_or(Member::MISSING, Member::owned)))
}

/// An integer of up to 18 digits that ends where a value may end.
#[inline(always)]
fn short_integer(rest: &[u8]) -> Option<i64> {
    let (is_negative, at) = sign(rest)?;
    let (magnitude, end) = digits(rest, at, 18)?;
    let is_whole = ends_value(rest, end) && !has_idle_zero(rest, at, end);
    let integer = magnitude as i64;
    is_whole.then_some(if is_negative { -integer } else { integer })
}

/// A decimal of up to 15 digits: both it and the power of ten are exact, so that their quotient is the nearest.
#[inline(always)]
fn short_decimal(rest: &[u8]) -> Option<f64> {
    let (is_negative, at) = sign(rest)?;
    let (whole, end) = digits(rest, at, 15)?;
    if has_idle_zero(rest, at, end) {
        return None;
    }
    let (mantissa, places, end) = match rest.get(end) {
        Some(b'.') => {
            let (fraction, fraction_end) = digits(rest, end + 1, 15)?;
            let places = fraction_end - end - 1;
            if end - at + places > 15 {
                return None;
            }
            (whole * POWERS_U64[places] + fraction, places, fraction_end)
        }
        _ => (whole, 0, end),
    };
    let decimal = mantissa as f64 / POWERS[places];
    ends_value(rest, end).then_some(if is_negative { -decimal } else { decimal })
}

#[inline(always)]
fn sign(rest: &[u8]) -> Option<(bool, usize)> {
    let is_negative = *rest.first()? == b'-';
    Some((is_negative, usize::from(is_negative)))
}

/// One to `most` digits from `at`, and where they end. Eight at a time: in a component each round of a loop over single
/// digits would cost a look at the clock.
#[inline(always)]
fn digits(rest: &[u8], at: usize, most: usize) -> Option<(u64, usize)> {
    let (mut value, mut end) = (0, at);
    loop {
        let (part, len) = eight_digits(rest, end);
        if end + len - at > most {
            return None;
        }
        value = value * POWERS_U64[len] + part;
        end += len;
        if len < 8 {
            return (end > at).then_some((value, end));
        }
    }
}

/// The number made of the digits at `at`, up to eight, and how many there are.
#[inline(always)]
fn eight_digits(rest: &[u8], at: usize) -> (u64, usize) {
    let Some(word) = rest.get(at..at + 8) else { return last_digits(rest, at) };
    let digits = u64::from_le_bytes(word.try_into().expect("eight bytes")) ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is no digit, and perhaps of some after it.
    let others = (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080;
    let len = others.trailing_zeros() as usize / 8;
    if len == 0 {
        return (0, 0);
    }
    // The last digit to the top, with zeros before the first; then pairs, fours and the eight of them are added up.
    let digits = digits << (64 - 8 * len);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, len)
}

/// The same where fewer than eight bytes are left.
#[cold]
fn last_digits(rest: &[u8], at: usize) -> (u64, usize) {
    let found = rest[at.min(rest.len())..].iter().take_while(|byte| byte.is_ascii_digit());
    found.fold((0, 0), |(value, len), digit| (value * 10 + u64::from(digit - b'0'), len + 1))
}

/// JSON allows no zero before other digits.
#[inline(always)]
fn has_idle_zero(rest: &[u8], at: usize, end: usize) -> bool {
    rest[at] == b'0' && end > at + 1
}

#[inline(always)]
fn ends_value(rest: &[u8], at: usize) -> bool {
    matches!(rest.get(at), Some(b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t'))
}

#[inline(always)]
fn is_literal(rest: &[u8], literal: &[u8]) -> bool {
    rest.starts_with(literal) && ends_value(rest, literal.len())
}

/// The text of a number, if it is one.
#[cold]
fn text(rest: &[u8]) -> Option<&str> {
    let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t'))?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    // What JSON calls a number is less than what Rust does.
    serde_json::from_str::<serde_json::Number>(text).ok()?;
    Some(text)
}
