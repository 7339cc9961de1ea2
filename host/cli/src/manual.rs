//! `innkeeper completion` and `innkeeper man`: completion scripts for shells, and manual pages.
//!
//! Both are generated from the description that parses the arguments. Hidden commands, which only
//! the node and the demo start, are left out.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Command};
use clap_complete::Shell;
use innkeeper_tree::text::{file_name, piece};
use serde_json::json;

use super::operator::output::Output;

/// Flags of `innkeeper completion`.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell: bash and zsh source the script, fish reads it from its folder of completions
    shell: Shell,
}

/// Flags of `innkeeper man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The command whose page is printed, as in `innkeeper man binding set`; without it, the
    /// page of innkeeper itself
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder, which must exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The name of the binary in scripts and pages.
const NAME: &str = "innkeeper";

/// The completion script of a shell.
pub(super) fn completion(all: &Command, args: &CompletionArgs) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(all), NAME, &mut script);
    let json = json!({
        "shell": args.shell.to_string(), "script": String::from_utf8_lossy(&script),
    });
    Output::new(script, json)
}

/// Prints one page, or writes all pages to a folder.
pub(super) fn man(all: &Command, args: &ManArgs) -> anyhow::Result<Output> {
    let mut command = visible(all).disable_help_subcommand(true);
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(command, dir)
            .with_context(|| format!("the pages cannot be written to {}", file_name(dir)))?;
        let text = format!("the pages are in {}\n", dir.display());
        return Ok(Output::new(text, json!({"dir": dir})));
    }
    command.build();
    let mut page = &command;
    for name in &args.command {
        let Some(found) = page.find_subcommand(name) else {
            bail!(
                "there is no command `{}`; see `innkeeper help`",
                piece(name)
            );
        };
        page = found;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone())
        .render(&mut text)
        .context("the page cannot be made")?;
    let json = json!({
        "name": page.get_display_name().unwrap_or(NAME), "page": String::from_utf8_lossy(&text),
    });
    Ok(Output::new(text, json))
}

/// The command line without its hidden commands.
fn visible(all: &Command) -> Command {
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut visible = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(shown.cloned());
    if let Some(about) = all.get_about() {
        visible = visible.about(about.clone());
    }
    visible
}
