//! The trace of a simulated run: every spawn, poll, send, random draw and fault, as one hash.
//!
//! A trace is never kept whole. It is hashed line by line, and the hash is noted at up to
//! [`MARKS_MAX`] places. If two runs differ, [`first_difference`] compares their notes, runs both
//! again with all notes between the last equal one and the first that differs, and so on until the
//! lines of this piece fit into memory.

use std::fmt::{self, Write};

use parking_lot::Mutex;

/// A trace notes its hash at this many places at most, and keeps this many lines.
const MARKS_MAX: usize = 1024;
/// The start and the factor of the hash FNV-1a.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_FACTOR: u64 = 0x0100_0000_01b3;

/// The lines of a trace that are looked at closely, by their numbers from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: u64,
    to: u64,
}

impl Default for Window {
    /// The whole trace.
    fn default() -> Self {
        Self {
            from: 0,
            to: u64::MAX,
        }
    }
}

impl Window {
    fn fits(self) -> bool {
        self.to - self.from <= MARKS_MAX as u64
    }
}

/// What a run did. Two traces are equal if their lines are.
///
/// Invariant: it takes the same memory however long the run is.
#[derive(Clone)]
pub struct Trace {
    lines: u64,
    hash: u64,
    window: Window,
    /// The hash before the first line of the window.
    before: u64,
    /// The hash after each `span` lines of the window.
    marks: Vec<u64>,
    span: u64,
    /// The lines of the window, if it is small.
    kept: Vec<String>,
}

impl Trace {
    fn new(window: Window) -> Self {
        Self {
            lines: 0,
            hash: HASH_START,
            window,
            before: HASH_START,
            marks: Vec::new(),
            span: 1,
            kept: Vec::new(),
        }
    }

    /// The number of its lines.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The hash of all its lines.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn add(&mut self, line: String) {
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(HASH_FACTOR);
        }
        let inside = self.window.from <= self.lines && self.lines < self.window.to;
        self.lines += 1;
        // A trace that ends before the window, or just there, has its last hash here.
        if self.lines <= self.window.from {
            self.before = self.hash;
        }
        if !inside {
            return;
        }
        if (self.lines - self.window.from).is_multiple_of(self.span) {
            self.marks.push(self.hash);
        }
        if self.marks.len() > MARKS_MAX {
            // Every second note stays, for twice as many lines.
            let mut number = 0_u32;
            self.marks.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
            self.span *= 2;
        }
        if self.window.fits() {
            self.kept.push(line);
        }
    }

    /// The part of the window in which this trace first differs from another one.
    fn differs_in(&self, other: &Trace) -> Window {
        if self.before != other.before {
            return Window {
                from: 0,
                to: self.window.from,
            };
        }
        let span = self.span.max(other.span);
        let at = |trace: &Trace, number: usize| {
            let every = (span / trace.span) as usize;
            trace.marks.get(number * every + every - 1).copied()
        };
        let mut equal = 0;
        while let (Some(own), Some(others)) = (at(self, equal), at(other, equal))
            && own == others
        {
            equal += 1;
        }
        let from = self.window.from + equal as u64 * span;
        Window {
            from,
            to: self.window.to.min(from + span),
        }
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        (self.lines, self.hash) == (other.lines, other.hash)
    }
}

impl Eq for Trace {}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} lines, {:016x})", self.lines, self.hash)
    }
}

/// Runs the same thing twice and says how the traces differ: the number of the first line that
/// does, and both runs' text of it. `None` means that they are equal.
///
/// If they differ, both are run again several times, each time with another [`Window`], which `run`
/// must hand on to [`Sim::run_traced`](super::Sim::run_traced) or
/// [`World::run_traced`](super::World::run_traced).
pub fn first_difference(mut run: impl FnMut(Window) -> Trace) -> Option<String> {
    let mut window = Window::default();
    let mut told = None;
    // Each step makes the window smaller by a factor of up to a thousand. A difference that moves
    // from run to run is followed for a while.
    for _ in 0..12 {
        let (first, second) = (run(window), run(window));
        if first == second {
            return told;
        }
        told = Some(format!(
            "the traces differ: one run is {first:?}, another one {second:?}"
        ));
        if window.fits() && first.before == second.before {
            let lines = first.kept.len().max(second.kept.len());
            let line = |trace: &Trace, at: usize| match trace.kept.get(at) {
                Some(line) => line.clone(),
                None => "(the end)".to_owned(),
            };
            let at = (0..lines).find(|at| line(&first, *at) != line(&second, *at));
            if let Some(at) = at {
                let number = window.from + at as u64;
                let (first, second) = (line(&first, at), line(&second, at));
                return Some(format!(
                    "line {number} differs: one run has \"{first}\", another one \"{second}\""
                ));
            }
        }
        window = first.differs_in(&second);
    }
    told
}

/// Where the parts of a world write their lines. Without a trace it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    trace: Mutex<Option<Trace>>,
}

impl Recorder {
    /// Records from now on.
    pub(super) fn start(&self, window: Window) {
        *self.trace.lock() = Some(Trace::new(window));
    }

    /// Ends the recording.
    pub(super) fn take(&self) -> Trace {
        let trace = self.trace.lock().take();
        trace.expect("the recording was started")
    }

    pub(super) fn add(&self, line: fmt::Arguments<'_>) {
        if let Some(trace) = &mut *self.trace.lock() {
            let mut text = String::new();
            text.write_fmt(line).expect("a string takes every text");
            trace.add(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(window: Window, lines: impl Iterator<Item = u64>) -> Trace {
        let recorder = Recorder::default();
        recorder.start(window);
        for line in lines {
            recorder.add(format_args!("event {line}"));
        }
        recorder.take()
    }

    #[test]
    fn a_long_trace_takes_little_memory() {
        let long = trace(Window::default(), 0..300_000);
        assert_eq!(long.lines(), 300_000);
        assert!(long.marks.len() <= MARKS_MAX && long.marks.len() > MARKS_MAX / 4);
        assert!(long.kept.is_empty());
        assert_eq!(long, trace(Window::default(), 0..300_000));
        assert_ne!(long, trace(Window::default(), 0..299_999));
    }

    #[test]
    fn the_first_line_that_differs_is_found() {
        for odd in [0, 1, 1_023, 1_024, 77_777, 199_999] {
            let mut second = false;
            let found = first_difference(|window| {
                let changed = second;
                second = !second;
                // From the odd line on, the second run goes another way and is longer.
                let end = if changed { 210_000 } else { 200_000 };
                trace(
                    window,
                    (0..end).map(|line| {
                        if changed && line >= odd {
                            line + 1
                        } else {
                            line
                        }
                    }),
                )
            });
            let told = format!(
                "line {odd} differs: one run has \"event {odd}\", another one \"event {}\"",
                odd + 1
            );
            assert_eq!(found, Some(told));
        }
        let shorter = |len: &mut u64| {
            *len -= 1;
            *len
        };
        let mut len = 5_000;
        let found = first_difference(|window| trace(window, 0..4_000 + shorter(&mut len) % 2));
        let told = "line 4000 differs: one run has \"event 4000\", another one \"(the end)\"";
        assert_eq!(found.as_deref(), Some(told));
        assert_eq!(first_difference(|window| trace(window, 0..9_000)), None);
    }
}
