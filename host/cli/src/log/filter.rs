//! The filter of the log, from the environment variable `INNKEEPER_LOG`.
//!
//! The variable holds a level, or `TARGET=LEVEL`, or several of these with commas between them; or
//! `@FILE` for a file that holds them. [`BASE`] applies to all other targets. It switches openraft
//! off, whose lines mean little to an operator.

use std::path::Path;

use anyhow::{Context, bail};
use innkeeper_tree::text::{file_name, piece};
use tracing_subscriber::EnvFilter;

/// The name of the variable.
const VARIABLE: &str = "INNKEEPER_LOG";

/// The directives before those of the variable, which outweigh them for the same target.
const BASE: &str = "warn,openraft=off";

/// The levels, from the fewest lines to the most.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads the filter from the variable or from the file that it names.
pub(super) fn from_environment() -> anyhow::Result<EnvFilter> {
    let Some(value) = std::env::var_os(VARIABLE) else {
        return parse("");
    };
    let Some(value) = value.to_str() else {
        bail!("{VARIABLE} is not text; write a level, as in {VARIABLE}=info");
    };
    match value.trim().strip_prefix('@') {
        Some(file) => {
            let file = Path::new(file);
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("{VARIABLE}: {} cannot be read", file_name(file)))?;
            parse(&text).with_context(|| format!("{VARIABLE}: in {}", file_name(file)))
        }
        None => parse(value).context(VARIABLE),
    }
}

/// Whether the variable names a file. Only a file can change while the process runs.
pub(super) fn is_in_a_file() -> bool {
    let value = std::env::var(VARIABLE).unwrap_or_default();
    value.trim().starts_with('@')
}

/// Parses a filter. Newlines separate directives as commas do.
pub(super) fn parse(text: &str) -> anyhow::Result<EnvFilter> {
    let mut directives = vec![BASE];
    directives.extend(text.split([',', '\n']).map(str::trim));
    directives.retain(|directive| !directive.is_empty());
    for directive in &directives[1..] {
        check(directive)?;
    }
    EnvFilter::builder()
        .parse(directives.join(","))
        .with_context(|| {
            format!(
                "`{}` is no filter; write a level, or TARGET=LEVEL",
                piece(text.trim())
            )
        })
}

/// Refuses a word that is no level. The library would take it as the name of a target with every
/// level, and log nothing.
fn check(directive: &str) -> anyhow::Result<()> {
    let level = match directive.rsplit_once('=') {
        // A directive with a filter on fields may hold any text.
        Some((_, rest)) if rest.contains([']', '}']) => return Ok(()),
        Some(("", _)) => {
            let directive = piece(directive);
            bail!("`{directive}` names no target; write TARGET=LEVEL")
        }
        Some((_, level)) => level,
        None if directive.contains('[') => return Ok(()),
        None => directive,
    };
    let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    if !is_level {
        bail!(
            "`{}` is no level; write one of {}, or TARGET=LEVEL, as in openraft=info",
            piece(level),
            LEVELS.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a line of that target and level would be logged.
    fn logs(text: &str, expected: &[(&str, bool)]) {
        let filter = parse(text).expect("a filter").to_string();
        for (directive, there) in expected {
            let found = filter.split(',').any(|part| part == *directive);
            assert_eq!(found, *there, "{text}: {filter}");
        }
    }

    #[test]
    fn openraft_is_heard_only_by_name() {
        for quiet in ["", " ", "info", "trace", "innkeeper_raft=debug", "INFO"] {
            logs(quiet, &[("openraft=off", true)]);
        }
        logs(
            "openraft=info",
            &[
                ("openraft=info", true),
                ("openraft=off", false),
                ("warn", true),
            ],
        );
        logs(
            "debug,openraft=warn",
            &[("openraft=warn", true), ("debug", true), ("warn", false)],
        );
        logs(
            "openraft::core=info",
            &[("openraft::core=info", true), ("openraft=off", true)],
        );
        logs("off", &[("off", true), ("warn", false)]);
        logs(
            "info\ninnkeeper_server=debug\n",
            &[("info", true), ("innkeeper_server=debug", true)],
        );
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for (wrong, named) in [
            ("trase", "`trase`"),
            ("inof,openraft=info", "`inof`"),
            ("innkeeper_server=loud", "`loud`"),
            ("innkeeper_server", "`innkeeper_server`"),
            ("=info", "`=info`"),
            ("info debug", "`info debug`"),
        ] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
