//! The result of a group: who owns what, as it stands under `assignments/`.

use std::collections::BTreeMap;

use innkeeper_recipe::prelude::*;

/// `<group>/assignments/<id>`: the partitions of each topic that a member owns, ascending.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Assignment {
    pub(crate) generation: u64,
    pub(crate) topics: BTreeMap<String, Vec<u32>>,
}

impl Assignment {
    /// The resources that it names, as numbers of `topics`, ascending. What there is no
    /// longer is left out.
    pub(crate) fn numbers(&self, topics: &[Topic]) -> Vec<u32> {
        let owned = topics.iter().filter_map(|topic| {
            let partitions = self.topics.get(&topic.name)?;
            let there = partitions
                .iter()
                .filter(|&&partition| partition < topic.count);
            Some(there.map(|partition| topic.first + partition))
        });
        let mut numbers: Vec<u32> = owned.flatten().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// Turns an assignor's answer into one assignment per member, in the order of the members.
pub(crate) fn assignments(
    topics: &[Topic],
    members: usize,
    owners: &[u32],
    generation: u64,
) -> Vec<Assignment> {
    let mut assignments = vec![
        Assignment {
            generation,
            topics: BTreeMap::new(),
        };
        members
    ];
    // The partitions of one topic by member, to look a name up once per member and topic.
    let mut lists: Vec<Vec<u32>> = vec![Vec::new(); members];
    for topic in topics {
        for partition in 0..topic.count {
            let owner = owners.get((topic.first + partition) as usize);
            if let Some(list) = owner.and_then(|&owner| lists.get_mut(owner as usize)) {
                list.push(partition);
            }
        }
        for (assignment, list) in assignments.iter_mut().zip(&mut lists) {
            if !list.is_empty() {
                assignment
                    .topics
                    .insert(topic.name.clone(), std::mem::take(list));
            }
        }
    }
    assignments
}
