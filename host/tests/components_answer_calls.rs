//! Records go into a component and come out of it, by value and by name.

#[path = "support/guests.rs"]
mod guests;

use guests::{batch, document, instance, outputs, scope, version};
use wasmill::wasm::Limits;

#[test]
fn records_pass_through_by_value_and_by_name() {
    for guest in ["guest-identity", "guest-forward"] {
        let mut version = version(guest, &document(serde_json::json!({}), &[]), Limits::default());
        let mut instance = instance(&mut version);
        let mut scope = scope();
        let first = batch(&[("a", "1"), ("b", "22")]);
        instance.process(first.whole(), &mut scope).expect("first call");
        let second = batch(&[("c", "")]);
        instance.process(second.whole(), &mut scope).expect("second call");
        let expected = [("a", "1"), ("b", "22"), ("c", "")].map(|(key, value)| (0, key.into(), value.into()));
        assert_eq!(outputs(&scope), expected, "{guest}");
        let times: Vec<_> = scope.outputs.iter().map(|output| output.timestamp_ms).collect();
        assert_eq!(times, [1_000, 1_001, 1_000], "{guest}");
    }
}

#[test]
fn an_empty_batch_makes_nothing() {
    let mut version = version("guest-identity", &document(serde_json::json!({}), &[]), Limits::default());
    let mut scope = scope();
    instance(&mut version).process(batch(&[]).whole(), &mut scope).expect("an empty batch is a batch");
    assert!(scope.outputs.is_empty());
}
