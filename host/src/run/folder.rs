//! The data folder of a host: who it is, and that nobody else uses it. `state/` and `cache/` may always be deleted,
//! `broker/` is the user's data.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Layout of the folder; a newer one is refused, not guessed.
const FORMAT: u32 = 1;

/// An open data folder, locked until dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    identity: Identity,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format: u32,
    host: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("data folder {path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("data folder {path} is in use by another wasmill: stop that one, or set `[host] data` to another folder")]
    InUse { path: PathBuf },
    #[error("{path} is not a host.json of format {FORMAT} ({why}): upgrade wasmill, or use another data folder")]
    Foreign { path: PathBuf, why: String },
    #[error("data folder {path} belongs to host `{found}`, not `{wanted}`: give each host a data folder of its own")]
    OtherHost { path: PathBuf, found: String, wanted: String },
}

impl DataFolder {
    /// Opens, or makes, the folder of `host` and takes its lock.
    ///
    /// # Errors
    /// It is in use, belongs to another host, has a newer layout, or cannot be written.
    pub fn open(path: &Path, host: &str) -> Result<Self, FolderError> {
        let io = |error| FolderError::Io { path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let lock = File::create(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let identity = read_or_make(path, host)?;
        Ok(Self { path: path.to_owned(), _lock: lock, identity })
    }

    pub fn host(&self) -> &str {
        &self.identity.host
    }

    pub fn state(&self, processor: &str) -> PathBuf {
        self.path.join("state").join(processor)
    }

    pub fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Where a worker notes what it is about to do.
    pub fn crash_notes(&self, processor: &str, worker: u16) -> PathBuf {
        self.path.join("crashes").join(format!("{processor}.{worker}"))
    }

    pub fn broker(&self) -> PathBuf {
        self.path.join("broker")
    }
}

fn read_or_make(folder: &Path, host: &str) -> Result<Identity, FolderError> {
    let path = folder.join("host.json");
    let io = |error| FolderError::Io { path: path.clone(), error };
    let wanted = Identity { format: FORMAT, host: host.to_owned() };
    if !path.exists() {
        let text = serde_json::to_string(&wanted).expect("plain data");
        let fresh = folder.join("host.json.new");
        File::create(&fresh).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all())).map_err(io)?;
        std::fs::rename(&fresh, &path).map_err(io)?;
        return Ok(wanted);
    }
    let text = std::fs::read_to_string(&path).map_err(io)?;
    let foreign = |why: String| FolderError::Foreign { path: path.clone(), why };
    let found: Identity = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
    if found.format != FORMAT {
        return Err(foreign(format!("format {}", found.format)));
    }
    if found.host != host {
        let path = folder.to_owned();
        return Err(FolderError::OtherHost { path, found: found.host, wanted: wanted.host });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_host_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        let first = DataFolder::open(&path, "a").expect("a new folder");
        assert!(matches!(DataFolder::open(&path, "a"), Err(FolderError::InUse { .. })));
        drop(first);
        assert!(matches!(DataFolder::open(&path, "b"), Err(FolderError::OtherHost { .. })));
        assert_eq!(DataFolder::open(&path, "a").expect("its own folder").host(), "a");
        std::fs::write(path.join("host.json"), r#"{"format":2,"host":"a"}"#).expect("writable");
        assert!(matches!(DataFolder::open(&path, "a"), Err(FolderError::Foreign { .. })));
    }
}
