//! What the proposer predicts, compared with what apply decides: a transaction that [`InFlight`]
//! calls doomed meets that very conflict in apply, and one that it lets pass commits, as long as
//! the proposals in flight succeed and none of them undoes another.

use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_tree::applied::{Applied, Conflict, Outcome, Reply, SessionResult, TicketResult};
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::footprint::InFlight;
use innkeeper_tree::transaction::{GuestWrite, Read, Transaction};
use innkeeper_tree::{
    Command, Digest, Identity, Operation, SessionId, Ticket, Tree, View, World, Zxid,
};
use proptest::prelude::*;

const RECIPES: Digest = Digest([7; 32]);
const ASSIGNORS: Digest = Digest([8; 32]);
const RECIPE: &str = "r";
const ASSIGNOR: &str = "a";
/// The client that writes, and one that only lives.
const WRITER: SessionId = SessionId(1);
const OTHER: SessionId = SessionId(2);

const PATHS: [&str; 8] = [
    "/p", "/p/a", "/p/b", "/p/a/x", "/p/a/y", "/q", "/q/a", "/q/b",
];

struct House {
    tree: Tree,
    seq: u64,
}

fn create(path: &str, data: &str) -> WriteOp {
    WriteOp::Create {
        path: path.to_owned(),
        data: Some(data.to_owned().into()),
        acl: vec![Acl::world(Perms::ALL)],
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    }
}

impl House {
    /// Some znodes, an active recipe and an active assignor.
    fn new() -> Self {
        let mut world = House {
            tree: Tree::new(),
            seq: 0,
        };
        for session in [WRITER, OTHER] {
            world.run(Operation::CreateSession {
                ticket: Ticket(0),
                session,
                password: [0; 16],
                timeout_ms: 1000,
                local: false,
            });
        }
        for (digest, kind) in [(RECIPES, World::Recipe), (ASSIGNORS, World::Assignor)] {
            world.run(Operation::RegisterModule {
                ticket: Ticket(0),
                digest,
                size: 1,
                world: kind,
            });
        }
        for (path, data) in [("/innkeeper", ""), ("/innkeeper/bindings", "")] {
            world.write(create(path, data));
        }
        for path in PATHS.into_iter().filter(|path| !path.ends_with('b')) {
            world.write(create(path, ""));
        }
        let recipe = format!(
            r#"{{"world":"recipe","module":"{RECIPES}","watch":["/w/*"],"write":["/p/**","/q/**"]}}"#
        );
        world.bind(RECIPE, &recipe);
        world.bind(
            ASSIGNOR,
            &format!(r#"{{"world":"assignor","module":"{ASSIGNORS}"}}"#),
        );
        world.tree.publish();
        world
    }

    fn run(&mut self, operation: Operation) -> Applied {
        self.tree.apply(&Command {
            time_ms: 1,
            operation,
        })
    }

    fn operation(&mut self, op: WriteOp) -> Operation {
        self.seq += 1;
        Operation::Session {
            session: WRITER,
            attachment: 1,
            seq: self.seq,
            request: SessionRequest::Write {
                identities: vec![Identity {
                    scheme: "super".to_owned(),
                    id: String::new(),
                }],
                policy_zxid: None,
                write: Write::Single(op),
                enforce_quota: false,
                upgrade_local: false,
            },
        }
    }

    fn write(&mut self, op: WriteOp) {
        let operation = self.operation(op);
        let applied = self.run(operation);
        assert!(succeeded(&applied), "{applied:?}");
    }

    fn bind(&mut self, name: &str, document: &str) {
        self.write(create(&format!("/innkeeper/bindings/{name}"), document));
        let wish = self.tree.last_zxid();
        let applied = self.activate(name, wish);
        let applied = self.run(applied);
        assert!(succeeded(&applied), "{applied:?}");
    }

    fn activate(&mut self, name: &str, wish: Zxid) -> Operation {
        Operation::Activate {
            ticket: Ticket(0),
            binding: name.to_owned(),
            wish,
        }
    }

    fn activation(&self, name: &str) -> Zxid {
        self.tree
            .reader()
            .view()
            .bindings()
            .active(name)
            .unwrap()
            .activation
    }
}

fn succeeded(applied: &Applied) -> bool {
    match &applied.outcome {
        Outcome::Session { result, .. } => matches!(
            result,
            SessionResult::Done(Reply::Single(Ok(_)) | Reply::Multi(_) | Reply::Closed)
        ),
        Outcome::Ticket { result, .. } => matches!(
            result,
            TicketResult::Committed | TicketResult::Activated | TicketResult::Registered
        ),
        Outcome::Nobody => true,
    }
}

/// What may be in flight.
#[derive(Clone, Debug)]
enum Flying {
    Create(usize),
    Sequential(usize),
    Delete(usize),
    Set(usize),
    SetAcl(usize),
    Check(usize),
    GuestSet(usize),
    Expire,
    Activate,
}

fn flying() -> impl Strategy<Value = Flying> {
    let at = || 0..PATHS.len();
    prop_oneof![
        at().prop_map(Flying::Create),
        at().prop_map(Flying::Sequential),
        at().prop_map(Flying::Delete),
        at().prop_map(Flying::Set),
        at().prop_map(Flying::SetAcl),
        at().prop_map(Flying::Check),
        at().prop_map(Flying::GuestSet),
        Just(Flying::Expire),
        Just(Flying::Activate),
    ]
}

fn operation(world: &mut House, flying: &Flying) -> Operation {
    let path = |at: &usize| PATHS[*at].to_owned();
    let op = match flying {
        Flying::Create(at) => create(PATHS[*at], ""),
        Flying::Sequential(at) => WriteOp::Create {
            path: format!("{}/n", PATHS[*at]),
            data: None,
            acl: vec![Acl::world(Perms::ALL)],
            mode: CreateMode::PersistentSequential,
            ttl_ms: 0,
        },
        Flying::Delete(at) => WriteOp::Delete {
            path: path(at),
            version: -1,
        },
        Flying::Set(at) => WriteOp::SetData {
            path: path(at),
            data: None,
            version: -1,
        },
        Flying::SetAcl(at) => WriteOp::SetAcl {
            path: path(at),
            acl: vec![Acl::world(Perms::READ)],
            version: -1,
        },
        Flying::Check(at) => {
            // Only inside a multi.
            let check = WriteOp::Check {
                path: path(at),
                version: -1,
            };
            let mut operation = world.operation(check.clone());
            if let Operation::Session {
                request: SessionRequest::Write { write, .. },
                ..
            } = &mut operation
            {
                *write = Write::Multi(vec![check]);
            }
            return operation;
        }
        Flying::GuestSet(at) => {
            let mut transaction = transaction(world, Vec::new());
            transaction.called.clear();
            transaction.writes.push(GuestWrite::Set {
                path: path(at),
                data: None,
            });
            return Operation::Transaction {
                ticket: Ticket(0),
                transaction,
            };
        }
        Flying::Expire => {
            return Operation::ExpireSession {
                session: OTHER,
                attachment: 1,
            };
        }
        // A new wish and its activation: two commands, of which the second counts.
        Flying::Activate => {
            let wish = world
                .tree
                .reader()
                .view()
                .bindings()
                .get(ASSIGNOR)
                .unwrap()
                .wish;
            return world.activate(ASSIGNOR, wish);
        }
    };
    world.operation(op)
}

fn transaction(world: &House, reads: Vec<Read>) -> Transaction {
    Transaction {
        binding: RECIPE.to_owned(),
        activation: world.activation(RECIPE),
        depth: 1,
        reads,
        writes: Vec::new(),
        acks: Vec::new(),
        called: vec![(ASSIGNOR.to_owned(), world.activation(ASSIGNOR))],
    }
}

/// One read of each kind, as a guest would record it in this view.
fn read(view: &View, kind: u8, path: &str) -> Read {
    let path = path.to_owned();
    let Some((stat, _)) = view.exists(&path) else {
        return Read::Absent { path };
    };
    match kind {
        0 => Read::Node {
            mzxid: Zxid(stat.mzxid as u64),
            path,
        },
        1 => Read::Acl {
            czxid: Zxid(stat.czxid as u64),
            aversion: stat.aversion,
            path,
        },
        2 => Read::Children {
            pzxid: Zxid(stat.pzxid as u64),
            path,
        },
        3 => Read::Subtree {
            seen: view.zxid(),
            path,
        },
        _ => Read::Session(OTHER),
    }
}

/// A later operation takes back what an earlier one did: the guess does not know that.
fn undoes(flying: &[Flying]) -> bool {
    flying.iter().enumerate().any(|(i, later)| {
        let Flying::Delete(at) = later else {
            return false;
        };
        flying[..i]
            .iter()
            .any(|earlier| matches!(earlier, Flying::Create(created) if created == at))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn doomed_means_that_apply_refuses(
        flying in prop::collection::vec(flying(), 0..3),
        reads in prop::collection::vec((0u8..5, 0..PATHS.len()), 0..3),
        seed: u64,
    ) {
        let mut world = House::new();
        // A wish that is not active yet, for an Activate to succeed.
        let other = format!(r#"{{"world":"assignor","module":"{ASSIGNORS}","config":1}}"#);
        world.write(WriteOp::SetData {
            path: format!("/innkeeper/bindings/{ASSIGNOR}"),
            data: Some(other.into()),
            version: -1,
        });
        world.tree.publish();
        let view = world.tree.reader().view();
        let reads = reads.into_iter().map(|(kind, at)| read(&view, kind, PATHS[at])).collect();
        let transaction = transaction(&world, reads);

        let mut in_flight = InFlight::new(seed);
        // An earlier transaction read a subtree, so that subtrees are marked.
        let mut scanner = transaction.clone();
        scanner.reads = vec![Read::Subtree { path: "/p".to_owned(), seen: view.zxid() }];
        prop_assert_eq!(in_flight.doomed(&scanner), None);
        let mut zxid = world.tree.last_zxid();
        let mut operations = Vec::new();
        for flying in &flying {
            let operation = operation(&mut world, flying);
            zxid = zxid.next();
            in_flight.admit(zxid, &operation);
            operations.push(operation);
        }
        let doomed = in_flight.doomed(&transaction);

        let mut all_succeeded = true;
        for operation in operations {
            all_succeeded &= succeeded(&world.run(operation));
        }
        let applied = world.run(Operation::Transaction { ticket: Ticket(1), transaction });
        let Outcome::Ticket { result, .. } = applied.outcome else {
            panic!("a transaction has a ticket");
        };
        let refused = match result {
            TicketResult::Committed => None,
            TicketResult::Conflict(conflict) => Some(conflict),
            other => panic!("{other:?}"),
        };
        // The creates in flight of sequential znodes have names of ours, which no one read.
        if all_succeeded && !undoes(&flying) {
            prop_assert_eq!(doomed.is_some(), refused.is_some(), "{:?} {:?}", doomed, refused);
        } else if doomed.is_none() {
            // What the guess knows nothing against, apply does not refuse either.
            prop_assert_eq!(refused, None);
        }
        in_flight.applied(world.tree.last_zxid());
        prop_assert!(in_flight.is_empty());
    }
}

/// The case that the guess exists for, spelled out.
#[test]
fn a_set_in_flight_dooms_its_reader_until_it_is_applied() {
    let mut world = House::new();
    let view = world.tree.reader().view();
    let transaction = transaction(&world, vec![read(&view, 0, "/p/a")]);
    let set = operation(&mut world, &Flying::Set(1));
    let mut in_flight = InFlight::new(1);
    in_flight.admit(world.tree.last_zxid().next(), &set);
    assert_eq!(
        in_flight.doomed(&transaction),
        Some(Conflict::Path("/p/a".to_owned()))
    );
    assert!(succeeded(&world.run(set)));
    in_flight.applied(world.tree.last_zxid());
    world.tree.publish();
    assert_eq!(
        in_flight.doomed(&transaction),
        None,
        "now it is apply's to refuse"
    );
    let stale = world.run(Operation::Transaction {
        ticket: Ticket(1),
        transaction: transaction.clone(),
    });
    assert!(!succeeded(&stale));
    let view = world.tree.reader().view();
    let fresh = Transaction {
        reads: vec![read(&view, 0, "/p/a")],
        ..transaction
    };
    assert!(succeeded(&world.run(Operation::Transaction {
        ticket: Ticket(2),
        transaction: fresh,
    })));
}
