//! Properties of the tree under random commands: it answers as a naive model does, never
//! panics, takes one zxid for each command, agrees with its replicas, keeps its views as they
//! were, and comes back from its checkpoints, which are exact.

mod aim;
mod commands;
mod dump;
mod model;

use std::collections::BTreeMap;
use std::sync::Mutex;

use innkeeper_tree::applied::Applied;
use innkeeper_tree::encoding::{decode_command, encode_command};
use innkeeper_tree::{Command, Operation, Record, Table, Tree, View, Zxid};
use proptest::prelude::*;

use aim::Aim;
use commands::{Step, any_steps, client_steps};
use dump::{Dump, check_counts, dump};
use model::Model;

/// That many cases, or what PROPTEST_CASES says. The seeds are random: a failure is shown
/// whole, and becomes a script.
fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: wanted.unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Where captures go.
#[derive(Default)]
struct Store(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Store {
    fn take(&mut self, tree: &mut Tree) -> Zxid {
        let capture = tree.capture();
        self.write(capture.records().collect());
        capture.zxid()
    }

    fn write(&mut self, records: Vec<Record>) {
        let mut keys: Vec<_> = records
            .iter()
            .map(|record| (record.table, record.key.clone()))
            .collect();
        keys.sort();
        let before = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), before, "a capture holds each key once");
        for Record { table, key, value } in records {
            match value {
                Some(value) => self.0.insert((table, key), value),
                None => self.0.remove(&(table, key)),
            };
        }
    }

    fn restore(&self, backwards: bool) -> Tree {
        let mut rows: Vec<_> = self
            .0
            .iter()
            .map(|((table, key), value)| Record {
                table: *table,
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect();
        if backwards {
            rows.reverse();
        }
        Tree::restore(rows.into_iter().map(Ok::<_, std::io::Error>))
            .expect("a checkpoint is restored")
    }
}

/// A tree, and its replica on another node, which gets the same commands out of the log, in other
/// batches, and is never restarted.
struct Pair {
    tree: Tree,
    replica: Tree,
    aim: Aim,
}

impl Pair {
    fn apply(&mut self, time_ms: usize, operation: Operation) -> Applied {
        let command = Command {
            time_ms: time_ms as u64,
            operation,
        };
        let mut bytes = Vec::new();
        encode_command(&command, &mut bytes);
        let logged = decode_command(bytes.into()).expect("what was encoded is decoded");
        assert_eq!(logged, command);

        let next = self.tree.last_zxid().next();
        let applied = self.tree.apply(&command);
        assert_eq!((applied.zxid, self.tree.last_zxid()), (next, next));
        assert_eq!(self.replica.apply(&logged), applied, "{command:?}");
        assert_eq!(self.tree.hash(), self.replica.hash(), "{command:?}");
        self.aim.learn(&applied);
        applied
    }

    /// Sweeps whatever may be swept at that time.
    fn sweep(&mut self, now_ms: usize, never_used_ms: u64) {
        self.tree.publish();
        let view = self.tree.reader().view();
        for sweep in view.sweepable(now_ms as u64, never_used_ms, usize::MAX) {
            let path = sweep.path.clone();
            self.apply(now_ms, Operation::Sweep(sweep.clone()));
            self.tree.publish();
            assert!(self.tree.reader().view().exists(&path).is_none(), "{path}");
            let again = self.apply(now_ms, Operation::Sweep(sweep));
            assert!(again.events.is_empty(), "it is gone already: {path}");
        }
    }
}

/// How often each outcome came about, over all cases: a property of commands that all fail at their
/// first check would say nothing.
#[derive(Default)]
struct Outcomes(BTreeMap<&'static str, u32>);

impl Outcomes {
    fn add(&mut self, case: BTreeMap<&'static str, u32>) {
        for (what, count) in case {
            *self.0.entry(what).or_default() += count;
        }
    }
}

static OUTCOMES: Mutex<Outcomes> = Mutex::new(Outcomes(BTreeMap::new()));

#[test]
fn nothing_breaks_the_state() {
    whatever_is_applied();
    let outcomes = std::mem::take(&mut OUTCOMES.lock().expect("no case panicked").0);
    println!("{outcomes:?}");
    for what in [
        "done",
        "bounced",
        "misnumbered",
        "expired",
        "attached",
        "committed",
        "conflict",
        "rejected",
        "activated",
        "void",
        "no session",
        "queued",
    ] {
        assert!(
            outcomes.get(what).is_some_and(|count| *count > 20),
            "{what}: {outcomes:?}"
        );
    }
}

proptest! {
    #![proptest_config(config(300))]

    /// Replies, Stats, data, ACLs, ephemerals and events, against some two hundred naive lines.
    #[test]
    fn clients_see_what_the_model_says(steps in client_steps()) {
        let mut tree = Tree::new();
        let mut model = Model::new();
        for mut operation in steps {
            match &mut operation {
                Operation::Sweep(sweep) if sweep.mzxid.0 % 8 != 0 => {
                    aim::aim_sweep(sweep, &tree.reader().view());
                }
                _ => {}
            }
            let applied = tree.apply(&Command { time_ms: 5, operation: operation.clone() });
            tree.publish();
            let expected = model.apply(&operation);
            let actual = model::outcome(&applied);
            prop_assert_eq!(&actual, &expected, "{:?}", operation);
            prop_assert_eq!(dump::znodes(&tree.reader().view()), model.znodes());
        }
    }
}

proptest! {
    #![proptest_config(config(800))]

    /// Whatever is applied, in batches, beside views, captures and restarts.
    fn whatever_is_applied(steps in any_steps()) {
        let mut pair = Pair {
            tree: Tree::new(),
            replica: Tree::new(),
            aim: Aim::default(),
        };
        let mut store = Store::default();
        let mut views: Vec<(View, Dump)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Apply(mut operation, aimed) => {
                    if aimed {
                        pair.tree.publish();
                        pair.aim.correct(&mut operation, &pair.tree);
                    }
                    pair.apply(number, operation);
                }
                Step::Sweep { later_ms, never_used_ms } => {
                    pair.sweep(number + later_ms, never_used_ms);
                }
                Step::Publish => pair.tree.publish(),
                Step::View => {
                    let view = pair.tree.reader().view();
                    views.push((view.clone(), dump(&view)));
                }
                Step::Drop(which) => {
                    if !views.is_empty() {
                        views.swap_remove(which % views.len());
                    }
                }
                Step::Capture => {
                    pair.tree.publish();
                    let zxid = store.take(&mut pair.tree);
                    prop_assert_eq!(zxid, pair.tree.last_zxid());
                }
                Step::CaptureLate(operations) => {
                    // The rows are made while commands are applied.
                    pair.tree.publish();
                    let capture = pair.tree.capture();
                    for operation in operations {
                        pair.apply(number, operation);
                    }
                    pair.tree.publish();
                    pair.tree.reclaim(1_000);
                    store.write(capture.records().collect());
                }
                Step::Restart(backwards) => {
                    pair.tree.publish();
                    store.take(&mut pair.tree);
                    let mut restored = store.restore(backwards);
                    prop_assert_eq!(dump::whole(&restored), dump::whole(&pair.tree));
                    check_counts(&restored.reader().view());
                    let changes = restored.capture().records().count();
                    prop_assert_eq!(changes, 0, "what was just restored has no changes");
                    pair.tree = restored;
                    views.clear();
                }
            }
            for (view, seen) in &views {
                prop_assert_eq!(&dump(view), seen);
            }
        }
        let Pair { mut tree, mut replica, aim } = pair;
        tree.publish();
        replica.publish();
        OUTCOMES.lock().expect("no test panics with it").add(aim.outcomes);
        prop_assert_eq!(dump::whole(&tree), dump::whole(&replica));
        check_counts(&tree.reader().view());

        // Captures that follow each other add up to one whole one.
        store.take(&mut tree);
        let mut whole = Store::default();
        whole.take(&mut replica);
        prop_assert_eq!(&store.0, &whole.0);

        // Nothing is left of what only views saw.
        views.clear();
        tree.apply(&Command { time_ms: 0, operation: Operation::RaiseLevel { level: 9 } });
        tree.publish();
        while tree.reclaim(64) == 64 {}
        prop_assert_eq!(tree.stats().old_versions, 0);
    }
}
