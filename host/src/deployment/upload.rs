//! Component files in a topic: chunks keyed by upload and index, complete only if the digest fits.

use std::collections::BTreeMap;

use crate::digest::Digest;

/// Bytes of one chunk: half of Kafka's default message size.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// A part of a component's file, as it lies in the components topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// `<upload>/<index>`.
    pub key: String,
    pub bytes: Vec<u8>,
}

/// Cuts a file into chunks.
pub fn chunks(upload: &str, bytes: &[u8]) -> Vec<Chunk> {
    let parts = bytes.chunks(CHUNK_BYTES).map(<[u8]>::to_vec);
    keys(upload, bytes.len() as u64).zip(parts).map(|(key, bytes)| Chunk { key, bytes }).collect()
}

/// Keys of the chunks of a file of this length.
pub fn keys(upload: &str, bytes: u64) -> impl Iterator<Item = String> {
    (0..bytes.div_ceil(CHUNK_BYTES as u64)).map(move |i| format!("{upload}/{i}"))
}

/// Chunks that were read, by upload and index. Those of uploads that nobody asks for any more are let go.
#[derive(Debug, Default)]
pub struct Uploads {
    parts: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
}

impl Uploads {
    /// Takes a record of the components topic. Keys that are not ours are ignored; no value removes.
    pub fn take(&mut self, key: &str, value: Option<&[u8]>) {
        let Some((upload, index)) = key.rsplit_once('/').and_then(|(u, i)| Some((u, i.parse().ok()?))) else { return };
        match value {
            Some(bytes) => {
                self.parts.entry(upload.to_owned()).or_default().insert(index, bytes.to_vec());
            }
            None => {
                self.parts.remove(upload);
            }
        }
    }

    /// The whole file of an upload; `None` while it is not complete, or does not have this length and digest.
    pub fn file(&self, upload: &str, bytes: u64, digest: &str) -> Option<Vec<u8>> {
        let parts = self.parts.get(upload)?;
        let file: Vec<u8> = parts.values().flatten().copied().collect();
        let is_whole = parts.keys().copied().eq(0..parts.len()) && file.len() as u64 == bytes;
        (is_whole && Digest::of(&file).to_string() == digest).then_some(file)
    }

    /// Lets go of all uploads but these.
    pub fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.parts.retain(|upload, _| is_wanted(upload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let file: Vec<u8> = (0..CHUNK_BYTES * 2 + 7).map(|i| (i % 251) as u8).collect();
        let digest = Digest::of(&file).to_string();
        let parts = chunks("u", &file);
        assert_eq!(parts.len(), 3);
        let mut uploads = Uploads::default();
        let found = |uploads: &Uploads| uploads.file("u", file.len() as u64, &digest).is_some();
        for part in parts.iter().rev() {
            assert!(!found(&uploads));
            uploads.take(&part.key, Some(&part.bytes));
        }
        assert_eq!(uploads.file("u", file.len() as u64, &digest).as_ref(), Some(&file));
        assert_eq!(uploads.file("u", file.len() as u64, "other"), None);
        uploads.take("u/1", Some(b"damage"));
        assert!(!found(&uploads));
        uploads.keep(|upload| upload != "u");
        uploads.take("not ours", Some(b"x"));
        assert_eq!(uploads.file("u", 0, ""), None);
    }
}
