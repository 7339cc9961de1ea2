//! The two printers of records: for people, and for programs.

mod human;
mod sentences;
mod table;

use std::io::{self, Write as _};
use std::time::Instant;

use innkeeper_runtime::streams::NoStdout;
use serde::Serialize;

use super::group::Snapshot;
use super::record::{Record, Summary};
use human::Human;

/// The error of a stdout that cannot be written.
pub(super) fn no_stdout(error: io::Error) -> NoStdout {
    NoStdout::new(
        "stdout cannot be written, so the demo cannot be shown",
        error,
    )
}

/// The content of the live table.
pub(super) struct Board<'a> {
    /// The current assignment.
    pub(super) now: &'a Snapshot,
    /// The assignment at the beginning of the scene; the table marks what has changed.
    pub(super) before: &'a Snapshot,
    /// The name of the assignor.
    pub(super) strategy: &'static str,
    /// The number of partitions.
    pub(super) partitions: u32,
    /// The member that was killed in this scene, and the time.
    pub(super) killed: Option<(&'a str, Instant)>,
    /// The node that leads; `None` with one node.
    pub(super) leader: Option<u64>,
    /// The node that was killed in this scene, and the time.
    pub(super) killed_node: Option<(u64, Instant)>,
}

/// A printer.
pub(super) enum Printer {
    /// Text for people.
    Human(Box<Human>),
    /// JSON: one object on a line for each scene.
    Json,
}

impl Printer {
    pub(super) fn new(json: bool, is_terminal: bool, scenes: usize) -> Self {
        if json {
            Self::Json
        } else {
            Self::Human(Box::new(Human::new(is_terminal, scenes)))
        }
    }

    /// Prints the first line of the demo.
    pub(super) fn title(&mut self, nodes: u64, members: u32, partitions: u32) -> io::Result<()> {
        match self {
            Self::Human(human) => human.title(nodes, members, partitions),
            Self::Json => Ok(()),
        }
    }

    /// Prints the heading of a scene.
    pub(super) fn open(&mut self, number: usize, sentence: &str) -> io::Result<()> {
        match self {
            Self::Human(human) => human.open(number, sentence),
            Self::Json => Ok(()),
        }
    }

    /// Redraws the live table. An error of the terminal is reported at the end of the scene.
    pub(super) fn live(&mut self, board: &Board<'_>) {
        if let Self::Human(human) = self {
            human.live(board);
        }
    }

    /// Prints the record of a scene.
    pub(super) fn close(&mut self, record: &Record, partitions: u32) -> io::Result<()> {
        match self {
            Self::Human(human) => human.close(record, partitions),
            Self::Json => line(record),
        }
    }

    /// Ends the live table when the demo ends early; the screen keeps its last drawing.
    pub(super) fn interrupt(&mut self) {
        if let Self::Human(human) = self {
            human.interrupt();
        }
    }

    /// Prints the summary.
    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self {
            Self::Human(human) => human.summary(summary),
            Self::Json => line(summary),
        }
    }
}

fn line(object: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(object)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
