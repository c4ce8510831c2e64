//! What is measured: the records, and the names of the logics.
//! The JSON is that of the published balance workload: 197 bytes, 10,000 accounts, a fifth filtered out.

use crate::payment::Parser;

/// Payments above this are filtered out.
pub const FRAUD_MAX: f64 = 0.8;

/// Bytes of one JSON value.
pub const VALUE_BYTES: usize = 197;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Every record out unchanged.
    Copy,
    /// Parse, filter, per-account balance in a store, JSON out.
    Balance(Parser),
}

const LOGICS: [(Logic, &str); 3] = [
    (Logic::Copy, "copy"),
    (Logic::Balance(Parser::Serde), "balance-serde"),
    (Logic::Balance(Parser::Extractor), "balance-extractor"),
];

impl Logic {
    pub fn name(self) -> &'static str {
        LOGICS.iter().find(|(logic, _)| *logic == self).map_or("", |(_, name)| name)
    }

    pub fn of_name(name: &str) -> Option<Self> {
        LOGICS.iter().find(|(_, known)| *known == name).map(|(logic, _)| *logic)
    }

    pub fn stores(self) -> usize {
        match self {
            Self::Copy => 0,
            Self::Balance(_) => 1,
        }
    }

    /// As the component's settings say it.
    pub fn settings(self) -> serde_json::Value {
        match self {
            Self::Copy => serde_json::json!({}),
            Self::Balance(Parser::Serde) => serde_json::json!({ "parser": "serde" }),
            Self::Balance(Parser::Extractor) => serde_json::json!({ "parser": "extractor" }),
        }
    }
}

/// A small, fast, repeatable source of numbers (xorshift64*).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Key and value of record `index`.
pub fn payment(index: u64, accounts: u64, numbers: &mut Numbers) -> (String, String) {
    let account = format!("acc-{:012}", numbers.below(accounts));
    let amount = numbers.below(200_000) as i64 - 100_000;
    let fraud = numbers.below(10_000) as f64 / 10_000.0;
    let head = format!(
        r#"{{"tx_id":"tx-{index:013}","account_id":"{account}","amount_cents":{amount},"fraud_probability":{fraud},"currency":"EUR","country":"DE","channel":"web","note":""#
    );
    let fill = VALUE_BYTES.saturating_sub(head.len() + 2);
    (account, format!("{head}{}\"}}", "x".repeat(fill)))
}
