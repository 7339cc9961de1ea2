//! The account of one invocation: what it used, and what it may use beside fuel.
//!
//! Fuel stands in the store; host calls take theirs from it ([`crate::meter`]) and are counted
//! here as well, with the bytes that cross. Memory is summed over all memories of the store,
//! because wasmtime's own limits count each by itself.

use std::sync::Arc;

use innkeeper_tree::binding::Limits;
use wasmtime::ResourceLimiter;

use crate::clock::Deadline;
use crate::failure::{FailureKind, GuestFailure, LimitPassed};
use crate::refused::Refused;
use crate::text::GuestText;

/// Table elements of all tables of one store: enough for the function tables of large
/// language runtimes, far from enough to hurt.
const TABLE_ELEMENTS_MAX: usize = 200_000;

/// How often an invocation may fill its memory with what it reads.
const READS_PER_MEMORY: u64 = 8;

/// Fuel between two looks at the clock in host calls: some microseconds.
const LOOK_FUEL: u64 = 10_000;

/// Messages of one invocation that are kept; the rest is counted on the last of them.
const LOG_MESSAGES_MAX: usize = 64;

/// How much a message of a guest matters; as in `wit/types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// Normal operation.
    Info,
    /// Odd, but it went on.
    Warn,
    /// A person has to repair something.
    Error,
}

/// One message of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub message: GuestText,
    /// Messages after it that were dropped, because the invocation had its 64 already.
    pub dropped_after: u64,
}

/// What one invocation used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel consumed: about one per Wasm instruction, and what host calls cost.
    pub fuel: u64,
    /// Host calls made.
    pub host_calls: u64,
    /// Bytes handed to the host.
    pub output_bytes: u64,
    /// Bytes read from the host.
    pub input_bytes: u64,
    /// Greatest sum of linear memories, in bytes.
    pub memory_bytes: usize,
}

/// The running account of one store.
pub(crate) struct Budget {
    limits: Limits,
    deadline: Arc<Deadline>,
    /// Fuel after which others are let run, and what was left when they last were.
    turn_fuel: u64,
    turn_from: u64,
    turn: u64,
    /// What was left when somebody last looked at the clock.
    look_from: u64,
    memory_bytes: usize,
    table_elements: usize,
    /// What the result that is being put together takes, about.
    result_bytes: u64,
    usage: Usage,
    pub(crate) logs: Vec<LogLine>,
    /// The last error that the guest logged, also if it is beyond what is kept: it may say why
    /// the guest traps next.
    last_error: Option<GuestText>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, deadline: Deadline, turn_fuel: u64) -> Budget {
        Budget {
            limits: *limits,
            deadline: Arc::new(deadline),
            turn_fuel,
            turn: 0,
            turn_from: limits.fuel,
            look_from: limits.fuel,
            memory_bytes: 0,
            table_elements: 0,
            result_bytes: 0,
            usage: Usage::default(),
            logs: Vec::new(),
            last_error: None,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn deadline(&self) -> &Arc<Deadline> {
        &self.deadline
    }

    /// Was so much fuel used that the clock is to be looked at? Says so once.
    pub(crate) fn is_look_due(&mut self, fuel_left: u64) -> bool {
        let is_due = self.look_from.saturating_sub(fuel_left) >= LOOK_FUEL;
        if is_due {
            self.look_from = fuel_left;
        }
        is_due
    }

    /// Has the guest, its host calls included, run for so long that others should? Says so once.
    pub(crate) fn is_turn_over(&mut self, fuel_left: u64) -> bool {
        // It yielded meanwhile, by itself or because this said so: a new turn began.
        let turn = self.deadline.turn();
        if turn != self.turn {
            self.turn = turn;
            self.turn_from = fuel_left;
            return false;
        }
        let is_over = self.turn_from.saturating_sub(fuel_left) >= self.turn_fuel;
        if is_over {
            self.turn_from = fuel_left;
        }
        is_over
    }

    /// Charges one host call, or one entry of a bulk call, with the bytes that the guest hands
    /// over in it.
    pub(crate) fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.usage.host_calls += 1;
        self.usage.output_bytes += bytes as u64;
        if self.usage.host_calls > self.limits.host_calls {
            return Err(LimitPassed::raise(
                FailureKind::HostCalls,
                format!(
                    "it made more than {} host calls (limits.host_calls)",
                    self.limits.host_calls
                ),
            ));
        }
        if self.usage.output_bytes > self.limits.output_bytes {
            return Err(LimitPassed::raise(
                FailureKind::Output,
                format!(
                    "it handed more than {} bytes to the host (limits.output_bytes)",
                    self.limits.output_bytes
                ),
            ));
        }
        Ok(())
    }

    /// The host begins to put a result together.
    pub(crate) fn begin_result(&mut self) {
        self.result_bytes = 0;
    }

    /// Charges bytes that the host hands to the guest. One result has to fit into the guest's
    /// memory anyway: what does not is not put together, so that the host never holds much more
    /// for a guest than the guest's own limit. The sum over one invocation is bounded as well.
    pub(crate) fn charge_result(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.usage.input_bytes += bytes as u64;
        self.check_result(bytes)?;
        self.result_bytes += bytes as u64;
        let most = self.limits.memory_bytes.saturating_mul(READS_PER_MEMORY);
        if self.usage.input_bytes > most {
            return Err(LimitPassed::raise(
                FailureKind::HostCalls,
                format!(
                    "it read more than {most} bytes ({READS_PER_MEMORY} times limits.memory_bytes)"
                ),
            ));
        }
        Ok(())
    }

    /// Whether the result of this call could be so many bytes longer; charges nothing.
    pub(crate) fn check_result(&self, bytes: usize) -> wasmtime::Result<()> {
        if self.result_bytes.saturating_add(bytes as u64) > self.limits.memory_bytes {
            return Err(LimitPassed::raise(
                FailureKind::Memory,
                format!(
                    "it asked for more in one call than fits into its {} bytes of memory (limits.memory_bytes)",
                    self.limits.memory_bytes
                ),
            ));
        }
        Ok(())
    }

    /// Starts the account of a further call on a store that serves several.
    pub(crate) fn begin_call(&mut self) {
        self.usage = Usage {
            memory_bytes: self.memory_bytes,
            ..Usage::default()
        };
        self.turn_from = self.limits.fuel;
        self.look_from = self.limits.fuel;
        self.logs.clear();
        self.last_error = None;
    }

    pub(crate) fn usage(&self, fuel: u64) -> Usage {
        Usage { fuel, ..self.usage }
    }

    /// Says which part of the binding's document lacks a path, if an operation was refused for
    /// that: in the sentence of the failure, or else as a message.
    pub(crate) fn tell_refused<T>(
        &mut self,
        refused: Option<Refused>,
        ended: Result<T, GuestFailure>,
    ) -> Result<T, GuestFailure> {
        let Some(refused) = refused else {
            return ended;
        };
        if ended.is_ok() {
            self.log(LogLevel::Debug, GuestText::new(&refused));
        }
        ended.map_err(|failure| failure.and(refused))
    }

    pub(crate) fn last_error(&self) -> Option<&GuestText> {
        self.last_error.as_ref()
    }

    /// Keeps what a failure of the guest is explained by, although it is no message of level
    /// error: the last line that it wrote to standard error.
    pub(crate) fn explain(&mut self, message: GuestText) {
        self.last_error = Some(message);
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: GuestText) {
        if level == LogLevel::Error {
            self.last_error = Some(message.clone());
        }
        if self.logs.len() >= LOG_MESSAGES_MAX {
            if let Some(last) = self.logs.last_mut() {
                last.dropped_after += 1;
            }
            return;
        }
        self.logs.push(LogLine {
            level,
            message,
            dropped_after: 0,
        });
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory_bytes + desired.saturating_sub(current);
        if sum > self.limits.memory_bytes as usize {
            // A trap rather than a failed growth: most language runtimes abort on it anyway,
            // and this way the operator reads the reason.
            return Err(LimitPassed::raise(
                FailureKind::Memory,
                format!(
                    "it asked for more than {} bytes of memory (limits.memory_bytes)",
                    self.limits.memory_bytes
                ),
            ));
        }
        self.memory_bytes = sum;
        self.usage.memory_bytes = self.usage.memory_bytes.max(sum);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.table_elements += desired.saturating_sub(current);
        Ok(self.table_elements <= TABLE_ELEMENTS_MAX)
    }
}
