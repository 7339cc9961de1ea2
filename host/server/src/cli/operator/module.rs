//! `innkeeper module`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::read_file;
use super::remote::{AskError, Remote, Target};
use super::text::{list_of, number_of, short, size, table, text_of};

#[derive(Debug, Args)]
pub(in crate::cli) struct ModuleArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

impl ModuleArgs {
    pub(super) fn split(self) -> (Target, What) {
        (self.target, self.what)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Push a module; prints the name that bindings know it by
    Push {
        /// The .wasm file, a component or a core module of one of the worlds; - is stdin
        file: PathBuf,
    },
    /// List the modules that were pushed
    List,
}

pub(super) async fn run(remote: Remote, what: What) -> anyhow::Result<Vec<u8>> {
    let text = match what {
        What::Push { file } => {
            let module = read_file(&file)?;
            if module.is_empty() {
                bail!(
                    "{} is empty; push the .wasm file that the compiler wrote",
                    file.display()
                );
            }
            pushed(&push(&remote, module).await?)
        }
        What::List => list(&remote.get("/v1/modules").await?),
    };
    Ok(text.into_bytes())
}

/// Pushes a module and gives the node's answer.
pub(super) async fn push(remote: &Remote, module: Vec<u8>) -> Result<Value, AskError> {
    remote.ask(Method::POST, "/v1/modules", module).await
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
pub(super) fn pushed_row(name: &str, answer: &Value) -> Vec<String> {
    vec![
        name.to_owned(),
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
