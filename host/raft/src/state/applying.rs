//! Applying one command to the tree, and delivering what came of it.
//!
//! **Invariant:** a command that visits many znodes is not applied on the raft thread, where it
//! would hold up signs of life and the log, and it keeps its place among the others. (tests:
//! `a_heavy_command_is_applied_beside_the_raft_thread_and_in_its_place`,
//! `commands_that_visit_many_znodes_are_known`)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use innkeeper_tree::Tree;
use innkeeper_tree::applied::{Applied, Outcome, SessionResult, TicketResult};

use crate::Delivery;
use crate::types::Proposal;

/// A command that visits more znodes than this is not applied on the raft thread. A znode takes one
/// to three microseconds.
pub(super) const HEAVY: usize = 10_000;

/// What was being done, and the panic that ended it.
pub(super) type Panicked = (&'static str, Box<dyn std::any::Any + Send>);

/// Applies one command. The error is its panic.
pub(super) fn apply(tree: &mut Tree, proposal: &Proposal) -> thread::Result<Applied> {
    catch_unwind(AssertUnwindSafe(|| tree.apply(proposal.command())))
}

/// Delivers what was applied to the tree. The error is the delivery's panic.
pub(super) fn deliver(
    delivery: &dyn Delivery,
    tree: &mut Tree,
    applied: Vec<Applied>,
) -> thread::Result<()> {
    let mut published = 0;
    catch_unwind(AssertUnwindSafe(|| {
        delivery.deliver(applied, &mut || {
            tree.publish();
            published += 1;
        });
        assert_eq!(published, 1, "a delivery publishes exactly once");
    }))
}

/// Applies one command and delivers it. Returns whether it lost a race.
pub(super) fn whole(
    tree: &mut Tree,
    proposal: &Proposal,
    delivery: &dyn Delivery,
) -> Result<bool, Panicked> {
    let applied = apply(tree, proposal).map_err(|panic| ("apply", panic))?;
    let lost = lost_a_race(&applied);
    let delivered = deliver(delivery, tree, vec![applied]);
    delivered.map_err(|panic| ("delivery", panic))?;
    Ok(lost)
}

/// Was it refused for what came before it? A transaction with a conflict, or a session's write under
/// a changed policy.
pub(super) fn lost_a_race(applied: &Applied) -> bool {
    matches!(
        applied.outcome,
        Outcome::Ticket {
            result: TicketResult::Conflict(_),
            ..
        } | Outcome::Session {
            result: SessionResult::Bounced,
            ..
        }
    )
}
