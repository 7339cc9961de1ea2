//! `innkeeper status`: shows a node's role, addresses, counts and log.

use serde_json::Value;

use super::output::Output;
use super::remote::Remote;
use super::text::{facts, number_of, span, text_of};

pub(super) async fn run(remote: Remote) -> anyhow::Result<Output> {
    Ok(Output::of(remote.get("/v1/status").await?, shown))
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
        (
            "up for",
            format!(
                "{}, since {}",
                span(number_of(status, "uptime_ms")),
                text_of(status, "started")
            ),
        ),
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
