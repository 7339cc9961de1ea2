//! Timers of a tokio runtime, usable from any thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A sleep on the real clock (tokio's, with its resolution of one millisecond).
pub struct RealSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl RealSleep {
    pub(super) fn until(driver: &Handle, deadline: std::time::Instant) -> Self {
        let _entered = driver.enter();
        let deadline = tokio::time::Instant::from_std(deadline);
        Self {
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }
}

impl Future for RealSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}

impl fmt::Debug for RealSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealSleep").finish_non_exhaustive()
    }
}
