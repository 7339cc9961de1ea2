use std::future::pending;
use std::time::Duration;

use super::fault::Effect;
use super::*;
use crate::sim::host::Host;
use crate::sim::sync_time::SyncTime;
use crate::{Disk, File, Open, Runtime, World};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fault(kind: FaultKind, at_ms: u64, lasts_ms: u64, effect: Effect) -> Fault {
    Fault {
        kind,
        at: ms(at_ms),
        lasts: ms(lasts_ms),
        effect,
        what: kind.to_string(),
    }
}

fn planned(length_ms: u64, faults: Vec<Fault>) -> Schedule {
    Schedule {
        seed: 1,
        settings: ScheduleSettings {
            length: ms(length_ms),
            ..ScheduleSettings::default()
        },
        faults,
    }
}

/// Three servers that do nothing, each with a disk.
fn idle(world: &World) -> (Vec<Host>, Cast) {
    let hosts: Vec<_> = ["a", "b", "c"].map(|name| world.host(name)).into();
    let mut cast = Cast::new(world);
    for host in &hosts {
        cast.server_with_disk(host, "/data", SyncTime::default(), |host| {
            host.start(|_| pending())
        });
    }
    (hosts, cast)
}

/// Runs a plan on three idle servers, and looks at the world at the given moments.
fn watch<T>(plan: Vec<Fault>, at_ms: &[u64], look: impl Fn(&World, &[Host]) -> T) -> Vec<T> {
    World::run(1, async |world| {
        let (hosts, mut cast) = idle(&world);
        let last_ms = at_ms.last().copied().unwrap_or(0);
        let schedule = planned(last_ms, plan);
        let looks = async {
            let mut seen = Vec::new();
            for at_ms in at_ms {
                world
                    .sleep(ms(*at_ms).saturating_sub(world.now().since_start()))
                    .await;
                seen.push(look(&world, &hosts));
            }
            seen
        };
        futures_util::join!(schedule.run(&mut cast), looks).1
    })
}

#[test]
fn two_cuts_of_one_way_heal_with_the_last_one() {
    let plan = vec![
        fault(
            FaultKind::Isolate,
            10,
            50,
            Effect::Cut(vec![(0, 1), (0, 2)]),
        ),
        fault(FaultKind::Part, 20, 20, Effect::Cut(vec![(0, 1), (1, 0)])),
        fault(FaultKind::Cut, 50, 30, Effect::Cut(vec![(0, 1)])),
    ];
    let seen = watch(plan, &[5, 15, 25, 45, 70, 85], |world, hosts| {
        let ways = [(0, 1), (1, 0), (0, 2), (2, 1)];
        ways.map(|(from, to)| world.is_cut(&hosts[from], &hosts[to]))
    });
    assert_eq!(
        seen,
        [
            [false, false, false, false],
            [true, false, true, false],
            [true, true, true, false],
            [true, false, true, false],
            [true, false, false, false],
            [false, false, false, false],
        ]
    );
}

#[test]
fn a_host_is_off_until_the_last_fault_that_holds_it_off() {
    let plan = vec![
        fault(FaultKind::Kill, 10, 40, Effect::Kill(0)),
        fault(FaultKind::PowerCut, 20, 60, Effect::PowerCut(0)),
        fault(FaultKind::Kill, 30, 10, Effect::Kill(0)),
    ];
    let seen = watch(plan, &[5, 15, 45, 55, 75, 85], |_, hosts| {
        hosts[0].is_running()
    });
    assert_eq!(seen, [true, false, false, false, false, true]);
}

#[test]
fn a_kill_ends_a_stop_and_the_next_process_is_stopped_by_its_own_faults_alone() {
    World::run(1, async |world| {
        let host = world.host("a");
        let mut cast = Cast::new(&world);
        let lives = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let ticks = lives.clone();
        cast.server(&host, move |host| {
            let ticks = ticks.clone();
            ticks.lock().push(0_u64);
            host.start(move |rt| async move {
                loop {
                    rt.sleep(ms(10)).await;
                    *ticks.lock().last_mut().expect("this life") += 1;
                }
            })
        });
        let plan = vec![
            fault(FaultKind::Stop, 105, 895, Effect::Stop(0)),
            fault(FaultKind::Kill, 300, 200, Effect::Kill(0)),
            fault(FaultKind::Stop, 605, 600, Effect::Stop(0)),
            fault(FaultKind::Stop, 800, 300, Effect::Stop(0)),
        ];
        let record = planned(1_300, plan).run(&mut cast).await;
        // The stop of the first process ends at 1,000 ms, and lets nobody go on.
        let lives = lives.lock().clone();
        assert_eq!(lives.len(), 2);
        assert_eq!(lives[0], 10);
        // 10 until the stop, a late one, and 9 until the end, and those of the last second.
        assert_eq!(lives[1], 10 + 1 + 9 + 100);
        assert_eq!(record.count(FaultKind::Stop), 2);
        assert!(record.to_string().contains("it is stopped already"));
        assert_eq!((record.restarts(), record.ended_by_itself()), (1, 0));
    });
}

#[test]
fn a_disk_is_full_and_slow_over_a_power_cut() {
    let slow = SyncTime {
        least: ms(7),
        ..SyncTime::default()
    };
    World::run(1, async |world| {
        let (hosts, mut cast) = idle(&world);
        let full = Effect::Full {
            server: 0,
            spare_bytes: 100,
        };
        let plan = vec![
            fault(FaultKind::FullDisk, 10, 90, full),
            fault(FaultKind::SlowSyncs, 20, 80, Effect::Syncs(0, slow)),
            fault(FaultKind::PowerCut, 30, 20, Effect::PowerCut(0)),
        ];
        let schedule = planned(120, plan);
        let look = async {
            let mut seen = Vec::new();
            for at_ms in [21, 60, 110] {
                world
                    .sleep(ms(at_ms).saturating_sub(world.now().since_start()))
                    .await;
                let disk = hosts[0].disk("/data");
                let name = format!("at {at_ms}");
                let file = disk
                    .open(&name, Open::Create)
                    .expect("a name takes no room");
                let fits = file.write_at(&[1; 1_000], 0).is_ok();
                file.sync().expect("the disk is on");
                let before = world.now();
                disk.settled().await.expect("the disk is on");
                seen.push((fits, world.now() - before));
            }
            seen
        };
        let (record, seen) = futures_util::join!(schedule.run(&mut cast), look);
        assert_eq!(seen, [(false, ms(7)), (false, ms(7)), (true, ms(0))]);
        assert_eq!(record.count(FaultKind::FullDisk), 1);
    });
}

#[test]
fn a_server_starts_while_it_is_cut_off_and_stays_so() {
    let ways = vec![(0, 1), (1, 0), (0, 2), (2, 0)];
    let plan = vec![
        fault(FaultKind::Isolate, 10, 100, Effect::Cut(ways)),
        fault(FaultKind::Kill, 20, 30, Effect::Kill(0)),
    ];
    let seen = watch(plan, &[30, 60, 120], |world, hosts| {
        (hosts[0].is_running(), world.is_cut(&hosts[1], &hosts[0]))
    });
    assert_eq!(seen, [(false, true), (true, true), (true, false)]);
}

#[test]
fn two_slow_times_of_a_link_leave_it_as_it_was() {
    let slow = |delay_ms| crate::sim::link::LinkSettings {
        delay: ms(delay_ms),
        ..Default::default()
    };
    let plan = vec![
        fault(FaultKind::SlowLink, 10, 40, Effect::Link(0, 1, slow(30))),
        fault(FaultKind::SlowLink, 20, 10, Effect::Link(0, 1, slow(20))),
        fault(FaultKind::SlowLink, 40, 30, Effect::Link(0, 1, slow(40))),
    ];
    let seen = watch(plan, &[5, 15, 25, 35, 60, 80], |world, hosts| {
        let there = world.link(&hosts[0], &hosts[1]);
        assert_eq!(there, world.link(&hosts[1], &hosts[0]));
        there.delay.as_micros()
    });
    assert_eq!(seen, [50, 30_000, 20_000, 30_000, 40_000, 50]);
}

/// Do all but `down_max` servers run and reach each other? It tries every group.
fn a_group_is_whole(faults: &[Fault], at: Duration, pause: Duration, down_max: usize) -> bool {
    let lasting = |fault: &&Fault, pause| fault.at <= at && at < fault.at + fault.lasts + pause;
    let is_down = |server: usize| {
        faults.iter().any(|fault| match &fault.effect {
            Effect::Kill(it) | Effect::PowerCut(it) | Effect::Stop(it) => {
                *it == server && lasting(&fault, Duration::ZERO)
            }
            Effect::Full { server: it, .. }
            | Effect::FailSync { server: it, .. }
            | Effect::CutAtSync { server: it, .. }
            | Effect::FlipBits { server: it, .. } => *it == server && lasting(&fault, pause),
            _ => false,
        })
    };
    let is_cut = |from, to| {
        faults.iter().any(|fault| match &fault.effect {
            Effect::Cut(ways) => ways.contains(&(from, to)) && lasting(&fault, Duration::ZERO),
            _ => false,
        })
    };
    (0_u32..32).any(|group| {
        let members: Vec<usize> = (0..5).filter(|it| group & 1 << it != 0).collect();
        members.len() >= 5 - down_max
            && members.iter().all(|it| !is_down(*it))
            && members
                .iter()
                .all(|a| members.iter().all(|b| !is_cut(*a, *b)))
    })
}

#[test]
fn all_servers_but_a_minority_always_run_and_reach_each_other() {
    World::run(1, async |world| {
        let mut cast = Cast::new(&world);
        for name in ["a", "b", "c", "d", "e"] {
            let host = world.host(name);
            cast.server_with_disk(&host, "/data", SyncTime::default(), |host| {
                host.start(|_| pending())
            });
        }
        cast.client(&world.host("client"));
        let rates = Rates::rough().with(FaultKind::FlippedBits, 1.0, 100..=2_000);
        let (mut broken, mut kinds) = (0, std::collections::BTreeSet::new());
        for seed in 0..50 {
            for down_max in [None, Some(2), Some(1)] {
                let settings = ScheduleSettings {
                    rates: rates.clone(),
                    down_max,
                    ..ScheduleSettings::default()
                };
                let pause = *settings.restart_pause.end();
                let faults = Schedule::draw(seed, settings, &cast).faults;
                let whole = faults
                    .iter()
                    .filter(|it| a_group_is_whole(&faults, it.at, pause, down_max.unwrap_or(2)))
                    .count();
                if down_max.is_some() {
                    assert_eq!(
                        whole,
                        faults.len(),
                        "seed {seed}, at most {down_max:?} down"
                    );
                    kinds.extend(faults.iter().map(Fault::kind));
                } else {
                    broken += faults.len() - whole;
                }
            }
        }
        assert!(broken > 100, "without a limit it would be broken, too");
        // No usual rates close ports.
        let usual = FaultKind::ALL.len() - 1;
        assert_eq!(kinds.len(), usual, "{kinds:?}");
        assert!(!kinds.contains(&FaultKind::ClosedPorts));
    });
}
