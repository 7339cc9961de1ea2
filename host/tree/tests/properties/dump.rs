//! All that can be read of a state, and what must hold of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use innkeeper_tree::group::GroupInfo;
use innkeeper_tree::owner::Owner;
use innkeeper_tree::{Binding, Modules, QueueEntry, SessionInfo, Tree, View, Znode, Zxid};

use crate::model::Seen;

/// All that a view shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Dump {
    zxid: Zxid,
    time_ms: u64,
    level: u32,
    /// Each znode with the names of its children and its owner.
    znodes: BTreeMap<String, (Seen, Vec<String>, Option<Owner>)>,
    sessions: Vec<SessionInfo>,
    bindings: Vec<Arc<Binding>>,
    modules: Arc<Modules>,
    group: Option<Arc<GroupInfo>>,
}

/// All that can be read of the newest state of a tree.
#[derive(PartialEq, Debug)]
pub struct Whole {
    view: Dump,
    last_zxid: Zxid,
    hash: u64,
    /// The paths of the ephemerals of each session.
    ephemerals: Vec<Vec<String>>,
    /// The queue of each binding.
    queues: Vec<Vec<QueueEntry>>,
}

pub fn znodes(view: &View) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut last = String::new();
    view.scan("/", &mut |path, Znode { data, stat, acl }| {
        assert!(
            last.is_empty() || path != last,
            "a scan visits each znode once"
        );
        last = path.to_owned();
        all.insert(
            path.to_owned(),
            Seen {
                data: data.map(|data| data.to_vec()),
                stat,
                acl: acl.to_vec(),
            },
        );
        ControlFlow::Continue(())
    });
    all
}

/// All that a view shows, by every way of looking at it.
pub fn dump(view: &View) -> Dump {
    let mut all = BTreeMap::new();
    for (path, seen) in znodes(view) {
        let znode = view.get(&path).expect("what is scanned is there");
        assert_eq!(
            (znode.stat, znode.acl.to_vec()),
            (seen.stat, seen.acl.clone())
        );
        assert_eq!(view.exists(&path).map(|(stat, _)| stat), Some(seen.stat));
        let children = view.children(&path).expect("what is scanned is there");
        assert_eq!(
            children.names.len(),
            seen.stat.num_children as usize,
            "{path}"
        );
        assert!(children.names.is_sorted(), "{path}");
        let owner = view.owner(&path);
        all.insert(path, (seen, children.names, owner));
    }
    let sessions = view.sessions();
    for session in &sessions {
        assert_eq!(view.session(session.session), Some(*session));
    }
    Dump {
        zxid: view.zxid(),
        time_ms: view.time_ms(),
        level: view.level(),
        znodes: all,
        sessions,
        bindings: view.bindings().iter().cloned().collect(),
        modules: view.modules().clone(),
        group: view.group().cloned(),
    }
}

/// The newest of a tree, queues, ephemerals and hash included.
pub fn whole(tree: &Tree) -> Whole {
    let reader = tree.reader();
    let view = reader.view();
    let ephemerals = |session: &SessionInfo| view.ephemerals(session.session);
    let queue = |binding: &Arc<Binding>| reader.queue(&binding.name, usize::MAX);
    Whole {
        view: dump(&view),
        last_zxid: tree.last_zxid(),
        hash: tree.hash(),
        ephemerals: view.sessions().iter().map(ephemerals).collect(),
        queues: view.bindings().iter().map(queue).collect(),
    }
}

/// The counts, sizes, owners and ephemerals of the newest view agree with each other. Nothing is
/// applied meanwhile: the counts are those of now.
pub fn check_counts(view: &View) {
    let mut owned: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let (mut znodes, mut children, mut bytes, mut swept) = (0, 0, 0, 0);
    view.scan("/", &mut |path, Znode { data, stat, .. }| {
        znodes += 1;
        children += stat.num_children as usize;
        bytes += path.len() + data.map_or(0, |data| data.len());
        let mut at_or_below = 0;
        view.scan(path, &mut |_, _| {
            at_or_below += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(view.descendant_count(path), Some(at_or_below - 1), "{path}");
        let owner = view.owner(path).expect("what is scanned is there");
        swept += usize::from(owner.is_swept());
        assert_eq!(owner.shown(), stat.ephemeral_owner, "{path}");
        if let Owner::Session(owner) = owner {
            owned.entry(owner.0).or_default().push(path.to_owned());
        }
        let newest = view.zxid().0 as i64;
        assert!(
            stat.czxid <= stat.mzxid && stat.mzxid <= newest && stat.pzxid <= newest,
            "{path}"
        );
        ControlFlow::Continue(())
    });
    assert_eq!(children, znodes - 1, "every znode but the root is a child");
    assert_eq!(view.znode_count(), znodes);
    assert_eq!(view.data_bytes(), bytes as u64);
    assert_eq!(view.swept_count(), swept);
    assert_eq!(view.descendant_count("/nowhere"), None);
    let mut ephemerals = 0;
    for session in view.sessions() {
        let mut paths = owned.remove(&session.session.0).unwrap_or_default();
        paths.sort();
        assert_eq!(view.ephemerals(session.session), paths);
        ephemerals += paths.len();
    }
    assert_eq!(view.ephemeral_count(), ephemerals);
    assert!(
        owned.is_empty(),
        "ephemerals without their session: {owned:?}"
    );
}
