//! What each function of WASI answers, where it has something to answer.
//!
//! Types are checked where the component is linked: a component that imports one of these
//! functions with another signature is refused when it is pushed.

use wasmtime::component::{ComponentType, Lift, Lower, Resource, Val};

use super::known::{Error, InputStream, Network, OutputStream, Pollable};
use super::place::{Call, Place};
use crate::failure::{FailureKind, LimitPassed};
use crate::meter::bytes;
use crate::state::State;

/// What a stream says it takes in one write, in bytes. It takes more: what counts is the budget.
const WRITE_PERMIT_BYTES: u64 = 64 << 10;

/// Random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Making a random byte, in moved bytes: SHA-256 without instructions of its own.
const RANDOM_FACTOR: usize = 16;

/// Logging a byte, in moved bytes: it is looked at, escaped and written.
const LOG_FACTOR: usize = 16;

/// The clocks' resolution. They do not move during a call anyway.
const RESOLUTION_NS: u32 = 1_000_000;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Error>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Stream<R> = Result<R, StreamError>;
type In = Resource<InputStream>;
type Out = Resource<OutputStream>;

/// Defines the function of that place; false if it has no answer.
pub(super) fn define<T: State>(at: &mut Place<'_, '_, T>) -> wasmtime::Result<bool> {
    match (at.interface, at.name) {
        ("cli/environment", "get-environment") => {
            at.give(|_, ()| Ok((Vec::<(String, String)>::new(),)))
        }
        ("cli/environment", "get-arguments") => at.give(|_, ()| Ok((Vec::<String>::new(),))),
        ("cli/environment", "initial-cwd") => at.give(|_, ()| Ok((None::<String>,))),
        ("cli/exit", "exit") => at.give(|_, (status,): (Result<(), ()>,)| {
            exit(if status.is_ok() { "success" } else { "failure" })
        }),
        ("cli/exit", "exit-with-code") => {
            at.give(|_, (code,): (u8,)| exit(&format!("code {code}")))
        }
        ("cli/stdin", "get-stdin") => at.give(|_, ()| Ok((In::new_own(0),))),
        ("cli/stdout", "get-stdout") => at.give(|_, ()| Ok((Out::new_own(STDOUT),))),
        ("cli/stderr", "get-stderr") => at.give(|_, ()| Ok((Out::new_own(STDERR),))),
        // No stream is a terminal.
        ("cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr", _) => {
            at.always(|| Val::Option(None))
        }

        ("clocks/monotonic-clock", "now") => {
            at.give(|call, ()| Ok((call.wasi.now_ms.saturating_mul(1_000_000),)))
        }
        ("clocks/monotonic-clock", "resolution") => {
            at.give(|_, ()| Ok((u64::from(RESOLUTION_NS),)))
        }
        ("clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            at.give(|_, (_,): (u64,)| Ok((ready(),)))
        }
        ("clocks/wall-clock", "now") => at.give(|call, ()| {
            Ok((Datetime {
                seconds: call.wasi.now_ms / 1_000,
                nanoseconds: (call.wasi.now_ms % 1_000) as u32 * 1_000_000,
            },))
        }),
        ("clocks/wall-clock", "resolution") => at.give(|_, ()| {
            Ok((Datetime {
                seconds: 0,
                nanoseconds: RESOLUTION_NS,
            },))
        }),

        ("random/random", "get-random-bytes")
        | ("random/insecure", "get-insecure-random-bytes") => at.costing(
            |(count,)| (0, bytes(RANDOM_FACTOR.saturating_mul(*count as usize))),
            random_bytes,
        ),
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            at.give(|call, ()| Ok((call.wasi.chance.next_u64(),)))
        }
        ("random/insecure-seed", "insecure-seed") => at.give(|call, ()| {
            let chance = &mut call.wasi.chance;
            Ok(((chance.next_u64(), chance.next_u64()),))
        }),

        ("io/error", "[method]error.to-debug-string") => at.give(|_, (_,): (Resource<Error>,)| {
            Ok(("there is nothing outside a guest".to_string(),))
        }),
        ("io/poll", "poll") => at.costing(|(waiting,)| (4 * waiting.len(), 0), poll),
        ("io/poll", "[method]pollable.ready") => {
            at.give(|_, (_,): (Resource<Pollable>,)| Ok((true,)))
        }
        ("io/poll", "[method]pollable.block") => at.give(|_, (_,): (Resource<Pollable>,)| Ok(())),
        ("io/streams", _) => return stream(at),

        ("filesystem/preopens", "get-directories") => at.always(|| Val::List(Vec::new())),
        ("filesystem/types", "filesystem-error-code")
        | ("sockets/network", "network-error-code") => at.always(|| Val::Option(None)),

        ("sockets/instance-network", "instance-network") => {
            at.give(|_, ()| Ok((Resource::<Network>::new_own(0),)))
        }
        ("sockets/udp-create-socket", "create-udp-socket")
        | ("sockets/tcp-create-socket", "create-tcp-socket")
        | ("sockets/ip-name-lookup", "resolve-addresses") => at.always(|| {
            let refusal = Val::Enum("not-supported".to_string());
            Val::Result(Err(Some(Box::new(refusal))))
        }),
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// Standard input is at its end; what goes out goes to the log.
fn stream<T: State>(at: &mut Place<'_, '_, T>) -> wasmtime::Result<bool> {
    match at.name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            at.give(|_, (_, _): (In, u64)| Ok((Stream::<Vec<u8>>::Err(StreamError::Closed),)))
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            at.give(|_, (_, _): (In, u64)| Ok((Stream::<u64>::Err(StreamError::Closed),)))
        }
        "[method]input-stream.subscribe" => at.give(|_, (_,): (In,)| Ok((ready(),))),
        "[method]output-stream.subscribe" => at.give(|_, (_,): (Out,)| Ok((ready(),))),
        "[method]output-stream.check-write" => {
            at.give(|_, (_,): (Out,)| Ok((Stream::Ok(WRITE_PERMIT_BYTES),)))
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => at
            .costing(
                |(_, text)| (text.len(), bytes(LOG_FACTOR * text.len())),
                write,
            ),
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            at.give(|_, (_,): (Out,)| Ok((Stream::Ok(()),)))
        }
        // Zeros are no text.
        "[method]output-stream.write-zeroes"
        | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            at.give(|_, (_, _): (Out, u64)| Ok((Stream::Ok(()),)))
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            at.give(|_, (_, _, _): (Out, In, u64)| Ok((Stream::<u64>::Err(StreamError::Closed),)))
        }
        _ => return Ok(false),
    }?;
    Ok(true)
}

fn write(call: Call<'_>, (stream, bytes): (Out, Vec<u8>)) -> wasmtime::Result<(Stream<()>,)> {
    let lines = match stream.rep() {
        STDERR => &mut call.wasi.stderr,
        _ => &mut call.wasi.stdout,
    };
    lines.write(call.budget, &bytes);
    Ok((Ok(()),))
}

fn random_bytes(call: Call<'_>, (count,): (u64,)) -> wasmtime::Result<(Vec<u8>,)> {
    if count > RANDOM_BYTES_MAX {
        return Err(LimitPassed::raise(
            FailureKind::HostCalls,
            format!("it asked for more than {RANDOM_BYTES_MAX} random bytes at once"),
        ));
    }
    call.budget.charge_result(count as usize)?;
    let mut bytes = vec![0; count as usize];
    call.wasi.chance.fill(&mut bytes);
    Ok((bytes,))
}

/// Whatever a guest waits for is there: no time passes.
fn poll(_: Call<'_>, (waiting,): (Vec<Resource<Pollable>>,)) -> wasmtime::Result<(Vec<u32>,)> {
    if waiting.is_empty() {
        return Err(LimitPassed::raise(
            FailureKind::Trap,
            "it polled nothing, which WASI forbids",
        ));
    }
    Ok(((0..waiting.len() as u32).collect(),))
}

fn ready() -> Resource<Pollable> {
    Resource::new_own(0)
}

fn exit(how: &str) -> wasmtime::Result<()> {
    Err(LimitPassed::raise(
        FailureKind::Trap,
        format!("it exited with {how}; a guest returns from its function instead"),
    ))
}
