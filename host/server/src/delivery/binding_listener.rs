//! How the guests' side of the node hears of changes that apply made.

use std::sync::Arc;

use bytes::Bytes;
use innkeeper_tree::{Digest, Zxid};

/// Called by the fan-out after each batch of applied commands, on the raft thread, in zxid order,
/// after the new view is published and the fan-out's lock is released.
///
/// An implementation only notes what it is told and wakes a task of its own: it must not block, and
/// it must not propose from here. While the node recovers its log there is no listener yet; the
/// part that installs one reads all bindings from a fresh view first.
pub trait BindingListener: Send + Sync + 'static {
    /// The event queues of these bindings grew (a name may come more than once).
    fn queued(&self, bindings: &[Arc<str>]);

    /// The wish, the activation or the existence of these bindings changed.
    fn changed(&self, bindings: &[Arc<str>]);

    /// Events for these bindings were dropped, because too long a chain of reactions led to them.
    fn cut(&self, cuts: &[Cut]);

    /// The leader of the group asks whether this node could use the module with this digest at
    /// once.
    fn holds(&self, module: Digest) -> bool;

    /// A module was registered.
    fn registered(&self);

    /// Another node asks whether this one stores the module with this digest durably. If it does
    /// not, it begins to fetch it from that node or another.
    fn stores(&self, module: Digest) -> bool;

    /// The guests' side of another node asks, and this node leads. The answer takes less than
    /// 1 MiB; `None` if the question cannot be read.
    fn asked(&self, question: &[u8]) -> Option<Bytes>;

    /// Another node asks how far the push of that name is. The answer takes less than 1 MiB; `None`
    /// if this node does not know it.
    fn push(&self, id: Digest) -> Option<Bytes>;
}

/// Events that a binding did not get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The binding.
    pub binding: Arc<str>,
    /// The zxid of the transaction whose events they would have been.
    pub zxid: Zxid,
    /// The state's time then, in milliseconds since 1970.
    pub time_ms: u64,
}
