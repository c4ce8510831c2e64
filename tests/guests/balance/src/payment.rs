//! A payment, read and written in either of two ways.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmill_sdk::{Failure, json};

/// How values are read and written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Parser {
    #[default]
    Serde,
    Extractor,
}

#[derive(Deserialize)]
pub struct Payment<'a> {
    #[serde(borrow)]
    tx_id: Cow<'a, str>,
    #[serde(borrow)]
    pub account_id: Cow<'a, str>,
    pub amount_cents: i64,
    pub fraud_probability: f64,
}

#[derive(Serialize)]
struct Booked<'a> {
    tx_id: &'a str,
    account_id: &'a str,
    amount_cents: i64,
    balance_cents: i64,
}

const NAMES: json::Names<4> = json::Names::new(["tx_id", "account_id", "amount_cents", "fraud_probability"]);

impl<'a> Payment<'a> {
    #[inline]
    pub fn read(parser: Parser, value: &'a [u8]) -> Result<Self, Failure> {
        match parser {
            Parser::Serde => Ok(serde_json::from_slice(value)?),
            Parser::Extractor => {
                let [tx_id, account_id, amount_cents, fraud_probability] = NAMES.read(value)?;
                Ok(Self {
                    tx_id: tx_id.into_text()?,
                    account_id: account_id.into_text()?,
                    amount_cents: amount_cents.as_i64()?,
                    fraud_probability: fraud_probability.as_f64()?,
                })
            }
        }
    }

    #[inline]
    pub fn write(&self, parser: Parser, balance_cents: i64, value: &mut Vec<u8>) -> Result<(), Failure> {
        let (tx_id, account_id, amount_cents) = (&*self.tx_id, &*self.account_id, self.amount_cents);
        match parser {
            Parser::Serde => {
                let booked = Booked { tx_id, account_id, amount_cents, balance_cents };
                Ok(serde_json::to_writer(value, &booked)?)
            }
            Parser::Extractor => {
                let object = json::Object::begin(value).string("tx_id", tx_id).string("account_id", account_id);
                object.integer("amount_cents", amount_cents).integer("balance_cents", balance_cents).end();
                Ok(())
            }
        }
    }
}
