use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> Arc<str> {
    text.into()
}

fn ack(text: &str, zxid: u64) -> Ack {
    Ack::Path {
        path: text.to_owned(),
        zxid: Zxid(zxid),
    }
}

fn push(queue: &mut Queue, text: &str, zxid: u64) -> Pushed {
    queue.push(&path(text), Kinds::CREATED, Zxid(zxid), 0, 100)
}

#[test]
fn events_of_a_path_merge_and_keep_their_place() {
    let mut queue = Queue::new();
    queue.push(&path("/b"), Kinds::CREATED, Zxid(1), 0, 10);
    queue.push(&path("/a"), Kinds::CREATED, Zxid(2), 3, 10);
    queue.push(&path("/b"), Kinds::DATA_CHANGED, Zxid(5), 1, 10);
    assert_eq!(
        queue.take(10),
        [
            QueueEntry::Changed {
                path: path("/b"),
                kinds: Kinds::CREATED | Kinds::DATA_CHANGED,
                zxid: Zxid(5),
                depth: 1,
            },
            QueueEntry::Changed {
                path: path("/a"),
                kinds: Kinds::CREATED,
                zxid: Zxid(2),
                depth: 3,
            },
        ]
    );
    assert_eq!(queue.take(1).len(), 1);
}

#[test]
fn an_entry_is_consumed_once() {
    let mut queue = Queue::new();
    push(&mut queue, "/a", 1);
    assert!(!queue.check(&ack("/b", 1)));
    assert!(!queue.check(&ack("/a", 2)), "nobody was handed zxid 2");
    assert!(queue.acknowledge(&ack("/a", 1)));
    assert!(!queue.acknowledge(&ack("/a", 1)));
    assert!(queue.is_empty());
}

#[test]
fn what_came_since_the_delivery_stays() {
    let mut queue = Queue::new();
    push(&mut queue, "/a", 1);
    push(&mut queue, "/a", 4);
    assert!(queue.acknowledge(&ack("/a", 1)));
    assert_eq!(queue.take(9)[0].zxid(), Zxid(4));
    assert!(
        !queue.check(&ack("/a", 1)),
        "the first reaction cannot commit twice"
    );
    assert!(queue.acknowledge(&ack("/a", 4)));
    assert!(queue.is_empty());
}

/// The entry of a path that was consumed and has a new event is another entry.
#[test]
fn a_stale_acknowledgement_does_not_pass_for_a_later_entry() {
    let mut queue = Queue::new();
    push(&mut queue, "/a", 1);
    assert!(queue.acknowledge(&ack("/a", 1)));
    push(&mut queue, "/a", 5);
    assert!(!queue.acknowledge(&ack("/a", 1)));
    queue.resync(Zxid(6), 0);
    assert!(queue.acknowledge(&Ack::Resync(Zxid(6))));
    queue.resync(Zxid(8), 0);
    assert!(!queue.acknowledge(&Ack::Resync(Zxid(6))));
}

#[test]
fn a_full_queue_becomes_one_resync() {
    let mut queue = Queue::new();
    for (i, name) in ["/a", "/b", "/c"].into_iter().enumerate() {
        let pushed = queue.push(&path(name), Kinds::CREATED, Zxid(i as u64 + 1), i as u8, 3);
        assert_eq!(pushed, Pushed::Path(path(name)));
    }
    // A path that has an entry needs no room.
    assert_eq!(
        queue.push(&path("/a"), Kinds::DELETED, Zxid(4), 0, 3),
        Pushed::Path(path("/a"))
    );
    assert_eq!(
        queue.push(&path("/d"), Kinds::CREATED, Zxid(5), 0, 3),
        Pushed::Overflowed
    );
    assert_eq!(queue.len(), 1);
    assert_eq!(
        queue.take(9),
        [QueueEntry::Resync {
            zxid: Zxid(5),
            depth: 2
        }]
    );
    // Events after it are kept again, behind it.
    push(&mut queue, "/e", 6);
    let taken = queue.take(9);
    assert_eq!((taken.len(), taken[0].ack()), (2, Ack::Resync(Zxid(5))));
    assert!(queue.acknowledge(&Ack::Resync(Zxid(5))));
    assert_eq!(queue.take(9)[0].ack(), ack("/e", 6));
}

#[test]
fn a_resync_merges_with_one_that_waits() {
    let mut queue = Queue::new();
    queue.resync(Zxid(3), 1);
    push(&mut queue, "/a", 4);
    queue.resync(Zxid(5), 0);
    assert_eq!(
        queue.take(9),
        [QueueEntry::Resync {
            zxid: Zxid(5),
            depth: 1
        }]
    );
    // A reaction that was handed the first one leaves the second.
    assert!(queue.acknowledge(&Ack::Resync(Zxid(3))));
    assert_eq!(queue.take(9).len(), 1);
    assert!(queue.acknowledge(&Ack::Resync(Zxid(5))));
    assert!(queue.is_empty());
}

/// Ten thousand entries taken and acknowledged a hundred at a time; quadratic would be
/// noticed as a test of minutes.
#[test]
fn a_long_queue_drains() {
    let mut queue = Queue::new();
    for i in 0..100_000u64 {
        queue.push(
            &path(&format!("/n{i}")),
            Kinds::CREATED,
            Zxid(i),
            0,
            1_000_000,
        );
    }
    let mut drained = 0;
    while !queue.is_empty() {
        for entry in queue.take(100) {
            assert!(queue.acknowledge(&entry.ack()));
            drained += 1;
        }
    }
    assert_eq!(drained, 100_000);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Resync,
    Take(usize),
    /// Acknowledges everything of the n-th delivery back.
    Acknowledge(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..8).prop_map(Step::Push),
        1 => Just(Step::Resync),
        3 => (1usize..6).prop_map(Step::Take),
        3 => (0usize..3).prop_map(Step::Acknowledge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Every event is consumed by exactly one committed delivery: that of its path's entry,
    /// or of a resync that is newer than it.
    #[test]
    fn every_event_is_consumed_exactly_once(steps in steps()) {
        let mut queue = Queue::new();
        let mut pending: Vec<(String, u64)> = Vec::new();
        let mut resyncs: Vec<u64> = Vec::new();
        let mut deliveries: Vec<Vec<QueueEntry>> = Vec::new();
        let mut consumed = HashSet::new();
        let mut zxid = 0;
        for step in steps {
            zxid += 1;
            match step {
                Step::Push(name) => {
                    let text = format!("/{name}");
                    let pushed = queue.push(&path(&text), Kinds::CREATED, Zxid(zxid), 0, 5);
                    if pushed == Pushed::Overflowed {
                        pending.clear();
                        resyncs.push(zxid);
                    } else {
                        pending.push((text, zxid));
                    }
                }
                Step::Resync => {
                    queue.resync(Zxid(zxid), 0);
                    pending.clear();
                    resyncs.push(zxid);
                }
                Step::Take(limit) => deliveries.push(queue.take(limit)),
                Step::Acknowledge(back) => {
                    let Some(at) = deliveries.len().checked_sub(back + 1) else { continue };
                    let delivery = deliveries[at].clone();
                    if delivery.iter().all(|entry| queue.check(&entry.ack())) {
                        for entry in delivery {
                            prop_assert!(queue.acknowledge(&entry.ack()));
                            match &entry {
                                QueueEntry::Resync { zxid, .. } => {
                                    prop_assert!(resyncs.iter().any(|z| z <= &zxid.0));
                                    resyncs.retain(|z| *z > zxid.0);
                                }
                                QueueEntry::Changed { path, zxid, .. } => {
                                    let before = pending.len();
                                    for (p, z) in &pending {
                                        if **p == **path && *z <= zxid.0 {
                                            prop_assert!(consumed.insert((p.clone(), *z)));
                                        }
                                    }
                                    pending.retain(|(p, z)| **p != **path || *z > zxid.0);
                                    prop_assert!(pending.len() < before);
                                }
                            }
                        }
                    }
                }
                Step::Restart => {
                    let mut restored = Queue::new();
                    for (key, pending) in queue.iter() {
                        restored.restore(key, *pending);
                    }
                    prop_assert_eq!(&restored, &queue);
                }
            }
            // What the model has pending is what the queue delivers.
            let paths: HashSet<String> = pending.iter().map(|(p, _)| p.clone()).collect();
            let delivered: HashSet<String> = queue
                .take(usize::MAX)
                .iter()
                .filter_map(|entry| match entry {
                    QueueEntry::Changed { path, .. } => Some(path.to_string()),
                    QueueEntry::Resync { .. } => None,
                })
                .collect();
            prop_assert_eq!(paths, delivered);
            prop_assert_eq!(queue.resync.is_some(), !resyncs.is_empty());
        }
    }
}
