//! The program `innkeeper-consumer`. The library does the work.

use clap::Parser;
use innkeeper_consumer::Args;

/// Join a group and print each assignment as one line of JSON; leave at the end of stdin or
/// at SIGTERM
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
