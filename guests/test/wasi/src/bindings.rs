//! What this guest imports of WASI: excerpts, of a release that is neither the first nor the
//! newest of 0.2.
#![allow(missing_docs, unsafe_code, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package test:wasi;

        world wasi {
            import wasi:cli/environment@0.2.7;
            import wasi:cli/exit@0.2.7;
            import wasi:cli/stdin@0.2.7;
            import wasi:cli/stdout@0.2.7;
            import wasi:cli/stderr@0.2.7;
            import wasi:clocks/monotonic-clock@0.2.7;
            import wasi:clocks/wall-clock@0.2.7;
            import wasi:filesystem/preopens@0.2.7;
            import wasi:http/types@0.2.7;
            import wasi:random/random@0.2.7;
            import wasi:random/insecure-seed@0.2.7;
            import wasi:sockets/tcp-create-socket@0.2.7;
        }

        package wasi:io@0.2.7 {
            interface error { resource error; }
            interface poll {
                resource pollable { ready: func() -> bool; }
                poll: func(in: list<borrow<pollable>>) -> list<u32>;
            }
            interface streams {
                use error.{error};
                variant stream-error { last-operation-failed(error), closed }
                resource input-stream {
                    blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
                }
                resource output-stream {
                    check-write: func() -> result<u64, stream-error>;
                    write: func(contents: list<u8>) -> result<_, stream-error>;
                    blocking-flush: func() -> result<_, stream-error>;
                }
            }
        }
        package wasi:cli@0.2.7 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
                get-arguments: func() -> list<string>;
            }
            interface exit { exit: func(status: result); }
            interface stdin {
                use wasi:io/streams@0.2.7.{input-stream};
                get-stdin: func() -> input-stream;
            }
            interface stdout {
                use wasi:io/streams@0.2.7.{output-stream};
                get-stdout: func() -> output-stream;
            }
            interface stderr {
                use wasi:io/streams@0.2.7.{output-stream};
                get-stderr: func() -> output-stream;
            }
        }
        package wasi:clocks@0.2.7 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.7.{pollable};
                type instant = u64;
                type duration = u64;
                now: func() -> instant;
                subscribe-duration: func(when: duration) -> pollable;
            }
            interface wall-clock {
                record datetime { seconds: u64, nanoseconds: u32 }
                now: func() -> datetime;
            }
        }
        package wasi:filesystem@0.2.7 {
            interface types { resource descriptor; }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }
        package wasi:http@0.2.7 {
            interface types { resource fields { constructor(); } }
        }
        package wasi:random@0.2.7 {
            interface random {
                get-random-bytes: func(len: u64) -> list<u8>;
                get-random-u64: func() -> u64;
            }
            interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
        }
        package wasi:sockets@0.2.7 {
            interface network { enum error-code { unknown, access-denied, not-supported } enum ip-address-family { ipv4, ipv6 } }
            interface tcp { resource tcp-socket; }
            interface tcp-create-socket {
                use network.{error-code, ip-address-family};
                use tcp.{tcp-socket};
                create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
            }
        }
    ",
    world: "test:wasi/wasi",
    generate_all,
});
