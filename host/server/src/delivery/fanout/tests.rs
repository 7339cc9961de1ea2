//! What the fan-out does when another node's state takes the place of this one's.

use std::collections::VecDeque;

use innkeeper_proto::CreateMode;
use innkeeper_tree::command::{Identity, Write, WriteOp};
use innkeeper_tree::{Command, Digest, Ticket, Tree, World, acl};

use super::*;

/// Remembers what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, what: &str, bindings: &[Arc<str>]) {
        self.0
            .lock()
            .push(format!("{what}: {}", bindings.join(" ")));
    }
}

impl BindingListener for Told {
    fn queued(&self, bindings: &[Arc<str>]) {
        self.note("queued", bindings);
    }

    fn changed(&self, bindings: &[Arc<str>]) {
        self.note("changed", bindings);
    }

    fn cut(&self, cuts: &[Cut]) {
        panic!("nothing is cut here: {cuts:?}");
    }

    fn holds(&self, _module: innkeeper_tree::Digest) -> bool {
        false
    }

    fn registered(&self) {
        self.note("registered", &[]);
    }

    fn stores(&self, _module: innkeeper_tree::Digest) -> bool {
        false
    }

    fn asked(&self, _question: &[u8]) -> Option<bytes::Bytes> {
        None
    }

    fn push(&self, _id: innkeeper_tree::Digest) -> Option<bytes::Bytes> {
        None
    }
}

fn apply(tree: &mut Tree, operation: Operation) {
    tree.apply(&Command {
        time_ms: 0,
        operation,
    });
}

/// A state with sessions, and with bindings of these names.
fn state(sessions: &[u64], bindings: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for session in sessions {
        let operation = Operation::CreateSession {
            ticket: Ticket(0),
            session: SessionId(*session),
            password: [0; 16],
            timeout_ms: 10_000,
            local: false,
        };
        apply(&mut tree, operation);
    }
    let digest = Digest([7; 32]);
    let module = Operation::RegisterModule {
        ticket: Ticket(0),
        digest,
        size: 100,
        world: World::Assignor,
    };
    apply(&mut tree, module);
    let document = format!(r#"{{"world":"assignor","module":"{digest}"}}"#);
    let folders = ["/innkeeper".to_owned(), "/innkeeper/bindings".to_owned()];
    let bindings = bindings
        .iter()
        .map(|name| format!("/innkeeper/bindings/{name}"));
    for path in folders.into_iter().chain(bindings) {
        let write = Write::Single(WriteOp::Create {
            path,
            data: Some(document.clone().into()),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        });
        let identities = vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }];
        let operation = Operation::Admin {
            ticket: Ticket(0),
            identities,
            write,
            enforce_quota: false,
        };
        apply(&mut tree, operation);
    }
    tree.publish();
    tree
}

#[test]
fn what_relies_on_every_event_ends_when_the_state_is_replaced() {
    let mut tree = state(&[1, 2], &["left", "stays"]);
    let fresh = state(&[2, 3], &["new", "stays"]);
    let (before, after) = (tree.reader().view(), fresh.reader().view());
    assert_eq!(after.bindings().len(), 2, "the documents are valid");

    let pending = Arc::new(PendingProposals::default());
    let expiry = Arc::new(Expiry::new(100, false));
    let fanout = Fanout::new(
        pending.clone(),
        expiry.clone(),
        Arc::default(),
        Arc::default(),
    );
    let fanout = Arc::new(fanout);
    let told = Arc::new(Told::default());
    fanout.install_listener(told.clone());
    for info in before.sessions() {
        expiry.opened(info.session, info.attachment, info.timeout_ms);
    }
    // A session that is in no state, since only this node knows it.
    expiry.opened(SessionId(9), 0, 10_000);
    let outboxes = [Arc::new(Outbox::default()), Arc::new(Outbox::default())];
    let seats: Vec<_> = outboxes
        .iter()
        .zip(before.sessions())
        .map(|(outbox, info)| {
            let attachment = info.attachment;
            fanout.attach(
                info.session,
                attachment,
                outbox.clone(),
                Some(10_000),
                || Some(attachment),
            )
        })
        .collect();
    assert!(seats.iter().all(Option::is_some));
    let mut waiter = pending.wait_for(Ticket(5));

    let mut fresh = Some(fresh);
    fanout.installed(&before, &after, &mut || {
        for outbox in &outboxes {
            assert_eq!(outbox.is_open(), Err(Close::Replaced), "it closes before");
        }
        let fresh = fresh.take().expect("it is published once");
        drop(tree.replace(fresh));
        assert!(waiter.try_recv().is_err(), "nobody hears before");
    });
    assert!(fresh.is_none(), "it is published");
    for outbox in &outboxes {
        assert_eq!(outbox.drain(&mut VecDeque::new()), Err(Close::Replaced));
    }
    assert!(matches!(waiter.try_recv(), Ok(Err(ProposeError::Replaced))));
    let known = |session| expiry.heartbeat(SessionId(session)).is_some();
    assert_eq!([1, 2, 3, 9].map(known), [false, true, true, true]);
    let told = told.0.lock().clone();
    // The new state may name modules that this node lacks.
    let expected = [
        "changed: left new stays",
        "queued: new stays",
        "registered: ",
    ];
    assert_eq!(told, expected);
}
