//! Recipe guest `group`: keeps the assignment of a group's resources to its members.
//!
//! A group is a subtree. Members and operators write the upper three, the recipe the lower
//! two:
//!
//! | Znode | What it holds |
//! |---|---|
//! | `<group>/config` | `{"strategy": "sticky", "options": …}`: the name of the assignor's binding, and what it is given as the strategy's configuration |
//! | `<group>/resources` | `{"topics": [{"name": "orders", "partitions": 24, "weight": 1}]}`, `weight` being optional |
//! | `<group>/members/<id>` | an ephemeral of the member's; empty (takes all topics), or `{"topics": ["orders"], "rack": "r1", "capacity": 8}`, each optional |
//! | `<group>/assignments/<id>` | `{"generation": 7, "topics": {"orders": [0, 1, 2]}}`, one child per member |
//! | `<group>/generation` | `7` |
//!
//! One reaction:
//!
//! 1. The events' paths name the groups; a resync means every group.
//! 2. Of each group the recipe reads all five (`members` and `assignments` with one scan
//!    each), and asks the assignor that the group names, with the last result as what
//!    members own.
//! 3. If who owns what has changed, it writes the new result: every member's child, the
//!    children of members that are gone deleted, and the generation one higher. If nothing
//!    has changed it writes nothing, so that repeating a reaction does no harm.
//!
//! All of it is one transaction, so at every zxid `assignments/` is one whole generation:
//! every child has the number that `generation` has, and no resource is owned twice. This is
//! why a child of `assignments/` is persistent, and deleted by the reaction that gives its
//! resources to others, instead of ephemeral: nobody ever sees a hole.
//!
//! What is missing or wrong:
//!
//! - A group without `config` uses the `strategy` of the binding's configuration. If there
//!   is none, or without `resources`, or if either is not what it should be, or if the
//!   assignor is not bound, fails, or answers wrongly: the last result stays as it is, an
//!   error is logged, and the next event of the group tries again.
//! - If the assignor is merely not available (it trapped, it is kept back), the reaction
//!   fails and the host repeats it, with every group of the binding that it concerned.
//! - A member whose data is not what it should be gets an assignment without topics, and a
//!   warning is logged. A topic that it names and that there is not is passed over.
//!
//! The binding's configuration is `{"groups": "/groups"}` for every group that is a child of
//! that path, or `{"group": "/groups/orders"}` for one; `"strategy"` may be added.

mod documents;
mod reaction;
mod result;

#[cfg(test)]
mod tests;

use innkeeper_recipe::prelude::*;

use crate::reaction::Outcome;

/// The binding's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The parent of all groups.
    groups: Option<String>,
    /// Or one group.
    group: Option<String>,
    /// The strategy of groups that name none.
    strategy: Option<String>,
}

struct Group;

impl Recipe for Group {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, events: &[Event]) -> Result<()> {
        for group in concerned(&config, tx, events)? {
            match reaction::react(&group, config.strategy.as_deref(), tx) {
                Ok(Outcome::Changed(summary)) => log::info(format!("{group}: {summary}")),
                Ok(Outcome::Unchanged) => {}
                Ok(Outcome::Unready(why)) => {
                    log::error(format!("{group}: {why}; the last assignment stays"));
                }
                Err(error) => return Err(Error::new(format!("{group}: {error}"))),
            }
        }
        Ok(())
    }
}

/// The groups that the events concern, in order and without repetition.
fn concerned(config: &Config, tx: &dyn Transaction, events: &[Event]) -> Result<Vec<String>> {
    let parent = match (&config.groups, &config.group) {
        (Some(parent), None) => parent.trim_end_matches('/'),
        (None, Some(group)) => return Ok(vec![group.trim_end_matches('/').to_owned()]),
        _ => return Err(r#"the config needs either "groups" or "group""#.into()),
    };
    let mut names = Vec::new();
    for event in events {
        match event {
            Event::Resync => {
                let root = if parent.is_empty() { "/" } else { parent };
                match tx.children(root) {
                    Ok(all) => names.extend(all),
                    Err(error) if error.code() == Some(Code::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
            Event::Changed(change) => {
                let below = change.path.strip_prefix(parent);
                let name = below
                    .and_then(|rest| rest.strip_prefix('/'))
                    .and_then(|rest| rest.split('/').next())
                    .filter(|name| !name.is_empty());
                names.extend(name.map(str::to_owned));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| format!("{parent}/{name}"))
        .collect())
}

innkeeper_recipe::recipe!(Group);
