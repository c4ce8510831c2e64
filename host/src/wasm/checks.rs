//! What keeps a component from running here: all of it at once, each with what to do.
//! Looks at bytes and types; runs nothing.

use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::ComponentExportIndex;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};

use super::engine::Engine;
use super::imports::CONTRACT;
use super::limits::Limits;
use super::wasi;

/// One thing that is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("component is {bytes} bytes; the limit is {max}: strip its debug information")]
    TooLarge { bytes: usize, max: usize },
    #[error("component is empty: was the upload cut off?")]
    Empty,
    #[error("not a WebAssembly file but {what}: upload the `.wasm` that the build wrote")]
    NotWasm { what: &'static str },
    #[error("a core module, not a component: build for `wasm32-wasip2`, or wrap it with `wasm-tools component new`")]
    CoreModule,
    #[error("a component of binary format {version:#x}, which this host does not read: use a tool chain of today")]
    UnknownFormat { version: u32 },
    #[error("not a valid component: {reason}")]
    NotValid { reason: String },
    #[error("imports `{name}`, which a processor does not get: remove what needs it ({allowed})")]
    ForeignImport { name: String, allowed: &'static str },
    #[error("imports `{function}` of `{interface}`, which contract {CONTRACT} does not have: upgrade this host")]
    UnknownFunction { interface: String, function: String },
    #[error(
        "imports `{function}` of `{interface}` as {found}, but it is {expected}: build against wasmill:plugin@{CONTRACT}"
    )]
    ImportType { interface: String, function: String, expected: String, found: String },
    #[error("does not export `wasmill:plugin/framed@{CONTRACT}`: implement the world `processor` of wit/plugin.wit")]
    NoProcessor,
    #[error(
        "exports `{found}`, but this host serves contract {CONTRACT}: upgrade the host, or build against its contract"
    )]
    OtherContract { found: String },
    #[error("exports `{interface}` without `{function}`: build against wasmill:plugin@{CONTRACT}")]
    MissingExport { interface: String, function: String },
    #[error(
        "exports `{function}` of `{interface}` as {found}, but it must be {expected}: build against wasmill:plugin@{CONTRACT}"
    )]
    ExportType { interface: String, function: String, expected: String, found: String },
}

/// All that is wrong with a component, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// What is granted, for the message of a foreign import.
const ALLOWED: &str = "allowed: wasmill:plugin/{state,tables,log,moment} and WASI 0.2 without http";

/// Every function of the contract, in the notation of [`signature`].
const IMPORTS: [(&str, &str, &str); 15] = [
    ("state", "get", "func(u32, list<u8>) -> option<list<u8>>"),
    ("state", "put", "func(u32, list<u8>, list<u8>)"),
    ("state", "remove", "func(u32, list<u8>)"),
    ("state", "get-many", "func(u32, list<u8>) -> list<u8>"),
    ("state", "apply", "func(u32, list<u8>)"),
    ("state", "get-slots", "func(u32, list<u8>) -> list<u8>"),
    ("state", "put-slots", "func(u32, list<u8>)"),
    ("state", "scan", "func(u32, list<u8>, option<list<u8>>, u32) -> list<u8>"),
    ("tables", "get", "func(u32, list<u8>) -> option<list<u8>>"),
    ("tables", "get-many", "func(u32, list<u8>) -> list<u8>"),
    ("tables", "scan", "func(u32, list<u8>, option<list<u8>>, u32) -> list<u8>"),
    ("tables", "age", "func(u32) -> u64"),
    ("log", "log", "func(enum{debug, info, warn, error}, string)"),
    ("moment", "now", "func() -> s64"),
    ("moment", "seed", "func() -> u64"),
];

const ANSWER: &str = "result<list<u8>, record{code: string, index: option<u32>, message: string}>";

/// Interface, function, parameters, result, and whether it must be there.
const EXPORTS: [(&str, &str, &str, &str, bool); 4] = [
    ("framed", "open", "string", "result<_, string>", true),
    ("framed", "process", "u32, list<u8>", ANSWER, true),
    ("ticks", "tick", "list<u8>, u64", ANSWER, false),
    ("lifecycle", "close", "", "", false),
];

/// Whether these bytes can be a component at all.
pub(super) fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), Problem> {
    let max = limits.component_bytes_max;
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    match (bytes.len(), word(0), word(4)) {
        (0, ..) => Err(Problem::Empty),
        (bytes, ..) if bytes > max => Err(Problem::TooLarge { bytes, max }),
        (_, Some(0x6d73_6100), Some(0x0001_000d)) => Ok(()),
        (_, Some(0x6d73_6100), Some(1)) => Err(Problem::CoreModule),
        (_, Some(0x6d73_6100), Some(version)) => Err(Problem::UnknownFormat { version }),
        _ => Err(Problem::NotWasm { what: describe(bytes) }),
    }
}

fn describe(bytes: &[u8]) -> &'static str {
    let start = &bytes[..bytes.len().min(512)];
    match bytes {
        [0x1f, 0x8b, ..] => "gzip data (unpack it first)",
        [b'P', b'K', ..] => "a zip archive (unpack it first)",
        [0x7f, b'E', b'L', b'F', ..] => "a native program",
        [b'#', b'!', ..] => "a script",
        _ if start.is_ascii() && !start.contains(&0) => "text",
        _ => "unknown data",
    }
}

/// Whether a compiled component fits the contract.
pub(super) fn check_types(engine: &Engine, component: &Component) -> Result<(), Problems> {
    let mut problems = check_imports(engine, component);
    problems.extend(check_exports(engine, component));
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// An exported function of the contract.
pub(super) fn export(component: &Component, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, &*name_of(interface))?;
    component.get_export_index(Some(&interface), function)
}

fn name_of(interface: &str) -> String {
    format!("wasmill:plugin/{interface}@{CONTRACT}")
}

fn check_imports(engine: &Engine, component: &Component) -> Vec<Problem> {
    let engine = engine.wasmtime();
    let mut problems = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let ours = name.strip_prefix("wasmill:plugin/").and_then(|rest| rest.split_once("@1."));
        match (ours, import.ty) {
            (Some((interface, _)), ComponentItem::ComponentInstance(instance)) => {
                check_import(engine, name, interface, &instance, &mut problems);
            }
            _ if wasi::PACKAGES.iter().any(|package| name.starts_with(package)) && name.contains("@0.2.") => {}
            _ => problems.push(Problem::ForeignImport { name: name.to_owned(), allowed: ALLOWED }),
        }
    }
    problems
}

fn check_import(
    engine: &wasmtime::Engine,
    name: &str,
    interface: &str,
    instance: &ComponentInstance,
    problems: &mut Vec<Problem>,
) {
    if !IMPORTS.iter().any(|(known, ..)| *known == interface) && !is_types_only(engine, instance) {
        problems.push(Problem::ForeignImport { name: name.to_owned(), allowed: ALLOWED });
        return;
    }
    for (function, item) in instance.exports(engine) {
        let ComponentItem::ComponentFunc(func) = item.ty else { continue };
        let known = IMPORTS.iter().find(|(of, name, _)| *of == interface && *name == function);
        let found = signature(&func);
        match known {
            None => {
                problems.push(Problem::UnknownFunction { interface: name.to_owned(), function: function.to_owned() })
            }
            Some((.., expected)) if *expected != found => problems.push(Problem::ImportType {
                interface: name.to_owned(),
                function: function.to_owned(),
                expected: (*expected).to_owned(),
                found,
            }),
            Some(_) => {}
        }
    }
}

fn is_types_only(engine: &wasmtime::Engine, instance: &ComponentInstance) -> bool {
    instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
}

fn check_exports(engine: &Engine, component: &Component) -> Vec<Problem> {
    let engine = engine.wasmtime();
    let exports: Vec<_> =
        component.component_type().exports(engine).map(|(name, item)| (name.to_owned(), item.ty)).collect();
    let mut problems = Vec::new();
    for interface in ["framed", "ticks", "lifecycle"] {
        let ours = format!("wasmill:plugin/{interface}@");
        let found = exports.iter().find(|(name, _)| name.starts_with(&ours));
        match found {
            Some((name, ComponentItem::ComponentInstance(instance))) if *name == name_of(interface) => {
                check_export(engine, interface, instance, &mut problems);
            }
            Some((name, _)) => problems.push(Problem::OtherContract { found: name.clone() }),
            None if interface == "framed" => problems.push(Problem::NoProcessor),
            None => {}
        }
    }
    problems
}

fn check_export(engine: &wasmtime::Engine, interface: &str, instance: &ComponentInstance, problems: &mut Vec<Problem>) {
    for (_, function, params, result, _) in EXPORTS.iter().filter(|(of, ..)| *of == interface) {
        let expected = notation(params, result);
        let (interface, function) = (name_of(interface), (*function).to_owned());
        match instance.get_export(engine, &function).map(|item| item.ty) {
            Some(ComponentItem::ComponentFunc(func)) if signature(&func) == expected => {}
            Some(ComponentItem::ComponentFunc(func)) => {
                problems.push(Problem::ExportType { interface, function, expected, found: signature(&func) });
            }
            _ => problems.push(Problem::MissingExport { interface, function }),
        }
    }
}

/// A function's type as text, without the names of parameters, which do not matter.
fn signature(func: &ComponentFunc) -> String {
    let list = |types: Vec<Type>| types.iter().map(type_name).collect::<Vec<_>>().join(", ");
    notation(&list(func.params().map(|(_, ty)| ty).collect()), &list(func.results().collect()))
}

fn notation(params: &str, result: &str) -> String {
    if result.is_empty() { format!("func({params})") } else { format!("func({params}) -> {result}") }
}

fn type_name(ty: &Type) -> String {
    let or_none = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| type_name(&ty));
    match ty {
        Type::List(list) => format!("list<{}>", type_name(&list.ty())),
        Type::Option(option) => format!("option<{}>", type_name(&option.ty())),
        Type::Result(result) => format!("result<{}, {}>", or_none(result.ok()), or_none(result.err())),
        Type::Record(record) => {
            let fields: Vec<_> = record.fields().map(|f| format!("{}: {}", f.name, type_name(&f.ty))).collect();
            format!("record{{{}}}", fields.join(", "))
        }
        Type::Enum(cases) => format!("enum{{{}}}", cases.names().collect::<Vec<_>>().join(", ")),
        Type::Tuple(tuple) => format!("tuple<{}>", tuple.types().map(|t| type_name(&t)).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}
