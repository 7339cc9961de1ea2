//! Which part of a binding's document lacks a path that its guest asked for.
//!
//! A guest learns no more than `no-auth`, and most pass that on or trap. So the host remembers
//! the last refusal of an invocation and says it where people look: in the sentence of the
//! failure, or else as a message in the binding's log.

use std::fmt;

use innkeeper_tree::binding::is_system;

use crate::text::name;

/// What a guest wanted to do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To read one znode or its children.
    Read,
    /// To read a whole subtree.
    Scan,
    /// To create, set or delete.
    Write,
}

/// An operation on a path that the binding's document does not grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    operation: &'static str,
    path: String,
    wanted: Wanted,
    /// It was an authorizer, whose one field is `policy`.
    policy: bool,
}

impl Refused {
    pub(crate) fn new(
        operation: &'static str,
        path: &str,
        wanted: Wanted,
        policy: bool,
    ) -> Refused {
        Refused {
            operation,
            path: name(path),
            wanted,
            policy,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused {
            operation, path, ..
        } = self;
        write!(f, "`{operation}` of {path} was refused with no-auth: ")?;
        let (granting, field) = match (self.policy, self.wanted) {
            (true, _) => ("`policy`", "policy"),
            (false, Wanted::Write) => ("`write`", "write"),
            (false, _) => ("`read`, `watch` or `write`", "read"),
        };
        match self.wanted {
            Wanted::Write if is_system(path) => {
                f.write_str("no guest writes below /innkeeper or /zookeeper")
            }
            Wanted::Scan => {
                let below = if path == "/" {
                    "/**".to_owned()
                } else {
                    format!("{path}/**")
                };
                write!(
                    f,
                    "no pattern of {granting} covers all of {below}; add that to the binding's `{field}`"
                )
            }
            Wanted::Read | Wanted::Write => write!(
                f,
                "no pattern of {granting} covers it; add it to the binding's `{field}`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_lacks_the_path_is_named() {
        let told = |operation, path, wanted, policy| {
            Refused::new(operation, path, wanted, policy).to_string()
        };
        assert_eq!(
            told("create", "/x", Wanted::Write, false),
            "`create` of /x was refused with no-auth: no pattern of `write` covers it; add it to the binding's `write`"
        );
        assert_eq!(
            told("get", "/x", Wanted::Read, false),
            "`get` of /x was refused with no-auth: no pattern of `read`, `watch` or `write` covers it; add it to the binding's `read`"
        );
        assert_eq!(
            told("scan", "/x", Wanted::Scan, false),
            "`scan` of /x was refused with no-auth: no pattern of `read`, `watch` or `write` covers all of /x/**; add that to the binding's `read`"
        );
        assert_eq!(
            told("scan", "/", Wanted::Scan, true),
            "`scan` of / was refused with no-auth: no pattern of `policy` covers all of /**; add that to the binding's `policy`"
        );
        assert_eq!(
            told("delete", "/innkeeper/x", Wanted::Write, false),
            "`delete` of /innkeeper/x was refused with no-auth: no guest writes below /innkeeper or /zookeeper"
        );
        assert!(told("get", &"/x".repeat(1 << 20), Wanted::Read, true).len() < 500);
    }
}
