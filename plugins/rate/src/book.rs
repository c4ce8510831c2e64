//! The order book of a product: its levels in a store whose keys sort the best price of a side first. A snapshot replaces a
//! book. Prices are compared as integers.

use money::{Price, is_empty_size};

use crate::logic::{Best, Fault, price};

/// Where levels are kept. A key is product, side and rank of the price.
pub trait Levels {
    fn put(&mut self, key: &[u8], value: &[u8]);
    fn remove(&mut self, key: &[u8]);
    /// The value of the first key with `start <= key < end`.
    fn first(&mut self, start: &[u8], end: &[u8]) -> Option<Vec<u8>>;
    /// All keys with `start <= key < end`.
    fn keys(&mut self, start: &[u8], end: &[u8]) -> Vec<Vec<u8>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Bid,
    Ask,
}

/// Price and size of a level.
pub type Level<'a> = (&'a str, &'a str);

/// Digits of a rank: prices have fewer than 10^20 parts.
const RANK_MAX: u128 = 10_u128.pow(20) - 1;

/// Puts these levels in the place of all that were there.
pub(crate) fn replace(
    product: &str,
    bids: &[Level<'_>],
    asks: &[Level<'_>],
    levels: &mut impl Levels,
) -> Result<Best, Fault> {
    let (start, end) = (key_start(product, None), key_end(product, None));
    for key in levels.keys(&start, &end) {
        levels.remove(&key);
    }
    let mut best = Best::default();
    for (side, side_levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
        for (price_text, size) in side_levels {
            set(product, side, price_text, size, &mut best, levels)?;
        }
    }
    Ok(best)
}

/// Changes single levels; a size of zero removes one.
pub(crate) fn change(
    product: &str,
    changes: &[(&str, &str, &str)],
    best: &mut Best,
    levels: &mut impl Levels,
) -> Result<(), Fault> {
    for (side, price_text, size) in changes {
        let side = match *side {
            "buy" => Side::Bid,
            "sell" => Side::Ask,
            _ => return Err(Fault::malformed(format!("side `{side}` is neither buy nor sell"))),
        };
        set(product, side, price_text, size, best, levels)?;
    }
    Ok(())
}

fn set(
    product: &str,
    side: Side,
    price_text: &str,
    size: &str,
    best: &mut Best,
    levels: &mut impl Levels,
) -> Result<(), Fault> {
    let price = price(price_text)?;
    let is_empty = is_empty_size(size).map_err(|error| Fault::malformed(format!("size `{size}`: {error}")))?;
    let key = key(product, side, price);
    let top = best.of(side);
    if !is_empty {
        levels.put(&key, format!(r#"{{"price":"{}","size":"{size}"}}"#, price.text().as_str()).as_bytes());
        if top.is_none_or(|top| side.is_better(price, top)) {
            *top = Some(price);
        }
        return Ok(());
    }
    levels.remove(&key);
    if *top == Some(price) {
        let first = levels.first(&key_start(product, Some(side)), &key_end(product, Some(side)));
        *top = first.map(|value| price_of(&value)).transpose()?;
    }
    Ok(())
}

fn price_of(value: &[u8]) -> Result<Price, Fault> {
    #[derive(serde::Deserialize)]
    struct Stored<'a> {
        price: &'a str,
    }
    let stored: Stored<'_> =
        serde_json::from_slice(value).map_err(|error| Fault { code: "state", message: error.to_string() })?;
    price(stored.price)
}

/// The best price of a side sorts first: bids by falling price, asks by rising.
fn key(product: &str, side: Side, price: Price) -> Vec<u8> {
    let rank = match side {
        Side::Bid => RANK_MAX - price.parts(),
        Side::Ask => price.parts(),
    };
    format!("{product}/{}/{rank:020}", side.name()).into_bytes()
}

fn key_start(product: &str, side: Option<Side>) -> Vec<u8> {
    side.map_or_else(|| format!("{product}/"), |side| format!("{product}/{}/", side.name())).into_bytes()
}

/// `0` follows `/`.
fn key_end(product: &str, side: Option<Side>) -> Vec<u8> {
    side.map_or_else(|| format!("{product}0"), |side| format!("{product}/{}0", side.name())).into_bytes()
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Ask => "ask",
        }
    }

    fn is_better(self, price: Price, than: Price) -> bool {
        match self {
            Self::Bid => price > than,
            Self::Ask => price < than,
        }
    }
}

impl Best {
    fn of(&mut self, side: Side) -> &mut Option<Price> {
        match side {
            Side::Bid => &mut self.bid,
            Side::Ask => &mut self.ask,
        }
    }
}
