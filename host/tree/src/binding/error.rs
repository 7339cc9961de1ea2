//! Why a document is not a binding.

use std::fmt;

use super::bounds::{MAX_CONFIG_BYTES, MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_PATTERNS};
use crate::names::NameError;
use crate::pattern::{PathPattern, PatternError};
use crate::{Digest, World};

/// A field of a document that holds patterns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternField {
    /// `watch`
    Watch,
    /// `read`
    Read,
    /// `write`
    Write,
    /// `policy`
    Policy,
}

impl fmt::Display for PatternField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PatternField::Watch => "watch",
            PatternField::Read => "read",
            PatternField::Write => "write",
            PatternField::Policy => "policy",
        })
    }
}

/// Why a document is no binding. Each is one sentence that says what is wrong and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BindingError {
    /// The znode's name cannot be a binding's.
    #[error(
        "`{0}` cannot name a binding; use 1 to {max} lower-case letters, digits, `-`, `_` and `.`",
        max = MAX_NAME_BYTES
    )]
    Name(String),
    /// No data.
    #[error(
        "the binding is empty; write a JSON document with at least `world` and `module` into it"
    )]
    Empty,
    /// Too much data.
    #[error("the binding's document has {0} bytes; shorten it to {MAX_DOCUMENT_BYTES} at most")]
    TooLong(usize),
    /// Not JSON, an unknown field, a field missing or of the wrong type.
    #[error(
        "the binding's document cannot be read: {0}; write a JSON object with `world`, `module` and, as the world needs them, watch, read, write, policy, config, limits and on_failure"
    )]
    Syntax(String),
    /// `world` names no world.
    #[error("`world`: {0}")]
    World(NameError),
    /// `module` names no module.
    #[error(
        "`module`: `{0}` is no module's name; write `sha256:` and 64 hexadecimal digits, as the module's push answered"
    )]
    Module(String),
    /// A pattern is wrong.
    #[error("`{field}`: {error}")]
    Pattern {
        /// Where.
        field: PatternField,
        /// How.
        error: PatternError,
    },
    /// Too many patterns.
    #[error("`{field}` has {count} patterns; use at most {MAX_PATTERNS}, or wider ones")]
    TooManyPatterns {
        /// Where.
        field: PatternField,
        /// How many.
        count: usize,
    },
    /// Patterns that mean nothing for the world.
    #[error("`{field}` means nothing for world `{world}`; remove it")]
    PatternsOfOtherWorld {
        /// Where.
        field: PatternField,
        /// The document's world.
        world: World,
    },
    /// A recipe without events, an authorizer without requests.
    #[error("`watch` is empty, so the {0} would never be called; name at least one path pattern")]
    NothingWatched(World),
    /// A guest reaches for the system's own paths.
    #[error(
        "`{field}`: `{pattern}` lies within /innkeeper or /zookeeper, which no guest may {field}; remove it"
    )]
    SystemPath {
        /// Where.
        field: PatternField,
        /// Which.
        pattern: PathPattern,
    },
    /// `config` is too long.
    #[error(
        "`config` has {0} bytes; shorten it to {MAX_CONFIG_BYTES} at most, or put it into a znode that the guest reads"
    )]
    ConfigTooLong(usize),
    /// No such limit.
    #[error(
        "`limits` has no `{0}`; its fields are fuel, memory_bytes, queue, transaction_ops, transaction_bytes, output_bytes, host_calls, calls_per_second, time_ms and bytes_per_second"
    )]
    UnknownLimit(String),
    /// The limit means nothing for the world.
    #[error("`limits.{limit}` means nothing for world `{world}`; remove it")]
    LimitOfOtherWorld {
        /// Which.
        limit: &'static str,
        /// The document's world.
        world: World,
    },
    /// The limit is too low or too high.
    #[error("`limits.{limit}` is {value}; choose a number from {least} to {most}")]
    LimitOutOfRange {
        /// Which.
        limit: &'static str,
        /// As the document has it.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// No such module is registered.
    #[error(
        "`module`: nobody has pushed {0}; push it with `innkeeper module push`, or name one of `innkeeper module list`"
    )]
    UnknownModule(Digest),
    /// The module is another kind of guest.
    #[error(
        "`world` is `{world}`, but {module} is built for world `{exports}`; correct `world`, or name another module"
    )]
    ModuleOfOtherWorld {
        /// The document's module.
        module: Digest,
        /// The document's world.
        world: World,
        /// The module's world.
        exports: World,
    },
    /// `on_failure` is neither.
    #[error("`on_failure` is `{0}`; write `deny` or `allow`")]
    OnFailure(String),
    /// `on_failure` for another world.
    #[error("`on_failure` means nothing for world `{0}`; remove it")]
    OnFailureOfOtherWorld(World),
}
