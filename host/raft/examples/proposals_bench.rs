//! The number of durable commands per second of one node.
//!
//! `cargo run -p innkeeper-raft --example proposals_bench [folder]`: prints the file system, what a
//! plain write and fdatasync costs there, and commands per second with 32 and 1024 in flight.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::CreateMode;
use innkeeper_raft::{Delivery, Refusal, Replica, Settings};
use innkeeper_runtime::{Disk, File, Latest, Open, Real, RealConfig, Runtime, Threads};
use innkeeper_tree::applied::Applied;
use innkeeper_tree::command::{Identity, Write, WriteOp};
use innkeeper_tree::{Operation, Ticket, View, acl};

/// How long each figure is measured.
const SECONDS: u64 = 5;

/// Publishes and counts.
struct Count {
    done: Latest<u64>,
}

impl Delivery for Count {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
        self.done.update(|done| {
            *done += batch.len() as u64;
            true
        });
    }

    fn installed(&self, _before: &View, _after: &View, _publish: &mut dyn FnMut()) {
        panic!("a node alone installs no snapshot");
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        panic!("{operation:?} was refused: {refusal}");
    }
}

fn create(ticket: u64) -> Operation {
    Operation::Admin {
        ticket: Ticket(ticket),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(WriteOp::Create {
            path: format!("/bench-{ticket:010}"),
            data: Some(Bytes::from_static(&[b'x'; 100])),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        }),
        enforce_quota: false,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = match given {
        Some(given) => tempfile::tempdir_in(given)?,
        None => tempfile::tempdir_in(".")?,
    };
    let threads = Threads::start(RealConfig {
        client_threads: NonZeroUsize::MIN,
        ..RealConfig::default()
    })?;
    let runtime = threads.runtime();
    println!("file system: {}", file_system(folder.path()));
    println!(
        "plain 4 KB write + fdatasync: {:.0}/s",
        plain_syncs(&runtime, folder.path())?
    );
    threads.block_on(async {
        for in_flight in [32, 1024] {
            let data = folder.path().join(format!("data-{in_flight}"));
            measure(&runtime, &data, in_flight).await?;
        }
        Ok(())
    })
}

fn file_system(folder: &Path) -> String {
    let asked = Process::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(folder)
        .output();
    match asked {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => format!("unknown ({error})"),
    }
}

fn plain_syncs(runtime: &Real, folder: &Path) -> Result<f64, Box<dyn std::error::Error>> {
    let disk = runtime.disk(&folder.join("plain"))?;
    let file = disk.open("probe", Open::Create)?;
    file.preallocate(0, 64 << 20)?;
    let begin = runtime.now();
    let mut syncs = 0;
    while (runtime.now() - begin) < Duration::from_secs(2) {
        file.write_at(&[1; 4096], syncs % 16_000 * 4096)?;
        file.sync()?;
        syncs += 1;
    }
    Ok(syncs as f64 / (runtime.now() - begin).as_secs_f64())
}

async fn measure(
    runtime: &Real,
    folder: &Path,
    in_flight: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let delivery = Arc::new(Count {
        done: Latest::new(0),
    });
    let disk = runtime.disk(folder)?;
    let replica = Replica::open(
        runtime.clone(),
        disk.clone(),
        Settings::default(),
        delivery.clone(),
    )
    .await?;
    let proposals = replica.proposals();
    let mut submitted = 0;
    let mut done = 0;
    let begin = runtime.now();
    let syncs_before = disk.sync_count();
    while (runtime.now() - begin) < Duration::from_secs(SECONDS) {
        let room = in_flight - (submitted - done);
        let batch = (submitted + 1..=submitted + room).map(create).collect();
        submitted += room;
        proposals.submit(batch).await;
        done = delivery.done.wait_for(|now| *now > done).await;
    }
    done = delivery.done.wait_for(|now| *now >= submitted).await;
    let seconds = (runtime.now() - begin).as_secs_f64();
    let syncs = disk.sync_count() - syncs_before;
    println!(
        "{in_flight} in flight: {:.0} durable creates/s, {:.0} syncs/s, {:.1} per sync, {:.2} ms each",
        done as f64 / seconds,
        syncs as f64 / seconds,
        done as f64 / syncs as f64,
        seconds * 1000.0 * in_flight as f64 / done as f64,
    );
    replica.shutdown().await;
    Ok(())
}
