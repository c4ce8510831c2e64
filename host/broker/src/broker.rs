//! A running broker: opens the folder, restores everything, listens, and stops in order.
//! Owns the threads and what they share.
//! Does not know requests.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crate::clock::now_ms;
use crate::config::BrokerConfig;
use crate::error::BrokerError;
use crate::group::Groups;
use crate::journal::{Entry, Journal};
use crate::log::waiters::Waiter;
use crate::server::Server;
use crate::sync::lock;
use crate::topic::Catalog;
use crate::transaction::Transactions;
use crate::upkeep::Upkeep;

/// What all threads of a broker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: BrokerConfig,
    /// What clients are told to connect to.
    pub advertised: SocketAddr,
    pub cluster_id: String,
    pub journal: Arc<Journal>,
    pub catalog: Arc<Catalog>,
    pub groups: Arc<Groups>,
    pub transactions: Transactions,
    pub is_stopping: AtomicBool,
    waiting: Mutex<Vec<Weak<Waiter>>>,
}

impl Shared {
    /// A waiter that is also woken when the broker stops.
    pub fn new_waiter(&self) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter::default());
        let mut waiting = lock(&self.waiting);
        waiting.retain(|known| known.strong_count() > 0);
        waiting.push(Arc::downgrade(&waiter));
        waiter
    }

    fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.groups.stop();
        lock(&self.waiting).iter().filter_map(Weak::upgrade).for_each(|waiter| waiter.wake());
    }
}

/// A broker that serves from `start` until `stop` or drop.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Option<Server>,
    upkeep: Option<Upkeep>,
    /// Holds the folder's lock for as long as the broker lives.
    _lock: File,
}

impl Broker {
    /// Opens the folder, finishes what a crash left, and listens. Clients may connect when this returns.
    ///
    /// # Errors
    /// The folder is in use or not ours, the address is taken, or files cannot be read or written.
    pub fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        fs::create_dir_all(&config.folder).map_err(BrokerError::io("create", &config.folder))?;
        let folder_lock = lock_folder(&config)?;
        let topics_folder = config.folder.join("topics");
        let journal_path = config.folder.join("journal");
        if !journal_path.exists() && topics_folder.exists() {
            return Err(BrokerError::JournalMissing { path: journal_path });
        }
        let journal = Arc::new(Journal::open(&journal_path, config.fsync)?);
        let cluster_id = cluster_id(&journal, &config)?;
        fs::create_dir_all(&topics_folder).map_err(BrokerError::io("create", &topics_folder))?;
        let catalog = Arc::new(Catalog::new(topics_folder, config.fsync));
        for (name, topic) in journal.with_image(|image| image.topics.clone()) {
            catalog.publish(&name, topic.id, topic.partitions, &topic.overrides)?;
        }
        let groups = Arc::new(Groups::restored(journal.clone(), Instant::now()));
        let transactions = Transactions::restored(journal.clone(), catalog.clone(), groups.clone());
        transactions.resume();
        let (listener, address) = Server::bind(config.address)?;
        let shared = Arc::new(Shared {
            advertised: config.advertised_address.unwrap_or(address),
            config,
            cluster_id,
            journal,
            catalog,
            groups,
            transactions,
            is_stopping: AtomicBool::new(false),
            waiting: Mutex::default(),
        });
        let upkeep = Upkeep::start(&shared);
        let server = Server::start(listener, address, shared.clone());
        tracing::info!(%address, folder = %shared.config.folder.display(), "broker listens");
        Ok(Self { shared, address, server: Some(server), upkeep: Some(upkeep), _lock: folder_lock })
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, ends the threads and writes checkpoints, so that the next start reads nothing twice.
    pub fn stop(mut self) {
        self.shut_down();
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn shut_down(&mut self) {
        let Some(server) = self.server.take() else { return };
        self.shared.begin_stop();
        server.stop();
        if let Some(upkeep) = self.upkeep.take() {
            upkeep.stop();
        }
        for (name, topic) in self.shared.catalog.all() {
            for partition in &topic.partitions {
                if let Err(error) = lock(partition).checkpoint_if_due(true) {
                    tracing::warn!(%error, topic = name, "the final checkpoint failed; the next start reads the log");
                }
            }
        }
        if let Err(error) = self.shared.journal.sync() {
            tracing::warn!(%error, "syncing the journal failed");
        }
        tracing::info!(address = %self.address, "broker stopped");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn lock_folder(config: &BrokerConfig) -> Result<File, BrokerError> {
    let path = config.folder.join("lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(BrokerError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BrokerError::Locked { path: config.folder.clone() }),
        Err(TryLockError::Error(source)) => Err(BrokerError::io("lock", &path)(source)),
    }
}

/// Clients notice by it that they talk to another broker than before.
fn cluster_id(journal: &Journal, config: &BrokerConfig) -> Result<String, BrokerError> {
    let known = journal.with_image(|image| image.cluster_id.clone());
    if !known.is_empty() {
        return Ok(known);
    }
    let id = format!("wasmill-{:x}-{:x}", now_ms(), std::process::id());
    journal.append(Entry::Cluster { id: id.clone() }, true).map_err(|_| {
        let source = std::io::Error::other("the first write failed");
        BrokerError::io("write", &config.folder.join("journal"))(source)
    })?;
    Ok(id)
}
