//! A client that makes a session, says nothing more on its connection, and leaves it at about the
//! time at which the session expires.

use super::super::caller::Caller;
use super::leave;

pub async fn run(mut caller: Caller) {
    while !caller.history.is_over() {
        caller.connect().await;
        let percent = 90 + caller.draw(60) as u32;
        caller.sleep(caller.timeout() * percent / 100).await;
        caller.forget();
    }
    leave(caller).await;
}
