//! A layer of uncommitted changes: the newest value of each key it holds, in order as well where scans want that.
//! Knows nothing of what lies below it.

use std::collections::BTreeSet;
use std::ops::Bound;

use fjall::Slice;
use hashbrown::HashMap;

/// Changed keys; `None` is a removal, which hides what lower layers and the base have.
pub(super) struct Layer {
    values: HashMap<Slice, Option<Slice>>,
    order: Option<BTreeSet<Slice>>,
}

impl Layer {
    pub fn new(is_ordered: bool) -> Self {
        Self { values: HashMap::new(), order: is_ordered.then(BTreeSet::new) }
    }

    /// The value of a key that this layer holds; outer `None` where it does not.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Option<Slice>> {
        self.values.get(key)
    }

    /// Sets a value and gives the one that this layer had before.
    #[inline]
    pub fn set(&mut self, key: Slice, value: Option<Slice>) -> Option<Option<Slice>> {
        let before = self.values.insert(key.clone(), value);
        if before.is_none()
            && let Some(order) = &mut self.order
        {
            order.insert(key);
        }
        before
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn clear(&mut self) {
        self.values.clear();
        self.order.iter_mut().for_each(BTreeSet::clear);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Slice, &Option<Slice>)> {
        self.values.iter()
    }

    /// Takes all changes out; the room they had is kept.
    pub fn drain(&mut self) -> impl Iterator<Item = (Slice, Option<Slice>)> {
        self.order.iter_mut().for_each(BTreeSet::clear);
        self.values.drain()
    }

    /// Keys in `from..to` in order; none where the layer keeps no order.
    pub fn keys(&self, from: &[u8], to: Option<&[u8]>) -> impl Iterator<Item = &Slice> {
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        self.order.iter().flat_map(move |order| order.range::<[u8], _>(range))
    }
}
