//! Two printers of the same records: one for people, one for programs.

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

/// Why nothing can be printed.
pub(super) fn no_stdout(error: io::Error) -> NoStdout {
    NoStdout::new(
        "stdout cannot be written, so nobody can see the demo",
        error,
    )
}

/// What the live table shows.
pub(super) struct Board<'a> {
    /// Who owns what now.
    pub(super) now: &'a Snapshot,
    /// Who owned what when the scene began: the difference is marked.
    pub(super) before: &'a Snapshot,
    /// The assignor that deals.
    pub(super) strategy: &'static str,
    /// How many partitions there are.
    pub(super) partitions: u32,
    /// Who was killed in this scene, and when.
    pub(super) killed: Option<(&'a str, Instant)>,
}

/// One of the two.
pub(super) enum Printer {
    /// For people.
    Human(Box<Human>),
    /// One object per line and scene.
    Json,
}

impl Printer {
    pub(super) fn new(json: bool, is_terminal: bool) -> Self {
        if json {
            Self::Json
        } else {
            Self::Human(Box::new(Human::new(is_terminal)))
        }
    }

    /// The very first line.
    pub(super) fn title(&mut self, members: u32, partitions: u32) -> io::Result<()> {
        match self {
            Self::Human(human) => human.title(members, partitions),
            Self::Json => Ok(()),
        }
    }

    /// A scene begins.
    pub(super) fn open(&mut self, number: usize, sentence: &str) -> io::Result<()> {
        match self {
            Self::Human(human) => human.open(number, sentence),
            Self::Json => Ok(()),
        }
    }

    /// Something has changed, or time has passed. A terminal that cannot be written is noticed
    /// when the scene ends.
    pub(super) fn live(&mut self, board: &Board<'_>) {
        if let Self::Human(human) = self {
            human.live(board);
        }
    }

    /// A scene has ended.
    pub(super) fn close(&mut self, record: &Record, partitions: u32) -> io::Result<()> {
        match self {
            Self::Human(human) => human.close(record, partitions),
            Self::Json => line(record),
        }
    }

    /// The demo ends early: what stands on the screen stays.
    pub(super) fn interrupt(&mut self) {
        if let Self::Human(human) = self {
            human.interrupt();
        }
    }

    /// Everything has ended.
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
