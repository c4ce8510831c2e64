//! Writing a flat object without blanks, members in the order in which they are given.

/// An object that is being written. Names of members are written as they are and must need no escapes.
///
/// ```
/// let mut text = Vec::new();
/// wasmill_sdk::json::Object::begin(&mut text).string("account", "ann").integer("cents", -5).end();
/// assert_eq!(text, br#"{"account":"ann","cents":-5}"#);
/// ```
#[must_use = "an object is whole only after `end`"]
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// What stands before the next member.
    before: u8,
}

impl<'o> Object<'o> {
    #[inline]
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { out, before: b'{' }
    }

    #[inline]
    pub fn string(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        self.text(text);
        self
    }

    #[inline]
    pub fn integer(mut self, name: &str, number: i64) -> Self {
        self.name(name);
        push_integer(self.out, number);
        self
    }

    pub fn boolean(mut self, name: &str, value: bool) -> Self {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    pub fn null(mut self, name: &str) -> Self {
        self.name(name);
        self.out.extend_from_slice(b"null");
        self
    }

    #[inline]
    pub fn end(self) {
        if self.before == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    #[inline(always)]
    fn name(&mut self, name: &str) {
        self.out.push(self.before);
        self.before = b',';
        debug_assert!(is_plain(name.as_bytes()), "a member's name must need no escapes: {name:?}");
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    #[inline(always)]
    fn text(&mut self, text: &str) {
        if is_plain(text.as_bytes()) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            escape(self.out, text);
        }
    }
}

/// Whether nothing in it needs an escape: no control characters, quotation marks or backslashes.
#[inline(always)]
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    words.iter().all(|word| is_plain_word(u64::from_le_bytes(*word))) && rest.iter().all(|byte| is_plain_byte(*byte))
}

/// Eight bytes at once: a byte is zero after the exclusive or where it is the one sought.
#[inline(always)]
fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    below_blank | zero_in(word ^ (ONES * u64::from(b'"'))) | zero_in(word ^ (ONES * u64::from(b'\\'))) == 0
}

#[inline(always)]
fn is_plain_byte(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

#[cold]
fn escape(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text can always be written to memory");
}

/// "00" to "99".
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Two digits a round: in a component each round of a loop costs a look at the clock.
#[inline]
fn push_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    while rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}
