//! WASI is there, the machine behind it is not: no files, sockets, variables; time stands still; randomness repeats.

#[path = "support/guests.rs"]
mod guests;

use guests::{batch, document, instance, outputs, scope, version};
use serde_json::json;
use wasmill::processor::Scope;
use wasmill::wasm::Limits;

/// What one call sends whose component behaves so.
fn sent(behaviour: &str, scope: &mut Scope) -> String {
    let mut version = version("guest-misbehave", &document(json!({"behaviour": behaviour}), &[]), Limits::default());
    instance(&mut version).process(batch(&[("k", "bad")]).whole(), scope).expect("the call returns");
    outputs(scope).pop().expect("one output").2
}

#[test]
fn a_spy_learns_the_time_of_the_call_and_nothing_else() {
    let said = sent("spy", &mut scope());
    let expected = "time 1700000000000 stands true arguments 0 variables 0 file false socket permission denied";
    assert_eq!(said, expected);
}

#[test]
fn whoever_sleeps_wakes_at_once() {
    let mut version = version("guest-misbehave", &document(json!({"behaviour": "sleep"}), &[]), Limits::default());
    let records = batch(&[("k", "bad"), ("k", "good")]);
    let mut scope = scope();
    instance(&mut version).process(records.whole(), &mut scope).expect("an hour passes at once");
    assert_eq!(outputs(&scope), [(0, "k".into(), "good".into())]);
}

#[test]
fn randomness_repeats_with_its_seed() {
    let with = |seed| sent("gamble", &mut Scope { seed, ..scope() });
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}
