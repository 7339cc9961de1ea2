//! The records of a checkpoint: one for each znode, session, binding, queue entry and module, and
//! one each for the numbers of the whole state and for the group.
//!
//! A checkpoint is a stream of the changed records; a snapshot is a stream of all records. A
//! record can be decoded without any other, so they may be read in any order.
//! [`crate::encoding`] defines the form of the values.

/// One row of the checkpoint store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The record's table.
    pub table: Table,
    /// The record's key in the table.
    pub key: Vec<u8>,
    /// The encoded value; `None` deletes the record.
    pub value: Option<Vec<u8>>,
}

/// The tables of the checkpoint store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// The numbers of the whole state, and the group, in a record each.
    Meta,
    /// Znodes. The key is the path.
    Znodes,
    /// Sessions. The key is the id in eight bytes, big-endian.
    Sessions,
    /// Bindings. The key is the name.
    Bindings,
    /// Entries of bindings' queues. The key is the binding's name, a zero byte and the path; the
    /// path of a resync is empty.
    Queue,
    /// Registered modules. The key is the digest in 32 bytes.
    Modules,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 6] = [
        Table::Meta,
        Table::Znodes,
        Table::Sessions,
        Table::Bindings,
        Table::Queue,
        Table::Modules,
    ];

    /// The table's name in the checkpoint store. It never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Znodes => "znodes",
            Table::Sessions => "sessions",
            Table::Bindings => "bindings",
            Table::Queue => "queue",
            Table::Modules => "modules",
        }
    }

    /// The table's number in snapshots. It never changes.
    pub const fn tag(self) -> u8 {
        match self {
            Table::Meta => 0,
            Table::Znodes => 1,
            Table::Sessions => 2,
            Table::Bindings => 3,
            Table::Queue => 4,
            Table::Modules => 5,
        }
    }

    /// The table with this number.
    pub fn from_tag(tag: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.tag() == tag)
    }
}
