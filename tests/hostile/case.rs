//! A hostile guest, and the end that it must have.

use crate::arena::TOLD;
use crate::guests::guest;
use crate::wat::{self, Parts};

/// Most memory of a node beside most guests: its own (about 60 MiB if idle), twice the default limit
/// of a guest (64 MiB), and compiling a module.
const MEMORY_BYTES: u64 = 384 << 20;

/// A hostile guest with its binding.
pub struct Case {
    pub name: String,
    /// The module that is pushed.
    pub guest: Vec<u8>,
    pub world: &'static str,
    /// The members of the binding's document after `module`.
    pub more: String,
    pub end: End,
    /// Most memory of the node, in bytes.
    pub memory_bytes: u64,
}

/// The end that a case must have.
pub enum End {
    /// The push is refused with a sentence that contains all of these.
    Refused(&'static [&'static str]),
    /// The invocation fails, and the last error in the status contains all of these.
    Fails(&'static [&'static str]),
    /// The recipe reacts without a failure.
    Reacts,
    /// The recipe reports these results of its steps.
    Tells(Vec<&'static str>),
    /// An authorizer denies, and where it failed its status' last error has all of these.
    Denies(&'static [&'static str]),
    /// An assignor assigns nothing: the recipe that called it is told all of these, and where
    /// it failed its own status' last error has those.
    Unassigned {
        told: &'static [&'static str],
        needles: &'static [&'static str],
    },
}

impl Case {
    fn new(name: &str, guest: Vec<u8>, world: &'static str, more: String) -> Case {
        Case {
            name: name.to_owned(),
            guest,
            world,
            more,
            end: End::Reacts,
            memory_bytes: MEMORY_BYTES,
        }
    }

    /// A recipe that watches `/hostile/in`, reads `/hostile` and writes below `/hostile/out`.
    pub fn recipe(name: &str, guest: Vec<u8>) -> Case {
        Self::new(
            name,
            guest,
            "recipe",
            r#","watch":["/hostile/in/*"],"read":["/hostile/**"],"write":["/hostile/out/**"]"#
                .to_owned(),
        )
    }

    /// A recipe in which only `react` is hostile.
    pub fn reacts(name: &str, body: &str) -> Case {
        Self::recipe(name, wat::reacts(body))
    }

    /// An authorizer that guards `/guarded` and reads `/policy`.
    pub fn authorizer(name: &str, guest: Vec<u8>) -> Case {
        Self::new(
            name,
            guest,
            "authorizer",
            r#","watch":["/guarded/**"],"policy":["/policy/**"]"#.to_owned(),
        )
    }

    /// An assignor that a recipe of the arena calls.
    pub fn assignor(name: &str, guest: Vec<u8>) -> Case {
        Self::new(name, guest, "assignor", String::new())
    }

    /// A module that the push must refuse.
    pub fn module(name: &str, guest: impl Into<Vec<u8>>) -> Case {
        Self::new(name, guest.into(), "recipe", String::new())
    }

    /// The test guest `script` with these steps, and the result that it must report of each.
    pub fn script(name: &str, steps: &[(&str, &'static str)]) -> Case {
        let list: Vec<&str> = steps.iter().map(|(step, _)| *step).collect();
        let config = format!(r#"{{"out":"{TOLD}","steps":[{}]}}"#, list.join(","));
        let mut case = Self::recipe(name, guest("test-script")).with_config(&config);
        case.end = End::Tells(steps.iter().map(|(_, told)| *told).collect());
        case
    }

    /// A test guest that misbehaves in this mode.
    pub fn misbehaving(guest_name: &str, mode: &str) -> Case {
        let name = format!("{guest_name}, mode {mode}");
        let module = guest(guest_name);
        let case = match guest_name {
            "test-hostile-assignor" => Self::assignor(&name, module),
            "test-hostile-authorizer" => Self::authorizer(&name, module),
            _ => Self::recipe(&name, module),
        };
        case.with_config(&format!(r#"{{"mode":"{mode}","out":"{TOLD}"}}"#))
    }

    pub fn with_config(mut self, config: &str) -> Case {
        self.more.push_str(&format!(r#","config":{config}"#));
        self
    }

    pub fn with_limits(mut self, limits: &str) -> Case {
        self.more.push_str(&format!(r#","limits":{{{limits}}}"#));
        self
    }

    /// Sets another limit for the memory of the node, in bytes.
    pub fn within(mut self, memory_bytes: u64) -> Case {
        self.memory_bytes = memory_bytes;
        self
    }

    pub fn ends(mut self, end: End) -> Case {
        self.end = end;
        self
    }

    pub fn fails(self, needles: &'static [&'static str]) -> Case {
        self.ends(End::Fails(needles))
    }

    pub fn refused(self, needles: &'static [&'static str]) -> Case {
        self.ends(End::Refused(needles))
    }

    pub fn denies(self, needles: &'static [&'static str]) -> Case {
        self.ends(End::Denies(needles))
    }

    pub fn unassigned(
        self,
        told: &'static [&'static str],
        needles: &'static [&'static str],
    ) -> Case {
        self.ends(End::Unassigned { told, needles })
    }
}

/// One function that is hostile in each of the three worlds.
pub fn in_each_world(
    name: &str,
    parts: Parts,
    needles: &'static [&'static str],
    told: &'static [&'static str],
) -> [Case; 3] {
    [
        Case::recipe(&format!("{name}, recipe"), wat::recipe(parts)).fails(needles),
        Case::authorizer(&format!("{name}, authorizer"), wat::authorizer(parts)).denies(needles),
        Case::assignor(&format!("{name}, assignor"), wat::assignor(parts))
            .unassigned(told, needles),
    ]
}
