//! Watches the free room on the data folder's file system.
//!
//! A node whose disk is full stops, and does not start again before there is room. So a warning is
//! logged when there is little room, at once and then hourly while that lasts, and again when there
//! is enough.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Disk, Instant, Runtime, Select2, ThreadRole, select2};

use crate::service::Service;
use crate::settings::{DISK_CHECK_MS, DISK_TOLD_MS};

/// Runs until the node stops.
pub(crate) async fn watch<R: Runtime>(service: Arc<Service<R>>) {
    let least_bytes = service.settings.disk_low_bytes;
    if least_bytes == 0 {
        return;
    }
    // If the folder cannot be used, the replica has said so.
    let Ok(disk) = service.runtime.disk(&service.settings.data) else {
        return;
    };
    let mut room = Room::default();
    let mut interval = service
        .runtime
        .interval(Duration::from_millis(DISK_CHECK_MS));
    loop {
        // A disk that hangs must not stop the sockets of this thread.
        let asked = disk.clone();
        let look = async move { asked.free_bytes() };
        let looked = service.runtime.spawn(ThreadRole::Checkpoint, look).await;
        let news = match looked {
            Ok(Ok(free_bytes)) => {
                let news = room.look(free_bytes, least_bytes, service.runtime.now());
                news.map(|news| (news, free_bytes))
            }
            Ok(Err(error)) => {
                tracing::debug!("it is not known how much room there is: {error}");
                None
            }
            // The node's threads are ending.
            Err(_) => return,
        };
        let data = service.settings.data.display();
        match news {
            Some((News::Low, free_bytes)) => tracing::warn!(
                event = "disk-low",
                free_bytes,
                least_bytes,
                "there are {} MiB left on the disk of {data}, fewer than {}; a node whose disk is full stops: make room",
                free_bytes >> 20,
                least_bytes >> 20
            ),
            Some((News::Enough, free_bytes)) => tracing::warn!(
                event = "disk-enough",
                free_bytes,
                "there is room again on the disk of {data}: {} MiB",
                free_bytes >> 20
            ),
            None => {}
        }
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
    }
}

/// What is to be logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum News {
    /// There is little room, since now or still.
    Low,
    /// There is enough again.
    Enough,
}

/// What was logged last.
#[derive(Default)]
struct Room {
    told_low: Option<Instant>,
}

impl Room {
    fn look(&mut self, free_bytes: u64, least_bytes: u64, now: Instant) -> Option<News> {
        if free_bytes >= least_bytes {
            // Free room that varies around the bound must not make a line each time.
            let is_enough = free_bytes >= least_bytes.saturating_add(least_bytes / 8);
            return (is_enough && self.told_low.take().is_some()).then_some(News::Enough);
        }
        let pause = Duration::from_millis(DISK_TOLD_MS);
        if self.told_low.is_some_and(|told| now < told + pause) {
            return None;
        }
        self.told_low = Some(now);
        Some(News::Low)
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::Sim;

    use super::*;

    #[test]
    fn little_room_is_told_at_once_then_hourly_and_its_end_once() {
        Sim::run(1, async |runtime| {
            let (mut room, hour) = (Room::default(), Duration::from_millis(DISK_TOLD_MS));
            let begun = runtime.now();
            let mut look = |free, minutes: u32| room.look(free, 800, begun + hour * minutes / 60);
            assert_eq!(look(800, 0), None);
            assert_eq!(look(799, 1), Some(News::Low));
            assert_eq!(look(0, 60), None);
            assert_eq!(look(0, 61), Some(News::Low));
            // Around the bound nothing is logged.
            assert_eq!(look(850, 62), None);
            assert_eq!(look(799, 63), None);
            assert_eq!(look(900, 64), Some(News::Enough));
            assert_eq!(look(900, 65), None);
            assert_eq!(look(1, 66), Some(News::Low));
        });
    }
}
