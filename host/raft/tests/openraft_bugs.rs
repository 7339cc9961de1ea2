//! Bugs of openraft that earlier versions had, and which this version and this crate's use of it
//! must not have. Each is staged in a group of three; the number is that of openraft's issue or of
//! the change that mended it.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::create;
use common::group::{
    FOLDER, Member, Start, eventually, leader, same_everywhere, started, write, write_wide,
};
use innkeeper_raft::log::Log;
use innkeeper_raft::{Settings, Vote};
use innkeeper_runtime::sim::{FileFaults, LinkSettings};
use innkeeper_runtime::{Runtime, World};
use openraft::storage::RaftLogStorage;

const VOTERS: [u64; 3] = [1, 2, 3];

fn others<'a>(members: &'a [Member], than: &Member) -> Vec<&'a Member> {
    let all = members.iter();
    all.filter(|member| member.id != than.id).collect()
}

/// #1723: after errors in replication openraft paused before each request, and went on to pause
/// when requests succeeded again, until the stream to this follower ended. Here a follower is gone
/// for so long that openraft pauses, and when it is back it follows each single write at once.
#[test]
fn a_follower_that_is_back_is_not_served_with_pauses() {
    for seed in 0..4 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = started(&world, &start);
            write(&world, &members, 1..20).await;
            let leader = leader(&world, &members).await;
            let gone = others(&members, leader)[0];
            gone.kill();
            for round in 0..20 {
                write(&world, &members, 100 + round..101 + round).await;
                world.sleep(Duration::from_secs(1)).await;
            }
            gone.start_again(&world, &start).await;
            same_everywhere(&world, &members).await;
            let last = || gone.status().and_then(|status| status.applied);
            for round in 0..20 {
                let before = last();
                let began = world.now();
                write(&world, &members, 200 + round..201 + round).await;
                while last() == before {
                    world.sleep(Duration::from_millis(1)).await;
                }
                // The next heartbeat tells it at the latest that the entry is committed.
                let took = world.now().since(began);
                assert!(took < Duration::from_millis(150), "{took:?}");
            }
        });
    }
}

/// A log that loses its beginning with each checkpoint.
fn brief_log() -> Start {
    Start {
        settings: Settings {
            segment_bytes: 4096,
            checkpoint_entries: 20,
            checkpoint_interval: Duration::from_millis(500),
            retention_age: Duration::ZERO,
            retention_bytes: 0,
            ..common::group::settings()
        },
        ..Start::of(&VOTERS)
    }
}

/// #1761: a leader took a write, lost its leadership, and got a snapshot that went beyond its log.
/// openraft kept the write's place, and panicked when it applied the next entry. Here this happens to
/// a leader with many writes that wait.
#[test]
fn a_leader_whose_writes_a_snapshot_superseded_goes_on() {
    for seed in 0..6 {
        World::run(seed, async |world| {
            let start = brief_log();
            let members = started(&world, &start);
            write(&world, &members, 1..50).await;
            same_everywhere(&world, &members).await;
            let old = leader(&world, &members).await;
            let rest = others(&members, old);
            for other in &rest {
                world.part(&old.host, &other.host);
            }
            let proposals = old.replica().expect("it runs").proposals();
            proposals.submit((1_000..1_040).map(create).collect()).await;
            let next = || rest.iter().find(|member| member.leads());
            eventually(&world, "another one leads", || next().is_some()).await;
            let stale = old.status().expect("it runs").last_log;
            let next = next().expect("it was seen");
            let proposals = next.replica().expect("it leads").proposals();
            proposals.submit((100..400).map(create).collect()).await;
            eventually(&world, "its log begins behind the old leader's", || {
                next.status()
                    .is_some_and(|status| status.log.purged > stale)
            })
            .await;
            world.heal_all();
            eventually(&world, "the old leader gets a snapshot", || {
                !old.recorder().installs().is_empty()
            })
            .await;
            write(&world, &members, 400..450).await;
            same_everywhere(&world, &members).await;
        });
    }
}

/// #1828: a leader that had purged all of its log, and knew nothing of a follower since it led, never
/// sent it anything until the next write. Here the follower was away since before the election, and
/// nothing is written after it is back. A node purges whole segments only, and in most of the time
/// the last one has entries. It has none when the entry before has filled its segment so far that
/// the next one begins with the committed index, so entries of all lengths are written until then.
#[test]
fn a_follower_that_a_new_leader_never_met_gets_the_state_when_the_whole_log_is_purged() {
    for seed in 0..6 {
        World::run(seed, async |world| {
            let start = brief_log();
            let members = started(&world, &start);
            write(&world, &members, 1..50).await;
            let old = leader(&world, &members).await;
            let [away, next] = others(&members, old)[..] else {
                panic!("there are three");
            };
            away.kill();
            write(&world, &members, 50..100).await;
            eventually(&world, "the other one has it", || {
                let of = |member: &Member| member.status().and_then(|status| status.applied);
                of(next) == of(old)
            })
            .await;
            old.kill();
            old.start_again(&world, &start).await;
            write(&world, &members, 100..400).await;
            let leader = leader(&world, &members).await;
            let is_purged = || {
                let status = leader.status().expect("it runs");
                status.log.purged == status.last_log
            };
            let mut tickets = 400..2_000;
            while !is_purged() {
                let ticket = tickets.next().expect("an entry fills its segment");
                let bytes = (ticket as usize * 97) % 600;
                write_wide(&world, &members, ticket..ticket + 1, bytes).await;
                world.sleep(Duration::from_millis(600)).await;
            }
            away.start_again(&world, &start).await;
            same_everywhere(&world, &members).await;
            assert!(is_purged(), "nothing was written meanwhile");
            assert!(!away.recorder().installs().is_empty(), "by a snapshot");
        });
    }
}

/// #1795: a leader that could not read its log for a follower tried again, with entries in the
/// middle of the log behind "nothing", and a hole came into the follower's log. Here a leader whose
/// log has lost its beginning cannot read it for a follower that lags. It must stop with a sentence,
/// and the others go on without it.
#[test]
fn a_leader_that_cannot_read_its_log_leaves_no_hole_in_a_follower() {
    let stopped: u64 = (0..8)
        .map(|seed| {
            World::run(seed, async |world| {
                let start = Start {
                    settings: Settings {
                        segment_bytes: 4096,
                        checkpoint_entries: 50,
                        retention_age: Duration::from_secs(1_000),
                        retention_bytes: 32 << 10,
                        // Everything that is applied is read from the disk.
                        tail_bytes: 0,
                        ..common::group::settings()
                    },
                    ..Start::of(&VOTERS)
                };
                let members = started(&world, &start);
                write(&world, &members, 1..600).await;
                same_everywhere(&world, &members).await;
                let leader = leader(&world, &members).await;
                eventually(&world, "the log loses its beginning", || {
                    leader
                        .status()
                        .is_some_and(|status| status.log.purged.is_some())
                })
                .await;
                let lags = others(&members, leader)[0];
                lags.kill();
                write(&world, &members, 600..640).await;
                leader.host.expect_panic();
                leader.host.disk(FOLDER).set_faults(
                    "log/",
                    FileFaults {
                        read_errors_one_in: Some(2),
                        ..FileFaults::default()
                    },
                );
                lags.start(&start);
                eventually(
                    &world,
                    "it has caught up, or the leader has stopped",
                    || {
                        let of =
                            |member: &Member| member.status().and_then(|status| status.applied);
                        !leader.host.is_running() || of(lags) == of(leader)
                    },
                )
                .await;
                let stopped = !leader.host.is_running();
                leader.host.disk(FOLDER).heal();
                if stopped {
                    let why = leader.host.take_panics().concat();
                    assert!(why.contains("the log cannot be read"), "{why}");
                    leader.kill();
                    write(&world, &members, 640..660).await;
                    leader.start_again(&world, &start).await;
                }
                write(&world, &members, 660..680).await;
                same_everywhere(&world, &members).await;
                u64::from(stopped)
            })
        })
        .sum();
    assert!(stopped > 2, "{stopped} leaders could not read");
}

/// #1796: with pre-votes, a voter that had seen a higher term and had a shorter log, and one with
/// the longer log and the lower term, refused each other for ever. Here the first has given its vote
/// to somebody who died, and the old leader is gone.
#[test]
fn a_shorter_log_with_a_higher_vote_does_not_stop_elections() {
    for seed in 0..6 {
        World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = started(&world, &start);
            write(&world, &members, 1..50).await;
            same_everywhere(&world, &members).await;
            let old = leader(&world, &members).await;
            let [shorter, longer] = others(&members, old)[..] else {
                panic!("there are three");
            };
            for other in others(&members, shorter) {
                world.part(&shorter.host, &other.host);
            }
            write(&world, &members, 50..100).await;
            eventually(&world, "the other one has it", || {
                let of = |member: &Member| member.status().and_then(|status| status.applied);
                of(longer) == of(old)
            })
            .await;
            shorter.kill();
            let term = old.status().expect("it runs").term;
            let id = shorter.id;
            let voting = shorter.host.start(move |runtime| async move {
                let disk = runtime.disk(Path::new(FOLDER)).unwrap();
                let settings = Arc::new(common::group::settings());
                let mut log = Log::open(runtime, &disk, settings).unwrap();
                log.save_vote(&Vote::new(term + 5, id)).await.unwrap();
                log.close().await;
            });
            voting.await.expect("the vote is saved");
            old.kill();
            world.heal_all();
            shorter.start(&start);
            let died = world.now();
            eventually(&world, "the longer log leads", || {
                longer.leads() && longer.status().is_some_and(|status| status.term > term + 5)
            })
            .await;
            let took = world.now().since(died);
            assert!(took < Duration::from_secs(10), "{took:?}");
            old.start_again(&world, &start).await;
            write(&world, &members, 100..120).await;
            same_everywhere(&world, &members).await;
        });
    }
}

/// #1838: openraft drew the time after which a node stands for election once, when it started. Two
/// nodes with nearly the same time split the votes again and again, for ever. Here the links are so
/// slow that votes are split often, and yet each group has a leader soon.
#[test]
fn split_votes_end_soon() {
    let mut splits = 0;
    for seed in 0..30 {
        splits += World::run(seed, async |world| {
            let start = Start::of(&VOTERS);
            let members = started(&world, &start);
            write(&world, &members, 1..20).await;
            same_everywhere(&world, &members).await;
            let slow = LinkSettings {
                delay: Duration::from_millis(40),
                ..LinkSettings::default()
            };
            for member in &members {
                for other in others(&members, member) {
                    world.set_link(&member.host, &other.host, slow.clone());
                }
            }
            let old = leader(&world, &members).await;
            let term = old.status().expect("it runs").term;
            old.host.stop();
            let began = world.now();
            let next = || {
                let others = others(&members, old).into_iter();
                let mut leads = others.filter(|member| member.leads());
                leads
                    .find_map(|member| member.status())
                    .map(|status| status.term)
            };
            eventually(&world, "another one leads", || next().is_some()).await;
            let took = world.now().since(began);
            assert!(took < Duration::from_secs(5), "{took:?}");
            u64::from(next() > Some(term + 1))
        });
    }
    assert!(splits > 3, "votes were split {splits} times");
}
