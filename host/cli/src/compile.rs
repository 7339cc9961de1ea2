//! `innkeeper compile-module`: the process in which a node has a module compiled. Nobody else
//! calls it, so it is not in the help.
//!
//! 1. It limits itself, before it reads anything that an author made.
//! 2. It reads one job from stdin, compiles, and writes one answer to stdout.
//! 3. It ends: exit code 0 whatever became of the module, another one where there was no job, or
//!    where it was to run only on an idle processor and there was none.

use std::io;

use anyhow::Context;
use clap::Args;
use innkeeper_runtime::{Confinement, confine};

#[derive(Debug, Args)]
pub(super) struct CompileArgs {
    /// Memory that it may take, in MiB
    #[arg(long)]
    memory_mib: u64,
    /// CPU time that it may take, in seconds
    #[arg(long)]
    cpu_s: u64,
    /// The process that wants it, with which it ends
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
