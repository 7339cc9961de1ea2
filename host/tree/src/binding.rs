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

mod bounds;
mod definition;
mod document;
mod error;
mod limits;
mod name;

pub use bounds::{MAX_CONFIG_BYTES, MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_PATTERNS};
pub use definition::{Definition, OnFailure, is_system};
pub use document::judge;
pub use error::{BindingError, PatternField};
pub use limits::{LimitField, Limits};
pub use name::{check_name, name_of};

#[cfg(test)]
pub(crate) mod tests;
