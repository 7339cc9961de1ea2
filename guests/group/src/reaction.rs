//! One group's part of a reaction.

use std::collections::BTreeMap;

use innkeeper_recipe::prelude::*;

use crate::documents::{GroupConfig, MemberDocument, Resources};
use crate::result::{Assignment, assignments};

/// What came of it.
pub(crate) enum Outcome {
    /// A new result was written: a sentence about it.
    Changed(String),
    /// Who owns what stayed the same.
    Unchanged,
    /// There can be no result at present: why. Nothing was written.
    Unready(String),
}

/// The last result, as it stands in the tree.
#[derive(Default)]
struct Last {
    /// Whether `assignments` itself exists.
    root_exists: bool,
    /// Members and paths below their children, parents first. They are somebody else's, and
    /// go only with the member.
    below: Vec<(String, String)>,
    /// By member; none where the data is not an assignment.
    children: BTreeMap<String, Option<Assignment>>,
    /// The number in `generation`, if that is one.
    generation: Option<u64>,
}

/// Brings the result of the group at `group` up to date.
///
/// # Errors
/// If the tree cannot be read or written, or the assignor is not available.
pub(crate) fn react(
    group: &str,
    default_strategy: Option<&str>,
    tx: &mut dyn Transaction,
) -> Result<Outcome> {
    let members = read_members(group, tx)?;
    let last = read_last(group, tx)?;
    if members.is_empty() && last.children.is_empty() {
        return Ok(Outcome::Unchanged);
    }

    let (request, owners) = if members.is_empty() {
        (nothing(), Vec::new())
    } else {
        match ask(group, default_strategy, &members, &last, tx)? {
            Ok(dealt) => dealt,
            Err(why) => return Ok(Outcome::Unready(why)),
        }
    };

    let newest = last.children.values().flatten().map(|a| a.generation);
    let newest = newest.chain(last.generation).max().unwrap_or(0);
    let mut new = assignments(&request.topics, members.len(), &owners, newest);
    if same(&last, &members, &new, newest) {
        return Ok(Outcome::Unchanged);
    }
    let generation = newest + 1;
    for assignment in &mut new {
        assignment.generation = generation;
    }
    let moved = moved(&request, &owners);
    write(group, &last, &members, &new, generation, tx)?;
    Ok(Outcome::Changed(format!(
        "generation {generation}: {} resources, {} members, {moved} moved",
        owners.len(),
        members.len(),
    )))
}

/// A request and its answer, or a sentence why there is none.
type Dealt = Result<(AssignRequest, Vec<u32>), String>;

/// Reads what is to be dealt out and how, and asks the assignor.
///
/// # Errors
/// If the tree cannot be read, or the assignor is not available.
fn ask(
    group: &str,
    default_strategy: Option<&str>,
    members: &BTreeMap<String, Vec<u8>>,
    last: &Last,
    tx: &mut dyn Transaction,
) -> Result<Dealt> {
    let config_path = format!("{group}/config");
    let config = match tx.get(&config_path)? {
        None => None,
        Some(znode) => match serde_json::from_slice::<GroupConfig>(&znode.data) {
            Ok(config) => Some(config),
            Err(error) => return Ok(Err(format!("{config_path} is wrong: {error}"))),
        },
    };
    let strategy = config
        .as_ref()
        .and_then(|config| config.strategy.as_deref());
    let Some(strategy) = strategy.or(default_strategy) else {
        return Ok(Err(format!(
            "no strategy: write {{\"strategy\": \"<an assignor's name>\"}} to {config_path}"
        )));
    };
    let resources_path = format!("{group}/resources");
    let Some(resources) = tx.get(&resources_path)? else {
        return Ok(Err(format!("there is no {resources_path}")));
    };
    let resources = match Resources::parse(&resources.data) {
        Ok(resources) => resources,
        Err(error) => return Ok(Err(format!("{resources_path} is wrong: {error}"))),
    };

    let topics = resources.topics();
    let options = config.as_ref().and_then(|config| config.options.as_ref());
    let request = AssignRequest {
        members: members
            .iter()
            .map(|(id, data)| member(group, id, data, &topics, last))
            .collect(),
        weights: resources.weights(),
        strategy_config: options.map_or("null", |options| options.get()).to_owned(),
        topics,
    };
    match tx.assign(strategy, &request) {
        Ok(owners) => Ok(Ok((request, owners))),
        // It may be there again in a moment: the host repeats the reaction.
        Err(
            error @ Error::Assign {
                reason: AssignError::Unavailable(_),
                ..
            },
        ) => Err(error),
        // It would answer the same again: repeating it would only wear the binding out.
        Err(error @ Error::Assign { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The request of a group without members, which nobody needs to be asked.
fn nothing() -> AssignRequest {
    AssignRequest {
        topics: Vec::new(),
        members: Vec::new(),
        weights: None,
        strategy_config: String::new(),
    }
}

/// The members' ids and data, in byte order of the ids.
fn read_members(group: &str, tx: &dyn Transaction) -> Result<BTreeMap<String, Vec<u8>>> {
    let root = format!("{group}/members");
    let mut members = BTreeMap::new();
    for znode in tx.scan(&root)? {
        if let Some(id) = below(&root, &znode.path).filter(|id| !id.contains('/')) {
            members.insert(id.to_owned(), znode.data);
        }
    }
    Ok(members)
}

fn read_last(group: &str, tx: &dyn Transaction) -> Result<Last> {
    let root = format!("{group}/assignments");
    let mut last = Last::default();
    for znode in tx.scan(&root)? {
        match below(&root, &znode.path) {
            None => last.root_exists = true,
            Some(rest) if rest.contains('/') => {
                let id = rest.split('/').next().unwrap_or_default().to_owned();
                last.below.push((id, znode.path));
            }
            Some(id) => {
                let assignment = serde_json::from_slice(&znode.data).ok();
                last.children.insert(id.to_owned(), assignment);
            }
        }
    }
    let generation = tx.get(&format!("{group}/generation"))?;
    last.generation = generation
        .and_then(|znode| String::from_utf8(znode.data).ok())
        .and_then(|text| text.trim().parse().ok());
    Ok(last)
}

/// What of `path` stands below `root`.
fn below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(root)?.strip_prefix('/')
}

fn member(group: &str, id: &str, data: &[u8], topics: &[Topic], last: &Last) -> Member {
    let document = MemberDocument::parse(data).unwrap_or_else(|error| {
        log::warn(format!(
            "{group}: member {id} gets nothing, its data is wrong: {error}"
        ));
        MemberDocument {
            topics: Some(Vec::new()),
            ..MemberDocument::default()
        }
    });
    let subscribed = |topic: &Topic| {
        let wanted = document.topics.as_ref();
        wanted.is_none_or(|wanted| wanted.contains(&topic.name))
    };
    let owned = last.children.get(id).and_then(Option::as_ref);
    Member {
        id: id.to_owned(),
        subscribed: (0_u32..)
            .zip(topics)
            .filter(|(_, topic)| subscribed(topic))
            .map(|(index, _)| index)
            .collect(),
        owned: owned.map_or_else(Vec::new, |assignment| assignment.numbers(topics)),
        rack: document.rack,
        capacity: document.capacity,
    }
}

/// Does the tree hold this very result, every number of a generation included?
fn same(
    last: &Last,
    members: &BTreeMap<String, Vec<u8>>,
    new: &[Assignment],
    generation: u64,
) -> bool {
    let new = members.keys().zip(new.iter().map(Some));
    let old = last.children.iter().map(|(id, a)| (id, a.as_ref()));
    last.generation == Some(generation) && old.eq(new)
}

/// How many resources had an owner and now have another one or none.
fn moved(request: &AssignRequest, owners: &[u32]) -> usize {
    let members = (0_u32..).zip(&request.members);
    members
        .flat_map(|(index, member)| member.owned.iter().map(move |&owned| (index, owned)))
        .filter(|&(index, owned)| owners.get(owned as usize) != Some(&index))
        .count()
}

fn write(
    group: &str,
    last: &Last,
    members: &BTreeMap<String, Vec<u8>>,
    new: &[Assignment],
    generation: u64,
    tx: &mut dyn Transaction,
) -> Result<()> {
    let root = format!("{group}/assignments");
    let mut writes = Vec::with_capacity(members.len() + last.children.len() + 2);
    if !last.root_exists {
        writes.push(Write::create(root.as_str(), []));
    }
    for (id, path) in last.below.iter().rev() {
        if !members.contains_key(id) {
            writes.push(Write::delete(path.as_str()));
        }
    }
    for id in last.children.keys() {
        if !members.contains_key(id) {
            writes.push(Write::delete(format!("{root}/{id}")));
        }
    }
    for (id, assignment) in members.keys().zip(new) {
        let path = format!("{root}/{id}");
        let data = serde_json::to_vec(assignment)?;
        writes.push(if last.children.contains_key(id) {
            Write::set(path, data)
        } else {
            Write::create(path, data)
        });
    }
    tx.write_many(&writes)?;
    tx.put(
        &format!("{group}/generation"),
        generation.to_string().as_bytes(),
    )?;
    Ok(())
}
