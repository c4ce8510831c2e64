//! What each account holds and what it is worth: the fold of successful transactions. Pure: owns no state, knows no
//! topics.

use std::borrow::Cow;

use money::{Currency, Money, Rates, exchange, object_of};
use serde::{Deserialize, Serialize};

/// What the manifest may set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The currency of valuations.
    pub valuation_currency: String,
    /// Age beyond which a quote is not used.
    pub rate_age_max_ms: i64,
}

/// A record that cannot be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

/// A value of the topic and of the store `wallet`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wallet {
    /// Sorted by currency.
    entries: Vec<Money>,
    valuation: Option<Valuation>,
}

/// The worth of all entries at one time. It may be older than the entries, by less than a second of stream time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Valuation {
    pub amount: Money,
    pub timestamp_ms: i64,
}

/// What a wallet needs to know of a successful transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    debit_amount: Option<&'a str>,
    debit_currency: Option<&'a str>,
    credit_amount: Option<&'a str>,
    credit_currency: Option<&'a str>,
}

#[derive(Serialize)]
struct Written<'a> {
    account: &'a str,
    entries: Vec<EntryWritten>,
    valuation: Option<ValuationJson<&'a str, Money>>,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    entries: Vec<EntryRead<'a>>,
    #[serde(borrow)]
    valuation: Option<ValuationJson<&'a str, &'a str>>,
}

#[derive(Serialize)]
struct EntryWritten {
    currency: &'static str,
    balance: Money,
}

#[derive(Deserialize)]
struct EntryRead<'a> {
    currency: &'a str,
    balance: &'a str,
}

#[derive(Serialize, Deserialize)]
struct ValuationJson<C, A> {
    currency: C,
    amount: A,
    timestamp: i64,
}

impl Wallet {
    /// # Errors
    /// The value is not what [`Wallet::write`] writes.
    pub fn read(value: &[u8]) -> Result<Self, Fault> {
        let state = |message: &str| Fault { code: "state", message: message.into() };
        let read: Read<'_> = serde_json::from_slice(value).map_err(|error| state(&error.to_string()))?;
        let money = |text: &str, code: &str| Money::parse(text, Currency::parse(code)?).ok();
        let entries: Option<Vec<Money>> =
            read.entries.iter().map(|entry| money(entry.balance, entry.currency)).collect();
        let valuation = match read.valuation {
            None => None,
            Some(json) => {
                let amount = money(json.amount, json.currency).ok_or_else(|| state("no valuation"))?;
                Some(Valuation { amount, timestamp_ms: json.timestamp })
            }
        };
        Ok(Self { entries: entries.ok_or_else(|| state("no balance"))?, valuation })
    }

    pub fn write(&self, account: &str) -> Vec<u8> {
        let entry = |money: &Money| EntryWritten { currency: money.currency.code(), balance: *money };
        let valuation = self.valuation.map(|valuation| ValuationJson {
            currency: valuation.amount.currency.code(),
            amount: valuation.amount,
            timestamp: valuation.timestamp_ms,
        });
        let written = Written { account, entries: self.entries.iter().map(entry).collect(), valuation };
        serde_json::to_vec(&written).expect("plain data is written without fault")
    }

    /// Adds one successful transaction. `key` is the record's.
    ///
    /// # Errors
    /// `malformed`: no successful transaction of this account. `inconsistent`: the account would hold less than nothing,
    /// so a transaction before it is missing.
    pub fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Fault> {
        let text = object_of(value).ok_or_else(|| malformed("the value is no object"))?;
        let transaction: Transaction<'_> = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if key != Some(transaction.account.as_bytes()) {
            return Err(malformed("`account` is not the key"));
        }
        let debit = leg(transaction.debit_amount, transaction.debit_currency)?;
        let credit = leg(transaction.credit_amount, transaction.credit_currency)?;
        if let Some(debit) = debit {
            self.book(debit.currency, |balance| balance.checked_sub(debit).filter(|left| !left.is_negative()))?;
        }
        if let Some(credit) = credit {
            self.book(credit.currency, |balance| balance.checked_add(credit))?;
        }
        Ok(())
    }

    fn book(&mut self, currency: Currency, change: impl FnOnce(Money) -> Option<Money>) -> Result<(), Fault> {
        let place = self.entries.binary_search_by_key(&currency, |entry| entry.currency);
        let balance = place.map_or_else(|_| Money::zero(currency), |at| self.entries[at]);
        let inconsistent = || Fault { code: "inconsistent", message: "a balance leaves its bounds".into() };
        let changed = change(balance).ok_or_else(inconsistent)?;
        match place {
            Ok(at) => self.entries[at] = changed,
            Err(at) => self.entries.insert(at, changed),
        }
        Ok(())
    }

    /// Values the wallet anew if a second has begun since it was valued last. Gives whether the worth changed. Without a
    /// rate for each currency held there is no worth; nor is there one of nothing.
    pub fn value(&mut self, time_ms: i64, currency: Currency, rates: &impl Rates) -> bool {
        let second = |time_ms: i64| time_ms.div_euclid(1_000);
        if self.valuation.is_some_and(|last| second(last.timestamp_ms) >= second(time_ms)) {
            return false;
        }
        let before = self.valuation.map(|valuation| valuation.amount);
        let worth = if self.entries.is_empty() { None } else { self.worth(currency, rates) };
        self.valuation = worth.map(|amount| Valuation { amount, timestamp_ms: time_ms });
        before != worth
    }

    fn worth(&self, currency: Currency, rates: &impl Rates) -> Option<Money> {
        let held = self.entries.iter().filter(|entry| entry.is_positive());
        held.into_iter().try_fold(Money::zero(currency), |sum, entry| {
            let part = if entry.currency == currency { *entry } else { exchange(*entry, currency, rates)?.credit? };
            sum.checked_add(part)
        })
    }
}

fn leg(amount: Option<&str>, currency: Option<&str>) -> Result<Option<Money>, Fault> {
    let (Some(amount), Some(currency)) = (amount, currency) else { return Ok(None) };
    let currency = Currency::parse(currency).ok_or_else(|| malformed(format!("currency `{currency}`")))?;
    let money = Money::parse(amount, currency).map_err(|error| malformed(format!("amount `{amount}`: {error}")))?;
    Ok(Some(money))
}

fn malformed(message: impl Into<String>) -> Fault {
    Fault { code: "malformed", message: message.into() }
}

impl Default for Settings {
    fn default() -> Self {
        Self { valuation_currency: "USD".into(), rate_age_max_ms: 60_000 }
    }
}
