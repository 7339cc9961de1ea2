//! A view lists a session's ephemerals as they were at its zxid, whatever was applied since.

use innkeeper_proto::CreateMode;
use innkeeper_tree::command::{Operation, SessionRequest, Write, WriteOp};
use innkeeper_tree::{Command, SessionId, Ticket, Tree, View, acl};

const SESSION: SessionId = SessionId(7);

struct House {
    tree: Tree,
    seq: u64,
}

fn create(path: &str) -> WriteOp {
    WriteOp::Create {
        path: path.to_owned(),
        data: None,
        acl: acl::open(),
        mode: CreateMode::Ephemeral,
        ttl_ms: 0,
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
            seq: 0,
        };
        house.connect();
        house
    }

    fn connect(&mut self) {
        self.seq = 0;
        self.apply(Operation::CreateSession {
            ticket: Ticket(1),
            session: SESSION,
            password: [0; 16],
            timeout_ms: 1_000,
            local: false,
        });
    }

    fn apply(&mut self, operation: Operation) {
        self.tree.apply(&Command {
            time_ms: 1,
            operation,
        });
    }

    /// Applies the session's next write, without publishing it.
    fn write(&mut self, operations: Vec<WriteOp>) {
        self.seq += 1;
        self.apply(Operation::Session {
            session: SESSION,
            attachment: 1,
            seq: self.seq,
            request: SessionRequest::Write {
                identities: Vec::new(),
                policy_zxid: None,
                write: Write::Multi(operations),
                enforce_quota: true,
                upgrade_local: false,
            },
        });
    }

    fn publish(&mut self) -> View {
        self.tree.publish();
        self.tree.reader().view()
    }
}

fn list(view: &View) -> Vec<String> {
    let paths = view.ephemerals(SESSION);
    for path in &paths {
        assert!(view.exists(path).is_some(), "{path} at {}", view.zxid());
    }
    paths
}

#[test]
fn a_view_lists_the_ephemerals_that_it_shows() {
    let mut house = House::new();
    house.write(vec![create("/a"), create("/b")]);
    let first = house.publish();
    assert_eq!(list(&first), ["/a", "/b"]);

    // Deleted, but not published: neither an old view nor a new one knows of it.
    house.write(vec![delete("/a")]);
    assert_eq!(list(&first), ["/a", "/b"]);
    assert_eq!(list(&house.tree.reader().view()), ["/a", "/b"]);
    let second = house.publish();
    assert_eq!(list(&second), ["/b"]);

    // The same path again, in the slot that it had.
    house.write(vec![create("/a"), create("/c")]);
    let third = house.publish();
    house.write(vec![delete("/a"), delete("/b")]);
    house.write(vec![delete("/c"), create("/c")]);
    for _ in 0..2 {
        assert_eq!(list(&first), ["/a", "/b"]);
        assert_eq!(list(&second), ["/b"]);
        assert_eq!(list(&third), ["/a", "/b", "/c"]);
        house.tree.publish();
    }
    assert_eq!(list(&house.tree.reader().view()), ["/c"]);

    // The end of the session, and another one of the same id.
    house.apply(Operation::ExpireSession {
        session: SESSION,
        attachment: 1,
    });
    assert_eq!(list(&house.tree.reader().view()), ["/c"]);
    let ended = house.publish();
    house.connect();
    house.write(vec![create("/d")]);
    let last = house.publish();
    assert_eq!(list(&first), ["/a", "/b"]);
    assert_eq!(list(&third), ["/a", "/b", "/c"]);
    assert!(list(&ended).is_empty());
    assert_eq!(list(&last), ["/d"]);
    assert_eq!(last.ephemeral_count(), 1);

    // Slots that are freed and used again show nothing old.
    drop((first, second, third, ended));
    house.publish();
    while house.tree.reclaim(100) > 0 {}
    house.write(vec![create("/e"), create("/f"), create("/g")]);
    assert_eq!(list(&last), ["/d"]);
    assert_eq!(list(&house.publish()), ["/d", "/e", "/f", "/g"]);
}
