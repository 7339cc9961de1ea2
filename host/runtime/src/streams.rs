//! stdout and stderr of this program, whose reader may go away at any time.
//!
//! `println!` and its like panic then, so nobody uses them here (clippy: `print_stdout`,
//! `print_stderr`). A command whose stdout is not read any more ends without a word, and with the
//! exit code that a shell has for a tool which SIGPIPE ended; one whose stdout cannot be written
//! for any other reason says so. What goes to stderr is lost where nobody reads it.
//!
//! **Invariant:** what is written to stdout and stderr goes through here or through the log,
//! never through `println!` and its like, which panic where nobody reads any more. clippy's
//! `print_stdout` and `print_stderr` refuse them. (tests:
//! `a_command_whose_reader_has_gone_ends_as_other_tools_do`,
//! `a_node_whose_readers_have_gone_serves_and_ends_in_order`)

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// What a command exits with whose reader has gone: 128, and the number of SIGPIPE.
pub const READER_GONE: u8 = 128 + 13;

/// stdout could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct NoStdout {
    what: &'static str,
    #[source]
    error: io::Error,
}

impl NoStdout {
    /// With what that means, as a part of a sentence.
    pub fn new(what: &'static str, error: io::Error) -> Self {
        Self { what, error }
    }

    /// Whether that is because nobody reads it any more.
    pub fn is_readers_end(&self) -> bool {
        self.error.kind() == ErrorKind::BrokenPipe
    }
}

/// Writes all of a text to stdout, at once.
pub fn print(text: &[u8]) -> Result<(), NoStdout> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| NoStdout::new("stdout cannot be written", error))
}

/// Tells a person something on stderr, in one write, if anybody reads it.
pub fn tell(text: Arguments<'_>) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}
