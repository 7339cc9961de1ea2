use innkeeper_proto::CreateMode;

use super::*;
use crate::{SessionId, Ticket};

fn session(op: WriteOp) -> Operation {
    Operation::Session {
        session: SessionId(1),
        attachment: 1,
        seq: 1,
        request: SessionRequest::Write {
            identities: Vec::new(),
            policy_zxid: None,
            write: Write::Single(op),
            enforce_quota: false,
            upgrade_local: false,
        },
    }
}

fn create(path: &str, mode: CreateMode) -> Operation {
    session(WriteOp::Create {
        path: path.to_owned(),
        data: None,
        acl: Vec::new(),
        mode,
        ttl_ms: 0,
    })
}

fn delete(path: &str) -> Operation {
    session(WriteOp::Delete {
        path: path.to_owned(),
        version: -1,
    })
}

fn set(path: &str) -> Operation {
    session(WriteOp::SetData {
        path: path.to_owned(),
        data: None,
        version: -1,
    })
}

fn transaction(reads: Vec<Read>) -> Transaction {
    Transaction {
        binding: "b".to_owned(),
        activation: Zxid(1),
        depth: 0,
        reads,
        writes: Vec::new(),
        acks: vec![Ack::Path {
            path: "/e".to_owned(),
            zxid: Zxid(3),
        }],
        called: vec![("range".to_owned(), Zxid(2))],
    }
}

fn node(path: &str) -> Read {
    Read::Node {
        path: path.to_owned(),
        mzxid: Zxid(1),
    }
}

fn children(path: &str) -> Read {
    Read::Children {
        path: path.to_owned(),
        pzxid: Zxid(1),
    }
}

fn absent(path: &str) -> Read {
    Read::Absent {
        path: path.to_owned(),
    }
}

fn subtree(path: &str) -> Read {
    Read::Subtree {
        path: path.to_owned(),
        seen: Zxid(1),
    }
}

fn acl(path: &str) -> Read {
    Read::Acl {
        path: path.to_owned(),
        czxid: Zxid(1),
        aversion: 0,
    }
}

fn doomed(operation: &Operation, reads: Vec<Read>) -> bool {
    let mut in_flight = InFlight::new(7);
    // A first reader makes the proposer note subtrees.
    assert_eq!(in_flight.doomed(&transaction(vec![subtree("/")])), None);
    in_flight.admit(Zxid(10), operation);
    let transaction = transaction(reads);
    let verdict = in_flight.doomed(&transaction).is_some();
    let keys = in_flight.read_keys(&transaction);
    assert_eq!(in_flight.writes_any(operation, &keys), verdict);
    verdict
}

#[test]
fn each_read_is_doomed_by_what_changes_it_and_by_nothing_else() {
    let create_a = create("/p/a", CreateMode::Persistent);
    let sequential = create("/p/a", CreateMode::PersistentSequential);
    let set_acl = session(WriteOp::SetAcl {
        path: "/p/a".to_owned(),
        acl: Vec::new(),
        version: -1,
    });
    for (operation, reads, expected) in [
        (&set("/p/a"), node("/p/a"), true),
        (&set("/p/a"), node("/p"), false),
        (&set("/p/a"), acl("/p/a"), false),
        (&set("/p/a"), children("/p"), false),
        (&set("/p/a"), subtree("/p"), true),
        (&set("/p/a"), subtree("/"), true),
        (&set("/p/a"), subtree("/p/a"), true),
        (&set("/p/a"), subtree("/p/a/b"), false),
        (&set("/pp"), subtree("/p"), false),
        (&create_a, absent("/p/a"), true),
        (&create_a, absent("/p/b"), false),
        (&create_a, children("/p"), true),
        (&create_a, children("/"), false),
        (&create_a, node("/p"), false),
        (&create_a, subtree("/p"), true),
        (&sequential, children("/p"), true),
        (&sequential, absent("/p/a"), false),
        (&sequential, subtree("/p"), true),
        (&delete("/p/a"), node("/p/a"), true),
        (&delete("/p/a"), acl("/p/a"), true),
        (&delete("/p/a"), children("/p/a"), true),
        (&delete("/p/a"), children("/p"), true),
        (&delete("/p/a"), absent("/p/a"), false),
        (&delete("/a"), children("/"), true),
        (&set_acl, acl("/p/a"), true),
        (&set_acl, node("/p/a"), false),
        (&set_acl, subtree("/p"), true),
    ] {
        assert_eq!(
            doomed(operation, vec![reads.clone()]),
            expected,
            "{operation:?} {reads:?}"
        );
    }
}

#[test]
fn sessions_bindings_and_acknowledgements_count() {
    let expire = |session| Operation::ExpireSession {
        session: SessionId(session),
        attachment: 1,
    };
    assert!(doomed(&expire(5), vec![Read::Session(SessionId(5))]));
    assert!(!doomed(&expire(6), vec![Read::Session(SessionId(5))]));
    let activate = |binding: &str| Operation::Activate {
        ticket: Ticket(1),
        binding: binding.to_owned(),
        wish: Zxid(1),
    };
    assert!(doomed(&activate("b"), vec![]) && doomed(&activate("range"), vec![]));
    assert!(!doomed(&activate("c"), vec![]));
    assert!(doomed(&delete("/innkeeper/bindings/b"), vec![]));
    assert!(!doomed(&delete("/innkeeper/bindings/c"), vec![]));
    assert!(
        !doomed(&set("/innkeeper/bindings/b"), vec![]),
        "a new wish is no activation"
    );
    let of = |binding: &str, zxid| {
        let mut other = transaction(vec![]);
        other.binding = binding.to_owned();
        other.acks = vec![Ack::Path {
            path: "/e".to_owned(),
            zxid: Zxid(zxid),
        }];
        Operation::Transaction {
            ticket: Ticket(1),
            transaction: other,
        }
    };
    assert!(doomed(&of("b", 3), vec![]));
    assert!(!doomed(&of("b", 4), vec![]) && !doomed(&of("c", 3), vec![]));
}

#[test]
fn what_is_applied_is_forgotten() {
    let mut in_flight = InFlight::new(1);
    let reads = transaction(vec![node("/a")]);
    in_flight.admit(Zxid(5), &set("/a"));
    in_flight.admit(Zxid(6), &set("/b"));
    in_flight.admit(Zxid(7), &set("/a"));
    in_flight.applied(Zxid(6));
    assert_eq!(
        in_flight.doomed(&reads),
        Some(Conflict::Path("/a".to_owned()))
    );
    in_flight.applied(Zxid(7));
    assert_eq!(in_flight.doomed(&reads), None);
    assert!(in_flight.is_empty() && in_flight.last.is_empty());
    in_flight.admit(Zxid(8), &set("/a"));
    in_flight.clear();
    assert_eq!(in_flight.doomed(&reads), None);
}

#[test]
fn ancestors_are_marked_only_while_subtrees_are_read() {
    let mut in_flight = InFlight::new(1);
    in_flight.admit(Zxid(1), &set("/a/b/c"));
    assert_eq!(in_flight.len(), 1);
    assert_eq!(in_flight.doomed(&transaction(vec![subtree("/a")])), None);
    in_flight.admit(Zxid(2), &set("/a/b/c"));
    assert_eq!(in_flight.len(), 6);
    assert!(
        in_flight
            .doomed(&transaction(vec![subtree("/a")]))
            .is_some()
    );
    in_flight.applied(Zxid(2));
    in_flight.admit(Zxid(3 + SUBTREE_INTEREST), &set("/a/b/c"));
    assert_eq!(in_flight.len(), 1);
}

#[test]
fn a_multi_marks_a_parent_once() {
    let ops = ["/p/a", "/p/b", "/p/c"].map(|path| WriteOp::Create {
        path: path.to_owned(),
        data: None,
        acl: Vec::new(),
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    });
    let mut in_flight = InFlight::new(1);
    in_flight.admit(
        Zxid(1),
        &Operation::Admin {
            ticket: Ticket(1),
            identities: Vec::new(),
            write: Write::Multi(ops.to_vec()),
            enforce_quota: false,
        },
    );
    assert_eq!(in_flight.len(), 4);
}
