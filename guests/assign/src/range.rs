//! Strategy `range`: each topic by itself, in contiguous runs.

use crate::{NONE, Request, resources, sorted_members, subscribers};

/// Deals each topic out by itself: of `P` resources and `C` subscribed members, in byte
/// order of their ids, each gets a contiguous run of `P / C`, and the first `P mod C` one
/// more. Equal topics with equal subscribers are dealt out equally, so that resource `p` of
/// each goes to the same member (co-partitioning).
pub fn range(request: &Request) -> Vec<u32> {
    let order = sorted_members(request);
    let mut owners = vec![NONE; resources(request)];
    for (topic, subscribed) in request.topics.iter().zip(subscribers(request, &order)) {
        if subscribed.is_empty() {
            continue;
        }
        let (first, count) = (topic.first as usize, topic.count as usize);
        let (share, extra) = (count / subscribed.len(), count % subscribed.len());
        let mut rest = &mut owners[first..first + count];
        for (nth, position) in subscribed.into_iter().enumerate() {
            let (run, after) = rest.split_at_mut(share + usize::from(nth < extra));
            run.fill(order[position as usize]);
            rest = after;
        }
    }
    owners
}
