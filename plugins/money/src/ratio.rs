//! `a × b ÷ d` of integers, exact up to one rounding, half to even. Owns the 256 bit product that this needs.

/// The quotient rounded half to even; `None` if it does not fit, or for a zero divisor.
#[inline]
pub(crate) fn multiply_divide(a: u128, b: u128, divisor: u128) -> Option<u128> {
    if divisor == 0 {
        return None;
    }
    let (quotient, remainder) = match a.checked_mul(b) {
        Some(product) => divide_small(product, divisor),
        None => divide(multiply(a, b), divisor)?,
    };
    let rest = divisor - remainder;
    let is_rounded_up = remainder > rest || (remainder == rest && quotient % 2 == 1);
    quotient.checked_add(u128::from(is_rounded_up))
}

/// Division of 64 bit numbers is one instruction, of 128 bit ones a call.
#[inline]
fn divide_small(product: u128, divisor: u128) -> (u128, u128) {
    match (u64::try_from(product), u64::try_from(divisor)) {
        (Ok(product), Ok(divisor)) => (u128::from(product / divisor), u128::from(product % divisor)),
        _ => (product / divisor, product % divisor),
    }
}

/// High and low half of the product.
fn multiply(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 64);
    let other = a_low * b_high + (middle & LOW);
    (a_high * b_high + (middle >> 64) + (other >> 64), (other << 64) | (low & LOW))
}

/// Long division, bit by bit: only products beyond 128 bits come here, amounts of more than a billion.
fn divide((high, low): (u128, u128), divisor: u128) -> Option<(u128, u128)> {
    if high >= divisor {
        return None;
    }
    let (mut remainder, mut quotient) = (high, 0_u128);
    for bit in (0..128).rev() {
        let carry = remainder >> 127;
        remainder = (remainder << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if carry == 1 || remainder >= divisor {
            remainder = remainder.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some((quotient, remainder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_half_to_even() {
        let cases = [
            (1, 1, 2, Some(0)),
            (3, 1, 2, Some(2)),
            (5, 1, 2, Some(2)),
            (7, 1, 2, Some(4)),
            (2, 1, 3, Some(1)),
            (1, 1, 3, Some(0)),
            (1, 1, 0, None),
            (u128::MAX, u128::MAX, u128::MAX, Some(u128::MAX)),
            (u128::MAX, 2, 4, Some(1 << 127)),
            (u128::MAX, 3, 2, None),
            (u128::MAX, 3, 6, Some(1 << 127)),
            (u128::MAX - 1, 5, 10, Some((1 << 127) - 1)),
        ];
        for (a, b, divisor, expected) in cases {
            assert_eq!(multiply_divide(a, b, divisor), expected, "{a} x {b} / {divisor}");
        }
    }

    #[test]
    fn the_wide_path_agrees_with_the_narrow_one() {
        let mut seed = 1_u128;
        for _ in 0..1_000 {
            seed = seed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            let (a, b, divisor) = (seed >> 70, (seed << 60) >> 70, (seed >> 100) + 1);
            assert_eq!(divide(multiply(a, b), divisor), Some((a * b / divisor, a * b % divisor)));
        }
    }
}
