//! Strategy `round-robin`: one circular deal over all topics.

use crate::{NONE, Request, resources, sorted_members, subscribers};

/// Deals the resources of all topics, in byte order of the topics' names, in a circle over
/// the members, in byte order of their ids. A member that is not subscribed to a resource's
/// topic is passed over; the circle goes on behind the member that took it.
pub fn round_robin(request: &Request) -> Vec<u32> {
    let order = sorted_members(request);
    let subscribers = subscribers(request, &order);
    let mut topics: Vec<usize> = (0..request.topics.len()).collect();
    topics.sort_by_key(|&topic| &request.topics[topic].name);

    let mut owners = vec![NONE; resources(request)];
    // The position in `order` at which the search for the next taker begins.
    let mut cursor = 0_u32;
    for topic in topics {
        let subscribed = &subscribers[topic];
        if subscribed.is_empty() {
            continue;
        }
        let topic = &request.topics[topic];
        for resource in topic.first..topic.first + topic.count {
            let nth = subscribed.partition_point(|&position| position < cursor);
            let taker = subscribed.get(nth).copied().unwrap_or(subscribed[0]);
            owners[resource as usize] = order[taker as usize];
            cursor = taker + 1;
        }
    }
    owners
}
