//! Whatever a component does wrong becomes a fault of its kind, leaves nothing behind, and the next instance works.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/map_store.rs"]
mod map_store;

use guests::{batch, document, fault, instance, outputs, scope, version};
use map_store::MapStore;
use serde_json::json;
use wasmill::processor::{FaultKind, GuestFault, ProcessError, Scope, Version};
use wasmill::wasm::{Limits, WasmVersion};

/// Small enough for the tests to be quick.
fn limits() -> Limits {
    Limits {
        memory_bytes_max: 32 << 20,
        memory_bytes_recycle: 8 << 20,
        call_cpu_ms: 500,
        record_cpu_us: 0,
        open_cpu_ms: 500,
        ..Limits::default()
    }
}

fn misbehave(behaviour: &str) -> WasmVersion {
    version("guest-misbehave", &document(json!({"behaviour": behaviour}), &["totals"]), limits())
}

fn scope_with_store() -> Scope {
    Scope { stores: vec![Box::new(MapStore::default())], ..scope() }
}

/// The fault of a batch of one good and one bad record; checks that nothing is left behind and that another instance works.
fn fault_of(behaviour: &str) -> (GuestFault, Scope) {
    let mut version = misbehave(behaviour);
    let mut scope = scope_with_store();
    let mut first = instance(&mut version);
    first.process(batch(&[("k", "fine")]).whole(), &mut scope).expect("good records pass");
    let fault = fault(first.process(batch(&[("k", "good"), ("k", "bad")]).whole(), &mut scope));
    assert_eq!(outputs(&scope), [(0, "k".into(), "fine".into())], "{behaviour}: outputs of the failed call are left");
    assert_eq!((scope.stores.len(), scope.output_count), (1, 1), "{behaviour}: the scope is not whole");
    drop(first);
    let mut next = instance(&mut version);
    next.process(batch(&[("k", "next")]).whole(), &mut scope).expect("the next instance works");
    assert_eq!(outputs(&scope).last(), Some(&(0, "k".into(), "next".into())), "{behaviour}");
    (fault, scope)
}

#[test]
fn each_misdeed_is_a_fault_of_its_kind() {
    let malformed = || FaultKind::Failure("malformed".to_owned());
    let cases = [
        ("trap", FaultKind::Trap, None, "trapped on record 1"),
        ("loop", FaultKind::Timeout, None, "used more than 500 ms of CPU time"),
        ("eat-memory", FaultKind::Memory, None, "asked for more memory than its limit of 32 MiB"),
        ("recurse", FaultKind::Trap, None, "wasm trap: out of bounds memory access"),
        ("flood-output", FaultKind::Memory, None, "limit of 32 MiB"),
        ("flood-state", FaultKind::Contract, None, "wrote more than 33554432 bytes of state in one call"),
        ("undeclared-output", FaultKind::Contract, None, "names output 9, but only 1 are declared"),
        ("undeclared-store", FaultKind::Contract, None, "asked for store 9, but 1 are declared"),
        ("broken-frames", FaultKind::Contract, None, "frame at byte 36"),
        ("huge-key", FaultKind::Contract, None, "a key has 1 to 65535 bytes, not 100000"),
        ("empty-key", FaultKind::Contract, None, "a key has 1 to 65535 bytes, not 0"),
        ("fail", malformed(), Some(1), "this record is bad"),
        ("fail-somewhere", malformed(), None, "some record is bad"),
        ("shout", FaultKind::Trap, None, "last words"),
        ("exit", FaultKind::Trap, None, "exited with"),
    ];
    for (behaviour, kind, index, message) in cases {
        let (fault, _) = fault_of(behaviour);
        assert_eq!((&fault.kind, fault.index), (&kind, index), "{behaviour}: {fault:?}");
        assert!(fault.message.contains(message), "{behaviour}: {fault:?}");
    }
}

#[test]
fn a_trap_tells_its_last_words_and_its_stack() {
    let (fault, scope) = fault_of("shout");
    assert!(fault.message.contains("src/misdeeds.rs"), "{fault:?}");
    let backtrace = fault.backtrace.expect("a trap has a stack");
    assert!(backtrace.contains("wasm backtrace") && backtrace.len() <= 4_096, "{backtrace}");
    let lines: Vec<_> = scope.log.iter().map(|line| line.text.as_str()).collect();
    assert!(lines.contains(&"first words") && lines.contains(&"warning words"), "{lines:?}");
}

#[test]
fn too_many_frames_are_refused() {
    let limits = Limits { output_bytes_max: 1 << 20, memory_bytes_max: 256 << 20, call_cpu_ms: 10_000, ..limits() };
    let document = document(json!({"behaviour": "flood-output"}), &[]);
    let mut version = version("guest-misbehave", &document, limits);
    let fault = fault(instance(&mut version).process(batch(&[("k", "bad")]).whole(), &mut scope()));
    assert_eq!(fault.kind, FaultKind::Contract);
    assert!(fault.message.contains("the limit is 1048576"), "{fault:?}");
}

#[test]
fn a_flooded_log_is_cut_and_no_fault() {
    let mut version = misbehave("flood-log");
    let mut scope = scope_with_store();
    instance(&mut version).process(batch(&[("k", "bad")]).whole(), &mut scope).expect("logging is no fault");
    assert_eq!(scope.log.len(), 101);
    assert_eq!(scope.log[99].text, "line 99");
    assert_eq!(scope.log[100].text, "9900 more lines were dropped: a call may log 100 lines, 65536 bytes");
}

#[test]
fn an_instance_that_grew_is_bloated() {
    let mut version = misbehave("hoard");
    let mut instance = instance(&mut version);
    let mut scope = scope_with_store();
    let one = batch(&[("k", "bad")]);
    assert!(!instance.is_bloated());
    for _ in 0..12 {
        instance.process(one.whole(), &mut scope).expect("12 MiB are within the limit");
    }
    assert!(instance.is_bloated());
}

#[test]
fn a_broken_disk_is_the_hosts_fault() {
    let mut version = misbehave("remember");
    let mut broken = MapStore::default();
    broken.is_broken = true;
    let mut scope = Scope { stores: vec![Box::new(broken)], ..scope() };
    let result = instance(&mut version).process(batch(&[("k", "1")]).whole(), &mut scope);
    match result {
        Err(ProcessError::Host(message)) => assert!(message.contains("input/output error"), "{message}"),
        other => panic!("the host's fault was expected, not {other:?}"),
    }
    assert_eq!(scope.stores.len(), 1);
}

#[test]
fn an_instance_is_not_called_again_after_a_fault() {
    let mut version = misbehave("trap");
    let mut instance = instance(&mut version);
    let mut scope = scope_with_store();
    fault(instance.process(batch(&[("k", "bad")]).whole(), &mut scope));
    let again = instance.process(batch(&[("k", "good")]).whole(), &mut scope);
    assert!(matches!(again, Err(ProcessError::Host(_))), "{again:?}");
}

#[test]
fn what_does_not_open_says_why() {
    let cases = [
        ("refuse-to-open", FaultKind::Failure("open".to_owned()), "does not like its settings"),
        ("trap-on-open", FaultKind::Trap, "trapped while opening"),
        ("loop-on-open", FaultKind::Timeout, "used more than 500 ms of CPU time"),
    ];
    for (behaviour, kind, message) in cases {
        let Err(ProcessError::Guest(fault)) = misbehave(behaviour).instance() else {
            panic!("{behaviour} opened");
        };
        assert_eq!(fault.kind, kind, "{behaviour}: {fault:?}");
        assert!(fault.message.contains(message), "{behaviour}: {fault:?}");
    }
}

#[test]
fn all_missing_names_are_told_at_once() {
    let document = wasmill::wasm::OpenDocument { processor: "balance".into(), ..Default::default() };
    let mut version = version("guest-balance", &document, limits());
    let Err(ProcessError::Guest(fault)) = version.instance() else { panic!("it opened without its store") };
    let expected = "not declared for processor `balance` in the manifest: output `balances`, store `balance`";
    assert_eq!(fault.message, expected);
}

#[test]
fn the_remembering_component_is_wrong_once_its_call_was_dropped() {
    let mut version = misbehave("remember");
    let mut scope = scope_with_store();
    let mut instance = instance(&mut version);
    instance.process(batch(&[("a", "5")]).whole(), &mut scope).expect("it counts");
    scope.stores = vec![Box::new(MapStore::default())];
    instance.process(batch(&[("a", "5")]).whole(), &mut scope).expect("it counts");
    assert_eq!(outputs(&scope).last(), Some(&(0, "a".into(), "10".into())), "it believes its memory");
}

#[test]
fn what_no_compiler_would_produce_is_a_fault_too() {
    let cases = [
        ("wat-list-outside", "the returned list lies outside the component's memory"),
        ("wat-list-endless", "the returned list lies outside the component's memory"),
        ("wat-bad-discriminant", "discriminant"),
    ];
    for (guest, message) in cases {
        let mut version = version(guest, &document(json!({}), &[]), limits());
        let mut scope = scope();
        let fault = fault(instance(&mut version).process(batch(&[("k", "v")]).whole(), &mut scope));
        assert_eq!(fault.kind, FaultKind::Contract, "{guest}: {fault:?}");
        assert!(fault.message.contains(message), "{guest}: {fault:?}");
        assert!(scope.outputs.is_empty(), "{guest}");
    }
}

#[test]
fn a_component_that_cannot_even_be_made_says_why() {
    let cases = [
        ("wat-realloc-outside", FaultKind::Contract, "realloc return: beyond end of memory"),
        ("wat-large-from-the-start", FaultKind::Memory, "asked for more memory than its limit of 32 MiB"),
    ];
    for (guest, kind, message) in cases {
        let Err(ProcessError::Guest(fault)) = version(guest, &document(json!({}), &[]), limits()).instance() else {
            panic!("{guest} opened");
        };
        assert_eq!(fault.kind, kind, "{guest}: {fault:?}");
        assert!(fault.message.contains(message), "{guest}: {fault:?}");
    }
}
