//! A growing array that never moves its entries, so that its growth causes no pause.

/// The number of entries of one piece; a power of two.
const CHUNK: usize = 4096;

/// Entries by number. The number of a removed entry is used again.
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            chunks: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn get(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    /// Stores an entry and returns its number.
    pub(super) fn insert(&mut self, entry: T) -> u32 {
        if let Some(at) = self.free.pop() {
            *self.get_mut(at) = entry;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("pushed above");
        chunk.push(entry);
        u32::try_from(before + chunk.len() - 1).expect("2^32 znodes do not fit in memory")
    }

    /// Removes the entry with this number and returns it.
    pub(super) fn remove(&mut self, at: u32, vacant: T) -> T {
        self.free.push(at);
        std::mem::replace(self.get_mut(at), vacant)
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        match self.chunks.last() {
            None => 0,
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len() - self.free.len(),
        }
    }
}
