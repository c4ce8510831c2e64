//! What may stand for an account or a request.

/// Longer ones are refused: they become keys of stores.
const IDENTIFIER_BYTES_MAX: usize = 64;

/// One to 64 bytes of text without control characters, so that identifiers can be joined by a zero byte.
#[inline]
pub fn is_identifier(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f)
}
