//! Test guest `wasi`: a recipe that asks WASI for what it has.
//!
//! Configuration: `{"mode": "look", "out": "/out"}`. Mode `look` writes what it found to `out`, a
//! line for each thing; every other mode is one call that ends the reaction.
#![allow(unsafe_code, reason = "WASI 0.1 is called as C calls it")]

use innkeeper_recipe::prelude::*;

mod bindings;

use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout};
use bindings::wasi::clocks::{monotonic_clock, wall_clock};
use bindings::wasi::filesystem::preopens;
use bindings::wasi::http::types;
use bindings::wasi::io::poll;
use bindings::wasi::random::{insecure_seed, random};
use bindings::wasi::sockets::{network, tcp_create_socket};

#[derive(Deserialize)]
struct Config {
    mode: Mode,
    out: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Writes down what there is.
    Look,
    /// Exits.
    Exit,
    /// Begins a request to somewhere else.
    Fetch,
    /// Writes to standard output without end.
    Flood,
    /// Asks for more random bytes than there are at once.
    Greedy,
    /// Asks for as many as can be asked for.
    Greediest,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_write(fd: u32, pieces: *const Piece, count: usize, written: *mut usize) -> u16;
    fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> u16;
}

#[repr(C)]
struct Piece {
    start: *const u8,
    len: usize,
}

struct Wasi;

impl Recipe for Wasi {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
        match config.mode {
            Mode::Look => {
                let seen = look(tx.now_ms()).join("\n");
                tx.put(&config.out, seen.as_bytes())?;
            }
            Mode::Exit => exit::exit(Err(())),
            Mode::Fetch => drop(types::Fields::new()),
            Mode::Flood => {
                let out = stdout::get_stdout();
                while out.write(&[b'x'; 1_000]).is_ok() {}
            }
            Mode::Greedy => drop(random::get_random_bytes(1 << 40)),
            Mode::Greediest => drop(random::get_random_bytes(u64::MAX)),
        }
        Ok(())
    }
}

innkeeper_recipe::recipe!(Wasi);

fn look(now_ms: u64) -> Vec<String> {
    let wall = wall_clock::now();
    let since = monotonic_clock::now();
    let hour = monotonic_clock::subscribe_duration(3_600_000_000_000);
    let ready = poll::poll(&[&hour, &hour]);
    let out = stdout::get_stdout();
    let permit = out.check_write().unwrap_or(0);
    for piece in ["one ", "line\nand ", "an open one"] {
        out.write(piece.as_bytes()).expect("a log");
    }
    out.blocking_flush().expect("a log");
    stderr::get_stderr().write(b"a warning\n").expect("a log");
    let old = old_way();
    vec![
        format!("now {now_ms}"),
        format!("wall {}.{:09}", wall.seconds, wall.nanoseconds),
        format!("old {old}"),
        format!("stood still {}", since == monotonic_clock::now()),
        format!("ready {ready:?} {}", hour.ready()),
        format!("permit {}", permit > 0),
        format!("u64 {:x}", random::get_random_u64()),
        format!("bytes {:x?}", random::get_random_bytes(40)),
        format!("seed {:x?}", insecure_seed::insecure_seed()),
        format!("arguments {}", environment::get_arguments().len()),
        format!("environment {}", environment::get_environment().len()),
        format!("stdin {}", stdin::get_stdin().blocking_read(10).is_ok()),
        format!("directories {}", preopens::get_directories().len()),
        format!("socket {:?}", {
            tcp_create_socket::create_tcp_socket(network::IpAddressFamily::Ipv4).err()
        }),
    ]
}

/// The time in milliseconds, and a line to standard output, as WASI 0.1 has them.
fn old_way() -> u64 {
    let text = b"an old line\n";
    let piece = Piece {
        start: text.as_ptr(),
        len: text.len(),
    };
    let (mut written, mut time_ns) = (0, 0);
    // SAFETY: the signatures are WASI's, and all pointers outlive the calls.
    let failed = unsafe {
        fd_write(1, &piece, 1, &mut written) | clock_time_get(0, 1_000_000, &mut time_ns)
    };
    assert_eq!((failed, written), (0, text.len()));
    time_ns / 1_000_000
}
