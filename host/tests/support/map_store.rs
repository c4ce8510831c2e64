//! A store for tests of components: a map, with the checks of real stores and no layers. Not for tests of recovery.

use std::collections::BTreeMap;

use wasmill::store::{Checkpoint, KEY_BYTES_MAX, Store, StoreError, VALUE_BYTES_MAX};

#[derive(Default)]
pub struct MapStore {
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
    slots: Vec<Vec<u8>>,
    /// Whether every access fails as a broken disk does.
    pub is_broken: bool,
}

const ABSENT: u32 = u32::MAX;

impl Store for MapStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        self.check(key)?;
        Ok(self.rows.get(key).map(Vec::as_slice))
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.check(key)?;
        match value {
            Some(value) if value.len() > VALUE_BYTES_MAX => Err(StoreError::BadRequest("value is too long".to_owned())),
            Some(value) => {
                self.rows.insert(key.to_vec(), value.to_vec());
                Ok(())
            }
            None => {
                self.rows.remove(key);
                Ok(())
            }
        }
    }

    fn get_many(&mut self, mut keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError> {
        while !keys.is_empty() {
            let len = word(&mut keys)?;
            let key = bytes(&mut keys, len)?;
            push(values, self.get(key)?);
        }
        Ok(())
    }

    fn apply(&mut self, mut changes: &[u8]) -> Result<(), StoreError> {
        while !changes.is_empty() {
            let (key_len, value_len) = (word(&mut changes)?, word(&mut changes)?);
            let key = bytes(&mut changes, key_len)?;
            let value = value(&mut changes, value_len)?;
            self.put(key, value)?;
        }
        Ok(())
    }

    fn get_slots(&mut self, mut keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.slots.clear();
        answer.extend_from_slice(&[0; 4]);
        while !keys.is_empty() {
            let len = word(&mut keys)?;
            let key = bytes(&mut keys, len)?;
            self.check(key)?;
            let slot = self.slots.iter().position(|known| known == key).unwrap_or_else(|| {
                self.slots.push(key.to_vec());
                self.slots.len() - 1
            });
            answer.extend_from_slice(&(slot as u32).to_le_bytes());
        }
        answer[..4].copy_from_slice(&(self.slots.len() as u32).to_le_bytes());
        self.slots.iter().for_each(|key| push(answer, self.rows.get(key).map(Vec::as_slice)));
        Ok(())
    }

    fn put_slots(&mut self, mut changes: &[u8]) -> Result<(), StoreError> {
        while !changes.is_empty() {
            let (slot, value_len) = (word(&mut changes)?, word(&mut changes)?);
            let key = self.slots.get(slot as usize).cloned().ok_or_else(|| cut_off("slot"))?;
            let value = value(&mut changes, value_len)?;
            self.put(&key, value)?;
        }
        Ok(())
    }

    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let rows = self.rows.range(from.to_vec()..).take_while(|(key, _)| to.is_none_or(|to| key.as_slice() < to));
        for (key, value) in rows {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn end_call(&mut self, _: bool) {}

    fn filling_bytes(&self) -> usize {
        0
    }

    fn filling_keys(&self) -> usize {
        0
    }

    fn seal(&mut self, _: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&mut self, _: &Checkpoint) -> Result<(), StoreError> {
        Ok(())
    }

    fn roll_back(&mut self) {}

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.put(key, value)
    }

    fn restored(&mut self, _: &Checkpoint) -> Result<(), StoreError> {
        Ok(())
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.rows.clear();
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        self.rows.len() as u64
    }
}

impl MapStore {
    fn check(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.is_broken {
            return Err(StoreError::Disk("input/output error".to_owned()));
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(StoreError::BadRequest(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len())));
        }
        Ok(())
    }
}

fn cut_off(what: &str) -> StoreError {
    StoreError::BadRequest(format!("packed list: no such {what}"))
}

fn word(list: &mut &[u8]) -> Result<u32, StoreError> {
    let (word, rest) = list.split_first_chunk::<4>().ok_or_else(|| cut_off("length"))?;
    *list = rest;
    Ok(u32::from_le_bytes(*word))
}

fn bytes<'l>(list: &mut &'l [u8], len: u32) -> Result<&'l [u8], StoreError> {
    let (bytes, rest) = list.split_at_checked(len as usize).ok_or_else(|| cut_off("bytes"))?;
    *list = rest;
    Ok(bytes)
}

fn value<'l>(list: &mut &'l [u8], len: u32) -> Result<Option<&'l [u8]>, StoreError> {
    if len == ABSENT { Ok(None) } else { bytes(list, len).map(Some) }
}

fn push(list: &mut Vec<u8>, value: Option<&[u8]>) {
    list.extend_from_slice(&value.map_or(ABSENT, |value| value.len() as u32).to_le_bytes());
    list.extend_from_slice(value.unwrap_or_default());
}
