//! What cannot run here is refused with every reason and what to do about each.

#[path = "support/guests.rs"]
mod guests;

use guests::engine;
use wasmill::wasm::{Component, Limits};

fn problems(bytes: &[u8]) -> Vec<String> {
    let limits = Limits { component_bytes_max: 1 << 20, ..Limits::default() };
    match Component::compile(&engine(), bytes, &limits) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_is_no_component_is_named() {
    let core_module = *b"\0asm\x01\0\0\0";
    let text = "not a WebAssembly file but text: upload the `.wasm` that the build wrote";
    let cases: [(&[u8], &str); 8] = [
        (b"", "component is empty: was the upload cut off?"),
        (b"fn main() {}\n", text),
        (
            b"PK\x03\x04...",
            "not a WebAssembly file but a zip archive (unpack it first): upload the `.wasm` that the build wrote",
        ),
        (b"\x7fELF....", "not a WebAssembly file but a native program: upload the `.wasm` that the build wrote"),
        (
            b"\x1f\x8b\x08\x00",
            "not a WebAssembly file but gzip data (unpack it first): upload the `.wasm` that the build wrote",
        ),
        (
            &core_module,
            "a core module, not a component: build for `wasm32-wasip2`, or wrap it with `wasm-tools component new`",
        ),
        (
            b"\0asm\x0e\0\x01\0",
            "a component of binary format 0x1000e, which this host does not read: use a tool chain of today",
        ),
        (&vec![b'x'; (1 << 20) + 1], "component is 1048577 bytes; the limit is 1048576: strip its debug information"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(problems(bytes), [expected]);
    }
}

#[test]
fn a_cut_off_component_is_not_valid() {
    let whole = guests::bytes("guest-identity");
    let told = problems(&whole[..whole.len() / 2]);
    assert!(told.len() == 1 && told[0].starts_with("not a valid component: "), "{told:?}");
}

#[test]
fn every_wrong_import_and_export_is_told_at_once() {
    let allowed = "(allowed: wasmill:plugin/{state,tables,log,moment} and WASI 0.2 without http)";
    let foreign =
        |name: &str| format!("imports `{name}`, which a processor does not get: remove what needs it {allowed}");
    let expected = [
        foreign("wasi:http/outgoing-handler@0.2.0"),
        foreign("acme:db/sql@1.0.0"),
        "imports `get` of `wasmill:plugin/state@1.0.0` as func(u32, string) -> option<list<u8>>, but it is \
         func(u32, list<u8>) -> option<list<u8>>: build against wasmill:plugin@1.0.0"
            .to_owned(),
        "imports `watch` of `wasmill:plugin/state@1.0.0`, which contract 1.0.0 does not have: upgrade this host"
            .to_owned(),
        "does not export `wasmill:plugin/framed@1.0.0`: implement the world `processor` of wit/plugin.wit".to_owned(),
    ];
    assert_eq!(problems(&guests::bytes("wat-foreign-imports")), expected);
}

#[test]
fn a_fitting_component_written_by_hand_is_taken() {
    assert_eq!(problems(&guests::bytes("wat-fitting")), Vec::<String>::new());
}

#[test]
fn wrong_exports_are_told() {
    let cases = [
        (
            "wat-without-open",
            "exports `wasmill:plugin/framed@1.0.0` without `open`: build against wasmill:plugin@1.0.0",
        ),
        (
            "wat-other-contract",
            "exports `wasmill:plugin/framed@2.0.0`, but this host serves contract 1.0.0: upgrade the host, or build \
            against its contract",
        ),
        (
            "wat-other-failure",
            "exports `process` of `wasmill:plugin/framed@1.0.0` as func(u32, list<u8>) -> result<list<u8>, record{code: \
             string, index: u32, message: string}>, but it must be func(u32, list<u8>) -> result<list<u8>, record{code: \
             string, index: option<u32>, message: string}>: build against wasmill:plugin@1.0.0",
        ),
    ];
    for (guest, expected) in cases {
        assert_eq!(problems(&guests::bytes(guest)), [expected], "{guest}");
    }
}

#[test]
fn guests_of_ordinary_toolchains_fit() {
    for guest in ["guest-identity", "guest-misbehave", "guest-balance", "fraud"] {
        assert_eq!(problems(&guests::bytes(guest)), Vec::<String>::new(), "{guest}");
    }
}
