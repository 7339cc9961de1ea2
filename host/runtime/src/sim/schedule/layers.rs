//! What several faults do to one thing at the same time.

/// The faults that hold one thing, each with its value, in the order in which they began.
///
/// Invariant: a thing is held from the begin of the first fault to the end of the last one, and
/// the value that counts is that of the fault that began last and still lasts.
#[derive(Debug)]
pub(super) struct Layers<T> {
    held: Vec<(usize, T)>,
}

impl<T> Default for Layers<T> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

impl<T> Layers<T> {
    /// A fault begins. Returns true if it is the first one.
    pub(super) fn put(&mut self, fault: usize, value: T) -> bool {
        self.held.push((fault, value));
        self.held.len() == 1
    }

    /// A fault ends. Returns true if it was the last one.
    pub(super) fn take(&mut self, fault: usize) -> bool {
        let before = self.held.len();
        self.held.retain(|(holder, _)| *holder != fault);
        self.held.is_empty() && before > 0
    }

    /// The value that counts.
    pub(super) fn top(&self) -> Option<&T> {
        self.held.last().map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The thing is gone, and its faults with it.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_held_until_its_last_fault_ends() {
        let mut layers = Layers::default();
        assert!(layers.put(1, "first"));
        assert!(!layers.put(2, "second"));
        assert_eq!(layers.top(), Some(&"second"));
        assert!(!layers.take(2));
        assert_eq!(layers.top(), Some(&"first"));
        assert!(!layers.put(3, "third"));
        assert!(!layers.take(1));
        assert_eq!(layers.top(), Some(&"third"));
        assert!(!layers.take(1), "it has ended before");
        assert!(layers.take(3));
        assert!(layers.is_empty() && !layers.take(3));
    }
}
