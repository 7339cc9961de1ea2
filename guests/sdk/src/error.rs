//! One error type for guests: what they return to the host, in a sentence.

use std::fmt;

use crate::transaction::AssignError;

/// ZooKeeper's error codes, as an operation on the tree answers them.
pub use crate::bindings::innkeeper::guest::types::Error as Code;

/// A result with the SDK's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a guest cannot go on. `?` makes one of every error that this crate gives out, of
/// serde_json's, and of a `String` or `&str`. Returned to the host it becomes its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// An operation on a path failed.
    Operation {
        /// Its name: `get`, `create` and so on.
        operation: &'static str,
        /// The path.
        path: String,
        /// ZooKeeper's code.
        code: Code,
    },
    /// The call of an assignor failed.
    Assign {
        /// The name of the assignor's binding.
        assignor: String,
        /// Why.
        reason: AssignError,
    },
    /// Anything else, as a sentence for the operator.
    Message(String),
}

impl Error {
    /// An error with a sentence of one's own.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// The code, if an operation on the tree failed.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Operation { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn operation(operation: &'static str, path: &str) -> impl FnOnce(Code) -> Self {
        move |code| Self::Operation {
            operation,
            path: path.to_owned(),
            code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation {
                operation,
                path,
                code,
            } => write!(f, "cannot {operation} {path}: {}", code.name()),
            Self::Assign { assignor, reason } => match reason {
                AssignError::UnknownAssignor => write!(
                    f,
                    "there is no active assignor named {assignor}: bind one of that name"
                ),
                AssignError::BadRequest(why) => {
                    write!(f, "the request to assignor {assignor} is wrong: {why}")
                }
                AssignError::Failed(why) => write!(f, "assignor {assignor} failed: {why}"),
                AssignError::Unavailable(why) => {
                    write!(f, "assignor {assignor} is not available: {why}")
                }
                AssignError::BadAnswer(why) => {
                    write!(f, "the answer of assignor {assignor} is wrong: {why}")
                }
            },
            Self::Message(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Message(format!("not the JSON expected: {error}"))
    }
}
