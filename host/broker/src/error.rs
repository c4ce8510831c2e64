//! Why a broker does not start or stop as asked. Each variant says what was tried and what to do.
//! Errors of the protocol are codes on the wire (`wire::error_code`), not these.
//! Knows nothing of connections.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("cannot {attempt} {}: {source}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("the broker folder {} is in use by another broker; stop that one or choose another folder", path.display())]
    Locked { path: PathBuf },
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{} has format {found}, this version knows {known}; use the version of wasmill that wrote it", path.display())]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("{} is not a file of this broker (its first bytes are foreign); restore it from a backup or move the folder away", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is damaged at byte {position}, with valid data possibly behind it; restore it from a backup or move the folder away", path.display())]
    Damaged { path: PathBuf, position: u64 },
    #[error("{} is missing although the folder holds topics; restore it from a backup or move the folder away", path.display())]
    JournalMissing { path: PathBuf },
}

impl BrokerError {
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}
