//! What only the established leader of the group does: reactions and activations.
//!
//! 1. Every node keeps one dispatcher per recipe and looks at each binding that changed, so that a
//!    node which becomes the leader has the modules compiled already.
//! 2. A node that does not lead begins no reaction and proposes no activation. What it had in flight
//!    when it lost the leadership is refused by the proposer, or settled by apply: the
//!    acknowledgement of events that another leader's reaction has consumed is a conflict.
//! 3. A node that becomes the leader looks at all bindings again and rings the bells of all recipes.
//!
//! A node alone leads from its start on.
//!
//! **Invariant:** only the leader runs recipes, and each event is reacted to once over any number of
//! fail-overs. (test: `each_event_is_counted_once_while_leaders_die_and_only_leaders_react`)

use std::sync::Arc;

use innkeeper_raft::Standing;
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_server::service::Service;

use super::Guests;

impl<R: Runtime> Guests<R> {
    /// Whether this node is the established leader, as far as it has heard. It may have lost the
    /// leadership a moment ago; then its proposals are refused.
    pub(super) fn leads(&self) -> bool {
        if cfg!(innkeeper_break = "follower-reacts") {
            return true;
        }
        matches!(self.standing(), Standing::Leads { .. })
    }

    /// What this node is in its group, as far as it has heard.
    pub(super) fn standing(&self) -> Standing {
        self.shared.standings.newest()
    }

    /// The node's service, if the node is a member of a group and has not stopped. Let it go soon.
    pub(super) fn service_in_group(&self) -> Option<Arc<Service<R>>> {
        let service = self.shared.service.get()?.upgrade()?;
        service.settings.group.is_some().then_some(service)
    }

    /// The node's number; `None` once it has stopped.
    pub(super) fn own_number(&self) -> Option<u64> {
        let service = self.shared.service.get()?.upgrade()?;
        Some(service.settings.replication().node_id)
    }

    /// Whether the node is a member of a group.
    pub(super) fn is_in_group(&self) -> bool {
        self.service_in_group().is_some()
    }

    /// Takes the work up each time that this node becomes the leader, until the node stops.
    pub(super) async fn run_leading(&self) {
        let mut standings = self.shared.standings.clone();
        loop {
            match select2(self.shared.stopping.wait(), standings.changed()).await {
                Select2::First(()) => return,
                Select2::Second(Standing::Leads { .. }) => {
                    let view = self.shared.reader.view();
                    let bindings = view.bindings().iter();
                    let all: Vec<_> = bindings.map(|binding| binding.name.clone()).collect();
                    drop(view);
                    // What other nodes said to an earlier leader is old.
                    self.shared.readiness.clear();
                    self.changed(&all);
                }
                Select2::Second(Standing::Waits | Standing::Follows { .. }) => {}
            }
        }
    }
}
