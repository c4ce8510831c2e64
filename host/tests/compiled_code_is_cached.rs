//! Code is compiled once, in a child process, and only whole files of our own are loaded again.

#[path = "support/guests.rs"]
mod guests;

use std::fs;
use std::path::Path;
use std::time::Duration;

use guests::{bytes, engine};
use wasmill::digest::Digest;
use wasmill::wasm::{Cache, CacheError, CompileError, CompileLimits, Compiler, Engine, EngineOptions, Limits};

fn child(limits: CompileLimits) -> Compiler {
    Compiler::Child { program: env!("CARGO_BIN_EXE_wasmill").into(), limits }
}

fn open(folder: &Path, compiler: Compiler) -> Cache {
    Cache::open(folder, engine(), compiler).expect("a new folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_child_compiles_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = open(folder.path(), child(CompileLimits::default()));
    let component = bytes("guest-identity");
    let compiled = cache.component(&component, &Limits::default()).expect("it compiles");
    assert_eq!(compiled.digest(), Digest::of(&component));
    let path = cache.path(compiled.digest());
    let written = fs::metadata(&path).and_then(|data| data.modified()).expect("the code is there");
    assert_eq!(names(folder.path()), [path.file_name().expect("a file").to_string_lossy()]);
    let no_compiler = Compiler::Child { program: "/nonexistent".into(), limits: CompileLimits::default() };
    open(folder.path(), no_compiler).component(&component, &Limits::default()).expect("it is loaded");
    assert_eq!(fs::metadata(&path).and_then(|data| data.modified()).expect("still there"), written);
}

#[test]
fn damaged_and_foreign_files_are_compiled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = open(folder.path(), Compiler::Here);
    let component = bytes("wat-fitting");
    cache.component(&component, &Limits::default()).expect("it compiles");
    let path = cache.path(Digest::of(&component));
    let whole = fs::read(&path).expect("the code is there");
    let flipped = |at: usize| {
        let mut file = whole.clone();
        file[at] ^= 1;
        file
    };
    let damages = [
        ("empty", Vec::new()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("cut off in the header", whole[..40].to_vec()),
        ("longer", [&whole[..], b"x"].concat()),
        ("other magic", flipped(0)),
        ("other format", flipped(8)),
        ("other engine", flipped(12)),
        ("other component", flipped(20)),
        ("other checksum", flipped(52)),
        ("other code", flipped(whole.len() - 9)),
        ("text", b"not code".to_vec()),
    ];
    for (damage, file) in damages {
        fs::write(&path, file).expect("the test may write");
        cache.component(&component, &Limits::default()).unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert!(fs::read(&path).expect("written again") == whole, "{damage}");
    }
}

#[test]
fn engines_of_other_options_do_not_share_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = Digest::of(b"any");
    let path = |options| {
        let engine = Engine::new(options).expect("this machine runs components");
        Cache::open(folder.path(), engine, Compiler::Here).expect("a folder").path(digest)
    };
    let default = EngineOptions::default();
    assert_eq!(path(default), path(default));
    assert_ne!(path(default), path(EngineOptions { epochs: false, ..default }));
}

#[test]
fn what_a_writer_left_unfinished_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("abc-1-1.unfinished"), b"half").expect("the test may write");
    open(folder.path(), Compiler::Here);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_child_that_cannot_compile_says_why() {
    let small = CompileLimits { memory_bytes_max: 16 << 20, ..CompileLimits::default() };
    let slow = CompileLimits { wall: Duration::ZERO, ..CompileLimits::default() };
    let whole = bytes("guest-misbehave");
    let cut_off = whole[..whole.len() / 2].to_vec();
    let compile = |compiler, component: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let result = open(folder.path(), compiler).component(component, &Limits::default());
        let Err(CacheError::Compile(error)) = result else { panic!("it compiled") };
        error
    };
    assert!(matches!(compile(child(small), &whole), CompileError::TooLarge { .. } | CompileError::NotValid(_)));
    assert!(matches!(compile(child(slow), &whole), CompileError::TooSlow(_)));
    assert!(matches!(compile(child(CompileLimits::default()), &cut_off), CompileError::NotValid(_)));
    let nowhere = Compiler::Child { program: "/nonexistent".into(), limits: CompileLimits::default() };
    assert!(matches!(compile(nowhere, &whole), CompileError::NoChild { .. }));
}
