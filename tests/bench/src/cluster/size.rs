//! Memory and the time of a restart, by the number of znodes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::timeout;

use super::fill::fill;
use super::group::{Group, Kind, PAUSE, SERVERS};
use super::table::{Table, ratio};
use crate::wire::{self, Connection};

/// How long a restart may take.
const RESTARTED_WITHIN: Duration = Duration::from_secs(300);

/// The figures of one group.
#[derive(Clone, Copy)]
struct Sizes {
    /// Of the server that has most.
    memory_mib: f64,
    /// Of the restarted one.
    memory_again_mib: f64,
    restart_seconds: f64,
}

/// Fills a fresh group of each kind with so many znodes, and prints a row for each.
pub async fn measure(kinds: &[Kind], znodes: &[u64], folder: &Path) -> anyhow::Result<()> {
    println!(
        "memory (RSS) of the largest server, of a follower after its restart, and the time from \
         its start until it answers a get"
    );
    let mut table = Table::new(
        &["znodes", "server"],
        &["MiB", "MiB restarted", "restart s"],
    );
    table.head();
    for znodes in znodes {
        let mut all = Vec::new();
        for kind in kinds {
            let home = folder.join(format!("{}-{znodes}", kind.name()));
            let sizes = one(kind, *znodes, &home).await?;
            std::fs::remove_dir_all(&home)?;
            table.row(
                &[&znodes.to_string(), kind.name()],
                &[
                    format!("{:.0}", sizes.memory_mib),
                    format!("{:.0}", sizes.memory_again_mib),
                    format!("{:.2}", sizes.restart_seconds),
                ],
            );
            all.push(sizes);
        }
        if let [ours, theirs] = all[..] {
            table.row(
                &["", "ratio"],
                &[
                    ratio(ours.memory_mib, theirs.memory_mib),
                    ratio(ours.memory_again_mib, theirs.memory_again_mib),
                    ratio(ours.restart_seconds, theirs.restart_seconds),
                ],
            );
        }
    }
    Ok(())
}

async fn one(kind: &Kind, znodes: u64, folder: &Path) -> anyhow::Result<Sizes> {
    let mut group = Group::start(kind, 0, folder).await?;
    let addresses = group.addresses();
    let filled = fill(&addresses, znodes).await?;
    if filled.broken > 0 {
        println!(
            "{} broke {} connections while it was filled; the fill went on over others",
            kind.name(),
            filled.broken
        );
    }

    let leader = group.leader().await?;
    let mut memory = 0;
    for server in 0..usize::from(SERVERS) {
        memory = memory.max(group.memory_bytes(server)?);
    }
    let follower = (leader + 1) % usize::from(SERVERS);
    group.end_one(follower).await?;
    let start = Instant::now();
    group.start_one(follower)?;
    while !has(&addresses[follower], &filled.last).await {
        ensure!(
            start.elapsed() < RESTARTED_WITHIN,
            "{} did not answer within {} s of its restart",
            kind.name(),
            RESTARTED_WITHIN.as_secs()
        );
        tokio::time::sleep(PAUSE).await;
    }
    let restart_seconds = start.elapsed().as_secs_f64();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(Sizes {
        memory_mib: mib(memory),
        memory_again_mib: mib(group.memory_bytes(follower)?),
        restart_seconds,
    })
}

/// Whether a server opens a session and has a znode.
async fn has(address: &str, path: &str) -> bool {
    let asked = async {
        let mut connection = Connection::open(address).await?;
        let get = connection.call(wire::GET_DATA, wire::read(path, false));
        get.await.context("it is not there yet")?;
        connection.call(wire::CLOSE, |_| {}).await
    };
    timeout(RESTARTED_WITHIN, asked)
        .await
        .is_ok_and(|done| done.is_ok())
}
