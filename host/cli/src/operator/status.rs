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
        ("role", text_of(status, "role").to_owned()),
        ("leader", leader(status)),
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
    let group = group_rows(&status["group"]);
    rows.splice(2..2, group);
    let failed = match status["failure"].as_str() {
        Some(failure) => format!("  FAILED: {failure}\n"),
        None => String::new(),
    };
    let node = status["node_id"].as_i64().unwrap_or(0);
    let version = text_of(status, "version");
    format!("node {node}, version {version}\n{failed}{}", facts(&rows))
}

/// Who leads, in which term.
fn leader(status: &Value) -> String {
    let term = number_of(status, "term");
    match status["leader"].as_i64() {
        Some(node) => format!("node {node} in term {term}"),
        None => format!("none is known in term {term}"),
    }
}

/// The node's contact with a leader, the last fail-over, and a row for each member of its group; none
/// for a node alone.
fn group_rows(group: &Value) -> Vec<(&'static str, String)> {
    let Some(members) = group["members"].as_array() else {
        return Vec::new();
    };
    let contact = match group["contact_ms"].as_u64() {
        Some(ms) => format!("a leader with a quorum answered {ms} ms ago"),
        None => "no leader with a quorum has answered yet".to_owned(),
    };
    let mut rows = vec![("contact", contact)];
    let last = &group["fail_over"];
    if last.is_object() {
        rows.push((
            "fail-over",
            format!(
                "from node {} to node {} in term {} at {}: no leader with a quorum for {} ms",
                last["from"],
                last["to"],
                last["term"],
                text_of(last, "at"),
                number_of(last, "without_leader_ms"),
            ),
        ));
    }
    rows.extend(members.iter().map(|member| ("member", member_row(member))));
    let leaving = group["leaving"].as_array().into_iter().flatten();
    rows.extend(leaving.map(|node| {
        let row = format!("{node}, which votes until all voters above are taken in");
        ("leaving", row)
    }));
    rows
}

fn member_row(member: &Value) -> String {
    let mut row = format!(
        "{}, {} at {}",
        member["id"],
        text_of(member, "role"),
        text_of(member, "address")
    );
    if member["is_in"] == false {
        row.push_str(", not taken in yet");
    }
    if member["leads"] == true {
        return row + ", leads";
    }
    let Some(entries) = member["entries_behind"].as_u64() else {
        return row + ", lag unknown";
    };
    row.push_str(&format!(
        ", {} behind",
        counted(entries, "entry", "entries")
    ));
    row.push_str(&match member["heard_ms"].as_u64() {
        Some(ms) => format!(", heard {} ago", span(ms)),
        None => ", not heard by this leader".to_owned(),
    });
    if let Some(limit) = member["late"].as_str() {
        row.push_str(&format!(", LATE beyond {limit}"));
    }
    row
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_is_shown_with_its_members_and_its_last_fail_over_and_a_node_alone_has_none() {
        let shown = |value| {
            let rows = group_rows(&value);
            let rows = rows.into_iter().map(|(name, row)| format!("{name}: {row}"));
            rows.collect::<Vec<_>>()
        };
        assert!(shown(Value::Null).is_empty());
        let member = |id, leads, entries: Option<u64>, heard_ms: Option<u64>| {
            json!({
                "id": id, "role": "voter", "is_in": true, "address": format!("zoo-{id}:2888"),
                "leads": leads, "entries_behind": entries, "heard_ms": heard_ms, "synced": true,
                "late": null,
            })
        };
        let mut late = member(3, false, Some(312), None);
        late["late"] = "initLimit".into();
        late["role"] = "observer".into();
        late["is_in"] = false.into();
        let whole = json!({
            "voters": [1, 2], "observers": [], "contact_ms": 7,
            "members": [
                member(1, true, None, None), member(2, false, Some(1), Some(42)), late,
                member(4, false, None, None),
            ],
            "leaving": [5],
            "fail_over": {
                "at": "2026-01-02T03:04:05Z", "from": 2, "to": 1, "term": 5,
                "without_leader_ms": 162,
            },
        });
        assert_eq!(
            shown(whole),
            [
                "contact: a leader with a quorum answered 7 ms ago",
                "fail-over: from node 2 to node 1 in term 5 at 2026-01-02T03:04:05Z: no leader with a \
                 quorum for 162 ms",
                "member: 1, voter at zoo-1:2888, leads",
                "member: 2, voter at zoo-2:2888, 1 entry behind, heard 42 ms ago",
                "member: 3, observer at zoo-3:2888, not taken in yet, 312 entries behind, not heard \
                 by this leader, LATE beyond initLimit",
                "member: 4, voter at zoo-4:2888, lag unknown",
                "leaving: 5, which votes until all voters above are taken in",
            ]
        );
        let fresh = json!({"members": [], "contact_ms": null, "fail_over": null});
        assert_eq!(
            shown(fresh),
            ["contact: no leader with a quorum has answered yet"]
        );
    }

    #[test]
    fn who_leads_is_shown_with_the_term() {
        let shown = |value| leader(&value);
        assert_eq!(shown(json!({"leader": 2, "term": 5})), "node 2 in term 5");
        let none = json!({"leader": null, "term": 6});
        assert_eq!(shown(none), "none is known in term 6");
    }
}
