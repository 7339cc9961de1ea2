//! Bytes that are damaged between the nodes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use innkeeper_raft::peer::{Protecting, Protection, Unprotected, Wire};
use innkeeper_runtime::sim::SimStream;
use innkeeper_runtime::{Simulated, World};
use tokio::io::{AsyncRead, ReadBuf};

use crate::scene::{Scene, start};

/// Flips bits in what a node reads from its peers.
#[derive(Clone, Default)]
struct Noise {
    /// One in so many reads is damaged; 0 is none.
    one_in: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
    damaged: Arc<AtomicU64>,
}

impl Noise {
    fn over(&self, protecting: Protecting) -> Protecting {
        let noise = self.clone();
        Box::pin(async move {
            let Wire {
                reader,
                writer,
                binding,
            } = protecting.await?;
            Ok(Wire {
                reader: Box::new(Noisy { noise, reader }),
                writer,
                binding,
            })
        })
    }
}

impl Protection<Simulated> for Noise {
    fn dialed(&self, stream: SimStream, name: &str) -> Protecting {
        self.over(Protection::<Simulated>::dialed(&Unprotected, stream, name))
    }

    fn accepted(&self, stream: SimStream) -> Protecting {
        self.over(Protection::<Simulated>::accepted(&Unprotected, stream))
    }
}

struct Noisy {
    noise: Noise,
    reader: Box<dyn AsyncRead + Send + Unpin>,
}

impl AsyncRead for Noisy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.reader).poll_read(cx, buf);
        let fresh = &mut buf.filled_mut()[before..];
        let one_in = self.noise.one_in.load(Ordering::Relaxed);
        let reads = self.noise.reads.fetch_add(1, Ordering::Relaxed) + 1;
        if one_in > 0 && !fresh.is_empty() && reads.is_multiple_of(one_in) {
            let at = reads as usize % fresh.len();
            fresh[at] ^= 1 << (reads % 8);
            self.noise.damaged.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

#[test]
fn bytes_that_are_damaged_on_the_way_cost_the_transfer_only() {
    World::run(11, async |world| {
        let noise = Noise::default();
        let mut scene = Scene::set(world, start(), 1000).await;
        scene.start.protection = Arc::new(noise.clone());
        noise.one_in.store(4, Ordering::Relaxed);
        scene.comes_back().await;
        let recorder = scene.away().recorder();
        for _ in 0..20 {
            scene.write(5).await;
            scene.world.sleep(Duration::from_millis(200)).await;
        }
        let damaged = noise.damaged.load(Ordering::Relaxed);
        assert!(damaged >= 5, "{damaged}");
        assert_eq!(recorder.installs(), [0_u64; 0], "no snapshot gets through");
        noise.one_in.store(0, Ordering::Relaxed);
        scene.same().await;
        assert_eq!(recorder.installs().len(), 1);
    });
}
