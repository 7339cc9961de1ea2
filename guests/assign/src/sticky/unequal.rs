//! Sticky with unequal subscriptions: level topic by topic until nothing helps.
//!
//! 1. What has no owner is dealt out, topics with the fewest subscribers first, each like
//!    water into vessels: to the subscribers that have least.
//! 2. Every topic is levelled: given what its subscribers have of other topics, its own
//!    resources are spread as evenly as they can be, moving as few as that takes. A topic
//!    that was levelled changes its subscribers' counts, so the other topics of those are
//!    looked at again.
//! 3. When no topic is left to look at, resources that went round without need go back to
//!    their old owner in exchange for another resource of the same topic.
//!
//! Step 2 ends: a topic is touched only if two of its subscribers differ by two or more, and
//! levelling it then makes the sum of the squares of all counts smaller.

use std::collections::{BTreeSet, VecDeque};

use super::Deal;
use crate::NONE;

pub(super) fn deal(deal: &Deal) -> Vec<u32> {
    let mut levels = Levels::new(deal);
    let mut topics: Vec<usize> = deal.dealt_topics().collect();
    topics.sort_by_key(|&topic| deal.subscribers[topic].len());
    for &topic in &topics {
        levels.place(topic);
    }
    levels.level_all(&topics);
    levels.hand_back(&topics);
    levels.owners
}

/// One subscriber of the topic at hand.
struct Vessel {
    position: u32,
    /// What it has of other topics.
    base: u32,
    /// What it has of this one.
    has: u32,
    /// What it is to have of this one.
    target: u32,
}

struct Levels<'a> {
    deal: &'a Deal,
    /// The topics each position is subscribed to.
    subscriptions: Vec<Vec<usize>>,
    /// Per resource: the position that owns it now.
    owners: Vec<u32>,
    /// Per position: how many resources it owns now.
    counts: Vec<u32>,
    /// Scratch: per position, a number while one topic is looked at; 0 between topics.
    scratch: Vec<u32>,
}

impl<'a> Levels<'a> {
    fn new(deal: &'a Deal) -> Self {
        let mut subscriptions = vec![Vec::new(); deal.order.len()];
        for topic in deal.dealt_topics() {
            for &position in &deal.subscribers[topic] {
                subscriptions[position as usize].push(topic);
            }
        }
        let mut counts = vec![0; deal.order.len()];
        for &claim in deal.claims.iter().filter(|&&claim| claim != NONE) {
            counts[claim as usize] += 1;
        }
        Self {
            deal,
            subscriptions,
            owners: deal.claims.clone(),
            counts,
            scratch: vec![0; deal.order.len()],
        }
    }

    /// Step 1 for one topic: gives what has no owner to the subscribers that have least.
    fn place(&mut self, topic: usize) {
        let free: Vec<u32> = self
            .deal
            .resources(topic)
            .filter(|&resource| self.owners[resource as usize] == NONE)
            .collect();
        if free.is_empty() {
            return;
        }
        let mut vessels: Vec<Vessel> = self.deal.subscribers[topic]
            .iter()
            .map(|&position| Vessel {
                position,
                base: self.counts[position as usize],
                has: 0,
                target: 0,
            })
            .collect();
        fill(&mut vessels, crate::index(free.len()));
        self.give(&vessels, free);
    }

    /// Step 2.
    fn level_all(&mut self, topics: &[usize]) {
        let mut queue: VecDeque<usize> = topics.iter().copied().collect();
        let mut queued = vec![false; self.deal.topics.len()];
        for &topic in topics {
            queued[topic] = true;
        }
        while let Some(topic) = queue.pop_front() {
            queued[topic] = false;
            for position in self.level(topic) {
                for &other in &self.subscriptions[position as usize] {
                    if other != topic && !queued[other] {
                        queued[other] = true;
                        queue.push_back(other);
                    }
                }
            }
        }
    }

    /// Levels one topic and says whose counts changed.
    fn level(&mut self, topic: usize) -> Vec<u32> {
        for resource in self.deal.resources(topic) {
            self.scratch[self.owners[resource as usize] as usize] += 1;
        }
        let mut vessels: Vec<Vessel> = self.deal.subscribers[topic]
            .iter()
            .map(|&position| {
                let has = std::mem::take(&mut self.scratch[position as usize]);
                Vessel {
                    position,
                    base: self.counts[position as usize] - has,
                    has,
                    target: 0,
                }
            })
            .collect();
        let fullest = vessels.iter().filter(|v| v.has > 0).map(|v| v.base + v.has);
        let emptiest = vessels.iter().map(|v| v.base + v.has).min();
        if fullest.max() <= emptiest.map(|count| count + 1) {
            return Vec::new();
        }
        fill(&mut vessels, self.deal.topics[topic].1);

        // Take from those above their target: first what they did not own before, then
        // the last ones.
        for vessel in vessels.iter().filter(|vessel| vessel.has > vessel.target) {
            self.scratch[vessel.position as usize] = vessel.has - vessel.target;
        }
        let mut taken = Vec::new();
        for before in [false, true] {
            for resource in self.deal.resources(topic).rev() {
                let owner = self.owners[resource as usize];
                let owned_before = self.deal.claims[resource as usize] == owner;
                if owner != NONE && owned_before == before && self.scratch[owner as usize] > 0 {
                    self.scratch[owner as usize] -= 1;
                    self.counts[owner as usize] -= 1;
                    self.owners[resource as usize] = NONE;
                    taken.push(resource);
                }
            }
        }
        taken.sort_unstable();
        self.give(&vessels, taken);
        vessels
            .iter()
            .filter(|vessel| vessel.has != vessel.target)
            .map(|vessel| vessel.position)
            .collect()
    }

    /// Gives resources of one topic to the vessels below their targets: to the owner by
    /// claim where that is one of them, the others in a circle.
    fn give(&mut self, vessels: &[Vessel], resources: Vec<u32>) {
        for vessel in vessels {
            self.scratch[vessel.position as usize] = vessel.target.saturating_sub(vessel.has);
        }
        let mut others = Vec::new();
        for resource in resources {
            match self.deal.claims[resource as usize] {
                claim if claim != NONE && self.scratch[claim as usize] > 0 => {
                    self.scratch[claim as usize] -= 1;
                    self.own(resource, claim);
                }
                _ => others.push(resource),
            }
        }
        let mut takers: Vec<u32> = vessels.iter().map(|vessel| vessel.position).collect();
        let mut others = others.into_iter();
        while !others.as_slice().is_empty() {
            takers.retain(|&position| self.scratch[position as usize] > 0);
            for (&position, resource) in takers.iter().zip(&mut others) {
                self.scratch[position as usize] -= 1;
                self.own(resource, position);
            }
        }
    }

    fn own(&mut self, resource: u32, position: u32) {
        self.owners[resource as usize] = position;
        self.counts[position as usize] += 1;
    }

    /// Step 3: exchanges within a topic that bring a resource back to its owner by claim
    /// and take from nobody what is its own by claim. Counts stay as they are.
    fn hand_back(&mut self, topics: &[usize]) {
        for &topic in topics {
            // What owners have of this topic without a claim to it, to be exchanged.
            let mut strange: BTreeSet<(u32, u32)> = self
                .deal
                .resources(topic)
                .map(|resource| (self.owners[resource as usize], resource))
                .filter(|&(owner, resource)| self.deal.claims[resource as usize] != owner)
                .collect();
            for resource in self.deal.resources(topic) {
                let (owner, claim) = (
                    self.owners[resource as usize],
                    self.deal.claims[resource as usize],
                );
                if claim == NONE || claim == owner {
                    continue;
                }
                let exchange = strange.range((claim, 0)..(claim + 1, 0)).next().copied();
                if let Some((_, other)) = exchange {
                    strange.remove(&(claim, other));
                    strange.remove(&(owner, resource));
                    self.owners[resource as usize] = claim;
                    self.owners[other as usize] = owner;
                    if self.deal.claims[other as usize] != owner {
                        strange.insert((owner, other));
                    }
                }
            }
        }
    }
}

/// Sets the targets so that `amount` is spread as evenly as the bases allow: up to a level,
/// and one above it for as many as the remainder says, first for those that have it already.
fn fill(vessels: &mut [Vessel], amount: u32) {
    let mut bases: Vec<u32> = vessels.iter().map(|vessel| vessel.base).collect();
    bases.sort_unstable();
    // The lowest vessels that the water reaches, and what it takes to bring them to the
    // level of the highest of them.
    let mut reached = 1_u64;
    let mut room = 0_u64;
    for pair in bases.windows(2) {
        let step = u64::from(pair[1] - pair[0]) * reached;
        if room + step > u64::from(amount) {
            break;
        }
        room += step;
        reached += 1;
    }
    let above = u64::from(amount) - room;
    let highest = u64::from(bases[usize::try_from(reached).unwrap_or(1) - 1]);
    let level = u32::try_from(highest + above / reached).unwrap_or(u32::MAX);
    let mut extra = above % reached;

    for vessel in vessels.iter_mut() {
        vessel.target = level.saturating_sub(vessel.base);
    }
    for has_it_already in [true, false] {
        for vessel in vessels.iter_mut() {
            // A vessel whose base is above the level stays out of it, and one that got its
            // extra in the first round has a target above the level.
            let at_level = vessel.base + vessel.target == level;
            let has_it = vessel.has > vessel.target;
            if extra > 0 && at_level && has_it == has_it_already {
                vessel.target += 1;
                extra -= 1;
            }
        }
    }
}
