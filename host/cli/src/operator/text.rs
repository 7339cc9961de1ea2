//! Text for people: aligned columns, sizes, durations.

use innkeeper_tree::text::escaped;
use serde_json::Value;

/// Aligned columns, two spaces apart. All rows have the same number of cells.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of names and values, indented, with aligned values.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts
        .iter()
        .map(|(name, value)| format!("  {name:<width$}  {value}\n"))
        .collect()
}

/// A size in B, KiB or MiB.
pub(super) fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let size = bytes as f64;
    if size < KIB {
        format!("{bytes} B")
    } else if size < KIB * KIB {
        format!("{:.1} KiB", size / KIB)
    } else {
        format!("{:.1} MiB", size / KIB / KIB)
    }
}

/// A span of time in one unit, from milliseconds to days, rounded down.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number with its noun: `1 event`, `2 events`.
pub(super) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// The first 12 hex digits of a module's name, for tables.
pub(super) fn short(module: &str) -> String {
    const SHOWN: usize = "sha256:".len() + 12;
    module.chars().take(SHOWN).collect()
}

/// A node's answer as indented JSON, in which no character steers a terminal.
pub(super) fn json_text(answer: &Value) -> String {
    format!(
        "{}\n",
        innkeeper_admin::http::for_terminals(format!("{answer:#}"))
    )
}

/// Bytes that a client or a guest wrote, for stdout: unchanged for a program, escaped for a
/// terminal, except newlines and tabs.
pub(super) fn for_reader(bytes: Vec<u8>, is_terminal: bool) -> Vec<u8> {
    if !is_terminal {
        return bytes;
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_layout = |character| matches!(character, '\n' | '\t');
    text.split_inclusive(is_layout)
        .flat_map(|part| {
            let line = part.trim_end_matches(is_layout);
            [escaped(line).into_owned(), part[line.len()..].to_owned()]
        })
        .collect::<String>()
        .into_bytes()
}

/// The text of a field; a dash if it is missing or no text.
pub(super) fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("-")
}

/// The number of a field; 0 if it is missing or no such number.
pub(super) fn number_of(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

/// The elements of a field; none if it is missing or no list.
pub(super) fn list_of<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_without_trailing_spaces() {
        let rows = [
            vec!["NAME".to_owned(), "WORLD".to_owned()],
            vec!["ä".to_owned(), "recipe".to_owned()],
            vec!["longer-name".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&rows),
            "NAME         WORLD\nä            recipe\nlonger-name\n"
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn only_programs_get_bytes_as_they_are() {
        let bytes = b"a\tb\n\n\x1b[2J\r\xff\n".to_vec();
        assert_eq!(for_reader(bytes.clone(), false), bytes);
        let shown = String::from_utf8(for_reader(bytes, true)).expect("text");
        assert_eq!(shown, "a\tb\n\n\\u{1b}[2J\\r\u{fffd}\n");
    }

    #[test]
    fn sizes_and_spans_are_short() {
        assert_eq!(
            (size(1023), size(14_541), size(3 << 20)),
            ("1023 B".into(), "14.2 KiB".into(), "3.0 MiB".into())
        );
        assert_eq!(
            (span(999), span(61_000), span(7_199_000)),
            ("999 ms".into(), "61 s".into(), "119 min".into())
        );
        assert_eq!(
            (span(7_200_000), span(172_800_000)),
            ("2 h".into(), "2 days".into())
        );
    }
}
