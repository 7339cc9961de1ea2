//! The names on a simulated disk, and those that survive a power cut.

use std::collections::BTreeMap;

/// The thing that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Folder,
}

/// One change of names that no folder sync has made durable yet.
#[derive(Debug, Clone)]
enum Change {
    Put { path: String, node: Node },
    Remove { path: String },
    Rename { from: String, to: String },
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Change::Put { path, .. } | Change::Remove { path } => (path, None),
            Change::Rename { from, to } => (from, Some(to)),
        };
        std::iter::once(first.as_str()).chain(second.map(String::as_str))
    }

    fn touches_folder(&self, folder: &str) -> bool {
        self.paths().any(|path| parent(path) == folder)
    }

    /// Does this change need `earlier`, because both change the same name?
    fn builds_on(&self, earlier: &Change) -> bool {
        self.paths()
            .any(|mine| earlier.paths().any(|theirs| theirs == mine))
    }

    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Put { path, node } => _ = names.insert(path.clone(), *node),
            Change::Remove { path } => _ = names.remove(path),
            Change::Rename { from, to } => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

/// All names by their full paths: those that the process sees, and those that are on the disk.
///
/// Invariants:
/// - `durable` with `unsynced` applied in order is `current`.
/// - A change reaches `durable` whole (a rename never leaves a file without a name) and never
///   before a change that it builds on.
/// - `durable` may hold names in a folder whose own name is not durable; a power cut takes those
///   with the folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    current: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// With the number of syncs that the disk had begun before.
    unsynced: Vec<(u64, Change)>,
}

impl Names {
    pub(super) fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() {
            return Some(Node::Folder);
        }
        self.current.get(path).copied()
    }

    pub(super) fn put(&mut self, syncs: u64, path: &str, node: Node) {
        let path = path.to_owned();
        self.change(syncs, Change::Put { path, node });
    }

    pub(super) fn remove(&mut self, syncs: u64, path: &str) {
        let path = path.to_owned();
        self.change(syncs, Change::Remove { path });
    }

    pub(super) fn rename(&mut self, syncs: u64, from: &str, to: &str) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(syncs, Change::Rename { from, to });
    }

    fn change(&mut self, syncs: u64, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push((syncs, change));
    }

    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        let in_folder = self.current.keys().filter(|path| parent(path) == folder);
        in_folder.map(|path| name(path).to_owned()).collect()
    }

    /// The files whose path begins with `prefix`, with their paths, as the process sees them.
    pub(super) fn files(&self, prefix: &str) -> impl Iterator<Item = (&str, u64)> {
        let begin = self.current.range(prefix.to_owned()..);
        begin
            .take_while(move |(path, _)| path.starts_with(prefix))
            .filter_map(|(path, node)| match node {
                Node::File(id) => Some((path.as_str(), *id)),
                Node::Folder => None,
            })
    }

    /// Makes every change in `folder` durable that came before the sync with this number began,
    /// with the earlier changes that they need.
    pub(super) fn sync(&mut self, number: u64, folder: &str) {
        let mut wanted: Vec<bool> = self
            .unsynced
            .iter()
            .map(|(syncs, change)| *syncs < number && change.touches_folder(folder))
            .collect();
        for late in (0..wanted.len()).rev() {
            let (earlier, from_late) = wanted.split_at_mut(late);
            if from_late[0] {
                for (earlier, (_, change)) in earlier.iter_mut().zip(&self.unsynced) {
                    *earlier |= self.unsynced[late].1.builds_on(change);
                }
            }
        }
        let mut left = Vec::new();
        for ((syncs, change), wanted) in self.unsynced.drain(..).zip(wanted) {
            if wanted {
                change.apply(&mut self.durable);
            } else {
                left.push((syncs, change));
            }
        }
        self.unsynced = left;
    }

    /// Keeps what survives a power cut: of the unsynced changes, those for which `keep` returns
    /// true and which need no lost change. Changes that came after the sync with the number
    /// `under_way` had begun are lost.
    pub(super) fn cut(&mut self, under_way: Option<u64>, mut keep: impl FnMut() -> bool) {
        let mut lost: Vec<Change> = Vec::new();
        for (syncs, change) in self.unsynced.drain(..) {
            let wished = under_way.is_none_or(|number| syncs < number) && keep();
            if wished && !lost.iter().any(|earlier| change.builds_on(earlier)) {
                change.apply(&mut self.durable);
            } else {
                lost.push(change);
            }
        }
        // In the order of the paths, so that everything inside a lost folder is lost, too.
        let mut survivors: BTreeMap<String, Node> = BTreeMap::new();
        for (path, node) in std::mem::take(&mut self.durable) {
            let folder = parent(&path);
            if folder.is_empty() || survivors.get(folder) == Some(&Node::Folder) {
                survivors.insert(path, node);
            }
        }
        self.current = survivors.clone();
        self.durable = survivors;
    }
}

/// The folder of a path; `""` is the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
