//! The command line of the binary `innkeeper`.

mod compile;
mod log;
mod operator;
mod serve;
mod zoo_cfg;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::demo;

pub(crate) use compile::COMMAND as COMPILE_COMMAND;

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
    /// Show it all: a node, consumers, and guests swapped under them
    Demo(demo::DemoArgs),
    /// One of the demo's consumers
    #[command(hide = true)]
    DemoConsumer(innkeeper_consumer::Args),
    /// Another command, as a part of the demo that ends with it
    #[command(hide = true)]
    DemoPart {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// A node's child: compiles the module on stdin
    #[command(hide = true)]
    CompileModule(compile::CompileArgs),
    #[command(flatten)]
    Operator(operator::Order),
}

/// Runs what the command line asks for. An error is one sentence on stderr.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let serves = matches!(cli.command, Command::Serve(_));
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::DemoConsumer(args) => demo::run_consumer(args),
        Command::DemoPart { arguments } => demo::run_as_part(arguments),
        Command::CompileModule(args) => compile::run(args),
        Command::Operator(order) => operator::run(order),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote a file, a node or a stranger's name.
            let sentence = innkeeper_tree::text::escaped(&format!("{error:#}")).into_owned();
            eprintln!("innkeeper: {sentence}");
            match serves {
                true => ExitCode::from(serve::exit_code(&error)),
                false => ExitCode::FAILURE,
            }
        }
    }
}
