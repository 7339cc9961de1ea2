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
    let mut rows = vec![
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
    if let Some(members) = group(&status["group"]) {
        rows.insert(1, ("group", members));
    }
    let failed = match status["failure"].as_str() {
        Some(failure) => format!("  FAILED: {failure}\n"),
        None => String::new(),
    };
    let node = status["node_id"].as_i64().unwrap_or(0);
    let version = text_of(status, "version");
    format!("node {node}, version {version}\n{failed}{}", facts(&rows))
}

/// The members of the node's group, and its contact with a leader; `None` for a node alone.
fn group(group: &Value) -> Option<String> {
    let numbers = |field: &str| {
        let all = group[field].as_array()?.iter();
        let all: Vec<_> = all.map(Value::to_string).collect();
        Some(all.join(", "))
    };
    let (voters, observers) = (numbers("voters")?, numbers("observers")?);
    let observers = match observers.is_empty() {
        true => String::new(),
        false => format!("; observers {observers}"),
    };
    let contact = match group["contact_ms"].as_u64() {
        Some(ms) => format!("a leader with a quorum answered {ms} ms ago"),
        None => "no leader with a quorum has answered yet".to_owned(),
    };
    Some(format!("voters {voters}{observers}; {contact}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_is_shown_with_its_contact_and_a_node_alone_has_none() {
        let shown = |value| group(&value);
        assert_eq!(shown(Value::Null), None);
        let whole = json!({"voters": [1, 2], "observers": [4], "contact_ms": 7});
        let expected = "voters 1, 2; observers 4; a leader with a quorum answered 7 ms ago";
        assert_eq!(shown(whole).as_deref(), Some(expected));
        let fresh = json!({"voters": [1], "observers": [], "contact_ms": null});
        let expected = "voters 1; no leader with a quorum has answered yet";
        assert_eq!(shown(fresh).as_deref(), Some(expected));
    }
}
