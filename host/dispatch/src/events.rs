//! How much of a queue one reaction gets.
//!
//! A reaction's transaction acknowledges each of its events by its path, whatever the guest does,
//! and clients choose the paths. So the paths of one reaction's events are bounded together: a
//! client with long names must not be able to make transactions that are too long to be proposed.
//! (test: `names_that_a_client_makes_long_stop_no_recipe`)

use innkeeper_tree::QueueEntry;

/// Bytes of the paths that the events of one reaction name, together. The first event goes in
/// whatever its path.
const EVENT_BYTES_PER_REACTION: usize = 1 << 20;

/// The first of these events, as many as may go into one reaction; the rest stays queued.
pub(super) fn fitting(mut events: Vec<QueueEntry>) -> Vec<QueueEntry> {
    let mut bytes = 0;
    let path_bytes = |event: &QueueEntry| match event {
        QueueEntry::Resync { .. } => 0,
        QueueEntry::Changed { path, .. } => path.len(),
    };
    let fit = events.iter().take_while(|event| {
        bytes += path_bytes(event);
        bytes <= EVENT_BYTES_PER_REACTION
    });
    let fit = fit.count().max(1);
    events.truncate(fit);
    events
}

#[cfg(test)]
mod tests {
    use innkeeper_tree::Zxid;
    use innkeeper_tree::queue::Kinds;

    use super::*;

    #[test]
    fn long_paths_go_into_reactions_of_their_own() {
        let event = |bytes: usize| QueueEntry::Changed {
            path: "x".repeat(bytes).into(),
            kinds: Kinds::CREATED,
            zxid: Zxid(1),
            depth: 0,
        };
        let half = EVENT_BYTES_PER_REACTION / 2;
        let fits = |events: Vec<QueueEntry>| fitting(events).len();
        assert_eq!(fits(Vec::new()), 0);
        assert_eq!(fits(vec![event(half), event(half), event(1)]), 2);
        assert_eq!(fits(vec![event(half), event(half + 1)]), 1);
        assert_eq!(fits(vec![event(2 * half + 1), event(1)]), 1);
        let resync = QueueEntry::Resync {
            zxid: Zxid(1),
            depth: 0,
        };
        assert_eq!(fits(vec![resync, event(2 * half), event(0)]), 3);
    }
}
