//! The guests that this binary carries: the modules in the folder that `INNKEEPER_GUEST_MODULES`
//! named when the binary was built (`make` sets it). The guests of the tests are left out (test:
//! `no_guest_of_the_tests_is_in_the_binary`). A carried guest is a module like any other: it does
//! not run before an operator pushes and binds it.

pub use innkeeper_demo::Guest;

/// The carried guests, sorted by name; none if `INNKEEPER_GUEST_MODULES` was not set at the build.
pub fn embedded_guests() -> &'static [Guest] {
    GUESTS
}

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_are_inside() {
        for expected in [
            "group",
            "range",
            "round-robin",
            "sticky",
            "path-rules",
            "demo-confirm",
            "demo-runaway",
        ] {
            let guest = embedded_guests()
                .iter()
                .find(|guest| guest.name == expected);
            let guest = guest.unwrap_or_else(|| {
                panic!(
                    "the binary lacks the guest `{expected}`: run `make guests`, and build with \
                     INNKEEPER_GUEST_MODULES set to their folder, as `make` does"
                )
            });
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
