//! The part of a store's state that is the same for the guests of all worlds.

use std::sync::Arc;

use crate::budget::Budget;
use crate::wasi::Wasi;

/// The part that each world's state holds. An assignor's state is nothing else.
pub(crate) struct Common {
    /// What the invocation has used, and its limits.
    pub(crate) budget: Budget,
    /// The binding's `config`.
    pub(crate) config: Arc<str>,
    /// The clock, randomness and output that WASI imports meet.
    pub(crate) wasi: Wasi,
}

/// The state of a store.
pub(crate) trait State: Send + 'static {
    /// What it has in common with all others.
    fn common(&mut self) -> &mut Common;

    /// Its account.
    fn budget(&mut self) -> &mut Budget {
        &mut self.common().budget
    }
}

impl Common {
    /// A call of the guest is over: what it wrote without a newline at the end is logged.
    pub(crate) fn end_call(&mut self) {
        self.wasi.end_call(&mut self.budget);
    }
}

impl State for Common {
    fn common(&mut self) -> &mut Common {
        self
    }
}
