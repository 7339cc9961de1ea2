//! The assignment strategies of the field, as pure functions.
//!
//! Each takes a [`Request`] that passed [`check`] and answers with the owner of every
//! resource. What holds for all of them:
//!
//! - A resource is owned by exactly one member that is subscribed to its topic, or by
//!   [`NONE`] if no member is.
//! - The answer depends on the request alone, and not on the order in which the members are
//!   listed: members are taken in byte order of their ids.
//! - Racks, capacities and weights are not looked at, as in the strategies that these are
//!   named after.

mod range;
mod round_robin;
mod sticky;

pub use innkeeper_guest::assignment::{Member, NONE, Request, Topic};
use innkeeper_guest::{Error, Result};

pub use range::range;
pub use round_robin::round_robin;
pub use sticky::sticky;

/// Checks that a request is consistent: topics make up 0 .. P-1 in order, and every index
/// is in range. The strategies rely on it.
///
/// # Errors
/// A sentence that names the topic or member that is wrong.
pub fn check(request: &Request) -> Result<()> {
    let mut next = 0_u32;
    for topic in &request.topics {
        if topic.first != next {
            return Err(Error::new(format!(
                "topic {} begins at {}, not at {next} where the one before it ends",
                topic.name, topic.first
            )));
        }
        next = next
            .checked_add(topic.count)
            .ok_or_else(|| Error::new(format!("topic {} has too many resources", topic.name)))?;
    }
    let topics = index(request.topics.len());
    for member in &request.members {
        if member.subscribed.iter().any(|&topic| topic >= topics) {
            return Err(Error::new(format!(
                "member {} is subscribed to a topic that is not there",
                member.id
            )));
        }
        if member.owned.iter().any(|&resource| resource >= next) {
            return Err(Error::new(format!(
                "member {} owns a resource that is not there",
                member.id
            )));
        }
    }
    Ok(())
}

/// How many resources a request has.
pub(crate) fn resources(request: &Request) -> usize {
    request
        .topics
        .last()
        .map_or(0, |topic| (topic.first + topic.count) as usize)
}

/// The members' indices in byte order of their ids.
pub(crate) fn sorted_members(request: &Request) -> Vec<u32> {
    let mut order: Vec<u32> = (0..index(request.members.len())).collect();
    order.sort_by_key(|&member| &request.members[member as usize].id);
    order
}

/// For each topic the subscribed members, as positions in the order given, ascending.
pub(crate) fn subscribers(request: &Request, order: &[u32]) -> Vec<Vec<u32>> {
    let mut subscribers = vec![Vec::new(); request.topics.len()];
    for (position, &member) in (0_u32..).zip(order) {
        for &topic in &request.members[member as usize].subscribed {
            let of_topic: &mut Vec<u32> = &mut subscribers[topic as usize];
            if of_topic.last() != Some(&position) {
                of_topic.push(position);
            }
        }
    }
    subscribers
}

/// A length as an index of the request: a guest's memory holds less than 2^32 of anything.
pub(crate) fn index(length: usize) -> u32 {
    u32::try_from(length).expect("less than 2^32 members, topics and resources")
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
