//! Small files of ours that are written whole: magic, format number, payload, CRC.
//! Owns the envelope and its atomic replacement (write beside, rename over).
//! Does not know what the payload says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::BrokerError;

const ENVELOPE_BYTES: usize = 12;

/// What kind of file: four bytes at its start and the format we write and read.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub magic: [u8; 4],
    pub format: u32,
}

impl Kind {
    /// The first eight bytes of every file of this kind.
    pub fn head(self) -> [u8; 8] {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&self.magic);
        head[4..].copy_from_slice(&self.format.to_be_bytes());
        head
    }

    /// # Errors
    /// `Foreign` for other first bytes, `Format` for a format number that is not ours.
    pub fn check(self, path: &Path, head: &[u8]) -> Result<(), BrokerError> {
        if head.len() < 8 || head[..4] != self.magic {
            return Err(BrokerError::Foreign { path: path.to_owned() });
        }
        let found = u32::from_be_bytes(head[4..8].try_into().expect("four bytes"));
        if found != self.format {
            return Err(BrokerError::Format { path: path.to_owned(), found, known: self.format });
        }
        Ok(())
    }
}

/// Replaces the file at `path`: a reader sees the old content or the new one, never a mixture.
pub fn write(path: &Path, kind: Kind, payload: &[u8], sync: bool) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let mut content = Vec::with_capacity(payload.len() + ENVELOPE_BYTES);
    content.extend_from_slice(&kind.head());
    content.extend_from_slice(payload);
    content.extend_from_slice(&crc32c::crc32c(&content).to_be_bytes());
    file.write_all(&content)?;
    if sync {
        file.sync_data()?;
    }
    fs::rename(&beside, path)
}

/// The payload; `None` if the file is absent or damaged: such files can be rebuilt from the log.
///
/// # Errors
/// An intact file of an unknown format is refused, not rebuilt: a newer version wrote it.
pub fn read(path: &Path, kind: Kind) -> Result<Option<Vec<u8>>, BrokerError> {
    let mut content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BrokerError::io("read", path)(error)),
    };
    if content.len() < ENVELOPE_BYTES {
        return Ok(None);
    }
    let end = content.len() - 4;
    let crc = u32::from_be_bytes(content[end..].try_into().expect("four bytes"));
    if crc != crc32c::crc32c(&content[..end]) {
        return Ok(None);
    }
    kind.check(path, &content[..8])?;
    content.truncate(end);
    content.drain(..8);
    Ok(Some(content))
}
