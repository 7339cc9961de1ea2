//! Patterns of paths, which bindings state, and an index that finds the patterns that match a path.
//!
//! A pattern is written like a path. A segment is literal, or it is `*`, which matches any one
//! segment. A last segment `**` matches the root of a subtree and everything below it:
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `/a` | `/a` | `/a/b` |
//! | `/a/*` | `/a/b` | `/a`, `/a/b/c` |
//! | `/a/**` | `/a`, `/a/b`, `/a/b/c` | `/ab` |
//! | `/a/*/c/**` | `/a/b/c`, `/a/b/c/d` | `/a/b` |
//! | `/**` | everything | |

mod index;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use index::PatternIndex;

use crate::text::piece;

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// The greatest number of segments of a pattern. It bounds the depth of each walk over patterns.
pub const MAX_PATTERN_SEGMENTS: usize = 64;

/// A set of paths that a binding's document states.
///
/// Invariants:
/// - `text` is the normal form: parsing it gives this pattern.
/// - No segment is empty, `.`, `..`, or contains a slash or a character that ZooKeeper
///   forbids in paths.
#[derive(Clone)]
pub struct PathPattern {
    text: Arc<str>,
    segments: Box<[Segment]>,
    subtree: bool,
}

/// One segment of a pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Segment {
    /// Exactly this name.
    Literal(Box<str>),
    /// Any one name.
    Any,
}

impl Segment {
    fn matches(&self, name: &str) -> bool {
        match self {
            Segment::Literal(literal) => **literal == *name,
            Segment::Any => true,
        }
    }

    fn covers(&self, other: &Segment) -> bool {
        *self == Segment::Any || self == other
    }
}

/// Why a text is not a pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatternError {
    /// The text does not begin with a slash.
    #[error("`{0}` is no path pattern: it must begin with `/`")]
    NotAbsolute(String),
    /// The text ends with a slash, or has two slashes in a row.
    #[error(
        "`{0}` is no path pattern: it has an empty segment; write one slash between names and none at the end"
    )]
    EmptySegment(String),
    /// The text has a segment `.` or `..`.
    #[error("`{0}` is no path pattern: `.` and `..` are not resolved; write the path out")]
    Relative(String),
    /// A segment has a star beside other characters.
    #[error(
        "`{0}` is no path pattern: `*` stands for a whole segment, so nothing can stand beside it"
    )]
    PartialStar(String),
    /// `**` is not the last segment.
    #[error(
        "`{0}` is no path pattern: `**` can only be the last segment; use `*` for each segment in between"
    )]
    EarlySubtree(String),
    /// The text has a character that no path may have.
    #[error("`{0}` is no path pattern: it has a character ({1:?}) that ZooKeeper forbids in paths")]
    Character(String, char),
    /// The text has too many bytes or segments.
    #[error(
        "`{0}` is no path pattern: it has more than {MAX_PATTERN_BYTES} bytes or {MAX_PATTERN_SEGMENTS} segments"
    )]
    TooLong(String),
}

/// ZooKeeper's `PathUtils.validatePath`, character by character.
fn is_forbidden(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..
    )
}

impl PathPattern {
    /// Parses a pattern. The error is a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let shown = || piece(text);
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError::NotAbsolute(shown()));
        };
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong(shown()));
        }
        if let Some(character) = text.chars().find(|character| is_forbidden(*character)) {
            return Err(PatternError::Character(shown(), character));
        }
        let mut segments = Vec::new();
        let mut subtree = false;
        for name in names(rest) {
            if subtree {
                return Err(PatternError::EarlySubtree(shown()));
            }
            match name {
                "" => return Err(PatternError::EmptySegment(shown())),
                "." | ".." => return Err(PatternError::Relative(shown())),
                "**" => subtree = true,
                "*" => segments.push(Segment::Any),
                _ if name.contains('*') => return Err(PatternError::PartialStar(shown())),
                _ => segments.push(Segment::Literal(name.into())),
            }
        }
        if segments.len() > MAX_PATTERN_SEGMENTS {
            return Err(PatternError::TooLong(shown()));
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
            subtree,
        })
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does the pattern match this path, which must be valid?
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = self.segments.iter();
        for name in names(path.strip_prefix('/').unwrap_or(path)) {
            match segments.next() {
                Some(segment) if segment.matches(name) => {}
                Some(_) => return false,
                None => return self.subtree,
            }
        }
        segments.next().is_none()
    }

    /// Does the pattern match this path and every possible path below it?
    pub fn matches_subtree(&self, path: &str) -> bool {
        self.subtree && self.matches(path)
    }

    /// Does this pattern match every path that `other` matches?
    pub fn covers(&self, other: &PathPattern) -> bool {
        let lengths_fit = if self.subtree {
            other.segments.len() >= self.segments.len()
        } else {
            !other.subtree && other.segments.len() == self.segments.len()
        };
        lengths_fit
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(own, others)| own.covers(others))
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn is_subtree(&self) -> bool {
        self.subtree
    }
}

/// The segments of a path without its leading slash; none for the root.
fn names(rest: &str) -> impl Iterator<Item = &str> {
    rest.split('/').filter(move |_| !rest.is_empty())
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

impl PartialOrd for PathPattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PathPattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for PathPattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests;
