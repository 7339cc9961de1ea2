//! Four-letter words, as a connection sees them; the operators' side of the node answers them.

use std::pin::Pin;

use innkeeper_proto::frame::FourLetterWord;

/// The text of an answer, in pieces of at most some 16 KiB (a longer line makes a longer piece).
/// The connection asks for a piece when it has room for it, so an answer of any length takes the
/// memory of a few pieces. An empty piece is not the end: the next piece takes a while to make, and
/// other tasks may run before.
pub type Pieces = Box<dyn Iterator<Item = String> + Send>;

/// Answers ZooKeeper's four-letter words. The listener gets one, and a connection asks it when the
/// client sends a word instead of its first frame.
pub trait FourLetterWords: Send + Sync + 'static {
    /// Whether the operator allows this word (`4lw.commands.whitelist`). The argument of a word
    /// that is not allowed is not read.
    fn is_allowed(&self, word: FourLetterWord) -> bool;

    /// The answer to a word, or the sentence that says it is not allowed. `argument` is the number
    /// that follows `stmk`.
    fn answer(
        &self,
        word: FourLetterWord,
        argument: Option<i64>,
    ) -> Pin<Box<dyn Future<Output = Pieces> + Send + '_>>;
}
