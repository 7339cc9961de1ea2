//! **A watch that is set by a read fires once, and before the new data.** As long as no event has
//! come, the session reads the version at which the watch was set. After it, it reads a newer one.
//! This holds also where the session is taken to another node with its watches.

/// One watch of a znode.
#[derive(Debug, Default)]
pub struct Watch {
    /// The version at which the watch was set, until it fires.
    set: Option<i32>,
    /// It has fired at this version.
    fired: Option<i32>,
}

impl Watch {
    /// A read has set the watch.
    pub fn set(&mut self, version: i32) {
        self.read(version);
        assert_eq!(self.set, None, "it is not set twice");
        (self.set, self.fired) = (Some(version), None);
    }

    /// Its session has ended.
    pub fn is_gone(&mut self) {
        *self = Self::default();
    }

    pub fn is_set(&self) -> bool {
        self.set.is_some()
    }

    pub fn fires(&mut self) {
        let set = self.set.take();
        assert!(set.is_some(), "a second event of one watch");
        self.fired = set;
    }

    /// The session reads the znode.
    pub fn read(&self, version: i32) {
        if let Some(set) = self.set {
            assert_eq!(version, set, "the data has come before the event");
        }
        if let Some(fired) = self.fired {
            assert!(
                version > fired,
                "an event at version {fired} without a change"
            );
        }
    }
}
