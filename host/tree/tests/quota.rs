//! Quotas: statistics agree with a recount after whatever happens, limits hold, and neither
//! depends on restarts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;
use innkeeper_proto::{Acl, CreateMode, ErrorCode, Perms, Stat};
use innkeeper_tree::applied::{Applied, Outcome, OverQuota, Quantity, Reply, TicketResult};
use innkeeper_tree::command::{SessionRequest, Sweep, Write, WriteOp};
use innkeeper_tree::transaction::{GuestWrite, Transaction};
use innkeeper_tree::{Command, Identity, Operation, Record, SessionId, Table, Ticket, Tree, Zxid};
use proptest::prelude::*;

/// Two subtrees with quotas, and one without.
const PATHS: [&str; 9] = [
    "/a", "/a/b", "/a/c", "/a/b/d", "/b", "/b/b", "/b/c", "/n", "/n/a",
];

struct House {
    tree: Tree,
    store: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    seq: u64,
    session: u64,
}

fn create(path: &str, bytes: usize, mode: CreateMode) -> WriteOp {
    WriteOp::Create {
        path: path.to_owned(),
        data: Some(Bytes::from(vec![b'x'; bytes])),
        acl: vec![Acl::world(Perms::ALL)],
        mode,
        ttl_ms: i64::from(mode.is_ttl()),
    }
}

fn create_text(path: &str, text: &str) -> WriteOp {
    WriteOp::Create {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(text.as_bytes())),
        acl: vec![Acl::world(Perms::ALL)],
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    }
}

fn set(path: &str, bytes: usize) -> WriteOp {
    WriteOp::SetData {
        path: path.to_owned(),
        data: Some(Bytes::from(vec![b'y'; bytes])),
        version: -1,
    }
}

fn delete(path: &str) -> WriteOp {
    WriteOp::Delete {
        path: path.to_owned(),
        version: -1,
    }
}

impl House {
    fn new() -> House {
        let mut house = House {
            tree: Tree::new(),
            store: BTreeMap::new(),
            seq: 0,
            session: 0,
        };
        house.connect();
        house
    }

    fn apply(&mut self, operation: Operation) -> Applied {
        let applied = self.tree.apply(&Command {
            time_ms: 1,
            operation,
        });
        self.tree.publish();
        applied
    }

    fn connect(&mut self) {
        (self.session, self.seq) = (self.session + 1, 0);
        self.apply(Operation::CreateSession {
            ticket: Ticket(1),
            session: SessionId(self.session),
            password: [0; 16],
            timeout_ms: 1_000,
            local: false,
        });
    }

    fn write(&mut self, write: Write) -> Applied {
        self.seq += 1;
        self.apply(Operation::Session {
            session: SessionId(self.session),
            attachment: 1,
            seq: self.seq,
            request: SessionRequest::Write {
                identities: Vec::new(),
                policy_zxid: None,
                write,
                enforce_quota: true,
                upgrade_local: false,
            },
        })
    }

    /// As an admin, whose answer is the easiest to look at.
    fn admin(&mut self, write: Write, enforce_quota: bool) -> (Reply, Vec<OverQuota>) {
        let applied = self.apply(Operation::Admin {
            ticket: Ticket(1),
            identities: Vec::new(),
            write,
            enforce_quota,
        });
        match applied.outcome {
            Outcome::Ticket {
                result: TicketResult::Admin(reply),
                ..
            } => (reply, applied.over_quota),
            other => panic!("{other:?}"),
        }
    }

    fn must(&mut self, operation: WriteOp) {
        let (reply, _) = self.admin(Write::Single(operation.clone()), false);
        assert!(
            matches!(reply, Reply::Single(Ok(_))),
            "{operation:?}: {reply:?}"
        );
    }

    fn error(&mut self, operation: WriteOp) -> Option<ErrorCode> {
        match self.admin(Write::Single(operation), true).0 {
            Reply::Single(result) => result.err(),
            other => panic!("{other:?}"),
        }
    }

    /// Limits and statistics for a path, as ZooKeeper's `setquota` makes them.
    fn quota(&mut self, path: &str, limits: &str) {
        let mut at = "/zookeeper/quota".to_owned();
        for segment in path[1..].split('/') {
            at = format!("{at}/{segment}");
            if self.tree.reader().view().exists(&at).is_none() {
                self.must(create_text(&at, ""));
            }
        }
        self.must(create_text(&format!("{at}/zookeeper_limits"), limits));
        self.must(create_text(&format!("{at}/zookeeper_stats"), "whatever"));
    }

    fn stats(&self, path: &str) -> String {
        let (text, _) = self.read(&format!("/zookeeper/quota{path}/zookeeper_stats"));
        text
    }

    fn read(&self, path: &str) -> (String, Stat) {
        let znode = self.tree.reader().view().get(path).expect("it is there");
        let data = znode.data.unwrap_or_default();
        (String::from_utf8_lossy(&data).into_owned(), znode.stat)
    }

    fn recount(&self, root: &str) -> String {
        let (mut count, mut bytes) = (0, 0);
        self.tree.reader().view().scan(root, &mut |_, znode| {
            count += 1;
            bytes += znode.data.map_or(0, |data| data.len());
            ControlFlow::Continue(())
        });
        format!("count={count},bytes={bytes}")
    }

    fn restart(&mut self) {
        for Record { table, key, value } in self.tree.capture().records() {
            match value {
                Some(value) => self.store.insert((table, key), value),
                None => self.store.remove(&(table, key)),
            };
        }
        let rows = self.store.iter().map(|((table, key), value)| {
            Ok::<_, Infallible>(Record {
                table: *table,
                key: key.clone(),
                value: Some(value.clone()),
            })
        });
        let restored = Tree::restore(rows).expect("what was captured is restored");
        assert_eq!(restored.hash(), self.tree.hash());
        self.tree = restored;
    }
}

#[test]
fn statistics_begin_with_a_count_and_leave_the_stat_alone() {
    let mut house = House::new();
    for path in ["/a", "/a/b"] {
        house.must(create(path, 3, CreateMode::Persistent));
    }
    house.quota("/a", "count=10,bytes=-1");
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    let (text, before) = house.read(stats);
    assert_eq!(text, "count=2,bytes=6");
    house.must(create("/a/b/c", 4, CreateMode::Persistent));
    house.must(set("/a/b", 1));
    house.must(delete("/a/b/c"));
    house.must(create("/elsewhere", 100, CreateMode::Persistent));
    let (text, after) = house.read(stats);
    assert_eq!(text, "count=2,bytes=4");
    assert_eq!(after, before);

    // What stands there beside the two numbers stays, behind them.
    house.must(WriteOp::SetData {
        path: stats.to_owned(),
        data: Some(Bytes::from_static(b"x=7;bytes=4,count=2")),
        version: -1,
    });
    house.must(create("/a/d", 1, CreateMode::Persistent));
    assert_eq!(house.stats("/a"), "count=3,bytes=5=;x=7");

    // Without limits nothing is counted any more.
    house.must(delete("/zookeeper/quota/a/zookeeper_limits"));
    house.must(delete("/a/d"));
    assert_eq!(house.stats("/a"), "count=3,bytes=5=;x=7");
}

#[test]
fn only_the_deepest_quota_counts_a_change() {
    let mut house = House::new();
    for path in ["/a", "/a/b"] {
        house.must(create(path, 1, CreateMode::Persistent));
    }
    house.quota("/a/b", "count=5");
    house.quota("/a", "count=5");
    house.must(create("/a/b/c", 1, CreateMode::Persistent));
    house.must(create("/a/d", 1, CreateMode::Persistent));
    assert_eq!(house.stats("/a"), "count=3,bytes=3");
    assert_eq!(house.stats("/a/b"), "count=2,bytes=2");
}

#[test]
fn hard_limits_refuse_and_soft_ones_are_reported() {
    let mut house = House::new();
    house.must(create("/a", 0, CreateMode::Persistent));
    house.quota("/a", "count=2,bytes=5=;byteHardLimit=10");
    let over = |of, wanted, limit, hard| OverQuota {
        path: "/a".into(),
        of,
        wanted,
        limit,
        hard,
    };
    let ask = |house: &mut House, operation| house.admin(Write::Single(operation), true);
    let (reply, met) = ask(&mut house, create("/a/b", 4, CreateMode::Persistent));
    assert!(matches!(reply, Reply::Single(Ok(_))) && met.is_empty());
    // The soft limit of bytes does not count beside a hard one.
    let (reply, met) = ask(&mut house, create("/a/c", 6, CreateMode::Persistent));
    assert!(matches!(reply, Reply::Single(Ok(_))), "{reply:?}");
    assert_eq!(met, [over(Quantity::Count, 3, 2, false)]);
    let (reply, met) = ask(&mut house, create("/a/d", 1, CreateMode::Persistent));
    assert!(matches!(
        reply,
        Reply::Single(Err(ErrorCode::QuotaExceeded))
    ));
    assert_eq!(
        met,
        [
            over(Quantity::Count, 4, 2, false),
            over(Quantity::Bytes, 11, 10, true)
        ]
    );
    assert_eq!(house.error(set("/a/b", 5)), Some(ErrorCode::QuotaExceeded));
    // The quota is asked before the version, and after whether it can be at all.
    let mut stale = set("/a/b", 5);
    if let WriteOp::SetData { version, .. } = &mut stale {
        *version = 9;
    }
    assert_eq!(house.error(stale), Some(ErrorCode::QuotaExceeded));
    let twice = create("/a/b", 9, CreateMode::Persistent);
    assert_eq!(house.error(twice), Some(ErrorCode::NodeExists));
    assert_eq!(house.error(set("/a/b", 4)), None);
    assert_eq!(house.stats("/a"), "count=3,bytes=10");
    house.must(set("/a/b", 50));
    assert_eq!(house.error(set("/a/b", 40)), Some(ErrorCode::QuotaExceeded));
    assert_eq!(house.error(delete("/a/b")), None);
    assert_eq!(house.stats("/a"), "count=2,bytes=6");
}

/// A multi is judged by what was there before it, as a whole, as in ZooKeeper.
#[test]
fn a_multi_is_held_against_the_limits_before_it() {
    let mut house = House::new();
    house.must(create("/a", 0, CreateMode::Persistent));
    house.quota("/a", "count=-1,bytes=-1=;countHardLimit=2");
    let both = ["/a/b", "/a/c"].map(|path| create(path, 0, CreateMode::Persistent));
    let (reply, _) = house.admin(Write::Multi(both.to_vec()), true);
    assert!(matches!(reply, Reply::Multi(_)), "{reply:?}");
    assert_eq!(house.stats("/a"), "count=3,bytes=0");
    let third = create("/a/d", 0, CreateMode::Persistent);
    let room = vec![delete("/a/b"), delete("/a/c"), third];
    let (reply, _) = house.admin(Write::Multi(room), true);
    let refused = Reply::MultiFailed {
        index: 2,
        error: ErrorCode::QuotaExceeded,
    };
    assert_eq!(reply, refused);
    assert_eq!(house.stats("/a"), "count=3,bytes=0");
}

#[test]
fn limits_that_cannot_be_read_fail_the_write_and_harm_nothing_else() {
    let mut house = House::new();
    house.must(create("/a", 0, CreateMode::Persistent));
    house.quota("/a", "nonsense");
    let child = create("/a/b", 1, CreateMode::Persistent);
    assert_eq!(
        house.error(child.clone()),
        Some(ErrorCode::MarshallingError)
    );
    house.must(child);
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    house.must(set(stats, 3));
    house.must(delete("/a/b"));
    assert_eq!(house.stats("/a"), "yyy");
    // A text of more than 4 KiB is neither statistics nor limits, though its numbers be good.
    let long = format!("count=1,bytes=1,{}=1", "x".repeat(4096));
    let text = |path: &str, text: &str| WriteOp::SetData {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(text.as_bytes())),
        version: -1,
    };
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let child = create("/a/b", 1, CreateMode::Persistent);
    house.must(text(limits, "count=50"));
    house.must(text(stats, &long));
    house.must(child.clone());
    assert_eq!(house.stats("/a"), long);
    house.must(text(stats, "count=2,bytes=1"));
    house.must(delete("/a/b"));
    assert_eq!(house.error(child.clone()), None);
    house.must(delete("/a/b"));
    house.must(text(limits, &long));
    assert_eq!(house.error(child), Some(ErrorCode::MarshallingError));
    // A quota of the root is none.
    house.must(create_text("/zookeeper/quota/zookeeper_limits", "count=0"));
    house.must(create_text("/zookeeper/quota/zookeeper_stats", ""));
    assert_eq!(house.error(create("/b", 1, CreateMode::Persistent)), None);
    house.must(delete("/zookeeper/quota/zookeeper_limits"));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<WriteOp>),
    Quota(bool, i64),
    Unquota(bool),
    Sweep(usize),
    Guest(Vec<GuestWrite>),
    Session,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::sample::select(&PATHS[..]);
    let mode = prop::sample::select(
        &[
            CreateMode::Persistent,
            CreateMode::Persistent,
            CreateMode::Ephemeral,
            CreateMode::Container,
            CreateMode::PersistentTtl,
        ][..],
    );
    let operation = prop_oneof![
        5 => (path(), 0..50usize, mode).prop_map(|(path, bytes, mode)| create(path, bytes, mode)),
        2 => (path(), 0..50usize).prop_map(|(path, bytes)| set(path, bytes)),
        2 => path().prop_map(delete),
        1 => path().prop_map(|path| WriteOp::DeleteContainer { path: path.to_owned() }),
    ];
    let guest = prop_oneof![
        path().prop_map(|path| GuestWrite::Create {
            path: path.to_owned(),
            data: Some(Bytes::from_static(b"guest")),
            acl: None,
            owner: None,
        }),
        path().prop_map(|path| GuestWrite::Delete {
            path: path.to_owned()
        }),
    ];
    prop_oneof![
        12 => prop::collection::vec(operation, 1..4).prop_map(Step::Write),
        2 => (any::<bool>(), -1..6i64).prop_map(|(first, limit)| Step::Quota(first, limit)),
        1 => any::<bool>().prop_map(Step::Unquota),
        1 => (0..PATHS.len()).prop_map(Step::Sweep),
        1 => prop::collection::vec(guest, 1..3).prop_map(Step::Guest),
        1 => Just(Step::Session),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    /// Whatever creates and deletes: clients, multis that fail, the ends of sessions, sweeps,
    /// guests; with restarts in between.
    #[test]
    fn statistics_agree_with_a_recount(steps in prop::collection::vec(step(), 1..60)) {
        let mut house = House::new();
        let mut limited = [false; 2];
        for step in steps {
            match step {
                Step::Write(operations) => {
                    house.write(Write::Multi(operations));
                }
                Step::Quota(first, limit) => {
                    let path = if first { "/a" } else { "/b" };
                    if !std::mem::replace(&mut limited[usize::from(first)], true) {
                        house.quota(path, &format!("count={limit},bytes=-1=;countHardLimit={limit}"));
                    }
                }
                Step::Unquota(first) => {
                    if std::mem::take(&mut limited[usize::from(first)]) {
                        let path = if first { "/a" } else { "/b" };
                        for name in ["zookeeper_stats", "zookeeper_limits"] {
                            house.must(delete(&format!("/zookeeper/quota{path}/{name}")));
                        }
                    }
                }
                Step::Sweep(at) => {
                    let stat = house.tree.reader().view().exists(PATHS[at]).map(|(stat, _)| stat);
                    let stat = stat.unwrap_or_default();
                    house.apply(Operation::Sweep(Sweep {
                        path: PATHS[at].to_owned(),
                        mzxid: Zxid(stat.mzxid as u64),
                        pzxid: Zxid(stat.pzxid as u64),
                    }));
                }
                Step::Guest(writes) => {
                    // No binding is active: it is refused, and must change nothing.
                    house.apply(Operation::Transaction {
                        ticket: Ticket(1),
                        transaction: Transaction {
                            binding: "none".to_owned(),
                            activation: Zxid(1),
                            depth: 0,
                            reads: Vec::new(),
                            writes,
                            acks: Vec::new(),
                            called: Vec::new(),
                        },
                    });
                }
                Step::Session => {
                    house.apply(Operation::ExpireSession {
                        session: SessionId(house.session),
                        attachment: 1,
                    });
                    house.connect();
                }
                Step::Restart => house.restart(),
            }
            for (first, path) in [(true, "/a"), (false, "/b")] {
                if limited[usize::from(first)] {
                    prop_assert_eq!(house.stats(path), house.recount(path), "{}", path);
                }
            }
        }
    }
}

/// What an identity is does not matter to a quota.
#[test]
fn the_super_user_has_quotas_too() {
    let mut house = House::new();
    house.must(create("/a", 0, CreateMode::Persistent));
    house.quota("/a", "count=-1,bytes=-1=;countHardLimit=1");
    let applied = house.apply(Operation::Admin {
        ticket: Ticket(1),
        identities: vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }],
        write: Write::Single(create("/a/b", 0, CreateMode::Persistent)),
        enforce_quota: true,
    });
    match applied.outcome {
        Outcome::Ticket {
            result: TicketResult::Admin(reply),
            ..
        } => assert_eq!(reply, Reply::Single(Err(ErrorCode::QuotaExceeded))),
        other => panic!("{other:?}"),
    }
}
