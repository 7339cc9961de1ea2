//! Frames: four bytes of length, then that many bytes; and the four-letter words that may stand in their place.
//!
//! 1. The connection appends what it read to a `BytesMut` and calls [`FrameDecoder::decode`] until it answers
//!    `None`: every complete frame is split off without copying.
//! 2. If the first four bytes of the connection are a word that ZooKeeper knows, that is the answer, and the
//!    connection carries nothing else.
//! 3. An encoder calls [`start`], appends its message, and calls [`finish`], which patches the length in.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// ZooKeeper's default for `jute.maxbuffer`: the longest frame that a server takes.
pub const DEFAULT_MAX_LEN: usize = 0xf_ffff;

/// Why the bytes of a connection are not frames. The connection is closed; nothing can follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// A negative length.
    #[error(
        "a frame has the negative length {length}; the peer does not speak ZooKeeper's protocol"
    )]
    Negative {
        /// The length as sent.
        length: i32,
    },
    /// A length above the limit.
    #[error(
        "a frame of {length} bytes is longer than the limit of {max} (jute.maxbuffer); send less or raise it"
    )]
    TooLong {
        /// The length as sent.
        length: usize,
        /// The limit.
        max: usize,
    },
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A four-letter word: an administrator's question, sent instead of a first frame.
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
    /// The configuration.
    Conf = "conf",
    /// All connections.
    Cons = "cons",
    /// Reset the connections' statistics.
    Crst = "crst",
    /// Sizes of the data and log folders.
    Dirs = "dirs",
    /// Sessions and their ephemerals.
    Dump = "dump",
    /// The environment.
    Envi = "envi",
    /// Get the trace mask.
    Gtmk = "gtmk",
    /// The history of digests.
    Hash = "hash",
    /// Is the server read-only?
    Isro = "isro",
    /// Figures for monitoring.
    Mntr = "mntr",
    /// Is the server well?
    Ruok = "ruok",
    /// Reset the server's statistics.
    Srst = "srst",
    /// The server, briefly.
    Srvr = "srvr",
    /// The server and its connections.
    Stat = "stat",
    /// Set the trace mask.
    Stmk = "stmk",
    /// Watches by session.
    Wchc = "wchc",
    /// Watches by path.
    Wchp = "wchp",
    /// The number of watches.
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

/// A word that ZooKeeper does not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not one of ZooKeeper's four-letter words; write ruok, srvr, stat, mntr, envi, …")]
pub struct UnknownWord(
    /// The word as given.
    pub String,
);

/// What a connection sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// The body of a frame, without its length.
    Frame(Bytes),
    /// A four-letter word; the connection carries nothing else.
    Word(FourLetterWord),
}

/// Splits the bytes of one connection into frames.
///
/// Invariants:
/// - A length below 0 or above the limit is an error at once, before the frame's bytes have come; a frame of exactly
///   the limit passes. (test: `lengths_outside_the_limit_are_errors`)
/// - Words are looked for only in the first four bytes of the connection. (test: `words_are_only_words_at_the_start`)
/// - Nothing is reserved for a frame that has not come: the buffer grows with what was read.
/// - After an error the decoder must not be called again.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    max_len: usize,
    at_start: bool,
}

impl FrameDecoder {
    /// For a connection that opens with a frame or a word; frames have at most `max_len` bytes.
    pub const fn new(max_len: usize) -> Self {
        Self {
            max_len,
            at_start: true,
        }
    }

    /// For the client's end of a connection, where no words come.
    pub const fn frames_only(max_len: usize) -> Self {
        Self {
            max_len,
            at_start: false,
        }
    }

    /// Takes the next frame or word off the front of `buf`; `None` means: read more first.
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

/// Where a frame that is being written began.
#[derive(Debug)]
#[must_use = "a frame that is not finished has no length"]
pub struct Start(usize);

/// Begins a frame: leaves room for its length.
pub fn start(buf: &mut BytesMut) -> Start {
    let at = buf.len();
    buf.put_i32(0);
    Start(at)
}

/// Ends a frame: patches its length in. A frame of 2 GiB or more is taken back out of `buf`, and the answer is false.
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
