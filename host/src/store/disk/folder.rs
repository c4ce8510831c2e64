//! The folder of a processor's state: a small marker file, and the engine's database in a folder of its own that the
//! marker names. What is not exactly as we left it is not repaired: the next database starts empty, and the changelogs
//! fill it. The folder may be deleted at any time while nobody uses it.
//!
//! The marker is `magic, u32 format, u64 generation, u8 is-opening`, little endian.

use std::fs::{self, File};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::Database;

use crate::store::StoreError;

const MAGIC: [u8; 8] = *b"WASMILLS";

/// Layout of the folder and of the rows in its database.
const FORMAT: u32 = 1;

const MARKER: &str = "marker";
const MARKER_LEN: usize = 8 + 4 + 8 + 1;

/// One thread flushes and compacts: stores of one processor are a side line of the machine, and a pool of two would
/// spin while one of them compacts.
const ENGINE_WORKERS: usize = 1;

/// Journals are read when a database is opened: a few seconds of a restart at most.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;

const CACHE_BYTES: u64 = 64 << 20;

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    /// Names the database: `db-<generation>`.
    generation: u64,
    /// Whether an opening has begun and not ended.
    is_opening: bool,
}

/// An open database and the generation that it has in its folder.
#[derive(Clone)]
pub(super) struct Opened {
    pub generation: u64,
    pub database: Database,
}

/// Opens what is there, or an empty database in its place, with a warning, if it is not to be trusted.
///
/// # Errors
/// The folder cannot be used, or another process uses it.
pub(super) fn open(folder: &Path) -> Result<Opened, StoreError> {
    fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    let (found, why) = match read_marker(folder) {
        Ok(Some(marker)) if !marker.is_opening => match open_database(folder, marker.generation, true) {
            Ok(opened) => return Ok(opened),
            Err(why) => (marker.generation, Some(why.refused()?)),
        },
        Ok(Some(marker)) => (marker.generation, Some("its last opening did not end".to_owned())),
        Ok(None) => (0, None),
        Err(why) => (0, Some(why)),
    };
    if let Some(why) = why {
        let folder = folder.display().to_string();
        tracing::warn!(folder, why, "state on disk cannot be used: it is restored from the changelogs");
    }
    begin(folder, found)
}

/// An empty database of the generation after `stale`. What older ones still hold is removed as far as nobody uses it.
///
/// # Errors
/// The folder cannot be used.
pub(super) fn begin(folder: &Path, stale: u64) -> Result<Opened, StoreError> {
    let generation = stale + 1;
    clear(folder, generation, stale).map_err(|error| unusable(folder, &error))?;
    open_database(folder, generation, false).map_err(|refusal| match refusal {
        Refusal::InUse => StoreError::Disk(format!("{} is in use by another process", folder.display())),
        Refusal::Damaged(why) => StoreError::Disk(format!("{}: {why}", folder.display())),
    })
}

/// Why a database was not opened.
enum Refusal {
    InUse,
    Damaged(String),
}

impl Refusal {
    /// Damage, as a reason to start over. A database in use is left alone.
    fn refused(self) -> Result<String, StoreError> {
        match self {
            Self::InUse => Err(StoreError::Disk("in use by another process: stop that one".to_owned())),
            Self::Damaged(why) => Ok(why),
        }
    }
}

fn open_database(folder: &Path, generation: u64, is_there: bool) -> Result<Opened, Refusal> {
    let path = database_path(folder, generation);
    let damaged = |why: String| Refusal::Damaged(why);
    if is_there {
        check_layout(&path).map_err(damaged)?;
    }
    write_marker(folder, Marker { generation, is_opening: true }).map_err(|e| damaged(e.to_string()))?;
    let open = || {
        Database::builder(&path)
            .worker_threads(ENGINE_WORKERS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .cache_size(CACHE_BYTES)
            .open()
    };
    // The engine asserts in some places what a damaged file breaks.
    let opened = catch_unwind(AssertUnwindSafe(open));
    if !matches!(opened, Err(_) | Ok(Ok(_) | Err(fjall::Error::Locked))) {
        tracing::debug!(generation, "the engine refused its database");
    }
    let is_over = Marker { generation, is_opening: false };
    match opened {
        Ok(Ok(database)) => {
            write_marker(folder, is_over).map_err(|e| damaged(e.to_string()))?;
            Ok(Opened { generation, database })
        }
        Ok(Err(fjall::Error::Locked)) => {
            // Whoever holds it has opened it well.
            write_marker(folder, is_over).map_err(|e| damaged(e.to_string()))?;
            Err(Refusal::InUse)
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("the engine panicked on it".to_owned())),
    }
}

/// What the engine takes for granted, and would not survive.
fn check_layout(path: &Path) -> Result<(), String> {
    if !path.join("version").is_file() {
        return Err("the database is not there".to_owned());
    }
    let entries = fs::read_dir(path.join("keyspaces")).map_err(|e| format!("keyspaces: {e}"))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("keyspaces: {e}"))?;
        if entry.file_name().to_str().is_none_or(|name| name.parse::<u64>().is_err()) {
            return Err(format!("keyspaces: {} is not the engine's", entry.path().display()));
        }
    }
    Ok(())
}

/// Removes everything but the databases named; `in_use` may still be open in this process.
fn clear(folder: &Path, generation: u64, in_use: u64) -> std::io::Result<()> {
    let kept = database_path(folder, in_use);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path == kept && path != database_path(folder, generation) && is_locked(&path) {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

fn is_locked(database: &Path) -> bool {
    let lock = File::open(database.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

fn database_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("db-{generation}"))
}

/// `None` where there is no state at all.
fn read_marker(folder: &Path) -> Result<Option<Marker>, String> {
    let bytes = match fs::read(folder.join(MARKER)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
            return if is_empty { Ok(None) } else { Err("the marker is missing".to_owned()) };
        }
        Err(error) => return Err(format!("the marker cannot be read: {error}")),
    };
    parse_marker(&bytes).map(Some)
}

fn parse_marker(bytes: &[u8]) -> Result<Marker, String> {
    let Some((magic, rest)) = bytes.split_first_chunk::<8>().filter(|(magic, _)| **magic == MAGIC) else {
        return Err("the marker is not wasmill's".to_owned());
    };
    debug_assert_eq!(*magic, MAGIC);
    let format = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if format != Some(FORMAT) {
        return Err(format!("its format is {format:?}, not {FORMAT}"));
    }
    match (rest[4..].first_chunk(), rest.get(12), bytes.len()) {
        (Some(generation), Some(flag @ (0 | 1)), MARKER_LEN) => {
            Ok(Marker { generation: u64::from_le_bytes(*generation), is_opening: *flag == 1 })
        }
        _ => Err("the marker is damaged".to_owned()),
    }
}

fn write_marker(folder: &Path, marker: Marker) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&marker.generation.to_le_bytes());
    bytes.push(u8::from(marker.is_opening));
    let fresh = folder.join("marker.new");
    File::create(&fresh).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))?;
    fs::rename(&fresh, folder.join(MARKER))?;
    File::open(folder)?.sync_all()
}

fn unusable(folder: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Disk(format!("folder {} cannot be used: {error}", folder.display()))
}
