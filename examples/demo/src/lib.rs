//! `innkeeper demo`: a play in scenes, on real sockets, in one terminal.
//!
//! The demo is a client and an operator like any other. Everything it shows comes out of a node
//! that runs as a process of its own, through ZooKeeper's protocol and the admin socket:
//! 1. [`run`] makes a temporary folder and plays the `scenes` one after the other. A scene acts,
//!    waits for what must follow (a watch's event, a binding's status; never a fixed time), and
//!    returns a typed record of what it saw.
//! 2. The first scene starts the node (`processes`) and pushes and binds the embedded guests
//!    through its admin socket (`admin`). The next ones start consumers as processes, and look
//!    at the group as any client may (`group`).
//! 3. Each record is printed by one of two printers: for people, with a table of who
//!    owns what that is redrawn while things change, or as one JSON object per line. With
//!    `--step` the demo then waits for a newline on stdin (`steps`).
//! 4. At the end everything is stopped in order, the folder is removed, and a summary says so.
//!    After an error or Ctrl-C everything is killed instead, and one sentence says why.
//!
//! Invariants:
//! - A figure that is shown was read from the node or measured here; none is known beforehand.
//! - No process outlives the demo, even when it is killed: consumers end with their stdin, and
//!   the node gets a signal when its parent dies (`processes::run_as_part`).

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![allow(
    clippy::disallowed_methods,
    reason = "the demo is a client of a node in another process: it stands outside the node's runtime, and its files are a temporary folder's"
)]

mod admin;
mod group;
mod guest;
mod print;
mod probe;
mod processes;
mod record;
mod scenes;
mod stage;
mod steps;

use std::io::IsTerminal;

use anyhow::Context;
use clap::Args;
use innkeeper_runtime::{Select2, select2};
use tokio::signal::unix::{SignalKind, signal};

pub use guest::Guest;
use print::Printer;
use processes::Processes;
use steps::Steps;

pub use processes::run_as_part;

/// Flags of `innkeeper demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Consumers to begin with; one more joins later
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    members: u32,
    /// Partitions that are dealt out to them
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,
    /// Print each scene as one JSON object on a line of its own
    #[arg(long)]
    json: bool,
    /// Wait for a newline on stdin after each scene
    #[arg(long)]
    step: bool,
}

/// Plays it with the guests of this binary. An error is one sentence; nothing is left running then, either.
pub fn run(args: DemoArgs, guests: &'static [Guest]) -> anyhow::Result<()> {
    let guests = guest::shown(guests)?;
    // One thread, and the process's first: a child's parent, in the kernel's eyes, is the thread
    // that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the demo's runtime cannot be started")?;
    runtime.block_on(play(args, guests))
}

/// Is one of the demo's consumers: the example's library, which knows nothing of Innkeeper.
pub fn run_consumer(args: innkeeper_consumer::Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the consumer's runtime cannot be started")?;
    runtime.block_on(innkeeper_consumer::run(args))
}

async fn play(args: DemoArgs, guests: Vec<&'static Guest>) -> anyhow::Result<()> {
    // Before anything is started, so that a signal never finds nobody listening.
    let interrupted = interruption()?;
    let mut processes = Processes::new()?;
    let mut printer = Printer::new(args.json, std::io::stdout().is_terminal());
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

/// Completes, with its name, at the first signal that asks the demo to end.
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
