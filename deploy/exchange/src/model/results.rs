//! Requests against results: each request in the order of its partition takes its result, and the result must follow from
//! the request, from the balance at that point, and from the first result of its guid.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::Value;

use super::request::{Order, Request, object};
use super::{FEE_BASIS_POINTS, Kind, Report, Topics, decimal};
use crate::record::Record;
use crate::topics;

/// A result carries the time of its request, so that these name a request.
type Name<'r> = (&'r str, String, i64);

struct Results<'r> {
    waiting: HashMap<Name<'r>, VecDeque<(&'r Record, Value)>>,
}

/// What is known of an account at one point of its requests.
#[derive(Default)]
struct Account<'r> {
    balances: BTreeMap<String, i128>,
    /// First result of each guid, and what was asked for.
    first: HashMap<String, (&'r Record, Value, Result<Order, &'static str>)>,
}

pub(super) fn check(topics: &Topics<'_>, report: &mut Report) {
    let known: BTreeSet<&str> = topics.of(topics::ACCOUNT).iter().filter_map(|record| record.key_text()).collect();
    let rates = rates(topics);
    report.counts.accounts = known.len() as u64;
    report.counts.rates = topics.of(topics::EXCHANGE_RATE).len() as u64;
    let mut results = Results::read(topics, report);
    let mut asked: BTreeSet<Name<'_>> = BTreeSet::new();
    let mut accounts: HashMap<&str, Account<'_>> = HashMap::new();
    for request in topics.of(topics::TRANSACTION_REQUEST).iter().filter_map(|record| Request::read(record)) {
        report.counts.requests += 1;
        let name = (request.account, request.guid.clone(), request.record.timestamp_ms);
        let account = accounts.entry(request.account).or_default();
        let result = results.take(&name, &request, account);
        asked.insert(name);
        let Some((record, body)) = result else {
            report.add(Kind::Lost, request.record, format!("guid {} has no result", request.guid));
            continue;
        };
        if !account.first.contains_key(&request.guid) {
            first(&request, record, &body, account, known.contains(request.account), &rates, report);
            account.first.insert(request.guid, (record, body, request.order));
        } else {
            again(&request, record, &body, account, report);
        }
    }
    results.left_over(&asked, report);
}

impl<'r> Results<'r> {
    fn read(topics: &Topics<'r>, report: &mut Report) -> Self {
        let mut waiting: HashMap<Name<'r>, VecDeque<(&'r Record, Value)>> = HashMap::new();
        for topic in [topics::TRANSACTION_SUCCESS, topics::TRANSACTION_FAILED] {
            for record in topics.of(topic) {
                let Some(body) = object(record.value.as_deref()) else {
                    report.add(Kind::WrongResult, record, "not a JSON object".into());
                    continue;
                };
                count(record, &body, report);
                let guid = body["guid"].as_str().unwrap_or_default().to_owned();
                let name = (record.key_text().unwrap_or_default(), guid, record.timestamp_ms);
                waiting.entry(name).or_default().push_back((record, body));
            }
        }
        Self { waiting }
    }

    /// The result of a request. Requests of one guid within one millisecond share a name, and their results lie in two
    /// topics without an order between them: then it is the one that fits, if any does.
    fn take(&mut self, name: &Name<'r>, request: &Request<'_>, account: &Account<'_>) -> Option<(&'r Record, Value)> {
        let waiting = self.waiting.get_mut(name)?;
        let is_duplicate = |body: &Value| body["reason"] == "duplicate";
        let fits = |(record, body): &(&Record, Value)| match account.first.get(&request.guid) {
            Some((first, _, order)) if request.order == *order => {
                record.topic == first.topic && record.value == first.value
            }
            Some(_) => is_duplicate(body),
            None => !record.has_header(topics::REPEATED_HEADER) && !is_duplicate(body),
        };
        let index = waiting.iter().position(fits).unwrap_or(0);
        waiting.remove(index)
    }

    fn left_over(&self, asked: &BTreeSet<Name<'_>>, report: &mut Report) {
        for (name, left) in &self.waiting {
            let kind = if asked.contains(name) { Kind::Doubled } else { Kind::Unasked };
            for (record, _) in left {
                report.add(kind, record, format!("guid {} has more results than requests", name.1));
            }
        }
    }
}

fn count(record: &Record, body: &Value, report: &mut Report) {
    report.counts.repeated += u64::from(record.has_header(topics::REPEATED_HEADER));
    if record.topic == topics::TRANSACTION_SUCCESS {
        report.counts.successes += 1;
    } else {
        report.counts.failures += 1;
        let reason = body["reason"].as_str().unwrap_or("none").to_owned();
        *report.counts.reasons.entry(reason).or_default() += 1;
    }
}

/// Every rate that ever was, as it was written.
fn rates(topics: &Topics<'_>) -> BTreeSet<String> {
    let body = |record: &&Record| object(record.value.as_deref()).map(|rate| rate.to_string());
    topics.of(topics::EXCHANGE_RATE).iter().filter_map(body).collect()
}

/// The first result of a guid.
fn first(
    request: &Request<'_>,
    record: &Record,
    body: &Value,
    account: &mut Account<'_>,
    is_known: bool,
    rates: &BTreeSet<String>,
    report: &mut Report,
) {
    let wrong = |report: &mut Report, text: String| report.add(Kind::WrongResult, record, text);
    if record.has_header(topics::REPEATED_HEADER) {
        wrong(report, "marked as repeated, but it is the first".into());
    }
    if body["account"] != request.account {
        wrong(report, "names another account".into());
    }
    let order = match &request.order {
        Ok(order) => order,
        Err(reason) => {
            if record.topic != topics::TRANSACTION_FAILED || body["reason"] != *reason {
                wrong(report, format!("should have failed with {reason}"));
            }
            return;
        }
    };
    if record.topic == topics::TRANSACTION_FAILED {
        if let Some(text) = unfounded(order, body["reason"].as_str().unwrap_or_default(), account) {
            wrong(report, text);
        }
        return;
    }
    if !is_known {
        wrong(report, "done for an account that does not exist".into());
    }
    if body["type"] != order.kind {
        wrong(report, "of another type than its request".into());
    }
    let Some((debit, credit)) = legs(order, body) else {
        return wrong(report, "amounts do not fit the request, or are not canonical".into());
    };
    if order.kind == "EXCHANGE" {
        let (gross, wrong_fee) = gross(credit, &body["fee"]);
        if let Some(text) = wrong_fee.or_else(|| wrong_exchange(debit, gross, &body["rate"], rates)) {
            report.add(Kind::WrongExchange, record, text);
        }
    } else if !body["rate"].is_null() || !body["fee"].is_null() {
        wrong(report, "names a rate or a fee, but nothing was exchanged".into());
    }
    report.counts.fees += u64::from(!body["fee"].is_null());
    book(record, &order.kind, debit, credit, account, report);
}

/// Why this failure does not follow from what is known. Whether an account or a rate was there in time cannot be told.
fn unfounded(order: &Order, reason: &str, account: &Account<'_>) -> Option<String> {
    let is_exchange = order.kind == "EXCHANGE";
    let is_founded = match (reason, &order.debit) {
        ("insufficient-funds", Some((amount, currency))) => {
            account.balances.get(currency).copied().unwrap_or_default() < *amount
        }
        ("unknown-account", _) => true,
        ("unknown-rate", _) => is_exchange,
        // A credit that rounds to nothing, or a balance beyond the limit.
        ("invalid-amount", _) => is_exchange || order.kind == "DEPOSIT",
        _ => false,
    };
    (!is_founded).then(|| format!("failed with {reason} without cause"))
}

type Leg<'b> = Option<(i128, &'b str)>;

/// Debit and credit of a result, if they are those of the order.
fn legs<'b>(order: &Order, body: &'b Value) -> Option<(Leg<'b>, Leg<'b>)> {
    let debit = leg(&body["debitAmount"], &body["debitCurrency"])?;
    let credit = leg(&body["creditAmount"], &body["creditCurrency"])?;
    let is_debit = debit.map(|(parts, code)| (parts, code.to_owned())) == order.debit;
    let is_credit = match (&order.credit, credit) {
        (None, None) => true,
        (Some((amount, currency)), Some((parts, code))) => {
            code == currency && amount.is_none_or(|asked| asked == parts)
        }
        _ => false,
    };
    (is_debit && is_credit).then_some((debit, credit))
}

/// `Some(None)` is a leg that is not there.
fn leg<'b>(amount: &Value, currency: &'b Value) -> Option<Leg<'b>> {
    if amount.is_null() && currency.is_null() {
        return Some(None);
    }
    let (amount, currency) = (amount.as_str()?, currency.as_str()?);
    let parts = decimal::parts(amount, decimal::scale(currency))?;
    (decimal::text(parts, decimal::scale(currency)) == amount).then_some(Some((parts, currency)))
}

/// A credit before its fee, and what is wrong with the fee: it is a fixed share of the whole, in the same currency.
fn gross<'b>(credit: Leg<'b>, fee: &Value) -> (Leg<'b>, Option<String>) {
    let Some((net, currency)) = credit.filter(|_| !fee.is_null()) else { return (credit, None) };
    let parts = fee.as_str().and_then(|fee| decimal::parts(fee, decimal::scale(currency)));
    let Some(parts) = parts else { return (credit, Some(format!("charges {fee}, which is no amount"))) };
    let gross = net + parts;
    let is_share = decimal::is_rounded(parts, gross * i128::from(FEE_BASIS_POINTS), 10_000) == Some(true);
    let wrong = (!is_share).then(|| format!("charges {fee} of {gross} {currency}"));
    (Some((gross, currency)), wrong)
}

fn wrong_exchange(debit: Leg<'_>, credit: Leg<'_>, rate: &Value, rates: &BTreeSet<String>) -> Option<String> {
    if !rates.contains(&rate.to_string()) {
        return Some("names a rate that was never published".into());
    }
    let (Some((debit, from)), Some((credit, to))) = (debit, credit) else { return Some("has only one leg".into()) };
    let price = |name: &str| rate[name].as_str().and_then(|price| decimal::parts(price, 8));
    let (base, quote) = (rate["base"].as_str()?, rate["quote"].as_str()?);
    let power = |digits: usize| 10_i128.pow(digits as u32);
    let ratio = if (base, quote) == (to, from) {
        let number = debit.checked_mul(power(8 + decimal::scale(to) - decimal::scale(from)));
        number.zip(price("ask"))
    } else if (base, quote) == (from, to) {
        let number = price("bid").and_then(|bid| debit.checked_mul(bid));
        number.zip(Some(power(8 + decimal::scale(from) - decimal::scale(to))))
    } else {
        return Some(format!("names the rate {base}-{quote} for {from} to {to}"));
    };
    match ratio.and_then(|(number, divisor)| decimal::is_rounded(credit, number, divisor)) {
        Some(true) => None,
        Some(false) => Some(format!("{debit} {from} are not {credit} {to} by {rate}")),
        None => Some("beyond what can be checked".into()),
    }
}

fn book(record: &Record, kind: &str, debit: Leg<'_>, credit: Leg<'_>, account: &mut Account<'_>, report: &mut Report) {
    if let Some((parts, currency)) = debit {
        let balance = account.balances.entry(currency.to_owned()).or_default();
        *balance -= parts;
        if *balance < 0 {
            let text = format!("leaves {} {currency}", decimal::text(*balance, decimal::scale(currency)));
            report.add(Kind::NegativeBalance, record, text);
        }
        let flows = report.flows(currency);
        let sum = if kind == "EXCHANGE" { &mut flows.debits } else { &mut flows.withdrawals };
        *sum += parts;
    }
    if let Some((parts, currency)) = credit {
        *account.balances.entry(currency.to_owned()).or_default() += parts;
        let flows = report.flows(currency);
        let sum = if kind == "EXCHANGE" { &mut flows.credits } else { &mut flows.deposits };
        *sum += parts;
    }
}

/// A guid that has been answered: the same request gets the same bytes, another request is a duplicate.
fn again(request: &Request<'_>, record: &Record, body: &Value, account: &Account<'_>, report: &mut Report) {
    let (first, _, order) = &account.first[&request.guid];
    let is_repetition = record.has_header(topics::REPEATED_HEADER);
    let text = if request.order != *order {
        let is_duplicate = record.topic == topics::TRANSACTION_FAILED && body["reason"] == "duplicate";
        (!is_duplicate || is_repetition).then_some("should have failed with duplicate")
    } else if request.order.is_err() && body["reason"] == "duplicate" {
        // Two invalid requests may differ in what the model does not compare.
        None
    } else if record.topic != first.topic || record.value != first.value {
        Some("is not the result that its guid got before")
    } else {
        (!is_repetition).then_some("repeats a result without saying so")
    };
    if let Some(text) = text {
        report.add(Kind::WrongResult, record, text.into());
    }
}
