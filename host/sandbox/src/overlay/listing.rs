//! Children and subtrees as the transaction sees them, found run by run: the caller may
//! charge and yield between two runs.
//!
//! A listing puts the view's children, then what the transaction's own writes changed among
//! them, into one ordered map. So its cost is that of what it finds (times a logarithm),
//! however much the transaction wrote.

use std::collections::{BTreeMap, btree_map};

use innkeeper_tree::{Listing, Place, path as paths};

use super::reads::What;
use super::{Done, OpError, Overlay, Seen};
use crate::refused::Wanted;

/// How many of the transaction's own writes one run looks at.
const RUN: usize = 128;

/// A listing of one znode's children in progress.
pub(crate) struct Names {
    /// The path of the znode, with a slash at its end.
    below: String,
    in_view: Option<Listing>,
    /// Where to go on among the transaction's own writes.
    next: String,
    found: Found,
}

/// A child's name, and its place in the view unless the transaction itself changed it.
type Found = BTreeMap<Box<str>, Option<Place>>;

impl Names {
    /// The names in byte order, once all runs are done.
    pub(crate) fn into_names(self) -> Vec<String> {
        self.found.into_keys().map(String::from).collect()
    }
}

/// A scan in progress.
pub(crate) struct Scan {
    /// The znode that was found last; empty for the root.
    path: String,
    root: Option<Seen>,
    /// The children of that znode, while they are being listed.
    names: Option<Names>,
    levels: Vec<Level>,
}

struct Level {
    /// The length of the parent's path.
    len: usize,
    children: btree_map::IntoIter<Box<str>, Option<Place>>,
}

/// The result of one step of a scan.
pub(crate) enum Step {
    /// A znode, with its path.
    Found(String, Seen),
    /// Nothing yet: so many places were looked at.
    Looked(usize),
    /// That was all.
    End,
}

impl Overlay {
    /// Begins to list the children of a znode; says how many there are. They are recorded.
    pub(crate) fn children(&mut self, path: &str) -> Done<(Names, usize)> {
        self.may_read("children", path)?;
        let Some(stat) = self.peek_stat(path) else {
            self.record_children(path)?;
            return Err(OpError::NoNode.into());
        };
        self.record_children(path)?;
        Ok((self.names(path, None), stat.num_children.max(0) as usize))
    }

    /// Begins to visit the znode at `prefix` and all below it, parents first, children in byte
    /// order. The subtree is recorded.
    pub(crate) fn scan(&mut self, prefix: &str) -> Done<Scan> {
        paths::validate(prefix).map_err(|_| OpError::BadArguments)?;
        if !self.grants_subtree(prefix) {
            return Err(self.refuse("scan", prefix, Wanted::Scan).into());
        }
        let read = match self.view.exists(prefix) {
            None => What::Absent,
            Some(_) => What::Subtree(self.view.zxid()),
        };
        self.record(prefix, read)?;
        Ok(Scan {
            path: prefix.strip_suffix('/').unwrap_or(prefix).to_string(),
            root: self.peek(prefix),
            names: None,
            levels: Vec::new(),
        })
    }

    fn names(&self, path: &str, place: Option<Place>) -> Names {
        let below = paths::join(path, "");
        Names {
            in_view: match place {
                Some(place) => Some(self.view.list_at(place)),
                None => self.view.list(path),
            },
            next: below.clone(),
            below,
            found: BTreeMap::new(),
        }
    }

    /// Does a run of a listing; says how many places it looked at, `None` when it is done.
    pub(crate) fn run(&self, names: &mut Names) -> Option<usize> {
        if let Some(listing) = &mut names.in_view {
            let found = &mut names.found;
            let looked = listing.run(&mut |name, place| {
                found.insert(name.into(), Some(place));
            });
            if looked.is_some() {
                return looked;
            }
            names.in_view = None;
        }
        self.run_of_changed(names)
    }

    fn run_of_changed(&self, names: &mut Names) -> Option<usize> {
        if names.next.is_empty() {
            return None;
        }
        let below = &names.below;
        let mut range = self.changed.range(std::mem::take(&mut names.next)..);
        let mut looked = 0;
        while let Some((path, seen)) = range.next() {
            let Some(name) = path.strip_prefix(below) else {
                break;
            };
            if looked == RUN {
                names.next = path.clone();
                break;
            }
            looked += 1;
            if name.is_empty() {
                continue;
            }
            match (name.find('/'), seen) {
                (None, Some(_)) => {
                    names.found.insert(name.into(), None);
                }
                (None, None) => {
                    names.found.remove(name);
                }
                // Deeper down: on to what comes after all of it. A zero comes after a slash.
                (Some(slash), _) => {
                    range = self.changed.range(format!("{below}{}0", &name[..slash])..);
                }
            }
        }
        (looked > 0).then_some(looked)
    }

    /// Does a step of a scan.
    pub(crate) fn step(&self, scan: &mut Scan) -> Step {
        if let Some(root) = scan.root.take() {
            let path = if scan.path.is_empty() {
                paths::ROOT
            } else {
                &scan.path
            };
            if root.stat.num_children > 0 {
                scan.names = Some(self.names(path, None));
            }
            return Step::Found(path.to_string(), root);
        }
        if let Some(mut names) = scan.names.take() {
            if let Some(looked) = self.run(&mut names) {
                scan.names = Some(names);
                return Step::Looked(looked);
            }
            scan.levels.push(Level {
                len: scan.path.len(),
                children: names.found.into_iter(),
            });
        }
        let Some(level) = scan.levels.last_mut() else {
            return Step::End;
        };
        scan.path.truncate(level.len);
        let Some((name, place)) = level.children.next() else {
            scan.levels.pop();
            return Step::Looked(1);
        };
        scan.path.push('/');
        scan.path.push_str(&name);
        let seen = match place {
            Some(place) => self.view.get_at(place).map(Seen::from),
            None => self.peek(&scan.path),
        };
        let Some(seen) = seen else {
            return Step::Looked(1);
        };
        if seen.stat.num_children > 0 {
            scan.names = Some(self.names(&scan.path, place));
        }
        Step::Found(scan.path.clone(), seen)
    }
}
