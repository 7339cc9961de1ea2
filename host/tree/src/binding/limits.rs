//! The bounds on what a guest may use.

use super::error::BindingError;
use crate::World;
use crate::command::COMMAND_BYTES_LEAST;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $least:literal ..= $most:literal, $($world:ident $default:literal),+;)*) => {
        /// The limits of one binding. A document may set each limit between its least and its
        /// greatest value; otherwise the limit has the default of the world.
        ///
        /// Invariant: a limit that has no meaning for the world is zero.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct Limits {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Limits {
            /// All limits, in the order of the declaration.
            pub const FIELDS: &'static [LimitField] = &[$(LimitField {
                name: stringify!($name),
                least: $least,
                most: $most,
                defaults: &[$((World::$world, $default)),+],
                get: |limits| limits.$name,
                get_mut: |limits| &mut limits.$name,
            },)*];

            const NONE: Limits = Limits { $($name: 0,)* };
        }
    };
}

limits! {
    /// Units of fuel of one invocation; for an authorizer, of one `load` or one `decide`. One unit
    /// is about one Wasm instruction, or one nanosecond of the host's work in a host call. A guest
    /// that uses more is stopped by a trap.
    fuel: 10_000 ..= 100_000_000_000,
        Recipe 500_000_000, Assignor 500_000_000, Authorizer 100_000_000;
    /// Linear memory of one instance, in bytes. A guest that asks for more is stopped by a trap.
    memory_bytes: 65_536 ..= 268_435_456,
        Recipe 67_108_864, Assignor 67_108_864, Authorizer 33_554_432;
    /// Distinct paths in the queue. One path more, and one resync replaces all entries.
    queue: 1 ..= 1_000_000, Recipe 10_000;
    /// Reads, writes, acknowledged events and called assignors of one transaction together.
    transaction_ops: 1 ..= 1_000_000, Recipe 100_000;
    /// Encoded bytes of one transaction: all paths (read, written, acknowledged), data, ACLs and
    /// names. The greatest value is 64 KiB below 16 MiB. Every node accepts a command of 16 MiB, so
    /// a transaction within its limit is never refused for its size.
    transaction_bytes: 1_024 ..= 16_711_680, Recipe 8_388_608;
    /// Bytes that one invocation may hand to the host: arguments of host calls, log messages and
    /// its answer.
    output_bytes: 1_024 ..= 268_435_456,
        Recipe 16_777_216, Assignor 16_777_216, Authorizer 1_048_576;
    /// Host calls of one invocation. Each entry of a bulk call counts as one call.
    host_calls: 1 ..= 10_000_000,
        Recipe 1_000_000, Assignor 10_000, Authorizer 100_000;
    /// Invocations per second on one node. Further invocations wait.
    calls_per_second: 1 ..= 1_000_000,
        Recipe 1_000, Assignor 10_000, Authorizer 1_000_000;
    /// Milliseconds by the clock of one invocation; for an authorizer, of one `load` or one
    /// `decide`. The time in which it waits for a place or for an assignor's turn does not count.
    /// Then the invocation is ended.
    time_ms: 1 ..= 60_000, Recipe 10_000, Assignor 10_000, Authorizer 2_000;
    /// Encoded bytes per second of the proposed transactions. One transaction may have more; then
    /// the next reaction waits for as many seconds as it costs.
    bytes_per_second: 1_024 ..= 1_073_741_824, Recipe 4_194_304;
}

impl Limits {
    /// The greatest value of [`Limits::transaction_bytes`]. It leaves room for the other fields of
    /// a command within [`COMMAND_BYTES_LEAST`].
    pub const TRANSACTION_BYTES_MOST: u64 = (COMMAND_BYTES_LEAST - (64 << 10)) as u64;
}

// The table above can hold only literals, so this compares the two.
const _: () = assert!(Limits::FIELDS[4].most == Limits::TRANSACTION_BYTES_MOST);

/// The description of one limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitField {
    /// The limit's name in documents.
    pub name: &'static str,
    /// The least value that a document may set.
    pub least: u64,
    /// The greatest value that a document may set.
    pub most: u64,
    /// The worlds for which the limit has a meaning, each with its default.
    pub defaults: &'static [(World, u64)],
    get: fn(&Limits) -> u64,
    get_mut: fn(&mut Limits) -> &mut u64,
}

impl LimitField {
    /// The default for a world; `None` if the limit has no meaning for it.
    pub fn default_of(&self, world: World) -> Option<u64> {
        self.defaults
            .iter()
            .find(|(of, _)| *of == world)
            .map(|(_, default)| *default)
    }

    /// The limit's value in `limits`.
    pub fn get(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    pub(crate) fn put(&self, limits: &mut Limits, value: u64) {
        *(self.get_mut)(limits) = value;
    }
}

impl Limits {
    /// The default limits of a world.
    pub fn of(world: World) -> Self {
        let mut limits = Self::NONE;
        for field in Self::FIELDS {
            field.put(&mut limits, field.default_of(world).unwrap_or(0));
        }
        limits
    }

    /// Sets one limit from a document.
    pub(crate) fn set(&mut self, world: World, name: &str, value: u64) -> Result<(), BindingError> {
        let Some(field) = Self::FIELDS.iter().find(|field| field.name == name) else {
            return Err(BindingError::UnknownLimit(crate::text::piece(name)));
        };
        if field.default_of(world).is_none() {
            return Err(BindingError::LimitOfOtherWorld {
                limit: field.name,
                world,
            });
        }
        if !(field.least..=field.most).contains(&value) {
            return Err(BindingError::LimitOutOfRange {
                limit: field.name,
                value,
                least: field.least,
                most: field.most,
            });
        }
        field.put(self, value);
        Ok(())
    }

    /// The names and values of the limits that have a meaning for a world.
    pub fn named(&self, world: World) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Self::FIELDS
            .iter()
            .filter(move |field| field.default_of(world).is_some())
            .map(|field| (field.name, field.get(self)))
    }
}
