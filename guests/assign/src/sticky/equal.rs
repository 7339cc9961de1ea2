//! Sticky with equal subscriptions: quotas first, then keep what fits.

use super::Deal;
use crate::NONE;

/// Deals `P` resources to the `C` members that all take the same topics.
///
/// Every member gets `P / C`, and `P mod C` of them one more. A member keeps what it owns up
/// to its quota, so the most is kept by giving the larger quotas to members that own at
/// least that much: min(owned, P / C) each, and one more for up to `P mod C` of them. No
/// assignment whose counts differ by at most one keeps more.
pub(super) fn deal(deal: &Deal) -> Vec<u32> {
    let mut owners = vec![NONE; deal.claims.len()];
    let Some(some_topic) = deal.dealt_topics().next() else {
        return owners;
    };
    let members = &deal.subscribers[some_topic];
    let count: usize = deal.dealt_topics().map(|t| deal.resources(t).len()).sum();
    let (share, extra) = (count / members.len(), count % members.len());

    // Quotas by position: the larger ones to those that own enough, then in order.
    let mut owned = vec![0_usize; deal.order.len()];
    for topic in deal.dealt_topics() {
        for resource in deal.resources(topic) {
            let claim = deal.claims[resource as usize];
            if claim != NONE {
                owned[claim as usize] += 1;
            }
        }
    }
    let (rich, poor): (Vec<u32>, Vec<u32>) = members
        .iter()
        .partition(|&&position| owned[position as usize] > share);
    let mut quota = vec![0_usize; deal.order.len()];
    for (nth, &position) in rich.iter().chain(&poor).enumerate() {
        quota[position as usize] = share + usize::from(nth < extra);
    }

    let mut free = Vec::new();
    for topic in deal.dealt_topics() {
        for resource in deal.resources(topic) {
            match deal.claims[resource as usize] {
                claim if claim != NONE && quota[claim as usize] > 0 => {
                    quota[claim as usize] -= 1;
                    owners[resource as usize] = claim;
                }
                _ => free.push(resource),
            }
        }
    }

    // What is free goes round in a circle, so that neighbours land on different members.
    let mut takers: Vec<u32> = members.clone();
    let mut free = free.into_iter();
    while !free.as_slice().is_empty() {
        takers.retain(|&position| quota[position as usize] > 0);
        for (&position, resource) in takers.iter().zip(&mut free) {
            quota[position as usize] -= 1;
            owners[resource as usize] = position;
        }
    }
    owners
}
