//! The journal's file: a head, then entries with length and CRC, rewritten from the image when it has grown.
//! Owns the torn tail of a crash: an incomplete last entry was never answered, so it is cut off.
//! Does not know what entries mean.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::entry::Entry;
use super::image::Image;
use crate::config::JOURNAL_REWRITE_BYTES;
use crate::error::BrokerError;
use crate::sealed::Kind;
use crate::sync::lock;
use crate::wire::ErrorCode;

const JOURNAL: Kind = Kind { magic: *b"WBJL", format: 1 };
const HEAD_BYTES: usize = 8;
const FRAME_BYTES: usize = 8;

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    sync: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    size_bytes: u64,
    rewrite_at_bytes: u64,
    image: Image,
    /// A failed write could not be undone: nothing more is promised.
    is_broken: bool,
}

impl Journal {
    /// Reads the journal, or begins one, and repairs a torn tail.
    pub fn open(path: &Path, sync: bool) -> Result<Self, BrokerError> {
        let _ = fs::remove_file(path.with_extension("new"));
        let io = |attempt| BrokerError::io(attempt, path);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(io("open"))?;
        let content = fs::read(path).map_err(io("read"))?;
        let mut image = Image::default();
        let good = match content.len() {
            // A crash at the very first start leaves less than a head.
            length if length < HEAD_BYTES && JOURNAL.head().starts_with(&content) => {
                file.set_len(0).map_err(io("truncate"))?;
                file.write_all(&JOURNAL.head()).map_err(io("write"))?;
                HEAD_BYTES
            }
            _ => {
                JOURNAL.check(path, &content)?;
                replay(path, &content, &mut image)?
            }
        };
        file.set_len(good as u64).map_err(io("truncate"))?;
        let rewrite_at_bytes = JOURNAL_REWRITE_BYTES.max(4 * good as u64);
        let inner = Inner { file, size_bytes: good as u64, rewrite_at_bytes, image, is_broken: false };
        Ok(Self { path: path.to_owned(), sync, inner: Mutex::new(inner) })
    }

    /// Writes one fact. `durable`: an answer will promise it, so with `fsync` it is synced.
    ///
    /// # Errors
    /// It is not written; the caller must not act as if it were.
    pub fn append(&self, entry: Entry, durable: bool) -> Result<(), ErrorCode> {
        let mut inner = lock(&self.inner);
        let result = self.append_locked(&mut inner, entry, durable);
        result.map_err(|error| {
            tracing::error!(path = %self.path.display(), %error, "writing the journal failed");
            ErrorCode::KafkaStorage
        })
    }

    fn append_locked(&self, inner: &mut MutexGuard<'_, Inner>, entry: Entry, durable: bool) -> io::Result<()> {
        if inner.is_broken {
            return Err(io::Error::other("an earlier write failed; restart the broker"));
        }
        let frame = frame(&entry)?;
        let written = inner.file.write_all(&frame);
        let synced = written.and_then(|()| if durable && self.sync { inner.file.sync_data() } else { Ok(()) });
        if let Err(error) = synced {
            inner.is_broken = inner.file.set_len(inner.size_bytes).is_err();
            return Err(error);
        }
        inner.size_bytes += frame.len() as u64;
        inner.image.apply(entry);
        if inner.size_bytes > inner.rewrite_at_bytes
            && let Err(error) = self.rewrite(inner)
        {
            // The entry is written all the same: the file only stays longer than it need be.
            tracing::warn!(path = %self.path.display(), %error, "rewriting the journal failed");
            inner.rewrite_at_bytes *= 2;
        }
        Ok(())
    }

    /// Replaces the file by one that holds the image only. If that fails the old one stays in use.
    fn rewrite(&self, inner: &mut Inner) -> io::Result<()> {
        let entry = Entry::Image(Box::new(inner.image.clone()));
        let beside = self.path.with_extension("new");
        let _ = fs::remove_file(&beside);
        // The handle that writes the new file stays in use: nothing can fail after the rename.
        let mut file = OpenOptions::new().create_new(true).append(true).open(&beside)?;
        let frame = frame(&entry)?;
        file.write_all(&JOURNAL.head())?;
        file.write_all(&frame)?;
        if self.sync {
            file.sync_data()?;
        }
        fs::rename(&beside, &self.path)?;
        inner.file = file;
        inner.size_bytes = (HEAD_BYTES + frame.len()) as u64;
        inner.rewrite_at_bytes = JOURNAL_REWRITE_BYTES.max(4 * inner.size_bytes);
        tracing::debug!(bytes = inner.size_bytes, "journal rewritten");
        Ok(())
    }

    /// Reads the image.
    pub fn with_image<T>(&self, read: impl FnOnce(&Image) -> T) -> T {
        read(&lock(&self.inner).image)
    }

    /// Everything written so far reaches the disk, whatever the settings.
    pub fn sync(&self) -> io::Result<()> {
        lock(&self.inner).file.sync_data()
    }
}

fn frame(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; FRAME_BYTES];
    serde_json::to_writer(&mut frame, entry).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - FRAME_BYTES).map_err(io::Error::other)?;
    let crc = crc32c::crc32c(&frame[FRAME_BYTES..]);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame[4..8].copy_from_slice(&crc.to_be_bytes());
    Ok(frame)
}

/// Applies all whole entries; returns where they end.
fn replay(path: &Path, content: &[u8], image: &mut Image) -> Result<usize, BrokerError> {
    let mut at = HEAD_BYTES;
    while let Some(head) = content.get(at..at + FRAME_BYTES) {
        let length = u32::from_be_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let crc = u32::from_be_bytes(head[4..].try_into().expect("four bytes"));
        let start = at + FRAME_BYTES;
        let Some(payload) = content.get(start..start + length) else { break };
        let entry = (crc == crc32c::crc32c(payload)).then(|| serde_json::from_slice(payload).ok()).flatten();
        let Some(entry) = entry else {
            // A torn write of the last entry may have its length but not all its bytes, or, after a power cut, zeros
            // only; anything else is damage.
            if start + length == content.len() || content[at..].iter().all(|byte| *byte == 0) {
                break;
            }
            return Err(BrokerError::Damaged { path: path.to_owned(), position: at as u64 });
        };
        image.apply(entry);
        at = start + length;
    }
    Ok(at)
}
