//! Bindings: a document at `/innkeeper/bindings/<name>` binds a module to the paths to which it
//! reacts or whose requests it authorizes.
//!
//! A document goes through three steps:
//! 1. A client writes the znode. Apply parses and checks the document with [`parse_and_check`] and
//!    answers BadArguments if it is wrong. The document is now the *wish*.
//! 2. The node compiles the module and proposes Activate.
//! 3. Activate makes the document the *active* definition. Only the active definition has an
//!    effect.
//!
//! The document is JSON. Every field except `world` and `module` may be left out. A field that is
//! unknown, or that has no meaning for the world, is refused:
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
pub use document::parse_and_check;
pub use error::{BindingError, PatternField};
pub use limits::{LimitField, Limits};
pub use name::{check_name, name_of};

#[cfg(test)]
pub(crate) mod tests;
