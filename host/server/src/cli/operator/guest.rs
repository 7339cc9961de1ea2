//! `innkeeper guest`: the guests inside this binary.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::module;
use super::remote::{Remote, Target};
use super::text::{size, table};
use crate::embedded::{Guest, embedded_guests};

#[derive(Debug, Args)]
pub(in crate::cli) struct GuestArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

impl GuestArgs {
    pub(super) fn split(self) -> (Target, What) {
        (self.target, self.what)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// List them
    List,
    /// Push some of them to a node, as `module push` does
    Push(PushArgs),
}

#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// Which, as `guest list` names them
    #[arg(
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    names: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

pub(super) fn list() -> Vec<u8> {
    let guests = embedded_guests();
    if guests.is_empty() {
        return "this binary carries no guests: it was built without them (`make` builds it with them)\n".into();
    }
    let mut rows = vec![vec!["NAME".to_owned(), "SIZE".to_owned()]];
    for guest in guests.iter().filter(|guest| !guest.is_for_tests()) {
        rows.push(vec![guest.name.to_owned(), size(guest.bytes.len() as u64)]);
    }
    table(&rows).into_bytes()
}

pub(super) async fn push(remote: Remote, what: PushArgs) -> anyhow::Result<Vec<u8>> {
    let guests = chosen(&what)?;
    let mut rows = vec![
        ["NAME", "WORLD", "MODULE", "SIZE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for guest in guests {
        let answer = module::push(&remote, guest.bytes.to_vec()).await?;
        rows.push(module::pushed_row(guest.name, &answer));
    }
    Ok(table(&rows).into_bytes())
}

fn chosen(what: &PushArgs) -> anyhow::Result<Vec<&'static Guest>> {
    let guests = embedded_guests();
    if guests.is_empty() {
        bail!(
            "this binary carries no guests; build it with `make`, or push a file with `innkeeper module push`"
        );
    }
    if what.all {
        return Ok(guests
            .iter()
            .filter(|guest| !guest.is_for_tests())
            .collect());
    }
    let mut chosen = Vec::with_capacity(what.names.len());
    for name in &what.names {
        match guests.iter().find(|guest| guest.name == name) {
            Some(guest) => chosen.push(guest),
            None => bail!("this binary carries no guest `{name}`; see `innkeeper guest list`"),
        }
    }
    Ok(chosen)
}
