//! Component files of this application: kept on this machine by digest, and in the components topic for every host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::deployment::{Uploads, VersionSpec, chunks, keys};
use crate::digest::Digest;
use crate::kafka::{Appender, FeedError, Tail};
use crate::topology::{ErrorPolicy, LimitSettings};

pub(super) struct ComponentFiles {
    pub folder: PathBuf,
    pub topic: String,
    pub tail: Tail,
    pub appender: Arc<Appender>,
}

impl ComponentFiles {
    /// Puts a component's file where all hosts find it. The version's other parts are for the caller to fill in.
    ///
    /// # Errors
    /// It cannot be kept here, or the broker does not take it.
    pub fn upload(&self, bytes: &[u8]) -> Result<VersionSpec, String> {
        let digest = Digest::of(bytes).to_string();
        keep(&self.folder, &digest, bytes)?;
        let upload = format!("{}-{:016x}", &digest[..16], crate::kafka::random());
        let offset = self.write_chunks(&upload, bytes).map_err(|e| e.to_string())?;
        Ok(VersionSpec {
            digest,
            bytes: bytes.len() as u64,
            upload,
            offset,
            settings: serde_json::Value::Null,
            limits: LimitSettings::default(),
            on_error: ErrorPolicy::DeadLetter,
            note: String::new(),
            state_format: None,
        })
    }

    fn write_chunks(&self, upload: &str, bytes: &[u8]) -> Result<i64, FeedError> {
        let offset = self.tail.end_of(&self.topic, 0)?;
        let parts = chunks(upload, bytes);
        let records = parts.iter().map(|chunk| (chunk.key.as_bytes(), Some(chunk.bytes.as_slice())));
        self.appender.append(&self.topic, records)?;
        Ok(offset)
    }

    /// Removes what no version needs any more.
    ///
    /// # Errors
    /// The broker does not take it.
    pub fn forget(&self, upload: &str, bytes: u64) -> Result<(), FeedError> {
        let keys: Vec<String> = keys(upload, bytes).collect();
        self.appender.append(&self.topic, keys.iter().map(|key| (key.as_bytes(), None)))
    }

    /// The bytes of a version's component.
    ///
    /// # Errors
    /// They are neither here nor, whole, in the components topic.
    pub fn fetch(&self, spec: &VersionSpec) -> Result<Vec<u8>, String> {
        let path = path(&self.folder, &spec.digest);
        if let Ok(bytes) = std::fs::read(&path)
            && Digest::of(&bytes).to_string() == spec.digest
        {
            return Ok(bytes);
        }
        let records = self.tail.read_from(&self.topic, spec.offset).map_err(|e| format!("the component: {e}"))?;
        let mut uploads = Uploads::default();
        for record in &records {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
            if key.starts_with(&spec.upload) {
                uploads.take(&key, record.value.as_deref());
            }
        }
        let file = uploads.file(&spec.upload, spec.bytes, &spec.digest);
        let bytes = file.ok_or_else(|| format!("upload {} is not complete in {}", spec.upload, self.topic))?;
        keep(&self.folder, &spec.digest, &bytes)?;
        Ok(bytes)
    }
}

/// Keeps a component's file on this machine, whole or not at all.
fn keep(folder: &Path, digest: &str, bytes: &[u8]) -> Result<(), String> {
    let path = path(folder, digest);
    let fresh = path.with_extension(format!("{}.new", crate::kafka::random()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&fresh, bytes))
        .and_then(|()| std::fs::rename(&fresh, &path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("{digest}.wasm"))
}
