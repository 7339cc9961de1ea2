//! Strategy `sticky`: as even as can be, and then as few moves as can be.
//!
//! 1. Claims are settled: a resource that several members say they own counts as owned by
//!    the first of them, in byte order of their ids, that is subscribed to its topic; the
//!    others' claims are void, so that no resource can end up with two owners.
//! 2. If every member that takes anything takes the same topics, quotas are known at once,
//!    and [`equal::deal`] keeps all that fits in them: no assignment as even moves fewer.
//! 3. Else [`unequal::deal`] places what has no owner, levels topic by topic until no
//!    topic can be levelled any more, and hands back what moved needlessly.

mod equal;
mod unequal;

use crate::{NONE, Request, resources, sorted_members, subscribers};

/// Deals the resources out evenly, and among even assignments keeps owners where they are.
///
/// - With equal subscriptions the members' counts differ by at most one, and as many
///   resources as possible stay where they are.
/// - With unequal ones no single move helps: no resource could go to a member subscribed to
///   its topic that has at least two less than its owner. Owners are kept as far as
///   levelling topic by topic can tell.
pub fn sticky(request: &Request) -> Vec<u32> {
    let deal = Deal::new(request);
    let mut owners = if deal.equal() {
        equal::deal(&deal)
    } else {
        unequal::deal(&deal)
    };
    for owner in &mut owners {
        if *owner != NONE {
            *owner = deal.order[*owner as usize];
        }
    }
    owners
}

/// A request prepared for dealing. Members are positions in byte order of their ids.
struct Deal {
    /// Position to index in the request.
    order: Vec<u32>,
    /// Per topic: its first resource, and how many it has.
    topics: Vec<(u32, u32)>,
    /// Per topic: the positions of its subscribers, ascending.
    subscribers: Vec<Vec<u32>>,
    /// Per resource: the position that owns it by a settled claim, or [`NONE`].
    claims: Vec<u32>,
}

impl Deal {
    fn new(request: &Request) -> Self {
        let order = sorted_members(request);
        let subscribers = subscribers(request, &order);
        let mut topic_of = vec![0; resources(request)];
        for (index, topic) in request.topics.iter().enumerate() {
            let first = topic.first as usize;
            topic_of[first..first + topic.count as usize].fill(index);
        }
        let mut claims = vec![NONE; topic_of.len()];
        for (position, &member) in (0_u32..).zip(&order) {
            for &resource in &request.members[member as usize].owned {
                let claim = &mut claims[resource as usize];
                let subscribed = &subscribers[topic_of[resource as usize]];
                if *claim == NONE && subscribed.binary_search(&position).is_ok() {
                    *claim = position;
                }
            }
        }
        Self {
            order,
            topics: request
                .topics
                .iter()
                .map(|topic| (topic.first, topic.count))
                .collect(),
            subscribers,
            claims,
        }
    }

    /// Do all topics that have both resources and subscribers have the same subscribers?
    fn equal(&self) -> bool {
        let mut dealt = self.dealt_topics().map(|topic| &self.subscribers[topic]);
        let first = dealt.next();
        dealt.all(|subscribers| Some(subscribers) == first)
    }

    /// The topics that have both resources and subscribers.
    fn dealt_topics(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.topics.len())
            .filter(|&topic| self.topics[topic].1 > 0 && !self.subscribers[topic].is_empty())
    }

    /// The resources of a topic.
    fn resources(&self, topic: usize) -> std::ops::Range<u32> {
        let (first, count) = self.topics[topic];
        first..first + count
    }
}
