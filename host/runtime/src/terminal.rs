//! Output that differs on a terminal: colours.

use std::env;
use std::ffi::OsStr;

/// May output have colours? Only on a terminal that knows colours, and only if `NO_COLOR` is not
/// set or empty (<https://no-color.org>).
pub fn colours(is_terminal: bool) -> bool {
    let variable = |name| env::var_os(name);
    let (no_color, term) = (variable("NO_COLOR"), variable("TERM"));
    may_colour(is_terminal, no_color.as_deref(), term.as_deref())
}

/// Is this a terminal that can only print text (`TERM` is `dumb`)?
pub fn is_dumb() -> bool {
    is_dumb_one(env::var_os("TERM").as_deref())
}

fn may_colour(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    is_terminal && !is_dumb_one(term) && no_color.is_none_or(OsStr::is_empty)
}

fn is_dumb_one(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_know_them_and_people_who_want_them() {
        let coloured = |is_terminal, no_color: Option<&str>, term: Option<&str>| {
            may_colour(is_terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(coloured(true, None, Some("xterm")));
        assert!(coloured(true, Some(""), Some("xterm")));
        for refused in ["1", "0", "false", " "] {
            assert!(!coloured(true, Some(refused), Some("xterm")), "{refused}");
        }
        assert!(!coloured(false, None, Some("xterm")));
        assert!(!coloured(true, None, Some("dumb")));
        assert!(!coloured(true, None, None));
    }
}
