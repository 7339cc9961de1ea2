//! What operators do to a group while it suffers: they hand the leadership over, and empty data
//! folders.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::RaftRole;
use innkeeper_runtime::{Disk, Runtime, Select2, Simulated, World, select2};

use crate::history::History;
use crate::stage::Member;

/// The pause before an action is drawn up to this.
const PAUSE_MS: u64 = 4_000;
/// How long an operator waits for another leader.
const PATIENCE: Duration = Duration::from_secs(3);
/// One in so many starts finds an empty folder.
const WIPES_ONE_IN: u64 = 8;

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
        let to = members[dice.random_u64() as usize % members.len()].id;
        if let Some(leader) = leader
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
/// back in, and the first one only after all members have something of the group. Before that an
/// emptied folder looks like those that were never in it, and a majority of such may found a group.
pub struct Wipes {
    members: usize,
    /// The members that have had something of the group.
    joined: BTreeSet<u64>,
    /// The member, and what it must have applied to be back.
    under_way: Option<(u64, u64)>,
    is_over: bool,
    /// How many folders were emptied.
    pub count: u64,
}

impl Wipes {
    pub fn new(members: usize) -> Self {
        Self {
            members,
            joined: BTreeSet::new(),
            under_way: None,
            is_over: false,
            count: 0,
        }
    }

    /// A member starts. Is its folder to be emptied?
    pub fn draw(&mut self, dice: &Simulated, node: u64, history: &History) -> bool {
        let known = history.last_zxid();
        let all_joined = self.joined.len() == self.members;
        match self.under_way {
            // It died before its folder was empty, or before it was back.
            Some(_) => false,
            None if !self.is_over
                && all_joined
                && dice.random_u64().is_multiple_of(WIPES_ONE_IN) =>
            {
                self.under_way = Some((node, known));
                self.count += 1;
                true
            }
            None => false,
        }
    }

    /// No further folder is emptied.
    pub fn stop(&mut self) {
        self.is_over = true;
    }

    /// Looks whether the member is back.
    pub fn look(&mut self, member: &Member) {
        if member
            .status()
            .is_some_and(|status| status.applied > Some(0))
        {
            self.joined.insert(member.id);
        }
        let Some((node, known)) = self.under_way.filter(|(node, _)| *node == member.id) else {
            return;
        };
        let Some(replica) = member.replica() else {
            return;
        };
        let status = replica.status();
        let votes = matches!(status.role, RaftRole::Leader | RaftRole::Follower)
            && status.members.voters.contains(&node)
            && !status.members.changes;
        if votes && replica.reader().last_zxid().0 > known {
            self.under_way = None;
        }
    }
}

/// Empties a data folder, durably.
pub async fn wipe(runtime: &Simulated, folder: &str) -> io::Result<()> {
    let disk = runtime.disk(folder.as_ref())?;
    for name in disk.list("log").unwrap_or_default() {
        disk.remove(&format!("log/{name}"))?;
    }
    disk.sync_folder("log").ok();
    for name in disk.list("")? {
        if name != "log" && name != "LOCK" {
            disk.remove(&name)?;
        }
    }
    disk.sync_folder("")?;
    disk.settled().await
}
