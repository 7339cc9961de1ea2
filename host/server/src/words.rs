//! Four-letter words, as a connection sees them: who answers them is an operators' matter.

use std::pin::Pin;

use innkeeper_proto::frame::FourLetterWord;

/// The text of an answer, piece by piece, each at most some 16 KiB (a piece that has one longer
/// line is as long as that). The connection asks for a piece when it has room for it, so that an
/// answer of any length takes the memory of a few pieces. An empty piece is no end: making the next
/// one takes a while, and others may act before.
pub type Pieces = Box<dyn Iterator<Item = String> + Send>;

/// Answers ZooKeeper's four-letter words. The listener is handed one; connections ask it where a
/// word stands in the place of the first frame.
pub trait FourLetterWords: Send + Sync + 'static {
    /// Whether the operator lets this word be asked (`4lw.commands.whitelist`). Of a word that may
    /// not be asked, no argument is read.
    fn is_allowed(&self, word: FourLetterWord) -> bool;

    /// The answer to a word: what it asks for, or the sentence that it may not be asked.
    /// `argument` is the number that follows `stmk`.
    fn answer(
        &self,
        word: FourLetterWord,
        argument: Option<i64>,
    ) -> Pin<Box<dyn Future<Output = Pieces> + Send + '_>>;
}
