//! `innkeeper status`.

use clap::Args;
use serde_json::Value;

use super::remote::{Remote, Target};
use super::text::{facts, json_text, number_of, span, text_of};

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    target: Target,
    /// Print the node's JSON
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(super) fn split(self) -> (Target, bool) {
        (self.target, self.json)
    }
}

pub(super) async fn run(remote: Remote, json: bool) -> anyhow::Result<Vec<u8>> {
    if json {
        return Ok(json_text(&remote.get_raw("/v1/status").await?).into_bytes());
    }
    Ok(shown(&remote.get("/v1/status").await?).into_bytes())
}

fn shown(status: &Value) -> String {
    let number = |field: &str| number_of(status, field).to_string();
    let log = &status["log"];
    let checkpoint = log["checkpoint"]
        .as_u64()
        .map_or("no checkpoint yet".to_owned(), |at| {
            format!("checkpoint at {at}")
        });
    let rows = [
        (
            "role",
            format!(
                "{} of term {}",
                text_of(status, "role"),
                number_of(status, "term")
            ),
        ),
        (
            "clients at",
            text_of(&status["addresses"], "zookeeper").to_owned(),
        ),
        ("http at", text_of(&status["addresses"], "http").to_owned()),
        ("up for", span(number_of(status, "uptime_ms"))),
        ("zxid", format!("{:#x}", number_of(status, "zxid"))),
        ("znodes", number("znodes")),
        ("sessions", number("sessions")),
        ("connections", number("connections")),
        ("watches", number("watches")),
        ("modules", number("modules")),
        ("bindings", number("bindings")),
        (
            "log",
            format!(
                "applied up to entry {} of {}, {checkpoint}, {} syncs since the start",
                number_of(log, "applied"),
                number_of(log, "last"),
                number_of(log, "syncs"),
            ),
        ),
    ];
    let failed = match status["failure"].as_str() {
        Some(failure) => format!("  FAILED: {failure}\n"),
        None => String::new(),
    };
    let node = status["node_id"].as_i64().unwrap_or(0);
    let version = text_of(status, "version");
    format!("node {node}, version {version}\n{failed}{}", facts(&rows))
}
