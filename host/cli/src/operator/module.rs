//! `innkeeper module`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use hyper::Method;
use innkeeper_runtime::streams;
use innkeeper_runtime::{Select2, select2};
use innkeeper_tree::Digest;
use serde_json::Value;

use super::output::Output;
use super::read_file;
use super::remote::{AskError, Remote};
use super::text::{list_of, number_of, short, size, table, text_of};

#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Push a module; prints the name that bindings know it by
    Push {
        /// The .wasm file, a component or a core module of one of the worlds; - is stdin
        file: PathBuf,
        /// Print its name and nothing else
        #[arg(long, short)]
        quiet: bool,
    },
    /// List the modules that were pushed
    List,
}

pub(super) async fn run(remote: Remote, what: What) -> anyhow::Result<Output> {
    Ok(match what {
        What::Push { file, quiet } => {
            let answer = push(&remote, read(&file)?).await?;
            Output::of(answer, |answer| match quiet {
                true => format!("{}\n", text_of(answer, "module")),
                false => pushed(answer),
            })
        }
        What::List => Output::of(remote.get("/v1/modules").await?, list),
    })
}

/// A module's file, which should not be empty.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let module = read_file(file)?;
    if module.is_empty() {
        bail!(
            "{} is empty; push the .wasm file that the compiler wrote",
            file.display()
        );
    }
    Ok(module)
}

/// How long each question about a push waits for an answer, in milliseconds. What takes longer
/// is told on stderr.
const WAIT_MS: u64 = 1_000;

/// Pushes a module and waits until bindings may name it; gives the node's answer. How far it is
/// stands on stderr, if it takes longer than a moment. Who interrupts it cancels the push.
pub(super) async fn push(remote: &Remote, module: Vec<u8>) -> Result<Value, AskError> {
    let id = innkeeper_sandbox::digest_of(&module);
    let pushing = follow(remote, module, &id);
    match select2(pushing, remote.interrupted()).await {
        Select2::First(done) => done,
        Select2::Second(()) => {
            // A node that has not got it yet knows of no push, and forgets what it got of it.
            let target = format!("/v1/pushes/{id}");
            let _ = remote.ask(Method::DELETE, &target, Vec::new()).await;
            Err(AskError::Broken(
                "the push was interrupted, and is cancelled".to_owned(),
            ))
        }
    }
}

async fn follow(remote: &Remote, module: Vec<u8>, id: &Digest) -> Result<Value, AskError> {
    let target = format!("/v1/modules?wait_ms={WAIT_MS}");
    let mut push = remote.ask(Method::POST, &target, module).await?;
    let mut told = String::new();
    loop {
        let state = text_of(&push, "state");
        match state {
            "ready" => return Ok(push),
            "waiting" | "compiling" => {}
            _ => {
                return Err(AskError::Refused {
                    status: 400,
                    sentence: text_of(&push, "error").to_owned(),
                });
            }
        }
        // A script asks the node itself.
        if told != state && io::stderr().is_terminal() {
            streams::tell(format_args!("innkeeper: {}\n", shown(state)));
            state.clone_into(&mut told);
        }
        let target = format!("/v1/pushes/{id}?wait_ms={WAIT_MS}");
        push = remote.get(&target).await?;
    }
}

/// How far a push is, for a person who waits.
fn shown(state: &str) -> &'static str {
    match state {
        "waiting" => "the module waits until others are compiled; Ctrl-C cancels the push",
        _ => "the node compiles the module; Ctrl-C cancels the push",
    }
}

fn pushed(answer: &Value) -> String {
    let made = if answer["made_component"] == true {
        ", made into a component"
    } else {
        ""
    };
    format!(
        "{}  {}, {}{made}\n",
        text_of(answer, "module"),
        text_of(answer, "world"),
        size(number_of(answer, "size")),
    )
}

fn list(answer: &Value) -> String {
    let modules = list_of(answer, "modules");
    if modules.is_empty() {
        return "no module was pushed yet; push one with `innkeeper module push` or `innkeeper guest push`\n".to_owned();
    }
    let mut rows = vec![
        ["MODULE", "WORLD", "SIZE", "BINDINGS"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for module in modules {
        let names: Vec<&str> = list_of(module, "bindings")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        rows.push(vec![
            text_of(module, "module").to_owned(),
            text_of(module, "world").to_owned(),
            size(number_of(module, "size")),
            names.join(" "),
        ]);
    }
    table(&rows)
}

/// What a guest's push is shown as: its name first.
pub(super) fn pushed_row(answer: &Value) -> Vec<String> {
    vec![
        text_of(answer, "name").to_owned(),
        text_of(answer, "world").to_owned(),
        text_of(answer, "module").to_owned(),
        size(number_of(answer, "size")),
    ]
}

/// A module in a line for people.
pub(super) fn named(answer: &Value) -> String {
    format!(
        "{} {}",
        text_of(answer, "world"),
        short(text_of(answer, "module"))
    )
}
