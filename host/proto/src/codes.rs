//! The small sets of numbers in the protocol: operations, modes, kinds and states.

use crate::ErrorCode;

/// Xids with a fixed meaning, which are not a client's own numbers.
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
            /// All values, in the order of the declaration.
            pub const ALL: &'static [$type] = &[$($type::$name,)*];

            /// The value with this number; `None` for an unknown number.
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number {
                    $($number => Some($type::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name of the value, in this crate's spelling: `GetData` for `getData`.
            /// (test: `numbers_and_names_are_zookeepers`)
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$name => stringify!($name),)*
                }
            }

            /// The number in messages.
            pub const fn as_i32(self) -> i32 {
                self as i32
            }
        }
    };
}

numbered! {
    /// All operations of ZooKeeper 3.9, so that a refused one can be named in the log.
    /// [`crate::request::Request`] has only those that can be decoded.
    OpCode {
        /// Not an operation: the type of a watch notification.
        Notification = 0,
        /// Create a znode; answers its path.
        Create = 1,
        /// Delete a znode.
        Delete = 2,
        /// The Stat of a znode, if it exists.
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
        /// Several writes: all of them are done, or none.
        Multi = 14,
        /// Create a znode; answers its path and stat.
        Create2 = 15,
        /// Change the ensemble.
        Reconfig = 16,
        /// Say whether there is such a watch.
        CheckWatches = 17,
        /// Remove watches.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Delete an empty container. ZooKeeper's leader sends it; a client may send it, too.
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
    /// The `flags` of a create: how long the znode stays, and whether its name gets a number.
    CreateMode {
        /// The znode stays until a client deletes it.
        Persistent = 0,
        /// The znode is deleted when its session ends.
        Ephemeral = 1,
        /// Persistent, with a number after its name.
        PersistentSequential = 2,
        /// Ephemeral, with a number after its name.
        EphemeralSequential = 3,
        /// The server deletes the znode after its last child was deleted.
        Container = 4,
        /// The server deletes the znode when it has no children and was not set for its time to
        /// live.
        PersistentTtl = 5,
        /// With a time to live, and with a number after its name.
        PersistentSequentialTtl = 6,
    }
}

impl CreateMode {
    /// The mode of a request's flags; BadArguments for an unknown number.
    /// (test: `create_modes_are_zookeepers_and_others_are_bad_arguments`)
    pub const fn from_flags(flags: i32) -> Result<Self, ErrorCode> {
        match Self::from_i32(flags) {
            Some(mode) => Ok(mode),
            None => Err(ErrorCode::BadArguments),
        }
    }

    /// Is the znode deleted when its session ends?
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Is a number appended to the name?
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
    /// The mode of addWatch. Its watches stay until they are removed.
    AddWatchMode {
        /// The znode itself: its data, its existence, and its list of children.
        Persistent = 0,
        /// The znode and all below it: their data and existence, without lists of children.
        PersistentRecursive = 1,
    }
}

numbered! {
    /// The kind of a watch event.
    EventType {
        /// The event is not about a znode: the state of the connection changed.
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
    /// The state of the connection in an event. Servers send `SyncConnected` in events about
    /// znodes.
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
        /// The session has expired.
        Expired = -112,
    }
}

numbered! {
    /// The kind of watches that removeWatches removes.
    WatcherType {
        /// Watches on the list of children.
        Children = 1,
        /// Watches on data and existence.
        Data = 2,
        /// Watches of any kind.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}
