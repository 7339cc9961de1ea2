//! Programs that run as processes of their own for one job.

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
    /// The function that simulation calls instead, because it has no processes. It runs inside the
    /// node without limits. Its result is the program's success or failure.
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

/// The result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How the program ended.
    pub how: Ending,
    /// Everything that it wrote to stdout.
    pub output: Bytes,
    /// The beginning of its output to stderr, at most [`COMPLAINT_BYTES_MAX`] bytes.
    pub complaint: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program ended with this exit code; 0 is success.
    Exit(i32),
    /// A signal ended the program, e.g. 9 for SIGKILL.
    Signal(i32),
    /// The program was killed because it wrote too much to stdout.
    TooMuchOutput,
}

/// The greatest number of bytes that are kept of a program's stderr.
pub const COMPLAINT_BYTES_MAX: usize = 4 << 10;

/// The limits that a process sets for itself before it reads anything from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Its memory in bytes. An allocation beyond it fails; then most programs abort.
    pub memory_bytes: u64,
    /// Its CPU time in seconds. After that the kernel ends it with SIGXCPU.
    pub cpu_s: u64,
    /// The id of its parent process. It ends when the parent ends, and at once if that has
    /// happened.
    pub parent: u32,
    /// Whether it runs only where a processor has nothing else to do. If it hardly runs then, it
    /// ends with exit code [`STARVED`]. Otherwise it runs at the lowest nice value that this
    /// process uses.
    pub when_idle: bool,
}

/// The exit code of a process that was to run only while a processor is idle, and hardly ran
/// ([`Confinement::when_idle`]).
pub const STARVED: i32 = 75;
