//! `innkeeper module`: pushes modules to a node and lists them.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use hyper::Method;
use innkeeper_runtime::streams;
use innkeeper_runtime::{Select2, select2};
use innkeeper_tree::text::file_name;
use serde_json::Value;

use super::output::Output;
use super::read_file;
use super::remote::{NodeError, Remote};
use super::text::{list_of, number_of, short, size, table, text_of};

#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Push a module and print its name, which bindings use
    Push {
        /// The .wasm file, a component or a core module of one of the worlds; - is stdin
        file: PathBuf,
        /// Print nothing but the name
        #[arg(long, short)]
        quiet: bool,
    },
    /// List the node's modules
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

/// The content of a module's file. An error if it is empty.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let module = read_file(file)?;
    if module.is_empty() {
        bail!(
            "{} is empty; push the .wasm file that the compiler wrote",
            file_name(file)
        );
    }
    Ok(module)
}

/// How long one request about a push waits for its end, in milliseconds. A longer push is reported
/// on stderr.
const WAIT_MS: u64 = 1_000;

/// Pushes a module, waits until bindings may name it, and returns the node's answer. A push that
/// takes longer than [`WAIT_MS`] is reported on stderr. Ctrl-C cancels it.
pub(super) async fn push(remote: &Remote, module: Vec<u8>) -> Result<Value, NodeError> {
    // Until the node has told the push's name, the digest alone names it there.
    let name = RefCell::new(innkeeper_sandbox::digest_of(&module).to_string());
    let pushing = follow(remote, module, &name);
    match select2(pushing, remote.interrupted()).await {
        Select2::First(done) => done,
        Select2::Second(()) => {
            // A node that has not received the whole module knows no push, and drops what it has.
            let target = format!("/v1/pushes/{}", name.borrow());
            let _ = remote.send(Method::DELETE, &target, Vec::new()).await;
            Err(NodeError::Broken(
                "the push was interrupted, and is cancelled".to_owned(),
            ))
        }
    }
}

async fn follow(
    remote: &Remote,
    module: Vec<u8>,
    name: &RefCell<String>,
) -> Result<Value, NodeError> {
    let target = format!("/v1/modules?wait_ms={WAIT_MS}");
    let mut push = remote.send(Method::POST, &target, module).await?;
    let mut told = String::new();
    loop {
        text_of(&push, "push").clone_into(&mut name.borrow_mut());
        let state = text_of(&push, "state");
        match state {
            "ready" => return Ok(push),
            "waiting" | "compiling" | "storing" => {}
            _ => {
                return Err(NodeError::Refused {
                    status: 400,
                    sentence: text_of(&push, "error").to_owned(),
                });
            }
        }
        // Scripts get no progress: they can ask the node.
        if told != state && io::stderr().is_terminal() {
            streams::tell(format_args!("innkeeper: {}\n", shown(&push)));
            state.clone_into(&mut told);
        }
        let target = format!("/v1/pushes/{}?wait_ms={WAIT_MS}", name.borrow());
        push = remote.get(&target).await?;
    }
}

/// The progress of a push, in a sentence.
fn shown(push: &Value) -> String {
    let what = match text_of(push, "state") {
        "waiting" => "the module waits until others are compiled".to_owned(),
        "storing" => format!(
            "{} of {} nodes store the module, and it waits for the others",
            number_of(push, "stored"),
            number_of(push, "needed")
        ),
        _ => "the node compiles the module".to_owned(),
    };
    format!("{what}; Ctrl-C cancels the push")
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

/// The row of a pushed guest: name, world, module, size.
pub(super) fn pushed_row(answer: &Value) -> Vec<String> {
    vec![
        text_of(answer, "name").to_owned(),
        text_of(answer, "world").to_owned(),
        text_of(answer, "module").to_owned(),
        size(number_of(answer, "size")),
    ]
}

/// A module by its world and short name.
pub(super) fn named(answer: &Value) -> String {
    format!(
        "{} {}",
        text_of(answer, "world"),
        short(text_of(answer, "module"))
    )
}
