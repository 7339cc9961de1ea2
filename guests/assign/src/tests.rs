//! Properties of the strategies, and the examples of their documentation.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::testing::{
    Shape, any_request, assert_level, assert_valid, counts, kept, member, of, request, topic_of,
};
use crate::{NONE, Request, check, range, round_robin, sticky};

type Deal = fn(&Request) -> Vec<u32>;

/// The strategies, by name.
const ALL: [(&str, Deal); 3] = [
    ("range", range),
    ("round-robin", round_robin),
    ("sticky", sticky),
];

/// The request with its members listed the other way round, and the answer translated back.
fn reversed(request: &Request, strategy: Deal) -> Vec<u32> {
    let mut turned = request.clone();
    turned.members.reverse();
    let last = u32::try_from(request.members.len()).unwrap();
    strategy(&turned)
        .into_iter()
        .map(|owner| {
            if owner == NONE {
                NONE
            } else {
                last - 1 - owner
            }
        })
        .collect()
}

/// The most that any assignment with counts that differ by at most one can keep, by trying
/// every choice of who gets one more.
fn most_kept(request: &Request) -> usize {
    let topic_of = topic_of(request);
    let members: Vec<_> = request
        .members
        .iter()
        .filter(|member| !member.subscribed.is_empty())
        .collect();
    let Some(some) = members.first() else {
        return 0;
    };
    let resources = topic_of
        .iter()
        .filter(|topic| some.subscribed.contains(topic))
        .count();
    let (share, extra) = (resources / members.len(), resources % members.len());
    let owned = |nth: usize| {
        members[nth]
            .owned
            .iter()
            .filter(|&&resource| some.subscribed.contains(&topic_of[resource as usize]))
            .count()
    };
    (0_u32..1 << members.len())
        .filter(|more| more.count_ones() as usize == extra)
        .map(|more| {
            (0..members.len())
                .map(|nth| owned(nth).min(share + usize::from(more >> nth & 1 == 1)))
                .sum()
        })
        .max()
        .unwrap_or(0)
}

/// Every assignment that no single move can level further, tried out: the most kept.
fn most_kept_level(request: &Request) -> usize {
    let topic_of = topic_of(request);
    let mut owners = vec![NONE; topic_of.len()];
    let mut best = 0;
    search(request, &topic_of, &mut owners, 0, &mut best);
    best
}

fn search(request: &Request, topic_of: &[u32], owners: &mut Vec<u32>, at: usize, best: &mut usize) {
    let Some(topic) = topic_of.get(at) else {
        let counts = counts(request, owners);
        let level = owners.iter().zip(topic_of).all(|(&owner, topic)| {
            owner == NONE
                || (0..counts.len()).all(|other| {
                    !request.members[other].subscribed.contains(topic)
                        || counts[other] + 1 >= counts[owner as usize]
                })
        });
        if level {
            *best = (*best).max(kept(request, owners));
        }
        return;
    };
    let mut anyone = false;
    for (index, member) in (0_u32..).zip(&request.members) {
        if member.subscribed.contains(topic) {
            anyone = true;
            owners[at] = index;
            search(request, topic_of, owners, at + 1, best);
        }
    }
    if !anyone {
        owners[at] = NONE;
        search(request, topic_of, owners, at + 1, best);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_strategy_gives_each_resource_to_one_subscriber(
        request in prop_oneof![any_request(Shape::Equal, true), any_request(Shape::Unequal, true)],
    ) {
        prop_assert!(check(&request).is_ok());
        for (name, strategy) in ALL {
            let owners = strategy(&request);
            assert_valid(&request, &owners);
            prop_assert_eq!(&owners, &strategy(&request), "{} is not deterministic", name);
            prop_assert_eq!(&owners, &reversed(&request, strategy), "{} looks at the order", name);
        }
    }

    #[test]
    fn range_gives_the_first_members_one_more_of_each_topic(
        request in any_request(Shape::Unequal, true),
    ) {
        let owners = range(&request);
        for (index, topic) in (0_u32..).zip(&request.topics) {
            let mut subscribed: Vec<usize> = (0..request.members.len())
                .filter(|&member| request.members[member].subscribed.contains(&index))
                .collect();
            subscribed.sort_by_key(|&member| &request.members[member].id);
            let mut expected = Vec::new();
            for (nth, &member) in subscribed.iter().enumerate() {
                let count = topic.count as usize / subscribed.len()
                    + usize::from(nth < topic.count as usize % subscribed.len());
                expected.extend(std::iter::repeat_n(u32::try_from(member).unwrap(), count));
            }
            if subscribed.is_empty() {
                expected = vec![NONE; topic.count as usize];
            }
            let first = topic.first as usize;
            prop_assert_eq!(&owners[first..first + topic.count as usize], &expected[..]);
        }
    }

    /// Against the deal played card by card.
    #[test]
    fn round_robin_is_the_circular_deal(request in any_request(Shape::Unequal, true)) {
        let mut circle: Vec<usize> = (0..request.members.len()).collect();
        circle.sort_by_key(|&member| &request.members[member].id);
        let mut turn = 0;
        let expected: Vec<u32> = topic_of(&request)
            .into_iter()
            .map(|topic| {
                if !request.members.iter().any(|m| m.subscribed.contains(&topic)) {
                    return NONE;
                }
                loop {
                    let member = circle[turn % circle.len()];
                    turn += 1;
                    if request.members[member].subscribed.contains(&topic) {
                        return u32::try_from(member).unwrap();
                    }
                }
            })
            .collect();
        prop_assert_eq!(round_robin(&request), expected);
    }

    #[test]
    fn sticky_is_level_and_keeps_the_most_with_equal_subscriptions(
        request in any_request(Shape::Equal, false),
    ) {
        let owners = sticky(&request);
        assert_valid(&request, &owners);
        let counts: Vec<usize> = counts(&request, &owners)
            .into_iter()
            .zip(&request.members)
            .filter(|(_, member)| !member.subscribed.is_empty())
            .map(|(count, _)| count)
            .collect();
        let spread = counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0);
        prop_assert!(spread <= 1, "{:?}", counts);
        prop_assert_eq!(kept(&request, &owners), most_kept(&request));
    }

    #[test]
    fn sticky_is_level_with_unequal_subscriptions(request in any_request(Shape::Unequal, true)) {
        let owners = sticky(&request);
        assert_valid(&request, &owners);
        assert_level(&request, &owners);
    }

    #[test]
    fn sticky_moves_nothing_the_second_time(
        request in prop_oneof![any_request(Shape::Equal, true), any_request(Shape::Unequal, true)],
    ) {
        let owners = sticky(&request);
        let mut again = request.clone();
        for (index, member) in (0_u32..).zip(&mut again.members) {
            let owned = (0_u32..).zip(&owners).filter(|(_, owner)| **owner == index);
            member.owned = owned.map(|(resource, _)| resource).collect();
        }
        prop_assert_eq!(sticky(&again), owners);
    }

    /// A member leaves, with equal subscriptions: only what it had moves.
    #[test]
    fn sticky_moves_only_what_a_member_that_left_had(
        counts in prop::collection::vec(0_u32..12, 1..5),
        members in 2_usize..9,
        leaves in 0_usize..9,
    ) {
        let subscribed: Vec<u32> = (0..u32::try_from(counts.len()).unwrap()).collect();
        let list = (0..members).map(|nth| member(&format!("m{nth}"), subscribed.clone(), vec![]));
        let mut request = of(&counts, list.collect());
        let owners = sticky(&request);
        let leaves = leaves % members;
        for (index, member) in (0_u32..).zip(&mut request.members) {
            let owned = (0_u32..).zip(&owners).filter(|(_, owner)| **owner == index);
            member.owned = owned.map(|(resource, _)| resource).collect();
        }
        let left = request.members.remove(leaves);
        let after = sticky(&request);
        prop_assert_eq!(kept(&request, &after), owners.len() - left.owned.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// How far from the best sticky is where subscriptions differ, by trying everything on
    /// small requests. It is no promise, but it must not be far.
    #[test]
    fn sticky_keeps_nearly_the_most_with_unequal_subscriptions(
        counts in prop::collection::vec(1_u32..4, 1..4),
        wants in prop::collection::vec(prop::collection::vec(any::<bool>(), 3), 1..4),
        claims in prop::collection::vec(0_usize..4, 9),
    ) {
        let list = wants.iter().enumerate().map(|(nth, wants)| {
            let topics = (0_u32..).zip(wants).take(counts.len()).filter(|(_, wants)| **wants);
            let resources: u32 = counts.iter().sum();
            let owned = (0..resources).filter(|&r| claims[r as usize] == nth);
            member(&format!("m{nth}"), topics.map(|(t, _)| t).collect(), owned.collect())
        });
        let request = of(&counts, list.collect());
        let kept = kept(&request, &sticky(&request));
        prop_assert!(kept + 2 >= most_kept_level(&request));
    }
}

#[test]
fn the_example_of_kafkas_documentation() {
    // Two topics of three resources, two members.
    let both: &[u32] = &[0, 1];
    let request = request(&[3, 3], &[("C0", both, &[]), ("C1", both, &[])]);
    assert_eq!(range(&request), [0, 0, 1, 0, 0, 1]);
    assert_eq!(round_robin(&request), [0, 1, 0, 1, 0, 1]);
}

#[test]
fn unequal_subscriptions_as_in_kafkas_documentation() {
    // t0, t1, t2 of 1, 2, 3 resources; C0 takes t0, C1 takes t0 and t1, C2 all.
    let list: &[(&str, &[u32], &[u32])] = &[
        ("C0", &[0], &[]),
        ("C1", &[0, 1], &[]),
        ("C2", &[0, 1, 2], &[]),
    ];
    let request = request(&[1, 2, 3], list);
    assert_eq!(round_robin(&request), [0, 1, 2, 2, 2, 2]);
    assert_eq!(counts(&request, &sticky(&request)), [1, 2, 3]);
}

/// KAFKA-12984: two members each sure that they own everything.
#[test]
fn sticky_settles_claims_in_conflict() {
    let topics: &[u32] = &[0];
    let all: &[u32] = &[0, 1, 2, 3];
    let request = request(&[4], &[("a", topics, all), ("b", topics, all)]);
    let owners = sticky(&request);
    assert_eq!(counts(&request, &owners), [2, 2]);
    assert_eq!(kept(&request, &owners), 4);
}

#[test]
fn no_topics_and_no_members_are_no_trouble() {
    for (_, strategy) in ALL {
        assert_eq!(strategy(&request(&[], &[])), [] as [u32; 0]);
        assert_eq!(strategy(&request(&[2], &[])), [NONE, NONE]);
        assert_eq!(strategy(&request(&[2], &[("a", &[], &[1])])), [NONE, NONE]);
        assert_eq!(strategy(&request(&[0, 1], &[("a", &[0, 1], &[])])), [0]);
    }
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let good = request(&[2, 1], &[("a", &[0], &[2])]);
    assert_eq!(check(&good), Ok(()));
    let refuse = |change: fn(&mut Request), names: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = check(&bad).unwrap_err().to_string();
        assert!(error.contains(names), "{error}");
    };
    refuse(|r| r.topics[1].first = 3, "topic-0001");
    refuse(|r| r.topics[0].first = 1, "topic-0000");
    refuse(|r| r.topics[1].count = u32::MAX, "topic-0001");
    refuse(|r| r.members[0].subscribed.push(2), "member a");
    refuse(|r| r.members[0].owned.push(3), "member a");
}

/// The largest groups reported: 7,000 members. Bounds are loose for a busy machine.
#[test]
fn large_groups_take_well_under_a_second() {
    const MEMBERS: u32 = 7_000;
    const TOPICS: u32 = 100;
    let id = |nth: u32| format!("consumer-{nth:05}");
    let all: Vec<u32> = (0..TOPICS).collect();
    let equal = of(
        &[200; TOPICS as usize],
        (0..MEMBERS)
            .map(|m| member(&id(m), all.clone(), vec![]))
            .collect(),
    );
    // Everybody takes another third of the topics, and a tenth owns everything.
    let unequal = of(
        &[200; TOPICS as usize],
        (0..MEMBERS)
            .map(|m| {
                let topics = all.iter().filter(|&t| (m * 7 + t * 13) % 3 == 0);
                let owned = (0..200 * TOPICS).filter(|r| r % 700 == m);
                member(&id(m), topics.copied().collect(), owned.collect())
            })
            .collect(),
    );
    // A chain: member m takes topics m and m + 1 alone, and the first owns what it can.
    let chain = of(
        &[3; 6_666],
        (0..6_665)
            .map(|m| {
                let owned = (m * 3..m * 3 + 6).collect();
                member(&id(m), vec![m, m + 1], owned)
            })
            .collect(),
    );
    for (shape, request) in [("equal", equal), ("unequal", unequal), ("chain", chain)] {
        for (name, strategy) in ALL {
            let start = Instant::now();
            let owners = strategy(&request);
            let took = start.elapsed();
            eprintln!("{name}, {shape}: {took:?}");
            assert_eq!(owners.len(), topic_of(&request).len());
            assert!(took < Duration::from_secs(2), "{name}, {shape}: {took:?}");
        }
    }
}
