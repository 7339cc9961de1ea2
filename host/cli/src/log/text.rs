//! The log as text for people.

use std::fmt::{self, Debug, Write};

use innkeeper_tree::text::Escaping;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// The field with the stable name of what happened. The text form leaves it out.
pub(super) const EVENT: &str = "event";

/// The format of messages and fields. It escapes newlines and control characters, which clients and
/// guests can put into paths and names, so that each event is one line. The formatter of
/// `tracing_subscriber` writes newlines of messages as they are.
pub(super) fn fields() -> Fields {
    Fields
}

/// Writes the message and the fields of a line.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<F: RecordFields>(&self, writer: Writer<'writer>, fields: F) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            any: false,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.finish()
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    any: bool,
    result: fmt::Result,
}

impl VisitOutput<fmt::Result> for Visitor<'_> {
    fn finish(self) -> fmt::Result {
        self.result
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_err() || field.name() == EVENT {
            return;
        }
        let space = if self.any { " " } else { "" };
        self.any = true;
        let mut writer = Escaping(&mut self.writer);
        self.result = match field.name() {
            "message" => write!(writer, "{space}{value:?}"),
            name => write!(writer, "{space}{name}={value:?}"),
        };
    }
}
