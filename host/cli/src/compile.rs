//! `innkeeper compile-module`: the process in which a node has one module compiled. Only nodes
//! start it, so the help does not show it.
//!
//! 1. It limits its own memory and CPU time, before it reads a byte of the module.
//! 2. It reads one job from stdin, compiles, and writes one answer to stdout.
//! 3. It ends with exit code 0, whether the module compiled or not; with another one if stdin held
//!    no job, or if it was to run only on an idle processor and there was none.

use std::io;

use anyhow::Context;
use clap::Args;
use innkeeper_runtime::{Confinement, confine};

#[derive(Debug, Args)]
pub(super) struct CompileArgs {
    /// Most memory, in MiB
    #[arg(long)]
    memory_mib: u64,
    /// Most CPU time, in seconds
    #[arg(long)]
    cpu_s: u64,
    /// The node's process; the compiling ends when it does
    #[arg(long)]
    parent: u32,
    /// Run only while a processor has nothing else to do; end with a code of its own if that is
    /// hardly ever
    #[arg(long)]
    when_idle: bool,
}

pub(super) fn run(args: CompileArgs) -> anyhow::Result<()> {
    confine(&Confinement {
        memory_bytes: args.memory_mib.saturating_mul(1 << 20),
        cpu_s: args.cpu_s,
        parent: args.parent,
        when_idle: args.when_idle,
    })
    .context("the limits cannot be set")?;
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    innkeeper_sandbox::compile_from(&mut stdin, &mut stdout).context("there was no job to do")
}
