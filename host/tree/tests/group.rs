//! The group in the state: it is founded once, folders are named, and its members change.

use std::collections::BTreeMap;

use innkeeper_proto::{ErrorCode, EventType, Stat};
use innkeeper_tree::applied::{Outcome, TicketResult};
use innkeeper_tree::group::{
    ClusterId, GroupChange, GroupInfo, Incarnation, MEMBERS_MAX, Member, Ports, Role,
};
use innkeeper_tree::{Command, Operation, Record, Ticket, Tree, Zxid};

fn apply(tree: &mut Tree, change: GroupChange) -> Outcome {
    let applied = tree.apply(&Command {
        time_ms: 0,
        operation: Operation::Group(change),
    });
    tree.publish();
    applied.outcome
}

fn member(role: Role, folder: Option<u8>) -> Member {
    Member {
        role,
        address: "here:2888".to_owned(),
        ports: Ports::default(),
        incarnation: folder.map(|byte| Incarnation([byte; 16])),
    }
}

fn found(cluster: u8) -> GroupChange {
    GroupChange::Found {
        cluster: ClusterId([cluster; 16]),
        members: [
            (1, member(Role::Voter, Some(1))),
            (2, member(Role::Voter, None)),
        ]
        .into(),
    }
}

fn configure(
    tree: &mut Tree,
    version: Option<Zxid>,
    joining: &[(u64, Role, &str)],
    leaving: &[u64],
) -> Result<Zxid, ErrorCode> {
    let joining: BTreeMap<_, _> = joining
        .iter()
        .map(|(node, role, address)| (*node, (*role, (*address).to_owned())))
        .collect();
    let outcome = apply(
        tree,
        GroupChange::Configure {
            ticket: Ticket(5),
            version,
            joining,
            leaving: leaving.iter().copied().collect(),
        },
    );
    match outcome {
        Outcome::Ticket {
            ticket: Ticket(5),
            result: TicketResult::Configured(result),
        } => result,
        other => panic!("{other:?}"),
    }
}

fn group(tree: &Tree) -> GroupInfo {
    let group = tree.reader().view().group().cloned();
    (*group.expect("it is founded")).clone()
}

#[test]
fn a_group_is_founded_once() {
    let mut tree = Tree::new();
    let nobody = GroupChange::Found {
        cluster: ClusterId([9; 16]),
        members: [(1, member(Role::Learner, Some(1)))].into(),
    };
    apply(&mut tree, nobody);
    assert_eq!(tree.reader().view().group(), None, "somebody must vote");
    assert_eq!(
        configure(&mut tree, None, &[], &[]),
        Err(ErrorCode::ReconfigDisabled)
    );
    apply(&mut tree, found(1));
    let first = group(&tree);
    assert_eq!(first.version, Zxid(3));
    let hash = tree.hash();
    apply(&mut tree, found(2));
    assert_eq!(group(&tree), first);
    assert_ne!(tree.hash(), hash, "the command has its zxid all the same");
}

#[test]
fn a_folder_is_named_only_in_the_place_of_the_one_that_was_seen() {
    let mut tree = Tree::new();
    apply(&mut tree, found(1));
    let admit = |node, was: Option<u8>, now: u8| GroupChange::Admit {
        node,
        was: was.map(|byte| Incarnation([byte; 16])),
        incarnation: Incarnation([now; 16]),
    };
    apply(&mut tree, admit(2, None, 2));
    assert!(group(&tree).names(2, Incarnation([2; 16])));
    // Both of an older leader and of a number that is no member nothing is left.
    apply(&mut tree, admit(2, None, 3));
    apply(&mut tree, admit(7, None, 7));
    let now = group(&tree);
    assert!(now.names(2, Incarnation([2; 16])) && !now.members.contains_key(&7));
    apply(&mut tree, admit(2, Some(2), 3));
    assert!(group(&tree).names(2, Incarnation([3; 16])));
    assert_eq!(
        group(&tree).version,
        Zxid(1),
        "the configuration is the same"
    );
}

#[test]
fn a_configuration_is_changed_if_it_is_the_one_that_was_seen() {
    let mut tree = Tree::new();
    apply(&mut tree, found(1));
    let stale = configure(&mut tree, Some(Zxid(7)), &[], &[2]);
    assert_eq!(stale, Err(ErrorCode::BadVersion));
    let third = configure(
        &mut tree,
        Some(Zxid(1)),
        &[(3, Role::Learner, "three:2888")],
        &[2, 99],
    );
    assert_eq!(third, Ok(Zxid(3)));
    let now = group(&tree);
    assert_eq!(now.version, Zxid(3));
    assert_eq!(now.members.keys().copied().collect::<Vec<_>>(), [1, 3]);
    // A member that changes keeps its folder.
    let moved = configure(&mut tree, None, &[(1, Role::Voter, "there:1")], &[]);
    assert_eq!(moved, Ok(Zxid(4)));
    assert!(group(&tree).names(1, Incarnation([1; 16])));
    let long = "x".repeat(301);
    for (joining, leaving) in [
        (&[][..], &[1][..]),
        (&[(1, Role::Learner, "there:1")], &[]),
        (&[(4, Role::Voter, "")], &[]),
        (&[(4, Role::Voter, long.as_str())], &[]),
    ] {
        let refused = configure(&mut tree, None, joining, leaving);
        assert_eq!(refused, Err(ErrorCode::BadArguments));
    }
    let addresses: Vec<_> = (0..MEMBERS_MAX).map(|port| format!("a:{port}")).collect();
    let numbered = (10..).zip(&addresses);
    let crowd: Vec<_> = numbered
        .map(|(node, address)| (node, Role::Learner, address.as_str()))
        .collect();
    assert_eq!(
        configure(&mut tree, None, &crowd, &[]),
        Err(ErrorCode::BadArguments)
    );
    assert_eq!(group(&tree).version, Zxid(4));
}

/// Whoever dials the second of two members with one address reaches the first.
#[test]
fn no_member_comes_to_the_address_of_another_one() {
    let mut tree = Tree::new();
    let at = |address: &str, clients: Option<&str>| Member {
        address: address.to_owned(),
        ports: Ports {
            election: 0,
            clients: clients.map(str::to_owned),
        },
        ..member(Role::Voter, None)
    };
    let members = [
        (1, at("zoo-1:2888", Some("zoo-1:2181"))),
        (2, at("[2001:db8::2]:2888", Some("0.0.0.0:2181"))),
        (3, at("10.0.0.3:2888", None)),
        (4, at("ZOO-4.:2888", None)),
    ];
    apply(
        &mut tree,
        GroupChange::Found {
            cluster: ClusterId([1; 16]),
            members: members.into(),
        },
    );
    let voters = |pairs: &[(u64, &'static str)]| -> Vec<(u64, Role, &'static str)> {
        let pairs = pairs.iter();
        pairs.map(|(node, at)| (*node, Role::Voter, *at)).collect()
    };
    for joining in [
        &[(5, "zoo-1:2888")][..],
        &[(5, "Zoo-1.:02888")],
        &[(5, "[2001:DB8:0::2]:2888")],
        &[(5, "[::ffff:10.0.0.3]:2888")],
        &[(5, "zoo-4:2888")],
        // Two that come, and one that moves to another's.
        &[(5, "zoo-5:2888"), (6, "zoo-5:2888")],
        &[(2, "zoo-1:2888")],
        &[(1, "zoo-9:2888"), (2, "zoo-9:2888")],
        // The clients of another one, and its own.
        &[(5, "ZOO-1:2181")],
        &[(1, "zoo-1:2181")],
    ] {
        let refused = configure(&mut tree, None, &voters(joining), &[]);
        assert_eq!(refused, Err(ErrorCode::BadArguments), "{joining:?}");
    }
    assert_eq!(group(&tree).version, Zxid(1));
    for (joining, leaving) in [
        // The address of one that goes, of one that moves away, and its own.
        (&[(5, "zoo-1:2888")][..], &[1][..]),
        (&[(5, "zoo-5:2888"), (6, "zoo-1:2888")], &[]),
        (&[(5, "zoo-6:2888"), (6, "zoo-5:2888")], &[]),
        (&[(3, "[::ffff:10.0.0.3]:2888")], &[]),
        // Another port of a machine, and that of clients on all addresses.
        (&[(7, "zoo-6:2889")], &[]),
        (&[(8, "zoo-8:2181")], &[]),
    ] {
        let done = configure(&mut tree, None, &voters(joining), leaving);
        assert!(done.is_ok(), "{joining:?}: {done:?}");
    }
}

/// A file may have founded such a group.
#[test]
fn a_group_in_which_two_have_one_address_can_be_mended() {
    let mut tree = Tree::new();
    apply(&mut tree, found(1));
    let third = configure(&mut tree, None, &[(3, Role::Voter, "three:2888")], &[]);
    assert!(third.is_ok(), "{third:?}");
    let same = configure(&mut tree, None, &[(2, Role::Learner, "HERE:2888")], &[]);
    assert_eq!(same, Err(ErrorCode::BadArguments));
    let moved = configure(&mut tree, None, &[(2, Role::Voter, "two:2888")], &[]);
    assert!(moved.is_ok(), "{moved:?}");
}

#[test]
fn a_checkpoint_holds_the_group() {
    let mut tree = Tree::new();
    apply(&mut tree, found(1));
    let records: Vec<Record> = tree.capture().records().collect();
    let restored = Tree::restore(records.into_iter().map(Ok::<_, std::io::Error>)).unwrap();
    assert_eq!(group(&restored), group(&tree));
    assert_eq!(restored.hash(), tree.hash());
    apply(&mut tree, found(2));
    let second = tree.capture().records().count();
    assert_eq!(second, 1, "only the numbers have changed");
}

fn config(tree: &Tree) -> (String, Stat) {
    let view = tree.reader().view();
    let znode = view.get("/zookeeper/config").expect("it is always there");
    let data = znode.data.clone().unwrap_or_default();
    let text = String::from_utf8(data.to_vec()).expect("text");
    (text, znode.stat)
}

/// As a real ZooKeeper shows it: the same lines, and a znode whose version is -1 and whose mzxid is the
/// configuration's version.
#[test]
fn the_configuration_is_the_data_of_zookeepers_znode_and_its_watches_fire() {
    let mut tree = Tree::new();
    assert_eq!(config(&tree).0, "");
    let with = |election, clients: Option<&str>| Ports {
        election,
        clients: clients.map(str::to_owned),
    };
    let members = [
        (1, member(Role::Voter, Some(1))),
        (
            2,
            Member {
                address: "[::1]:2888".to_owned(),
                ports: with(3888, Some("0.0.0.0:2181")),
                ..member(Role::Voter, None)
            },
        ),
        (
            u64::MAX,
            Member {
                ports: with(3889, None),
                ..member(Role::Learner, None)
            },
        ),
    ];
    tree.apply(&Command {
        time_ms: 77,
        operation: Operation::RaiseLevel { level: 9 },
    });
    let applied = tree.apply(&Command {
        time_ms: 99,
        operation: Operation::Group(GroupChange::Found {
            cluster: ClusterId([1; 16]),
            members: members.into(),
        }),
    });
    tree.publish();
    let fired: Vec<_> = applied.events.iter().collect();
    let [event] = fired[..] else {
        panic!("{fired:?}");
    };
    assert_eq!(&*event.path, "/zookeeper/config");
    assert_eq!(event.kind, EventType::NodeDataChanged);
    let (text, stat) = config(&tree);
    let expected = "server.1=here:2888:0:participant\n\
                    server.2=[::1]:2888:3888:participant;0.0.0.0:2181\n\
                    server.-1=here:2888:3889:observer\nversion=2";
    assert_eq!(text, expected);
    let numbers = (stat.czxid, stat.mzxid, stat.ctime, stat.mtime, stat.version);
    assert_eq!(numbers, (0, 2, 0, 99, -1));
    assert_eq!(stat.data_length as usize, expected.len());

    // A named folder is no change of the configuration.
    let named = tree.apply(&Command {
        time_ms: 100,
        operation: Operation::Group(GroupChange::Admit {
            node: 2,
            was: None,
            incarnation: Incarnation([2; 16]),
        }),
    });
    tree.publish();
    assert!(named.events.is_empty());
    assert_eq!(config(&tree).0, expected);

    // A member that moves keeps its ports.
    let joining = [(2, Role::Learner, "there:1")];
    let moved = configure(&mut tree, None, &joining, &[u64::MAX]);
    assert_eq!(moved, Ok(Zxid(4)));
    let (text, stat) = config(&tree);
    let expected = "server.1=here:2888:0:participant\n\
                    server.2=there:1:3888:observer;0.0.0.0:2181\nversion=4";
    assert_eq!(text, expected);
    assert_eq!((stat.mzxid, stat.version), (4, -1));
    let refused = configure(&mut tree, Some(Zxid(2)), &[], &[2]);
    assert_eq!(refused, Err(ErrorCode::BadVersion));
    assert_eq!(config(&tree).0, expected);
    let records: Vec<Record> = tree.capture().records().collect();
    let restored = Tree::restore(records.into_iter().map(Ok::<_, std::io::Error>)).unwrap();
    assert_eq!(config(&restored).0, expected);
}
