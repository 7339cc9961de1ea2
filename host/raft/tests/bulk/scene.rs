//! A group of three with one member that has been away, and needs a snapshot.

use std::time::Duration;

use innkeeper_raft::Settings;
use innkeeper_runtime::sim::LinkSettings;
use innkeeper_runtime::{Disk, World};

use crate::common::group::{
    FOLDER, Member, Start, eventually, leader, same_everywhere, started, write, write_wide,
};

pub const VOTERS: [u64; 3] = [1, 2, 3];
/// The file into which a snapshot is written while it arrives.
pub const ARRIVING: &str = "state.redb.new";
/// Bytes of data in each znode.
const WIDTH: usize = 300;

/// Whole segments are purged as soon as a checkpoint covers them.
pub fn start() -> Start {
    let mut start = Start::of(&VOTERS);
    start.settings = Settings {
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        ..start.settings
    };
    // A target that has died holds purges up only for a moment.
    start.peers.hold_timeout = Duration::from_secs(5);
    start
}

/// Does a snapshot arrive at this member right now?
pub fn arrives(member: &Member) -> bool {
    let names = member.host.disk(FOLDER).list("");
    names.is_ok_and(|names| names.iter().any(|name| name == ARRIVING))
}

/// Three members, of which the last in the list has been away for so long that the others have
/// purged what it needs next.
pub struct Scene {
    pub world: World,
    pub members: Vec<Member>,
    pub start: Start,
    /// The next ticket.
    pub next: u64,
}

impl Scene {
    pub async fn set(world: World, start: Start, znodes: u64) -> Self {
        let mut members = started(&world, &start);
        write(&world, &members, 1..50).await;
        let led = leader(&world, &members).await.id;
        members.sort_by_key(|member| member.id != led);
        let mut scene = Self {
            world,
            members,
            start,
            next: 50,
        };
        scene.same().await;
        scene.away().kill();
        scene.outgrow(znodes).await;
        scene
    }

    pub fn away(&self) -> &Member {
        &self.members[2]
    }

    pub async fn leader(&self) -> &Member {
        leader(&self.world, &self.members).await
    }

    /// Writes at the leader, until so many more znodes are there and their entries are purged.
    pub async fn outgrow(&mut self, znodes: u64) {
        let first = self.next;
        while self.next < first + znodes {
            self.write(100).await;
        }
        let others = &self.members[..2];
        // An entry's index is greater than its ticket, since there are others in the log.
        let are_purged = || {
            others.iter().all(|member| {
                let status = member.status();
                let purged = status.and_then(|status| status.log.purged);
                purged.is_some_and(|purged| purged > first + 100)
            })
        };
        while !are_purged() {
            // A segment is purged when there is a newer one.
            write_wide(&self.world, others, self.next..self.next + 20, WIDTH).await;
            self.next += 20;
            self.world.sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn write(&mut self, count: u64) {
        let tickets = self.next..self.next + count;
        write_wide(&self.world, &self.members, tickets, WIDTH).await;
        self.next += count;
    }

    pub async fn comes_back(&self) {
        self.away().start(&self.start);
        let away = self.away();
        eventually(&self.world, "it has opened", || away.replica().is_some()).await;
    }

    /// Waits until a snapshot arrives at the member that was away.
    pub async fn arriving(&self) {
        let away = self.away();
        eventually(&self.world, "a snapshot arrives", || arrives(away)).await;
    }

    /// Waits until the member that was away has what the leader has, if it runs.
    pub async fn caught_up(&self) {
        let away = self.away();
        let is_there = || {
            let all = self.members.iter().filter_map(Member::status);
            let most = all.map(|status| status.committed).max().flatten();
            away.status().is_none_or(|status| status.applied >= most)
        };
        eventually(&self.world, "it has caught up", is_there).await;
    }

    pub async fn same(&self) {
        same_everywhere(&self.world, &self.members).await;
        assert!(!arrives(self.away()), "nothing is left of a snapshot");
    }
}

/// Lets the link from the leader to the member that was away take so many bytes in a second.
pub async fn slow_link(scene: &Scene, bytes_per_s: Option<u64>) {
    for from in &scene.members[..2] {
        let link = LinkSettings {
            bytes_per_s,
            ..LinkSettings::default()
        };
        scene.world.set_link(&from.host, &scene.away().host, link);
    }
}
