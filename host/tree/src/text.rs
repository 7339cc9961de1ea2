//! Makes text from strangers safe for logs, terminals and error sentences: one line, no control
//! character, bounded length.
//!
//! 1. Each unsafe character ([`is_unsafe`]) is escaped as in a Rust literal: `\n`, `\u{1b}`.
//! 2. A text beyond the bound is cut between two characters, and a mark tells how many bytes of
//!    the original are missing.
//!
//! Invariant: [`shown`] does not change a text that it returned before, for the same bound or a
//! greater one. So a text may pass through several places that make it safe. A backslash is not
//! unsafe and is not escaped, so the original cannot be restored from the result: it is text for
//! people.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};
use std::path::Path;

/// The length of the longest mark of a cut, in bytes: `… (+18446744073709551615 bytes)`.
const MARK_BYTES: usize = 34;

/// The longest [`piece`], in bytes.
pub const PIECE_BYTES_MAX: usize = 200;

/// The longest [`file_name`], in bytes. Linux opens no file by a path of more than 4095 bytes.
pub const FILE_NAME_BYTES_MAX: usize = 1024;

/// Can this character end a line, control a terminal, or change the order in which a text is
/// displayed? That is so for the control characters (C0, DEL, C1), for U+2028 and U+2029, and for
/// the characters that set the direction of writing.
pub const fn is_unsafe(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// A writer that escapes unsafe characters and hands the text on to another writer.
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unsafe) {
            let (safe, tail) = rest.split_at(at);
            self.0.write_str(safe)?;
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// The whole text with its unsafe characters escaped. Its length has no bound.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = Escaping(String::with_capacity(text.len() + 16));
    // Writing to a String cannot fail.
    let _ = out.write_str(text);
    Cow::Owned(out.0)
}

/// A text from a stranger, escaped and cut to at most `most_bytes` bytes, which include the mark of
/// a cut. The rest is counted and not copied. If the bound is shorter than the mark, the result is
/// the mark alone.
pub fn shown(text: impl Display, most_bytes: usize) -> String {
    let mut cut = Cut {
        out: String::new(),
        most_bytes,
        keep: 0,
        kept_bytes: 0,
        read_bytes: 0,
        is_full: false,
    };
    // Writing to `Cut` cannot fail. If the text's own `Display` fails, the part that it wrote is
    // shown.
    let _ = write!(cut, "{text}");
    cut.finish()
}

/// A piece of what somebody wrote, as a sentence repeats it: a name, a value, a word. It has at most
/// [`PIECE_BYTES_MAX`] bytes, so that what the sentence says after it is read as well.
pub fn piece(text: impl Display) -> String {
    shown(text, PIECE_BYTES_MAX)
}

/// The path of a file of this machine, as a sentence repeats it: at most [`FILE_NAME_BYTES_MAX`]
/// bytes.
pub fn file_name(path: &Path) -> String {
    shown(path.display(), FILE_NAME_BYTES_MAX)
}

/// A writer that keeps the beginning of the text.
struct Cut {
    out: String,
    most_bytes: usize,
    /// How many bytes of `out` stay if the text is cut. The next field is how many bytes of the
    /// original they stand for.
    keep: usize,
    kept_bytes: usize,
    read_bytes: usize,
    is_full: bool,
}

impl Cut {
    fn finish(mut self) -> String {
        if self.is_full {
            self.out.truncate(self.keep);
            let missing = self.read_bytes - self.kept_bytes;
            let _ = write!(self.out, "… (+{missing} bytes)");
        }
        self.out
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            self.read_bytes += text.len();
            return Ok(());
        }
        for (at, character) in text.char_indices() {
            let before = self.out.len();
            if is_unsafe(character) {
                write!(self.out, "{}", character.escape_default())?;
            } else {
                self.out.push(character);
            }
            if self.out.len() > self.most_bytes {
                self.out.truncate(before);
                self.is_full = true;
                self.read_bytes += text.len() - at;
                return Ok(());
            }
            self.read_bytes += character.len_utf8();
            if self.out.len() + MARK_BYTES <= self.most_bytes {
                self.keep = self.out.len();
                self.kept_bytes = self.read_bytes;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_line_and_no_terminal_is_harmed() {
        let forged =
            "gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\r\x1b[2J\u{9b}31m\u{7f}\0";
        assert_eq!(
            shown(forged, 4096),
            r"gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\r\u{1b}[2J\u{9b}31m\u{7f}\u{0}"
        );
        assert_eq!(escaped(forged), shown(forged, 4096));
        assert_eq!(
            shown("a\u{202e}b\u{2066}c\u{2028}d\u{200f}e", 4096),
            r"a\u{202e}b\u{2066}c\u{2028}d\u{200f}e"
        );
        assert_eq!(shown("ä \\n “é” 統 🚀", 4096), "ä \\n “é” 統 🚀");
    }

    #[test]
    fn a_cut_says_how_much_is_missing() {
        let text = "x".repeat(16 << 20);
        let cut = shown(&text, 100);
        assert_eq!(
            cut,
            format!("{}… (+{} bytes)", "x".repeat(66), (16 << 20) - 66)
        );
        assert_eq!(shown("x".repeat(100), 100), "x".repeat(100));
        // Cut at characters, and by what is shown instead of what was written.
        assert_eq!(
            shown("ä".repeat(60), 100),
            format!("{}… (+54 bytes)", "ä".repeat(33))
        );
        assert_eq!(
            shown("\n".repeat(60), 100),
            format!("{}… (+27 bytes)", r"\n".repeat(33))
        );
        assert_eq!(shown("much too long", 5), "… (+13 bytes)");
    }

    #[test]
    fn a_sentence_goes_on_after_a_piece() {
        let long = "\u{202e}\n".repeat(1 << 20);
        for (cut, most) in [
            (piece(&long), PIECE_BYTES_MAX),
            (file_name(Path::new(&long)), FILE_NAME_BYTES_MAX),
        ] {
            assert!(cut.len() <= most && cut.len() > most / 2, "{cut}");
            assert!(
                cut.starts_with(r"\u{202e}\n") && cut.ends_with(" bytes)"),
                "{cut}"
            );
        }
        assert_eq!(piece("zoo-1:2888"), "zoo-1:2888");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_safe_bounded_and_stays_as_it_is(
            text in "(\\PC|[\0-\u{9f}\u{2020}-\u{2070}]){0,80}", most in MARK_BYTES..200usize
        ) {
            let once = shown(&text, most);
            prop_assert!(!once.contains(is_unsafe));
            prop_assert!(once.len() <= most);
            prop_assert_eq!(&shown(&once, most), &once);
            prop_assert_eq!(escaped(&once), once.as_str());
        }
    }
}
