//! The interfaces of WASI 0.2 that a component may import, and the resources that each owns.

use wasmtime::component::ResourceType;

/// Names of one interface, and of the resources that are defined in it.
struct Entry {
    name: &'static str,
    resources: &'static [(&'static str, MakeType)],
}

type MakeType = fn() -> ResourceType;

const fn plain(name: &'static str) -> Entry {
    Entry {
        name,
        resources: &[],
    }
}

/// Handles of these are made.
pub(super) struct Error;
/// See [`Error`].
pub(super) struct InputStream;
/// See [`Error`].
pub(super) struct OutputStream;
/// See [`Error`].
pub(super) struct Pollable;
/// See [`Error`].
pub(super) struct Network;
/// Of these there is never a handle: nothing that could make one does.
struct Absent;

fn of<R: 'static>() -> ResourceType {
    ResourceType::host::<R>()
}

/// The host of `wasi:http` is for those runtimes that link it whether or not the guest fetches
/// anything.
static KNOWN: [Entry; 30] = [
    plain("cli/environment"),
    plain("cli/exit"),
    plain("cli/stdin"),
    plain("cli/stdout"),
    plain("cli/stderr"),
    Entry {
        name: "cli/terminal-input",
        resources: &[("terminal-input", of::<Absent>)],
    },
    Entry {
        name: "cli/terminal-output",
        resources: &[("terminal-output", of::<Absent>)],
    },
    plain("cli/terminal-stdin"),
    plain("cli/terminal-stdout"),
    plain("cli/terminal-stderr"),
    plain("clocks/monotonic-clock"),
    plain("clocks/wall-clock"),
    plain("random/random"),
    plain("random/insecure"),
    plain("random/insecure-seed"),
    Entry {
        name: "io/error",
        resources: &[("error", of::<Error>)],
    },
    Entry {
        name: "io/poll",
        resources: &[("pollable", of::<Pollable>)],
    },
    Entry {
        name: "io/streams",
        resources: &[
            ("input-stream", of::<InputStream>),
            ("output-stream", of::<OutputStream>),
        ],
    },
    Entry {
        name: "filesystem/types",
        resources: &[
            ("descriptor", of::<Absent>),
            ("directory-entry-stream", of::<Absent>),
        ],
    },
    plain("filesystem/preopens"),
    Entry {
        name: "sockets/network",
        resources: &[("network", of::<Network>)],
    },
    plain("sockets/instance-network"),
    Entry {
        name: "sockets/udp",
        resources: &[
            ("udp-socket", of::<Absent>),
            ("incoming-datagram-stream", of::<Absent>),
            ("outgoing-datagram-stream", of::<Absent>),
        ],
    },
    plain("sockets/udp-create-socket"),
    Entry {
        name: "sockets/tcp",
        resources: &[("tcp-socket", of::<Absent>)],
    },
    plain("sockets/tcp-create-socket"),
    Entry {
        name: "sockets/ip-name-lookup",
        resources: &[("resolve-address-stream", of::<Absent>)],
    },
    Entry {
        name: "http/types",
        resources: &[
            ("fields", of::<Absent>),
            ("incoming-request", of::<Absent>),
            ("outgoing-request", of::<Absent>),
            ("request-options", of::<Absent>),
            ("response-outparam", of::<Absent>),
            ("incoming-response", of::<Absent>),
            ("incoming-body", of::<Absent>),
            ("future-trailers", of::<Absent>),
            ("outgoing-response", of::<Absent>),
            ("outgoing-body", of::<Absent>),
            ("future-incoming-response", of::<Absent>),
        ],
    },
    plain("http/outgoing-handler"),
    plain("clocks/timezone"),
];

/// An interface of WASI 0.2, in whatever minor version a component names.
#[derive(Clone, Copy)]
pub(super) struct Interface(&'static Entry);

impl Interface {
    /// The interface of an import such as `wasi:io/streams@0.2.6`, if it is known.
    pub(super) fn named(import: &str) -> Option<Interface> {
        let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
        version.strip_prefix("0.2.")?.parse::<u32>().ok()?;
        KNOWN.iter().find(|entry| entry.name == name).map(Interface)
    }

    /// Such as `io/streams`.
    pub(super) fn name(self) -> &'static str {
        self.0.name
    }

    /// The type of a resource that is defined here.
    pub(super) fn resource(self, name: &str) -> Option<ResourceType> {
        let (_, make) = self.0.resources.iter().find(|(of, _)| *of == name)?;
        Some(make())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_release_of_0_2_is_known_and_nothing_else() {
        let name = |import| Interface::named(import).map(Interface::name);
        assert_eq!(name("wasi:io/streams@0.2.0"), Some("io/streams"));
        assert_eq!(name("wasi:io/streams@0.2.12"), Some("io/streams"));
        for other in [
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.0-rc-2023-11-10",
            "wasi:io/streams@0.2",
            "wasi:io/streams",
            "wasi:keyvalue/store@0.2.0",
            "other:io/streams@0.2.0",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn no_interface_stands_twice() {
        let mut names: Vec<&str> = KNOWN.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }
}
