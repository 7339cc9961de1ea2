//! The small closed sets of numbers in the protocol.

use crate::ErrorCode;

/// Xids that are not a client's own count.
pub mod xid {
    /// A watch notification.
    pub const NOTIFICATION: i32 = -1;
    /// A ping and its answer.
    pub const PING: i32 = -2;
    /// An auth packet and its answer.
    pub const AUTH: i32 = -4;
    /// setWatches and its answer.
    pub const SET_WATCHES: i32 = -8;
}

macro_rules! numbered {
    (
        $(#[$outer:meta])*
        $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal,)* }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i32)]
        pub enum $type {
            $($(#[$doc])* $name = $number,)*
        }

        impl $type {
            /// All of them, in the order of the declaration.
            pub const ALL: &'static [$type] = &[$($type::$name,)*];

            /// The one with this number, if there is one.
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number {
                    $($number => Some($type::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name for it, in this crate's spelling: `GetData` for `getData`.
            /// (test: `numbers_and_names_are_zookeepers`)
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$name => stringify!($name),)*
                }
            }

            /// The number on the wire.
            pub const fn as_i32(self) -> i32 {
                self as i32
            }
        }
    };
}

numbered! {
    /// Every operation of ZooKeeper 3.9 has its name here, so that a refusal can be logged in words;
    /// [`crate::request::Request`] has a variant only for those that can be decoded.
    OpCode {
        /// Not an operation: the type of a watch notification.
        Notification = 0,
        /// Create a znode; answers its path.
        Create = 1,
        /// Delete a znode.
        Delete = 2,
        /// The stat of a znode that may be missing.
        Exists = 3,
        /// A znode's data and stat.
        GetData = 4,
        /// Replace a znode's data.
        SetData = 5,
        /// A znode's ACL and stat.
        GetAcl = 6,
        /// Replace a znode's ACL.
        SetAcl = 7,
        /// The names of a znode's children.
        GetChildren = 8,
        /// Catch up with the leader.
        Sync = 9,
        /// Keep the session alive.
        Ping = 11,
        /// The names of a znode's children, and its stat.
        GetChildren2 = 12,
        /// Check a version; only inside a multi.
        Check = 13,
        /// Several writes, all or none.
        Multi = 14,
        /// Create a znode; answers its path and stat.
        Create2 = 15,
        /// Change the ensemble.
        Reconfig = 16,
        /// Is there such a watch?
        CheckWatches = 17,
        /// Remove watches.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Internal: an empty container is swept.
        DeleteContainer = 20,
        /// Create a znode with a time to live.
        CreateTtl = 21,
        /// Several reads.
        MultiRead = 22,
        /// Add credentials to the connection.
        Auth = 100,
        /// Re-establish watches after a reconnect.
        SetWatches = 101,
        /// One step of a SASL exchange.
        Sasl = 102,
        /// The ephemeral znodes of this session.
        GetEphemerals = 103,
        /// The number of all descendants.
        GetAllChildrenNumber = 104,
        /// setWatches with persistent watches.
        SetWatches2 = 105,
        /// Add a persistent watch.
        AddWatch = 106,
        /// The identities of this connection.
        WhoAmI = 107,
        /// Internal: the type of a session's creation.
        CreateSession = -10,
        /// Close the session.
        CloseSession = -11,
        /// Not an operation: the type of a failed result in a multi.
        Error = -1,
    }
}

numbered! {
    /// What becomes of a znode and its name: the `flags` of a create.
    CreateMode {
        /// Stays until it is deleted.
        Persistent = 0,
        /// Goes with its session.
        Ephemeral = 1,
        /// Persistent, a counter appended to its name.
        PersistentSequential = 2,
        /// Ephemeral, a counter appended to its name.
        EphemeralSequential = 3,
        /// Swept once its last child is gone.
        Container = 4,
        /// Swept when it was not changed for its time to live and has no children.
        PersistentTtl = 5,
        /// The same, a counter appended to its name.
        PersistentSequentialTtl = 6,
    }
}

impl CreateMode {
    /// The mode that a request's flags ask for; other numbers are the client's mistake.
    /// (test: `create_modes_are_zookeepers_and_others_are_bad_arguments`)
    pub const fn from_flags(flags: i32) -> Result<Self, ErrorCode> {
        match Self::from_i32(flags) {
            Some(mode) => Ok(mode),
            None => Err(ErrorCode::BadArguments),
        }
    }

    /// Does the znode go with its session?
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Is a counter appended to the name?
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialTtl
        )
    }

    /// Does the znode have a time to live?
    pub const fn is_ttl(self) -> bool {
        matches!(self, Self::PersistentTtl | Self::PersistentSequentialTtl)
    }
}

numbered! {
    /// What a watch of addWatch covers; it stays until it is removed.
    AddWatchMode {
        /// The znode itself: its data, its existence, and its list of children.
        Persistent = 0,
        /// The znode and all below it: their data and existence, without lists of children.
        PersistentRecursive = 1,
    }
}

numbered! {
    /// What a watch saw.
    EventType {
        /// Nothing about a znode: the state of the connection changed.
        None = -1,
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// The znode's data was set.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
        /// A data watch was removed.
        DataWatchRemoved = 5,
        /// A child watch was removed.
        ChildWatchRemoved = 6,
        /// A persistent watch was removed.
        PersistentWatchRemoved = 7,
    }
}

numbered! {
    /// The state of the connection, as an event tells it. Servers send `SyncConnected` with events about znodes.
    KeeperState {
        /// Never sent.
        Unknown = -1,
        /// Not connected.
        Disconnected = 0,
        /// Never sent.
        NoSyncConnected = 1,
        /// Connected.
        SyncConnected = 3,
        /// The credentials were refused.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// SASL succeeded.
        SaslAuthenticated = 6,
        /// Closed by the client itself.
        Closed = 7,
        /// The session is gone.
        Expired = -112,
    }
}

numbered! {
    /// Which watches removeWatches is about.
    WatcherType {
        /// Watches on the list of children.
        Children = 1,
        /// Watches on data and existence.
        Data = 2,
        /// Any of them.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}
