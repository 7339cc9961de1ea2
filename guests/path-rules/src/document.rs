//! The rules as an operator writes them.

use innkeeper_authorizer::prelude::*;

/// The policy znode.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The answer where no rule matches.
    #[serde(default)]
    pub(crate) default: Effect,
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    #[default]
    Allow,
    Deny,
}

/// One rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    #[serde(default = "star")]
    pub(crate) principal: String,
    #[serde(default = "stars")]
    pub(crate) operations: Vec<String>,
    pub(crate) path: String,
}

fn star() -> String {
    "*".to_owned()
}

fn stars() -> Vec<String> {
    vec![star()]
}
