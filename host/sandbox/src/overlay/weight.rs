//! How much a transaction holds, counted while it grows.
//!
//! Everything that will be proposed counts: reads, writes, acknowledgements and assignors
//! called, each with the bytes that it takes in the log. So a transaction within its limits is
//! one that the node takes as a command. (test: `whatever_a_transaction_holds_counts`)

use innkeeper_tree::binding::Limits;

use crate::failure::{FailureKind, LimitPassed};

/// What a transaction holds and may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    ops: u64,
    bytes: u64,
    ops_most: u64,
    bytes_most: u64,
}

impl Weight {
    /// Of nothing, under the limits of a binding.
    pub(crate) fn new(limits: &Limits) -> Weight {
        Weight {
            ops: 0,
            bytes: 0,
            ops_most: limits.transaction_ops,
            // A binding that was written under an older, higher bound is held to today's.
            bytes_most: limits.transaction_bytes.min(Limits::TRANSACTION_BYTES_MOST),
        }
    }

    /// Counts one thing more, before it joins the transaction.
    pub(crate) fn add(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.add_bytes(bytes)?;
        self.ops += 1;
        if self.ops > self.ops_most {
            return Err(LimitPassed::raise(
                FailureKind::Output,
                format!(
                    "its transaction holds more than {} reads, writes, acknowledged events and assignors called (limits.transaction_ops)",
                    self.ops_most
                ),
            ));
        }
        Ok(())
    }

    /// Counts what is there once.
    pub(crate) fn add_bytes(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > self.bytes_most {
            return Err(LimitPassed::raise(
                FailureKind::Output,
                format!(
                    "its transaction holds more than {} bytes of paths, data, ACLs and names, read and acknowledged ones included (limits.transaction_bytes)",
                    self.bytes_most
                ),
            ));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Is half of what it may hold used up by what was counted, and `bytes` of one thing more?
    pub(crate) fn is_half_full_with(&self, bytes: usize) -> bool {
        (self.ops + 1).saturating_mul(2) > self.ops_most
            || (self.bytes + bytes as u64).saturating_mul(2) > self.bytes_most
    }
}
