//! Every function of the host, as a component calls it: state, tables, log, moment, headers, ticks.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/map_store.rs"]
mod map_store;

use std::sync::Arc;

use guests::{batch, document, fault, instance, outputs, scope, version};
use map_store::MapStore;
use serde_json::json;
use wasmill::processor::{FaultKind, LogLevel, LogLine, Processor, Scope, Table};
use wasmill::record::{BatchBuilder, Header, Headers, Input, Partition, Record};
use wasmill::wasm::{Component, Limits};

fn state_guest() -> Box<dyn Processor> {
    instance(&mut version("guest-state", &document(json!({}), &["things"]), Limits::default()))
}

fn scope_with_things() -> Scope {
    let rows = [("BTC", "8000"), ("ETH", "200"), ("EUR", "1.1")];
    let rows = rows.iter().map(|(key, value)| (key.as_bytes().into(), value.as_bytes().into())).collect();
    let table = Table { rows, at_end_ms: 1_699_999_999_000, ..Table::default() };
    Scope { stores: vec![Box::new(MapStore::default())], tables: vec![Arc::new(table)], ..scope() }
}

#[test]
fn each_function_answers() {
    let cases = [
        ("get a", "none"),
        ("put a 1", "done"),
        ("get a", "1"),
        ("apply b=2 c=3 a-", "done"),
        ("many a b c d", "none 2 3 none"),
        ("append x b b new", "2 2x none"),
        ("many b new", "2xx x"),
        ("append 12345678 b", "2xx"),
        ("get b", "none"),
        ("scan a end", "c=3 new=x"),
        ("scan a d", "c=3"),
        ("scan d end", "new=x"),
        ("scan z end", ""),
        ("remove c", "done"),
        ("remove c", "done"),
        ("scan a end", "new=x"),
        ("row BTC", "8000"),
        ("row XRP", "none"),
        ("rows ETH XRP EUR", "200 none 1.1"),
        ("table C end", "ETH=200 EUR=1.1"),
        ("table A F", "BTC=8000 ETH=200 EUR=1.1"),
        ("table F A", ""),
        ("age", "1000"),
        ("now", "1700000000000"),
        ("seed", "7"),
    ];
    let mut instance = state_guest();
    let mut scope = scope_with_things();
    for (command, answer) in cases {
        instance.process(batch(&[("k", command)]).whole(), &mut scope).expect(command);
        assert_eq!(outputs(&scope).last().expect(command).2, answer, "{command}");
    }
}

#[test]
fn a_scan_goes_on_over_many_pieces() {
    let mut instance = state_guest();
    let mut scope = scope_with_things();
    let changes: Vec<String> = (0..1_500).map(|n| format!("k{n:05}={n}")).collect();
    let commands = [format!("apply {}", changes.join(" ")), "scan k end".to_owned()];
    for command in &commands {
        instance.process(batch(&[("k", command)]).whole(), &mut scope).expect("it answers");
    }
    let answer = outputs(&scope).pop().expect("the answer of the scan").2;
    assert_eq!(answer, changes.join(" "));
}

#[test]
fn what_it_logs_comes_with_the_call() {
    let mut scope = scope_with_things();
    let lines = batch(&[("k", "log warn first"), ("k", "log debug second")]);
    state_guest().process(lines.whole(), &mut scope).expect("it logs");
    let line = |level, text: &str| LogLine { level, text: text.to_owned() };
    assert_eq!(scope.log, [line(LogLevel::Warn, "first"), line(LogLevel::Debug, "second")]);
}

#[test]
fn headers_timestamps_and_nulls_go_out() {
    let mut headers = Vec::new();
    Headers::push(&mut headers, b"traceparent", Some(b"t"));
    Headers::push(&mut headers, b"own", Some(b"not carried"));
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    for value in ["headers a=1 b=", "null"] {
        let value = Some(value.as_bytes());
        builder.push(&Record { offset: 0, timestamp_ms: 5, key: Some(b"k"), value, headers: Headers(&headers) });
    }
    let mut scope = scope_with_things();
    state_guest().process(builder.build().whole(), &mut scope).expect("it sends");
    let sent: Vec<_> = scope.outputs.iter().collect();
    let header = |name, value| Header { name, value: Some(value) };
    let trace = header(b"traceparent".as_slice(), b"t".as_slice());
    assert_eq!(sent[0].headers.iter().collect::<Vec<_>>(), [header(b"a", b"1"), header(b"b", b""), trace]);
    assert_eq!((sent[0].timestamp_ms, sent[0].key), (42, Some(&b"k"[..])));
    assert_eq!((sent[1].timestamp_ms, sent[1].key, sent[1].value), (5, None, None));
    assert_eq!(sent[1].headers.iter().collect::<Vec<_>>(), [trace]);
}

#[test]
fn a_failure_names_its_record() {
    let mut scope = scope_with_things();
    let records = batch(&[("k", "get a"), ("k", "dance"), ("k", "get b")]);
    let fault = fault(state_guest().process(records.whole(), &mut scope));
    assert_eq!((fault.kind, fault.index), (FaultKind::Failure("malformed".to_owned()), Some(1)));
    assert_eq!(fault.message, "no such command");
    let fault = self::fault(state_guest().process(records.whole().part(1, 3), &mut scope));
    assert_eq!(fault.index, Some(0), "the index counts within the part");
}

#[test]
fn ticks_reach_those_who_want_them() {
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    builder.push(&Record { offset: 0, timestamp_ms: 60_000, key: None, value: None, headers: Headers(&[]) });
    let tick = builder.build();
    let mut scope = scope_with_things();
    state_guest().tick(tick.whole(), 3, &mut scope).expect("it ticks");
    assert_eq!(outputs(&scope), [(0, "null".into(), "tick 60000 missed 3".into())]);
    assert_eq!(scope.outputs.iter().next().expect("one").timestamp_ms, 60_000);

    let mut version = version("guest-identity", &document(json!({}), &[]), Limits::default());
    instance(&mut version).tick(tick.whole(), 0, &mut scope).expect("a tick that nobody wants is no fault");
    let engine = guests::engine();
    let has_ticks = |guest| {
        let compiled = Component::compile(&engine, &guests::bytes(guest), &Limits::default());
        compiled.expect("the guest fits").has_ticks()
    };
    assert_eq!([has_ticks("guest-state"), has_ticks("guest-identity")], [true, false]);
}

#[test]
fn balances_are_kept_in_the_store() {
    balances_are_kept("serde");
    balances_are_kept("extractor");
}

fn balances_are_kept(parser: &str) {
    let settings = json!({"parser": parser});
    let document = wasmill::wasm::OpenDocument { outputs: vec!["balances".into()], ..document(settings, &["balance"]) };
    let mut version = version("guest-balance", &document, Limits::default());
    let mut scope = scope_with_things();
    let payment = |id: &str, account: &str, cents: i64, fraud: f64| {
        format!(r#"{{"tx_id":"{id}","account_id":"{account}","amount_cents":{cents},"fraud_probability":{fraud}}}"#)
    };
    let values = [
        payment("1", "ann", 100, 0.1),
        payment("2", "bob", 50, 0.8),
        payment("3", "ann", -30, 0.0),
        payment("4", "ann", 999, 0.81),
    ];
    let records: Vec<_> = values.iter().map(|value| ("k", value.as_str())).collect();
    for _ in 0..2 {
        instance(&mut version).process(batch(&records).whole(), &mut scope).expect("payments");
    }
    let booked = |id: &str, account: &str, cents: i64, balance: i64| {
        let value =
            format!(r#"{{"tx_id":"{id}","account_id":"{account}","amount_cents":{cents},"balance_cents":{balance}}}"#);
        (0, "k".to_owned(), value)
    };
    let expected = [
        booked("1", "ann", 100, 100),
        booked("2", "bob", 50, 50),
        booked("3", "ann", -30, 70),
        booked("1", "ann", 100, 170),
        booked("2", "bob", 50, 100),
        booked("3", "ann", -30, 140),
    ];
    assert_eq!(outputs(&scope), expected);
}

#[test]
fn fraud_forwards_what_is_above_its_threshold() {
    let document = |settings| wasmill::wasm::OpenDocument {
        outputs: vec!["fraudulent-payments".into()],
        ..document(settings, &[])
    };
    let payments =
        [r#"{"id":1,"fraudProbability":0.8}"#, r#"{"id":2,"fraudProbability":0.81}"#, r#"{"fraudProbability":1}"#];
    let records: Vec<_> = payments.iter().map(|payment| ("k", *payment)).collect();
    for (settings, passed) in [(json!(null), &payments[1..]), (json!({"threshold": 0.9}), &payments[2..])] {
        let mut version = version("fraud", &document(settings), Limits::default());
        let mut scope = scope();
        instance(&mut version).process(batch(&records).whole(), &mut scope).expect("payments");
        let values: Vec<_> = outputs(&scope).into_iter().map(|(_, _, value)| value).collect();
        assert_eq!(values, passed);
    }
    let mut version = version("fraud", &document(json!({})), Limits::default());
    let malformed = batch(&[("k", payments[0]), ("k", "{\"fraudProbability\":\"high\"}")]);
    let fault = fault(instance(&mut version).process(malformed.whole(), &mut scope()));
    assert_eq!((fault.kind, fault.index), (FaultKind::Failure("malformed".to_owned()), Some(1)));
}
