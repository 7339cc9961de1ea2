//! The time without an acknowledged write after the leader of three is killed, stopped or cut off.
//!
//! 1. Writers on all three servers set their own znodes, one write in flight each. One whose
//!    connection breaks opens another session at the same server, at once.
//! 2. When all servers have acknowledged writes, the fault happens. It is over when the two
//!    other servers have acknowledged writes that were sent after it.
//! 3. Two times are taken from the acknowledgements of those two servers: the longest pause of
//!    both together, in which no write was acknowledged at all, and the longest pause of one of them.
//! 4. The fault is undone, and the next round begins when all three are together again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::group::{Fault, Group, PAUSE, SERVERS};
use super::table::{Table, ratio};
use crate::wire::{self, Connection};

/// Writers on each server.
const WRITERS: usize = 4;
/// The writes that each server acknowledges before the fault.
const BEFORE: u64 = 20;
/// The writes that each other server acknowledges after it: more than were in flight.
const AFTER: u64 = 4 * WRITERS as u64;
/// How long a server may take to open a session, or refuse one.
const SESSION_WITHIN: Duration = Duration::from_secs(2);
/// How long a group may take until writes are acknowledged again.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// The parent of all znodes that are written.
const ROOT: &str = "/bench-failover";

/// The acknowledged writes of one round.
#[derive(Default)]
struct Acknowledged {
    /// The server and the time of each.
    all: Mutex<Vec<(usize, Instant)>>,
    /// How many on each server.
    counts: [AtomicU64; SERVERS as usize],
}

impl Acknowledged {
    fn add(&self, server: usize) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((server, Instant::now()));
        self.counts[server].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, server: usize) -> u64 {
        self.counts[server].load(Ordering::Relaxed)
    }

    /// The longest pause on these servers that ends after the fault, in milliseconds.
    fn pause_ms(&self, servers: &[usize], fault: Instant) -> f64 {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let times: Vec<_> = all
            .iter()
            .filter(|(server, _)| servers.contains(server))
            .collect();
        let pauses = times.windows(2).filter(|pair| pair[1].1 > fault);
        let longest = pauses.map(|pair| pair[1].1 - pair[0].1).max();
        longest.unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// The pauses of one fault, in milliseconds, one for each round.
#[derive(Default)]
struct Pauses {
    /// On both other servers together.
    any: Vec<f64>,
    /// On that one of them that was later.
    every: Vec<f64>,
}

/// Measures every fault so many times on every group, and prints a row for each.
pub async fn measure(groups: &mut [Group], times: usize) -> anyhow::Result<()> {
    println!(
        "the leader of three fails under the load of {} connections, {times} times each; ms \
         without an acknowledged write on the other two servers together, and on the later one",
        WRITERS * usize::from(SERVERS)
    );
    let mut table = Table::new(
        &["leader", "server"],
        &["p50", "worst", "later: p50", "later: worst"],
    );
    table.head();
    for fault in [Fault::Killed, Fault::Stopped, Fault::CutOff] {
        let mut medians = Vec::new();
        for group in groups.iter_mut() {
            if fault == Fault::CutOff && !group.can_cut() {
                println!("cut off: not measured, since `unshare --net` is not allowed here");
                break;
            }
            let mut pauses = Pauses::default();
            for _ in 0..times {
                let (any, every) = round(group, fault).await?;
                pauses.any.push(any);
                pauses.every.push(every);
            }
            let (any, every) = (sorted(pauses.any), sorted(pauses.every));
            let figures = [median(&any), worst(&any), median(&every), worst(&every)];
            table.row(
                &[fault.name(), group.kind.name()],
                &figures.map(|ms| format!("{ms:.0}")),
            );
            medians.push(figures);
        }
        if let [ours, theirs] = medians[..] {
            let figures: Vec<_> = ours.iter().zip(theirs).map(|(o, t)| ratio(*o, t)).collect();
            table.row(&["", "ratio"], &figures);
        }
    }
    Ok(())
}

/// One fault: how long both other servers, and the later one, acknowledged nothing, in milliseconds.
async fn round(group: &mut Group, fault: Fault) -> anyhow::Result<(f64, f64)> {
    let leader = group.leader().await?;
    let acknowledged = Arc::new(Acknowledged::default());
    let mut writers = JoinSet::new();
    let addresses = group.addresses();
    let mut setup = Connection::open(&addresses[leader]).await?;
    // It is there from the second round on.
    setup.queue(wire::CREATE, wire::create(ROOT, b""));
    setup.flush().await?;
    setup.receive().await?;
    for (server, address) in addresses.iter().enumerate() {
        for writer in 0..WRITERS {
            let path = format!("{ROOT}/{server}-{writer}");
            writers.spawn(write(address.clone(), path, server, acknowledged.clone()));
        }
    }
    let all: Vec<_> = (0..addresses.len()).collect();
    let others: Vec<_> = all.iter().copied().filter(|at| *at != leader).collect();
    reach(&acknowledged, &all, &[0; SERVERS as usize], BEFORE).await?;

    let at = Instant::now();
    group.strike(leader, fault)?;
    let mut since = [0; SERVERS as usize];
    for server in &all {
        since[*server] = acknowledged.count(*server);
    }
    let again = reach(&acknowledged, &others, &since, AFTER).await;
    group.mend(leader, fault)?;
    again?;
    drop(writers);
    group.leader().await?;
    let every = others
        .iter()
        .map(|server| acknowledged.pause_ms(&[*server], at));
    Ok((
        acknowledged.pause_ms(&others, at),
        every.fold(0.0, f64::max),
    ))
}

/// Waits until each of these servers has acknowledged so many more.
async fn reach(
    acknowledged: &Acknowledged,
    servers: &[usize],
    since: &[u64],
    more: u64,
) -> anyhow::Result<()> {
    let end = Instant::now() + AGAIN_WITHIN;
    let reached = |server: &usize| acknowledged.count(*server) >= since[*server] + more;
    while !servers.iter().all(reached) {
        ensure!(
            Instant::now() < end,
            "not all of the servers {servers:?} acknowledged writes within {} s",
            AGAIN_WITHIN.as_secs()
        );
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Writes to one server for ever.
async fn write(address: String, path: String, server: usize, acknowledged: Arc<Acknowledged>) {
    loop {
        // Whatever breaks, the next session is tried at once, as far as the others are not starved.
        let _ = write_until_it_breaks(&address, &path, server, &acknowledged).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn write_until_it_breaks(
    address: &str,
    path: &str,
    server: usize,
    acknowledged: &Acknowledged,
) -> anyhow::Result<()> {
    let mut connection = timeout(SESSION_WITHIN, Connection::open(address)).await??;
    connection.queue(wire::CREATE, wire::create(path, b""));
    connection.flush().await?;
    connection.receive().await?;
    loop {
        connection.queue(wire::SET_DATA, wire::set_data(path, &[b'x'; 100]));
        connection.flush().await?;
        let reply = connection.receive().await?;
        if reply.error != 0 {
            bail!("a set failed with {}", reply.error);
        }
        acknowledged.add(server);
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn worst(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or_default()
}
