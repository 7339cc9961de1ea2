//! What is counted of a module before it is compiled, and the most of each that a node takes.
//!
//! `compile/inspect.rs` counts; its module documentation says why there are bounds.

use std::fmt;

/// What is counted, and how much of it there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Components and modules within each other.
    Depth,
    /// Components and modules in all.
    Parts,
    /// Instances that are made of them, in all.
    Instances,
    /// Types in all.
    Types,
    /// Imports, exports, aliases and adapted functions in all.
    Items,
    /// Functions in all.
    Functions,
    /// Bytes of one function.
    FunctionBytes,
    /// Local variables of one function.
    LocalSessions,
    /// Blocks within each other in one function.
    Blocks,
    /// Loops within each other in one function.
    Loops,
    /// Targets of the branch tables of one function.
    Targets,
    /// Values that the blocks, branches and calls of one function hand over.
    Values,
}

impl Measure {
    /// All of them, in the order of the declaration.
    pub const ALL: [Measure; 12] = [
        Measure::Depth,
        Measure::Parts,
        Measure::Instances,
        Measure::Types,
        Measure::Items,
        Measure::Functions,
        Measure::FunctionBytes,
        Measure::LocalSessions,
        Measure::Blocks,
        Measure::Loops,
        Measure::Targets,
        Measure::Values,
    ];

    /// The most that is taken.
    pub const fn limit(self) -> u64 {
        match self {
            // A component of components has 3.
            Measure::Depth => 16,
            // A Python component: 45.
            Measure::Parts => 500,
            Measure::Instances => 2_000,
            Measure::Types => 100_000,
            Measure::Items => 200_000,
            // SpiderMonkey: 30,000.
            Measure::Functions => 200_000,
            // Interpreters' main loops: 300 KiB.
            Measure::FunctionBytes => 4 << 20,
            Measure::LocalSessions => 20_000,
            // A switch is as many blocks as it has cases.
            Measure::Blocks => 4_000,
            Measure::Loops => 100,
            Measure::Targets => 200_000,
            Measure::Values => 1_000_000,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Depth => "components within each other",
            Measure::Parts => "components and modules inside it",
            Measure::Instances => "instances",
            Measure::Types => "types",
            Measure::Items => "imports, exports and aliases",
            Measure::Functions => "functions",
            Measure::FunctionBytes => "bytes in one function",
            Measure::LocalSessions => "local variables in one function",
            Measure::Blocks => "blocks within each other in one function",
            Measure::Loops => "loops within each other in one function",
            Measure::Targets => "targets of branch tables in one function",
            Measure::Values => "values handed over by blocks, branches and calls of one function",
        })
    }
}
