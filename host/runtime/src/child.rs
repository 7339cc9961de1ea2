//! A program that runs beside the node for one job, and ends.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;

/// A program for one job: it reads all of its stdin, writes its result to stdout, and ends.
#[derive(Clone)]
pub struct Program {
    /// The file to run.
    pub path: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
    /// What stands in for it in simulation, where there are no processes: it runs at once, inside
    /// the node, and nothing limits it. What it returns is what the program would do at its end.
    pub stand_in: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("path", &self.path)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// What a program left when it had ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub how: Ending,
    /// What it wrote to stdout.
    pub output: Bytes,
    /// The beginning of what it wrote to stderr, at most [`COMPLAINT_BYTES_MAX`] bytes.
    pub complaint: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code; 0 is success.
    Exit(i32),
    /// By this signal, e.g. 9 for SIGKILL.
    Signal(i32),
    /// It was killed, because it wrote more to stdout than it was allowed.
    TooMuchOutput,
}

/// How much of a program's stderr is kept, in bytes.
pub const COMPLAINT_BYTES_MAX: usize = 4 << 10;

/// The limits that a process sets itself before it touches what a stranger made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Memory that it may have, in bytes. A request beyond it fails; most programs then abort.
    pub memory_bytes: u64,
    /// CPU time that it may use, in seconds; then the kernel ends it with SIGXCPU.
    pub cpu_s: u64,
    /// The process that started it. It dies with that one, and at once if that one is gone.
    pub parent: u32,
}
