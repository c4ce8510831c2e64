//! An amount of one currency. Owns the limit of 10^18 units, which every sum is checked against.

use crate::{Currency, DecimalError, DecimalText, Member, decimal, ratio};

/// Amounts are smaller than 10^18 units, whatever the scale.
pub const UNITS_MAX: u32 = 18;

/// An amount in the smallest parts of its currency: cents, satoshis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    pub currency: Currency,
    parts: i128,
}

impl Money {
    pub fn zero(currency: Currency) -> Self {
        Self { currency, parts: 0 }
    }

    /// `None` beyond the limit.
    #[inline]
    pub fn new(parts: i128, currency: Currency) -> Option<Self> {
        let limit = 10_u128.pow(UNITS_MAX + currency.scale());
        (parts.unsigned_abs() < limit).then_some(Self { currency, parts })
    }

    /// Reads decimal text such as `-12.5`.
    ///
    /// # Errors
    /// It is no decimal, not exact at the currency's scale, or too large.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, DecimalError> {
        let parts = decimal::parse_text(text, currency.scale(), UNITS_MAX)?;
        Ok(Self { currency, parts })
    }

    /// Reads what a JSON document holds: a text, or a number that is exact.
    ///
    /// # Errors
    /// As [`Money::parse`]; anything but a text or a number is no decimal.
    pub fn read(member: &Member<'_>, currency: Currency) -> Result<Self, DecimalError> {
        match member {
            Member::Text(text) => Self::parse(text, currency),
            Member::Number(number) => {
                let parts = decimal::parse_number(number, currency.scale(), UNITS_MAX)?;
                Ok(Self { currency, parts })
            }
            Member::Absent | Member::Other => Err(DecimalError::NotDecimal),
        }
    }

    #[inline]
    pub fn parts(self) -> i128 {
        self.parts
    }

    pub fn is_positive(self) -> bool {
        self.parts > 0
    }

    pub fn is_negative(self) -> bool {
        self.parts < 0
    }

    /// `None` beyond the limit, or for different currencies.
    #[inline]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Self::new(self.parts + other.parts, self.currency)
    }

    /// `None` beyond the limit, or for different currencies.
    #[inline]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { parts: -other.parts, ..other })
    }

    /// `part` of `whole` equal shares of a positive amount, rounded half even. `None` for others, or beyond the limit.
    pub fn share(self, part: u32, whole: u32) -> Option<Self> {
        let parts = u128::try_from(self.parts).ok()?;
        let share = ratio::multiply_divide(parts, u128::from(part), u128::from(whole))?;
        Self::new(i128::try_from(share).ok()?, self.currency)
    }

    #[inline]
    pub fn text(self) -> DecimalText {
        DecimalText::new(self.parts, self.currency.scale())
    }
}

impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_half_even() {
        let share = |text, part| Money::parse(text, Currency::Usd).ok().and_then(|m| m.share(part, 10_000));
        let cases = [("100.00", 25, "0.25"), ("0.02", 2_500, "0.00"), ("0.06", 2_500, "0.02"), ("0.00", 25, "0.00")];
        for (amount, part, expected) in cases {
            assert_eq!(
                share(amount, part).map(|m| m.text().as_str().to_owned()).as_deref(),
                Some(expected),
                "{amount}"
            );
        }
        assert_eq!(share("-1.00", 25), None);
    }

    #[test]
    fn sums_stay_below_the_limit_and_in_one_currency() {
        let usd = |text| Money::parse(text, Currency::Usd).expect("an amount");
        let most = usd("999999999999999999.99");
        let cases = [
            (usd("0.10").checked_add(usd("0.20")), Some("0.30")),
            (usd("0.10").checked_sub(usd("0.20")), Some("-0.10")),
            (most.checked_add(usd("0.01")), None),
            (most.checked_sub(usd("0.01")), Some("999999999999999999.98")),
            (usd("1.00").checked_add(Money::zero(Currency::Eur)), None),
        ];
        for (sum, expected) in cases {
            assert_eq!(sum.map(|sum| sum.text().as_str().to_owned()).as_deref(), expected);
        }
    }
}
