//! A follower whose disk is slow takes no more from the leader than it may keep in memory.

mod common;

use std::time::Duration;

use common::create_wide;
use common::group::{
    FOLDER, Member, Start, eventually, group, leader, same_everywhere, started, write,
};
use innkeeper_raft::{Settings, Status};
use innkeeper_runtime::World;
use innkeeper_runtime::sim::SyncTime;

const VOTERS: [u64; 3] = [1, 2, 3];
const COMMANDS: u64 = 4_000;
const DATA_BYTES: usize = 4 << 10;
/// All commands together have 16 MiB.
const LIMIT: usize = 256 << 10;
/// Two requests that were read before the last one was appended or applied.
const OVER: usize = 2 << 20;

/// The greatest values that were seen.
#[derive(Debug, Default)]
struct Seen {
    held: usize,
    lag: u64,
    unanswered: usize,
}

impl Seen {
    fn look(&mut self, follower: Option<Status>, leader: Option<Status>) {
        if let Some(status) = follower {
            self.held = self.held.max(status.log.held_bytes);
            self.lag = self.lag.max(status.lag_bytes);
        }
        if let Some(status) = leader {
            let unanswered = status.unanswered.values().map(|it| it.bytes);
            self.unanswered = self.unanswered.max(unanswered.sum());
        }
    }
}

/// Runs a group with one follower whose disk is slow, and which has settings of its own; then the
/// disk is quick again.
fn with_slow_follower(seed: u64, settings: impl Fn(Settings) -> Settings) -> Seen {
    World::run(seed, async |world| {
        let start = Start {
            settings: Settings {
                segment_bytes: 1 << 20,
                ..Settings::default()
            },
            ..Start::of(&VOTERS)
        };
        let members = started(&world, &start);
        let old = leader(&world, &members).await;
        let slow = members.iter().find(|m| m.id != old.id).expect("a follower");
        slow.kill();
        slow.start(&Start {
            settings: settings(start.settings.clone()),
            ..start.clone()
        });
        let follows = || slow.status().is_some_and(|s| s.leader == Some(old.id));
        eventually(&world, "it follows", follows).await;

        slow.host.disk(FOLDER).set_sync_time(SyncTime {
            least: Duration::from_millis(300),
            jitter: Duration::from_millis(300),
            stalls: None,
        });
        eventually(&world, "it is founded", || group(old).is_some()).await;
        let replica = old.replica().expect("it leads");
        let (proposals, before) = (replica.proposals(), replica.reader().last_zxid().0);
        let writing = async {
            for first in (0..COMMANDS).step_by(50) {
                let operations = (first..first + 50).map(|ticket| create_wide(ticket, DATA_BYTES));
                proposals.submit(operations.collect()).await;
            }
        };
        let is_done = |member: &Member| {
            let replica = member.replica();
            replica.is_some_and(|replica| replica.reader().last_zxid().0 == before + COMMANDS)
        };
        let mut seen = Seen::default();
        let until = world.now() + Duration::from_secs(5);
        let mut is_slower = false;
        let watching = async {
            while world.now() < until {
                seen.look(slow.status(), old.status());
                is_slower |= is_done(old) && !is_done(slow);
                world.sleep(Duration::from_micros(500)).await;
            }
        };
        tokio::join!(writing, watching);
        eventually(&world, "the others have applied it", || is_done(old)).await;
        assert!(is_slower || !is_done(slow), "its disk was quick enough");
        slow.host.disk(FOLDER).set_sync_time(SyncTime::default());
        while !is_done(slow) {
            seen.look(slow.status(), old.status());
            assert!(world.now() < until + Duration::from_secs(20), "it hangs");
            world.sleep(Duration::from_millis(1)).await;
        }
        seen
    })
}

#[test]
fn what_is_appended_and_not_synced_is_bounded_on_a_follower() {
    let seen = with_slow_follower(1, |settings| Settings {
        held_bytes: LIMIT,
        ..settings
    });
    println!("{seen:?}");
    // An entry takes about twice its bytes.
    assert!(
        seen.held >= LIMIT && seen.held <= LIMIT + 2 * OVER,
        "{seen:?}"
    );
}

/// The others sync quickly, so what the leader proposes is committed and applied before it has
/// synced it.
#[test]
fn what_others_have_committed_and_a_leader_has_not_synced_is_bounded() {
    let most = World::run(4, async |world| {
        let mut start = Start::of(&VOTERS);
        start.settings.held_bytes = LIMIT;
        let members = started(&world, &start);
        write(&world, &members, 1..20).await;
        same_everywhere(&world, &members).await;
        let slow = leader(&world, &members).await;
        slow.host.disk(FOLDER).set_sync_time(SyncTime {
            least: Duration::from_millis(300),
            jitter: Duration::from_millis(300),
            stalls: None,
        });
        let proposals = slow.replica().expect("it leads").proposals();
        let writing = async {
            for first in (1_000..1_000 + COMMANDS).step_by(50) {
                let operations = (first..first + 50).map(|ticket| create_wide(ticket, DATA_BYTES));
                proposals.submit(operations.collect()).await;
            }
        };
        let mut most = 0;
        let until = world.now() + Duration::from_secs(5);
        let watching = async {
            while world.now() < until {
                most = slow.status().map_or(0, |it| it.log.held_bytes).max(most);
                world.sleep(Duration::from_micros(500)).await;
            }
            assert!(slow.leads());
            slow.host.disk(FOLDER).set_sync_time(SyncTime::default());
        };
        tokio::join!(writing, watching);
        same_everywhere(&world, &members).await;
        most
    });
    // One batch of 16 commands may go beyond it, and three more are not applied.
    assert!((LIMIT..=LIMIT + OVER).contains(&most), "{most}");
}

#[test]
fn what_is_applied_and_in_no_checkpoint_is_bounded_on_a_follower() {
    let seen = with_slow_follower(2, |settings| Settings {
        lag_bytes: LIMIT as u64,
        ..settings
    });
    println!("{seen:?}");
    let lag = seen.lag as usize;
    assert!((LIMIT..=LIMIT + OVER).contains(&lag), "{seen:?}");
}

#[test]
fn what_is_sent_and_not_acknowledged_is_bounded_on_a_leader() {
    let seen = with_slow_follower(3, |settings| settings);
    println!("{seen:?}");
    // Many requests are under way at once, to two followers; each may exceed it by one request.
    let (least, most) = (4 << 20, 2 * ((16 << 20) + OVER));
    assert!(
        seen.unanswered > least && seen.unanswered <= most,
        "{seen:?}"
    );
}

/// The leader dies when its followers hold more than their bound, and nobody knows that it is
/// committed. The next leader commits that only with an entry of its own, so the other follower
/// must take this entry.
#[test]
fn a_follower_full_of_uncommitted_entries_takes_those_of_the_next_leader() {
    for seed in 0..3 {
        World::run(seed, async |world| {
            let members: Vec<_> = VOTERS.iter().map(|id| Member::new(&world, *id)).collect();
            let limit = 4 << 10;
            let start = Start {
                settings: Settings {
                    held_bytes: limit,
                    ..Settings::default()
                },
                ..Start::of(&VOTERS)
            };
            members.iter().for_each(|member| member.start(&start));
            write(&world, &members, 1..3).await;
            same_everywhere(&world, &members).await;
            let old = leader(&world, &members).await;
            let others: Vec<_> = members.iter().filter(|m| m.id != old.id).collect();
            // What it sends arrives, and no answer gets back to it.
            for other in &others {
                world.cut(&other.host, &old.host);
            }
            let proposals = old.replica().expect("it leads").proposals();
            let operations = (100..160).map(|ticket| create_wide(ticket, 0));
            proposals.submit(operations.collect()).await;
            let is_full = |member: &&Member| {
                let status = member.status().expect("it runs");
                assert!(status.log.held_bytes < 4 * limit, "{status:?}");
                status.last_log >= status.applied.map(|applied| applied + 50)
            };
            let what = "they have what they cannot apply";
            eventually(&world, what, || others.iter().all(is_full)).await;
            old.kill();
            world.heal_all();
            write(&world, &members, 1_000..1_010).await;
            old.start_again(&world, &start).await;
            same_everywhere(&world, &members).await;
        });
    }
}
