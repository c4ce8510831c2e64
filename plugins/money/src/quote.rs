//! Prices and the quotes that the topic `exchange-rate` holds. Owns their scale and their canonical JSON.

use serde::{Deserialize, Serialize};

use crate::{DecimalError, DecimalText, decimal};

/// Digits after the point of every price, whatever the currencies.
pub const PRICE_SCALE: u32 = 8;

/// Prices are smaller than 10^12 units of the quote currency.
const PRICE_UNITS_MAX: u32 = 12;

/// What one unit of a base currency costs in a quote currency: positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u128);

/// Digits that the size of a level may have on either side of the point.
const SIZE_DIGITS: u32 = 18;

/// Bid and ask of a pair: a customer pays `ask` for one unit of the base, and gets `bid` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub base: String,
    pub quote: String,
    pub ask: Price,
    pub bid: Price,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

impl Price {
    /// # Errors
    /// It is no decimal, has more than [`PRICE_SCALE`] digits after the point, or is too large. Zero and less is no price.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let parts = decimal::parse_text(text, PRICE_SCALE, PRICE_UNITS_MAX)?;
        u128::try_from(parts).ok().filter(|parts| *parts > 0).map(Self).ok_or(DecimalError::NotDecimal)
    }

    /// The price times 10^[`PRICE_SCALE`].
    pub fn parts(self) -> u128 {
        self.0
    }

    pub fn text(self) -> DecimalText {
        DecimalText::new(self.0 as i128, PRICE_SCALE)
    }
}

/// Whether the size of a level of an order book is zero.
///
/// # Errors
/// It is no decimal, or negative.
pub fn is_empty_size(text: &str) -> Result<bool, DecimalError> {
    match decimal::parse_text(text, SIZE_DIGITS, SIZE_DIGITS)? {
        ..0 => Err(DecimalError::NotDecimal),
        size => Ok(size == 0),
    }
}

impl Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

/// The members in the order of the topic.
#[derive(Serialize, Deserialize)]
struct QuoteJson<'a, P> {
    base: &'a str,
    quote: &'a str,
    ask: P,
    bid: P,
    timestamp: i64,
}

impl Quote {
    /// Reads a value of `exchange-rate`. `None` if it is not one.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let json: QuoteJson<'_, &str> = serde_json::from_slice(value).ok()?;
        let (ask, bid) = (Price::parse(json.ask).ok()?, Price::parse(json.bid).ok()?);
        Some(Self { base: json.base.into(), quote: json.quote.into(), ask, bid, timestamp: json.timestamp })
    }

    /// Whether the quote may still be used at `time_ms`. Newer ones than that always may.
    pub fn is_fresh(&self, time_ms: i64, age_max_ms: i64) -> bool {
        time_ms.saturating_sub(self.timestamp) <= age_max_ms
    }
}

impl Serialize for Quote {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { base, quote, ask, bid, timestamp } = self;
        QuoteJson { base, quote, ask, bid, timestamp: *timestamp }.serialize(serializer)
    }
}
