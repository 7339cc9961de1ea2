//! What operators do to a group while it suffers: they hand the leadership over, and empty data
//! folders.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::RaftRole;
use innkeeper_runtime::{Runtime, Select2, Simulated, World, select2};
use innkeeper_tree::group::Role;

use crate::history::History;
use crate::invariants::members::Members;
use crate::stage::Member;

/// The pause before an action is drawn up to this.
const PAUSE_MS: u64 = 4_000;
/// How long an operator waits for another leader.
const PATIENCE: Duration = Duration::from_secs(3);
/// One in so many starts at which a folder may be emptied finds it empty.
const WIPES_ONE_IN: u64 = 2;

/// Hands the leadership over again and again, and counts how often it worked.
pub async fn transfers(
    world: World,
    dice: Simulated,
    members: Vec<Arc<Member>>,
    count: &Cell<u64>,
) -> Infallible {
    loop {
        let pause = dice.random_u64() % PAUSE_MS;
        world.sleep(Duration::from_millis(pause)).await;
        let leader = members.iter().find_map(|member| {
            let replica = member.replica()?;
            (replica.status().role == RaftRole::Leader).then_some(replica)
        });
        let drawn = dice.random_u64() as usize;
        if let Some(leader) = leader
            && let voters = leader.status().members.voters
            && let Some(to) = voters.iter().nth(drawn % voters.len().max(1)).copied()
            && leader.status().node_id != to
        {
            let handing = select2(leader.transfer_leadership(to), world.sleep(PATIENCE));
            if let Select2::First(Ok(())) = handing.await {
                count.set(count.get() + 1);
            }
        }
    }
}

/// Which folder is emptied, one at a time: the next one only after the group has taken the last one
/// back in, and the first one only after all founders have something of the group. Before that an
/// emptied folder looks like those that were never in it, and a majority of such may found a group.
/// And only members of a configuration that is reached are emptied, with three voters at least: the
/// others can do without one of them.
pub struct Wipes {
    founders: BTreeSet<u64>,
    /// The nodes that have had something of the group.
    joined: BTreeSet<u64>,
    /// The member, and what it must have applied to be back.
    under_way: Option<(u64, u64)>,
    /// The version of the last configuration that was seen to be reached.
    reached: u64,
    is_over: bool,
    /// How many folders were emptied.
    pub count: u64,
}

impl Wipes {
    pub fn new(founders: &[u64]) -> Self {
        Self {
            founders: founders.iter().copied().collect(),
            joined: BTreeSet::new(),
            under_way: None,
            reached: 0,
            is_over: false,
            count: 0,
        }
    }

    /// A node starts. Is its folder to be emptied?
    pub fn draw(&mut self, dice: &Simulated, node: u64, history: &History) -> bool {
        let wanted = history.wanted();
        let voters = wanted.of(Role::Voter);
        let may_be = !self.is_over
            // It died before its folder was empty, or before it was back.
            && self.under_way.is_none()
            && self.founders.is_subset(&self.joined)
            && self.reached == wanted.version
            && wanted.has(node)
            && voters.len() >= 3;
        if may_be && dice.random_u64().is_multiple_of(WIPES_ONE_IN) {
            self.under_way = Some((node, history.last_zxid()));
            self.count += 1;
            return true;
        }
        false
    }

    /// Is there an empty folder, or one that the group has not taken in again?
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Is it the folder of this node?
    pub fn is_under_way_at(&self, node: u64) -> bool {
        self.under_way.is_some_and(|(at, _)| at == node)
    }

    /// No further folder is emptied.
    pub fn stop(&mut self) {
        self.is_over = true;
    }

    /// Looks which members have something, and whether the emptied one is back.
    pub fn look(&mut self, hosts: &[Arc<Member>], wanted: &Members) {
        for host in hosts {
            let status = host.status();
            if status.is_some_and(|status| status.applied > Some(0)) {
                self.joined.insert(host.id);
            }
        }
        if !wanted.is_reached(hosts) {
            return;
        }
        self.reached = wanted.version;
        let Some((node, known)) = self.under_way.filter(|(node, _)| wanted.has(*node)) else {
            return;
        };
        let replica = hosts.iter().find(|host| host.id == node);
        let replica = replica.and_then(|host| host.replica());
        if replica.is_some_and(|replica| replica.reader().last_zxid().0 > known) {
            self.under_way = None;
        }
    }
}
