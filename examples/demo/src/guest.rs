//! The guests of the demo, which the binary carries.

use anyhow::bail;

/// A guest that a binary carries.
#[derive(Debug)]
pub struct Guest {
    /// The name of the guest's crate.
    pub name: &'static str,
    /// The core module of the compiler.
    pub bytes: &'static [u8],
}

impl Guest {
    /// Whether `innkeeper guest` lists it. Guests of the demo alone are not listed.
    pub fn is_shown(&self) -> bool {
        !self.name.starts_with("demo-")
    }
}

/// The guests that the demo shows, by the names of their crates.
const SHOWN: [&str; 6] = [
    "group",
    "range",
    "sticky",
    "path-rules",
    "demo-confirm",
    "demo-runaway",
];

/// The guests of the demo, out of `carried`. An error if one is missing.
pub(crate) fn shown(carried: &'static [Guest]) -> anyhow::Result<Vec<&'static Guest>> {
    let find = |name| match carried.iter().find(|guest| guest.name == name) {
        Some(guest) => Ok(guest),
        None => bail!(
            "this binary was built without the guest `{name}`, which the demo shows; build it with `make build`, or run `make demo`"
        ),
    };
    SHOWN.into_iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_without_its_guests_says_what_to_build() {
        let error = shown(&[]).expect_err("no guests").to_string();
        assert!(
            error.contains("without the guest `group`") && error.contains("make demo"),
            "{error}"
        );
        static FIRST: [Guest; 1] = [Guest {
            name: "group",
            bytes: b"",
        }];
        let error = shown(&FIRST)
            .expect_err("the others are missing")
            .to_string();
        assert!(error.contains("without the guest `range`"), "{error}");
    }
}
