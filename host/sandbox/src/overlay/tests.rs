//! The overlay against apply: what a guest sees while its transaction grows is what the commit
//! gives.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use innkeeper_proto::{CreateMode, Perms};
use innkeeper_tree::applied::{Outcome, TicketResult};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::encoding::encode_command;
use innkeeper_tree::{Command, Digest, Identity, Operation, QueueEntry, Ticket, Tree, acl};
use proptest::prelude::*;

use super::*;
use crate::failure::{FailureKind, GuestFailure};
use crate::settings::Settings;

const BINDING: &str = "b";

/// A tree with one active recipe.
struct World {
    tree: Tree,
    settings: Arc<Settings>,
}

impl World {
    fn new(more: &str) -> World {
        let settings = Arc::new(Settings {
            data_bytes_max: 1_000,
            ..Settings::default()
        });
        let mut world = World {
            tree: Tree::new(),
            settings,
        };
        let digest = Digest([1; 32]);
        world.apply(Operation::RegisterModule {
            ticket: Ticket(1),
            digest,
            size: 1,
            world: innkeeper_tree::World::Recipe,
        });
        for folder in [paths::INNKEEPER, paths::BINDINGS, "/t"] {
            world.create(folder, "");
        }
        let document = format!(
            r#"{{"world":"recipe","module":"{digest}","watch":["/t/**"],"write":["/t/**"]{more}}}"#
        );
        let znode = paths::join(paths::BINDINGS, BINDING);
        world.create(&znode, &document);
        let view = world.tree.reader().view();
        let wish = view.bindings().get(BINDING).expect("a binding").wish;
        world.apply(Operation::Activate {
            ticket: Ticket(1),
            binding: BINDING.into(),
            wish,
        });
        world
    }

    fn apply(&mut self, operation: Operation) -> TicketResult {
        let applied = self.tree.apply(&Command {
            time_ms: 5_000,
            operation,
        });
        self.tree.publish();
        match applied.outcome {
            Outcome::Ticket { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn create(&mut self, path: &str, data: &str) {
        self.apply(Operation::Admin {
            ticket: Ticket(1),
            identities: vec![Identity {
                scheme: "super".into(),
                id: String::new(),
            }],
            write: Write::Single(WriteOp::Create {
                path: path.into(),
                data: Some(data.to_string().into()),
                acl: acl::open(),
                mode: CreateMode::Persistent,
                ttl_ms: 0,
            }),
            enforce_quota: false,
        });
    }

    fn overlay(&self) -> (Overlay, Zxid) {
        let view = self.tree.reader().view();
        let active = view.bindings().active(BINDING).expect("active");
        let (definition, activation) = (Arc::clone(&active.definition), active.activation);
        (
            Overlay::new(view, definition, Arc::clone(&self.settings), 5_000),
            activation,
        )
    }

    /// Places of children that the store has looked at.
    fn looked(&self) -> u64 {
        self.tree.reader().children_looked_at()
    }
}

fn names(overlay: &mut Overlay, path: &str) -> Done<Vec<String>> {
    let (mut names, _) = overlay.children(path)?;
    while overlay.run(&mut names).is_some() {}
    Ok(names.into_names())
}

fn scanned(overlay: &mut Overlay, path: &str) -> Vec<(String, Seen)> {
    let mut scan = overlay.scan(path).expect("granted");
    let mut found = Vec::new();
    loop {
        match overlay.step(&mut scan) {
            Step::Found(path, seen) => found.push((path, seen)),
            Step::Looked(_) => {}
            Step::End => return found,
        }
    }
}

fn limit_of<T: std::fmt::Debug>(done: Done<T>) -> GuestFailure {
    match done {
        Err(Stop::Limit(error)) => GuestFailure::from_wasm(&error),
        other => panic!("{other:?}"),
    }
}

fn op_of<T: std::fmt::Debug>(done: Done<T>) -> OpError {
    match done {
        Err(Stop::Op(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn sequential() -> CreateOptions {
    CreateOptions {
        sequential: true,
        ..CreateOptions::default()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Create(String),
    Sequential(String),
    Set(String),
    Delete(String),
    Get(String),
    Children(String),
}

fn any_path() -> impl Strategy<Value = String> {
    // Names around the slash in byte order: what is skipped in a listing must not be these.
    prop::collection::vec(prop::sample::select(vec!["a", "a-", "a0", "b"]), 0..4).prop_map(
        |names| {
            format!("/t/{}", names.join("/"))
                .trim_end_matches('/')
                .to_string()
        },
    )
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => any_path().prop_map(Op::Create),
        1 => any_path().prop_map(|path| Op::Sequential(paths::join(&path, "s-"))),
        1 => any_path().prop_map(Op::Set),
        3 => any_path().prop_map(Op::Delete),
        1 => any_path().prop_map(Op::Get),
        1 => any_path().prop_map(Op::Children),
    ]
}

/// What commit and overlay must agree on.
type Shown = (String, Vec<u8>, i32, i32, i32);

fn shown(path: &str, data: Option<Bytes>, stat: Stat) -> Shown {
    (
        path.to_string(),
        data.unwrap_or_default().to_vec(),
        stat.version,
        stat.cversion,
        stat.num_children,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_commit_gives_what_the_overlay_showed(
        base in prop::collection::vec(any_path(), 0..30),
        ops in prop::collection::vec(any_op(), 0..60),
    ) {
        let mut world = World::new("");
        for path in base {
            world.create(&path, "base");
        }
        let (mut overlay, activation) = world.overlay();
        let mut events = world.tree.reader().queue(BINDING, 100);
        overlay.begin(BINDING, &mut events).expect("small");
        let mut writes = 0;
        for op in ops {
            let done = match op {
                Op::Create(path) => {
                    overlay.create(&path, Bytes::from_static(b"new"), CreateOptions::default()).map(drop)
                }
                Op::Sequential(path) => {
                    overlay.create(&path, Bytes::new(), sequential()).map(drop)
                }
                Op::Set(path) => overlay.set(&path, Bytes::from_static(b"set"), None).map(drop),
                Op::Delete(path) => overlay.delete(&path, None),
                Op::Get(path) => {
                    let _ = overlay.get(&path);
                    continue;
                }
                Op::Children(path) => {
                    let _ = names(&mut overlay, &path);
                    continue;
                }
            };
            match done {
                Ok(()) => writes += 1,
                Err(Stop::Op(_)) => {}
                Err(Stop::Limit(error)) => panic!("{error:#}"),
            }
        }
        let before: Vec<Shown> = scanned(&mut overlay, "/t")
            .into_iter()
            .map(|(path, seen)| shown(&path, seen.data, seen.stat))
            .collect();
        let mut listed = BTreeMap::new();
        for (path, ..) in &before {
            listed.insert(path.clone(), names(&mut overlay, path).expect("it is there"));
        }
        let counted = overlay.weight.bytes();
        let transaction = overlay.finish(BINDING.into(), activation, 1);
        prop_assert_eq!(transaction.writes.len(), writes);
        let command = Command {
            time_ms: 5_000,
            operation: Operation::Transaction { ticket: Ticket(1), transaction },
        };
        let mut encoded = Vec::new();
        encode_command(&command, &mut encoded);
        // The envelope: a version, a tag, a time and a ticket.
        prop_assert!(counted + 32 >= encoded.len() as u64, "{} {}", counted, encoded.len());
        let result = world.apply(command.operation);
        prop_assert!(matches!(result, TicketResult::Committed), "{result:?}");
        let view = world.tree.reader().view();
        let mut after = Vec::new();
        view.scan("/t", &mut |path, znode| {
            after.push(shown(path, znode.data, znode.stat));
            ControlFlow::Continue(())
        });
        prop_assert_eq!(before, after);
        for (path, names) in listed {
            prop_assert_eq!(view.children(&path).expect("it is there").names, names);
        }
    }
}

/// Whether a znode has children is known by their count; nobody lists them to know.
#[test]
fn nothing_lists_children_but_who_asks_for_them() {
    let mut world = World::new("");
    for child in 0..1_000 {
        world.create(&format!("/t/{child}"), "");
    }
    let (mut overlay, _) = world.overlay();
    let before = world.looked();
    for _ in 0..3_000 {
        overlay
            .create("/t/s-", Bytes::new(), sequential())
            .expect("granted");
        assert_eq!(op_of(overlay.delete("/t", None)), OpError::NotEmpty);
        overlay.exists("/t").expect("granted");
    }
    overlay.delete("/t/7", None).expect("it has none");
    assert_eq!(world.looked(), before, "no child was looked at");
    // A scan looks at each child once, however much the transaction wrote.
    assert_eq!(scanned(&mut overlay, "/t").len(), 1 + 1_000 + 3_000 - 1);
    assert_eq!(world.looked(), before + 1_000);
    assert_eq!(names(&mut overlay, "/t").expect("granted").len(), 3_999);
    assert_eq!(world.looked(), before + 2_000);
}

/// Reads, ACLs, names and acknowledgements take part in both limits.
#[test]
fn whatever_a_transaction_holds_counts() {
    let path_of = |index: usize| format!("/t/{index:0100}");
    let full = |more: &str, step: &dyn Fn(&mut Overlay, usize) -> Done<()>| {
        let world = World::new(more);
        let (mut overlay, _) = world.overlay();
        overlay.begin(BINDING, &mut Vec::new()).expect("small");
        for index in 0..100 {
            if let Err(Stop::Limit(error)) = step(&mut overlay, index) {
                return (index, GuestFailure::from_wasm(&error));
            }
        }
        panic!("nothing was counted");
    };
    let bytes = r#","limits":{"transaction_bytes":4096}"#;
    let ops = r#","limits":{"transaction_ops":10}"#;
    let read: &dyn Fn(&mut Overlay, usize) -> Done<()> =
        &|overlay, index| overlay.get(&path_of(index)).map(drop);
    let call: &dyn Fn(&mut Overlay, usize) -> Done<()> =
        &|overlay, index| Ok(overlay.called(&path_of(index), Zxid(1))?);
    let write: &dyn Fn(&mut Overlay, usize) -> Done<()> = &|overlay, index| {
        let options = CreateOptions {
            acl: Some(vec![Acl::new(
                Perms::ALL,
                "digest",
                format!("a:{index:0200}"),
            )]),
            ..CreateOptions::default()
        };
        let path = format!("/t/{index}");
        overlay.create(&path, Bytes::new(), options).map(drop)
    };
    for (limits, step, most) in [
        (bytes, read, 40),
        (ops, read, 10),
        (bytes, call, 40),
        (ops, call, 10),
        (bytes, write, 20),
        (ops, write, 10),
    ] {
        let (passed, failure) = full(limits, step);
        assert_eq!(failure.kind, FailureKind::Output, "{limits}: {failure}");
        assert!((1..=most).contains(&passed), "{limits}: {passed}");
    }
    // Acknowledgements are there from the start.
    let world = World::new(ops);
    let (mut overlay, _) = world.overlay();
    let resync = QueueEntry::Resync {
        zxid: Zxid(1),
        depth: 0,
    };
    let mut events = vec![resync; 10];
    overlay.begin(BINDING, &mut events).expect("five of ten");
    assert_eq!(events.len(), 5);
    for index in 0..5 {
        overlay.get(&path_of(index)).expect("five of ten");
    }
    let failure = limit_of(overlay.get("/t/a"));
    assert!(failure.message.contains("transaction_ops"), "{failure}");
    // What was read once counts once.
    let world = World::new(ops);
    let (mut overlay, _) = world.overlay();
    for _ in 0..1_000 {
        overlay.get("/t/a").expect("one read");
    }
}

#[test]
fn a_guests_data_and_acls_are_held_to_what_a_client_may_write() {
    let world = World::new("");
    let (mut overlay, _) = world.overlay();
    let data = |len: usize| Bytes::from(vec![b'x'; len]);
    let plain = CreateOptions::default;
    overlay.create("/t/a", data(1_000), plain()).expect("small");
    assert_eq!(
        op_of(overlay.create("/t/b", data(1_001), plain())),
        OpError::BadArguments
    );
    assert_eq!(
        op_of(overlay.set("/t/a", data(1_001), None)),
        OpError::BadArguments
    );
    let mut create = |acl: Vec<Acl>| {
        let options = CreateOptions {
            acl: Some(acl),
            ..CreateOptions::default()
        };
        overlay.create("/t/c", Bytes::new(), options)
    };
    let long = |len: usize| Acl::new(Perms::ALL, "digest", format!("a:{}", "b".repeat(len)));
    for refused in [
        vec![],
        vec![long(1 << 20)],
        vec![long(600_000), long(600_001)],
        // Only what the node serves, and nobody is authenticated.
        vec![Acl::new(Perms::ALL, "sasl", "bob")],
        vec![Acl::new(Perms::ALL, "auth", "")],
    ] {
        assert_eq!(op_of(create(refused)), OpError::InvalidAcl);
    }
    create(vec![long(600_000), Acl::new(Perms::READ, "ip", "1.2.3.4")]).expect("below the bound");
}

/// Not even whether a parent exists is told of a path that is not granted.
#[test]
fn a_sequential_create_tells_nothing_of_what_is_not_granted() {
    let mut world = World::new("");
    world.create("/there", "");
    let (mut overlay, activation) = world.overlay();
    for path in ["/nowhere/at/all", "/there/n-", "/there/", "/n-"] {
        let created = overlay.create(path, Bytes::new(), sequential());
        assert_eq!(op_of(created), OpError::NoAuth, "{path}");
    }
    let transaction = overlay.finish(BINDING.into(), activation, 1);
    assert_eq!((transaction.reads, transaction.writes), (vec![], vec![]));
}
