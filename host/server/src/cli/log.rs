//! The node's log: few lines, on stderr.

use std::fmt::Write;
use std::io::IsTerminal;

use innkeeper_tree::text::Escaping;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::{MakeWriter, format};

/// Sends the log to stderr; `INNKEEPER_LOG` takes a filter, e.g. `innkeeper_server=debug`.
pub(super) fn to_stderr() {
    let filter = EnvFilter::try_from_env("INNKEEPER_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,openraft=off"));
    let subscriber = subscriber(filter, std::io::stderr().is_terminal(), std::io::stderr);
    // A subscriber that is already there (in tests) stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// One line per event, whatever stands in it: clients, guests and peers choose paths, names
/// and texts, and tracing's own formatter leaves newlines in messages as they are.
fn subscriber(
    filter: EnvFilter,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let fields = format::debug_fn(|writer, field, value| {
        let mut writer = Escaping(writer);
        match field.name() {
            "message" => write!(writer, "{value:?}"),
            name => write!(writer, "{name}={value:?}"),
        }
    });
    tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

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

    #[test]
    fn nobody_forges_a_line() {
        let written = Written::default();
        let (filter, writer) = (EnvFilter::new("warn"), written.clone());
        let subscriber = subscriber(filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let forged = "gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\u{1b}[2J";
            tracing::warn!(path = forged, shown = %forged, "a client wrote {forged}");
        });
        let text = String::from_utf8(written.0.lock().clone()).expect("text");
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(text.ends_with('\n'), "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert!(
            text.contains(r"a client wrote gone\n2026-11-26T00:00:00Z ERROR raft: the disk is full\u{1b}[2J path="),
            "{text:?}"
        );
        assert!(text.contains(r" shown=gone\n2026"), "{text:?}");
    }
}
