//! Measures the disk under the data folder in the same run: without that, a number of durable
//! writes per second means nothing.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The file system that holds `folder`, by its type in the mount table.
pub fn file_system(folder: &Path) -> anyhow::Result<String> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("{} cannot be opened", folder.display()))?;
    let mounts =
        std::fs::read_to_string("/proc/self/mounts").context("the mount table cannot be read")?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        // Later mounts hide earlier ones at the same point.
        if folder.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
        .context("no mount holds the data folder")
}

/// Refuses a file system that keeps its files in memory.
pub fn refuse_memory(kind: &str, folder: &Path) -> anyhow::Result<()> {
    if matches!(kind, "tmpfs" | "ramfs") {
        bail!(
            "{} is on {kind}, which keeps its files in memory: a sync costs nothing there and the results would be \
             lies. Name a folder on a disk with --data",
            folder.display()
        );
    }
    Ok(())
}

/// fdatasyncs per second of 4 KiB writes, one after the other, into a preallocated file.
pub fn fdatasyncs_per_second(folder: &Path, span: Duration) -> anyhow::Result<f64> {
    const BLOCK_BYTES: usize = 4096;
    const BLOCKS: u64 = 1024;
    let path = folder.join("fdatasync-probe");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)?;
    let block = [0xA5; BLOCK_BYTES];
    for _ in 0..BLOCKS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let rate = sync_repeatedly(&mut file, &block, BLOCKS, span)?;
    std::fs::remove_file(&path)?;
    Ok(rate)
}

fn sync_repeatedly(
    file: &mut File,
    block: &[u8],
    blocks: u64,
    span: Duration,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut count = 0_u64;
    while start.elapsed() < span {
        file.seek(SeekFrom::Start(count % blocks * block.len() as u64))?;
        file.write_all(block)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
