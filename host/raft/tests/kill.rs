//! SIGKILL under write load, over and over, on real files: every acknowledged write is there.
//!
//! SIGKILL keeps the page cache, so this says nothing about syncs; tests/power.rs does.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Recorder, create, dump, path_of};
use innkeeper_raft::{OpenError, Replica, Settings};
use innkeeper_runtime::{Real, RealConfig, Runtime, Threads};

const KILLS: usize = 25;
const FOLDER: &str = "INNKEEPER_KILL_TEST_FOLDER";

fn settings() -> Settings {
    Settings {
        // Small, so that kills meet checkpoints, new segments and purges.
        segment_bytes: 1 << 20,
        checkpoint_entries: 1000,
        lag_bytes: 2000 * 128,
        retention_age: Duration::ZERO,
        retention_bytes: 0,
        ..Settings::default()
    }
}

async fn open(runtime: &Real, folder: &Path, delivery: &Recorder) -> Replica<Real> {
    loop {
        let disk = runtime.disk(folder).unwrap();
        let delivery = Arc::new(delivery.clone());
        match Replica::open(runtime.clone(), disk, settings(), delivery).await {
            Ok(replica) => return replica,
            // A killed process may take a moment to be gone.
            Err(OpenError::Locked(_)) => runtime.sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The process that is killed: writes without end and says what was acknowledged. It is this
/// test program again, started by the test below.
#[test]
#[ignore = "the other test starts it as a process of its own"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        panic!("the other test starts this as a process of its own");
    };
    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let delivery = Recorder::new();
        let replica = open(&runtime, &folder, &delivery).await;
        delivery.reset();
        let start = replica.reader().last_zxid().0;
        let mut out = std::io::stdout();
        writeln!(out, "open {start}").unwrap();
        let proposals = replica.proposals();
        // All commands are creates, one each: ticket n gets zxid n.
        let mut next = start + 1;
        loop {
            proposals
                .submit((next..next + 50).map(create).collect())
                .await;
            next += 50;
            delivery.wait_done(next - 1 - start).await;
            // Only what was delivered is said; a line is one write.
            let acks = delivery.acks();
            assert!(acks.values().all(|ack| ack.ok));
            let last = acks.values().map(|ack| ack.zxid).max().unwrap();
            writeln!(out, "acked {last}").unwrap();
        }
    });
}

struct Killed {
    child: Child,
    lines: BufReader<ChildStdout>,
}

fn spawn(folder: &Path) -> Killed {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Killed { child, lines }
}

/// The number behind a word in a line of the child's.
fn number(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    rest.trim().parse().ok()
}

#[test]
fn sigkill_under_load_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acked = 0;
    let mut starts = BTreeMap::new();
    for round in 0..KILLS {
        let mut killed = spawn(folder.path());
        let mut line = String::new();
        let mut acks_here = 0;
        // Each round lives for another number of acknowledgements, then dies at once.
        let lives_for = 1 + (round * 7) % 40;
        while acks_here < lives_for {
            line.clear();
            assert_ne!(
                killed.lines.read_line(&mut line).unwrap(),
                0,
                "the child ended by itself"
            );
            if let Some(start) = number(&line, "open ") {
                assert!(
                    start >= acked,
                    "acknowledged up to {acked}, and {start} after the kill"
                );
                starts.insert(round, start);
            }
            if let Some(last) = number(&line, "acked ") {
                assert!(last > acked, "the zxid went back: {last} after {acked}");
                acked = last;
                acks_here += 1;
            }
        }
        killed.child.kill().unwrap();
        // What it said before it died counts as well.
        let mut rest = String::new();
        killed.lines.read_to_string(&mut rest).unwrap();
        let whole = rest
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        acked = whole
            .filter_map(|line| number(line, "acked "))
            .fold(acked, u64::max);
        killed.child.wait().unwrap();
    }
    assert_eq!(starts.len(), KILLS);

    let threads = Threads::start(RealConfig::default()).unwrap();
    let runtime = threads.runtime();
    threads.block_on(async {
        let delivery = Recorder::new();
        let replica = open(&runtime, folder.path(), &delivery).await;
        let zxid = replica.reader().last_zxid().0;
        assert!(zxid >= acked);
        let shown = dump(&replica.reader().view());
        let at: BTreeMap<_, _> = shown
            .iter()
            .map(|znode| (znode.0.as_str(), znode))
            .collect();
        for ticket in 1..=zxid {
            let path = path_of(ticket);
            let znode = at
                .get(path.as_str())
                .unwrap_or_else(|| panic!("{path} is lost"));
            assert_eq!(znode.2, ticket as i64, "its zxid");
            assert_eq!(znode.1.as_deref(), Some(ticket.to_string().as_bytes()));
        }
        let status = replica.status();
        assert!(status.log.purged.is_some(), "no purge was met: {status:?}");
        replica.shutdown().await;
    });
}
