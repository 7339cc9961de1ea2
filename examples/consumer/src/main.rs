//! A member of a group as a program of its own; all that it does is in the library.

use clap::Parser;
use innkeeper_consumer::Args;

/// Join a group and print each assignment as one line of JSON; leave on end of
/// input or SIGTERM.
#[derive(Parser)]
#[command(name = "innkeeper-consumer", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    innkeeper_consumer::run(Cli::parse().args).await
}
