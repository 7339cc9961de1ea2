//! **Writes and reads after a sync are linearizable.** All nodes have one history ([`super::same`]),
//! so an operation is at one place of it, its zxid, and this order must agree with true time:
//!
//! - a read after a sync that begins after an acknowledgement, on whichever node, shows it;
//! - what one such read showed is shown by every later one;
//! - a write that is sent after an acknowledgement or such a read comes after it.
//!
//! That the data is the one of that place is the matter of [`super::registers`].

/// The highest zxid that some client knows.
#[derive(Default)]
pub struct RealTime {
    known: u64,
}

impl RealTime {
    pub fn known(&self) -> u64 {
        self.known
    }

    /// A write is acknowledged that was sent when `known` was known.
    pub fn wrote(&mut self, known: u64, zxid: i64) {
        let zxid = zxid as u64;
        assert!(
            zxid > known,
            "a write has the zxid {zxid}, and {known} was known before it was sent"
        );
        self.known = self.known.max(zxid);
    }

    /// A read after a sync is answered that was sent when `known` was known.
    pub fn read(&mut self, known: u64, zxid: i64) {
        let zxid = zxid as u64;
        assert!(
            zxid >= known,
            "a read after a sync shows {zxid}, and {known} was known before it was sent"
        );
        self.known = self.known.max(zxid);
    }
}
