//! In which functions of its guest an invocation ended.
//!
//! The names come out of the module's own name section: they are a stranger's text, and they
//! are long. Rust's are demangled; those of other languages are shown as they stand there.

use std::fmt::{self, Write};

use wasmtime::{FrameInfo, WasmBacktrace};

use crate::text::name;

/// Functions that are named: the innermost ones.
const FUNCTIONS_SHOWN: usize = 3;

/// The longest name that is demangled, in bytes as it stands in the module.
const MANGLED_BYTES_MAX: usize = 4096;

/// The longest demangled name that is looked at, in bytes.
const DEMANGLED_BYTES_MAX: usize = 4096;

/// How functions of Rust's own libraries begin: a panic or a failed `unwrap` ends in several of
/// them, always the same, and they are no news to anybody.
const LIBRARIES: [&str; 5] = ["core::", "std::", "alloc::", "__rust", "rust_"];

/// ` (in inner, called by middle, called by outer)`, or nothing where nothing is named.
pub(crate) fn place(error: &wasmtime::Error) -> String {
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map_or(&[][..], WasmBacktrace::frames);
    let names = frames.iter().filter_map(FrameInfo::func_name).map(shown);
    sentence(names)
}

fn sentence(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    // A function that calls itself is named once.
    names.dedup();
    let is_library = |name: &String| LIBRARIES.iter().any(|start| name.starts_with(start));
    let own = names.iter().position(|name| !is_library(name)).unwrap_or(0);
    let shown: Vec<String> = names.drain(own..).take(FUNCTIONS_SHOWN).collect();
    if shown.is_empty() {
        return String::new();
    }
    format!(" (in {})", shown.join(", called by "))
}

/// A function's name for people.
fn shown(mangled: &str) -> String {
    if mangled.len() <= MANGLED_BYTES_MAX
        && let Ok(demangled) = rustc_demangle::try_demangle(mangled)
    {
        let mut bounded = Bounded(String::new());
        // Names refer back to themselves, so that a short one may stand for an endless one:
        // what does not fit stops the demangling, and its beginning is enough.
        // `#` leaves out the hash.
        let _ = write!(bounded, "{demangled:#}");
        return name(&bounded.0);
    }
    name(mangled)
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > DEMANGLED_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence_of(names: &[&str]) -> String {
        sentence(names.iter().copied().map(shown))
    }

    #[test]
    fn functions_are_named_from_the_innermost() {
        assert_eq!(
            sentence_of(&["$inner", "middle", "outer", "outermost"]),
            " (in $inner, called by middle, called by outer)"
        );
        assert_eq!(
            sentence_of(&[
                "_RNvCs1_7___rustc17rust_begin_unwind",
                "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
                "_ZN10count_jobs9CountJobs5react17h0123456789abcdefE",
            ]),
            " (in count_jobs::CountJobs::react)"
        );
        assert_eq!(sentence_of(&["f", "f", "f", "g"]), " (in f, called by g)");
        assert_eq!(sentence_of(&["core::f"]), " (in core::f)");
        assert_eq!(sentence_of(&[]), "");
    }

    #[test]
    fn names_are_strangers_texts() {
        assert_eq!(sentence_of(&["a\n\u{1b}[2Jb"]), r" (in a\n\u{1b}[2Jb)");
        assert!(sentence_of(&[&"x".repeat(1 << 20)]).len() < 300);
        // Each tuple refers twice to the one before it: 2^40 names in full.
        let mut symbol = "IC1a".to_owned();
        let mut last = symbol.len();
        symbol.push_str("TmmE");
        for _ in 0..40 {
            let back = format!("B{}_", base_62(last - 1));
            last = symbol.len();
            symbol.push_str(&format!("T{back}{back}E"));
        }
        let symbol = format!("_R{symbol}E");
        let sentence = sentence_of(&[&symbol]);
        assert!(
            sentence.starts_with(" (in a::<(u32, u32), ((u32, u32), "),
            "{sentence}"
        );
        assert!(sentence.len() < 300, "{sentence}");
    }

    fn base_62(mut number: usize) -> String {
        const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut digits = Vec::new();
        loop {
            digits.insert(0, DIGITS[number % 62]);
            number /= 62;
            if number == 0 {
                return String::from_utf8(digits).expect("digits");
            }
        }
    }
}
