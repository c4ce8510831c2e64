//! Where a running host is found: it leaves its address in its data folder.

use std::io;
use std::path::{Path, PathBuf};

use super::RemoteError;

/// In the data folder of a running host.
const FILE: &str = "http";

/// Where to ask, and with which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub url: String,
    pub token: Option<String>,
}

impl Address {
    /// The address given, or that of the host which runs in this data folder.
    ///
    /// # Errors
    /// No address is given and no host runs there.
    pub fn find(url: Option<String>, data: &Path, token: Option<String>) -> Result<Self, RemoteError> {
        if let Some(url) = url {
            return Ok(Self { url: url.trim_end_matches('/').to_owned(), token });
        }
        let found = std::fs::read_to_string(data.join(FILE)).map_err(|_| {
            let data = data.display();
            RemoteError::Absent(format!(
                "no host runs in the data folder {data}: start one with `wasmill run`, or name it with --url"
            ))
        })?;
        Ok(Self { url: format!("http://{}", found.trim()), token })
    }
}

/// The address of a running host in its data folder, removed when it stops.
#[derive(Debug)]
pub struct Publication {
    path: PathBuf,
}

/// Leaves an address in a data folder.
///
/// # Errors
/// The folder cannot be written.
pub fn publish(data: &Path, address: &str) -> io::Result<Publication> {
    let path = data.join(FILE);
    std::fs::write(&path, format!("{address}\n"))?;
    Ok(Publication { path })
}

impl Drop for Publication {
    fn drop(&mut self) {
        // A folder that is gone already has no address in it.
        let _ = std::fs::remove_file(&self.path);
    }
}
