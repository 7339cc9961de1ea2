//! The rules as `decide` wants them: a tree of path segments with the rules at its nodes, so
//! that a decision looks at the rules of the request's path alone.

use std::collections::BTreeMap;

use innkeeper_authorizer::Principal;
use innkeeper_authorizer::prelude::*;

use crate::document::{Document, Effect, Rule};

/// Compiled rules.
pub(crate) struct Rules {
    default: Effect,
    rules: Vec<Compiled>,
    root: Node,
}

/// A rule without its path.
struct Compiled {
    effect: Effect,
    who: Who,
    operations: Operations,
    /// What the operator's log says when it denies.
    reason: String,
}

/// Whom a rule is about.
enum Who {
    Everybody,
    /// The whole `scheme:id`.
    Exactly(String),
    /// What `scheme:id` begins with.
    Beginning(String),
}

/// A set of operations, one bit each.
#[derive(Clone, Copy)]
struct Operations(u16);

/// A place in the tree of patterns.
#[derive(Default)]
struct Node {
    literal: BTreeMap<String, Node>,
    any: Option<Box<Node>>,
    /// Rules whose pattern ends here.
    here: Vec<usize>,
    /// Rules whose pattern goes on with `**`.
    subtree: Vec<usize>,
}

impl Rules {
    /// Compiles a document, or says which rule is wrong and why.
    pub(crate) fn compile(document: Document) -> Result<Self, String> {
        let mut rules = Self {
            default: document.default,
            rules: Vec::with_capacity(document.rules.len()),
            root: Node::default(),
        };
        for (index, rule) in document.rules.into_iter().enumerate() {
            let number = index + 1;
            let compiled = Compiled::new(&rule, number)
                .and_then(|compiled| rules.root.insert(&rule.path, index).map(|()| compiled));
            rules
                .rules
                .push(compiled.map_err(|why| format!("rule {number}: {why}"))?);
        }
        Ok(rules)
    }

    /// Decides: any deny, else any allow, else the default.
    pub(crate) fn decide(&self, request: &Request) -> Decision {
        let operation = Operations::of(request.operation);
        let below_root = request.path.strip_prefix('/').unwrap_or(&request.path);
        let mut effect = None;
        let denied = self.root.find(below_root, &mut |index| {
            let rule = &self.rules[index];
            if rule.operations.0 & operation.0 == 0 || !rule.who.is_among(&request.principals) {
                return None;
            }
            effect = Some(Effect::Allow);
            (rule.effect == Effect::Deny).then_some(rule)
        });
        match (denied, effect.unwrap_or(self.default)) {
            (Some(rule), _) => Decision::Deny(Some(rule.reason.clone())),
            (None, Effect::Allow) => Decision::Allow,
            (None, Effect::Deny) => {
                Decision::Deny(Some("no rule matches, and the default is deny".to_owned()))
            }
        }
    }
}

impl Compiled {
    fn new(rule: &Rule, number: usize) -> Result<Self, String> {
        if rule.operations.is_empty() {
            return Err("it has no operations: name some, or \"*\"".to_owned());
        }
        let operations = rule
            .operations
            .iter()
            .map(|name| Operations::parse(name))
            .try_fold(0, |all, one| one.map(|one| all | one.0))?;
        Ok(Self {
            effect: rule.effect,
            who: Who::parse(&rule.principal)?,
            operations: Operations(operations),
            reason: format!(
                "rule {number}: {} may not {} {}",
                rule.principal,
                rule.operations.join(", "),
                rule.path
            ),
        })
    }
}

impl Who {
    fn parse(principal: &str) -> Result<Self, String> {
        let (text, beginning) = match principal.strip_suffix('*') {
            Some(text) => (text, true),
            None => (principal, false),
        };
        match (text, beginning) {
            ("", true) | ("world:anyone", false) => Ok(Self::Everybody),
            _ if text.contains('*') => {
                Err(format!("principal {principal} has a star before its end"))
            }
            _ if !text.contains(':') => Err(format!(
                "principal {principal} is not of the form scheme:id"
            )),
            (_, true) => Ok(Self::Beginning(text.to_owned())),
            (_, false) => Ok(Self::Exactly(text.to_owned())),
        }
    }

    fn is_among(&self, principals: &[Principal]) -> bool {
        principals.iter().any(|principal| match self {
            Self::Everybody => true,
            Self::Exactly(text) => id_in(text, principal) == Some(&principal.id),
            Self::Beginning(text) => {
                id_in(text, principal).is_some_and(|beginning| principal.id.starts_with(beginning))
            }
        })
    }
}

/// What stands behind the principal's own scheme in `text`, compared in place.
fn id_in<'a>(text: &'a str, principal: &Principal) -> Option<&'a str> {
    text.strip_prefix(principal.scheme.as_str())?
        .strip_prefix(':')
}

impl Operations {
    const ALL: Self = Self(u16::MAX);

    const fn of(operation: Operation) -> Self {
        Self(1 << operation as u8)
    }

    fn parse(name: &str) -> Result<Self, String> {
        let one = Self::of;
        Ok(match name {
            "*" => Self::ALL,
            "create" => one(Operation::Create),
            "delete" => one(Operation::Delete),
            "write" | "set-data" => one(Operation::SetData),
            "admin" | "set-acl" => one(Operation::SetAcl),
            "read" => Self(
                one(Operation::Exists).0
                    | one(Operation::GetData).0
                    | one(Operation::GetChildren).0
                    | one(Operation::GetAcl).0
                    | one(Operation::Check).0,
            ),
            "exists" => one(Operation::Exists),
            "get-data" => one(Operation::GetData),
            "get-children" => one(Operation::GetChildren),
            "get-acl" => one(Operation::GetAcl),
            "check" => one(Operation::Check),
            "sync" => one(Operation::Sync),
            _ => {
                return Err(format!(
                    "there is no operation {name}: take create, read, write, delete, admin, \
                     an operation's own name such as get-data, or *"
                ));
            }
        })
    }
}

impl Node {
    /// Adds the rule `index` at a pattern.
    fn insert(&mut self, pattern: &str, index: usize) -> Result<(), String> {
        let Some(rest) = pattern.strip_prefix('/') else {
            return Err(format!("path {pattern:?} does not begin with a slash"));
        };
        let mut node = self;
        let mut segments = rest.split('/').filter(|_| !rest.is_empty()).peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "**" if segments.peek().is_none() => {
                    node.subtree.push(index);
                    return Ok(());
                }
                "*" => node = node.any.get_or_insert_default(),
                "" => return Err(format!("path {pattern} has an empty segment")),
                "." | ".." => return Err(format!("path {pattern} is relative")),
                _ if segment.contains('*') => {
                    return Err(format!(
                        "path {pattern}: a star is a whole segment, two stars only the last"
                    ));
                }
                _ => node = node.literal.entry(segment.to_owned()).or_default(),
            }
        }
        node.here.push(index);
        Ok(())
    }

    /// Calls `found` with each rule whose pattern matches, until it says something. `rest`
    /// is the path without its first slash, or what of it stands below this node.
    fn find<T>(&self, rest: &str, found: &mut impl FnMut(usize) -> Option<T>) -> Option<T> {
        if let Some(found) = self.subtree.iter().find_map(|&index| found(index)) {
            return Some(found);
        }
        if rest.is_empty() {
            return self.here.iter().find_map(|&index| found(index));
        }
        let (segment, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let literal = self.literal.get(segment);
        literal
            .into_iter()
            .chain(self.any.as_deref())
            .find_map(|node| node.find(rest, found))
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_guest::testing::Memory;

    use super::*;
    use crate::Config;

    fn load(document: &str) -> Result<Rules> {
        let mut tree = Memory::new();
        tree.make("/policies/main", document.as_bytes());
        let config = Config {
            rules: "/policies/main".to_owned(),
        };
        <Rules as Authorizer>::load(config, &tree)
    }

    fn request(principals: &[(&str, &str)], operation: Operation, path: &str) -> Request {
        let principals = principals.iter().map(|(scheme, id)| Principal {
            scheme: (*scheme).to_owned(),
            id: (*id).to_owned(),
        });
        Request {
            principals: principals.collect(),
            operation,
            path: path.to_owned(),
        }
    }

    const ALICE: [(&str, &str); 2] = [("ip", "10.1.2.3"), ("digest", "alice:hash")];
    const BOB: [(&str, &str); 2] = [("ip", "10.1.2.4"), ("digest", "bob:hash")];
    const NOBODY: [(&str, &str); 1] = [("ip", "127.0.0.1")];

    fn allows(rules: &Rules, who: &[(&str, &str)], operation: Operation, path: &str) -> bool {
        rules.decide(&request(who, operation, path)) == Decision::Allow
    }

    #[test]
    fn deny_wins_whatever_the_order() {
        let allow = r#"{"effect": "allow", "path": "/a/**"}"#;
        let deny = r#"{"effect": "deny", "operations": ["write"], "path": "/a/b"}"#;
        for rules in [format!("{allow}, {deny}"), format!("{deny}, {allow}")] {
            let rules = load(&format!(r#"{{"default": "deny", "rules": [{rules}]}}"#)).unwrap();
            assert!(!allows(&rules, &ALICE, Operation::SetData, "/a/b"));
            assert!(allows(&rules, &ALICE, Operation::GetData, "/a/b"));
            assert!(allows(&rules, &ALICE, Operation::SetData, "/a/b/c"));
            assert!(!allows(&rules, &ALICE, Operation::GetData, "/b"));
        }
    }

    #[test]
    fn the_default_is_allow_unless_it_says_otherwise() {
        assert!(allows(
            &load("{}").unwrap(),
            &NOBODY,
            Operation::Delete,
            "/"
        ));
        let rules = load(r#"{"default": "deny"}"#).unwrap();
        assert!(!allows(&rules, &NOBODY, Operation::Sync, "/"));
    }

    #[test]
    fn principals() {
        let who = |principal: &str| {
            let rule =
                format!(r#"{{"effect": "allow", "principal": "{principal}", "path": "/**"}}"#);
            let rules = load(&format!(r#"{{"default": "deny", "rules": [{rule}]}}"#)).unwrap();
            [&ALICE[..], &BOB, &NOBODY].map(|who| allows(&rules, who, Operation::Exists, "/x"))
        };
        assert_eq!(who("*"), [true, true, true]);
        assert_eq!(who("world:anyone"), [true, true, true]);
        assert_eq!(who("digest:alice:hash"), [true, false, false]);
        assert_eq!(who("digest:alice:*"), [true, false, false]);
        assert_eq!(who("digest:alice"), [false, false, false]);
        assert_eq!(who("digest:*"), [true, true, false]);
        assert_eq!(who("ip:10.1.*"), [true, true, false]);
        assert_eq!(who("ip:10.1.2.4"), [false, true, false]);
    }

    #[test]
    fn paths() {
        let matches = |pattern: &str| {
            let rule = format!(r#"{{"effect": "deny", "path": "{pattern}"}}"#);
            let rules = load(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap();
            let paths = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b/b"];
            let denied = paths
                .iter()
                .filter(|path| !allows(&rules, &NOBODY, Operation::GetData, path));
            denied.copied().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(matches("/"), "/");
        assert_eq!(matches("/**"), "/ /a /a/b /a/b/c /ab /b/b");
        assert_eq!(matches("/a"), "/a");
        assert_eq!(matches("/a/**"), "/a /a/b /a/b/c");
        assert_eq!(matches("/*"), "/a /ab");
        assert_eq!(matches("/*/b"), "/a/b /b/b");
        assert_eq!(matches("/*/*/**"), "/a/b /a/b/c /b/b");
    }

    /// A literal and a star both lead on, and the way that fails does not hide the other.
    #[test]
    fn all_ways_through_the_patterns_are_tried() {
        let rules = r#"{"default": "deny", "rules": [
            {"effect": "allow", "path": "/a/x"}, {"effect": "allow", "path": "/*/y"}]}"#;
        assert!(allows(
            &load(rules).unwrap(),
            &NOBODY,
            Operation::GetData,
            "/a/y"
        ));
    }

    #[test]
    fn operations() {
        use Operation::*;
        let all = [
            Create,
            Delete,
            Exists,
            GetData,
            SetData,
            GetChildren,
            GetAcl,
            SetAcl,
            Check,
            Sync,
        ];
        let denied = |names: &str| {
            let rule = format!(r#"{{"effect": "deny", "operations": [{names}], "path": "/**"}}"#);
            let rules = load(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap();
            all.into_iter()
                .filter(|&operation| !allows(&rules, &NOBODY, operation, "/a"))
                .collect::<Vec<_>>()
        };
        assert_eq!(denied(r#""*""#), all);
        assert_eq!(
            denied(r#""read""#),
            [Exists, GetData, GetChildren, GetAcl, Check]
        );
        assert_eq!(denied(r#""write", "create""#), [Create, SetData]);
        assert_eq!(
            denied(r#""admin", "delete", "sync""#),
            [Delete, SetAcl, Sync]
        );
        assert_eq!(denied(r#""get-data""#), [GetData]);
    }

    #[test]
    fn the_reason_names_the_rule() {
        let rules = load(
            r#"{"rules": [{"effect": "allow", "path": "/**"},
                {"effect": "deny", "principal": "ip:*", "operations": ["delete"], "path": "/a"}]}"#,
        );
        assert_eq!(
            rules
                .unwrap()
                .decide(&request(&NOBODY, Operation::Delete, "/a")),
            Decision::Deny(Some("rule 2: ip:* may not delete /a".to_owned()))
        );
    }

    #[test]
    fn what_is_wrong_is_refused_and_named() {
        for (rule, names) in [
            (r#"{"effect": "permit", "path": "/a"}"#, "permit"),
            (r#"{"effect": "deny"}"#, "path"),
            (r#"{"effect": "deny", "path": "/a", "paths": []}"#, "paths"),
            (r#"{"effect": "deny", "path": "a"}"#, "rule 1"),
            (r#"{"effect": "deny", "path": "/a/"}"#, "empty segment"),
            (r#"{"effect": "deny", "path": "/a/**/b"}"#, "star"),
            (r#"{"effect": "deny", "path": "/a*"}"#, "star"),
            (
                r#"{"effect": "deny", "path": "/a", "operations": []}"#,
                "no operations",
            ),
            (
                r#"{"effect": "deny", "path": "/a", "operations": ["fly"]}"#,
                "fly",
            ),
            (
                r#"{"effect": "deny", "path": "/a", "principal": "bob"}"#,
                "bob",
            ),
            (
                r#"{"effect": "deny", "path": "/a", "principal": "a:*b"}"#,
                "star",
            ),
        ] {
            let error = load(&format!(r#"{{"rules": [{rule}]}}"#))
                .err()
                .expect(rule);
            assert!(error.to_string().contains(names), "{rule}: {error}");
        }
        let config = Config {
            rules: "/policies/main".to_owned(),
        };
        let missing = <Rules as Authorizer>::load(config, &Memory::new()).err();
        assert!(
            missing
                .unwrap()
                .to_string()
                .contains("create /policies/main")
        );
    }
}
