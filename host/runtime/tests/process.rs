//! What only a process of its own can show: its death, and the signals it gets.

#![allow(clippy::disallowed_methods)] // Threads of these processes are busy on purpose.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use innkeeper_runtime::{Confinement, Real, RealConfig, Runtime, STARVED, ThreadRole, confine};
use rustix::process::{Pid, Signal, getppid, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Set for the processes that these tests start; without it the ignored tests do nothing.
const CHILD: &str = "INNKEEPER_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one of the ignored tests below as a process of its own.
fn start(test: &str) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Computes without an end, on the first processor that this process may use.
fn compute_on_one_processor() {
    let ours = sched_getaffinity(None).expect("processors");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| ours.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(first.expect("a processor"));
    sched_setaffinity(None, &one).expect("a processor of ours");
    loop {
        std::hint::black_box(0);
    }
}

#[test]
#[ignore = "run as a process of its own"]
fn compute() {
    if is_child() {
        compute_on_one_processor();
    }
}

#[test]
#[ignore = "run as a process of its own"]
fn compute_when_idle() {
    if !is_child() {
        return;
    }
    confine(&Confinement {
        memory_bytes: 1 << 30,
        cpu_s: 60,
        parent: getppid().expect("a parent").as_raw_nonzero().get() as u32,
        when_idle: true,
    })
    .expect("limits");
    compute_on_one_processor();
}

/// One that runs only while its processor is idle ends where that is never.
#[test]
fn who_runs_when_idle_ends_where_it_starves() {
    let mut busy = start("compute");
    let mut starved = start("compute_when_idle");
    let status = starved.wait().expect("it ends");
    busy.kill().expect("it runs");
    busy.wait().expect("it ends");
    assert_eq!(status.code(), Some(STARVED), "{status}");
}

#[test]
#[ignore = "run as a process of its own"]
fn lose_a_core_task() {
    assert!(
        is_child(),
        "a test below starts this as a process of its own"
    );
    Real::run(RealConfig::default(), |rt| async move {
        rt.spawn(ThreadRole::Fsync, async { panic!("the disk is gone") })
            .detach();
        rt.sleep(Duration::from_secs(60)).await;
    })
    .expect("the threads start");
}

/// A dead core thread stops the node, with one line that says why.
#[test]
fn a_lost_core_panic_ends_the_process() {
    let mut process = start("lose_a_core_task");
    let status = process.wait().expect("it ends");
    let mut said = String::new();
    let mut stderr = process.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{said}");
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("innkeeper: "))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("a fsync task (spawned at"), "{said}");
    assert!(lines[0].contains("the disk is gone"), "{said}");
}

/// The nice value and the scheduling policy of each thread of this process: fields 19 and 41 of its
/// state in proc(5).
fn priorities() -> Vec<(i32, u32)> {
    let threads = std::fs::read_dir("/proc/self/task").expect("threads");
    // A thread may end meanwhile.
    let states = threads.filter_map(|thread| {
        let thread = thread.expect("a thread");
        std::fs::read_to_string(thread.path().join("stat")).ok()
    });
    let read = states.map(|state| {
        let (_, behind_name) = state.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let number = |field: usize| fields[field - 3].parse::<i32>().expect("a number");
        (number(19), number(41) as u32)
    });
    read.collect()
}

#[test]
#[ignore = "run as a process of its own"]
fn rest_after_work() {
    assert!(
        is_child(),
        "a test below starts this as a process of its own"
    );
    let rested = Real::run(RealConfig::default(), |rt| async move {
        let least = rustix::process::getpriority_process(None).expect("a priority") + 5;
        let is_low = |(nice, policy): &(i32, u32)| *nice > least || *policy != 0;
        for role in [ThreadRole::Spare, ThreadRole::Compile] {
            let seen = rt.spawn(role, async { priorities() }).await;
            let seen = seen.expect("no panic");
            assert!(seen.iter().any(is_low), "{role} works at a low priority");
        }
        let resting = async {
            while priorities().iter().any(is_low) {
                rt.sleep(Duration::from_millis(1)).await;
            }
        };
        rt.timeout(Duration::from_secs(20), resting).await
    });
    assert_eq!(rested.expect("the threads start"), Ok(()));
}

/// A thread needs a processor to end, and one that runs only on an idle processor does not get one
/// while others are busy. So none of those may wait for work.
#[test]
fn threads_that_wait_do_not_hold_up_the_death_of_the_process() {
    let output = start("rest_after_work")
        .wait_with_output()
        .expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Starting a thread for each of them would cost others more than the jobs do.
#[test]
fn jobs_that_follow_each_other_start_one_thread() {
    const JOBS: usize = 100;
    let threads = Real::run(RealConfig::default(), |rt| async move {
        let mut threads = HashSet::new();
        for _ in 0..JOBS {
            let job = async { std::thread::current().id() };
            threads.insert(rt.spawn(ThreadRole::Spare, job).await.expect("no panic"));
            // The thread has nothing else to do by then.
            rt.sleep(Duration::from_millis(1)).await;
        }
        threads.len()
    });
    let threads = threads.expect("the threads start");
    // On a busy machine a job may come too late.
    assert!(threads < JOBS / 2, "{threads} threads for {JOBS} jobs");
}

#[test]
#[ignore = "run as a process of its own"]
fn wait_for_the_end() {
    assert!(
        is_child(),
        "a test below starts this as a process of its own"
    );
    Real::run(RealConfig::default(), |rt| async move {
        let asked = rt.terminated();
        println!("ready");
        asked.await;
        println!("a clean end");
    })
    .expect("the threads start");
}

/// SIGTERM and SIGINT are requests, which the process answers in its own time.
#[test]
fn a_signal_asks_for_the_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = start("wait_for_the_end");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = said.lines().map(|line| line.expect("text"));
        assert!(lines.any(|line| line.contains("ready")));
        kill_process(Pid::from_child(&process), signal).expect("it runs");
        assert!(lines.any(|line| line.contains("a clean end")));
        assert!(process.wait().expect("it ends").success());
    }
}

#[test]
#[ignore = "run as a process of its own"]
fn do_not_end_when_asked() {
    assert!(
        is_child(),
        "a test below starts this as a process of its own"
    );
    Real::run(RealConfig::default(), |rt| async move {
        let asked = rt.terminated();
        println!("ready");
        asked.await;
        println!("asked");
        // Every thread of the runtime is as busy as it can be, this one included.
        for role in [ThreadRole::Client; 64] {
            rt.spawn(role, async { std::thread::sleep(Duration::from_secs(60)) })
                .detach();
        }
        std::thread::sleep(Duration::from_secs(60));
    })
    .expect("the threads start");
}

/// Whatever the process is busy with, the second signal ends it, and its exit code says which it
/// was.
#[test]
fn a_second_signal_ends_at_once() {
    for (first, second, code) in [
        (Signal::TERM, Signal::TERM, 143),
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
    ] {
        let mut process = start("do_not_end_when_asked");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = said.lines().map(|line| line.expect("text"));
        assert!(lines.any(|line| line.contains("ready")));
        kill_process(Pid::from_child(&process), first).expect("it runs");
        assert!(lines.any(|line| line.contains("asked")));
        kill_process(Pid::from_child(&process), second).expect("it runs");
        assert_eq!(process.wait().expect("it ends").code(), Some(code));
    }
}

#[test]
#[ignore = "run as a process of its own"]
fn count_hangups() {
    assert!(
        is_child(),
        "a test below starts this as a process of its own"
    );
    Real::run(RealConfig::default(), |rt| async move {
        let mut requests = rt.reload_requests();
        println!("ready");
        for _ in 0..2 {
            println!("hung up {}", requests.changed().await);
        }
    })
    .expect("the threads start");
}

#[test]
fn a_hangup_is_counted_and_ends_nothing() {
    let mut process = start("count_hangups");
    let said = BufReader::new(process.stdout.take().expect("piped"));
    let mut lines = said.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains("ready")));
    for count in ["hung up 1", "hung up 2"] {
        kill_process(Pid::from_child(&process), Signal::HUP).expect("it runs");
        assert!(lines.any(|line| line.contains(count)));
    }
    assert!(process.wait().expect("it ends").success());
}
