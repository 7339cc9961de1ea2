//! A recipe that counts the znodes which the creators make.

use super::super::super::guests::{push, request, tally};
use super::super::super::stage::Clients;

/// The recipe's counter.
pub const TALLY: &str = "/tally";

/// Pushes the recipe at a node and waits until it is active. Its module gets to the other nodes by
/// itself.
pub async fn bind(clients: &Clients, node: u64) {
    let module = push(clients, node, "test-tally").await;
    let path = "/v1/bindings/tally?wait=activated";
    request(clients, node, "PUT", path, tally(&module).as_bytes()).await;
}
