//! How a module is refused, and how an invocation fails.

use std::fmt;

use thiserror::Error;

use crate::measure::Measure;
use crate::text::GuestText;
use crate::trace;

/// How the message of a panic begins, as the SDK's hook logs it.
const PANIC: &str = "panicked at ";

/// Why a pushed file is not a module.
#[derive(Clone, Debug, Error)]
pub enum ModuleError {
    /// Above [`crate::Settings::component_bytes_max`].
    #[error(
        "the module has {bytes} bytes and the limit is {limit}; build it with optimisation for size and without debug information"
    )]
    TooLarge {
        /// The file's size, or that of the component made of it.
        bytes: usize,
        /// The greatest allowed.
        limit: usize,
    },
    /// Plainly too much of something for a compiler.
    #[error(
        "the module has {count} {measure}, and the limit is {}; build it with optimisation for size, or split what it does",
        .measure.limit()
    )]
    TooMuch {
        /// What there is too much of.
        measure: Measure,
        /// How much there was when it was counted no further.
        count: u64,
    },
    /// Neither a core module nor a component.
    #[error(
        "the file is not WebAssembly: it does not begin with a Wasm header; push the .wasm file that the compiler wrote"
    )]
    NotWasm,
    /// A core module that does not say which world it was built for, or is broken.
    #[error(
        "the core module cannot be made into a component ({0}); build it with wit-bindgen against a world of wit/"
    )]
    NotEncodable(GuestText),
    /// Not valid, or using a Wasm proposal that is switched off.
    #[error(
        "the component is not valid here: {0}; rebuild it for WebAssembly 2.0 with synchronous functions (componentize-qjs: --sync)"
    )]
    Invalid(GuestText),
    /// Its exports are those of no world.
    #[error(
        "the component exports {0}, which is no world of wit/: a recipe exports react, an assignor assign, an authorizer load and decide"
    )]
    UnknownWorld(GuestText),
    /// Its exports are those of two worlds.
    #[error(
        "the component has the exports of the worlds `{0}` and `{1}`; a guest is of one world: leave out the exports of the other, or make two modules"
    )]
    SeveralWorlds(&'static str, &'static str),
    /// It imports what the world does not give, or exports it with other types.
    #[error(
        "the component does not fit the world `{world}`: {reason}; a guest may import what its world offers and the usual interfaces of WASI 0.2, nothing else"
    )]
    NotThatWorld {
        /// The world that its exports name.
        world: &'static str,
        /// What does not fit.
        reason: GuestText,
    },
    /// Components inside it hand each other strings that have to be converted.
    #[error(
        "components inside the component hand each other strings of different encodings, and converting those costs no fuel however long they are; let all of them use UTF-8"
    )]
    StringsInside,
    /// Compiling it takes more memory than is given.
    #[error(
        "compiling the module takes more than {limit_mib} MiB of memory; make its largest functions smaller, or start the node with a greater --compile-memory-mib"
    )]
    MemoryLimit {
        /// How much is given, in MiB.
        limit_mib: u64,
    },
    /// Compiling it takes more CPU time than is given.
    #[error(
        "compiling the module takes more than {limit_s} s of CPU time; make its largest functions smaller, or start the node with a greater --compile-cpu-s"
    )]
    CpuLimit {
        /// How much is given, in seconds.
        limit_s: u64,
    },
    /// Its compiled code is too large to be kept.
    #[error(
        "the compiled code of the module has more than {limit_mib} MiB; build it with optimisation for size"
    )]
    CodeTooLarge {
        /// The most that is kept, in MiB.
        limit_mib: u64,
    },
    /// It made the process crash that compiled it.
    #[error("the module made the compiler crash ({0}); it was refused, nothing else is affected")]
    Crashed(GuestText),
    /// The toolchain failed on it.
    #[error("the module broke the compiler ({0}); it was refused, nothing else is affected")]
    Panicked(GuestText),
}

/// Why an invocation did not end well. It costs the binding alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFailure {
    /// The kind, for counting and for deciding what to do.
    pub kind: FailureKind,
    /// One sentence for the operator.
    pub message: GuestText,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The guest returned err, with its own sentence.
    Returned,
    /// It trapped: unreachable code, a bad memory access, a stack overflow.
    Trap,
    /// Its fuel ran out.
    Fuel,
    /// It asked for more memory than its limit.
    Memory,
    /// It made more host calls, or moved more bytes through them, than its limit.
    HostCalls,
    /// Its transaction or its answer passed its limit.
    Output,
    /// It answered what its world forbids (wrong length, unknown member …).
    BadAnswer,
    /// It held its view of the tree for longer than a node allows.
    Time,
    /// Its memory limit is more than this node gives to guests of its kind.
    NoRoom,
    /// The node could not make an instance: nothing that the guest did. It is tried again.
    Host,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureKind::Returned => "returned an error",
            FailureKind::Trap => "trapped",
            FailureKind::Fuel => "ran out of fuel",
            FailureKind::Memory => "passed its memory limit",
            FailureKind::HostCalls => "passed its limit of host calls",
            FailureKind::Output => "passed its output limit",
            FailureKind::BadAnswer => "gave an answer that is none",
            FailureKind::Time => "took too long",
            FailureKind::NoRoom => "has no room here",
            FailureKind::Host => "could not be started",
        })
    }
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest {}: {}", self.kind, self.message)
    }
}

impl std::error::Error for GuestFailure {}

impl GuestFailure {
    /// A failure with its sentence, which may quote the guest.
    pub fn new(kind: FailureKind, message: impl Into<GuestText>) -> GuestFailure {
        GuestFailure {
            kind,
            message: message.into(),
        }
    }

    /// Sorts an error of wasmtime's: our own limits travel through it as [`LimitPassed`]. Says
    /// in which functions of the guest it happened, where the module has names, and after a trap
    /// what error the guest `logged` last: a panic's message and place, in Rust.
    pub(crate) fn from_guest(error: &wasmtime::Error, logged: Option<&GuestText>) -> GuestFailure {
        GuestFailure::sorted(error, logged)
    }

    /// As [`from_guest`](GuestFailure::from_guest), where the guest has not run.
    pub(crate) fn from_wasm(error: &wasmtime::Error) -> GuestFailure {
        GuestFailure::sorted(error, None)
    }

    fn sorted(error: &wasmtime::Error, logged: Option<&GuestText>) -> GuestFailure {
        let place = trace::place(error);
        let failed = |kind, why: &dyn fmt::Display| {
            GuestFailure::new(kind, GuestText::new(format_args!("{why}{place}")))
        };
        if let Some(limit) = error.downcast_ref::<LimitPassed>() {
            return failed(limit.kind, &limit.message);
        }
        let trap = error.downcast_ref::<wasmtime::Trap>();
        match (trap, logged) {
            (Some(wasmtime::Trap::OutOfFuel), _) => failed(
                FailureKind::Fuel,
                &"it used up the fuel of one invocation; it loops, or its limits.fuel is too small",
            ),
            (None, _) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                failed(FailureKind::Host, error)
            }
            // The trap is how a panic ends, and says no more.
            (Some(wasmtime::Trap::UnreachableCodeReached), Some(panic))
                if panic.starts_with(PANIC) =>
            {
                failed(FailureKind::Trap, panic)
            }
            (trap, logged) => {
                let failure = match trap {
                    Some(trap) => failed(FailureKind::Trap, trap),
                    None => failed(FailureKind::Trap, &error.root_cause()),
                };
                match logged {
                    Some(logged) => failure.and(format_args!("before, it logged: {logged}")),
                    None => failure,
                }
            }
        }
    }

    /// With more to know, said after what it says already.
    pub(crate) fn and(mut self, more: impl fmt::Display) -> GuestFailure {
        self.message = GuestText::new(format_args!("{}; {more}", self.message));
        self
    }
}

/// An error of wasmtime's, and whether the guest was there already.
pub(crate) enum Stopped {
    /// While its instance was made.
    Starting(wasmtime::Error),
    /// While it ran.
    Running(wasmtime::Error),
}

impl Stopped {
    /// Sorts it. What stopped the making of an instance, and is neither a trap of a start function
    /// nor a limit of the guest's, is a lack of the host's. `logged` is the error that the guest
    /// logged last.
    pub(crate) fn failure(&self, logged: Option<&GuestText>) -> GuestFailure {
        match self {
            Stopped::Starting(error)
                if !error.is::<LimitPassed>() && !error.is::<wasmtime::Trap>() =>
            {
                GuestFailure::new(FailureKind::Host, GuestText::of_error(error))
            }
            Stopped::Starting(error) | Stopped::Running(error) => {
                GuestFailure::from_guest(error, logged)
            }
        }
    }
}

/// A limit of ours, passed; raised inside a host call or a memory growth and carried out of
/// the guest as a trap.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct LimitPassed {
    pub(crate) kind: FailureKind,
    pub(crate) message: GuestText,
}

impl LimitPassed {
    pub(crate) fn raise(kind: FailureKind, message: impl Into<GuestText>) -> wasmtime::Error {
        wasmtime::Error::new(LimitPassed {
            kind,
            message: message.into(),
        })
    }
}
