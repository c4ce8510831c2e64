//! The answer of `get-slots` and the changes made over it. The host has removed duplicates, so that each distinct key has
//! one slot; this is a small map from slots to newest values, in one arena.

use crate::packed::{ABSENT, u32_at};

/// Newest values of the keys that were looked up.
pub(crate) struct Slots {
    /// The host's answer, then values set since.
    arena: Vec<u8>,
    values: Vec<Value>,
}

#[derive(Clone, Copy)]
struct Value {
    at: u32,
    /// [`ABSENT`] for no value.
    len: u32,
    changed: bool,
}

/// One key's entry while it is being updated.
pub struct Entry<'s> {
    arena: &'s mut Vec<u8>,
    value: &'s mut Value,
}

impl Slots {
    /// `answer` is as the host wrote it, for `keys` keys.
    #[inline]
    pub(crate) fn new(answer: Vec<u8>, keys: usize) -> Self {
        let distinct = u32_at(&answer, 0) as usize;
        let mut values = Vec::with_capacity(distinct);
        let mut at = 4 + 4 * keys;
        for _ in 0..distinct {
            let len = u32_at(&answer, at);
            at += 4;
            values.push(Value { at: at as u32, len, changed: false });
            at += if len == ABSENT { 0 } else { len as usize };
        }
        Self { arena: answer, values }
    }

    #[inline]
    pub(crate) fn entry(&mut self, position: usize) -> Entry<'_> {
        let slot = u32_at(&self.arena, 4 + 4 * position) as usize;
        Entry { arena: &mut self.arena, value: &mut self.values[slot] }
    }

    /// What changed, as packed slot changes.
    #[inline]
    pub(crate) fn into_changes(self) -> Vec<u8> {
        let mut changes = Vec::with_capacity(self.values.len() * 24);
        for (slot, value) in self.values.iter().enumerate().filter(|(_, value)| value.changed) {
            changes.extend_from_slice(&(slot as u32).to_le_bytes());
            changes.extend_from_slice(&value.len.to_le_bytes());
            if value.len != ABSENT {
                changes.extend_from_slice(&self.arena[value.at as usize..][..value.len as usize]);
            }
        }
        changes
    }
}

impl Entry<'_> {
    /// The newest value.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        (self.value.len != ABSENT).then(|| &self.arena[self.value.at as usize..][..self.value.len as usize])
    }

    #[inline]
    pub fn set(&mut self, value: &[u8]) {
        if value.len() as u32 <= self.value.len && self.value.len != ABSENT {
            self.arena[self.value.at as usize..][..value.len()].copy_from_slice(value);
        } else {
            self.value.at = self.arena.len() as u32;
            self.arena.extend_from_slice(value);
        }
        self.value.len = value.len() as u32;
        self.value.changed = true;
    }

    pub fn remove(&mut self) {
        self.value.len = ABSENT;
        self.value.changed = true;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::Slots;
    use crate::{Changes, Keys, Values};

    fn bytes(hex: &Json) -> Vec<u8> {
        let hex = hex.as_str().expect("hexadecimal text");
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn list(json: &Json) -> impl Iterator<Item = &Json> {
        json.as_array().expect("a list").iter()
    }

    /// The vectors of one kind.
    fn vectors(kind: &str) -> Vec<Json> {
        let path = format!("{}/../../wit/vectors/packed.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let all: Vec<Json> = serde_json::from_str(&text).expect("the vectors are JSON");
        let of_kind: Vec<Json> = all.into_iter().filter(|case| case["kind"] == kind).collect();
        assert!(!of_kind.is_empty(), "no vectors of {kind}");
        of_kind
    }

    #[test]
    fn keys_values_and_changes_follow_their_vectors() {
        for case in vectors("keys") {
            let mut keys = Keys::default();
            list(&case["keys"]).for_each(|key| keys.push(&bytes(key)));
            assert_eq!(keys.bytes(), bytes(&case["bytes"]));
        }
        for case in vectors("values") {
            let values = Values::new(bytes(&case["bytes"]));
            let expected: Vec<_> =
                list(&case["values"]).map(|value| (!value.is_null()).then(|| bytes(value))).collect();
            assert_eq!(values.iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>(), expected);
        }
        for case in vectors("changes") {
            let mut changes = Changes::default();
            for change in list(&case["changes"]) {
                match &change[1] {
                    Json::Null => changes.remove(&bytes(&change[0])),
                    value => changes.put(&bytes(&change[0]), &bytes(value)),
                }
            }
            assert_eq!(changes.bytes(), bytes(&case["bytes"]));
        }
    }

    #[test]
    fn slots_follow_their_vectors() {
        let case = vectors("slots").remove(0);
        let keys = case["keys"].as_u64().expect("a number") as usize;
        let mut slots = Slots::new(bytes(&case["bytes"]), keys);
        let values: Vec<_> = list(&case["values"]).map(|value| (!value.is_null()).then(|| bytes(value))).collect();
        for (position, slot) in list(&case["slots"]).enumerate() {
            let expected = &values[slot.as_u64().expect("a number") as usize];
            assert_eq!(slots.entry(position).value(), expected.as_deref());
        }
        let changes = vectors("slot-changes").remove(0);
        for (position, change) in list(&changes["changes"]).enumerate() {
            match &change[1] {
                Json::Null => slots.entry(position).remove(),
                value => slots.entry(position).set(&bytes(value)),
            }
        }
        assert_eq!(slots.into_changes(), bytes(&changes["bytes"]));
    }
}
