//! The balances of one account, as the store `account` keeps them.

use money::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::logic::Fault;

/// An account that has been opened once. Its money stays if it is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub is_open: bool,
    /// Sorted by currency; a currency once held stays with a balance of zero.
    entries: Vec<Money>,
}

#[derive(Serialize)]
struct Written<'a> {
    account: &'a str,
    open: bool,
    entries: Vec<Entry<Money>>,
}

#[derive(Deserialize)]
struct Read<'a> {
    open: bool,
    #[serde(borrow)]
    entries: Vec<EntryRead<'a>>,
}

#[derive(Serialize)]
struct Entry<B> {
    currency: &'static str,
    balance: B,
}

#[derive(Deserialize)]
struct EntryRead<'a> {
    currency: &'a str,
    balance: &'a str,
}

impl Account {
    /// One that never held anything.
    pub fn closed() -> Self {
        Self { is_open: false, entries: Vec::new() }
    }

    /// # Errors
    /// The value is not what [`Account::write`] writes.
    pub fn read(value: &[u8]) -> Result<Self, Fault> {
        let read: Read<'_> = serde_json::from_slice(value).map_err(|error| Fault::state(error.to_string()))?;
        let money = |entry: &EntryRead<'_>| Money::parse(entry.balance, Currency::parse(entry.currency)?).ok();
        let entries: Option<Vec<Money>> = read.entries.iter().map(money).collect();
        let entries = entries.ok_or_else(|| Fault::state("an account's balance cannot be read"))?;
        Ok(Self { is_open: read.open, entries })
    }

    pub fn write(&self, account: &str) -> Vec<u8> {
        let entry = |money: &Money| Entry { currency: money.currency.code(), balance: *money };
        let written = Written { account, open: self.is_open, entries: self.entries.iter().map(entry).collect() };
        serde_json::to_vec(&written).expect("plain data is written without fault")
    }

    pub fn balance(&self, currency: Currency) -> Money {
        self.find(currency).map_or_else(|_| Money::zero(currency), |at| self.entries[at])
    }

    pub fn set(&mut self, balance: Money) {
        match self.find(balance.currency) {
            Ok(at) => self.entries[at] = balance,
            Err(at) => self.entries.insert(at, balance),
        }
    }

    fn find(&self, currency: Currency) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&currency, |money| money.currency)
    }
}
