//! Decimal text as integers of a scale, the simple way.

/// Digits after the point. Currencies that are not known have none of their own.
pub(super) fn scale(currency: &str) -> usize {
    match currency {
        "BTC" | "ETH" => 8,
        _ => 2,
    }
}

pub(super) fn is_currency(code: &str) -> bool {
    ["AUD", "BTC", "CAD", "CHF", "ETH", "EUR", "GBP", "USD"].contains(&code)
}

/// The value times 10^scale; `None` if it is no plain decimal, or not exact. Digits are padded to the scale and read.
pub(super) fn parts(text: &str, scale: usize) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (units, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = units.len() > 1 && units.starts_with('0');
    if !is_plain(units) || !is_plain(fraction) || has_leading_zero || units.len() > 18 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    format!("{units}{fraction:0<scale$}").parse::<i128>().ok().map(|parts| sign * parts)
}

pub(super) fn text(parts: i128, scale: usize) -> String {
    let sign = if parts < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", parts.unsigned_abs(), width = scale + 1);
    let (units, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{units}.{fraction}")
}

/// Whether `result` is `number / divisor` rounded half to even: no other integer is nearer, and of two it is the even one.
pub(super) fn is_rounded(result: i128, number: i128, divisor: i128) -> Option<bool> {
    let twice_off = number.checked_sub(result.checked_mul(divisor)?)?.checked_mul(2)?.abs();
    Some(twice_off < divisor || (twice_off == divisor && result % 2 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_parts_agree() {
        let cases = [("0.00", 2, Some(0)), ("12.5", 2, Some(1250)), ("-0.01", 2, Some(-1)), ("1.005", 2, None)];
        let more = [("1", 8, Some(100_000_000)), ("", 2, None), ("1.", 2, None), ("01", 2, None), ("1e2", 2, None)];
        for (input, scale, expected) in cases.into_iter().chain(more) {
            assert_eq!(parts(input, scale), expected, "{input}");
        }
        assert_eq!((text(-1, 2), text(1250, 2), text(1, 8)), ("-0.01".into(), "12.50".into(), "0.00000001".into()));
    }

    #[test]
    fn rounding_is_half_to_even() {
        let cases = [(0, 1, 2, true), (1, 1, 2, false), (2, 3, 2, true), (1, 3, 2, false), (3, 10, 3, true)];
        for (result, number, divisor, expected) in cases {
            assert_eq!(is_rounded(result, number, divisor), Some(expected), "{number}/{divisor} = {result}");
        }
    }
}
