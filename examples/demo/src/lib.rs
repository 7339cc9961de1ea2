//! `innkeeper demo`: shows nodes, consumers and guests in a sequence of scenes, in one terminal.
//!
//! The demo is an ordinary client and operator. Each node runs as a process of its own, and the demo
//! reaches it through ZooKeeper's protocol and the admin socket:
//! 1. [`run`] creates a temporary folder and plays the `scenes` one after the other. A scene acts,
//!    waits for the effect (the event of a watch, the status of a binding; never a fixed time), and
//!    returns a typed record of what it saw.
//! 2. The first scene starts the nodes (`nodes`), and pushes and binds the embedded guests through an
//!    admin socket (`admin`). The next scenes start consumers as processes, and read the group
//!    as any client can (`group`).
//! 3. A printer prints each record: one printer for people, with a table of the partitions that it
//!    redraws at every change, and one for programs, with one JSON object on each line. With
//!    `--step` the demo then waits for a newline on stdin (`steps`).
//! 4. At the end the demo stops all processes in order, removes the folder and prints a summary.
//!    After an error or Ctrl-C it kills all processes, and one sentence says why.
//!
//! Invariants:
//! - Every figure was read from a node or measured by the demo in this run.
//! - No process outlives the demo, even if the demo is killed: consumers end with their stdin, and
//!   a node gets a signal when its parent dies (`parts::run_as_part`).

// These macros panic when the reader of a pipe has ended.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the demo is a client of a node in another process: it stands outside the node's runtime, and its files are a temporary folder's"
)]

mod admin;
mod group;
mod guest;
mod nodes;
mod parts;
mod print;
mod probe;
mod processes;
mod record;
mod scenes;
mod stage;
mod steps;
mod told;

use std::io::IsTerminal;

use anyhow::Context;
use clap::Args;
use innkeeper_runtime::{Select2, select2};
use tokio::signal::unix::{SignalKind, signal};

pub use guest::Guest;
use print::Printer;
use processes::Processes;
use steps::Steps;

pub use parts::run_as_part;

/// Flags of `innkeeper demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Nodes of the group, 1, 3 or 5; with more than one the leader is killed in a scene of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = nodes::count)]
    nodes: u64,
    /// Consumers at the beginning, 1 to 32; one more joins later
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    members: u32,
    /// Partitions that the consumers share, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,
    /// Print one JSON object on a line for each scene
    #[arg(long)]
    json: bool,
    /// Wait for a newline on stdin after each scene
    #[arg(long)]
    step: bool,
}

/// Plays the demo with the guests of this binary. An error is one sentence, and leaves no process
/// running.
pub fn run(args: DemoArgs, guests: &'static [Guest]) -> anyhow::Result<()> {
    let guests = guest::shown(guests)?;
    // On the first thread of the process: children get a signal when the thread that started them
    // ends.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the demo's runtime cannot be started")?;
    runtime.block_on(play(args, guests))
}

/// Runs one of the demo's consumers, with the library of `examples/consumer`, which is for any
/// ZooKeeper.
pub fn run_consumer(args: innkeeper_consumer::Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the consumer's runtime cannot be started")?;
    runtime.block_on(innkeeper_consumer::run(args))
}

async fn play(args: DemoArgs, guests: Vec<&'static Guest>) -> anyhow::Result<()> {
    // Before any process is started: without a handler a signal would leave it running.
    let interrupted = interruption()?;
    let mut processes = Processes::new()?;
    let mut printer = Printer::new(
        args.json,
        std::io::stdout().is_terminal(),
        scenes::count(args.nodes),
    );
    let mut steps = Steps::new(args.step, !args.json);
    let scenes = scenes::play(&args, &guests, &mut processes, &mut printer, &mut steps);
    let played = match select2(interrupted, scenes).await {
        Select2::First(signal) => Err(anyhow::anyhow!("{signal}: the demo stops here")),
        Select2::Second(played) => played,
    };
    match played {
        Ok(played) => {
            let ended = processes.stop().await?;
            let printed = printer.summary(&played.summary(ended));
            Ok(printed.map_err(print::no_stdout)?)
        }
        Err(error) => {
            printer.interrupt();
            let why = processes.who_ended();
            processes.kill().await;
            match why {
                Some(why) => Err(error.context(why)),
                None => Err(error),
            }
        }
    }
}

/// Completes at the first signal that asks the demo to end, with the reason in words.
fn interruption() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut signals = Vec::new();
    for (kind, name) in [
        (SignalKind::interrupt(), "interrupted"),
        (SignalKind::terminate(), "terminated"),
        (SignalKind::hangup(), "the terminal is gone"),
    ] {
        signals.push((
            signal(kind).context("signals cannot be handled here")?,
            name,
        ));
    }
    Ok(std::future::poll_fn(move |context| {
        for (signal, name) in &mut signals {
            if signal.poll_recv(context).is_ready() {
                return std::task::Poll::Ready(*name);
            }
        }
        std::task::Poll::Pending
    }))
}
