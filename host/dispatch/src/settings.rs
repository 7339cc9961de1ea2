//! What a node is told about its guests at its start, and the bounds of these settings.

use std::path::PathBuf;

/// How long a reaction may hold its view, in milliseconds, unless a node is told otherwise: what
/// the view alone can see stays in memory as long.
pub const VIEW_MAX_AGE_MS: u64 = 10_000;

/// The least memory of all guests together that a node may be given, in bytes: a quarter of it
/// is for each kind of instance, and less runs nothing.
pub const MIN_GUEST_MEMORY_BYTES: u64 = 64 << 20;

/// Pushed modules that are compiled at a time, at least: one that takes long must not hold up the
/// others.
pub const COMPILE_PARALLEL_MIN: usize = 2;

/// The least memory of a child that compiles, in MiB: what the compiler takes for a small guest.
pub const COMPILE_MEMORY_MIN_MIB: u64 = 64;

/// How long nobody may ask about a push until it is cancelled, in milliseconds, unless a node is
/// told otherwise: a client that waits for its push asks all the time.
pub const PUSH_IDLE_MS: u64 = 10_000;

/// The settings of a node's guests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuestSettings {
    /// How long a reaction may hold its view, in milliseconds; then it is ended, and counts as
    /// failed.
    pub view_max_age_ms: u64,
    /// Memory of all guests together, in bytes (`--guest-memory-mib`), at least
    /// [`MIN_GUEST_MEMORY_BYTES`]; half of what the machine has, and 4 GiB at most, if not set.
    pub memory_bytes: Option<u64>,
    /// What compiling a module may take.
    pub compile: CompileSettings,
}

impl Default for GuestSettings {
    fn default() -> Self {
        Self {
            view_max_age_ms: VIEW_MAX_AGE_MS,
            memory_bytes: None,
            compile: CompileSettings::default(),
        }
    }
}

/// What compiling a module may take. It is done in a child process, which limits itself.
///
/// The defaults leave room: the component of a whole JavaScript engine (12 MB) takes 370 MiB and
/// 17 s of CPU time, that of CPython (18 MB) 350 MiB and 14 s, both in a debug build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileSettings {
    /// The binary whose `compile-module` is run; `None` is the one that runs already. A program
    /// that has a node inside it, as a test has, names `innkeeper`.
    pub program: Option<PathBuf>,
    /// Memory of one child, in MiB (`--compile-memory-mib`).
    pub memory_mib: u64,
    /// CPU time of one child, in seconds (`--compile-cpu-s`).
    pub cpu_s: u64,
    /// How long one child may take by the clock, in seconds (`--compile-time-s`). A child runs at
    /// the lowest priority, so on a busy machine this is many times its CPU time.
    pub time_s: u64,
    /// After how long by the clock, in milliseconds, a compilation counts as slow: then it may have
    /// to give up its place to those that wait, and begin anew later.
    pub slow_after_ms: u64,
    /// Pushed modules that are compiled at a time (`--compile-parallel`), at least
    /// [`COMPILE_PARALLEL_MIN`]. Modules that bindings wait for have one more place, which no push
    /// takes.
    pub parallel: usize,
    /// How long nobody may ask about a push until it is cancelled, in milliseconds
    /// (`--push-idle-ms`).
    pub push_idle_ms: u64,
}

impl Default for CompileSettings {
    fn default() -> Self {
        Self {
            program: None,
            memory_mib: 1024,
            cpu_s: 60,
            time_s: 600,
            slow_after_ms: 10_000,
            parallel: COMPILE_PARALLEL_MIN,
            push_idle_ms: PUSH_IDLE_MS,
        }
    }
}
