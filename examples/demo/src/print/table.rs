//! The table of an assignment: a row for each member, a column for each partition.
//!
//! ```text
//! c1  ######..................   6
//! c2  ......#####+............   6  +1
//! ```

use crate::print::Board;

/// Most partitions that are shown as columns, so that a row fits into a terminal. More are written
/// as numbers.
const MOST_COLUMNS: u32 = 64;

/// The longest row of numbers, in characters.
const MOST_CHARACTERS: usize = 64;

/// The colours of a terminal, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colours: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn kept(self, text: &str) -> String {
        self.wrap("36", text)
    }

    pub(super) fn gained(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// The rows of the table. `+` marks partitions that a member has got since the scene began.
pub(super) fn rows(board: &Board<'_>, paint: Paint) -> Vec<String> {
    let first = board.before.owners.is_empty();
    let mut rows = Vec::with_capacity(board.now.owners.len());
    for (member, owned) in &board.now.owners {
        let is_gained = |partition: u32| !first && !board.before.owns(member, partition);
        let dead = board.killed.is_some_and(|(killed, _)| killed == member);
        let cells = if board.partitions <= MOST_COLUMNS {
            grid(owned, board.partitions, is_gained, paint)
        } else {
            format!("{:MOST_CHARACTERS$}", numbers(owned))
        };
        let gained = owned
            .iter()
            .filter(|&&partition| is_gained(partition))
            .count();
        let note = match (dead, gained) {
            (true, _) => paint.bad("  killed"),
            (false, 0) => String::new(),
            (false, gained) => paint.gained(&format!("  +{gained}")),
        };
        let name = if dead {
            paint.bad(member)
        } else {
            paint.bold(member)
        };
        rows.push(format!("{name}  {cells}  {:>3}{note}", owned.len()));
    }
    rows
}

/// One character per partition.
fn grid(owned: &[u32], partitions: u32, is_gained: impl Fn(u32) -> bool, paint: Paint) -> String {
    let mark = |partition: u32| match owned.contains(&partition) {
        true if is_gained(partition) => '+',
        true => '#',
        false => '.',
    };
    let marks: Vec<char> = (0..partitions).map(mark).collect();
    let mut cells = String::new();
    for run in marks.chunk_by(|a, b| a == b) {
        let text: String = run.iter().collect();
        cells += &match run[0] {
            '+' => paint.gained(&text),
            '#' => paint.kept(&text),
            _ => paint.dim(&text),
        };
    }
    cells
}

/// Numbers as ranges, `0-5, 9, 11-13`, cut after [`MOST_CHARACTERS`].
fn numbers(owned: &[u32]) -> String {
    let mut sorted = owned.to_vec();
    sorted.sort_unstable();
    let mut text = String::new();
    for run in sorted.chunk_by(|a, b| a + 1 == *b) {
        let next = match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => continue,
        };
        if text.len() + next.len() + 4 > MOST_CHARACTERS {
            return text + ", …";
        }
        if !text.is_empty() {
            text += ", ";
        }
        text += &next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Snapshot;

    fn snapshot(owners: &[(&str, &[u32])]) -> Snapshot {
        let owners = owners
            .iter()
            .map(|(member, owned)| ((*member).to_owned(), owned.to_vec()));
        Snapshot {
            generation: 3,
            owners: owners.collect(),
        }
    }

    #[test]
    fn rows_show_what_was_gained() {
        let before = snapshot(&[("a", &[0, 1, 2]), ("b", &[3])]);
        let now = snapshot(&[("a", &[0, 1]), ("b", &[2, 3])]);
        let board = Board {
            now: &now,
            before: &before,
            strategy: "range",
            partitions: 4,
            killed: None,
            leader: None,
            killed_node: None,
        };
        let plain = Paint { colours: false };
        assert_eq!(rows(&board, plain), ["a  ##..    2", "b  ..+#    2  +1"]);
        let nothing = Snapshot::default();
        let board = Board {
            before: &nothing,
            ..board
        };
        assert_eq!(rows(&board, plain)[1], "b  ..##    2");
        let coloured = rows(&board, Paint { colours: true });
        assert!(coloured[1].contains("\x1b[36m##\x1b[0m"), "{coloured:?}");
    }

    #[test]
    fn many_partitions_are_written_as_numbers() {
        assert_eq!(numbers(&[5, 0, 1, 2, 9, 10]), "0-2, 5, 9-10");
        assert_eq!(numbers(&[]), "");
        let long = numbers(&(0..200).step_by(2).collect::<Vec<_>>());
        assert!(
            long.ends_with(", …") && long.chars().count() <= MOST_CHARACTERS,
            "{long}"
        );
    }
}
