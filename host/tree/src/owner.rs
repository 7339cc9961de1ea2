//! A znode's owner: a session, none, or the sweeper.
//!
//! A znode stores its owner as a number, as in ZooKeeper's `EphemeralType`: zero for no owner, a
//! session's id for an ephemeral, the lowest signed number for a container, and for a time to live
//! a top byte of 0xff and five bytes of milliseconds. A Stat shows only a session's id.

use innkeeper_proto::ErrorCode;

use crate::SessionId;

/// The longest time to live, in milliseconds: five bytes, about 34 years.
pub const TTL_MAX_MS: i64 = 0xff_ffff_ffff;

const CONTAINER: i64 = i64::MIN;
const TTL: u64 = 0xff00_0000_0000_0000;
const TTL_MASK: u64 = 0xffff_ff00_0000_0000;

/// Who or what decides when a znode is deleted, beside clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The znode stays until a client deletes it.
    Nobody,
    /// The znode is deleted when this session ends, and may have no children.
    Session(SessionId),
    /// The sweeper deletes the znode after its last child was deleted.
    Container,
    /// The sweeper deletes the znode when it has no children and was not set for this time.
    Ttl {
        /// The time to live in milliseconds, from 1 to [`TTL_MAX_MS`].
        ttl_ms: i64,
    },
}

impl Owner {
    /// The owner that this number stands for.
    pub fn of(number: i64) -> Owner {
        match number {
            0 => Owner::Nobody,
            CONTAINER => Owner::Container,
            _ if number as u64 & TTL_MASK == TTL => Owner::Ttl {
                ttl_ms: number & TTL_MAX_MS,
            },
            _ => Owner::Session(SessionId(number as u64)),
        }
    }

    /// A time to live in milliseconds; BadArguments if ZooKeeper does not accept it.
    /// (test: `a_time_to_live_has_its_bounds`)
    pub fn ttl(ttl_ms: i64) -> Result<Owner, ErrorCode> {
        if (1..=TTL_MAX_MS).contains(&ttl_ms) {
            Ok(Owner::Ttl { ttl_ms })
        } else {
            Err(ErrorCode::BadArguments)
        }
    }

    /// The `ephemeralOwner` of a Stat: the session of an ephemeral, else 0, also for containers and
    /// times to live. (test: `client_scripts`)
    pub fn shown(self) -> i64 {
        match self {
            Owner::Session(session) => session.0 as i64,
            Owner::Nobody | Owner::Container | Owner::Ttl { .. } => 0,
        }
    }

    /// The number that stands for the owner.
    pub fn number(self) -> i64 {
        match self {
            Owner::Nobody => 0,
            Owner::Session(session) => session.0 as i64,
            Owner::Container => CONTAINER,
            Owner::Ttl { ttl_ms } => TTL as i64 | ttl_ms,
        }
    }

    /// May the sweeper delete the znode when it has no children?
    pub fn is_swept(self) -> bool {
        matches!(self, Owner::Container | Owner::Ttl { .. })
    }
}

/// A command created a session's ephemeral, or deleted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerChange {
    pub(crate) owner: SessionId,
    /// The ephemeral's slot in the store.
    pub(crate) slot: u32,
    /// True if the session owns it now, false if it owned it before.
    pub(crate) owns: bool,
}

/// Can a session have this id? As the owner of an ephemeral, some numbers would mean something
/// else. ZooKeeper keeps server ids below 255 for the same reason.
pub fn is_session(session: SessionId) -> bool {
    matches!(Owner::of(session.0 as i64), Owner::Session(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zookeepers() {
        let session = SessionId(0x0100_0000_0000_00fe);
        for (number, owner) in [
            (0, Owner::Nobody),
            (0x8000_0000_0000_0000, Owner::Container),
            (0xff00_0000_0000_0001, Owner::Ttl { ttl_ms: 1 }),
            (0xff00_00ff_ffff_ffff, Owner::Ttl { ttl_ms: TTL_MAX_MS }),
            (session.0, Owner::Session(session)),
        ] {
            assert_eq!(Owner::of(number as i64), owner);
            assert_eq!(owner.number() as u64, number);
        }
    }

    #[test]
    fn a_time_to_live_has_its_bounds() {
        assert_eq!(Owner::ttl(1), Ok(Owner::Ttl { ttl_ms: 1 }));
        assert!(Owner::ttl(TTL_MAX_MS).is_ok());
        for ttl_ms in [0, -1, i64::MIN, TTL_MAX_MS + 1, i64::MAX] {
            assert_eq!(Owner::ttl(ttl_ms), Err(ErrorCode::BadArguments));
        }
    }

    #[test]
    fn some_numbers_name_no_session() {
        for number in [0, 1 << 63, 0xff << 56, 0xff00_00ff_ffff_ffff] {
            assert!(!is_session(SessionId(number)), "{number:#x}");
        }
        assert!(is_session(SessionId(1)) && is_session(SessionId(u64::MAX)));
    }
}
