//! The bytes of a simulated file. Pages of zeros take no memory, so preallocating a log segment is
//! cheap.

use std::collections::BTreeMap;

const PAGE: u64 = 4096;

/// A file's content. A page that is missing is all zeros.
///
/// Invariant: no byte at or beyond `len` is anything but zero, so lengthening shows zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `offset` on and returns the number of bytes.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let available = self.len.saturating_sub(offset);
        let wanted = buffer.len() as u64;
        let count = available.min(wanted) as usize;
        for (page, within, range) in pieces(offset, count) {
            let target = &mut buffer[range];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + target.len()]),
                None => target.fill(0),
            }
        }
        count
    }

    /// Where each page begins that is not all zeros by itself, and how many of its bytes belong to
    /// the file.
    pub(super) fn written(&self) -> impl Iterator<Item = (u64, u64)> {
        self.pages.keys().map(|page| {
            let begin = page * PAGE;
            (begin, PAGE.min(self.len.saturating_sub(begin)))
        })
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        for (page, within, range) in pieces(offset, data.len()) {
            let source = &data[range];
            let bytes = self
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE as usize].into());
            bytes[within..within + source.len()].copy_from_slice(source);
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let beyond = self.pages.split_off(&len.div_ceil(PAGE));
            drop(beyond);
            let within = (len % PAGE) as usize;
            if within > 0
                && let Some(last) = self.pages.get_mut(&(len / PAGE))
            {
                last[within..].fill(0);
            }
        }
        self.len = len;
    }
}

/// Cuts a range of a file at page borders: the page, where in the page, and which bytes of the
/// caller's buffer.
fn pieces(offset: u64, count: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == count {
            return None;
        }
        let at = offset + done as u64;
        let within = at % PAGE;
        let len = ((PAGE - within) as usize).min(count - done);
        let range = done..done + len;
        done += len;
        Some((at / PAGE, within as usize, range))
    })
}
