//! Programs beside the node: what goes in, what comes out, and that none is left.
#![allow(clippy::disallowed_methods)] // Files and clocks of tests.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use innkeeper_runtime::{
    COMPLAINT_BYTES_MAX, Ended, Ending, Program, Real, RealConfig, Runtime, Select2, Sim,
    Simulated, select2,
};

/// What stands in for `cat` in simulation.
fn cat(input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    io::copy(input, output)?;
    Ok(())
}

fn program(path: &str, arguments: &[&str]) -> Program {
    Program {
        path: path.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        stand_in: cat,
    }
}

fn shell(script: &str) -> Program {
    program("/bin/sh", &["-c", script])
}

/// Runs a program with this input and at most a MiB of output.
fn run(program: Program, input: &[&'static [u8]]) -> io::Result<Ended> {
    let input = input.iter().copied().map(Bytes::from_static).collect();
    Real::run(RealConfig::default(), |runtime| async move {
        runtime.run_program(program, input, 1 << 20).await
    })
    .expect("the threads start")
}

#[test]
fn a_program_reads_its_input_and_its_output_is_kept() {
    let ended = run(program("/bin/cat", &[]), &[b"one ", b"two"]).expect("it runs");
    assert_eq!(
        (ended.how, &ended.output[..]),
        (Ending::Exit(0), &b"one two"[..])
    );
    let ended = Sim::run(1, |runtime: Simulated| async move {
        let input = vec![Bytes::from_static(b"three")];
        runtime
            .run_program(program("nowhere", &[]), input, 100)
            .await
    });
    let ended = ended.expect("it stands in");
    assert_eq!(
        (ended.how, &ended.output[..]),
        (Ending::Exit(0), &b"three"[..])
    );
}

#[test]
fn how_a_program_ended_is_told() {
    let how = |script| run(shell(script), &[]).expect("it runs").how;
    assert_eq!(how("exit 3"), Ending::Exit(3));
    assert_eq!(how("kill -SEGV $$"), Ending::Signal(11));
    let ended = run(shell("echo wrong >&2; exit 1"), &[b"nobody reads this"]).expect("it runs");
    assert_eq!((ended.how, &*ended.complaint), (Ending::Exit(1), "wrong\n"));
    let missing = run(program("/nowhere/at/all", &[]), &[]).expect_err("no program");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_program_gets_no_environment_and_no_files() {
    let seen = run(shell("export -p; pwd; ls /proc/self/fd | wc -l"), &[]).expect("it runs");
    let seen = String::from_utf8_lossy(&seen.output).into_owned();
    assert!(
        !seen.contains("PATH=\"") && !seen.contains("CARGO"),
        "{seen}"
    );
    assert!(seen.contains("\n/\n") || seen.starts_with("/\n"), "{seen}");
}

#[test]
fn output_and_complaints_are_bounded() {
    let endless = shell("while :; do echo yes; done");
    let ended = run(endless, &[]).expect("it runs");
    assert_eq!((ended.how, ended.output.len()), (Ending::TooMuchOutput, 0));
    let loud =
        shell("i=0; while [ $i -lt 3000 ]; do echo trouble >&2; i=$((i+1)); done; echo done");
    let ended = run(loud, &[]).expect("it runs");
    assert_eq!(
        (ended.how, &ended.output[..]),
        (Ending::Exit(0), &b"done\n"[..])
    );
    assert_eq!(ended.complaint.len(), COMPLAINT_BYTES_MAX);
}

#[test]
fn dropping_the_future_kills_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    let script = format!("echo $$ >{}; exec sleep 1000", file.display());
    Real::run(RealConfig::default(), |runtime| async move {
        let running = runtime.run_program(shell(&script), Vec::new(), 100);
        let written = async {
            eventually("it runs", &runtime, || {
                std::fs::read_to_string(&file).is_ok_and(|id| id.ends_with('\n'))
            })
            .await;
        };
        if let Select2::First(ended) = select2(running, written).await {
            panic!("it ended: {ended:?}");
        }
        let id = std::fs::read_to_string(&file).unwrap();
        let entry = Path::new("/proc").join(id.trim());
        // Not even a zombie is left.
        eventually("it is gone", &runtime, || !entry.exists()).await;
    })
    .expect("the threads start");
}

async fn eventually(what: &str, runtime: &Real, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        runtime.sleep(Duration::from_millis(5)).await;
    }
}
