//! The binary `innkeeper`: its command line and its commands. `serve` runs a node, `demo` plays the
//! demo in `examples/demo`, and the other commands ask a running node.

// These macros panic when the reader of a pipe has ended.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod compile;
pub mod embedded;
mod everywhere;
mod log;
mod manual;
mod names;
mod operator;
mod peers;
mod serve;
mod zoo_cfg;
mod zookeeper_data;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use innkeeper_demo as demo;
use innkeeper_runtime::streams::{self, NoStdout};
use innkeeper_tree::text::{piece, shown};
use serde_json::json;

use everywhere::Everywhere;

/// A coordination service that speaks ZooKeeper's protocol and runs coordination logic as guests.
#[derive(Debug, Parser)]
#[command(name = "innkeeper", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(Box<serve::ServeArgs>),
    /// Play a demo: a node, consumers of a group, and guests that are swapped while they run
    Demo(demo::DemoArgs),
    /// Run one consumer of the demo
    #[command(hide = true)]
    DemoConsumer(innkeeper_consumer::Args),
    /// Run another command as a part of the demo; it ends with the demo
    #[command(hide = true)]
    DemoPart {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Compile the module on stdin; a node starts this as its child
    #[command(hide = true)]
    CompileModule(compile::CompileArgs),
    #[command(flatten)]
    Operator(operator::OperatorCommand),
    /// Print a shell's completion script: source <(innkeeper completion bash)
    Completion(manual::CompletionArgs),
    /// Print a manual page, for `man -l -`, or write all pages to a folder
    Man(manual::ManArgs),
}

/// Runs the command that the process's arguments name. An error is one sentence on stderr.
pub fn run() -> ExitCode {
    let Cli {
        everywhere,
        command,
    } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&with_pieces(error)),
    };
    let json = everywhere.json;
    let log_format = match &command {
        Command::Serve(args) => Some(args.log_format),
        _ => None,
    };
    let done = match command {
        Command::Serve(args) => serve::run(*args, &everywhere),
        Command::Demo(args) => demo::run(args, embedded::embedded_guests()),
        Command::DemoConsumer(args) => demo::run_consumer(args),
        Command::DemoPart { arguments } => demo::run_as_part(arguments),
        Command::CompileModule(args) => compile::run(args),
        Command::Operator(command) => operator::run(command, &everywhere),
        Command::Completion(args) => {
            print(&manual::completion(&Cli::command(), &args).chosen(json))
        }
        Command::Man(args) => {
            manual::man(&Cli::command(), &args).and_then(|output| print(&output.chosen(json)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_readers_end(&error) => ExitCode::from(streams::READER_GONE),
        Err(error) => {
            // The sentence may quote a file, a node's answer or a name: it is cut and escaped.
            let sentence = shown(sentence(&error), log::SENTENCE_BYTES_MAX);
            match log_format {
                Some(format) => {
                    log::say(format, log::Weight::Error, &sentence);
                    ExitCode::from(serve::exit_code(&error))
                }
                None => {
                    complain(json, &sentence);
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// An error with its sources. Many errors quote their source in their own text already; then it is
/// left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for source in error.chain().skip(1) {
        let source = source.to_string();
        if !sentence.contains(&source) {
            sentence.push_str(": ");
            sentence.push_str(&source);
        }
    }
    sentence
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    Ok(streams::print(text)?)
}

/// Whether the command ended because the reader of its output did, as in `| head`.
fn is_readers_end(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<NoStdout>()
        .is_some_and(NoStdout::is_readers_end)
}

/// Writes an error to stderr.
fn complain(json: bool, sentence: &str) {
    match json {
        true => streams::tell(format_args!("{}\n", json!({"error": sentence}))),
        false => streams::tell(format_args!("innkeeper: {sentence}\n")),
    }
}

/// Cuts and escapes what clap's error repeats of the arguments.
fn with_pieces(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let mut is_cut = false;
    for kind in [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::PriorArg,
        ContextKind::TrailingArg,
    ] {
        let shorter = match error.get(kind) {
            Some(ContextValue::String(text)) => ContextValue::String(piece(text)),
            Some(ContextValue::Strings(texts)) => {
                ContextValue::Strings(texts.iter().map(piece).collect())
            }
            _ => continue,
        };
        let before = error.insert(kind, shorter);
        is_cut |= before.as_ref() != error.get(kind);
    }
    if is_cut {
        // A suggestion repeats the whole argument.
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    error
}

/// Prints clap's error about wrong arguments, or the help or version that was asked for.
fn misread(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && wants_json {
        let text = error.to_string();
        // The first paragraph is the error; the usage follows.
        let error = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = error
            .trim_start_matches("error: ")
            .split_whitespace()
            .collect();
        complain(true, &words.join(" "));
    } else {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        if !error.use_stderr()
            && let Err(error) = printed
        {
            let error = NoStdout::new("stdout cannot be written", error);
            if error.is_readers_end() {
                return ExitCode::from(streams::READER_GONE);
            }
            complain(wants_json, &sentence(&anyhow::Error::from(error)));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_fits_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_source_that_was_quoted_is_not_said_again() {
        let error = anyhow::anyhow!("it is damaged")
            .context("`state.redb` cannot be read: it is damaged")
            .context("the node cannot start");
        assert_eq!(
            sentence(&error),
            "the node cannot start: `state.redb` cannot be read: it is damaged"
        );
    }

    #[test]
    fn flags_of_all_commands_stand_before_or_behind_them() {
        for arguments in [
            "innkeeper --data D --http h:1 --super a:b --json binding check FILE",
            "innkeeper binding --data D --http h:1 check --super a:b --json FILE",
            "innkeeper binding check FILE --json --super a:b --http h:1 --data D",
            "innkeeper --super a:b serve --data D --http h:1 --json",
            "innkeeper --json --http h:1 znode --super a:b create /a data --data D",
            "innkeeper guest list --json --super a:b --http h:1 --data D",
        ] {
            let cli = Cli::try_parse_from(arguments.split(' ')).expect(arguments);
            let Everywhere { http, json, .. } = &cli.everywhere;
            assert_eq!((http.as_deref(), *json), (Some("h:1"), true), "{arguments}");
            assert_eq!(cli.everywhere.data(), Some("D".into()), "{arguments}");
            assert_eq!(cli.everywhere.super_user().as_deref(), Some("a:b"));
        }
    }

    #[test]
    fn every_command_says_what_its_arguments_are() {
        fn check(command: &mut clap::Command) {
            let usage = command.render_usage().to_string();
            // Optional arguments stand in brackets, and brackets are closed.
            for (open, close) in [('<', '>'), ('[', ']')] {
                let count = |wanted| usage.chars().filter(|at| *at == wanted).count();
                assert_eq!(count(open), count(close), "{usage}");
            }
            assert!(
                !usage.contains("] [FILE>") && !usage.contains("<NAME]"),
                "{usage}"
            );
            for argument in command.get_arguments() {
                let help = argument.get_help();
                assert!(help.is_some(), "{}: {argument}", command.get_name());
            }
            command.get_subcommands_mut().for_each(check);
        }
        let mut all = Cli::command();
        all.build();
        let binding_check = all
            .find_subcommand_mut("binding")
            .and_then(|binding| binding.find_subcommand_mut("check"))
            .expect("binding check");
        let usage = binding_check.render_usage().to_string();
        assert!(
            usage.ends_with("binding check [OPTIONS] [NAME] <FILE>"),
            "{usage}"
        );
        all.get_subcommands_mut()
            .filter(|command| !command.is_hide_set())
            .for_each(check);
    }

    #[test]
    fn a_document_may_be_checked_with_and_without_a_name() {
        for (arguments, name, file) in [
            ("innkeeper binding check a.json", None, "a.json"),
            ("innkeeper binding check a a.json", Some("a"), "a.json"),
            ("innkeeper binding check -", None, "-"),
        ] {
            let matches = Cli::command()
                .try_get_matches_from(arguments.split(' '))
                .expect(arguments);
            let (_, binding) = matches.subcommand().expect(arguments);
            let (_, check) = binding.subcommand().expect(arguments);
            let found = check.get_one::<String>("name").map(String::as_str);
            assert_eq!(found, name, "{arguments}");
            let found = check.get_one::<std::path::PathBuf>("file");
            assert_eq!(found, Some(&file.into()), "{arguments}");
        }
    }
}
