//! The binary `innkeeper`.

use std::process::ExitCode;

fn main() -> ExitCode {
    innkeeper_cli::run()
}
