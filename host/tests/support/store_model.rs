//! The plainest store that could be right: three layers of maps over a map, to compare real stores with.

use std::collections::BTreeMap;

pub type Key = Vec<u8>;
pub type Change = Option<Vec<u8>>;
pub type Map = BTreeMap<Key, Change>;

#[derive(Default)]
pub struct Model {
    pub base: BTreeMap<Key, Vec<u8>>,
    pub sealed: Option<Map>,
    pub filling: Map,
    pub call: Map,
}

impl Model {
    fn layers(&self) -> [Option<&Map>; 3] {
        [Some(&self.call), Some(&self.filling), self.sealed.as_ref()]
    }

    pub fn get(&self, key: &[u8]) -> Change {
        let changed = self.layers().into_iter().flatten().find_map(|layer| layer.get(key));
        changed.cloned().unwrap_or_else(|| self.base.get(key).cloned())
    }

    pub fn scan(&self, from: &[u8], to: Option<&[u8]>) -> Vec<(Key, Vec<u8>)> {
        let mut all: Map = self.base.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        self.layers().into_iter().rev().flatten().for_each(|layer| all.extend(layer.clone()));
        let is_inside = |key: &Key| key.as_slice() >= from && to.is_none_or(|to| key.as_slice() < to);
        all.into_iter().filter(|(key, _)| is_inside(key)).filter_map(|(key, value)| Some((key, value?))).collect()
    }

    pub fn end_call(&mut self, keep: bool) {
        let call = std::mem::take(&mut self.call);
        if keep {
            self.filling.extend(call);
        }
    }

    pub fn commit(&mut self) {
        for (key, value) in self.sealed.take().unwrap_or_default() {
            match value {
                Some(value) => self.base.insert(key, value),
                None => self.base.remove(&key),
            };
        }
    }

    pub fn roll_back(&mut self) {
        self.sealed = None;
        self.filling.clear();
    }

    /// Only what was committed is left.
    pub fn crash(&mut self) {
        self.call.clear();
        self.roll_back();
    }
}
