//! The guests that this binary carries: what the build script found in the folder that
//! `INNKEEPER_GUEST_MODULES` named when it was built (`make` names it), but for the guests of the
//! tests (test: `no_guest_of_the_tests_is_in_the_binary`). They are modules like any other: nothing runs before somebody pushes and binds them.

pub use innkeeper_demo::Guest;

/// All of them, by name; none in a binary that was built without them.
pub fn embedded_guests() -> &'static [Guest] {
    GUESTS
}

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    /// `make test` sets the variable; plain `cargo test` works without guests.
    #[test]
    fn the_guests_are_inside() {
        if std::env::var_os("INNKEEPER_REQUIRE_GUESTS").is_none_or(|required| required != "1") {
            return;
        }
        for expected in [
            "group",
            "range",
            "round-robin",
            "sticky",
            "path-rules",
            "demo-runaway",
        ] {
            let guest = embedded_guests()
                .iter()
                .find(|guest| guest.name == expected);
            let guest = guest.unwrap_or_else(|| panic!("the guest `{expected}` is missing"));
            assert!(
                guest.bytes.starts_with(b"\0asm"),
                "`{expected}` is no WebAssembly"
            );
        }
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(embedded_guests().is_sorted_by(|a, b| a.name < b.name));
    }
}
