//! The listener and its connections: a thread each, blocking.
//! Owns sockets and threads; a malformed request costs its connection, never the listener.
//! Does not know what requests mean.

mod connection;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use std::sync::atomic::Ordering;

use crate::broker::Shared;
use crate::error::BrokerError;
use crate::sync::lock;

type Open = Arc<Mutex<HashMap<u64, (TcpStream, Option<JoinHandle<()>>)>>>;

#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    open: Open,
    listener: JoinHandle<()>,
}

impl Server {
    /// Takes the address; the port is known afterwards.
    pub fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        bound.map_err(|source| BrokerError::Listen { address, source })
    }

    pub fn start(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) -> Self {
        let open = Open::default();
        let (accepted, state) = (open.clone(), shared.clone());
        let run = move || accept(&listener, &state, &accepted);
        let listener = thread::Builder::new().name("broker-listener".to_owned()).spawn(run);
        Self { address, shared, open, listener: listener.expect("a thread can be started at start-up") }
    }

    /// Closes everything and waits for the threads. `shared.is_stopping` is set already.
    pub fn stop(self) {
        debug_assert!(self.shared.is_stopping.load(Ordering::Acquire));
        // The listener sits in accept; a connection wakes it. A wildcard address is reached through the loopback.
        let mut wake = self.address;
        if wake.ip().is_unspecified() {
            wake.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        if TcpStream::connect_timeout(&wake, Duration::from_secs(1)).is_ok() {
            let _ = self.listener.join();
        }
        let connections: Vec<_> = lock(&self.open).drain().map(|(_, connection)| connection).collect();
        for (stream, _) in &connections {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for handle in connections.into_iter().filter_map(|(_, handle)| handle) {
            let _ = handle.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, open: &Open) {
    for id in 0u64.. {
        let accepted = listener.accept();
        if shared.is_stopping.load(Ordering::Acquire) {
            return;
        }
        let result = accepted.and_then(|(stream, peer)| begin(id, stream, peer, shared, open));
        if let Err(error) = result {
            tracing::warn!(%error, "a connection could not be served");
            // Out of file descriptors or threads: those we have must end first. The pause bounds the log.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn begin(id: u64, stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, open: &Open) -> io::Result<()> {
    if lock(open).len() >= shared.config.connections_max {
        tracing::warn!(%peer, limit = shared.config.connections_max, "too many connections; this one is closed");
        return Ok(());
    }
    stream.set_nodelay(true)?;
    let handle_stream = stream.try_clone()?;
    lock(open).insert(id, (handle_stream, None));
    let (state, ending) = (shared.clone(), open.clone());
    let run = move || {
        connection::serve(stream, peer, &state);
        // Dropping the entry detaches this thread; `stop` joins only those it finds.
        lock(&ending).remove(&id);
    };
    match thread::Builder::new().name(format!("broker-{id}")).spawn(run) {
        Ok(handle) => {
            if let Some(entry) = lock(open).get_mut(&id) {
                entry.1 = Some(handle);
            }
            Ok(())
        }
        Err(error) => {
            lock(open).remove(&id);
            Err(error)
        }
    }
}
