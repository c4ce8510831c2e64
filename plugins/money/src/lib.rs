//! Exact money for the exchange: integers of a fixed scale per currency, canonical text, prices, and exchange as a ratio of
//! integers rounded once. Its rules are those of `plugins/vectors/`, which every language tests. Knows no topics, no state.

mod currency;
mod decimal;
mod exchange;
mod identifier;
mod json;
mod money;
mod quote;
mod rate_table;
mod ratio;

pub use currency::Currency;
pub use decimal::{DecimalError, DecimalText};
pub use exchange::{Rates, Traded, buy, exchange, sell};
pub use identifier::is_identifier;
pub use json::{Member, object_of, text_of};
pub use money::{Money, UNITS_MAX};
pub use quote::{PRICE_SCALE, Price, Quote, is_empty_size};
pub use rate_table::{RateTable, RatesAt};
