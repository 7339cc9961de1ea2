//! The error codes of the protocol, which are in the header of a reply or in a result of a multi.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// ZooKeeper's error codes. A code is an answer to a client and no failure of this program.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i32)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl ErrorCode {
            /// All codes, in the order of the declaration.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code with this number, if ZooKeeper has one.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(ErrorCode::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name of the code, in this crate's spelling: `NodeExists` for
            /// `NODEEXISTS`. (test: `numbers_and_names_are_zookeepers`)
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => stringify!($name),)*
                }
            }

            /// What the code means, in a few words.
            pub const fn message(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => $text,)*
                }
            }
        }
    };
}

error_codes! {
    /// Not an error.
    Ok = 0, "ok";
    /// Marks the range of system errors; a server does not send it.
    SystemError = -1, "system error";
    /// The answer of the operations after the one that failed in a multi.
    RuntimeInconsistency = -2, "a runtime inconsistency was found";
    /// Stored data contradicts itself.
    DataInconsistency = -3, "a data inconsistency was found";
    /// Used by clients for a connection that broke.
    ConnectionLoss = -4, "the connection to the server was lost";
    /// The request could not be decoded, or the reply not encoded.
    MarshallingError = -5, "the message could not be encoded or decoded";
    /// The operation is not served; the connection is closed after this answer.
    Unimplemented = -6, "the operation is not implemented";
    /// The operation took too long.
    OperationTimeout = -7, "the operation timed out";
    /// An argument is not acceptable: a malformed path, an unknown create mode, a refused binding.
    BadArguments = -8, "the arguments are not valid";
    /// Used only inside ZooKeeper's servers.
    UnknownSession = -12, "the session is not known";
    /// A reconfiguration would have no quorum.
    NewConfigNoQuorum = -13, "no quorum of the new configuration is connected and up to date";
    /// Another reconfiguration is under way.
    ReconfigInProgress = -14, "another reconfiguration is in progress";
    /// Marks the range of API errors; a server does not send it.
    ApiError = -100, "API error";
    /// The znode (or the parent of a znode to create) does not exist.
    NoNode = -101, "the node does not exist";
    /// The ACL, or an authorizer, denies it.
    NoAuth = -102, "not authorized";
    /// The expected version is not the actual one.
    BadVersion = -103, "the version does not match";
    /// An ephemeral znode cannot have children.
    NoChildrenForEphemerals = -108, "ephemeral nodes may not have children";
    /// The znode exists already.
    NodeExists = -110, "the node already exists";
    /// The znode has children.
    NotEmpty = -111, "the node has children";
    /// The session expired or was closed.
    SessionExpired = -112, "the session has expired";
    /// Used inside clients; a server does not send it.
    InvalidCallback = -113, "the callback is not valid";
    /// The ACL is empty or names an unknown scheme or a malformed id.
    InvalidAcl = -114, "the ACL is not valid";
    /// The credentials were refused; the connection is closed after this answer.
    AuthFailed = -115, "authentication failed";
    /// Another connection has the session now; this one is closed.
    SessionMoved = -118, "the session moved to another server";
    /// A write reached a server in read-only mode.
    NotReadOnly = -119, "a write was sent to a read-only server";
    /// An ephemeral znode on a local session.
    EphemeralOnLocalSession = -120, "a local session cannot own ephemeral nodes";
    /// removeWatches found no such watch.
    NoWatcher = -121, "there is no such watcher";
    /// The request took too long.
    RequestTimeout = -122, "the request was not completed in time";
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123, "reconfiguration is disabled";
    /// The server requires an authentication that the client did not pass.
    SessionClosedRequireSaslAuth = -124, "the session was closed because the required authentication is missing";
    /// A quota would be exceeded.
    QuotaExceeded = -125, "the quota is exceeded";
    /// The server is overloaded and did not execute the request.
    ThrottledOp = -127, "the operation was throttled and not executed";
}

impl ErrorCode {
    /// The number in messages.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for ErrorCode {}
