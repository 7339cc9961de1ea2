//! Text that a stranger wrote, made fit for a log, a terminal and a sentence: one line, no
//! control character, and of bounded length.
//!
//! 1. Each character that could do something to a terminal or to the reader of a log (see
//!    [`is_unsafe`]) is written as Rust would write it in a literal: `\n`, `\u{1b}`.
//! 2. What is longer than the bound is cut at a character, and a mark says how many bytes of
//!    the original are missing.
//!
//! Invariant: what [`shown`] returned it returns as it is, for the same bound or a greater
//! one, so a text may pass more than one place that makes it fit. A backslash is no unsafe
//! character and stays as it is, so the original cannot be read back; it is text for people.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Room for the mark of a cut: `… (+18446744073709551615 bytes)`.
const MARK_BYTES: usize = 34;

/// Could this character end a line, steer a terminal, or show a text in another order than
/// it has? Those are the control characters (C0, DEL, C1), U+2028 and U+2029, and what sets
/// the direction of writing.
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

/// A writer that escapes what is unsafe on its way into `to`.
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

/// The text without anything unsafe, whole however long it is.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = Escaping(String::with_capacity(text.len() + 16));
    // A String takes everything.
    let _ = out.write_str(text);
    Cow::Owned(out.0)
}

/// What somebody else wrote, escaped, in at most `most_bytes` bytes, the mark of a cut
/// included. What does not fit is counted and not copied. A bound below the mark's own
/// length leaves nothing but the mark.
pub fn shown(text: impl Display, most_bytes: usize) -> String {
    let mut cut = Cut {
        out: String::new(),
        most_bytes,
        keep: 0,
        kept_bytes: 0,
        read_bytes: 0,
        is_full: false,
    };
    // `Cut` takes everything; an error would be the text's own, and what it wrote until then
    // is what there is.
    let _ = write!(cut, "{text}");
    cut.finish()
}

/// Keeps the beginning of what is written to it.
struct Cut {
    out: String,
    most_bytes: usize,
    /// How much of `out` stays if there is a cut, and how much of the original that is.
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
