//! What comes from outside the program: the manifest's text, and where things are. The only reader of the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::topology::{self, Problems, Topology};

/// A manifest with the place it was read from.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub topology: Topology,
    /// Its text.
    pub source: String,
    /// The folder that paths in the manifest are relative to.
    pub base: PathBuf,
    /// Asked for by the operator's interface, from `WASMILL_TOKEN`.
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read {path}: {error}; name a manifest with --manifest, or make one with that name")]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Problems(#[from] Problems),
}

/// Where things are that the manifest does not say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Replaces `[kafka]`.
    pub bootstrap: Option<String>,
    /// Replaces `[host] data`; relative to the current folder.
    pub data: Option<PathBuf>,
    /// Replaces `[host] id`.
    pub host: Option<String>,
    /// Replaces `[host] http`.
    pub http: Option<SocketAddr>,
}

/// Reads and checks a manifest.
///
/// # Errors
/// It cannot be read, or has problems: all of them.
pub fn read_manifest(path: &Path, overrides: &Overrides) -> Result<Manifest, ManifestError> {
    let unreadable = |error| ManifestError::Unreadable { path: path.to_owned(), error };
    let source = std::fs::read_to_string(path).map_err(unreadable)?;
    let name = path.display().to_string();
    let mut topology = topology::parse(&name, &source)?;
    if let Some(bootstrap) = &overrides.bootstrap {
        topology.kafka.get_or_insert_default().insert("bootstrap.servers".to_owned(), bootstrap.clone());
    }
    if let Some(host) = &overrides.host {
        topology.host.id.clone_from(host);
    }
    let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    topology.host.data = match &overrides.data {
        Some(data) => data.display().to_string(),
        None => base.join(&topology.host.data).display().to_string(),
    };
    if let Some(http) = overrides.http {
        topology.host.http = http;
    }
    Ok(Manifest { topology, source, base, token: token() })
}

/// The token of the operator's interface, from `WASMILL_TOKEN`; an empty one is none.
pub fn token() -> Option<String> {
    std::env::var("WASMILL_TOKEN").ok().filter(|token| !token.is_empty())
}

/// The program that is running: it becomes the compiler's child process.
///
/// # Errors
/// The system does not tell.
pub fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}
