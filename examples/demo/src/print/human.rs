//! The printer for people: a heading for each scene, a live table during it, and its record.
//!
//! On a terminal the table is redrawn in place, with line wrapping off, so that a narrow window cuts
//! long lines and the rows stay where they are. Elsewhere each new generation gets a table of its
//! own.

use std::io::{self, Write as _};
use std::time::Duration;

use super::Board;
use super::sentences;
use super::table::{self, Paint};
use crate::record::{Outcome, Record, Summary};
use innkeeper_runtime::terminal;

/// Most rows of a table that is redrawn in place. Rows that have scrolled off the screen cannot be
/// redrawn, so with more rows each new generation gets a table of its own.
const MOST_LIVE_ROWS: usize = 16;

/// The beginning of every line except headings.
pub(super) const INDENT: &str = "    ";

/// The printer's state between two drawings.
pub(crate) struct Human {
    is_terminal: bool,
    scenes: usize,
    paint: Paint,
    /// The number of lines on the screen that the next drawing replaces.
    drawn: usize,
    /// The generation that was drawn last in this scene.
    generation: Option<u64>,
}

impl Human {
    pub(super) fn new(is_terminal: bool, scenes: usize) -> Self {
        Self {
            scenes,
            is_terminal: is_terminal && !terminal::is_dumb(),
            paint: Paint {
                colours: terminal::colours(is_terminal),
            },
            drawn: 0,
            generation: None,
        }
    }

    pub(super) fn title(&mut self, nodes: u64, members: u32, partitions: u32) -> io::Result<()> {
        let nodes = match nodes {
            1 => "one node".to_owned(),
            nodes => format!("{nodes} nodes"),
        };
        let title = format!(
            "Innkeeper: {nodes}, {members} consumers in processes of their own, {partitions} partitions"
        );
        write(&format!("{}\n", self.paint.bold(&title)))
    }

    pub(super) fn open(&mut self, number: usize, sentence: &str) -> io::Result<()> {
        self.drawn = 0;
        self.generation = None;
        let number = self.paint.dim(&format!("{number:>2}/{}", self.scenes));
        write(&format!("\n{number} {}\n", self.paint.bold(sentence)))
    }

    pub(super) fn live(&mut self, board: &Board<'_>) {
        let generation = board.now.generation;
        let redraws = self.is_terminal && board.now.owners.len() <= MOST_LIVE_ROWS;
        let unchanged = self.generation == Some(generation) || generation == 0;
        // The scene before has shown this generation already.
        let is_old = generation == board.before.generation;
        if !redraws && (unchanged || is_old) {
            return;
        }
        self.generation = Some(generation);
        let lines = self.lines(board);
        // An error is reported at the end of the scene.
        let _ = if redraws {
            self.draw(&lines)
        } else {
            write(&joined(&lines))
        };
    }

    pub(super) fn close(&mut self, record: &Record, partitions: u32) -> io::Result<()> {
        self.drawn = 0;
        // No assignment changes during a swap, so its table is printed at the end.
        let table = match &record.outcome {
            Outcome::Swapped(swapped) => {
                sentences::table(swapped, record.generation, partitions, self.paint)
            }
            _ => Vec::new(),
        };
        let lines = [table, sentences::of(record, self.paint)].concat();
        write(&joined(&lines))
    }

    pub(super) fn interrupt(&mut self) {
        self.drawn = 0;
        let _ = write("\n");
    }

    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let heading = self.paint.bold("Summary");
        write(&format!(
            "\n{heading}\n{}",
            joined(&sentences::summary(summary))
        ))
    }

    fn lines(&self, board: &Board<'_>) -> Vec<String> {
        let mut lines = table::rows(board, self.paint);
        let status = match board.killed {
            Some((member, at)) if board.now.owners.contains_key(member) => {
                format!(
                    "{member} was killed {} ago; its session has not expired yet",
                    seconds(at.elapsed())
                )
            }
            _ if board.now.generation == 0 => "no assignment yet".to_owned(),
            _ => format!("generation {}, by {}", board.now.generation, board.strategy),
        };
        let nodes = match (board.killed_node, board.leader) {
            (Some((node, at)), _) => {
                format!(
                    "; node {node} led and was killed {} ago",
                    seconds(at.elapsed())
                )
            }
            (None, Some(leader)) => format!("; node {leader} leads"),
            (None, None) => String::new(),
        };
        let status = status + &nodes;
        lines.push(self.paint.dim(&status));
        lines
    }

    /// Replaces the last drawing.
    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // Line wrapping is off while the lines are written.
        let mut text = String::from("\x1b[?7l");
        if self.drawn > 0 {
            text += &format!("\x1b[{}A\x1b[J", self.drawn);
        }
        text += &joined(lines);
        text += "\x1b[?7h";
        self.drawn = lines.len();
        write(&text)
    }
}

/// Seconds with one decimal, or milliseconds if it is less than one.
fn seconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

fn joined(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("{INDENT}{line}\n"))
        .collect()
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
