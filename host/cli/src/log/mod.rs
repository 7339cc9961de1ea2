//! The node's log: few lines, on stderr.
//!
//! 1. Code logs with `tracing`'s macros. Lines that an operator may search for have the field
//!    `event`, a name that stays the same between releases (README lists them).
//! 2. [`filter`] decides by `INNKEEPER_LOG` which lines are logged. [`Log::reread`] reads it again.
//! 3. [`bounds`] limits the lines per second of each place in the code, and counts those that it
//!    leaves out. [`Log::tell_left_out`] logs the count.
//! 4. A line is text for people or JSON for programs ([`json`]), by `--log-format`.

mod bounds;
mod filter;
mod json;
mod text;

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use innkeeper_tree::text::shown;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use bounds::{Bounded, Bounds};

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text for people
    Text,
    /// One JSON object on each line: time, level, target, event, message and fields
    Json,
}

/// How serious a sentence of the start or the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The operator may want to know it.
    Note,
    /// Something acts otherwise than the operator may expect.
    Warning,
    /// The process ends because of it.
    Error,
}

/// The log of this process.
#[derive(Debug)]
pub(super) struct Log {
    format: Format,
    filter: reload::Handle<EnvFilter, Registry>,
    bounds: Arc<Bounds>,
}

impl Log {
    /// Sends the log to stderr from now on. An error if `INNKEEPER_LOG` is invalid.
    pub(super) fn start(format: Format) -> anyhow::Result<Log> {
        let filter = filter::from_environment()?;
        let colours = innkeeper_runtime::terminal::colours(stderr().is_terminal());
        let (subscriber, log) = subscriber(filter, format, colours, stderr);
        // In tests a subscriber may be set already; it stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(log)
    }

    /// Reads the filter again from the file that `INNKEEPER_LOG` names (`@FILE`), and returns it.
    /// `None` without a file: a process cannot get a new environment. After an error the old filter
    /// stays in use.
    pub(super) fn reread(&self) -> anyhow::Result<Option<String>> {
        if !filter::is_in_a_file() {
            return Ok(None);
        }
        let filter = filter::from_environment()?;
        let shown = filter.to_string();
        self.filter
            .reload(filter)
            .context("the log's filter cannot be changed any more")?;
        Ok(Some(shown))
    }

    /// Logs how many lines were left out in the seconds that are over. Call it once a second.
    pub(super) fn tell_left_out(&self) {
        self.bounds.tell(false);
    }

    /// Logs the lines left out in the current second as well. Call it at the end of the process.
    pub(super) fn tell_all_left_out(&self) {
        self.bounds.tell(true);
    }

    /// Writes a sentence of the start or the end, past the filter. As text it has the form of the
    /// commands' errors, as JSON that of a line of the log.
    pub(super) fn say(&self, weight: Weight, sentence: &str) {
        say(self.format, weight, sentence);
    }
}

/// The longest sentence, in bytes. A longer one is cut.
pub(super) const SENTENCE_BYTES_MAX: usize = 8192;

/// Writes a sentence as [`Log::say`] does, before the log is started.
pub(super) fn say(format: Format, weight: Weight, sentence: &str) {
    // The sentence may quote a file: it is cut and escaped.
    let sentence = &shown(sentence, SENTENCE_BYTES_MAX);
    let line = match (format, weight) {
        (Format::Json, weight) => json::sentence(weight, sentence),
        (Format::Text, Weight::Note) => format!("innkeeper: note: {sentence}\n"),
        (Format::Text, Weight::Warning) => format!("innkeeper: warning: {sentence}\n"),
        (Format::Text, Weight::Error) => format!("innkeeper: {sentence}\n"),
    };
    // Without a reader of stderr there is no place for the sentence.
    let _ = stderr().write_all(line.as_bytes());
}

/// The subscriber that writes each line to a writer in one piece, and the log that controls it.
fn subscriber(
    filter: EnvFilter,
    format: Format,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> (Box<dyn Subscriber + Send + Sync>, Log) {
    let (filter, handle) = reload::Layer::new(filter);
    let bounds = Arc::new(Bounds::default());
    let log = Log {
        format,
        filter: handle,
        bounds: bounds.clone(),
    };
    let filtered = tracing_subscriber::registry()
        .with(filter)
        .with(Bounded(bounds));
    // The layer would report a broken stderr with eprintln, which panics.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
        Format::Text => {
            Box::new(filtered.with(lines.with_ansi(colours).fmt_fields(text::fields())))
        }
        Format::Json => Box::new(filtered.with(lines.with_ansi(false).event_format(json::Lines))),
    };
    (subscriber, log)
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while something happens.
    fn written(filter: &str, format: Format, happens: impl FnOnce(&Log)) -> String {
        let (written, filter) = (Written::default(), filter::parse(filter).expect("a filter"));
        let writer = written.clone();
        let (subscriber, log) = subscriber(filter, format, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || happens(&log));
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn nobody_forges_a_line() {
        let forged = "gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\u{1b}[2J";
        let happens =
            |_: &Log| tracing::warn!(path = forged, shown = %forged, "a client wrote {forged}");
        let text = written("warn", Format::Text, happens);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(text.ends_with('\n'), "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert!(
            text.contains(r"a client wrote gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\u{1b}[2J path="),
            "{text:?}"
        );
        assert!(text.contains(r" shown=gone\n2026"), "{text:?}");

        let line = written("warn", Format::Json, happens);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["message"], format!("a client wrote {forged}"));
        assert_eq!(line["fields"], json!({"path": forged, "shown": forged}));
    }

    #[test]
    fn a_line_of_json_has_a_documented_shape() {
        let happens = |_: &Log| {
            tracing::info!(
                event = "session-expired",
                session = 7_u64,
                late = true,
                of = -1,
                by = 0.5,
                "ended"
            );
            tracing::error!("plain");
        };
        let text = written("info", Format::Json, happens);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let mut first = lines[0].clone();
        let time = first["time"].take();
        let time = time.as_str().expect("a time");
        assert!(
            time.len() == "2026-11-26T22:20:47.123456Z".len()
                && time.ends_with('Z')
                && time.as_bytes()[10] == b'T',
            "{time}"
        );
        assert_eq!(
            first,
            json!({
                "time": null, "level": "info", "target": module_path!(), "event": "session-expired",
                "message": "ended", "fields": {"session": 7, "late": true, "of": -1, "by": 0.5},
            })
        );
        assert_eq!(lines[1]["message"], "plain");
        assert_eq!(
            (lines[1].get("event"), lines[1].get("fields")),
            (None, None)
        );
    }

    #[test]
    fn people_are_not_shown_the_name_of_an_event() {
        let text = written("info", Format::Text, |_| {
            tracing::info!(event = "stopped", why = %"a signal", "the node stops");
        });
        assert!(
            text.ends_with(": the node stops why=a signal\n"),
            "{text:?}"
        );
        assert!(
            text.contains(concat!("Z  INFO ", module_path!())),
            "{text:?}"
        );
    }

    #[test]
    fn a_filter_can_be_changed_while_it_runs() {
        let text = written("warn", Format::Text, |log| {
            tracing::info!("too early");
            let filter = filter::parse("info").expect("a filter");
            log.filter.reload(filter).expect("it can be changed");
            tracing::callsite::rebuild_interest_cache();
            tracing::info!("in time");
        });
        assert!(
            !text.contains("too early") && text.contains("in time"),
            "{text:?}"
        );
    }

    #[test]
    fn what_comes_too_often_is_counted_in_one_line() {
        let text = written("info", Format::Json, |log| {
            for number in 0..1_000 {
                tracing::info!(
                    event = "session-expired",
                    number,
                    "session {number} expired"
                );
            }
            tracing::info!("another place is not held back");
            log.tell_all_left_out();
            log.tell_all_left_out();
        });
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let of_sessions = lines
            .iter()
            .filter(|line| line["event"] == "session-expired");
        assert_eq!(
            of_sessions.count() as u32,
            bounds::LINES_PER_SECOND,
            "{text}"
        );
        let left_out: Vec<_> = lines
            .iter()
            .filter(|line| line["event"] == "left-out")
            .collect();
        assert_eq!(left_out.len(), 1, "{text}");
        assert_eq!(
            left_out[0]["fields"]["lines"],
            1_000 - bounds::LINES_PER_SECOND
        );
        assert_eq!(left_out[0]["level"], "info");
        let message = left_out[0]["message"].as_str().expect("a message");
        assert!(message.contains("session 19 expired"), "{message}");
        assert!(text.contains("another place"), "{text}");
    }

    #[test]
    fn what_was_asked_for_in_detail_is_not_held_back() {
        let text = written("debug", Format::Text, |_| {
            for number in 0..100 {
                tracing::debug!("{number}");
                tracing::info!(target: "guest", "{number}");
            }
        });
        assert_eq!(text.lines().count(), 200, "{text}");
    }
}
