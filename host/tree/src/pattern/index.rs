//! An index of patterns: a trie over their segments.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{PathPattern, Segment, names};

/// A map from patterns to values, searched by a path that the patterns match.
///
/// Invariants:
/// - The found values are sorted, each once, in whatever order they were inserted.
/// - The cost of a search depends on the path's depth and on the number of different prefixes of
///   patterns that match the path, not on the number of patterns. A literal prefix matches in one
///   way; each `*` beside a matching literal can double the number of ways.
#[derive(Clone, Debug)]
pub struct PatternIndex<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Node<T> {
    literals: BTreeMap<Box<str>, Node<T>>,
    any: Option<Box<Node<T>>>,
    /// Values of the patterns that end here.
    here: Vec<T>,
    /// Values of the patterns whose `**` follows here.
    subtree: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: BTreeMap::new(),
            any: None,
            here: Vec::new(),
            subtree: Vec::new(),
        }
    }
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
            len: 0,
        }
    }
}

impl<T> PatternIndex<T> {
    /// An index without patterns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern. There is no removal: a new index is built when bindings change.
    pub fn insert(&mut self, pattern: &PathPattern, value: T) {
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(name) => node.literals.entry(name.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            };
        }
        let values = if pattern.is_subtree() {
            &mut node.subtree
        } else {
            &mut node.here
        };
        values.push(value);
        self.len += 1;
    }

    /// Is the index empty? This costs one comparison, because it is the common case of each
    /// request.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Does any pattern match?
    pub fn matches(&self, path: &str) -> bool {
        let mut found = false;
        self.visit(path, &mut |values| {
            found |= !values.is_empty();
            found
        });
        found
    }

    /// Calls `visitor` with the values of each matching pattern, until it returns true.
    fn visit<'a>(&'a self, path: &str, visitor: &mut impl FnMut(&'a [T]) -> bool) {
        if self.is_empty() {
            return;
        }
        // The nodes that the path's prefix of the present depth leads to.
        let mut nodes: SmallVec<[&Node<T>; 8]> = SmallVec::new();
        let mut next: SmallVec<[&Node<T>; 8]> = SmallVec::new();
        nodes.push(&self.root);
        for name in names(path.strip_prefix('/').unwrap_or(path)) {
            for node in nodes.drain(..) {
                if visitor(&node.subtree) {
                    return;
                }
                if !node.literals.is_empty()
                    && let Some(child) = node.literals.get(name)
                {
                    next.push(child);
                }
                if let Some(child) = &node.any {
                    next.push(child);
                }
            }
            if next.is_empty() {
                return;
            }
            std::mem::swap(&mut nodes, &mut next);
        }
        for node in nodes {
            if visitor(&node.subtree) || visitor(&node.here) {
                return;
            }
        }
    }
}

impl<T: Ord> PatternIndex<T> {
    /// The values whose patterns match, sorted, each once.
    pub fn find(&self, path: &str) -> SmallVec<[&T; 4]> {
        let mut found = SmallVec::new();
        self.visit(path, &mut |values| {
            found.extend(values);
            false
        });
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }
}
