//! Views on other threads, while commands are applied and old versions freed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use innkeeper_proto::CreateMode;
use innkeeper_tree::command::{Operation, Write, WriteOp};
use innkeeper_tree::{Command, Identity, Reader, Ticket, Tree, View, acl};

const ACCOUNTS: usize = 40;

fn apply(tree: &mut Tree, write: Write) {
    let identities = vec![Identity {
        scheme: "ip".to_owned(),
        id: "127.0.0.1".to_owned(),
    }];
    let operation = Operation::Admin {
        ticket: Ticket(0),
        identities,
        write,
        enforce_quota: false,
    };
    tree.apply(&Command {
        time_ms: 0,
        operation,
    });
}

fn create(path: String, data: String) -> WriteOp {
    WriteOp::Create {
        path,
        data: Some(data.into()),
        acl: acl::open(),
        mode: CreateMode::Persistent,
        ttl_ms: 0,
    }
}

fn set(path: String, data: String) -> WriteOp {
    WriteOp::SetData {
        path,
        data: Some(data.into()),
        version: -1,
    }
}

fn number(view: &View, path: &str) -> i64 {
    let data = view
        .get(path)
        .and_then(|znode| znode.data)
        .expect("accounts stay");
    std::str::from_utf8(&data)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("an account is a number")
}

/// Every multi moves something from one account to another, and one child from one folder to
/// another: in every view the sum is zero, each child is in one folder, and listings, scans
/// and counts agree.
#[test]
fn every_view_is_of_one_moment() {
    let mut tree = Tree::new();
    for folder in ["/accounts", "/left", "/right"] {
        apply(
            &mut tree,
            Write::Single(create(folder.to_owned(), String::new())),
        );
    }
    for account in 0..ACCOUNTS {
        apply(
            &mut tree,
            Write::Single(create(format!("/accounts/{account}"), "0".to_owned())),
        );
        apply(
            &mut tree,
            Write::Single(create(format!("/left/{account}"), "x".repeat(100))),
        );
    }
    tree.publish();

    let done = AtomicBool::new(false);
    let looks = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (reader, done, looks) = (tree.reader(), &done, &looks);
            scope.spawn(move || watch(&reader, seed, done, looks));
        }
        let mut random = 88_172_645_463_325_252u64;
        let mut below = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % bound as u64) as usize
        };
        let mut steps = 0;
        while steps < 20_000 || looks.load(Ordering::Relaxed) < 300 {
            steps += 1;
            let view = tree.reader().view();
            let (from, to) = (below(ACCOUNTS), below(ACCOUNTS));
            if from != to {
                let (from, to) = (format!("/accounts/{from}"), format!("/accounts/{to}"));
                let (had, has) = (number(&view, &from), number(&view, &to));
                apply(
                    &mut tree,
                    Write::Multi(vec![
                        set(from, (had - 1).to_string()),
                        set(to, (has + 1).to_string()),
                    ]),
                );
            }
            let child = below(ACCOUNTS);
            let sides = ["/left", "/right"].map(|side| format!("{side}/{child}"));
            let (here, there) = match view.exists(&sides[0]) {
                Some(_) => (&sides[0], &sides[1]),
                None => (&sides[1], &sides[0]),
            };
            let delete = WriteOp::Delete {
                path: here.clone(),
                version: -1,
            };
            apply(
                &mut tree,
                Write::Multi(vec![delete, create(there.clone(), "y".repeat(100))]),
            );
            tree.publish();
        }
        done.store(true, Ordering::Relaxed);
    });
    tree.publish();
    while tree.reclaim(1_000) == 1_000 {}
    assert_eq!(tree.stats().old_versions, 0, "all views are gone");
}

/// What is deleted and created between two runs moves children in the store; the listing is of
/// its view all the same, and so are the znodes that it leads to.
#[test]
fn a_listing_in_runs_finds_what_a_listing_finds() {
    let mut tree = Tree::new();
    apply(
        &mut tree,
        Write::Single(create("/left".to_owned(), String::new())),
    );
    for child in 0..1_000 {
        let op = create(format!("/left/{child}"), child.to_string());
        apply(&mut tree, Write::Single(op));
    }
    tree.publish();
    assert!(tree.reader().view().list("/none").is_none());
    let view = tree.reader().view();
    let mut listing = view.list("/left").expect("it is there");
    let mut found = BTreeMap::new();
    let mut runs = 0;
    while listing
        .run(&mut |name, place| {
            found.insert(name.to_owned(), place);
        })
        .is_some()
    {
        for child in (runs * 100)..(runs * 100 + 50) {
            let path = format!("/left/{child}");
            apply(
                &mut tree,
                Write::Single(WriteOp::Delete { path, version: -1 }),
            );
            let op = create(format!("/left/new-{child}"), String::new());
            apply(&mut tree, Write::Single(op));
        }
        tree.publish();
        tree.reclaim(1_000);
        runs += 1;
    }
    assert!(runs >= 8, "{runs} runs of 1,000 children");
    let children = view.children("/left").expect("it is there");
    let names: Vec<String> = found.keys().cloned().collect();
    assert_eq!(names, children.names);
    for (name, place) in found {
        let znode = view.get_at(place).expect("the view sees it");
        assert_eq!(znode.data.as_deref(), Some(name.as_bytes()));
        assert_eq!(view.list_at(place).run(&mut |_, _| {}), Some(0));
    }
}

fn watch(reader: &Reader, seed: u64, done: &AtomicBool, looks: &AtomicU64) {
    let mut held: Vec<(View, i64)> = Vec::new();
    let mut turn = seed;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let view = reader.view();
        check(&view);
        held.push((view.clone(), number(&view, "/accounts/0")));
        if held.len() > 5 {
            let (old, then) = held.remove((turn % 5) as usize);
            assert_eq!(number(&old, "/accounts/0"), then);
            check(&old);
        }
        looks.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(view: &View) {
    let sum: i64 = (0..ACCOUNTS)
        .map(|account| number(view, &format!("/accounts/{account}")))
        .sum();
    assert_eq!(sum, 0, "at {}", view.zxid());
    let mut names = Vec::new();
    for side in ["/left", "/right"] {
        let children = view.children(side).expect("the folders stay");
        assert_eq!(
            children.names.len(),
            children.stat.num_children as usize,
            "{side} at {}",
            view.zxid()
        );
        let mut scanned = Vec::new();
        view.scan(side, &mut |path, _| {
            scanned.extend(
                path.strip_prefix(side)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .map(str::to_owned),
            );
            ControlFlow::Continue(())
        });
        assert_eq!(scanned, children.names, "{side} at {}", view.zxid());
        names.extend(children.names);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ACCOUNTS, "at {}", view.zxid());
}

/// Another state comes from elsewhere, as with a snapshot of another node. Readers that were given
/// out before show it, and what is published later; views stay what they were.
#[test]
fn a_reader_goes_on_with_the_state_that_took_the_place() {
    let grown = |names: &[&str]| {
        let mut tree = Tree::new();
        for name in names {
            let write = create(format!("/{name}"), (*name).to_owned());
            apply(&mut tree, Write::Single(write));
        }
        tree.publish();
        tree
    };
    let has = |view: &View, path: &str| view.get(path).is_some();
    let mut tree = grown(&["a", "b"]);
    let reader = tree.reader();
    let before = reader.view();
    let old = tree.replace(grown(&["b", "c", "d"]));
    assert_eq!(old.last_zxid().0, 2);
    drop(old);

    let after = reader.view();
    assert_eq!((before.zxid().0, after.zxid().0), (2, 3));
    assert!(has(&before, "/a") && !has(&before, "/c"));
    assert!(!has(&after, "/a") && has(&after, "/d"));
    apply(
        &mut tree,
        Write::Single(set("/c".to_owned(), "new".to_owned())),
    );
    assert_eq!(reader.last_zxid().0, 3, "nothing was published");
    tree.publish();
    assert_eq!(reader.last_zxid().0, 4);
    let data = |view: &View| view.get("/c").and_then(|znode| znode.data);
    assert_eq!(data(&reader.view()).as_deref(), Some(b"new".as_slice()));
    assert_eq!(data(&after).as_deref(), Some(b"c".as_slice()));
    // The old version goes when the last view of it has gone.
    assert_eq!(tree.stats().old_versions, 1);
    drop((before, after));
    tree.reclaim(100);
    assert_eq!(tree.stats().old_versions, 0);
}
