//! Who is connected, and how much they ask: what the four-letter words report.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// One connection, as the words show it.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    /// The other end.
    pub(crate) peer: Option<SocketAddr>,
    /// Requests parsed and not answered.
    pub(crate) pending: AtomicU64,
    /// Frames received.
    pub(crate) received: AtomicU64,
    /// Frames sent.
    pub(crate) sent: AtomicU64,
}

/// Sums over all connections since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Frames received.
    pub(crate) received: AtomicU64,
    /// Frames sent.
    pub(crate) sent: AtomicU64,
    /// Requests answered.
    pub(crate) answered: AtomicU64,
    /// Sum of the latencies of the requests answered, in microseconds.
    pub(crate) latency_sum_us: AtomicU64,
    /// The longest latency, in microseconds.
    pub(crate) latency_max_us: AtomicU64,
    /// Connections that were turned away.
    pub(crate) rejected: AtomicU64,
}

/// What one wake-up of a connection adds to the sums.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    /// Frames received.
    pub(crate) received: u64,
    /// Frames sent.
    pub(crate) sent: u64,
    /// Requests answered.
    pub(crate) answered: u64,
    /// Sum of their latencies.
    pub(crate) latency_sum_us: u64,
    /// The longest of them.
    pub(crate) latency_max_us: u64,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TooManyConnections {
    /// Its address has as many as it may.
    #[error("its address has {0} connections already: raise maxClientCnxns, or close some")]
    OfAddress(usize),
    /// All addresses together have as many as they may.
    #[error("there are {0} connections already: raise maxCnxns, or close some")]
    Total(usize),
}

/// All connections of this node.
///
/// Invariants:
/// - An address has at most `max_per_ip` connections, unless that is 0.
///   (test: `an_address_has_so_many_connections_and_no_more`)
/// - All have at most `max_total`, unless that is 0.
///   (test: `all_addresses_together_have_so_many_connections`)
#[derive(Debug)]
pub(crate) struct Clients {
    max_per_ip: usize,
    max_total: usize,
    /// The sums.
    pub(crate) stats: Stats,
    connected: Mutex<Connected>,
}

#[derive(Debug, Default)]
struct Connected {
    next_number: u64,
    clients: FxHashMap<u64, Arc<Client>>,
    per_ip: FxHashMap<IpAddr, usize>,
}

/// Stands for a connection while it lasts.
#[derive(Debug)]
pub(crate) struct Present {
    clients: Arc<Clients>,
    /// Its figures.
    pub(crate) client: Arc<Client>,
}

impl Clients {
    /// Nobody is connected.
    pub(crate) fn new(max_per_ip: usize, max_total: usize) -> Self {
        Self {
            max_per_ip,
            max_total,
            stats: Stats::default(),
            connected: Mutex::default(),
        }
    }

    /// Lets a connection in, unless its address, or all together, have as many as they may.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
    ) -> Result<Present, TooManyConnections> {
        let mut connected = self.connected.lock();
        if self.max_total != 0 && connected.clients.len() >= self.max_total {
            self.stats.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(TooManyConnections::Total(self.max_total));
        }
        if let Some(peer) = peer {
            let count = connected.per_ip.entry(peer.ip()).or_default();
            if self.max_per_ip != 0 && *count >= self.max_per_ip {
                self.stats.rejected.fetch_add(1, Ordering::Relaxed);
                return Err(TooManyConnections::OfAddress(self.max_per_ip));
            }
            *count += 1;
        }
        let number = connected.next_number;
        connected.next_number += 1;
        let client = Arc::new(Client {
            number,
            peer,
            pending: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        connected.clients.insert(number, client.clone());
        Ok(Present {
            clients: self.clone(),
            client,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.connected.lock().clients.len()
    }

    /// All of them, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.connected.lock().clients.values().cloned().collect();
        all.sort_by_key(|client| client.number);
        all
    }

    /// Requests parsed and not answered, of all connections.
    pub(crate) fn pending(&self) -> u64 {
        let connected = self.connected.lock();
        let pending = |client: &Arc<Client>| client.pending.load(Ordering::Relaxed);
        connected.clients.values().map(pending).sum()
    }
}

impl Present {
    /// Adds what a wake-up did.
    pub(crate) fn add(&self, tally: Tally, pending: usize) {
        let stats = &self.clients.stats;
        self.client.pending.store(pending as u64, Ordering::Relaxed);
        if tally.received != 0 {
            self.client
                .received
                .fetch_add(tally.received, Ordering::Relaxed);
            stats.received.fetch_add(tally.received, Ordering::Relaxed);
        }
        if tally.sent != 0 {
            self.client.sent.fetch_add(tally.sent, Ordering::Relaxed);
            stats.sent.fetch_add(tally.sent, Ordering::Relaxed);
        }
        if tally.answered != 0 {
            stats.answered.fetch_add(tally.answered, Ordering::Relaxed);
            stats
                .latency_sum_us
                .fetch_add(tally.latency_sum_us, Ordering::Relaxed);
            stats
                .latency_max_us
                .fetch_max(tally.latency_max_us, Ordering::Relaxed);
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut connected = self.clients.connected.lock();
        connected.clients.remove(&self.client.number);
        if let Some(peer) = self.client.peer
            && let Some(count) = connected.per_ip.get_mut(&peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                connected.per_ip.remove(&peer.ip());
            }
        }
    }
}
