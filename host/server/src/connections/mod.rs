//! The way of a client from an accepted socket to a session: the listener, admission, and one task
//! per connection.

mod admission;
mod connection;
mod listener;

use std::sync::Arc;

use innkeeper_auth::Port;
use innkeeper_runtime::{Runtime, Task, ThreadRole};

use crate::four_letter_words::FourLetterWords;
use crate::service::Service;

/// Accepts clients at a listener until the node stops. `words` answers four-letter words.
pub fn accept<R: Runtime>(
    service: &Arc<Service<R>>,
    listener: R::Listener,
    port: Port,
    words: Arc<dyn FourLetterWords>,
) -> Task<()> {
    let accepting = listener::accept(service.clone(), listener, port, words);
    service.runtime.spawn(ThreadRole::Client, accepting)
}
