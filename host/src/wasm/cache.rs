//! Compiled code on disk, named by component and by everything the code depends on. The only place that loads compiled
//! code, and only from files that passed its own checks; anything else is deleted and compiled again.
//!
//! A file is `magic, u32 format, u64 compatibility, 32 bytes digest of the component, 32 bytes SHA-256 of the code, code`,
//! little endian. The folder may be deleted at any time.

#![allow(unsafe_code)]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::checks::{self, Problem, Problems};
use super::compile::{self, CompileError, CompileLimits};
use super::component::Component;
use super::engine::Engine;
use super::limits::Limits;
use crate::digest::Digest;

const MAGIC: [u8; 8] = *b"WASMILLC";
const FORMAT: u32 = 1;
const HEADER_LEN: usize = 8 + 4 + 8 + 32 + 32;

/// Marks files that are being written; whoever opens the folder removes what was left of them.
const UNFINISHED: &str = "unfinished";

/// Compiled components of one engine.
#[derive(Clone)]
pub struct Cache {
    folder: PathBuf,
    engine: Engine,
    compiler: Compiler,
}

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process: for tests and tools.
    Here,
    /// In a child process, bounded in memory and time.
    Child {
        /// A program that calls [`compile::child_main`]: this one.
        program: PathBuf,
        limits: CompileLimits,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The component's own doing.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The component's or the limits' doing.
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("cannot use the folder of compiled components, {path}: {error}")]
    Folder { path: PathBuf, error: io::Error },
}

impl Cache {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: impl Into<PathBuf>, engine: Engine, compiler: Compiler) -> Result<Self, CacheError> {
        let cache = Self::over(folder.into(), engine, compiler);
        fs::create_dir_all(&cache.folder).map_err(|error| cache.failed(error))?;
        for entry in fs::read_dir(&cache.folder).map_err(|error| cache.failed(error))? {
            let path = entry.map_err(|error| cache.failed(error))?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                remove(&path);
            }
        }
        Ok(cache)
    }

    /// Takes a folder as it is, while another process works in it.
    pub fn over(folder: PathBuf, engine: Engine, compiler: Compiler) -> Self {
        Self { folder, engine, compiler }
    }

    /// The component of these bytes, compiled if it never was.
    ///
    /// # Errors
    /// Everything that keeps it from running here, or what went wrong on the way.
    pub fn component(&self, bytes: &[u8], limits: &Limits) -> Result<Component, CacheError> {
        checks::check_bytes(bytes, limits).map_err(Problems::from)?;
        let digest = Digest::of(bytes);
        if let Some(compiled) = self.load(digest) {
            return Ok(Component::linked(&self.engine, digest, &compiled)?);
        }
        self.compile(digest, bytes)?;
        let compiled = self.load(digest).ok_or_else(|| {
            self.failed(io::Error::other("what was just compiled cannot be read back: is the disk in order?"))
        })?;
        Ok(Component::linked(&self.engine, digest, &compiled)?)
    }

    /// Where the code of a component is kept.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}.code", self.engine.compatibility()))
    }

    fn compile(&self, digest: Digest, bytes: &[u8]) -> Result<(), CacheError> {
        match &self.compiler {
            Compiler::Here => {
                let code = compile::compile(&self.engine, bytes)?;
                self.write(digest, &code).map_err(|error| self.failed(error))
            }
            Compiler::Child { program, limits } => {
                let component = self.unfinished(digest);
                let written = fs::write(&component, bytes).map_err(|error| self.failed(error));
                let options = self.engine.options();
                let compiled = written
                    .and_then(|()| Ok(compile::compile_in_child(program, &component, &self.folder, options, limits)?));
                remove(&component);
                compiled
            }
        }
    }

    /// Writes code so that the file is there whole or not at all.
    pub(super) fn write(&self, digest: Digest, code: &[u8]) -> io::Result<()> {
        let unfinished = self.unfinished(digest);
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&self.header(digest, code))?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path(digest))
    }

    /// Code that is there and whole. What is there but not whole is deleted.
    fn load(&self, digest: Digest) -> Option<wasmtime::component::Component> {
        let path = self.path(digest);
        let file = fs::read(&path).ok()?;
        let loaded = self.check(digest, &file).and_then(|code| {
            // SAFETY: the code was written by `write` from `Component::serialize` of an engine of equal compatibility:
            // magic, compatibility and checksum say so, and nobody else writes into this folder (its trust is that of the
            // program file itself).
            let component = unsafe { wasmtime::component::Component::deserialize(self.engine.wasmtime(), code) };
            component.map_err(|error| error.to_string())
        });
        match loaded {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "a file of compiled code is not usable; compiling again");
                remove(&path);
                None
            }
        }
    }

    fn check<'f>(&self, digest: Digest, file: &'f [u8]) -> Result<&'f [u8], String> {
        let (header, code) = file.split_at_checked(HEADER_LEN).ok_or("it is cut off")?;
        if header[..8] != MAGIC {
            return Err("it is not a file of compiled code".to_owned());
        }
        if header[8..12] != FORMAT.to_le_bytes() {
            return Err("it has another format".to_owned());
        }
        if header != self.header(digest, code) {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(code)
    }

    fn header(&self, digest: Digest, code: &[u8]) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..20].copy_from_slice(&self.engine.compatibility().to_le_bytes());
        header[20..52].copy_from_slice(&digest.0);
        header[52..84].copy_from_slice(&Digest::of(code).0);
        header
    }

    /// A file name of this process's own.
    fn unfinished(&self, digest: Digest) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{digest}-{}-{count}.{UNFINISHED}", process::id()))
    }

    fn failed(&self, error: io::Error) -> CacheError {
        CacheError::Folder { path: self.folder.clone(), error }
    }
}

impl From<Problem> for CacheError {
    fn from(problem: Problem) -> Self {
        Self::Problems(problem.into())
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a file of compiled code");
    }
}
