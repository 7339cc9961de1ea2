//! The log as JSON: one object on each line. README lists its members.

use std::fmt::{self, Debug};

use innkeeper_admin::http::for_terminals;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Weight;
use super::text::EVENT;

/// One line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl Line<'_> {
    /// The JSON with a newline at its end.
    fn written(&self) -> Result<String, fmt::Error> {
        let line = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        let mut line = for_terminals(line);
        line.push('\n');
        Ok(line)
    }
}

/// A sentence of the start or the end as a line with the target `innkeeper`.
pub(super) fn sentence(weight: Weight, sentence: &str) -> String {
    let (level, event) = match weight {
        Weight::Note => ("info", "note"),
        Weight::Warning => ("warn", "warning"),
        Weight::Error => ("error", "failed"),
    };
    let line = Line {
        time: now().unwrap_or_default(),
        level,
        target: "innkeeper",
        event: Some(event.to_owned()),
        message: sentence.to_owned(),
        fields: Map::new(),
    };
    line.written().unwrap_or_default()
}

/// The time in UTC, as in RFC 3339, with microseconds.
fn now() -> Result<String, fmt::Error> {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    Ok(time)
}

/// The format of `tracing_subscriber` for JSON lines.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Line {
            time: now()?,
            level: &metadata.level().as_str().to_ascii_lowercase(),
            target: metadata.target(),
            event: None,
            message: String::new(),
            fields: Map::new(),
        };
        event.record(&mut Visitor(&mut line));
        writer.write_str(&line.written()?)
    }
}

struct Visitor<'a, 'line>(&'a mut Line<'line>);

impl Visitor<'_, '_> {
    fn set(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.0.message = text(value),
            EVENT => self.0.event = Some(text(value)),
            name => {
                self.0.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Visitor<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // NaN and the infinities, which JSON does not have, become null.
        self.set(field, value.into());
    }
}
