//! A table of quotes as a source of rates for one batch. Owns the rule that old quotes are not used. Knows no table: it is
//! given a function that looks a key up.

use std::cell::RefCell;

use crate::{Currency, Quote, Rates};

/// Quotes looked up so far; a table does not change within a call.
pub struct RateTable<F> {
    look_up: F,
    age_max_ms: i64,
    found: RefCell<Vec<(Currency, Currency, Option<Quote>)>>,
}

/// The quotes that may be used at one time.
pub struct RatesAt<'t, F> {
    table: &'t RateTable<F>,
    time_ms: i64,
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> RateTable<F> {
    pub fn new(age_max_ms: i64, look_up: F) -> Self {
        Self { look_up, age_max_ms, found: RefCell::default() }
    }

    pub fn at(&self, time_ms: i64) -> RatesAt<'_, F> {
        RatesAt { table: self, time_ms }
    }

    fn find(&self, base: Currency, quote: Currency) -> Option<Quote> {
        let mut found = self.found.borrow_mut();
        if let Some((_, _, known)) = found.iter().find(|known| (known.0, known.1) == (base, quote)) {
            return known.clone();
        }
        let key = [base.code(), "-", quote.code()].concat();
        let read = (self.look_up)(key.as_bytes()).and_then(|value| Quote::parse(&value));
        found.push((base, quote, read.clone()));
        read
    }
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> Rates for RatesAt<'_, F> {
    fn quote(&self, base: Currency, quote: Currency) -> Option<Quote> {
        self.table.find(base, quote).filter(|quote| quote.is_fresh(self.time_ms, self.table.age_max_ms))
    }
}
