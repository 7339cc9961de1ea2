//! Which activations apply refuses.

use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_tree::applied::{Applied, Outcome, TicketResult};
use innkeeper_tree::bindings::AUTHORIZERS_MAX;
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Command, Digest, Identity, Operation, Ticket, Tree, World, Zxid};

const RECIPE: Digest = Digest([1; 32]);
const AUTHORIZER: Digest = Digest([2; 32]);

fn apply(tree: &mut Tree, operation: Operation) -> Applied {
    let applied = tree.apply(&Command {
        time_ms: 1,
        operation,
    });
    tree.publish();
    applied
}

fn write(tree: &mut Tree, op: WriteOp) -> Zxid {
    let super_user = Identity {
        scheme: "super".to_owned(),
        id: String::new(),
    };
    let operation = Operation::Admin {
        ticket: Ticket(0),
        identities: vec![super_user],
        write: Write::Single(op),
        enforce_quota: false,
    };
    apply(tree, operation).zxid
}

fn create(tree: &mut Tree, path: &str, data: &str) -> Zxid {
    let op = WriteOp::Create {
        path: path.to_owned(),
        data: Some(data.to_owned().into()),
        acl: vec![Acl::world(Perms::ALL)],
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    };
    write(tree, op)
}

fn activate(tree: &mut Tree, name: &str, wish: Zxid) -> TicketResult {
    let operation = Operation::Activate {
        ticket: Ticket(0),
        binding: name.to_owned(),
        wish,
    };
    match apply(tree, operation).outcome {
        Outcome::Ticket { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

/// With a recipe's module and an authorizer's.
fn tree() -> Tree {
    let mut tree = Tree::new();
    for (digest, world) in [(RECIPE, World::Recipe), (AUTHORIZER, World::Authorizer)] {
        let operation = Operation::RegisterModule {
            ticket: Ticket(0),
            digest,
            size: 1,
            world,
        };
        apply(&mut tree, operation);
    }
    create(&mut tree, "/innkeeper", "");
    create(&mut tree, "/innkeeper/bindings", "");
    tree
}

/// Whoever proposes it, and whatever was activated between the look and the proposal.
#[test]
fn as_many_authorizers_are_active_as_every_node_has_places_for() {
    let authorizer =
        format!(r#"{{"world":"authorizer","module":"{AUTHORIZER}","watch":["/guarded/**"]}}"#);
    let recipe = format!(r#"{{"world":"recipe","module":"{RECIPE}","watch":["/w/*"]}}"#);
    let mut tree = tree();
    let path = |name: &str| format!("/innkeeper/bindings/{name}");
    let bind = |tree: &mut Tree, name: &str, document: &str| {
        let wish = create(tree, &path(name), document);
        activate(tree, name, wish)
    };
    let rewrite = |tree: &mut Tree, name: &str, document: &str| {
        let op = WriteOp::SetData {
            path: path(name),
            data: Some(document.to_owned().into()),
            version: -1,
        };
        let wish = write(tree, op);
        activate(tree, name, wish)
    };
    assert_eq!(bind(&mut tree, "recipe", &recipe), TicketResult::Activated);
    for number in 0..AUTHORIZERS_MAX {
        let bound = bind(&mut tree, &format!("a-{number}"), &authorizer);
        assert_eq!(bound, TicketResult::Activated, "{number}");
    }
    // There is no place for a new one, nor for a recipe that becomes one.
    let late = create(&mut tree, &path("late"), &authorizer);
    assert_eq!(activate(&mut tree, "late", late), TicketResult::NoPlace);
    let becomes = rewrite(&mut tree, "recipe", &authorizer);
    assert_eq!(becomes, TicketResult::NoPlace);
    // One that has its place may change, and another recipe is no authorizer.
    let changed = rewrite(&mut tree, "a-0", &authorizer);
    assert_eq!(changed, TicketResult::Activated);
    assert_eq!(bind(&mut tree, "second", &recipe), TicketResult::Activated);
    // A place is free when an authorizer becomes a recipe, and when one is deleted.
    let became = rewrite(&mut tree, "a-1", &recipe);
    assert_eq!(became, TicketResult::Activated);
    assert_eq!(activate(&mut tree, "late", late), TicketResult::Activated);
    let deleted = WriteOp::Delete {
        path: path("a-2"),
        version: -1,
    };
    write(&mut tree, deleted);
    let becomes = rewrite(&mut tree, "recipe", &authorizer);
    assert_eq!(becomes, TicketResult::Activated);
}
