//! Frames: four bytes of length, then that many bytes; and the four-letter words that may stand in
//! their place.
//!
//! 1. The connection appends the bytes that it reads to a `BytesMut` and calls
//!    [`FrameDecoder::decode`] until it returns `None`. Each complete frame is split off without a
//!    copy.
//! 2. If the first four bytes of the connection are a word that ZooKeeper knows, the decoder
//!    returns this word, and no frames follow.
//! 3. An encoder calls [`start`], appends its message, and calls [`finish`], which puts in the
//!    length.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// ZooKeeper's default of `jute.maxbuffer`: the longest frame that a server accepts, in bytes.
pub const DEFAULT_MAX_LEN: usize = 0xf_ffff;

/// Why the bytes of a connection are not frames. The connection must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is negative.
    #[error(
        "a frame has the negative length {length}; the peer does not speak ZooKeeper's protocol"
    )]
    Negative {
        /// The length in the message.
        length: i32,
    },
    /// The length is above the limit.
    #[error(
        "a frame of {length} bytes is longer than the limit of {max} (jute.maxbuffer); send less or raise it"
    )]
    TooLong {
        /// The length in the message.
        length: usize,
        /// The limit in bytes.
        max: usize,
    },
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A four-letter word: a command of an administrator, sent instead of a first frame.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FourLetterWord {
            $($(#[$doc])* $name,)*
        }

        impl FourLetterWord {
            /// Every word that ZooKeeper knows, served here or not.
            pub const ALL: &'static [FourLetterWord] = &[$(FourLetterWord::$name,)*];

            /// The word as it is sent.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(FourLetterWord::$name => $word,)*
                }
            }

            /// The word with these letters, if ZooKeeper knows one.
            pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str().as_bytes() == bytes)
            }
        }
    };
}

words! {
    /// Show the configuration.
    Conf = "conf",
    /// Show all connections.
    Cons = "cons",
    /// Reset the connections' statistics.
    Crst = "crst",
    /// Show the sizes of the data and log folders.
    Dirs = "dirs",
    /// Show the sessions and their ephemerals.
    Dump = "dump",
    /// Show the server's environment.
    Envi = "envi",
    /// Show the trace mask.
    Gtmk = "gtmk",
    /// Show the last digests of the tree.
    Hash = "hash",
    /// Say whether the server is read-only.
    Isro = "isro",
    /// Show statistics for monitoring.
    Mntr = "mntr",
    /// Answer `imok` if the server runs.
    Ruok = "ruok",
    /// Reset the server's statistics.
    Srst = "srst",
    /// Show the server's state in a few lines.
    Srvr = "srvr",
    /// Show the server's state and its connections.
    Stat = "stat",
    /// Set the trace mask.
    Stmk = "stmk",
    /// Show the watches by session.
    Wchc = "wchc",
    /// Show the watches by path.
    Wchp = "wchp",
    /// Show the number of watches.
    Wchs = "wchs",
}

impl std::str::FromStr for FourLetterWord {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .iter()
            .copied()
            .find(|word| word.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// The error for a word that ZooKeeper does not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not one of ZooKeeper's four-letter words; write ruok, srvr, stat, mntr, envi, …")]
pub struct UnknownWord(
    /// The unknown word.
    pub String,
);

/// A message from a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// The body of a frame, without its length.
    Frame(Bytes),
    /// A four-letter word; no frames follow.
    Word(FourLetterWord),
}

/// Splits the bytes of one connection into frames.
///
/// Invariants:
/// - A length below 0 or above the limit is an error at once, before the frame's bytes have
///   arrived. A frame whose length is the limit is accepted. (test:
///   `lengths_outside_the_limit_are_errors`)
/// - Only the first four bytes of the connection can be a word.
///   (test: `words_are_only_words_at_the_start`)
/// - No memory is reserved for a frame before its bytes arrive.
/// - After an error the decoder must not be called again.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    max_len: usize,
    at_start: bool,
}

impl FrameDecoder {
    /// A decoder for a connection that begins with a frame or a word. Frames have at most `max_len`
    /// bytes.
    pub const fn new(max_len: usize) -> Self {
        Self {
            max_len,
            at_start: true,
        }
    }

    /// A decoder for a client, which gets no words.
    pub const fn frames_only(max_len: usize) -> Self {
        Self {
            max_len,
            at_start: false,
        }
    }

    /// Takes the next frame or word off the front of `buf`. `None` means that more bytes must be
    /// read.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Inbound>, FrameError> {
        let Some(&head) = buf.first_chunk::<4>() else {
            return Ok(None);
        };
        if self.at_start {
            if let Some(word) = FourLetterWord::from_bytes(head) {
                buf.advance(4);
                return Ok(Some(Inbound::Word(word)));
            }
            self.at_start = false;
        }
        let length = i32::from_be_bytes(head);
        let len = usize::try_from(length).map_err(|_| FrameError::Negative { length })?;
        if len > self.max_len {
            return Err(FrameError::TooLong {
                length: len,
                max: self.max_len,
            });
        }
        if buf.len() - 4 < len {
            return Ok(None);
        }
        buf.advance(4);
        Ok(Some(Inbound::Frame(buf.split_to(len).freeze())))
    }
}

/// The beginning of a frame that is being written.
#[derive(Debug)]
#[must_use = "a frame that is not finished has no length"]
pub struct Start(usize);

/// Begins a frame and leaves room for its length.
pub fn start(buf: &mut BytesMut) -> Start {
    let at = buf.len();
    buf.put_i32(0);
    Start(at)
}

/// Ends a frame and puts in its length. A frame of 2 GiB or more is removed from `buf` again, and
/// the result is false.
pub fn finish(buf: &mut BytesMut, start: Start) -> bool {
    let Start(at) = start;
    match i32::try_from(buf.len() - at - 4) {
        Ok(length) => {
            buf[at..at + 4].copy_from_slice(&length.to_be_bytes());
            true
        }
        Err(_) => {
            buf.truncate(at);
            false
        }
    }
}
