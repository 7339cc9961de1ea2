//! Where Innkeeper answers otherwise than ZooKeeper on purpose, and why.
//!
//! A rule says what the two answers look like; anything else at the same place is a difference like
//! any other. What is not even sent stands at its end.

use crate::op::{Credential, Step};
use crate::run::Lines;

/// A difference that is meant.
pub struct Rule {
    /// Its name, in the tally.
    pub name: &'static str,
    /// Why Innkeeper does otherwise.
    pub reason: &'static str,
    /// Are the two states different afterwards, so that the rest of the case says nothing?
    pub ends: bool,
    /// Does it explain these two answers?
    applies: fn(Option<&Step>, &Lines, &Lines) -> bool,
}

/// All of them.
pub const RULES: &[Rule] = &[Rule {
    name: "a wrong password does not close the owner's connection",
    reason: "ZooKeeper closes the session's connection before it looks at the password, so whoever \
             guesses a session id can disconnect its owner; the runner drops both",
    ends: false,
    applies: |step, theirs, ours| {
        matches!(
            step,
            Some(Step::Reattach {
                with: Credential::Wrong | Credential::Short | Credential::Null,
                ..
            })
        ) && theirs.len() == ours.len()
            && theirs == ours
    },
}];

/// The rule that explains two different answers, if there is one.
pub fn rule(step: Option<&Step>, theirs: &Lines, ours: &Lines) -> Option<&'static Rule> {
    RULES.iter().find(|rule| (rule.applies)(step, theirs, ours))
}
