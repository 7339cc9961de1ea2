//! The command line of the binary `innkeeper`.

mod operator;
mod serve;
mod zoo_cfg;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A coordination service that speaks ZooKeeper's protocol and hosts the recipes, too.
#[derive(Debug, Parser)]
#[command(name = "innkeeper", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What it is to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(serve::ServeArgs),
    #[command(flatten)]
    Operator(operator::Order),
}

/// Runs what the command line asks for. An error is one sentence on stderr.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Operator(order) => operator::run(order),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("innkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}
