//! Limits the lines per second that each place in the code may log.
//!
//! A cut network expires thousands of sessions at once, and a client can make thousands of
//! connections fail. Of the lines of one place, the first [`LINES_PER_SECOND`] in each second are
//! logged. The rest is counted, and one line tells the count.
//!
//! Not limited are the levels debug and trace, which an operator has asked for; the lines of
//! guests, which have a limit for each binding; and other crates, which `INNKEEPER_LOG` must name.

use std::fmt::Debug;
use std::mem;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Most lines of one place in the code that are logged within one second.
pub(super) const LINES_PER_SECOND: u32 = 20;

/// The beginning of the targets that are limited: the crates of the host.
const OUR_TARGETS: &str = "innkeeper";

/// The target of the lines that tell the counts. It is not limited.
const TARGET: &str = "log";

/// The longest quotation of a logged line in the line that tells the count, in characters.
const LIKE_CHARS: usize = 160;

/// The counts of each place in the code that has logged. Their number is bounded by the code.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    places: Mutex<HashMap<Identifier, Place>>,
}

/// One place in the code, in the current second.
#[derive(Debug)]
struct Place {
    level: Level,
    since: Instant,
    logged: u32,
    left_out: u64,
    /// The last logged line of the second, quoted as an example of those left out.
    like: String,
}

/// The layer of the subscriber that applies the [`Bounds`].
pub(super) struct Bounded(pub(super) std::sync::Arc<Bounds>);

impl<S: Subscriber> Layer<S> for Bounded {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || !metadata.target().starts_with(OUR_TARGETS) {
            return true;
        }
        let (id, level) = (metadata.callsite(), *metadata.level());
        self.0.admit(id, level, now(), || {
            let mut message = Message::default();
            event.record(&mut message);
            message.0
        })
    }
}

/// Real time, also in a simulation: the log belongs to the process, not to the node.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

impl Bounds {
    /// Whether a line of this place is logged; counts it if not.
    fn admit(
        &self,
        id: Identifier,
        level: Level,
        now: Instant,
        message: impl FnOnce() -> String,
    ) -> bool {
        let mut places = self.places.lock();
        let place = places.entry(id).or_insert_with(|| Place {
            level,
            since: now,
            logged: 0,
            left_out: 0,
            like: String::new(),
        });
        if place.is_over(now) && place.left_out == 0 {
            (place.since, place.logged) = (now, 0);
        }
        if place.logged >= LINES_PER_SECOND {
            place.left_out += 1;
            return false;
        }
        place.logged += 1;
        if place.logged == LINES_PER_SECOND {
            place.like = message().chars().take(LIKE_CHARS).collect();
        }
        true
    }

    /// Logs one line for each place with lines left out: in the seconds that are over, or in all.
    pub(super) fn tell(&self, all: bool) {
        for (level, lines, like) in self.take(now(), all) {
            let like = format_args!("{lines} more lines like \"{like}\" were left out");
            match level {
                Level::ERROR => {
                    tracing::error!(target: TARGET, event = "left-out", lines, "{like}")
                }
                Level::WARN => tracing::warn!(target: TARGET, event = "left-out", lines, "{like}"),
                _ => tracing::info!(target: TARGET, event = "left-out", lines, "{like}"),
            }
        }
    }

    fn take(&self, now: Instant, all: bool) -> Vec<(Level, u64, String)> {
        let mut places = self.places.lock();
        let places = places.values_mut();
        let due = places.filter(|place| place.left_out > 0 && (all || place.is_over(now)));
        due.map(|place| {
            (place.since, place.logged) = (now, 0);
            let left_out = mem::take(&mut place.left_out);
            (place.level, left_out, mem::take(&mut place.like))
        })
        .collect()
    }
}

impl Place {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= Duration::from_secs(1)
    }
}

/// Takes the message of a line from its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::{Callsite, DefaultCallsite};
    use tracing::metadata::Kind;

    use super::*;

    struct Anywhere;
    static ANYWHERE: DefaultCallsite = {
        static METADATA: tracing::Metadata<'static> = tracing::metadata! {
            name: "anywhere",
            target: "innkeeper_server",
            level: Level::INFO,
            fields: &[],
            callsite: &ANYWHERE,
            kind: Kind::EVENT,
        };
        DefaultCallsite::new(&METADATA)
    };

    impl Anywhere {
        fn admit(bounds: &Bounds, now: Instant) -> bool {
            let id = Identifier(&ANYWHERE);
            bounds.admit(id, *ANYWHERE.metadata().level(), now, || "x".repeat(1_000))
        }
    }

    #[test]
    fn each_second_takes_so_many_and_counts_the_rest_once() {
        let (bounds, begin) = (Bounds::default(), now());
        let admitted = |at_ms: u64, tries: u32| {
            let at = begin + Duration::from_millis(at_ms);
            (0..tries).filter(|_| Anywhere::admit(&bounds, at)).count() as u32
        };
        let told = |at_ms: u64| bounds.take(begin + Duration::from_millis(at_ms), false);
        assert_eq!(admitted(0, 15), 15);
        assert_eq!(admitted(900, 15), LINES_PER_SECOND - 15);
        assert_eq!(told(999), []);
        // Until it is told, what comes is counted with the rest.
        assert_eq!(admitted(1_100, 3), 0);
        let like = "x".repeat(LIKE_CHARS);
        assert_eq!(told(1_100), [(Level::INFO, 10 + 3, like)]);
        assert_eq!(told(5_000), []);
        assert_eq!(admitted(1_200, 30), LINES_PER_SECOND);
        assert_eq!(told(2_100).len(), 1);
        // Where nothing is left out, a new second begins by itself.
        assert_eq!(admitted(2_200, 20), 20);
        assert_eq!(admitted(3_300, 20), 20);
    }
}
