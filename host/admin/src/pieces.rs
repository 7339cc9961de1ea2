//! Answers that are made while they are sent.
//!
//! 1. A report is an iterator of lines, or of other small texts. [`gathered`] makes pieces of some
//!    16 KiB of them. An empty text asks for a pause: what was gathered goes out.
//! 2. A client's connection asks for the next piece when it has room for it; hyper does the same
//!    through [`body`]. After each piece the other tasks of the thread have their turn, since
//!    clients' connections are among them.
//!
//! **Invariant:** an answer of any length takes the memory of a few pieces. (tests:
//! `a_body_is_made_as_it_is_asked_for`, `an_answer_that_nobody_reads_is_not_made`)

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use innkeeper_server::four_letter_words::Pieces;

/// A piece is given out when it has that many bytes, or more.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer over HTTP that has fewer bytes is made before it is sent, so that its length is said.
const WHOLE_BYTES: usize = 64 * 1024;

/// How many pieces are made before an answer is sent at most; the pauses among them count. Making
/// one may take a walk over a part of a table, and nobody else runs on the thread meanwhile.
const WHOLE_PIECES: usize = 8;

/// The answer that consists of one text.
pub(crate) fn one(text: String) -> Pieces {
    Box::new(std::iter::once(text))
}

/// Small texts, joined to pieces.
pub(crate) fn gathered(texts: impl Iterator<Item = String> + Send + 'static) -> Pieces {
    let mut texts = texts.fuse();
    Box::new(std::iter::from_fn(move || {
        let mut piece = texts.next()?;
        while !piece.is_empty() && piece.len() < PIECE_BYTES {
            match texts.next() {
                Some(text) if !text.is_empty() => piece.push_str(&text),
                _ => break,
            }
        }
        Some(piece)
    }))
}

/// The body of an answer over HTTP. A short one is whole; a longer one is made as it is read.
pub(crate) fn body(mut pieces: Pieces) -> Body {
    let mut first = String::new();
    for _ in 0..WHOLE_PIECES {
        match pieces.next() {
            Some(piece) => first.push_str(&piece),
            None => return Body::from(first),
        }
        if first.len() >= WHOLE_BYTES {
            break;
        }
    }
    Body::new(Made {
        pieces: Box::new(std::iter::once(first).chain(pieces)),
        rests: false,
    })
}

/// A body whose next piece is made when it is asked for: one poll makes one piece, and between two
/// of them the task gives way.
struct Made {
    pieces: Pieces,
    /// A piece was given out, and nobody else has run since.
    rests: bool,
}

impl hyper::body::Body for Made {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::take(&mut self.rests) {
            match self.pieces.next() {
                // A pause.
                Some(piece) if piece.is_empty() => {}
                piece => {
                    self.rests = true;
                    return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use hyper::body::Body as _;

    use super::*;

    #[test]
    fn texts_are_joined_and_a_pause_gives_out_what_there_is() {
        let text = |bytes: usize| "x".repeat(bytes);
        let texts = [10_000, 10_000, 10, 0, 0, 5, PIECE_BYTES, 1].map(text);
        let pieces = gathered(texts.into_iter()).map(|piece| piece.len());
        let expected = [20_000, 10, 0, 5 + PIECE_BYTES, 1];
        assert!(pieces.eq(expected));
    }

    #[test]
    fn a_short_body_says_its_length() {
        let texts = ["{".to_owned(), String::new(), "}".to_owned()];
        let short = body(gathered(texts.into_iter()));
        assert_eq!(short.size_hint().exact(), Some(2));
    }

    #[test]
    fn a_body_is_made_as_it_is_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let texts = (0..1_000_000).map(move |number| {
            // Here and there a pause.
            let bytes = if number % 1000 == 0 { 0 } else { 100 };
            counted.fetch_add(bytes, Ordering::Relaxed);
            "x".repeat(bytes)
        });
        let mut body = body(gathered(texts));
        let (mut read, mut gave_way) = (0, true);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let ahead = made.load(Ordering::Relaxed) - read;
            assert!(ahead <= WHOLE_BYTES + 2 * PIECE_BYTES, "{ahead}");
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    assert!(gave_way, "two pieces without a turn for the others");
                    gave_way = false;
                    read += frame.into_data().unwrap().len();
                }
                Poll::Ready(Some(Err(error))) => panic!("{error}"),
                Poll::Ready(None) => break,
                Poll::Pending => gave_way = true,
            }
        }
        assert_eq!(read, (1_000_000 - 1_000) * 100);
    }
}
