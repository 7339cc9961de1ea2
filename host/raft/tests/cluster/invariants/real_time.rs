//! **Confirmed reads and writes are linearizable.** All replicas have one history, so an operation
//! is at one place of it, its zxid, and this order must agree with real time:
//!
//! - a confirmed read that begins after an acknowledgement, on whichever replica, sees it;
//! - a read that saw something is never followed by a later one, elsewhere, that sees less;
//! - a write that is submitted after an acknowledgement or a read comes after it.

/// The highest zxid that some client knows: as an acknowledgement, or from a confirmed read.
#[derive(Default)]
pub struct RealTime {
    known: u64,
    reads: u64,
}

impl RealTime {
    pub fn known(&self) -> u64 {
        self.known
    }

    /// A client knows a zxid from now on.
    pub fn knows(&mut self, zxid: u64) {
        self.known = self.known.max(zxid);
    }

    /// A read is confirmed that began when `least` was known.
    pub fn read(&mut self, least: u64, zxid: u64) {
        assert!(
            zxid >= least,
            "a confirmed read shows {zxid}, and {least} was known before it began"
        );
        self.knows(zxid);
        self.reads += 1;
    }

    /// A write was applied that was submitted when `known` was known.
    pub fn comes_after(known: u64, zxid: u64) {
        assert!(
            zxid > known,
            "a write has the zxid {zxid}, and {known} was known before it was submitted"
        );
    }

    pub fn reads(&self) -> u64 {
        self.reads
    }
}
