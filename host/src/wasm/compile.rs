//! Compiling, in a child process of the same program: a component that makes the compiler use too much memory or time
//! ends the child, not the host. The child writes into the cache; the host reads it from there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::cache::{Cache, Compiler};
use super::engine::{Engine, EngineOptions};
use super::system::restrict;
use crate::digest::Digest;

/// The hidden first argument by which a program becomes the child.
pub const CHILD: &str = "compile-component";

/// What a compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space. Python's 19 MB take 0.4 GB of it in earnest.
    pub memory_bytes_max: u64,
    /// CPU time of all threads. Python takes 13 s.
    pub cpu_seconds_max: u64,
    pub wall: Duration,
    /// Added to the priority of this process: records go first.
    pub nice: i32,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes_max: 4 << 30, cpu_seconds_max: 120, wall: Duration::from_secs(300), nice: 10 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("not a valid component: {0}")]
    NotValid(String),
    #[error("compiling took longer than {} s: split the component, or raise the limit", .0.as_secs())]
    TooSlow(Duration),
    #[error("compiling ended with {how}: it may need more than {} MiB of memory or {cpu_seconds_max} s of CPU time",
        memory_bytes_max >> 20)]
    TooLarge { how: String, memory_bytes_max: u64, cpu_seconds_max: u64 },
    #[error("cannot start a compiler, {program}: {error}")]
    NoChild { program: PathBuf, error: std::io::Error },
}

/// What the child is told, in this order after [`CHILD`]: a plain list, since both ends are the same program.
const ARGUMENTS: [&str; 7] = ["component", "folder", "epochs", "inlining", "memory", "cpu seconds", "nice"];

/// Exit code of a child that says what is wrong on standard output.
const REFUSED: u8 = 3;

/// Compiles in this process.
///
/// # Errors
/// Bytes that are not a valid component.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
    let compiled = wasmtime::component::Component::from_binary(engine.wasmtime(), bytes);
    let code = compiled.and_then(|component| component.serialize());
    code.map_err(|error| CompileError::NotValid(format!("{error:#}")))
}

/// Compiles the file `component` into the cache in `folder`. `program` calls [`child_main`].
///
/// # Errors
/// The component is not valid, or needs more than `limits`.
pub fn compile_in_child(
    program: &Path,
    component: &Path,
    folder: &Path,
    options: EngineOptions,
    limits: &CompileLimits,
) -> Result<(), CompileError> {
    let mut command = Command::new(program);
    command.arg(CHILD).arg(component).arg(folder);
    command.arg(options.epochs.to_string()).arg(options.inlining.to_string());
    command.arg(limits.memory_bytes_max.to_string()).arg(limits.cpu_seconds_max.to_string());
    command.arg(limits.nice.to_string());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| CompileError::NoChild { program: program.to_owned(), error })?;
    finish(child, limits)
}

/// Waits for a child, which closes its standard output when it ends.
fn finish(mut child: Child, limits: &CompileLimits) -> Result<(), CompileError> {
    let mut stdout = child.stdout.take().expect("the child was started with a pipe");
    let (send, said) = channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // Nobody listens any more once the child has been killed.
        let _ = send.send(read.map(|_| text));
    });
    let said = said.recv_timeout(limits.wall);
    if said.is_err() {
        // It may have ended just now; then there is nothing to kill.
        let _ = child.kill();
    }
    let status = child.wait();
    // The reader ends with the child; a panic in it shows as an empty answer.
    let _ = reader.join();
    let too_large = |how: String| CompileError::TooLarge {
        how,
        memory_bytes_max: limits.memory_bytes_max,
        cpu_seconds_max: limits.cpu_seconds_max,
    };
    match (said, status) {
        (Err(_), _) => Err(CompileError::TooSlow(limits.wall)),
        (Ok(_), Ok(status)) if status.success() => Ok(()),
        (Ok(Ok(text)), Ok(status)) if status.code() == Some(i32::from(REFUSED)) => Err(CompileError::NotValid(text)),
        (_, Ok(status)) => Err(too_large(status.to_string())),
        (_, Err(error)) => Err(too_large(error.to_string())),
    }
}

/// Becomes the compiler if the arguments say so; `None` if they do not. To be called first in `main`.
pub fn child_main(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != OsStr::new(CHILD) {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    Some(match child(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            print!("{text}");
            ExitCode::from(REFUSED)
        }
    })
}

fn child(arguments: &[OsString]) -> Result<(), String> {
    let [component, folder, epochs, inlining, memory, cpu_seconds, nice] = arguments else {
        return Err(format!("{CHILD} takes {}", ARGUMENTS.join(", ")));
    };
    restrict(number(memory)?, number(cpu_seconds)?, number(nice)?)?;
    let bytes = fs::read(component).map_err(|error| format!("component: {error}"))?;
    let options = EngineOptions { epochs: number(epochs)?, inlining: number(inlining)? };
    let engine = Engine::new(options)?;
    let code = compile(&engine, &bytes).map_err(|error| match error {
        CompileError::NotValid(reason) => reason,
        other => other.to_string(),
    })?;
    // Not opened: that would remove what others are writing.
    let cache = Cache::over(PathBuf::from(folder), engine, Compiler::Here);
    cache.write(Digest::of(&bytes), &code).map_err(|error| format!("cache: {error}"))
}

fn number<T: std::str::FromStr>(argument: &OsStr) -> Result<T, String> {
    argument.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{CHILD}: cannot read {argument:?}"))
}
