//! A value as the table holds it: short ones in place, longer ones in a box.

/// Longest value held in place: balances, counters and times, which are most of what is changed often.
const INLINE_BYTES: usize = 16;

const ABSENT: u32 = u32::MAX;

pub(super) struct Value {
    len: u32,
    inline: [u8; INLINE_BYTES],
    boxed: Option<Box<[u8]>>,
}

impl Value {
    pub const ABSENT: Self = Self { len: ABSENT, inline: [0; INLINE_BYTES], boxed: None };

    #[inline]
    pub fn new(value: Option<&[u8]>) -> Self {
        let mut new = Self::ABSENT;
        new.replace(value);
        new
    }

    #[inline]
    pub fn replace(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else {
            self.len = ABSENT;
            self.boxed = None;
            return;
        };
        self.len = value.len() as u32;
        if value.len() <= INLINE_BYTES {
            self.inline[..value.len()].copy_from_slice(value);
            self.boxed = None;
        } else {
            self.boxed = Some(value.into());
        }
    }

    #[inline]
    pub fn is_absent(&self) -> bool {
        self.len == ABSENT
    }

    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match (self.len, &self.boxed) {
            (ABSENT, _) => None,
            (_, Some(boxed)) => Some(boxed),
            (len, None) => Some(&self.inline[..len as usize]),
        }
    }
}
