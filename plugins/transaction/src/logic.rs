//! The rules of a transaction: one request, what is known, and the one answer. Pure: owns no state, knows no topics.

use money::{DecimalText, Money, Quote, Rates, exchange};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::memory::Remembered;
use crate::request::{AmountText, Order, Request, Transaction};

/// Parts that a fee is counted in.
const BASIS_POINTS: u32 = 10_000;

/// What the manifest may set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Days of stream time for which a guid is remembered. A client that repeats a request does so within days.
    pub guid_keep_days: u32,
    /// Age beyond which a quote is not used: money never moves on a dead feed.
    pub rate_age_max_ms: i64,
    /// What an exchange costs, in ten-thousandths of the credit.
    pub fee_basis_points: u32,
}

/// Which topic an answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failed,
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    InsufficientFunds,
    UnknownAccount,
    UnknownRate,
    InvalidAmount,
    InvalidCurrency,
    /// The guid belongs to another transaction of this account.
    Duplicate,
    Malformed,
}

/// Why there is no answer at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

/// The answer to one request, and what changes with it.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub outcome: Outcome,
    pub value: Vec<u8>,
    /// The same guid again: the answer of then, and nothing changes.
    pub is_repeated: bool,
    /// New value of the account, if it changes.
    pub account: Option<Vec<u8>>,
    /// What to remember for the guid, if it is new.
    pub remembered: Option<Vec<u8>>,
    /// When the guid was used before, so long ago that it is new again.
    pub forgotten_ms: Option<i64>,
}

#[derive(Serialize)]
struct Success<'r> {
    #[serde(flatten)]
    transaction: &'r Transaction<'r>,
    rate: Option<&'r Quote>,
    /// In the currency of the credit, which is what is left of it. Only where a fee is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<DecimalText>,
}

#[derive(Serialize)]
struct Failed<'r> {
    #[serde(flatten)]
    transaction: &'r Transaction<'r>,
    reason: Reason,
}

/// A transaction that can be done: computed whole before anything changes.
struct Done {
    account: Account,
    credit: Option<Money>,
    rate: Option<Quote>,
    fee: Option<Money>,
}

/// Answers a request. `account` and `remembered` are the values of the stores, `rates` gives the quotes that may be used
/// at the time of the request.
///
/// # Errors
/// A value of a store cannot be read.
pub fn answer(
    request: &Request<'_>,
    account: Option<&[u8]>,
    remembered: Option<&[u8]>,
    rates: &impl Rates,
    settings: &Settings,
) -> Result<Answer, Fault> {
    let transaction = request.transaction();
    let known = remembered.map(Remembered::read).transpose()?;
    let is_kept = |known: &Remembered<'_>| request.timestamp_ms.saturating_sub(known.timestamp) <= settings.keep_ms();
    if let Some(known) = known.as_ref().filter(|known| is_kept(known)) {
        return again(known, &transaction);
    }
    let mut answer = match done(request, account, rates, settings)? {
        Ok(done) => succeeded(transaction, done),
        Err(reason) => failed(&transaction, reason),
    };
    let result = std::str::from_utf8(&answer.value).expect("JSON is UTF-8");
    answer.remembered = Some(Remembered::write(answer.outcome, request.timestamp_ms, result));
    answer.forgotten_ms = known.map(|known| known.timestamp);
    Ok(answer)
}

fn again(known: &Remembered<'_>, transaction: &Transaction<'_>) -> Result<Answer, Fault> {
    if !known.is_answer_to(transaction)? {
        return Ok(failed(transaction, Reason::Duplicate));
    }
    let value = known.result.get().as_bytes().to_vec();
    Ok(Answer { is_repeated: true, ..Answer::new(known.outcome, value) })
}

/// Checks in the order in which reasons are given.
fn done(
    request: &Request<'_>,
    account: Option<&[u8]>,
    rates: &impl Rates,
    settings: &Settings,
) -> Result<Result<Done, Reason>, Fault> {
    let order = match request.order() {
        Ok(order) => order,
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(account) = account.map(Account::read).transpose()?.filter(|account| account.is_open) else {
        return Ok(Err(Reason::UnknownAccount));
    };
    Ok(match order {
        Order::Deposit { credit } => booked(account, None, Some(credit), None),
        Order::Withdraw { debit } => booked(account, Some(debit), None, None),
        Order::Exchange { debit, credit } => match exchange(debit, credit, rates) {
            None => Err(Reason::UnknownRate),
            Some(traded) => {
                let fee = traded.credit.and_then(|credit| settings.fee_of(credit));
                let credit = traded.credit.and_then(|credit| fee.map_or(Some(credit), |fee| credit.checked_sub(fee)));
                match credit.filter(|credit| credit.is_positive()) {
                    None => Err(Reason::InvalidAmount),
                    Some(credit) => {
                        booked(account, Some(debit), Some(credit), Some(traded.rate)).map(|done| Done { fee, ..done })
                    }
                }
            }
        },
    })
}

/// Both legs, or neither.
fn booked(
    mut account: Account,
    debit: Option<Money>,
    credit: Option<Money>,
    rate: Option<Quote>,
) -> Result<Done, Reason> {
    if let Some(debit) = debit {
        let left = account.balance(debit.currency).checked_sub(debit).filter(|left| !left.is_negative());
        account.set(left.ok_or(Reason::InsufficientFunds)?);
    }
    if let Some(credit) = credit {
        let sum = account.balance(credit.currency).checked_add(credit);
        account.set(sum.ok_or(Reason::InvalidAmount)?);
    }
    Ok(Done { account, credit, rate, fee: None })
}

fn succeeded(mut transaction: Transaction<'_>, done: Done) -> Answer {
    transaction.credit_amount = done.credit.map(|credit| AmountText::Canonical(credit.text()));
    let value = serde_json::to_vec(&Success {
        transaction: &transaction,
        rate: done.rate.as_ref(),
        fee: done.fee.map(|fee| fee.text()),
    });
    let value = value.expect("plain data is written without fault");
    Answer { account: Some(done.account.write(transaction.account)), ..Answer::new(Outcome::Success, value) }
}

fn failed(transaction: &Transaction<'_>, reason: Reason) -> Answer {
    let value = serde_json::to_vec(&Failed { transaction, reason }).expect("plain data is written without fault");
    Answer::new(Outcome::Failed, value)
}

impl Answer {
    fn new(outcome: Outcome, value: Vec<u8>) -> Self {
        Self { outcome, value, is_repeated: false, account: None, remembered: None, forgotten_ms: None }
    }
}

impl Settings {
    pub fn keep_ms(&self) -> i64 {
        i64::from(self.guid_keep_days) * 24 * 3600 * 1000
    }

    /// What an exchange with this credit costs, rounded half even; `None` where nothing is charged.
    fn fee_of(&self, credit: Money) -> Option<Money> {
        (self.fee_basis_points > 0).then(|| credit.share(self.fee_basis_points, BASIS_POINTS))?
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { guid_keep_days: 7, rate_age_max_ms: 60_000, fee_basis_points: 0 }
    }
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

impl Fault {
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { code: "malformed", message: message.into() }
    }

    pub fn state(message: impl Into<String>) -> Self {
        Self { code: "state", message: message.into() }
    }
}
