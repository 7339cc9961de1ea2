//! What the state of every store has, whatever the world of its guest.

use std::sync::Arc;

use crate::budget::Budget;
use crate::wasi::Wasi;

/// What each world's state holds. An assignor's is nothing else.
pub(crate) struct Common {
    /// What the invocation used, and may use.
    pub(crate) budget: Budget,
    /// The binding's `config`.
    pub(crate) config: Arc<str>,
    /// What the guest finds of WASI.
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
