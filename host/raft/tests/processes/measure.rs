//! What three processes on loopback cost, with real syncs. `make bench-raft` prints it.

use innkeeper_runtime::{Instant, Latest, Real, RealConfig, Runtime};

use crate::driver::{Process, Replica, all_vote, three};

const SECONDS: u64 = 5;
const DEATHS: usize = 20;
/// The ephemerals of a session that ends.
const EPHEMERALS: u64 = 100_000;

/// Bytes that loopback has carried: the second field of its line in proc(5).
fn loopback_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/net/dev").expect("a table");
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"));
    let first = line.and_then(|line| line.split_whitespace().next());
    first.expect("loopback").parse().expect("a number")
}

/// CPU time in microseconds and bytes of the log, of all processes.
fn used(all: &mut [Replica]) -> (u64, u64) {
    let mut sum = (0, 0);
    for replica in all {
        sum.0 += replica.numbers("cpu")[0];
        sum.1 += replica.numbers("status")[2];
    }
    sum
}

fn load(all: &mut [Replica], place: usize, whose: &str, in_flight: u64) {
    let (cpu, log) = used(all);
    let network = loopback_bytes();
    let figures = all[place].numbers(&format!("load {in_flight} {SECONDS}"));
    let network = loopback_bytes() - network;
    let (cpu_after, log_after) = used(all);
    let (count, took_us) = (figures[0], figures[1]);
    println!(
        "at the {whose}, {in_flight} in flight: {} commands/s; each {} us of CPU in the three \
         processes, {} bytes over loopback, {} bytes in the three logs",
        count * 1_000_000 / took_us,
        (cpu_after - cpu) / count,
        network / count,
        (log_after - log) / count,
    );
}

fn ms(runtime: &Real, began: Instant) -> u64 {
    runtime.now().since(began).as_millis() as u64
}

/// Milliseconds from the leader's SIGKILL to the next commit at another node.
fn death(runtime: &Real, all: &mut [Replica]) -> u64 {
    let leader = all[0].leader() as usize - 1;
    let survivor = (leader + 1) % 3;
    let began = runtime.now();
    all[leader].kill();
    assert_eq!(all[survivor].ask("submit 1"), "done");
    let took_ms = ms(runtime, began);
    all[leader].start();
    all_vote(all);
    for replica in all.iter_mut() {
        assert_eq!(replica.ask("submit 1"), "done");
    }
    took_ms
}

fn deaths(runtime: &Real, all: &mut [Replica], how: &str) {
    let mut took_ms: Vec<_> = (0..DEATHS).map(|_| death(runtime, all)).collect();
    took_ms.sort_unstable();
    println!(
        "from the leader's death to the next commit, {how}: p50 {} ms, at worst {} ms of {DEATHS}",
        took_ms[DEATHS / 2],
        took_ms[DEATHS - 1]
    );
}

/// The commands that take longest to apply.
fn heavy(all: &mut [Replica], leader: usize) {
    let end_us = all[leader].numbers(&format!("end_session {EPHEMERALS}"))[0];
    let count = all[leader].numbers("count");
    println!(
        "the longest poll of the leader's raft thread: {end_us} us while a session with \
         {EPHEMERALS} ephemerals ends, {} us while {} znodes are counted for a quota",
        count[1], count[0]
    );
}

#[test]
#[ignore = "make bench-raft"]
fn figures() {
    let measured = Real::run(RealConfig::default(), async |runtime| {
        // Not in memory: the syncs are measured as well.
        let folder = tempfile::tempdir_in(".").unwrap();
        let mut all = three(&runtime, folder.path(), &Latest::new(true)).await;
        // Nothing goes through a proxy here.
        let ports: Vec<_> = all.iter().map(|replica| replica.orders.port).collect();
        for replica in &mut all {
            replica.orders.voters = (1..).zip(ports.iter().copied()).collect();
            replica.start();
        }
        let leader = all[0].leader() as usize - 1;
        all.iter_mut().for_each(|replica| {
            replica.numbers("polls");
        });
        for in_flight in [1, 64] {
            load(&mut all, leader, "leader", in_flight);
            load(&mut all, (leader + 1) % 3, "follower", in_flight);
        }
        let polls_us: Vec<_> = all
            .iter_mut()
            .map(|replica| replica.numbers("polls")[0])
            .collect();
        println!(
            "the longest poll of a raft thread meanwhile: {} us at the leader, {} us anywhere",
            polls_us[leader],
            polls_us.iter().max().expect("three")
        );
        heavy(&mut all, leader);
        // One that came late does not vote yet, and then the death of another one leaves no quorum.
        all_vote(&mut all);
        deaths(&runtime, &mut all, "idle");
        let busy: Vec<_> = (0..2)
            .map(|_| Process::start("child::spin", "spin"))
            .collect();
        deaths(&runtime, &mut all, "both processors busy");
        drop(busy);
    });
    measured.unwrap();
}
