//! Reading a few named members of a JSON object, fast: jumps from quotation mark to quotation mark with SIMD and looks at
//! nothing else. Whatever is unusual (escapes, nested values before the last member that is looked for) goes through
//! `serde_json`, with the same result. And writing a flat object.
//!
//! ```
//! use wasmill_sdk::json;
//!
//! const PAYMENT: json::Names<2> = json::Names::new(["account", "cents"]);
//!
//! let [account, cents] = PAYMENT.read(br#"{"id":1,"account":"ann","cents":250}"#)?;
//! assert_eq!((account.as_str()?, cents.as_i64()?), ("ann", 250));
//! # Ok::<(), wasmill_sdk::Failure>(())
//! ```

mod member;
mod quotes;
mod write;

use crate::Failure;

pub use member::Member;
use quotes::Quotes;
pub use write::Object;

/// Names of members to look for.
#[derive(Clone, Copy, Debug)]
pub struct Names<const N: usize> {
    names: [Name; N],
}

/// A name, prepared for comparison by words instead of bytes.
#[derive(Clone, Copy, Debug)]
struct Name {
    text: &'static str,
    /// Its first eight bytes, or all of them, little endian.
    start: u64,
}

impl<const N: usize> Names<N> {
    pub const fn new(names: [&'static str; N]) -> Self {
        let mut prepared = [Name { text: "", start: 0 }; N];
        let mut at = 0;
        while at < N {
            prepared[at] = Name::new(names[at]);
            at += 1;
        }
        Self { names: prepared }
    }

    /// The members of these names, [`Member::is_missing`] where there is none. Of several with one name any may count.
    /// What comes after the last one that was looked for is not read, and what lies between is checked only as far as is
    /// needed to find them.
    ///
    /// # Errors
    /// `malformed` if it is no JSON object, as far as it was read.
    #[inline]
    pub fn read<'a>(&self, object: &'a [u8]) -> Result<[Member<'a>; N], Failure> {
        match self.read_usual(object) {
            Some(members) => Ok(members),
            None => self.read_unusual(object),
        }
    }

    /// `None` for anything out of the ordinary.
    #[inline]
    fn read_usual<'a>(&self, object: &'a [u8]) -> Option<[Member<'a>; N]> {
        let mut members = [const { Member::MISSING }; N];
        let mut left = N;
        let mut expected = 0;
        let mut quotes = Quotes::new(object);
        if *object.first()? != b'{' {
            return None;
        }
        while left > 0 {
            let Some(key_at) = quotes.next().map(|quote| quote + 1) else {
                return (quotes.is_at_end() && is_valid(object)).then_some(members);
            };
            let key_end = quotes.next()?;
            let value_at = value_start(object, key_end + 1)?;
            let member = if *object.get(value_at)? == b'"' {
                if quotes.next()? != value_at {
                    return None;
                }
                let end = quotes.next()?;
                Member::string(quotes.text(value_at + 1, end)?)
            } else {
                Member::scalar(object.get(value_at..)?)?
            };
            if let Some(found) = self.find(object, key_at, key_end, expected) {
                expected = found + 1;
                if members[found].is_missing() {
                    members[found] = member;
                    left -= 1;
                }
            }
        }
        Some(members)
    }

    /// The name at these bytes; members usually come in the order in which they are asked for.
    #[inline(always)]
    fn find(&self, object: &[u8], at: usize, end: usize, expected: usize) -> Option<usize> {
        let start = start_of(object, at, end);
        let is = |name: &Name| name.is(object, at, end, start);
        if self.names.get(expected).is_some_and(is) {
            return Some(expected);
        }
        self.names.iter().position(is)
    }

    #[cold]
    fn read_unusual<'a>(&self, object: &'a [u8]) -> Result<[Member<'a>; N], Failure> {
        member::read_all(object, &self.names.map(|name| name.text))
    }
}

impl Name {
    const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() && at < 8 {
            start |= (bytes[at] as u64) << (8 * at);
            at += 1;
        }
        Self { text, start }
    }

    #[inline(always)]
    fn is(&self, object: &[u8], at: usize, end: usize, start: u64) -> bool {
        let len = end - at;
        self.text.len() == len && self.start == start && (len <= 8 || object[at + 8..end] == self.text.as_bytes()[8..])
    }
}

/// The first eight bytes of `object[at..end]`, or all of them, little endian.
#[inline(always)]
fn start_of(object: &[u8], at: usize, end: usize) -> u64 {
    let len = end - at;
    match object.get(at..at + 8) {
        Some(word) => {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            if len >= 8 { word } else { word & ((1 << (8 * len)) - 1) }
        }
        None => object[at..end].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether it is JSON at all: a member that was not found might be hidden in what is none.
#[inline(never)]
fn is_valid(object: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(object).is_ok()
}

/// Where the value after a key begins: behind one colon and blanks.
#[inline(always)]
fn value_start(object: &[u8], at: usize) -> Option<usize> {
    let at = skip_blanks(object, at);
    if *object.get(at)? != b':' {
        return None;
    }
    Some(skip_blanks(object, at + 1))
}

/// Without a loop on the usual path, since a loop costs a component a look at the clock even if it never turns.
#[inline(always)]
fn skip_blanks(object: &[u8], at: usize) -> usize {
    match object.get(at) {
        Some(byte) if *byte <= b' ' => skip_many_blanks(object, at),
        _ => at,
    }
}

#[cold]
fn skip_many_blanks(object: &[u8], at: usize) -> usize {
    let blanks = object[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    at + blanks.count()
}

#[cfg(test)]
mod tests;
