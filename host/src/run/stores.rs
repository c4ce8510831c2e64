//! Where the stores of a processor are kept on this host.

use std::path::Path;

use crate::store::{DiskStores, MemoryStore, Store};
use crate::topology::{ProcessorSettings, StoreKind, StoreSettings};
use crate::worker::OpenStore;

/// Opens the stores of one processor, for any of its workers.
pub(super) struct Stores {
    stores: Vec<StoreSettings>,
    /// Where at least one store is on disk.
    disk: Option<DiskStores>,
}

impl Stores {
    /// # Errors
    /// The folder of stores on disk cannot be used.
    pub fn open(folder: &Path, processor: &ProcessorSettings) -> Result<Self, String> {
        let on_disk = processor.stores.iter().filter(|s| s.kind == StoreKind::Disk);
        let names: Vec<&str> = on_disk.map(|s| s.name.as_str()).collect();
        let disk = match names.is_empty() {
            true => None,
            false => Some(DiskStores::open(folder, &names).map_err(|error| error.to_string())?),
        };
        Ok(Self { stores: processor.stores.clone(), disk })
    }

    pub fn opener(&self) -> OpenStore {
        let (stores, disk) = (self.stores.clone(), self.disk.clone());
        Box::new(move |partition, store| {
            let StoreSettings { name, scans, .. } = &stores[store];
            let opened: Box<dyn Store> = match (&disk, stores[store].kind) {
                (Some(disk), StoreKind::Disk) => Box::new(disk.store(name, partition, *scans)?),
                _ => Box::new(MemoryStore::new(*scans)),
            };
            Ok(opened)
        })
    }
}
