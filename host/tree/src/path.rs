//! Paths of znodes: checks, and functions that take paths apart.
//!
//! The rules are those of ZooKeeper's `PathUtils`. A path is `/`, or one or more segments, each
//! after one slash. No segment is empty, `.` or `..`. Control characters are forbidden, and so are
//! the ranges that Java's 16-bit characters reserve.

use innkeeper_proto::ErrorCode;

/// The root of the tree.
pub const ROOT: &str = "/";
/// ZooKeeper's own subtree.
pub const ZOOKEEPER: &str = "/zookeeper";
/// The parent of ZooKeeper's quotas.
pub const QUOTA: &str = "/zookeeper/quota";
/// The znode that shows ZooKeeper's configuration.
pub const CONFIG: &str = "/zookeeper/config";
/// Innkeeper's own subtree.
pub const INNKEEPER: &str = "/innkeeper";
/// The parent of the bindings' znodes.
pub const BINDINGS: &str = "/innkeeper/bindings";

/// Checks that a text is a path; the error is BadArguments.
pub fn validate(path: &str) -> Result<(), ErrorCode> {
    if is_valid(path) {
        Ok(())
    } else {
        Err(ErrorCode::BadArguments)
    }
}

/// Is this text a path?
pub fn is_valid(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    // Most paths are plain ASCII and need one pass over their bytes.
    let mut segment_start = 0;
    let bytes = rest.as_bytes();
    let mut ascii = true;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => {
                if !is_valid_segment(&bytes[segment_start..at]) {
                    return false;
                }
                segment_start = at + 1;
            }
            0..=0x1f | 0x7f => return false,
            0x80.. => ascii = false,
            _ => {}
        }
    }
    is_valid_segment(&bytes[segment_start..]) && (ascii || rest.chars().all(is_valid_char))
}

fn is_valid_segment(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

/// Refuses characters outside the basic plane, too: in Java they are two surrogates, which
/// ZooKeeper refuses.
fn is_valid_char(char: char) -> bool {
    !matches!(char, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The parent of a valid path other than the root.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => ROOT,
        Some(slash) => &path[..slash],
    }
}

/// The last segment of a valid path; empty for the root.
pub fn name(path: &str) -> &str {
    match path.rfind('/') {
        None => path,
        Some(slash) => &path[slash + 1..],
    }
}

/// The path of a child.
pub fn join(parent: &str, name: &str) -> String {
    let mut path = String::with_capacity(parent.len() + 1 + name.len());
    if parent != ROOT {
        path.push_str(parent);
    }
    path.push('/');
    path.push_str(name);
    path
}

/// Is `path` the same as `root` or below it?
pub fn is_at_or_below(path: &str, root: &str) -> bool {
    root == ROOT
        || path
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The znodes that cannot be deleted.
pub fn is_special(path: &str) -> bool {
    matches!(path, ROOT | ZOOKEEPER | QUOTA | CONFIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_zookeepers() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a.b",
            "/...",
            "/a/..b",
            "/ä",
            "/a b",
            "/a/.b",
            "/\u{fdd0}",
        ] {
            assert!(is_valid(path), "{path:?}");
        }
        for path in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a\0",
            "/\u{1}",
            "/\u{7f}",
            "/\u{85}",
            "/\u{e000}",
            "/\u{fff0}",
            "/\u{1f600}",
        ] {
            assert!(!is_valid(path), "{path:?}");
        }
    }

    #[test]
    fn paths_come_apart_and_together() {
        assert_eq!(
            (parent("/a"), name("/a"), parent("/a/b"), name("/a/b")),
            ("/", "a", "/a", "b")
        );
        assert_eq!(
            (join("/", "a"), join("/a", "b")),
            ("/a".to_owned(), "/a/b".to_owned())
        );
        assert!(
            is_at_or_below("/a/b", "/a") && is_at_or_below("/a", "/a") && is_at_or_below("/a", "/")
        );
        assert!(!is_at_or_below("/ab", "/a"));
    }
}
