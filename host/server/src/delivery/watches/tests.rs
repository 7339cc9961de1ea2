//! Tests of the table alone. What clients see of it is tested in `tests/node/persistent.rs`.

use super::*;

fn watches(watches: &Watches) -> (usize, usize) {
    let counts = watches.counts();
    (counts.watches(), counts.paths)
}

fn once(watches: &mut Watches, path: &str, event: EventType) -> Vec<WatcherId> {
    let fired = watches.fire(path, event);
    assert!(fired.persistent.is_empty(), "{fired:?}");
    fired.once.to_vec()
}

#[test]
fn a_watch_fires_once_and_a_deletion_reaches_both_kinds_once() {
    let mut table = Watches::default();
    table.add(3, "/a", Kind::Data);
    table.add(3, "/a", Kind::Data);
    table.add(1, "/a", Kind::Child);
    table.add(3, "/a", Kind::Child);
    assert_eq!(watches(&table), (3, 1));
    assert_eq!(once(&mut table, "/a", EventType::NodeDeleted), [1, 3]);
    assert!(once(&mut table, "/a", EventType::NodeDeleted).is_empty());
    assert_eq!(watches(&table), (0, 0));
}

#[test]
fn kinds_are_told_apart() {
    let mut table = Watches::default();
    table.add(0, "/a", Kind::Data);
    table.add(1, "/a", Kind::Child);
    assert_eq!(once(&mut table, "/a", EventType::NodeChildrenChanged), [1]);
    assert_eq!(once(&mut table, "/a", EventType::NodeDataChanged), [0]);
    table.add(0, "/b", Kind::Data);
    assert!(!table.remove(0, "/b", Kind::Child));
    assert!(!table.remove(1, "/b", Kind::Data));
    assert!(table.contains(0, "/b", Kind::Data));
    assert!(table.remove(0, "/b", Kind::Data));
    assert!(!table.contains(0, "/b", Kind::Data));
    assert_eq!(watches(&table), (0, 0));
}

#[test]
fn a_connection_takes_its_watches_with_it_and_its_number_starts_empty() {
    let mut table = Watches::default();
    table.add(0, "/a", Kind::Data);
    table.add(1, "/a", Kind::Data);
    table.add(1, "/b", Kind::Child);
    table.add(1, "/", Kind::Recursive);
    table.add(1, "/", Kind::Persistent);
    table.drop_watcher(1);
    assert_eq!(watches(&table), (1, 1));
    assert_eq!(table.counts().recursive, 0);
    table.add(1, "/c", Kind::Data);
    assert!(once(&mut table, "/b", EventType::NodeDeleted).is_empty());
    assert_eq!(once(&mut table, "/a", EventType::NodeDataChanged), [0]);
    assert_eq!(once(&mut table, "/c", EventType::NodeCreated), [1]);
}

/// The connections that an event must reach, for every event and every set of kinds of one
/// connection, written down again from ZooKeeper's documentation.
#[test]
fn every_set_of_kinds_hears_once_what_one_of_them_waits_for() {
    use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    for set in 0..16u8 {
        for event in [
            NodeCreated,
            NodeDeleted,
            NodeDataChanged,
            NodeChildrenChanged,
        ] {
            let mut table = Watches::default();
            for kind in Kind::ALL.into_iter().filter(|kind| set & kind.bit() != 0) {
                table.add(7, "/a/b", kind);
            }
            let has = |kind: Kind| set & kind.bit() != 0;
            let (data, child) = match event {
                NodeCreated | NodeDataChanged => (has(Kind::Data), false),
                NodeDeleted => (has(Kind::Data), has(Kind::Child)),
                _ => (false, has(Kind::Child)),
            };
            let persistent =
                has(Kind::Persistent) || (has(Kind::Recursive) && event != NodeChildrenChanged);
            let fired = table.fire("/a/b", event);
            assert_eq!(!fired.once.is_empty(), data || child, "{set} {event:?}");
            assert_eq!(
                !fired.persistent.is_empty(),
                persistent && fired.once.is_empty(),
                "{set} {event:?}"
            );
            for kind in Kind::ALL {
                let gone = match kind {
                    Kind::Data => data,
                    Kind::Child => child,
                    _ => false,
                };
                assert_eq!(table.contains(7, "/a/b", kind), has(kind) && !gone);
            }
        }
    }
}

#[test]
fn only_recursive_watches_hear_of_what_is_below_them() {
    let mut table = Watches::default();
    table.add(0, "/", Kind::Recursive);
    table.add(1, "/a", Kind::Recursive);
    table.add(2, "/a", Kind::Persistent);
    table.add(3, "/a/b/c", Kind::Data);
    table.add(1, "/a/b/c", Kind::Data);
    table.add(4, "/ab", Kind::Recursive);
    let fired = table.fire("/a/b/c", EventType::NodeDataChanged);
    assert_eq!(fired.once.as_slice(), [1, 3]);
    assert_eq!(fired.persistent.as_slice(), [0]);
    let fired = table.fire("/a/b/c", EventType::NodeDataChanged);
    assert_eq!(fired.persistent.as_slice(), [0, 1]);
    let fired = table.fire("/a/b", EventType::NodeChildrenChanged);
    assert_eq!(fired, Fired::default());
    let fired = table.fire("/a", EventType::NodeDeleted);
    assert_eq!(fired.persistent.as_slice(), [0, 1, 2]);
    assert_eq!(
        table
            .fire("/", EventType::NodeDataChanged)
            .persistent
            .as_slice(),
        [0]
    );
}

fn on_data(table: &Watches) -> Vec<(String, Vec<WatcherId>)> {
    let mut all = Vec::new();
    let end = table.on_data(0, u64::MAX, |path, listeners| {
        all.push((path.to_string(), listeners.to_vec()));
    });
    assert_eq!(end, None);
    all
}

#[test]
fn recursive_watches_are_counted_down_to_none() {
    let mut table = Watches::default();
    table.add(0, "/a", Kind::Recursive);
    table.add(0, "/a", Kind::Recursive);
    table.add(0, "/a", Kind::Persistent);
    table.add(0, "/a", Kind::Child);
    let counts = table.counts();
    assert_eq!((counts.data, counts.child, counts.recursive), (1, 1, 1));
    assert_eq!(on_data(&table), [("/a".to_owned(), vec![0])]);
    table.add(1, "/b", Kind::Recursive);
    table.add(2, "", Kind::Recursive);
    assert_eq!(table.recursive_lengths.get(&2), Some(&2));
    let heard = |table: &mut Watches, path| table.fire(path, EventType::NodeDeleted).persistent;
    assert_eq!(heard(&mut table, "/b/ü/c").as_slice(), [1]);
    assert!(heard(&mut table, "/bü").is_empty());
    table.drop_watcher(1);
    table.drop_watcher(2);
    assert!(table.remove(0, "/a", Kind::Recursive));
    assert!(!table.remove(0, "/a", Kind::Recursive));
    assert_eq!(table.counts().recursive, 0);
    assert!(table.recursive_lengths.is_empty());
    assert!(table.remove(0, "/a", Kind::Persistent));
    assert!(on_data(&table).is_empty());
    assert!(table.remove(0, "/a", Kind::Child));
    assert_eq!(table.counts(), WatchCounts::default());
}
