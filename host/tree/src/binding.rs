//! Bindings: which module reacts to, assigns or authorizes what (`/innkeeper/bindings/<name>`).
//!
//! A document goes through three steps:
//! 1. A client writes the znode; apply parses and validates the document with
//!    [`judge`] (a bad one is BadArguments). It is the *wish*.
//! 2. The node compiles the module and proposes Activate.
//! 3. Activate makes it the *active* definition, which alone has effect.
//!
//! The document is JSON. Every field but `world` and `module` may be left out; one that is
//! unknown, or that means nothing for the world, is refused:
//!
//! ```json
//! { "world": "recipe",                        // or "assignor", "authorizer"
//!   "module": "sha256:<64 hex digits>",
//!   "watch":  ["/groups/*/members/**"],       // recipe: events; authorizer: whose requests it decides
//!   "read":   ["/groups/**"],                 // recipe: may read (watch and write paths are readable too)
//!   "write":  ["/groups/*/assignments/**"],   // recipe: may write
//!   "policy": ["/policies/main"],             // authorizer: what load may read
//!   "config": {},                             // any JSON, handed to the guest
//!   "limits": { "fuel": 1000000 },            // see Limits
//!   "on_failure": "deny" }                    // authorizer: or "allow"
//! ```

mod definition;
mod document;
mod limits;

pub use definition::{Definition, OnFailure, is_system};
pub use document::{
    BindingError, MAX_CONFIG_BYTES, MAX_DOCUMENT_BYTES, MAX_PATTERNS, PatternField, judge,
};
pub use limits::{LimitField, Limits};

use crate::path;

/// The longest name of a binding, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The binding that a znode below `/innkeeper/bindings` states, if it is one: a direct child.
/// The name still has to pass [`check_name`].
pub fn name_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(path::BINDINGS)?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Refuses what cannot name a binding.
pub fn check_name(name: &str) -> Result<(), BindingError> {
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if fits {
        Ok(())
    } else {
        Err(BindingError::Name(crate::names::shorten(name)))
    }
}

#[cfg(test)]
pub(crate) mod tests;
