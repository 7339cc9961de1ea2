//! Recovery: opening the log that the last process left.
//!
//! 1. The segments are read in order. A batch is taken whole or not at all, since no part of it was
//!    acknowledged before all of it was synced.
//! 2. A damaged record in the newest segment, with no undamaged record of a later batch after it,
//!    is a torn tail, and the log ends there. Anywhere else acknowledged records are damaged, and
//!    opening fails. If the disk has changed a bit in the last batch after it was synced, this
//!    looks the same as a torn tail, and the batch is lost: nothing on the disk says that it was
//!    whole. (test: `a_rotten_bit_is_refused_or_does_no_harm`)
//! 3. The newest segment is cut after the last complete batch, so that no old bytes follow new
//!    ones, and is preallocated again.
//! 4. The newest segment is written again, because a sync of the last process may have failed: the
//!    system then still shows the bytes, but has given up writing them, and no later sync makes
//!    them durable. The first failed sync ends a process, so older segments have none of them.
//!    (test: `what_a_failed_sync_did_not_write_is_written_by_the_next_process`)
//!    Then the files and the folder are synced before the entries count as durable, because the
//!    last process may have died between its write and its sync.
//! 5. Segments that the purge mark covers are removed, if their removal was lost in the crash.

use std::sync::Arc;

use innkeeper_runtime::{Disk, File, Instant, Open, Runtime};

use super::content::Content;
use super::core::Core;
use super::record::{self, Header, Kind};
use super::segments::{self, FOLDER, Segment};
use crate::codec;
use crate::error::LogError;
use crate::settings::Settings;
use crate::types::LogId;

/// Reads the log of a disk. Blocks.
pub(crate) fn open<R: Runtime>(
    disk: &R::Disk,
    settings: Arc<Settings>,
    now: Instant,
) -> Result<Core<R, <R::Disk as Disk>::File>, LogError> {
    disk.create_folder(FOLDER)?;
    disk.sync_folder("")?;
    let mut numbers: Vec<u64> = disk
        .list(FOLDER)?
        .iter()
        .filter_map(|name| segments::number_of(name))
        .collect();
    numbers.sort_unstable();

    let mut replay = Replay {
        core: Core::new(settings),
        gap: None,
        gone: Vec::new(),
        verified: Vec::new(),
    };
    let newest = numbers.last().copied();
    let mut previous: Option<u64> = None;
    for &number in &numbers {
        // The first segment was created while an older one existed; its purge mark is of that time.
        if previous.unwrap_or(0) + 1 != number {
            replay.restart_after_gap(number);
        }
        previous = Some(number);
        if !replay.segment(disk, number, Some(number) == newest, now)? {
            // The newest file was being created at the power cut: nothing in it was acknowledged.
            disk.remove(&segments::path(number))?;
        }
    }
    replay.check_gap()?;
    let Replay {
        mut core,
        gone,
        verified,
        ..
    } = replay;

    if let Some(active) = core.segments.active()
        && active.sealed_at.is_none()
    {
        let file = disk.open(&segments::path(active.number), Open::Write)?;
        file.set_len(active.end)?;
        file.preallocate(0, core.settings.segment_bytes.max(active.end))?;
        if let Some(active) = core.segments.active() {
            active.file = Some(Arc::new(file));
        }
    }
    if let Some(newest) = core.segments.list.back()
        && let Some(file) = &newest.file
    {
        // What was verified, and not what another read would show: its bits may flip.
        file.write_at(&verified, 0)?;
    }
    for segment in &core.segments.list {
        if let Some(file) = &segment.file {
            file.sync()?;
        }
    }
    disk.sync_folder(FOLDER)?;

    for number in &gone {
        disk.remove(&segments::path(*number))?;
    }
    if !gone.is_empty() {
        disk.sync_folder(FOLDER)?;
    }
    core.committed_written = core.committed;
    Ok(core)
}

struct Replay<R: Runtime> {
    core: Core<R, <R::Disk as Disk>::File>,
    /// The last gap between segments.
    gap: Option<Gap>,
    /// Segments whose removal was lost in the crash.
    gone: Vec<u64>,
    /// The bytes of the segment that was read last, up to its last whole batch.
    verified: Vec<u8>,
}

struct Gap {
    /// The last entry before it.
    have: u64,
    /// The first segment after it.
    behind: u64,
    /// No entry was read since.
    fresh: bool,
}

impl<R: Runtime> Replay<R> {
    /// Starts again after a gap between segments: segments were removed, and the removal of an
    /// older one was lost in the crash. The purge mark must cover everything before the gap; this
    /// is checked at the end.
    fn restart_after_gap(&mut self, behind: u64) {
        let have = self.core.last.map_or(0, |last| last.index);
        let before = self.core.segments.list.drain(..);
        self.gone.extend(before.map(|segment| segment.number));
        self.core.last = self.core.purged;
        self.gap = Some(Gap {
            have,
            behind,
            fresh: true,
        });
    }

    /// Checks that the entries after a gap directly follow those that the purge mark covers. This
    /// is checked at the end, because later records may have cut the first entries after the gap
    /// off.
    fn check_gap(&self) -> Result<(), LogError> {
        let Some(gap) = &self.gap else {
            return Ok(());
        };
        let Some(need) = self.core.segments.first_index() else {
            return Ok(());
        };
        if self.core.purged.is_some_and(|p| p.index + 1 >= need) {
            return Ok(());
        }
        Err(LogError::Hole {
            segment: segments::path(gap.behind),
            have: gap.have,
            need,
        })
    }

    /// Reads one segment; false if it is the newest one and its creation was not finished.
    fn segment(
        &mut self,
        disk: &R::Disk,
        number: u64,
        newest: bool,
        now: Instant,
    ) -> Result<bool, LogError> {
        let path = segments::path(number);
        let Content { mut bytes, written } = Content::read(disk, &path)?;
        let seed = record::seed(number);
        match record::read_segment_header(&bytes, number) {
            Header::Good => {}
            Header::Version(found) => {
                return Err(LogError::Version {
                    segment: path,
                    found,
                    known: record::VERSION,
                });
            }
            Header::Bad => {
                let first = self.core.next_batch;
                if newest && record::find_above(&bytes, 0..written, seed, first).is_none() {
                    check_steady(disk, &path, &bytes)?;
                    return Ok(false);
                }
                return Err(LogError::Corrupt {
                    segment: path,
                    offset: 0,
                    what: "its header is not a header".to_owned(),
                });
            }
        }
        let mut segment = Segment::new(number);
        segment.file = Some(Arc::new(disk.open(&path, Open::Write)?));
        segment.end = record::SEGMENT_HEADER as u64;
        self.core.segments.list.push_back(segment);

        let mut at = record::SEGMENT_HEADER;
        let mut whole = at;
        let mut batch = Vec::new();
        let what = loop {
            let record = match record::read(&bytes, at, seed) {
                Ok(record) if record.batch < self.core.next_batch => {
                    break "an old record stands there";
                }
                Ok(record) => record,
                Err(what) => break what,
            };
            // The first segment left may begin with any batch.
            if whole == record::SEGMENT_HEADER && batch.is_empty() {
                self.core.next_batch = record.batch;
            }
            if record.batch != self.core.next_batch {
                break "a batch is missing before it";
            }
            at = record.next;
            match record.kind {
                Kind::BatchEnd | Kind::SegmentEnd => {
                    for (kind, offset, body) in batch.drain(..) {
                        self.apply(kind, offset, body, &path)?;
                    }
                    whole = at;
                    self.core.next_batch = record.batch + 1;
                    if let Some(active) = self.core.segments.active() {
                        active.end = whole as u64;
                        if record.kind == Kind::SegmentEnd {
                            active.sealed_at = Some(now);
                            drop(batch);
                            bytes.truncate(whole);
                            self.verified = bytes;
                            return Ok(true);
                        }
                    }
                }
                kind => batch.push((
                    kind,
                    (at - record::record_len(record.body.len())) as u64,
                    record.body,
                )),
            }
        };
        let later = record::find_above(&bytes, whole..written, seed, self.core.next_batch);
        if !newest || later.is_some() {
            return Err(LogError::Corrupt {
                segment: path,
                offset: at as u64,
                what: what.to_owned(),
            });
        }
        // What was never written is not looked at, since it takes no memory so far.
        let rest = bytes.get(whole..written).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            check_steady(disk, &path, &bytes)?;
        }
        drop(batch);
        bytes.truncate(whole);
        self.verified = bytes;
        Ok(true)
    }

    fn apply(&mut self, kind: Kind, offset: u64, body: &[u8], path: &str) -> Result<(), LogError> {
        let codec = |source| LogError::Codec {
            segment: path.to_owned(),
            source,
        };
        let core = &mut self.core;
        match kind {
            Kind::Entry => {
                let id = codec::entry_log_id(body).map_err(codec)?;
                if let Some(gap) = self.gap.as_mut().filter(|gap| gap.fresh) {
                    gap.fresh = false;
                } else if let Some(last) = core.last
                    && last.index + 1 != id.index
                {
                    return Err(LogError::Hole {
                        segment: path.to_owned(),
                        have: last.index,
                        need: id.index,
                    });
                }
                core.segments
                    .push_entry(id.index, offset)
                    .map_err(|what| LogError::Corrupt {
                        segment: path.to_owned(),
                        offset,
                        what: what.to_string(),
                    })?;
                core.last = Some(id);
            }
            Kind::Vote => core.vote = Some(codec::vote(body).map_err(codec)?),
            Kind::Committed => core.committed = codec::optional_log_id(body).map_err(codec)?,
            Kind::Truncate => {
                let after = codec::optional_log_id(body).map_err(codec)?;
                core.segments.truncate_from(next_index(after));
                core.last = after.max(core.purged);
            }
            Kind::Purge => {
                let upto = codec::optional_log_id(body).map_err(codec)?;
                core.purged = core.purged.max(upto);
                core.last = core.last.max(upto);
                if let Some(upto) = upto {
                    self.gone.extend(core.segments.purge(upto.index));
                }
            }
            Kind::BatchEnd | Kind::SegmentEnd => {}
        }
        Ok(())
    }
}

/// Checks that a second read of a segment gives the same bytes. What looks like a torn tail is cut
/// off for good, so it must be on the disk, and not only in one read.
fn check_steady<D: Disk>(disk: &D, path: &str, bytes: &[u8]) -> Result<(), LogError> {
    let again = disk.read_whole(path)?;
    let same = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    if again.len() == bytes.len() && same == bytes.len() {
        return Ok(());
    }
    Err(LogError::Unsteady {
        segment: path.to_owned(),
        offset: same as u64,
    })
}

fn next_index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}
