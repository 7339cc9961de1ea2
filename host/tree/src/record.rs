//! What a checkpoint keeps: one record per znode, session, binding, queue entry and module,
//! and one for the numbers of the state as a whole.
//!
//! A checkpoint is a stream of changed records; a snapshot is all of them. Keys sort so that
//! a table's records can be read in any order: none needs another to be understood, only the
//! tree's own rules (a znode's parent) join them again. The values' forms are in
//! [`crate::encoding`].

/// One row of the checkpoint store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it belongs.
    pub table: Table,
    /// Its name there.
    pub key: Vec<u8>,
    /// `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// The tables of the checkpoint store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// The numbers of the state as a whole; one row.
    Meta,
    /// Key: the path.
    Znodes,
    /// Key: the id, eight bytes, the greatest first.
    Sessions,
    /// Key: the name.
    Bindings,
    /// Key: the binding's name, a zero byte, the path (nothing for the resync).
    Queue,
    /// Key: the digest, 32 bytes.
    Modules,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 6] = [
        Table::Meta,
        Table::Znodes,
        Table::Sessions,
        Table::Bindings,
        Table::Queue,
        Table::Modules,
    ];

    /// A name that never changes, for the store's own tables.
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

    /// A number that never changes, for snapshots.
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

    /// The table of that number.
    pub fn from_tag(tag: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.tag() == tag)
    }
}
