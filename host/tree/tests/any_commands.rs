//! Apply under arbitrary commands: total, deterministic, exact in its checkpoints, and unseen
//! by views taken before.
//!
//! Commands are drawn as steps, which are made out against the state as it is: so most of
//! them succeed, and what they touch overlaps. The odd ones (wrong numbers, no such things)
//! are drawn as well.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_tree::applied::Applied;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::encoding::{decode_command, encode_command};
use innkeeper_tree::owner::Owner;
use innkeeper_tree::transaction::{Ack, GuestWrite, Read, Transaction};
use innkeeper_tree::{
    Command, Digest, Identity, Operation, Record, SessionId, Table, Ticket, Tree, View, World, Zxid,
};
use proptest::prelude::*;

const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/d",
    "/a/bc",
    "/e",
    "/e/f",
    "/innkeeper",
    "/innkeeper/bindings",
    "/zookeeper/quota",
    "/policy",
];
const BINDINGS: [&str; 4] = ["r", "s", "t", "z"];
const DOCUMENTS: [(World, &str); 5] = [
    (
        World::Recipe,
        r#""watch":["/a/**"],"write":["/a/**","/e/*"],"limits":{"queue":3}"#,
    ),
    (
        World::Recipe,
        r#""watch":["/*","/a/*"],"read":["/**"],"write":["/**"]"#,
    ),
    (World::Assignor, r#""config":[1]"#),
    (
        World::Authorizer,
        r#""watch":["/a/**"],"policy":["/policy"]"#,
    ),
    (
        World::Authorizer,
        r#""watch":["/**"],"policy":["/e/**"],"on_failure":"allow""#,
    ),
];

fn module(world: World) -> Digest {
    Digest([world as u8; 32])
}

fn path(at: usize) -> String {
    PATHS[at % PATHS.len()].to_owned()
}

/// What to do; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Reattach(u8, bool),
    Close(u8),
    Expire(u8, u32),
    Write(u8, Vec<Op>, bool, u64),
    Admin(Op, bool),
    Document(usize, usize),
    Unbind(usize),
    Activate(usize),
    React(usize, Vec<(u8, usize)>, Vec<(u8, usize)>, usize, bool),
    RaiseLevel,
    Sweep(u64),
    Capture,
    Publish,
    Hold,
}

#[derive(Clone, Debug)]
enum Op {
    Create(usize, u8, i32),
    Delete(usize, i32),
    Set(usize, i32),
    SetAcl(usize, u8),
    Check(usize, i32),
    DeleteContainer(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..PATHS.len();
    let version = || prop_oneof![4 => Just(-1), 1 => 0..2i32];
    prop_oneof![
        5 => (at(), 0..8u8, 0..7i32).prop_map(|(at, name, mode)| Op::Create(at, name, mode)),
        2 => (at(), version()).prop_map(|(at, version)| Op::Delete(at, version)),
        3 => (at(), version()).prop_map(|(at, version)| Op::Set(at, version)),
        1 => (at(), 0..32u8).prop_map(|(at, perms)| Op::SetAcl(at, perms)),
        1 => (at(), version()).prop_map(|(at, version)| Op::Check(at, version)),
        1 => at().prop_map(Op::DeleteContainer),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..3u8;
    let binding = || 0..BINDINGS.len();
    let at = || (0..6u8, 0..PATHS.len());
    prop_oneof![
        4 => client().prop_map(Step::Connect),
        1 => (client(), any::<bool>()).prop_map(|(client, right)| Step::Reattach(client, right)),
        1 => client().prop_map(Step::Close),
        1 => (client(), 0..2u32).prop_map(|(client, back)| Step::Expire(client, back)),
        14 => (client(), prop::collection::vec(op(), 1..4), any::<bool>(), 0..8u64)
            .prop_map(|(client, ops, is_super, odd)| Step::Write(client, ops, is_super, odd)),
        1 => (op(), any::<bool>()).prop_map(|(op, is_super)| Step::Admin(op, is_super)),
        3 => (binding(), 0..DOCUMENTS.len()).prop_map(|(name, at)| Step::Document(name, at)),
        1 => binding().prop_map(Step::Unbind),
        3 => binding().prop_map(Step::Activate),
        8 => (
            binding(),
            prop::collection::vec(at(), 0..3),
            prop::collection::vec(at(), 0..3),
            0..5usize,
            any::<bool>(),
        )
            .prop_map(|(name, reads, writes, acks, stale)| {
                Step::React(name, reads, writes, acks, stale)
            }),
        1 => Just(Step::RaiseLevel),
        2 => (0..3_000u64).prop_map(Step::Sweep),
        2 => Just(Step::Capture),
        4 => Just(Step::Publish),
        1 => Just(Step::Hold),
    ]
}

/// A session's counters, as its client keeps them.
#[derive(Clone, Copy, Default)]
struct Client {
    /// Never used again once it ended, as ids are random.
    session: u64,
    attachment: u32,
    seq: u64,
}

struct House {
    tree: Tree,
    /// What captures wrote so far.
    store: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    clients: [Client; 3],
    time_ms: u64,
    log: Vec<Command>,
}

fn sorted(records: impl Iterator<Item = Record>, store: &mut BTreeMap<(Table, Vec<u8>), Vec<u8>>) {
    for Record { table, key, value } in records {
        match value {
            Some(value) => store.insert((table, key), value),
            None => store.remove(&(table, key)),
        };
    }
}

fn restore(store: &BTreeMap<(Table, Vec<u8>), Vec<u8>>) -> Tree {
    let rows = store.iter().map(|((table, key), value)| {
        Ok::<_, Infallible>(Record {
            table: *table,
            key: key.clone(),
            value: Some(value.clone()),
        })
    });
    Tree::restore(rows).expect("what was captured is restored")
}

/// Everything that a view shows, but for the lists of ephemerals, which know only what is still
/// there; [`check_view`] looks at those.
fn dump(view: &View) -> String {
    let mut out = format!("{:?} {:?}\n", view.zxid(), view.level());
    view.scan("/", &mut |path, znode| {
        out += &format!("{path} {znode:?} {:?}\n", view.owner(path));
        ControlFlow::Continue(())
    });
    for session in view.sessions() {
        out += &format!("{session:?}\n");
    }
    for binding in view.bindings().iter() {
        out += &format!("{binding:?}\n");
    }
    out + &format!("{:?}", view.modules())
}

/// Counts, sizes and ephemerals of the newest view agree with each other.
fn check_view(view: &View) {
    let mut owned: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let (mut bytes, mut swept) = (0, 0);
    let mut children: BTreeMap<String, usize> = BTreeMap::new();
    view.scan("/", &mut |path, znode| {
        let stat = znode.stat;
        assert_eq!(view.exists(path).expect("it was just scanned").0, stat);
        let names = view.children(path).expect("it was just scanned").names;
        assert_eq!(names.len(), stat.num_children as usize, "{path}");
        assert!(names.is_sorted());
        children.insert(path.to_owned(), names.len());
        let mut below = 0;
        view.scan(path, &mut |_, _| {
            below += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(view.descendant_count(path), Some(below - 1), "{path}");
        bytes += path.len() + znode.data.map_or(0, |data| data.len());
        let owner = view.owner(path).expect("it was just scanned");
        swept += usize::from(owner.is_swept());
        assert_eq!(owner.shown(), stat.ephemeral_owner);
        if let Owner::Session(owner) = owner {
            owned.entry(owner.0).or_default().push(path.to_owned());
        }
        assert!(
            stat.mzxid <= view.zxid().0 as i64 && stat.czxid <= stat.mzxid,
            "{path}"
        );
        ControlFlow::Continue(())
    });
    assert_eq!(
        children.values().sum::<usize>(),
        children.len() - 1,
        "all but the root is a child"
    );
    assert_eq!(view.znode_count(), children.len());
    assert_eq!(view.swept_count(), swept);
    assert_eq!(view.descendant_count("/nowhere"), None);
    assert_eq!(view.data_bytes(), bytes as u64);
    let mut ephemerals = 0;
    for session in view.sessions() {
        let mut paths = owned.remove(&session.session.0).unwrap_or_default();
        paths.sort();
        assert_eq!(view.ephemerals(session.session), paths);
        ephemerals += paths.len();
    }
    assert_eq!(view.ephemeral_count(), ephemerals);
    assert!(owned.is_empty(), "no session, no ephemerals: {owned:?}");
}

impl House {
    fn new() -> Self {
        Self {
            tree: Tree::new(),
            store: BTreeMap::new(),
            clients: [1, 2, 3].map(|session| Client {
                session,
                ..Client::default()
            }),
            time_ms: 1,
            log: Vec::new(),
        }
    }

    /// Applies a command that has been through the log.
    fn apply(&mut self, operation: Operation) -> Applied {
        self.time_ms += 1;
        let command = Command {
            time_ms: self.time_ms,
            operation,
        };
        let mut bytes = Vec::new();
        encode_command(&command, &mut bytes);
        let command = decode_command(bytes.into()).expect("what was encoded is decoded");
        let before = self.tree.last_zxid();
        let applied = self.tree.apply(&command);
        assert_eq!(applied.zxid, before.next());
        self.log.push(command);
        applied
    }

    fn capture(&mut self) {
        self.tree.publish();
        let capture = self.tree.capture();
        assert_eq!(capture.zxid(), self.tree.last_zxid());
        sorted(capture.records(), &mut self.store);
    }

    fn view(&self) -> View {
        self.tree.reader().view()
    }

    fn session(&self, client: u8) -> SessionId {
        SessionId(self.clients[usize::from(client)].session)
    }

    fn op(&self, op: &Op) -> WriteOp {
        match op {
            Op::Create(at, name, mode) => WriteOp::Create {
                path: match PATHS[at % PATHS.len()] {
                    "/" => format!(
                        "/{}",
                        ["a", "e", "innkeeper", "policy"][usize::from(*name) % 4]
                    ),
                    parent => format!("{parent}/{}", ["b", "c", "d", "f"][usize::from(*name) % 4]),
                },
                data: (*name > 2).then(|| Bytes::from(vec![b'x'; usize::from(*name) * 9])),
                acl: vec![Acl::world(Perms::ALL)],
                mode: CreateMode::from_i32(*mode).expect("one of the seven modes"),
                ttl_ms: if *mode > 4 { 1_000 } else { 0 },
            },
            Op::Delete(at, version) => WriteOp::Delete {
                path: path(*at),
                version: *version,
            },
            Op::Set(at, version) => WriteOp::SetData {
                path: path(*at),
                data: Some(Bytes::from(format!("{}", self.time_ms))),
                version: *version,
            },
            Op::SetAcl(at, perms) => WriteOp::SetAcl {
                path: path(*at),
                acl: vec![Acl::world(Perms(i32::from(*perms)))],
                version: -1,
            },
            Op::Check(at, version) => WriteOp::Check {
                path: path(*at),
                version: *version,
            },
            Op::DeleteContainer(at) => WriteOp::DeleteContainer { path: path(*at) },
        }
    }

    fn request(&mut self, client: u8, request: SessionRequest, odd: u64) -> Applied {
        let known = &mut self.clients[usize::from(client)];
        known.seq += 1;
        // Now and then a resend, a gap or an old attachment.
        let (attachment, seq) = match odd {
            0 => (known.attachment, known.seq.saturating_sub(1)),
            1 => (known.attachment.wrapping_sub(1), known.seq),
            _ => (known.attachment, known.seq),
        };
        let applied = self.apply(Operation::Session {
            session: self.session(client),
            attachment,
            seq,
            request,
        });
        let done = format!("{:?}", applied.outcome).contains("Done");
        if !done {
            self.clients[usize::from(client)].seq -= 1;
        }
        applied
    }

    fn run(&mut self, step: &Step, held: &mut Vec<(View, String)>) {
        let super_user = || Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        };
        match step {
            Step::Connect(client) => {
                self.tree.publish();
                let session = self.session(*client);
                if self.view().session(session).is_none() {
                    self.clients[usize::from(*client)] = Client {
                        session: session.0 + 3,
                        attachment: 1,
                        seq: 0,
                    };
                }
                // An id that is taken is refused.
                self.apply(Operation::CreateSession {
                    ticket: Ticket(1),
                    session: self.session(*client),
                    password: [*client; 16],
                    timeout_ms: 1000,
                    local: false,
                });
                self.tree.publish();
            }
            Step::Reattach(client, right) => {
                let session = self.session(*client);
                self.apply(Operation::Reattach {
                    ticket: Ticket(1),
                    session,
                    password: if *right { [*client; 16] } else { [99; 16] },
                    timeout_ms: 2000,
                });
                self.tree.publish();
                if let Some(info) = self.view().session(session) {
                    let known = &mut self.clients[usize::from(*client)];
                    if known.attachment != info.attachment {
                        known.attachment = info.attachment;
                        known.seq = 0;
                    }
                }
            }
            Step::Close(client) => {
                self.request(*client, SessionRequest::Close, 9);
                self.tree.publish();
            }
            Step::Expire(client, back) => {
                let attachment = self.clients[usize::from(*client)].attachment;
                self.apply(Operation::ExpireSession {
                    session: self.session(*client),
                    attachment: attachment.wrapping_sub(*back),
                });
                self.tree.publish();
            }
            Step::Write(client, ops, is_super, odd) => {
                let mut ops: Vec<WriteOp> = ops.iter().map(|op| self.op(op)).collect();
                let write = match ops.len() {
                    1 => Write::Single(ops.remove(0)),
                    _ => Write::Multi(ops),
                };
                let identities = if *is_super {
                    vec![super_user()]
                } else {
                    Vec::new()
                };
                let request = SessionRequest::Write {
                    identities,
                    policy_zxid: is_super.then_some(Zxid(0)).filter(|_| *odd > 5),
                    write,
                    enforce_quota: false,
                    upgrade_local: false,
                };
                self.request(*client, request, *odd);
            }
            Step::Admin(op, is_super) => {
                let write = Write::Single(self.op(op));
                self.apply(Operation::Admin {
                    ticket: Ticket(1),
                    identities: if *is_super {
                        vec![super_user()]
                    } else {
                        Vec::new()
                    },
                    write,
                    enforce_quota: false,
                });
            }
            Step::Document(name, at) => {
                let (world, rest) = DOCUMENTS[*at];
                let module = module(world);
                let document = format!(r#"{{"world":"{world}","module":"{module}",{rest}}}"#);
                let path = format!("/innkeeper/bindings/{}", BINDINGS[*name]);
                let data = Some(Bytes::from(document));
                self.apply(Operation::RegisterModule {
                    ticket: Ticket(1),
                    digest: module,
                    size: 1,
                    world,
                });
                self.tree.publish();
                let write = match self.view().exists(&path) {
                    None => WriteOp::Create {
                        path,
                        data,
                        acl: vec![Acl::world(Perms::ALL)],
                        mode: CreateMode::Persistent,
                        ttl_ms: 0,
                    },
                    Some(_) => WriteOp::SetData {
                        path,
                        data,
                        version: -1,
                    },
                };
                self.apply(Operation::Admin {
                    ticket: Ticket(1),
                    identities: vec![super_user()],
                    write: Write::Single(write),
                    enforce_quota: false,
                });
            }
            Step::Unbind(name) => {
                let path = format!("/innkeeper/bindings/{}", BINDINGS[*name]);
                self.apply(Operation::Admin {
                    ticket: Ticket(1),
                    identities: vec![super_user()],
                    write: Write::Single(WriteOp::Delete { path, version: -1 }),
                    enforce_quota: false,
                });
            }
            Step::Activate(name) => {
                self.tree.publish();
                let binding = BINDINGS[*name].to_owned();
                let wish = self
                    .view()
                    .bindings()
                    .get(&binding)
                    .map(|binding| binding.wish);
                self.apply(Operation::Activate {
                    ticket: Ticket(1),
                    binding,
                    wish: wish.unwrap_or_default(),
                });
            }
            Step::React(name, reads, writes, acks, stale) => {
                if !stale {
                    self.tree.publish();
                }
                let transaction = self.reaction(BINDINGS[*name], reads, writes, *acks);
                self.apply(Operation::Transaction {
                    ticket: Ticket(1),
                    transaction,
                });
            }
            Step::RaiseLevel => {
                let level = self.tree.level() + 1;
                self.apply(Operation::RaiseLevel { level });
            }
            Step::Sweep(later_ms) => {
                self.tree.publish();
                let view = self.view();
                for sweep in view.sweepable(self.time_ms + later_ms, 100, usize::MAX) {
                    let path = sweep.path.clone();
                    self.apply(Operation::Sweep(sweep.clone()));
                    // The second time it is not as it was seen.
                    self.apply(Operation::Sweep(sweep));
                    self.tree.publish();
                    assert!(self.view().exists(&path).is_none(), "{path}");
                }
            }
            Step::Capture => self.capture(),
            Step::Publish => self.tree.publish(),
            Step::Hold => {
                let view = self.view();
                let dump = dump(&view);
                held.push((view, dump));
            }
        }
    }

    fn reaction(
        &self,
        binding: &str,
        reads: &[(u8, usize)],
        writes: &[(u8, usize)],
        acks: usize,
    ) -> Transaction {
        let acks: Vec<Ack> = self
            .tree
            .reader()
            .queue(binding, acks)
            .iter()
            .map(|entry| entry.ack())
            .collect();
        let view = self.view();
        let activation = |name: &str| {
            let active = view.bindings().active(name);
            active.map(|active| active.activation).unwrap_or_default()
        };
        let reads = reads.iter().map(|(kind, at)| {
            let path = path(*at);
            let Some((stat, _)) = view.exists(&path) else {
                return Read::Absent { path };
            };
            match kind {
                0 => Read::Node {
                    path,
                    mzxid: Zxid(stat.mzxid as u64),
                },
                1 => Read::Acl {
                    path,
                    czxid: Zxid(stat.czxid as u64),
                    aversion: stat.aversion,
                },
                2 => Read::Children {
                    path,
                    pzxid: Zxid(stat.pzxid as u64),
                },
                3 => Read::Subtree {
                    path,
                    seen: view.zxid(),
                },
                _ => Read::Session(self.session(*kind % 3)),
            }
        });
        let mut reads: Vec<Read> = reads.collect();
        let owner = self.session(1);
        let writes = writes
            .iter()
            .map(|(kind, at)| match kind {
                0 | 1 => GuestWrite::Create {
                    path: format!("{}/{}", PATHS[*at], ["b", "c", "d", "g"][*at % 4]),
                    data: Some(Bytes::from_static(b"guest")),
                    acl: None,
                    owner: (*kind == 1).then(|| {
                        reads.push(Read::Session(owner));
                        owner
                    }),
                },
                2 | 3 => GuestWrite::Set {
                    path: path(*at),
                    data: Some(Bytes::from_static(b"guest")),
                },
                _ => GuestWrite::Delete { path: path(*at) },
            })
            .collect();
        let called = ["s", "t"].map(|name| (name.to_owned(), activation(name)));
        Transaction {
            binding: binding.to_owned(),
            activation: activation(binding),
            depth: 1,
            reads,
            writes,
            acks,
            called: called
                .into_iter()
                .filter(|(_, activation)| activation.0 > 0)
                .collect(),
        }
    }
}

fn seeded() -> House {
    let mut house = House::new();
    for step in [
        Step::Connect(0),
        Step::Connect(1),
        Step::Connect(2),
        Step::Write(0, vec![Op::Create(0, 0, 0)], true, 9),
        Step::Write(0, vec![Op::Create(0, 1, 0)], true, 9),
        Step::Write(0, vec![Op::Create(0, 2, 0)], true, 9),
        Step::Admin(Op::Create(0, 3, 0), true),
        Step::Publish,
    ] {
        house.run(&step, &mut Vec::new());
    }
    let bindings = WriteOp::Create {
        path: "/innkeeper/bindings".to_owned(),
        data: None,
        acl: vec![Acl::world(Perms::ALL)],
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    };
    house.apply(Operation::Admin {
        ticket: Ticket(1),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(bindings),
        enforce_quota: false,
    });
    for step in [
        Step::Document(0, 0),
        Step::Activate(0),
        Step::Document(1, 2),
        Step::Activate(1),
        Step::Document(2, 1),
        Step::Activate(2),
    ] {
        house.run(&step, &mut Vec::new());
    }
    house.tree.publish();
    assert!(
        ["r", "s", "t"]
            .iter()
            .all(|name| house.view().bindings().active(name).is_some())
    );
    house
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn checkpoints_are_exact_and_views_hold_still(
        steps in prop::collection::vec(step(), 1..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut house = seeded();
        let mut held = Vec::new();
        let cut = cut.index(steps.len());
        for step in &steps[..cut] {
            house.run(step, &mut held);
        }
        house.capture();
        let at_cut = house.log.len();
        let mut restored = restore(&house.store);
        prop_assert_eq!(restored.hash(), house.tree.hash());
        prop_assert_eq!(restored.last_zxid(), house.tree.last_zxid());
        prop_assert_eq!(dump(&restored.reader().view()), dump(&house.view()));

        for step in &steps[cut..] {
            house.run(step, &mut held);
        }
        house.capture();
        check_view(&house.view());
        check_view(&restore(&house.store).reader().view());
        for (view, dumped) in held {
            prop_assert_eq!(dump(&view), dumped);
        }

        // What was restored goes on like what was never stopped, and like a tree of another
        // node that applies the same log in other batches.
        let mut replayed = Tree::new();
        for (i, command) in house.log.iter().enumerate() {
            let first = replayed.apply(command);
            if i >= at_cut {
                let again = restored.apply(command);
                prop_assert_eq!(format!("{first:?}"), format!("{again:?}"));
            }
        }
        for mut tree in [restored, replayed] {
            tree.publish();
            prop_assert_eq!(tree.hash(), house.tree.hash());
            prop_assert_eq!(tree.time_ms(), house.tree.time_ms());
            prop_assert_eq!(dump(&tree.reader().view()), dump(&house.view()));
            for name in BINDINGS {
                let queue = |tree: &Tree| tree.reader().queue(name, usize::MAX);
                prop_assert_eq!(queue(&tree), queue(&house.tree));
            }
        }

        // Captures that follow each other add up to one whole one.
        let mut whole = BTreeMap::new();
        let mut last = restore(&house.store);
        prop_assert_eq!(last.capture().records().count(), 0, "what was just restored has no changes");
        let mut all = Tree::new();
        for command in &house.log {
            all.apply(command);
        }
        all.publish();
        sorted(all.capture().records(), &mut whole);
        prop_assert_eq!(&whole, &house.store);
    }
}
