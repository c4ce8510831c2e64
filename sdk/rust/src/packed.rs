//! Packed lists (`wit/FRAMES.md`): many keys or values in one crossing of the border.

pub(crate) const ABSENT: u32 = u32::MAX;

/// Keys to look up together.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    len: usize,
}

/// Values in the order of the keys that were asked for.
#[derive(Clone, Debug)]
pub struct Values {
    bytes: Vec<u8>,
}

impl Keys {
    pub fn with_capacity(keys: usize, key_bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(keys * (4 + key_bytes)), len: 0 }
    }

    #[inline]
    pub fn push(&mut self, key: &[u8]) {
        push(&mut self.bytes, key);
        self.len += 1;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'k> FromIterator<&'k [u8]> for Keys {
    fn from_iter<I: IntoIterator<Item = &'k [u8]>>(keys: I) -> Self {
        let mut packed = Self::default();
        keys.into_iter().for_each(|key| packed.push(key));
        packed
    }
}

impl Values {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// One item per key, `None` where there is no value.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.bytes.len() {
                return None;
            }
            let len = u32_at(&self.bytes, at);
            at += 4;
            if len == ABSENT {
                return Some(None);
            }
            let value = &self.bytes[at..at + len as usize];
            at += len as usize;
            Some(Some(value))
        })
    }
}

/// Appends one length and its bytes.
#[inline(always)]
pub(crate) fn push(list: &mut Vec<u8>, bytes: &[u8]) {
    list.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    list.extend_from_slice(bytes);
}

#[inline(always)]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
