//! What every part of a running node shares.

use std::path::PathBuf;
use std::sync::Arc;

use innkeeper_raft::{Door, Replica};
use innkeeper_runtime::{Instant, Runtime, Signal};
use innkeeper_tree::{Operation, Reader, Ticket};

use crate::clients::Clients;
use crate::expiry::Expiry;
use crate::fanout::Fanout;
use crate::gate::Guard;
use crate::settings::NodeSettings;
use crate::tickets::{ProposeError, Settled, Tickets};

/// The running node, as its parts see it: connections, guests, admin.
///
/// How a part of the node proposes: [`Core::propose`] with an operation that carries a ticket;
/// the answer comes when the operation was applied here and a view shows it. How it reads:
/// [`Core::reader`]; after [`Replica::read_index`] where it must not be stale. How it hears of
/// bindings: hooks installed in [`Core::fanout`]. How it takes part in decisions: a gate
/// installed in [`Core::guard`]. It ends when [`Core::stopping`] is raised.
#[derive(Debug)]
pub struct Core<R: Runtime> {
    /// Clock, sockets, threads.
    pub runtime: R,
    /// What the node was told at its start.
    pub settings: NodeSettings,
    /// Views of the state.
    pub reader: Reader,
    /// The way into the log.
    pub door: Door,
    /// Read indexes, modules, status.
    pub replica: Arc<Replica<R>>,
    /// Who waits for this node's own proposals.
    pub tickets: Arc<Tickets>,
    /// From apply to whoever waits.
    pub fanout: Arc<Fanout>,
    /// What requests must pass besides ACLs.
    pub guard: Guard,
    /// Raised when the node begins to stop.
    pub stopping: Signal,
    /// When the node was ready.
    pub started: Instant,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) clients: Arc<Clients>,
}

impl<R: Runtime> Core<R> {
    /// Proposes what `operation` makes of a fresh ticket, and waits until it was applied here.
    pub async fn propose(
        &self,
        operation: impl FnOnce(Ticket) -> Operation,
    ) -> Result<Settled, ProposeError> {
        self.tickets
            .propose(&self.runtime, &self.door, operation)
            .await
    }

    /// Where the admin socket is.
    pub fn admin_path(&self) -> PathBuf {
        self.settings.data.join(ADMIN_SOCKET)
    }
}

/// The admin socket's name in the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";
