//! What a request to open an account makes of it. Pure: owns no state, knows no topics.

use std::borrow::Cow;

use money::{is_identifier, object_of, text_of};
use serde::{Deserialize, Serialize};

/// A record that cannot be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

/// What a page sends, and the first part of what it gets.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Person<'a> {
    #[serde(borrow)]
    number: Cow<'a, str>,
    #[serde(borrow, default)]
    first_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    last_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    street_address: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    postal_code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    city: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    country: Option<Cow<'a, str>>,
}

/// A value of the topic and of the store `account`. Dates are milliseconds since 1970, as Kafka Connect writes them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account<'a> {
    #[serde(borrow, flatten)]
    person: Person<'a>,
    creation_date: i64,
    update_date: i64,
}

/// The two dates of a known account.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dates {
    creation_date: i64,
    update_date: i64,
}

/// The account's new value. A request for a known account changes its data; one that changes nothing gets the value that
/// is there.
///
/// # Errors
/// `malformed`: the key is no account, or the value is not a request for it.
pub fn open(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    timestamp_ms: i64,
    known: Option<&[u8]>,
) -> Result<Vec<u8>, Fault> {
    let number =
        text_of(key).filter(|number| is_identifier(number)).ok_or_else(|| malformed("the key is no account"))?;
    let text = object_of(value).ok_or_else(|| malformed("the value is no object"))?;
    let person: Person<'_> = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if person.number != number {
        return Err(malformed("`number` is not the key"));
    }
    let (creation_date, update_date) = match known {
        None => (timestamp_ms, timestamp_ms),
        Some(known) => dates(known, &person, timestamp_ms)?,
    };
    let account = Account { person, creation_date, update_date };
    Ok(serde_json::to_vec(&account).expect("plain data is written without fault"))
}

fn dates(known: &[u8], person: &Person<'_>, timestamp_ms: i64) -> Result<(i64, i64), Fault> {
    let read = |error: serde_json::Error| Fault { code: "state", message: error.to_string() };
    let dates: Dates = serde_json::from_slice(known).map_err(read)?;
    let was: Person<'_> = serde_json::from_slice(known).map_err(read)?;
    let update_date = if was == *person { dates.update_date } else { timestamp_ms };
    Ok((dates.creation_date, update_date))
}

fn malformed(message: impl Into<String>) -> Fault {
    Fault { code: "malformed", message: message.into() }
}
