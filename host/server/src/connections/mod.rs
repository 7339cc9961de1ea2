//! From an accepted socket to a session that is served: the listener, admission, one task per connection.

pub(crate) mod admission;
pub(crate) mod connection;
pub(crate) mod listener;
