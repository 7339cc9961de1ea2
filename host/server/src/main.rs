//! The binary `innkeeper`.

use std::process::ExitCode;

fn main() -> ExitCode {
    innkeeper_server::cli::run()
}
