//! Requests for the tests, and what must hold for every answer.

use proptest::prelude::*;

use crate::{Member, NONE, Request, Topic};

/// A request from counts per topic, and (id, subscribed, owned) per member.
pub(crate) fn request(counts: &[u32], members: &[(&str, &[u32], &[u32])]) -> Request {
    let members = members
        .iter()
        .map(|&(id, subscribed, owned)| member(id, subscribed.to_vec(), owned.to_vec()))
        .collect();
    of(counts, members)
}

pub(crate) fn member(id: &str, subscribed: Vec<u32>, owned: Vec<u32>) -> Member {
    Member {
        id: id.to_owned(),
        rack: None,
        capacity: None,
        subscribed,
        owned,
    }
}

pub(crate) fn of(counts: &[u32], members: Vec<Member>) -> Request {
    let mut first = 0;
    let topics = counts.iter().enumerate().map(|(nth, &count)| {
        first += count;
        Topic {
            name: format!("topic-{nth:04}"),
            first: first - count,
            count,
        }
    });
    Request {
        topics: topics.collect(),
        members,
        weights: None,
        strategy_config: "null".to_owned(),
    }
}

/// Everybody's subscriptions equal, owned lists without conflict or not.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Equal,
    Unequal,
}

/// Any request of at most 7 topics and 9 members; members are not in order, owned lists are
/// in conflict now and then if `conflicts`, and may hold what is not subscribed.
pub(crate) fn any_request(shape: Shape, conflicts: bool) -> impl Strategy<Value = Request> {
    let counts = prop::collection::vec(0_u32..12, 0..7);
    (counts, 0_usize..9)
        .prop_flat_map(move |(counts, members)| {
            let topics = counts.len();
            let resources: u32 = counts.iter().sum();
            let subscribed =
                prop::collection::vec(prop::collection::vec(any::<bool>(), topics), members);
            // One claimant per resource (or none), and now and then a second one.
            let claims =
                prop::collection::vec((0..members * 2 + 1, 0..members * 6 + 1), resources as usize);
            (Just(counts), subscribed, claims, any::<u64>())
        })
        .prop_map(move |(counts, subscribed, claims, seed)| {
            let members = subscribed.len();
            let list = (0..members).map(|nth| {
                let wants = &subscribed[if shape == Shape::Equal { 0 } else { nth }];
                let topics = (0_u32..).zip(wants).filter(|(_, wants)| **wants);
                let owned = (0_u32..)
                    .zip(&claims)
                    .filter(|(_, (claim, second))| *claim == nth || (conflicts && *second == nth));
                // An order of ids that is not the order of the list.
                let id = (nth as u64 + 1).wrapping_mul(seed | 1) % 1_000;
                member(
                    &format!("member-{id:03}-{nth}"),
                    topics.map(|(topic, _)| topic).collect(),
                    owned.map(|(resource, _)| resource).collect(),
                )
            });
            of(&counts, list.collect())
        })
}

/// Per resource, the index of its topic.
pub(crate) fn topic_of(request: &Request) -> Vec<u32> {
    let topics = (0_u32..).zip(&request.topics);
    topics
        .flat_map(|(index, topic)| std::iter::repeat_n(index, topic.count as usize))
        .collect()
}

pub(crate) fn counts(request: &Request, owners: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; request.members.len()];
    for &owner in owners.iter().filter(|&&owner| owner != NONE) {
        counts[owner as usize] += 1;
    }
    counts
}

/// Every resource is owned once, by a subscriber of its topic if there is one.
pub(crate) fn assert_valid(request: &Request, owners: &[u32]) {
    let topic_of = topic_of(request);
    assert_eq!(owners.len(), topic_of.len());
    for (&owner, topic) in owners.iter().zip(topic_of) {
        if owner == NONE {
            assert!(
                !request
                    .members
                    .iter()
                    .any(|m| m.subscribed.contains(&topic)),
                "a resource of topic {topic} has subscribers and no owner"
            );
        } else {
            assert!(
                request.members[owner as usize].subscribed.contains(&topic),
                "member {owner} is not subscribed to topic {topic}"
            );
        }
    }
}

/// No resource could go to a subscriber that has at least two less than its owner.
pub(crate) fn assert_level(request: &Request, owners: &[u32]) {
    let counts = counts(request, owners);
    for (&owner, topic) in owners.iter().zip(topic_of(request)) {
        if owner == NONE {
            continue;
        }
        for (other, member) in request.members.iter().enumerate() {
            assert!(
                !member.subscribed.contains(&topic) || counts[other] + 1 >= counts[owner as usize],
                "a move of topic {topic} from {owner} to {other} would help: {counts:?}"
            );
        }
    }
}

/// How many resources stay with one that claimed them.
pub(crate) fn kept(request: &Request, owners: &[u32]) -> usize {
    let owners = (0_u32..).zip(owners).filter(|(_, owner)| **owner != NONE);
    owners
        .filter(|(resource, owner)| request.members[**owner as usize].owned.contains(resource))
        .count()
}
