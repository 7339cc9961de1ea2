//! `innkeeper guest`: the guests that this binary carries.

use std::io::{self, IsTerminal};

use anyhow::bail;
use clap::{Args, Subcommand};
use innkeeper_runtime::streams;
use innkeeper_tree::text::piece;
use serde_json::{Value, json};

use super::examples::Example;
use super::module;
use super::output::Output;
use super::remote::Remote;
use super::text::{list_of, size, table};
use crate::embedded::{Guest, embedded_guests};

#[derive(Debug, Args)]
pub(crate) struct GuestArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// List the guests that this binary carries
    List,
    /// Push guests to a node, as `module push` does
    Push(PushArgs),
    /// Print a binding for a guest; on a terminal, also what must exist before it is set
    Example {
        /// The guest's name in `guest list`
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The guests' names in `guest list`
    #[arg(
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    names: Vec<String>,
    /// Push all guests
    #[arg(long)]
    all: bool,
}

pub(super) fn list() -> Output {
    let mut rows = vec![vec!["NAME".to_owned(), "SIZE".to_owned()]];
    let mut guests = Vec::new();
    for guest in shown() {
        rows.push(vec![guest.name.to_owned(), size(guest.bytes.len() as u64)]);
        guests.push(json!({"name": guest.name, "size": guest.bytes.len()}));
    }
    let text = match guests.is_empty() {
        true => "this binary carries no guests, since it was built without them; `make` builds it with them\n".to_owned(),
        false => table(&rows),
    };
    Output::new(text, json!({"guests": guests}))
}

pub(super) async fn push(remote: Remote, what: PushArgs) -> anyhow::Result<Output> {
    let guests = chosen(&what)?;
    let mut pushed = Vec::new();
    for guest in guests {
        let mut answer = module::push(&remote, guest.bytes.to_vec()).await?;
        answer["name"] = guest.name.into();
        pushed.push(answer);
    }
    Ok(Output::of(json!({"guests": pushed}), pushed_table))
}

fn pushed_table(answer: &Value) -> String {
    let mut rows = vec![
        ["NAME", "WORLD", "MODULE", "SIZE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(list_of(answer, "guests").iter().map(module::pushed_row));
    table(&rows)
}

/// The example of a binding for one guest. It is JSON with and without `--json`.
pub(super) fn example(name: &str) -> anyhow::Result<Output> {
    let guest = find(name)?;
    let Some(example) = Example::of(guest.name) else {
        bail!(
            "the guest `{}` has no example; see guests/README.md",
            piece(name)
        );
    };
    let document = example.document(guest)?;
    if io::stderr().is_terminal() {
        for sentence in example.before {
            streams::tell(format_args!(
                "innkeeper: before you set the binding: {sentence}\n"
            ));
        }
        streams::tell(format_args!(
            "innkeeper: push the module to the node: innkeeper guest push {name}\n"
        ));
    }
    let json = serde_json::from_str(&document)?;
    Ok(Output::new(document, json))
}

fn chosen(what: &PushArgs) -> anyhow::Result<Vec<&'static Guest>> {
    if embedded_guests().is_empty() {
        bail!(NO_GUESTS);
    }
    match what.all {
        true => Ok(shown().collect()),
        false => what.names.iter().map(|name| find(name)).collect(),
    }
}

/// The error of a binary that was built without guests.
const NO_GUESTS: &str = "this binary carries no guests; build it with `make`, or push a file with `innkeeper module push`";

/// The carried guests except those that only the demo uses.
fn shown() -> impl Iterator<Item = &'static Guest> {
    embedded_guests().iter().filter(|guest| guest.is_shown())
}

fn find(name: &str) -> anyhow::Result<&'static Guest> {
    let mut guests = embedded_guests().iter();
    match guests.find(|guest| guest.name == name) {
        Some(guest) => Ok(guest),
        None if embedded_guests().is_empty() => bail!(NO_GUESTS),
        None => {
            let names: Vec<&str> = shown().map(|guest| guest.name).collect();
            bail!(
                "this binary carries no guest `{}`, but {}",
                piece(name),
                names.join(", ")
            )
        }
    }
}
