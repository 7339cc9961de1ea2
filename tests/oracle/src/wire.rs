//! ZooKeeper's record format, encoded and decoded for a client.
//!
//! It does not use the server's own codec: a mistake that both ends share would not be seen. It
//! also writes what no codec would: null strings, wrong numbers, requests that end too early.

/// A text in a message: any bytes, or null.
pub type Text = Option<Vec<u8>>;

/// Appends an integer of four bytes.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends an integer of eight bytes.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a boolean.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends a buffer or a string; `None` is null, length -1.
pub fn put_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_i32(out, -1),
        Some(bytes) => {
            put_i32(out, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a list.
pub fn put_list<T>(out: &mut Vec<u8>, list: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    put_i32(out, i32::try_from(list.len()).unwrap_or(i32::MAX));
    for element in list {
        put(out, element);
    }
}

/// Puts the length in front of a frame's body.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + body.len());
    put_bytes(&mut out, Some(body));
    out
}

/// Reads a frame's body from its front; every method returns `None` if the body ends too early.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// At the front of `body`.
    pub const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The rest that was not read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// An integer of four bytes.
    pub fn i32(&mut self) -> Option<i32> {
        self.take(4)
            .map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    /// An integer of eight bytes.
    pub fn i64(&mut self) -> Option<i64> {
        self.take(8)
            .map(|bytes| i64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// A buffer or string; the inner `None` is null.
    pub fn bytes(&mut self) -> Option<Text> {
        match self.i32()? {
            -1 => Some(None),
            length => {
                let length = usize::try_from(length).ok()?;
                self.take(length).map(|bytes| Some(bytes.to_vec()))
            }
        }
    }

    /// A list; the inner `None` is null.
    pub fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Option<Vec<T>>> {
        match self.i32()? {
            -1 => Some(None),
            count => (0..count)
                .map(|_| element(self))
                .collect::<Option<_>>()
                .map(Some),
        }
    }
}
