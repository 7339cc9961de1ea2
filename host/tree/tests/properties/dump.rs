//! All that can be read of a state, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use innkeeper_tree::{Tree, View, Znode};

use crate::model::Seen;

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
pub fn dump(view: &View) -> String {
    let mut out = format!("{} {} {}\n", view.zxid(), view.time_ms(), view.level());
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
        let owner = view.owner(&path);
        let _ = writeln!(out, "{path} {seen:?} {:?} {owner:?}", children.names);
    }
    for session in view.sessions() {
        assert_eq!(view.session(session.session), Some(session));
        let _ = writeln!(out, "{session:?}");
    }
    for binding in view.bindings().iter() {
        let _ = writeln!(out, "{binding:?}");
    }
    let _ = writeln!(out, "{:?}", view.modules());
    out
}

/// The newest of a tree, queues, ephemerals and hash included.
pub fn whole(tree: &Tree) -> String {
    let reader = tree.reader();
    let view = reader.view();
    let mut out = dump(&view);
    let _ = writeln!(out, "{:?} {:x}", tree.last_zxid(), tree.hash());
    for session in view.sessions() {
        let _ = writeln!(out, "{:?}", view.ephemerals(session.session));
    }
    for binding in view.bindings().iter() {
        let _ = writeln!(out, "{:?}", reader.queue(&binding.name, usize::MAX));
    }
    out
}
