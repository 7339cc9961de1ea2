//! Applying a command.

use crate::Tree;
use crate::applied::{Applied, Outcome};
use crate::command::Command;

impl Tree {
    pub(crate) fn run(&mut self, command: &Command) -> Applied {
        self.zxid = self.zxid.next();
        self.time_ms = self.time_ms.max(command.time_ms);
        Applied {
            zxid: self.zxid,
            time_ms: self.time_ms,
            outcome: Outcome::Nobody,
            events: Vec::new(),
            queued: Vec::new(),
            bindings: Vec::new(),
            ended: Vec::new(),
        }
    }
}
