//! Wallets against transactions: the last wallet of each account is the fold of its successful transactions, no balance
//! was ever below zero on the way, and the balances of all wallets are what came in less what went out.

use std::collections::BTreeMap;

use super::request::object;
use super::{Kind, Report, Topics, decimal};
use crate::record::Record;
use crate::topics;

type Balances = BTreeMap<String, i128>;

pub(super) fn check(topics: &Topics<'_>, report: &mut Report) {
    let folded = fold(topics, report);
    let mut last: BTreeMap<&str, &Record> = BTreeMap::new();
    for record in topics.of(topics::WALLET) {
        last.insert(record.key_text().unwrap_or_default(), record);
    }
    report.counts.wallets = topics.of(topics::WALLET).len() as u64;
    for (account, record) in &last {
        let Some(held) = balances(account, record) else {
            report.add(Kind::WrongWallet, record, "not a wallet, or its entries are not sorted".into());
            continue;
        };
        for (currency, parts) in &held {
            report.flows(currency).balances += parts;
        }
        if nonzero(&held) != nonzero(folded.get(account).unwrap_or(&Balances::new())) {
            report.add(Kind::WrongWallet, record, "is not the fold of the account's transactions".into());
        }
    }
    for account in folded.keys().filter(|account| !last.contains_key(*account)) {
        report.note(Kind::WrongWallet, format!("account {account} has transactions but no wallet"));
    }
    conserved(report);
}

/// In the order of the topic, without results that repeat earlier ones.
fn fold<'r>(topics: &Topics<'r>, report: &mut Report) -> BTreeMap<&'r str, Balances> {
    let mut folded: BTreeMap<&str, Balances> = BTreeMap::new();
    let first = |record: &&&Record| !record.has_header(topics::REPEATED_HEADER);
    for record in topics.of(topics::TRANSACTION_SUCCESS).iter().filter(first) {
        let Some(body) = object(record.value.as_deref()) else { continue };
        let balances = folded.entry(record.key_text().unwrap_or_default()).or_default();
        for (sign, amount, currency) in [(-1, "debitAmount", "debitCurrency"), (1, "creditAmount", "creditCurrency")] {
            let (Some(amount), Some(currency)) = (body[amount].as_str(), body[currency].as_str()) else { continue };
            let balance = balances.entry(currency.to_owned()).or_default();
            *balance += sign * decimal::parts(amount, decimal::scale(currency)).unwrap_or_default();
            if *balance < 0 {
                report.add(Kind::NegativeBalance, record, format!("{currency} falls below zero in the topic's order"));
            }
        }
    }
    folded
}

/// `None` if it is no wallet of this account.
fn balances(account: &str, record: &Record) -> Option<Balances> {
    let body = object(record.value.as_deref()).filter(|body| body["account"] == account)?;
    let mut balances = Balances::new();
    let mut last = "";
    for entry in body["entries"].as_array()? {
        let (currency, balance) = (entry["currency"].as_str()?, entry["balance"].as_str()?);
        if currency <= last {
            return None;
        }
        last = currency;
        balances.insert(currency.to_owned(), decimal::parts(balance, decimal::scale(currency))?);
    }
    Some(balances)
}

fn nonzero(balances: &Balances) -> Balances {
    balances.iter().filter(|(_, parts)| **parts != 0).map(|(currency, parts)| (currency.clone(), *parts)).collect()
}

fn conserved(report: &mut Report) {
    let flows: Vec<_> = report.flows.iter().map(|(currency, flows)| (currency.clone(), *flows)).collect();
    for (currency, flows) in flows {
        if flows.balances != flows.expected() {
            let text = |parts| decimal::text(parts, decimal::scale(&currency));
            let note = format!("{currency}: {} held, {} expected", text(flows.balances), text(flows.expected()));
            report.note(Kind::NotConserved, note);
        }
    }
}
