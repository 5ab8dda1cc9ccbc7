//! From what the journals told to the shards' logs.
//!
//! Where the shards are those that wrote the journals, each goes on in its own; else everything is drained
//! into the segments first and every shard gets a new journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use millstream_log::planted::{self, Bug};
use millstream_log::{
    ChainPoint, CheckpointBuilder, CheckpointHead, FilePosition, Incarnation, JournalId, JournalIdentity,
    LogConfig, RunMemory, SegmentHeader, SegmentId, SegmentIds, layout,
};
use millstream_protocol::types::{LeaderEpoch, TopicId};
use millstream_ring::{AlignedBuf, Ring};

use super::door::Door;
use super::files::SegmentScan;
use super::journals::{self, Points, Replayed};
use super::last_block;
use super::recovered_bytes::RecoveredBytes;
use super::slots::FIRST_GENERATION;
use super::{KnownTopics, Random};
use crate::checkpointer::Checkpointer;
use crate::chunks::Growth;
use crate::disk_share::DiskShare;
use crate::error::OpenError;
use crate::event::{Now, SpaceState, Stalled};
use crate::housekeeping::Housekeeping;
use crate::indexes::Indexes;
use crate::journal::{Journal, JournalPoint};
use crate::limits::BLOCK;
use crate::log_table::LogTable;
use crate::ops::Ops;
use crate::options::StorageOptions;
use crate::pace::Pace;
use crate::partition_log::PartitionLog;
use crate::producer_count::ProducerCount;
use crate::reads::Reads;
use crate::rescue::Rescue;
use crate::segment_files::SegmentFiles;
use crate::shard_logs::{ShardLogs, Shutdown, shard_of};
use crate::spare::Spare;
use crate::stall::StallWatch;
use crate::turned_away::TurnedAway;

pub(super) type RecoveredPartition = millstream_log::RecoveredPartition<RecoveredBytes>;

/// Everything that the last steps of a start need.
pub(super) struct Opening<'a> {
    pub(super) dir: &'a Path,
    pub(super) options: &'a StorageOptions,
    pub(super) shards: usize,
    pub(super) topics: &'a dyn KnownTopics,
    pub(super) now: Now,
    pub(super) scan: SegmentScan,
    pub(super) report: &'a mut Vec<String>,
    /// Deleted topics of which checkpoints or journals still told.
    pub(super) deleted: &'a mut BTreeSet<TopicId>,
    pub(super) random: &'a mut Random,
    /// One for all shards.
    pub(super) disk: Arc<DiskShare>,
}

/// A shard's journal before its logs are in it.
struct Home {
    head: CheckpointHead,
    points: Points,
    end: JournalPoint,
    /// Of the rounds in its rescue file.
    rescue_end: u64,
    is_new: bool,
}

impl Opening<'_> {
    /// The shards' logs, durable as they are now; and whether the last end was not an orderly one.
    pub(super) fn finish<R: Ring>(
        mut self,
        door: &mut Door<'_, R>,
        replayed: Replayed,
    ) -> Result<(Vec<ShardLogs>, bool), OpenError> {
        let Replayed {
            recovered,
            mut points,
            next_id,
            rescue_ends,
            begins_anew,
            is_blind: _,
        } = replayed;
        let incarnation = match planted::has(Bug::IncarnationNotRaised) {
            true => recovered.incarnation,
            false => recovered.incarnation.next(),
        };
        let mut unlinks: BTreeSet<SegmentId> = recovered.unlinks.into_iter().collect();
        let mut partitions = self.kept(recovered.partitions, &mut unlinks);
        let mut ids: Vec<SegmentIds> = (0..self.shards)
            .map(|shard| SegmentIds::new(incarnation, shard as u16))
            .collect();
        let mut cut = BTreeSet::new();
        for partition in &mut partitions {
            if self.cut(partition, &mut ids, &mut unlinks) {
                cut.insert(shard_of(partition.state.key(), self.shards));
            }
            self.miss(partition);
        }
        self.quarantine_unknown(door, &partitions, &unlinks)?;
        let old: Vec<CheckpointHead> = recovered.journals.iter().map(|journal| journal.head).collect();
        let resumable = recovered.journals.iter().all(|journal| journal.resume.is_some());
        let stays = resumable && !begins_anew && self.same_shards(&old, &partitions);
        let homes = if stays {
            old.iter()
                .map(|head| {
                    let rescue_end = rescue_ends.get(&head.journal.id).copied().unwrap_or(0);
                    self.resume(head, incarnation, &mut points, rescue_end)
                })
                .collect()
        } else {
            for partition in &mut partitions {
                self.drain(door, partition)?;
            }
            self.new_homes(next_id, incarnation)
        };
        let mut by_shard: Vec<Vec<RecoveredPartition>> = (0..self.shards).map(|_| Vec::new()).collect();
        for partition in partitions {
            by_shard[shard_of(partition.state.key(), self.shards)].push(partition);
        }
        let retires_early = !stays && planted::has(Bug::JournalsRetiredEarly);
        if retires_early {
            self.retire(door, &old)?;
        }
        let mut shards = Vec::new();
        for ((home, partitions), ids) in homes.into_iter().zip(by_shard).zip(ids) {
            let unlinks = if shards.is_empty() {
                std::mem::take(&mut unlinks)
            } else {
                BTreeSet::new()
            };
            let was_cut = cut.contains(&shards.len());
            shards.push(self.shard(door, home, partitions, ids, unlinks, was_cut)?);
        }
        if !stays && !retires_early {
            self.retire(door, &old)?;
        }
        Ok((shards, !recovered.clean && !old.is_empty()))
    }

    fn retire<R: Ring>(&self, door: &mut Door<'_, R>, old: &[CheckpointHead]) -> Result<(), OpenError> {
        old.iter()
            .try_for_each(|head| journals::retire(door, self.dir, head, self.now.wall))
    }

    fn quarantine_unknown<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        partitions: &[RecoveredPartition],
        unlinks: &BTreeSet<SegmentId>,
    ) -> Result<(), OpenError> {
        let known: BTreeSet<SegmentId> = partitions
            .iter()
            .flat_map(|partition| partition.state.segments())
            .map(|segment| segment.id)
            .collect();
        let unknown: Vec<SegmentId> = self
            .scan
            .sizes
            .keys()
            .filter(|segment| !known.contains(segment) && !unlinks.contains(segment))
            .copied()
            .collect();
        for segment in unknown {
            self.scan.quarantine(door, segment)?;
            self.report.push(format!(
                "segment file {} belongs to nothing: moved to {}",
                layout::segment(segment),
                layout::QUARANTINE
            ));
        }
        let unknown: Vec<SegmentId> = self
            .scan
            .sidecars
            .iter()
            .filter(|segment| !known.contains(segment) && !unlinks.contains(segment))
            .copied()
            .collect();
        for segment in unknown {
            self.scan.quarantine_sidecar(door, segment)?;
            self.report.push(format!(
                "sidecar index {segment} belongs to nothing: moved to {}",
                layout::QUARANTINE
            ));
        }
        Ok(())
    }

    /// The journals are those of these shards, and every partition is where it belongs.
    fn same_shards(&self, old: &[CheckpointHead], partitions: &[RecoveredPartition]) -> bool {
        old.len() == self.shards
            && old
                .iter()
                .all(|head| head.ring_bytes == self.options.journal_bytes)
            && partitions.iter().all(|partition| {
                partition.home == old[shard_of(partition.state.key(), self.shards)].journal.id
            })
    }

    fn resume(
        &self,
        head: &CheckpointHead,
        incarnation: Incarnation,
        points: &mut BTreeMap<JournalId, Points>,
        rescue_end: u64,
    ) -> Home {
        let points = points
            .remove(&head.journal.id)
            .expect("every journal was replayed");
        let end = points.end.expect("a replay has an end");
        let head = CheckpointHead {
            generation: head.generation + 1,
            incarnation,
            raised_at: end.chain.sequence,
            clean: planted::has(Bug::CleanMarkKept) && head.clean,
            written_at: self.now.wall,
            ..*head
        };
        Home {
            head,
            points,
            end,
            rescue_end,
            is_new: false,
        }
    }

    fn new_homes(&mut self, next_id: u64, incarnation: Incarnation) -> Vec<Home> {
        let mut homes = Vec::new();
        for shard in 0..self.shards {
            let identity = JournalIdentity {
                id: JournalId::new(next_id + shard as u64),
                nonce: self.random.next(),
            };
            let chain = ChainPoint::first(identity);
            let end = JournalPoint { chain, head: 0 };
            let head = CheckpointHead {
                generation: FIRST_GENERATION,
                journal: identity,
                ring_bytes: self.options.journal_bytes,
                incarnation,
                raised_at: chain.sequence,
                tail: chain,
                clean: false,
                retired: false,
                written_at: self.now.wall,
            };
            let points = Points {
                end: Some(end),
                ..Points::default()
            };
            homes.push(Home {
                head,
                points,
                end,
                rescue_end: 0,
                is_new: true,
            });
        }
        homes
    }

    /// Writes everything that only the journal holds into the partition's segments.
    fn drain<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        partition: &mut RecoveredPartition,
    ) -> Result<(), OpenError> {
        let runs = std::mem::take(&mut partition.dirty);
        for run in &runs {
            let known = partition
                .state
                .segment(run.segment)
                .expect("runs are of known segments");
            let header = SegmentHeader {
                segment: run.segment,
                partition: partition.state.key(),
                base_offset: known.base_offset,
            };
            let path = self.dir.join(layout::segment(run.segment));
            let (file, _) = door.open(&path, true)?;
            // A file without data may have been cut off while its header was being written.
            if run.position == FilePosition::ZERO {
                let mut block = AlignedBuf::zeroed(BLOCK as usize);
                block.copy_from_slice(&header.encode());
                door.write(&path, file, 0, block)?;
            }
            let mut buf = AlignedBuf::zeroed(run.bytes.len().next_multiple_of(BLOCK as usize));
            let mut at = 0;
            for piece in run.bytes.pieces() {
                buf[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            let end = layout::SEGMENT_DATA_AT + run.position.get() + buf.len() as u64;
            door.write(&path, file, layout::SEGMENT_DATA_AT + run.position.get(), buf)?;
            door.close(file);
            door.sync_dir(
                &self
                    .dir
                    .join(layout::SEGMENTS)
                    .join(layout::segment_folder(run.segment)),
            )?;
            let known_size = self.scan.sizes.entry(run.segment).or_default();
            *known_size = end.max(*known_size);
        }
        let ends: Vec<_> = partition
            .state
            .segments()
            .iter()
            .map(|segment| (segment.id, segment.byte_end))
            .collect();
        for (segment, end) in ends {
            partition.state.written_to(segment, end);
        }
        Ok(())
    }

    /// One shard with its logs, and the checkpoint that makes it durable. What `was_cut` stands in both slots: of one
    /// that is lost the other one must not say that the cut bytes are there, for rounds to come settle those that held
    /// them.
    fn shard<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        home: Home,
        partitions: Vec<RecoveredPartition>,
        segment_ids: SegmentIds,
        unlinks: BTreeSet<SegmentId>,
        was_cut: bool,
    ) -> Result<ShardLogs, OpenError> {
        let Home {
            mut head,
            points,
            end,
            rescue_end,
            is_new,
        } = home;
        let path = self.dir.join(layout::journal(head.journal.id));
        let first = head.generation;
        head.generation += u64::from(was_cut);
        let mut shard = self.empty_shard(path, head, end, rescue_end, segment_ids);
        let mut builder = CheckpointBuilder::new(0);
        let as_of = end.chain.sequence.previous();
        let mut floor = end;
        for log in self.logs(door, &mut shard, partitions, &points)? {
            let since = log.dirty.since().unwrap_or(end);
            if since.head < floor.head {
                floor = since;
            }
            let kept_from = log.dirty.rescued().unwrap_or(since.chain.sequence);
            if !log.state.is_blank() || log.damage.is_some() {
                builder.add(&log.state, as_of, kept_from, log.damage);
            }
            let to_rescue = log.damage.is_some() && !log.dirty.is_clean() && log.dirty.rescued().is_none();
            let chunks = log.chunks.len();
            let id = shard.logs.insert(log);
            (0..chunks).for_each(|_| shard.cache_order.push_back(id));
            shard.note_dirty(id);
            shard.count_producers(id);
            shard.want_sidecars(id);
            if to_rescue {
                shard.rescue.ask(id);
            }
        }
        head.tail = floor.chain;
        let unlink_list: Vec<SegmentId> = unlinks.iter().copied().collect();
        let again = was_cut.then(|| builder.clone());
        let head_first = CheckpointHead {
            generation: first,
            ..head
        };
        if is_new {
            journals::make(door, self.dir, &head_first, builder, &unlink_list)?;
        } else {
            journals::write_checkpoint(door, self.dir, &head_first, builder, &unlink_list)?;
        }
        if let Some(builder) = again {
            journals::write_checkpoint(door, self.dir, &head, builder, &unlink_list)?;
        }
        shard.journal.free_to(floor);
        shard.release(unlinks.into_iter());
        Ok(shard)
    }

    fn empty_shard(
        &self,
        path: std::path::PathBuf,
        head: CheckpointHead,
        end: JournalPoint,
        rescue_end: u64,
        segment_ids: SegmentIds,
    ) -> ShardLogs {
        let oldest = JournalPoint {
            chain: end.chain,
            head: end.head.saturating_sub(head.ring_bytes),
        };
        let journal = Journal::new(path, head.journal, head.incarnation, head.ring_bytes, oldest, end);
        let slots = [0, 1].map(|slot| self.dir.join(layout::checkpoint(head.journal.id, slot)));
        let checkpointer = Checkpointer::new(
            slots,
            head.journal,
            head.ring_bytes,
            head.incarnation,
            head.raised_at,
            head.generation,
        );
        ShardLogs {
            dir: self.dir.to_owned(),
            options: self.options.clone(),
            logs: LogTable::new(),
            journal,
            checkpointer,
            files: SegmentFiles::new(self.dir.to_owned(), self.options.open_segments_max),
            segment_ids,
            reads: Reads::new(
                self.options.read_bytes.min(self.options.cache_bytes / 4),
                self.disk.clone(),
            ),
            indexes: Indexes::new(self.options.index_bytes),
            rescue: Rescue::new(
                self.dir.join(layout::rescue(head.journal.id)),
                head.journal,
                head.incarnation,
                rescue_end,
            ),
            ops: Ops::new(),
            spare: Spare::new(),
            pending: VecDeque::new(),
            parked: VecDeque::new(),
            pending_cost: 0,
            in_round: Vec::new(),
            dirty_order: BTreeSet::new(),
            behind_walk: None,
            behind_walk_at: 0,
            resting: VecDeque::new(),
            cache_order: VecDeque::new(),
            cache_bytes: 0,
            dirty_bytes: 0,
            producers: ProducerCount::new(self.options.producers_max),
            turned_away: TurnedAway::default(),
            behind_bytes_in_flight: 0,
            unlinking: BTreeSet::new(),
            deleting: BTreeMap::new(),
            file_events: Vec::new(),
            told: Vec::new(),
            space: SpaceState::Enough,
            stopped: false,
            shutdown: Shutdown::No,
            last_round: self.now.monotonic,
            pace: Pace::new(),
            disk: self.disk.clone(),
            stall: StallWatch::new(Stalled::Round),
            stall_of_others: StallWatch::new(Stalled::Other),
            house: Housekeeping::new(self.now.monotonic, self.options),
        }
    }

    /// The partitions as their shard holds them: what only the journal has, and the blocks being filled, are in memory
    /// again.
    fn logs<R: Ring>(
        &mut self,
        door: &mut Door<'_, R>,
        shard: &mut ShardLogs,
        partitions: Vec<RecoveredPartition>,
        points: &Points,
    ) -> Result<Vec<PartitionLog>, OpenError> {
        let oldest_free = shard.journal.point();
        let mut made = 0;
        let mut growth = Growth {
            now: self.now.monotonic,
            charged: &mut shard.cache_bytes,
            made: &mut made,
            spare: &mut shard.spare,
        };
        let mut logs = Vec::with_capacity(partitions.len());
        let mut ends_in_its_file = Vec::new();
        for partition in partitions {
            let short = self.shortened(&partition);
            short
                .into_iter()
                .for_each(|segment| shard.files.found_short(segment));
            for segment in partition.state.segments() {
                if self.scan.sizes.contains_key(&segment.id) {
                    shard.files.found(SegmentHeader {
                        segment: segment.id,
                        partition: partition.state.key(),
                        base_offset: segment.base_offset,
                    });
                }
            }
            let (log, is_whole) = self.log(partition, points, oldest_free, &mut growth);
            ends_in_its_file.push(!is_whole && log.damage.is_none());
            logs.push(log);
        }
        let mut unfinished: Vec<&mut PartitionLog> = logs
            .iter_mut()
            .zip(ends_in_its_file)
            .filter_map(|(log, is_one)| is_one.then_some(log))
            .collect();
        last_block::restore(self.dir, door, &mut unfinished, &mut growth)?;
        for log in unfinished {
            if let Some(damage) = log.damage {
                self.tell_damage(log.key(), damage);
            }
        }
        Ok(logs)
    }

    /// One partition; and whether the block being filled, if there is one, is in memory.
    fn log(
        &self,
        partition: RecoveredPartition,
        points: &Points,
        next: JournalPoint,
        growth: &mut Growth<'_>,
    ) -> (PartitionLog, bool) {
        let epoch = partition.state.epochs().latest().unwrap_or(LeaderEpoch::ZERO);
        let mut log = PartitionLog::new(partition.state, LogConfig::default(), epoch, self.now.monotonic);
        log.damage = partition.damage;
        let recovered_to = partition.dirty.last().map(|run| (run.segment, run.end()));
        for run in partition.dirty {
            // What is not in the ring came from the rescue file.
            let since = points.of(run.round).unwrap_or(next);
            if points.of(run.round).is_none() {
                log.dirty.set_rescued(partition.floor);
            }
            log.dirty.recovered(run.segment, run.position, run.end(), since);
            log.chunks
                .adopt(run.segment, run.position, run.bytes.into_bufs(), growth);
        }
        let Some(active) = log.state.active() else {
            return (log, true);
        };
        let end = active.byte_end;
        let is_covered = recovered_to == Some((active.id, end));
        if !is_covered {
            // A direct write followed the last run, or its segment was ended.
            log.dirty.close();
        }
        (log, is_covered || end.is_aligned())
    }
}
