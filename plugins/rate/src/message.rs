//! The messages of a market, in the JSON of Coinbase's web socket feed.

use serde::Deserialize;

use crate::book::Level;
use crate::logic::Fault;

/// One message. Prices and sizes are texts and stay so until they are used.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message<'a> {
    Subscriptions,
    Snapshot {
        product_id: &'a str,
        #[serde(borrow)]
        bids: Vec<Level<'a>>,
        #[serde(borrow)]
        asks: Vec<Level<'a>>,
    },
    #[serde(rename = "l2update")]
    Changes {
        product_id: &'a str,
        /// Side, price, size.
        #[serde(borrow)]
        changes: Vec<(&'a str, &'a str, &'a str)>,
    },
    Ticker {
        product_id: &'a str,
        #[serde(rename = "best_bid")]
        bid: &'a str,
        #[serde(rename = "best_ask")]
        ask: &'a str,
    },
    /// Heartbeats, errors, and what the market may yet come to send.
    #[serde(other)]
    Unknown,
}

impl<'a> Message<'a> {
    /// # Errors
    /// `malformed`: no message, or one whose product is not the record's key.
    pub fn read(key: Option<&[u8]>, value: Option<&'a [u8]>) -> Result<Self, Fault> {
        let text = money::object_of(value).ok_or_else(|| Fault::malformed("the value is no object"))?;
        let message: Self = serde_json::from_str(text).map_err(|error| Fault::malformed(error.to_string()))?;
        let product = message.product();
        if !product.is_empty() && key != Some(product.as_bytes()) {
            return Err(Fault::malformed(format!("product `{product}` is not the key")));
        }
        Ok(message)
    }

    /// Empty for messages that concern no product.
    pub fn product(&self) -> &'a str {
        match self {
            Self::Snapshot { product_id, .. } | Self::Changes { product_id, .. } | Self::Ticker { product_id, .. } => {
                product_id
            }
            Self::Subscriptions | Self::Unknown => "",
        }
    }
}
