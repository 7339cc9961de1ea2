//! stdout and stderr of this program. Their reader may close them at any time.
//!
//! If the reader has closed stdout, a command ends without a message and with the exit code of a
//! tool that SIGPIPE ended. If stdout cannot be written for another reason, the command says so. If
//! the reader has closed stderr, the text is lost.
//!
//! **Invariant:** everything that goes to stdout and stderr goes through this module or through the
//! log, and never through `println!` and its like, which panic if the reader has closed the output.
//! clippy's `print_stdout` and `print_stderr` refuse them. (tests:
//! `a_command_whose_reader_has_gone_ends_as_other_tools_do`,
//! `a_node_whose_readers_have_gone_serves_and_ends_in_order`)

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// The exit code of a command whose reader has closed stdout: 128 plus the number of SIGPIPE.
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
    /// An error with its meaning `what`, which is a part of a sentence.
    pub fn new(what: &'static str, error: io::Error) -> Self {
        Self { what, error }
    }

    /// Has the reader closed stdout?
    pub fn is_readers_end(&self) -> bool {
        self.error.kind() == ErrorKind::BrokenPipe
    }
}

/// Writes the whole text to stdout.
pub fn print(text: &[u8]) -> Result<(), NoStdout> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| NoStdout::new("stdout cannot be written", error))
}

/// Writes a text for people to stderr in one write. If the reader has closed it, the text is lost.
pub fn tell(text: Arguments<'_>) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}
