//! Why a document is not a binding.

use std::fmt;

use super::bounds::{MAX_CONFIG_BYTES, MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_PATTERNS};
use crate::names::NameError;
use crate::pattern::{PathPattern, PatternError};
use crate::{Digest, World};

/// A field of a document that holds patterns of paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternField {
    /// `watch`: a recipe's events, or the requests that an authorizer decides.
    Watch,
    /// `read`: what a recipe may read.
    Read,
    /// `write`: what a recipe may write.
    Write,
    /// `policy`: what an authorizer's `load` may read.
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

/// Why a document is not a binding. Each error is one sentence that says what is wrong and what to
/// do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BindingError {
    /// The znode's name cannot be the name of a binding.
    #[error(
        "`{0}` cannot name a binding; use 1 to {max} lower-case letters, digits, `-`, `_` and `.`",
        max = MAX_NAME_BYTES
    )]
    Name(String),
    /// The znode has no data.
    #[error(
        "the binding is empty; write a JSON document with at least `world` and `module` into it"
    )]
    Empty,
    /// The document is too long.
    #[error("the binding's document has {0} bytes; shorten it to {MAX_DOCUMENT_BYTES} at most")]
    TooLong(usize),
    /// The document is not JSON, or a field is unknown, missing or of the wrong type.
    #[error(
        "the binding's document cannot be read: {0}; write a JSON object with `world`, `module` and, as the world needs them, watch, read, write, policy, config, limits and on_failure"
    )]
    Syntax(String),
    /// `world` is not the name of a world.
    #[error("`world`: {0}")]
    World(NameError),
    /// `module` is not the name of a module.
    #[error(
        "`module`: `{0}` is no module's name; write `sha256:` and 64 hexadecimal digits, as the module's push answered"
    )]
    Module(String),
    /// A pattern is wrong.
    #[error("`{field}`: {error}")]
    Pattern {
        /// The field with the pattern.
        field: PatternField,
        /// The error in the pattern.
        error: PatternError,
    },
    /// A field has too many patterns.
    #[error("`{field}` has {count} patterns; use at most {MAX_PATTERNS}, or wider ones")]
    TooManyPatterns {
        /// The field.
        field: PatternField,
        /// The number of its patterns.
        count: usize,
    },
    /// A field has patterns but has no meaning for the world.
    #[error("`{field}` means nothing for world `{world}`; remove it")]
    PatternsOfOtherWorld {
        /// The field.
        field: PatternField,
        /// The document's world.
        world: World,
    },
    /// A recipe or an authorizer has no pattern in `watch`.
    #[error("`watch` is empty, so the {0} would never be called; name at least one path pattern")]
    NothingWatched(World),
    /// A pattern lies within the system's own paths.
    #[error(
        "`{field}`: `{pattern}` lies within /innkeeper or /zookeeper, which no guest may {field}; remove it"
    )]
    SystemPath {
        /// The field with the pattern.
        field: PatternField,
        /// The pattern.
        pattern: PathPattern,
    },
    /// `config` is too long.
    #[error(
        "`config` has {0} bytes; shorten it to {MAX_CONFIG_BYTES} at most, or put it into a znode that the guest reads"
    )]
    ConfigTooLong(usize),
    /// `limits` has a field that is not a limit.
    #[error(
        "`limits` has no `{0}`; its fields are fuel, memory_bytes, queue, transaction_ops, transaction_bytes, output_bytes, host_calls, calls_per_second, time_ms and bytes_per_second"
    )]
    UnknownLimit(String),
    /// A limit has no meaning for the world.
    #[error("`limits.{limit}` means nothing for world `{world}`; remove it")]
    LimitOfOtherWorld {
        /// The limit's name.
        limit: &'static str,
        /// The document's world.
        world: World,
    },
    /// A limit is too low or too high.
    #[error("`limits.{limit}` is {value}; choose a number from {least} to {most}")]
    LimitOutOfRange {
        /// The limit's name.
        limit: &'static str,
        /// The value in the document.
        value: u64,
        /// The least allowed value.
        least: u64,
        /// The greatest allowed value.
        most: u64,
    },
    /// The module is not registered.
    #[error(
        "`module`: nobody has pushed {0}; push it with `innkeeper module push`, or name one of `innkeeper module list`"
    )]
    UnknownModule(Digest),
    /// The module exports another world.
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
    /// `on_failure` is neither `deny` nor `allow`.
    #[error("`on_failure` is `{0}`; write `deny` or `allow`")]
    OnFailure(String),
    /// Only an authorizer may have `on_failure`.
    #[error("`on_failure` means nothing for world `{0}`; remove it")]
    OnFailureOfOtherWorld(World),
}
