//! What a message of the market makes of the rate of its product. Pure but for the levels of the order book, which are
//! kept behind a small trait. Knows no topics.

use money::{Price, Quote};
use serde::{Deserialize, Serialize};

use crate::book::{self, Levels};
use crate::message::Message;

/// What the manifest may set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A rate that has not moved is written again after this long, to say that the feed is alive.
    pub refresh_ms: i64,
}

/// A record that cannot be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

/// What is kept of a product beside its levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Product {
    /// Whether a snapshot has come. Changes before it belong to a book that is not known.
    pub has_book: bool,
    pub best: Best,
    /// The rate last written.
    pub rate: Option<Quote>,
}

/// The best prices of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    pub bid: Option<Price>,
    pub ask: Option<Price>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProductJson<P, R> {
    has_book: bool,
    bid: Option<P>,
    ask: Option<P>,
    rate: Option<R>,
}

/// Takes in one message and gives the rate to write, if it moved or is due again.
///
/// # Errors
/// `malformed`: a price or a size is no decimal, or the product is not `BASE-QUOTE`.
pub fn take(
    message: &Message<'_>,
    timestamp_ms: i64,
    product: &mut Product,
    levels: &mut impl Levels,
    settings: &Settings,
) -> Result<Option<Quote>, Fault> {
    let best = match message {
        Message::Subscriptions | Message::Unknown => return Ok(None),
        Message::Snapshot { bids, asks, .. } => {
            product.best = book::replace(message.product(), bids, asks, levels)?;
            product.has_book = true;
            product.best
        }
        Message::Changes { changes, .. } if product.has_book => {
            book::change(message.product(), changes, &mut product.best, levels)?;
            product.best
        }
        Message::Ticker { bid, ask, .. } if !product.has_book => {
            Best { bid: Some(price(bid)?), ask: Some(price(ask)?) }
        }
        // A book says more than a ticker, and changes without a book say nothing.
        Message::Changes { .. } | Message::Ticker { .. } => return Ok(None),
    };
    let Some(rate) = rate(message.product(), best, timestamp_ms, product.rate.as_ref())? else { return Ok(None) };
    let is_due = product.rate.as_ref().is_none_or(|last| {
        (last.ask, last.bid) != (rate.ask, rate.bid) || rate.timestamp - last.timestamp >= settings.refresh_ms
    });
    if !is_due {
        return Ok(None);
    }
    product.rate = Some(rate.clone());
    Ok(Some(rate))
}

/// The rate of a book that has both sides and is not crossed. Its time never goes back.
fn rate(product: &str, best: Best, timestamp_ms: i64, last: Option<&Quote>) -> Result<Option<Quote>, Fault> {
    let (base, quote) = pair(product)?;
    let (Some(bid), Some(ask)) = (best.bid, best.ask) else { return Ok(None) };
    if bid > ask {
        return Ok(None);
    }
    let timestamp = last.map_or(timestamp_ms, |last| last.timestamp.max(timestamp_ms));
    Ok(Some(Quote { base: base.into(), quote: quote.into(), ask, bid, timestamp }))
}

fn pair(product: &str) -> Result<(&str, &str), Fault> {
    match product.split_once('-') {
        Some((base, quote)) if !base.is_empty() && !quote.is_empty() && !quote.contains('-') => Ok((base, quote)),
        _ => Err(Fault::malformed(format!("product `{product}` is not BASE-QUOTE"))),
    }
}

pub(crate) fn price(text: &str) -> Result<Price, Fault> {
    Price::parse(text).map_err(|error| Fault::malformed(format!("price `{text}`: {error}")))
}

impl Product {
    /// # Errors
    /// The value is not what [`Product::write`] writes.
    pub fn read(value: &[u8]) -> Result<Self, Fault> {
        let state = |message: String| Fault { code: "state", message };
        let json: ProductJson<&str, &serde_json::value::RawValue> =
            serde_json::from_slice(value).map_err(|error| state(error.to_string()))?;
        let best = Best { bid: json.bid.map(price).transpose()?, ask: json.ask.map(price).transpose()? };
        let rate = json.rate.map(|rate| Quote::parse(rate.get().as_bytes()).ok_or_else(|| state("no rate".into())));
        Ok(Self { has_book: json.has_book, best, rate: rate.transpose()? })
    }

    pub fn write(&self) -> Vec<u8> {
        let Best { bid, ask } = self.best;
        let json = ProductJson { has_book: self.has_book, bid, ask, rate: self.rate.as_ref() };
        serde_json::to_vec(&json).expect("plain data is written without fault")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { refresh_ms: 1_000 }
    }
}

impl Fault {
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { code: "malformed", message: message.into() }
    }
}
