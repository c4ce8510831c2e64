//! The extractor agrees with `serde_json` on whatever is valid, usual or not.

use serde_json::{Value, json};

use super::{Member, Names, Object};

const NAMES: Names<4> = Names::new(["tx_id", "account_id", "amount_cents", "fraud_probability"]);

/// xorshift64*: the same values in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

#[track_caller]
fn check(text: &str) {
    let by_the_book: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(text);
    let Ok(book) = by_the_book else { panic!("the test's text is not valid: {text}") };
    let members = NAMES.read(text.as_bytes()).unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
    for (name, member) in ["tx_id", "account_id", "amount_cents", "fraud_probability"].iter().zip(&members) {
        let value = book.get(*name);
        assert_eq!(member.is_missing(), value.is_none(), "{name} of {text}");
        let Some(value) = value else { continue };
        assert_eq!(member.as_str().ok(), value.as_str(), "{name} of {text}");
        assert_eq!(member.as_i64().ok(), value.as_i64(), "{name} of {text}");
        assert_eq!(member.as_bool().ok(), value.as_bool(), "{name} of {text}");
        assert_eq!(member.is_null(), value.is_null(), "{name} of {text}");
        let (float, book_float) = (member.as_f64().ok(), value.as_f64());
        let is_near = |a: f64, b: f64| a == b || ((a - b) / b).abs() < 1e-15;
        assert!(float.zip(book_float).map_or(float == book_float, |(a, b)| is_near(a, b)), "{name} of {text}");
    }
}

#[test]
fn usual_and_unusual_objects_read_as_by_the_book() {
    let cases = [
        r#"{"tx_id":"t","account_id":"a","amount_cents":5,"fraud_probability":0.25}"#,
        r#"{ "tx_id" : "t" , "account_id" : "a" , "amount_cents" : -5 , "fraud_probability" : 1 }"#,
        "{\n\t\"fraud_probability\": 1e-3,\r\n\"amount_cents\": 9223372036854775807}",
        r#"{"amount_cents":-9223372036854775808,"fraud_probability":-0.0}"#,
        r#"{"amount_cents":1.0,"fraud_probability":123456789.123456789123456789}"#,
        r#"{"amount_cents":99999999999999999999,"tx_id":""}"#,
        r#"{"amount_cents":"5","fraud_probability":null,"tx_id":true,"account_id":false}"#,
        r#"{}"#,
        r#"{"other":1}"#,
        r#"{"tx_id":"with \"escapes\" \u00e4","account_id":"\\"}"#,
        r#"{"nested":{"tx_id":"not this"},"tx_id":"this","list":["account_id",1],"account_id":"b"}"#,
        r#"{"tx_idx":"x","tx_i":"y","xx_id":"z","amount_centz":7,"account_idaccount_id":"q","tx_id":"t"}"#,
        r#"{"tx_id":"äöü€","account_id":"日本"}"#,
        r#"{"tx_id":"a:b,c}{][","account_id":": "}"#,
        r#"{"x":0,"tx_id":"t"}"#,
    ];
    cases.iter().for_each(|text| check(text));
}

#[test]
fn objects_of_any_length_and_order_read_as_by_the_book() {
    let mut random = Random(42);
    for round in 0..20_000 {
        let mut members = vec![
            format!(r#""tx_id":"tx-{}""#, "9".repeat(random.below(70) as usize)),
            format!(r#""account_id": "acc-{}""#, random.below(1_000_000)),
            format!(r#""amount_cents":{}"#, (random.below(u64::MAX) as i64) >> random.below(63)),
            format!(r#""fraud_probability":{}"#, random.below(1_000_000) as f64 / 1e6),
            format!(r#""filler":"{}""#, "x".repeat(random.below(150) as usize)),
            r#""flag":true"#.to_owned(),
        ];
        for at in (1..members.len()).rev() {
            members.swap(at, random.below(at as u64 + 1) as usize);
        }
        members.truncate(1 + round % 6);
        check(&format!("{{{}}}", members.join(if round % 2 == 0 { "," } else { ", " })));
    }
}

#[test]
fn what_is_no_object_or_no_number_is_malformed() {
    for text in [
        "",
        "[]",
        "{}x",
        r#"{"tx_id":"t""#,
        "1",
        "\"tx_id\"",
        "{",
        r#"{"tx_id""#,
        r#"{"tx_id":}"#,
        r#"{"tx_id":"open"#,
        "{tx_id:1}",
    ] {
        let failure = NAMES.read(text.as_bytes()).expect_err(text);
        assert_eq!(failure.code, "malformed", "{text}");
    }
    for text in ["01", "-", "1.", "+1", "1e", "0x1", "--1", "1-2", "infinity", "1_000"] {
        let object = format!(r#"{{"amount_cents":{text},"tx_id":"","account_id":"","fraud_probability":0}}"#);
        let Ok([_, _, amount, _]) = NAMES.read(object.as_bytes()) else { continue };
        assert!(amount.as_i64().is_err() && amount.as_f64().is_err(), "{text}");
    }
}

#[test]
fn any_bytes_can_be_read_without_harm() {
    let mut random = Random(7);
    let alphabet = br#"{}[]:,"\ 019.-eE+tfnulas_xidcomp"#;
    for _ in 0..200_000 {
        let len = random.below(90);
        let bytes: Vec<u8> = (0..len).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect();
        if let Ok(members) = NAMES.read(&bytes) {
            members.iter().for_each(|member: &Member<'_>| {
                let _ = (member.as_bytes(), member.as_i64(), member.as_f64(), member.as_number_text());
            });
        }
    }
}

#[test]
fn numbers_keep_their_digits() {
    const AMOUNT: Names<1> = Names::new(["amount"]);
    for digits in ["0.10", "123456789012345678901234567890.5", "-1e5"] {
        let text = format!(r#"{{"amount":{digits}}}"#);
        let [amount] = AMOUNT.read(text.as_bytes()).expect("an object");
        assert_eq!(amount.as_number_text().expect("a number"), digits);
    }
}

#[test]
fn objects_are_written_as_serde_does() {
    for text in ["", "plain", "with \"quotes\"", "back\\slash", "line\nbreak", "12345678\u{1}", "äöü€", "exactly8"]
    {
        for number in [0, 7, -7, i64::MAX, i64::MIN] {
            let mut written = Vec::new();
            Object::begin(&mut written)
                .string("text", text)
                .integer("number", number)
                .boolean("b", true)
                .null("n")
                .end();
            let read: Value = serde_json::from_slice(&written).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(read, json!({"text": text, "number": number, "b": true, "n": null}), "{text:?}");
        }
    }
    let mut empty = Vec::new();
    Object::begin(&mut empty).end();
    assert_eq!(empty, b"{}");
}
