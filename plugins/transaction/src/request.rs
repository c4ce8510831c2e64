//! A transaction request as it came, and the transaction that it stands for with its amounts in canonical text.
//! Owns what can be said about a request without any state.

use std::borrow::Cow;
use std::fmt;

use money::{Currency, DecimalText, Member, Money, is_identifier, object_of, text_of};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::logic::{Fault, Reason};

/// A request that can be answered: its account and its guid could be read.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    account: &'a str,
    guid: Cow<'a, str>,
    pub timestamp_ms: i64,
    members: Members<'a>,
}

/// What is asked for, checked as far as that goes without state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Deposit { credit: Money },
    Withdraw { debit: Money },
    Exchange { debit: Money, credit: Currency },
}

/// The members of a result that repeat the request. Of a known type only its own members are kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction<'r> {
    pub guid: &'r str,
    pub account: &'r str,
    #[serde(rename = "type")]
    pub kind: Option<&'r str>,
    pub debit_amount: Option<AmountText<'r>>,
    pub debit_currency: Option<&'r str>,
    pub credit_amount: Option<AmountText<'r>>,
    pub credit_currency: Option<&'r str>,
}

/// Canonical if the amount can be read, else as it came.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AmountText<'r> {
    Canonical(DecimalText),
    AsItCame(&'r str),
}

#[derive(Clone, Debug, Default)]
struct Members<'a> {
    guid: Member<'a>,
    account: Member<'a>,
    kind: Member<'a>,
    debit_amount: Member<'a>,
    debit_currency: Member<'a>,
    credit_amount: Member<'a>,
    credit_currency: Member<'a>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Name {
    Guid,
    Account,
    Type,
    DebitAmount,
    DebitCurrency,
    CreditAmount,
    CreditCurrency,
    #[serde(other)]
    Other,
}

impl<'a> Request<'a> {
    /// # Errors
    /// No account or no guid can be read, so that no result could be matched to the request.
    pub fn read(key: Option<&'a [u8]>, value: Option<&'a [u8]>, timestamp_ms: i64) -> Result<Self, Fault> {
        let account = text_of(key).filter(|account| is_identifier(account));
        let account = account.ok_or_else(|| Fault::malformed("the key is no account"))?;
        let text = object_of(value).ok_or_else(|| Fault::malformed("the value is no object"))?;
        let members: Members<'a> = serde_json::from_str(text).map_err(|error| Fault::malformed(error.to_string()))?;
        match &members.guid {
            Member::Text(guid) if is_identifier(guid) => {
                Ok(Self { account, guid: guid.clone(), timestamp_ms, members })
            }
            _ => Err(Fault::malformed("`guid` is missing or no identifier")),
        }
    }

    pub fn account(&self) -> &'a str {
        self.account
    }

    pub fn guid(&self) -> &str {
        &self.guid
    }

    /// What the results of this request repeat.
    pub fn transaction(&self) -> Transaction<'_> {
        let members = &self.members;
        let kind = members.kind.text();
        let (has_debit, has_credit, has_credit_amount) = match kind {
            Some("DEPOSIT") => (false, true, true),
            Some("WITHDRAW") => (true, false, false),
            Some("EXCHANGE") => (true, true, false),
            _ => (true, true, true),
        };
        Transaction {
            guid: &self.guid,
            account: self.account,
            kind,
            debit_amount: amount_text(&members.debit_amount, &members.debit_currency).filter(|_| has_debit),
            debit_currency: members.debit_currency.text().filter(|_| has_debit),
            credit_amount: amount_text(&members.credit_amount, &members.credit_currency).filter(|_| has_credit_amount),
            credit_currency: members.credit_currency.text().filter(|_| has_credit),
        }
    }

    /// # Errors
    /// `malformed`, `invalid-currency` or `invalid-amount`, the first of them in this order.
    pub fn order(&self) -> Result<Order, Reason> {
        let members = &self.members;
        if members.account.text() != Some(self.account) {
            return Err(Reason::Malformed);
        }
        match members.kind.text() {
            Some("DEPOSIT") => {
                Ok(Order::Deposit { credit: money(&members.credit_amount, currency(&members.credit_currency)?)? })
            }
            Some("WITHDRAW") => {
                Ok(Order::Withdraw { debit: money(&members.debit_amount, currency(&members.debit_currency)?)? })
            }
            Some("EXCHANGE") => {
                let (debit, credit) = (currency(&members.debit_currency)?, currency(&members.credit_currency)?);
                let debit = money(&members.debit_amount, debit)?;
                if debit.currency == credit {
                    Err(Reason::InvalidCurrency)
                } else {
                    Ok(Order::Exchange { debit, credit })
                }
            }
            _ => Err(Reason::Malformed),
        }
    }
}

fn currency(member: &Member<'_>) -> Result<Currency, Reason> {
    match member {
        Member::Text(code) => Currency::parse(code).ok_or(Reason::InvalidCurrency),
        Member::Absent => Err(Reason::InvalidCurrency),
        Member::Number(_) | Member::Other => Err(Reason::Malformed),
    }
}

fn money(member: &Member<'_>, currency: Currency) -> Result<Money, Reason> {
    if *member == Member::Other {
        return Err(Reason::Malformed);
    }
    Money::read(member, currency).ok().filter(|money| money.is_positive()).ok_or(Reason::InvalidAmount)
}

fn amount_text<'r>(amount: &'r Member<'_>, currency: &Member<'_>) -> Option<AmountText<'r>> {
    let as_it_came = match amount {
        Member::Text(text) => text.as_ref(),
        Member::Number(number) => number,
        Member::Absent | Member::Other => return None,
    };
    let money = currency.text().and_then(Currency::parse).and_then(|currency| Money::read(amount, currency).ok());
    Some(money.map_or(AmountText::AsItCame(as_it_came), |money| AmountText::Canonical(money.text())))
}

impl AmountText<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Canonical(text) => text.as_str(),
            Self::AsItCame(text) => text,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            /// Of a member that comes twice the last counts, as in most languages' libraries.
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key()? {
                    let member = match name {
                        Name::Guid => &mut members.guid,
                        Name::Account => &mut members.account,
                        Name::Type => &mut members.kind,
                        Name::DebitAmount => &mut members.debit_amount,
                        Name::DebitCurrency => &mut members.debit_currency,
                        Name::CreditAmount => &mut members.credit_amount,
                        Name::CreditCurrency => &mut members.credit_currency,
                        Name::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *member = map.next_value()?;
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
