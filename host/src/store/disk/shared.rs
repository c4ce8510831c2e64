//! What the stores of one processor share: the database, and who holds which store.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::DiskStore;
use super::folder::{self, Opened};
use super::lease::{Holder, Lease};
use crate::record::Partition;
use crate::store::StoreError;

/// How the engine is set.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Writes of a store that gather in memory before they become a table: bounds memory by tasks times stores times
    /// this.
    pub memtable_bytes: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { memtable_bytes: 32 << 20 }
    }
}

/// The stores on disk of one processor on this host, for any of its workers.
#[derive(Clone)]
pub struct DiskStores(Arc<Shared>);

pub(super) struct Shared {
    folder: PathBuf,
    options: DiskOptions,
    current: Mutex<Opened>,
    holders: Mutex<BTreeMap<String, Holder>>,
}

/// Where a store's rows are.
pub(super) struct Place {
    pub database: Database,
    pub keyspace: Keyspace,
}

impl DiskStores {
    /// Opens the state in a folder. What is damaged or of another format is emptied, with a warning; what belongs to
    /// stores other than `names` is removed.
    ///
    /// # Errors
    /// The folder cannot be used, or another process uses it.
    pub fn open(folder: &Path, names: &[&str]) -> Result<Self, StoreError> {
        Self::open_with(folder, names, DiskOptions::default())
    }

    /// As `open`, with settings of one's own.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(folder: &Path, names: &[&str], options: DiskOptions) -> Result<Self, StoreError> {
        let opened = folder::open(folder)?;
        let is_former = |found: &str| !names.contains(&found.split('.').next().unwrap_or_default());
        if let Err(error) = remove(&opened.database, is_former) {
            let folder = folder.display().to_string();
            tracing::warn!(folder, error = error.to_string(), "state of former stores cannot be removed");
        }
        let current = Mutex::new(opened);
        Ok(Self(Arc::new(Shared { folder: folder.to_owned(), options, current, holders: Mutex::default() })))
    }

    /// Opens a store of a task and takes it from whoever had it before.
    ///
    /// # Errors
    /// The engine fails, on a database that was empty already.
    pub fn store(&self, name: &str, partition: Partition, has_scans: bool) -> Result<DiskStore, StoreError> {
        let name = format!("{name}.{partition}");
        let shared = self.0.clone();
        let holder = {
            let mut holders = shared.holders.lock().unwrap_or_else(PoisonError::into_inner);
            holders.entry(name.clone()).or_default().clone()
        };
        let lease = Lease::take(holder);
        let place = shared.place(&name)?;
        Ok(DiskStore::new(shared, name, lease, place, has_scans))
    }
}

impl Shared {
    fn current(&self) -> Opened {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn place(&self, name: &str) -> Result<Place, StoreError> {
        let opened = self.current();
        self.place_in(&opened, name).or_else(|error| self.place_anew(opened.generation, name, &error))
    }

    /// The place of a store without its rows: a new keyspace, in a new database if the present one does not work.
    pub fn emptied(&self, name: &str) -> Result<Place, StoreError> {
        let opened = self.current();
        let emptied = remove(&opened.database, |found| is_of(found, name)).and_then(|()| {
            // A database that has failed once takes no writes any more, and says so here.
            opened.database.persist(PersistMode::Buffer)?;
            self.place_in(&opened, name)
        });
        emptied.or_else(|error| self.place_anew(opened.generation, name, &error))
    }

    /// A store's keyspace, made if it is not there. Its name ends with a number of its own: where the engine has lost a
    /// keyspace, what its journals still hold for that must not come up in a later one.
    fn place_in(&self, opened: &Opened, name: &str) -> Result<Place, fjall::Error> {
        let names = opened.database.list_keyspace_names();
        let found = names.iter().find(|found| is_of(found, name)).map(|found| found.to_string());
        let full = found.unwrap_or_else(|| format!("{name}.{:x}", RandomState::new().build_hasher().finish()));
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.options.memtable_bytes);
        let keyspace = opened.database.keyspace(&full, options)?;
        Ok(Place { database: opened.database.clone(), keyspace })
    }

    fn place_anew(&self, failed: u64, name: &str, error: &fjall::Error) -> Result<Place, StoreError> {
        let opened = self.renewed(failed, error)?;
        self.place_in(&opened, name).map_err(|error| StoreError::Disk(error.to_string()))
    }

    /// A database in place of the one that failed, unless somebody has put one there already.
    fn renewed(&self, failed: u64, error: &fjall::Error) -> Result<Opened, StoreError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation == failed {
            let (folder, error) = (self.folder.display().to_string(), error.to_string());
            tracing::warn!(folder, error, "state on disk failed: it begins anew, from the changelogs");
            *current = folder::begin(&self.folder, failed)?;
        }
        Ok(current.clone())
    }
}

/// Whether a keyspace holds the rows of a store: `<store>.<partition>.<number>`.
fn is_of(keyspace: &str, name: &str) -> bool {
    keyspace.rsplit_once('.').is_some_and(|(of, _)| of == name)
}

/// Deletes keyspaces by their names.
fn remove(database: &Database, is_meant: impl Fn(&str) -> bool) -> Result<(), fjall::Error> {
    for name in database.list_keyspace_names().iter().filter(|name| is_meant(name)) {
        database.delete_keyspace(database.keyspace(name, KeyspaceCreateOptions::default)?)?;
    }
    Ok(())
}
