//! Where the stores of a processor are kept on this host.

use std::path::Path;

use crate::store::MemoryStore;
use crate::topology::{ProcessorSettings, StoreKind, StoreSettings};
use crate::worker::OpenStore;

/// Opens the stores of one processor, for any of its workers.
pub(super) struct Stores {
    stores: Vec<StoreSettings>,
}

impl Stores {
    /// # Errors
    /// The folder of a store on disk cannot be used.
    pub fn open(_folder: &Path, processor: &ProcessorSettings) -> Result<Self, String> {
        if let Some(store) = processor.stores.iter().find(|s| s.kind == StoreKind::Disk) {
            return Err(format!("store `{}`: kind = \"disk\" is not there yet: use \"memory\"", store.name));
        }
        Ok(Self { stores: processor.stores.clone() })
    }

    pub fn opener(&self) -> OpenStore {
        let stores = self.stores.clone();
        Box::new(move |_, store| Ok(Box::new(MemoryStore::new(stores[store].scans))))
    }
}
