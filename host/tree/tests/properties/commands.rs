//! Random commands: on few names, so that they meet.

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, Perms};
use innkeeper_tree::command::{Identity, Operation, SessionRequest, Sweep, Write, WriteOp};
use innkeeper_tree::group::{ClusterId, GroupChange, Incarnation, Member, Ports, Role};
use innkeeper_tree::transaction::{Ack, GuestWrite, Read, Transaction};
use innkeeper_tree::{Digest, SessionId, Ticket, World, Zxid, acl};
use proptest::prelude::*;

/// One step of a test of the whole state.
#[derive(Clone, Debug)]
pub enum Step {
    /// With the right numbers put in, or as it is.
    Apply(Operation, bool),
    Publish,
    View,
    Drop(usize),
    Capture,
    CaptureLate(Vec<Operation>),
    /// The rows of the checkpoint are read backwards, or in their order.
    Restart(bool),
    /// Sweeps what may go at a later time.
    Sweep {
        later_ms: usize,
        never_used_ms: u64,
    },
}

pub fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (any_operation(), prop::bool::weighted(0.8)).prop_map(|(operation, aimed)| Step::Apply(operation, aimed)),
        3 => Just(Step::Publish),
        2 => Just(Step::View),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Capture),
        1 => prop::collection::vec(any_operation(), 0..6).prop_map(Step::CaptureLate),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (0..40usize, 0..10u64)
            .prop_map(|(later_ms, never_used_ms)| Step::Sweep { later_ms, never_used_ms }),
    ];
    // Without modules and active bindings most of what guests do ends at the first check.
    let beginning = [
        register(World::Recipe),
        register(World::Assignor),
        register(World::Authorizer),
        super_create("/innkeeper", ""),
        super_create("/innkeeper/bindings", ""),
        create_session(SessionId(1)),
        create_session(SessionId(2)),
        super_create(
            "/innkeeper/bindings/x",
            &document(World::Recipe, "/**", "/**", 3),
        ),
        super_create(
            "/innkeeper/bindings/y",
            &document(World::Authorizer, "/a/**", "/b/**", 3),
        ),
        super_create(
            "/innkeeper/bindings/z",
            &document(World::Assignor, "", "", 3),
        ),
        activate("x"),
        activate("y"),
        activate("z"),
    ];
    prop::collection::vec(step, 0..80).prop_map(move |steps| {
        beginning
            .iter()
            .cloned()
            .map(|operation| Step::Apply(operation, true))
            .chain(steps)
            .collect()
    })
}

/// What clients do, sessions numbered rightly most of the time.
pub fn client_steps() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec((client_operation(), prop::bool::weighted(0.95)), 0..60).prop_map(
        |steps| {
            let mut next: std::collections::BTreeMap<SessionId, (u32, u64)> = Default::default();
            for number in 1..=2 {
                next.insert(SessionId(number), (0, 0));
            }
            let mut operations: Vec<Operation> = (1..=2)
                .map(|number| create_session(SessionId(number)))
                .collect();
            next.values_mut().for_each(|counts| *counts = (1, 0));
            for (mut operation, rightly) in steps {
                match &mut operation {
                    Operation::Session {
                        session,
                        attachment,
                        seq,
                        ..
                    } if rightly => {
                        if let Some(counts) = next.get_mut(session) {
                            counts.1 += 1;
                            (*attachment, *seq) = *counts;
                        }
                    }
                    Operation::Reattach { session, .. } => {
                        if let Some(counts) = next.get_mut(session) {
                            *counts = (counts.0 + 1, 0);
                        }
                    }
                    _ => {}
                }
                operations.push(operation);
            }
            operations
        },
    )
}

fn client_operation() -> BoxedStrategy<Operation> {
    let identities = identities().boxed();
    prop_oneof![
        20 => session_write(identities.clone(), Just(Some(Zxid(0)))),
        1 => (session(), any_small(), any_seq()).prop_map(|(session, attachment, seq)| Operation::Session {
            session, attachment, seq, request: SessionRequest::Close,
        }),
        2 => session().prop_map(create_session),
        1 => session().prop_map(create_local_session),
        1 => session().prop_map(reattach),
        2 => sweep(),
        1 => (session(), any_small()).prop_map(|(session, attachment)| Operation::ExpireSession { session, attachment }),
        2 => (identities, write()).prop_map(|(identities, write)| Operation::Admin { ticket: Ticket(0), identities, write, enforce_quota: false, }),
    ]
    .boxed()
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let policy = prop_oneof![Just(None), zxid().prop_map(Some), Just(Some(Zxid(0)))];
    prop_oneof![
        12 => session_write(identities().boxed(), policy),
        3 => client_operation(),
        2 => binding_write(),
        2 => (binding_name(), zxid()).prop_map(|(binding, wish)| Operation::Activate { ticket: Ticket(0), binding, wish }),
        6 => transaction().prop_map(|transaction| Operation::Transaction { ticket: Ticket(0), transaction }),
        1 => world().prop_map(register),
        1 => session().prop_map(reattach_with_a_wrong_password),
        1 => (0u32..3).prop_map(|level| Operation::RaiseLevel { level }),
        2 => group_change().prop_map(Operation::Group),
    ]
}

fn group_change() -> impl Strategy<Value = GroupChange> {
    let role = || prop::sample::select(&[Role::Voter, Role::Learner][..]);
    let folder = || (1u8..4).prop_map(|byte| Incarnation([byte; 16]));
    let address = || {
        prop::sample::select(&["", "a:1", "b:2", "A:01", "c:3", "d:4"][..]).prop_map(str::to_owned)
    };
    let member =
        (role(), address(), prop::option::of(folder())).prop_map(|(role, address, incarnation)| {
            Member {
                role,
                address,
                ports: Ports::default(),
                incarnation,
            }
        });
    let version = prop_oneof![3 => Just(None), 1 => zxid().prop_map(Some)];
    prop_oneof![
        prop::collection::btree_map(1u64..5, member, 0..4).prop_map(|members| {
            GroupChange::Found {
                cluster: ClusterId([7; 16]),
                members,
            }
        }),
        (1u64..5, prop::option::of(folder()), folder()).prop_map(|(node, was, incarnation)| {
            GroupChange::Admit {
                node,
                was,
                incarnation,
            }
        }),
        (
            version,
            prop::collection::btree_map(1u64..5, (role(), address()), 0..3),
            prop::collection::btree_set(1u64..5, 0..3),
        )
            .prop_map(|(version, joining, leaving)| GroupChange::Configure {
                ticket: Ticket(0),
                version,
                joining,
                leaving,
            }),
    ]
}

fn session_write(
    identities: BoxedStrategy<Vec<Identity>>,
    policy: impl Strategy<Value = Option<Zxid>>,
) -> impl Strategy<Value = Operation> {
    (
        session(),
        any_small(),
        any_seq(),
        identities,
        policy,
        write(),
        (any::<bool>(), any::<bool>()),
    )
        .prop_map(
            |(session, attachment, seq, identities, policy_zxid, write, flags)| {
                Operation::Session {
                    session,
                    attachment,
                    seq,
                    request: SessionRequest::Write {
                        identities,
                        policy_zxid,
                        write,
                        enforce_quota: flags.0,
                        upgrade_local: flags.1,
                    },
                }
            },
        )
}

fn create_session(session: SessionId) -> Operation {
    Operation::CreateSession {
        ticket: Ticket(0),
        session,
        password: [1; 16],
        timeout_ms: 1_000,
        local: false,
    }
}

fn create_local_session(session: SessionId) -> Operation {
    let mut operation = create_session(session);
    if let Operation::CreateSession { local, .. } = &mut operation {
        *local = true;
    }
    operation
}

/// Most of them find their znode as they say.
fn sweep() -> impl Strategy<Value = Operation> {
    (path(), zxid(), zxid())
        .prop_map(|(path, mzxid, pzxid)| Operation::Sweep(Sweep { path, mzxid, pzxid }))
}

fn reattach(session: SessionId) -> Operation {
    Operation::Reattach {
        ticket: Ticket(0),
        session,
        password: [1; 16],
        timeout_ms: 2_000,
    }
}

fn reattach_with_a_wrong_password(session: SessionId) -> Operation {
    let mut operation = reattach(session);
    if let Operation::Reattach { password, .. } = &mut operation {
        *password = [2; 16];
    }
    operation
}

fn digest(world: World) -> Digest {
    Digest([world as u8 + 1; 32])
}

fn register(world: World) -> Operation {
    Operation::RegisterModule {
        ticket: Ticket(0),
        digest: digest(world),
        size: 10,
        world,
    }
}

fn super_create(path: &str, data: &str) -> Operation {
    Operation::Admin {
        ticket: Ticket(0),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(WriteOp::Create {
            path: path.to_owned(),
            data: Some(Bytes::copy_from_slice(data.as_bytes())),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        }),
        enforce_quota: false,
    }
}

fn activate(binding: &str) -> Operation {
    Operation::Activate {
        ticket: Ticket(0),
        binding: binding.to_owned(),
        wish: Zxid(0),
    }
}

fn document(world: World, watch: &str, other: &str, queue: u64) -> String {
    let mut document =
        serde_json::json!({ "world": world.name(), "module": digest(world).to_string() });
    match world {
        World::Recipe => {
            document["watch"] = serde_json::json!([watch]);
            document["write"] = serde_json::json!([other]);
            document["limits"] = serde_json::json!({ "queue": queue });
        }
        World::Authorizer => {
            document["watch"] = serde_json::json!([watch]);
            document["policy"] = serde_json::json!([other]);
        }
        World::Assignor => {}
    }
    document.to_string()
}

fn binding_write() -> impl Strategy<Value = Operation> {
    let patterns = prop::sample::select(vec!["/a/**", "/b/*", "/**", "/a", "/a/b/**"]);
    let text = (world(), patterns.clone(), patterns, any::<bool>(), 1u64..4).prop_map(
        |(world, watch, other, broken, queue)| {
            let mut text = document(world, watch, other, queue);
            if broken && queue == 1 {
                text.pop();
            }
            text
        },
    );
    (binding_name(), text, any::<bool>(), 0..8).prop_map(|(name, document, set, delete)| {
        let path = format!("/innkeeper/bindings/{name}");
        if delete == 0 {
            let identities = vec![Identity {
                scheme: "super".to_owned(),
                id: String::new(),
            }];
            let write = Write::Single(WriteOp::Delete { path, version: -1 });
            return Operation::Admin {
                ticket: Ticket(0),
                identities,
                write,
                enforce_quota: false,
            };
        }
        let mut operation = super_create(&path, &document);
        if let (true, Operation::Admin { write, .. }) = (set, &mut operation) {
            *write = Write::Single(WriteOp::SetData {
                path,
                data: Some(document.into()),
                version: -1,
            });
        }
        operation
    })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let read = prop_oneof![
        path().prop_map(|path| Read::Absent { path }),
        (path(), zxid()).prop_map(|(path, mzxid)| Read::Node { path, mzxid }),
        (path(), zxid()).prop_map(|(path, pzxid)| Read::Children { path, pzxid }),
        (path(), zxid()).prop_map(|(path, seen)| Read::Subtree { path, seen }),
        (path(), zxid(), 0..2).prop_map(|(path, czxid, aversion)| Read::Acl {
            path,
            czxid,
            aversion
        }),
        session().prop_map(Read::Session),
    ];
    let write = prop_oneof![
        3 => (path(), data(), prop::option::of(list()), prop::option::weighted(0.3, session()))
            .prop_map(|(path, data, acl, owner)| GuestWrite::Create { path, data, acl, owner }),
        2 => (path(), data()).prop_map(|(path, data)| GuestWrite::Set { path, data }),
        1 => path().prop_map(|path| GuestWrite::Delete { path }),
    ];
    let ack = prop_oneof![
        zxid().prop_map(Ack::Resync),
        (path(), zxid()).prop_map(|(path, zxid)| Ack::Path { path, zxid }),
    ];
    (
        binding_name(),
        zxid(),
        prop_oneof![4 => 0u8..3, 1 => any::<u8>()],
        prop::option::weighted(0.4, read).prop_map(|read| read.into_iter().collect()),
        prop::collection::vec(write, 0..4),
        prop::collection::vec(ack, 0..2),
        prop::option::weighted(0.2, zxid()).prop_map(|zxid| {
            zxid.into_iter()
                .map(|zxid| ("z".to_owned(), zxid))
                .collect()
        }),
    )
        .prop_map(
            |(binding, activation, depth, reads, writes, acks, called)| Transaction {
                binding,
                activation,
                depth,
                reads,
                writes,
                acks,
                called,
            },
        )
}

fn world() -> impl Strategy<Value = World> {
    prop::sample::select(World::ALL.to_vec())
}

fn binding_name() -> impl Strategy<Value = String> {
    prop_oneof![15 => Just("x".to_owned()), 10 => "[xyz]", 1 => "\\PC{0,6}"]
}

/// Near enough to what is there to be right now and then.
fn zxid() -> impl Strategy<Value = Zxid> {
    prop_oneof![20 => (0u64..40).prop_map(Zxid), 1 => any::<u64>().prop_map(Zxid)]
}

fn session() -> impl Strategy<Value = SessionId> {
    (1u64..4).prop_map(SessionId)
}

fn any_small() -> impl Strategy<Value = u32> {
    prop_oneof![10 => Just(1u32), 2 => 0u32..4, 1 => any::<u32>()]
}

fn any_seq() -> impl Strategy<Value = u64> {
    prop_oneof![10 => 1u64..6, 1 => any::<u64>()]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => write_op().prop_map(Write::Single),
        1 => prop::collection::vec(write_op(), 0..5).prop_map(Write::Multi),
    ]
}

/// Boxed, as strategies are large and are built on the stack.
fn write_op() -> BoxedStrategy<WriteOp> {
    let mode = prop_oneof![
        6 => Just(CreateMode::Persistent),
        2 => Just(CreateMode::Ephemeral),
        2 => Just(CreateMode::PersistentSequential),
        2 => Just(CreateMode::EphemeralSequential),
        2 => Just(CreateMode::Container),
        2 => Just(CreateMode::PersistentTtl),
        1 => Just(CreateMode::PersistentSequentialTtl),
    ];
    let ttl_ms = prop_oneof![
        12 => 1i64..10,
        1 => Just(0xff_ffff_ffff),
        1 => Just(0x100_0000_0000),
        1 => any::<i64>(),
    ];
    let version = prop_oneof![3 => Just(-1), 2 => 0i32..3].boxed();
    prop_oneof![
        6 => (path(), data(), list(), mode, ttl_ms).prop_map(|(path, data, acl, mode, ttl_ms)| {
            let ttl_ms = if mode.is_ttl() || ttl_ms == 9 { ttl_ms } else { 0 };
            WriteOp::Create { path, data, acl, mode, ttl_ms }
        }),
        3 => (path(), version.clone()).prop_map(|(path, version)| WriteOp::Delete { path, version }),
        3 => (path(), data(), version.clone())
            .prop_map(|(path, data, version)| WriteOp::SetData { path, data, version }),
        1 => (path(), list(), version.clone()).prop_map(|(path, acl, version)| WriteOp::SetAcl { path, acl, version }),
        1 => (path(), version).prop_map(|(path, version)| WriteOp::Check { path, version }),
        1 => path().prop_map(|path| WriteOp::DeleteContainer { path }),
        1 => path().prop_map(|path| WriteOp::Refused { path, error: ErrorCode::Unimplemented }),
    ]
    .boxed()
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "(/[ab]){1,3}",
        2 => Just("/".to_owned()),
        1 => "/zookeeper(/quota|/config|/a)?",
        1 => "[/ab.\\x00é]{0,6}",
        1 => "\\PC{0,8}",
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        1 => Just(None),
        4 => prop::collection::vec(any::<u8>(), 0..3).prop_map(|data| Some(data.into())),
        1 => prop_oneof![Just(37usize), Just(38), Just(39), Just(70_000)]
            .prop_map(|len| Some(vec![7; len].into())),
    ]
}

fn list() -> impl Strategy<Value = Vec<Acl>> {
    prop_oneof![
        20 => Just(acl::open()),
        1 => Just(acl::read_only()),
        1 => Just(vec![Acl::new(Perms::ALL, "digest", "ann:x"), Acl::world(Perms::READ)]),
        1 => Just(vec![Acl::new(Perms::ALL, "auth", "")]),
        1 => Just(Vec::new()),
    ]
}

fn identities() -> impl Strategy<Value = Vec<Identity>> {
    let one = |scheme: &str, id: &str| {
        vec![Identity {
            scheme: scheme.to_owned(),
            id: id.to_owned(),
        }]
    };
    prop_oneof![
        3 => Just(one("ip", "127.0.0.1")),
        2 => Just(one("digest", "ann:x")),
        1 => Just(one("super", "")),
        1 => Just(Vec::new()),
    ]
}
