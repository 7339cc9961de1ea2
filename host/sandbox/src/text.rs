//! The one way of a guest's text to people: its errors, messages, reasons and names, and the
//! names in its module.
//!
//! Invariant: every string that a guest or a module's author chose, and that leaves this crate
//! for a log, a status or an answer, is a [`GuestText`]: one line, without control characters,
//! of a bounded length. There is no other way to make one.
//!
//! **Invariant:** text that an author or a guest wrote reaches people as one line of bounded
//! length, without a character that controls a terminal. The node's log, its admin answers and the
//! command line escape it by the one rule of `tree/text.rs`. Raw bytes come only from `innkeeper
//! znode get` and `ls`, and never onto a terminal. (tests: `what_a_guest_says_is_one_short_line`,
//! `nobody_forges_a_line`, `it_stays_the_same_json`, `nothing_in_an_answer_harms_a_terminal`)

use std::fmt;

use innkeeper_tree::text;

/// A text out of a guest, cut and escaped (see [`innkeeper_tree::text`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestText(Box<str>);

/// The longest [`GuestText`], in bytes as shown, the mark of a cut included.
pub const GUEST_TEXT_BYTES_MAX: usize = 4096;

impl GuestText {
    /// Makes any text fit. What does not fit is not copied.
    pub fn new(text: impl fmt::Display) -> GuestText {
        GuestText(text::shown(text, GUEST_TEXT_BYTES_MAX).into())
    }

    /// What an error of wasmtime's or of the toolchain's says, with the causes that it names.
    pub(crate) fn of_error(error: &impl fmt::Display) -> GuestText {
        GuestText::new(format_args!("{error:#}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A guest's name for something (an export, a topic, a function), short enough to stand in a
/// sentence of ours.
pub(crate) fn name(text: &str) -> String {
    text::piece(text)
}

impl fmt::Display for GuestText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for GuestText {
    fn from(text: &str) -> GuestText {
        GuestText::new(text)
    }
}

impl From<String> for GuestText {
    fn from(text: String) -> GuestText {
        GuestText::new(text)
    }
}

impl std::ops::Deref for GuestText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_guest_says_is_one_short_line() {
        let text = GuestText::from("\u{1b}]0;owned\u{7}\n".repeat(1 << 20));
        assert!(text.len() <= GUEST_TEXT_BYTES_MAX, "{}", text.len());
        assert!(text.starts_with(r"\u{1b}]0;owned\u{7}\n\u{1b}"), "{text}");
        assert!(text.ends_with(" bytes)"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert_eq!(GuestText::new(&text), text);
    }
}
