//! What a check found: counts, money that moved, violations.

use std::collections::BTreeMap;
use std::fmt;

use super::decimal;
use crate::record::Record;

/// Violations printed; the rest is counted.
const PRINTED_MAX: usize = 20;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub counts: Counts,
    /// By currency.
    pub flows: BTreeMap<String, Flows>,
    pub violations: Vec<Violation>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accounts: u64,
    pub requests: u64,
    pub successes: u64,
    pub failures: u64,
    /// Results that repeat one given before.
    pub repeated: u64,
    /// Of the failures, by reason.
    pub reasons: BTreeMap<String, u64>,
    pub rates: u64,
    pub wallets: u64,
    pub poison: u64,
    pub dead_letters: u64,
    /// Results that name a fee.
    pub fees: u64,
    pub payments: u64,
    pub frauds: u64,
}

/// Sums of one currency, in its smallest parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    pub deposits: i128,
    pub withdrawals: i128,
    pub credits: i128,
    pub debits: i128,
    /// Of all wallets.
    pub balances: i128,
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A request without a result.
    Lost,
    /// More results than requests.
    Doubled,
    /// A result of no request.
    Unasked,
    /// A result that does not follow from its request, the balance, and the results before it.
    WrongResult,
    /// An exchange whose credit does not follow from the rate it names, or a rate that never was.
    WrongExchange,
    NegativeBalance,
    /// A currency whose balances are not what was put in less what was taken out.
    NotConserved,
    /// A wallet that is not the sum of its account's transactions.
    WrongWallet,
    MissingDeadLetter,
    UnexpectedDeadLetter,
    MissingFraud,
    UnexpectedFraud,
    /// A record in another partition than the others of its key.
    Misplaced,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub text: String,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    pub(super) fn add(&mut self, kind: Kind, record: &Record, text: String) {
        let Record { topic, partition, offset, .. } = record;
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        self.note(kind, format!("{topic}/{partition}@{offset} key {key}: {text}"));
    }

    pub(super) fn note(&mut self, kind: Kind, text: String) {
        self.violations.push(Violation { kind, text });
    }

    pub(super) fn flows(&mut self, currency: &str) -> &mut Flows {
        if !self.flows.contains_key(currency) {
            self.flows.insert(currency.to_owned(), Flows::default());
        }
        self.flows.get_mut(currency).expect("it was put there above")
    }
}

impl Flows {
    /// What all balances together must be.
    pub fn expected(&self) -> i128 {
        self.deposits - self.withdrawals + self.credits - self.debits
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { accounts, requests, successes, failures, repeated, poison, dead_letters, .. } = &self.counts;
        let Counts { payments, frauds, rates, wallets, reasons, fees, .. } = &self.counts;
        writeln!(f, "requests      {requests:>9}   of {accounts} accounts, {repeated} of them sent again")?;
        writeln!(f, "results       {:>9}   {successes} done, {failures} failed", successes + failures)?;
        for (reason, count) in reasons {
            writeln!(f, "              {count:>9}   {reason}")?;
        }
        if *fees > 0 {
            writeln!(f, "              {fees:>9}   charged a fee")?;
        }
        writeln!(f, "rates         {rates:>9}   wallets {wallets}")?;
        writeln!(f, "payments      {payments:>9}   {frauds} fraudulent")?;
        writeln!(f, "poison        {poison:>9}   {dead_letters} dead letters")?;
        for (currency, flows) in &self.flows {
            let text = |parts| decimal::text(parts, decimal::scale(currency));
            writeln!(f, "{currency}   in {} out {}", text(flows.deposits), text(flows.withdrawals))?;
            write!(f, "      exchanged +{} -{}", text(flows.credits), text(flows.debits))?;
            writeln!(f, "   held {}", text(flows.balances))?;
        }
        for Violation { kind, text } in self.violations.iter().take(PRINTED_MAX) {
            writeln!(f, "VIOLATION {kind:?}: {text}")?;
        }
        if self.violations.len() > PRINTED_MAX {
            writeln!(f, "… and {} violations more", self.violations.len() - PRINTED_MAX)?;
        }
        let conserved = if self.count(Kind::NotConserved) == 0 { "money conserved" } else { "MONEY NOT CONSERVED" };
        let (lost, doubled) = (self.count(Kind::Lost), self.count(Kind::Doubled) + self.count(Kind::Unasked));
        write!(f, "{lost} lost, {doubled} doubled, {conserved}, {} violations", self.violations.len())
    }
}
