//! Authorizer guest `path-rules`: allow and deny rules by principal, operation and path.
//!
//! The binding's configuration names the znode that holds the rules, which the binding must
//! declare under `policy` as well: `{"rules": "/policies/main"}`. The znode holds
//!
//! ```json
//! {
//!   "default": "allow",
//!   "rules": [
//!     {"effect": "deny", "principal": "*", "operations": ["write", "delete"], "path": "/secret/**"},
//!     {"effect": "allow", "principal": "digest:alice:*", "operations": ["*"], "path": "/teams/*/inbox"}
//!   ]
//! }
//! ```
//!
//! How a request is decided:
//!
//! 1. A rule matches if its principal, one of its operations and its path do.
//! 2. If any rule that matches denies, the answer is deny. The order of rules is nothing.
//! 3. Else, if any rule that matches allows, the answer is allow.
//! 4. Else it is the `default`: `allow` if the document names none.
//!
//! An authorizer is asked only after the znode's ACL has allowed: a rule that allows gives
//! nobody more than the ACL does.
//!
//! - `principal` (default `*`): `scheme:id`, such as `ip:10.1.2.3` or `digest:alice:Yk…=`;
//!   a star at its end stands for any rest (`digest:alice:*` whatever her password is,
//!   `ip:10.1.*`, `digest:*` for whoever gave a name and a password); `*` and
//!   `world:anyone` are everybody.
//! - `operations` (default all): ZooKeeper's permissions `create`, `read` (exists, get-data,
//!   get-children, get-acl and check), `write` (set-data), `delete` and `admin` (set-acl);
//!   any operation by its own name (those just listed, and `sync`); `*` for all. Unlike in
//!   ACLs, the path of a create or delete is that of the znode itself, not its parent's.
//! - `path`: literal segments, `*` for any one segment, `**` at the end for a subtree with
//!   its root: `/a/**` is `/a` and all below.
//!
//! A document that is missing or wrong is an error in `load`, which names the rule that is
//! wrong; the host then denies everything that the binding covers, unless the binding says
//! otherwise. An unknown field is wrong, so that a rule with a slip in it is not half a rule.

mod document;
mod rules;

use innkeeper_authorizer::prelude::*;

use crate::document::Document;
use crate::rules::Rules;

/// The binding's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The path of the znode that holds the rules.
    rules: String,
}

impl Authorizer for Rules {
    type Config = Config;

    fn load(config: Config, policy: &dyn Policy) -> Result<Self> {
        let path = config.rules;
        let Some(znode) = policy.get(&path)? else {
            return Err(Error::new(format!(
                "there are no rules: create {path} with {{\"default\": \"allow\", \"rules\": []}}"
            )));
        };
        let wrong = |why: String| Error::new(format!("the rules in {path} are wrong: {why}"));
        let document: Document =
            serde_json::from_slice(&znode.data).map_err(|error| wrong(error.to_string()))?;
        Rules::compile(document).map_err(wrong)
    }

    fn decide(&self, request: &Request) -> Decision {
        Rules::decide(self, request)
    }
}

innkeeper_authorizer::authorizer!(Rules);
