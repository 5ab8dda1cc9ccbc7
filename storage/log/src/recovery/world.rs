//! A shell in miniature: it keeps the shell's rules on a disk in memory, and can lose power at any write.
//!
//! A write that power interrupts leaves any set of its blocks. Acknowledged are the offsets whose round and
//! direct writes had all completed; the truth is what was appended, cut back to what a recovery found.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use millstream_protocol::types::{LeaderEpoch, Offset};

use crate::layout::BLOCK;
use crate::testing::{Chance, NOW, key, stamp, stored, summary};
use crate::*;

pub(super) const RING: u64 = 64 * BLOCK;
pub(super) const JOURNAL: JournalIdentity = JournalIdentity {
    id: JournalId::new(3),
    nonce: 0x5eed,
};

/// What survives.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) ring: Vec<u8>,
    pub(super) slots: [Vec<u8>; 2],
    pub(super) segments: BTreeMap<SegmentId, Vec<u8>>,
}

/// Power is gone: nothing of the running shell remains.
#[derive(Debug)]
pub(super) struct PowerCut;

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) stored: StoredBatch,
    pub(super) bytes: Vec<u8>,
}

/// One partition of the running shell.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) state: PartitionState,
    /// Every segment's recorded bytes, which a real shell would hold only from `written` on.
    memory: BTreeMap<SegmentId, Vec<u8>>,
    /// Which round recorded the bytes up to which position.
    rounds: Vec<(RoundSequence, SegmentId, FilePosition)>,
    /// The partial block was flushed: the next tail is an image.
    padded: bool,
    producer_sequence: i32,
}

#[derive(Debug)]
struct Direct {
    key: PartitionKey,
    segment: SegmentId,
    position: FilePosition,
    bytes: Vec<u8>,
    round: RoundSequence,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) chance: Chance,
    pub(super) live: BTreeMap<PartitionKey, Live>,
    pub(super) truth: BTreeMap<PartitionKey, Vec<Batch>>,
    pub(super) acked: BTreeMap<PartitionKey, Offset>,
    pub(super) config: LogConfig,
    builder: RoundBuilder<Vec<u8>>,
    chain: ChainPoint,
    tail: ChainPoint,
    points: Vec<ChainPoint>,
    settled: RoundSequence,
    ids: SegmentIds,
    incarnation: Incarnation,
    raised_at: RoundSequence,
    generation: u64,
    directs: Vec<Direct>,
    /// Offsets that each closed round accepted.
    accepted: Vec<(RoundSequence, PartitionKey, Offset)>,
    /// How often a recovery had to cut a partition, and how often an append was taken back by it.
    pub(super) cuts: u64,
    pub(super) taken_back: u64,
    /// Writes left until power goes; `None` for never.
    pub(super) writes_left: Option<u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let disk = Disk {
            ring: vec![0; RING as usize],
            slots: [Vec::new(), Vec::new()],
            segments: BTreeMap::new(),
        };
        let chain = ChainPoint::first(JOURNAL);
        let mut world = Self {
            disk,
            chance: Chance(seed),
            live: BTreeMap::new(),
            truth: BTreeMap::new(),
            acked: BTreeMap::new(),
            config: LogConfig {
                segment_bytes: 96 << 10,
                ..LogConfig::default()
            },
            builder: RoundBuilder::new(vec![0; 20 * BLOCK as usize]),
            chain,
            tail: chain,
            points: vec![chain],
            settled: RoundSequence::default(),
            ids: SegmentIds::new(Incarnation::new(1), 0),
            incarnation: Incarnation::new(1),
            raised_at: RoundSequence::new(1),
            generation: 0,
            directs: Vec::new(),
            accepted: Vec::new(),
            cuts: 0,
            taken_back: 0,
            writes_left: None,
        };
        world.checkpoint().expect("power is on");
        world
    }

    /// Appends one batch of `size` bytes, directly where `direct` and long enough. Accepted, not durable.
    pub(super) fn append(&mut self, partition: i32, size: usize, direct: bool) -> Result<(), PowerCut> {
        if self.builder.room() < size + 1024 {
            self.commit()?;
        }
        let key = key(partition);
        let bytes = self.chance.bytes(size);
        let records = 1 + self.chance.below(5) as i64;
        let live = self
            .live
            .entry(key)
            .or_insert_with(|| Live::new(PartitionState::new(key)));
        let mut sent = summary(records, size as u32, NOW.get());
        if partition % 2 == 1 {
            sent.producer = Some(stamp(partition.into(), 0, live.producer_sequence, records as i32));
            live.producer_sequence += records as i32;
        }
        let decision = live
            .state
            .plan_append(&[sent], &self.config, NOW)
            .expect("in sequence");
        let AppendDecision::Append(plan) = decision else {
            panic!("not a duplicate: {decision:?}")
        };
        match plan.place {
            Place::Open => {
                let record = live.state.open_record(self.ids.next());
                record_to(&mut self.builder, live, &record);
                let record = live
                    .state
                    .epoch_record(LeaderEpoch::new(self.incarnation.get() as i32));
                record_to(&mut self.builder, live, &record.expect("the log is open now"));
            }
            Place::Roll(_) => {
                let record = live.state.roll_record(self.ids.next());
                record_to(&mut self.builder, live, &record);
                live.padded = false;
            }
            Place::Active => {}
        }
        let base = plan.base_offset;
        let batch = StoredBatch {
            summary: plan.store(&sent, base),
            crc: crc32c(&bytes),
        };
        assert_eq!(batch, stored(sent, base.get(), &bytes));
        self.truth.entry(key).or_default().push(Batch {
            stored: batch,
            bytes: bytes.clone(),
        });
        self.record_bytes(key, &bytes, batch, direct);
        self.accepted
            .push((self.chain.sequence, key, batch.summary.last_offset.next()));
        Ok(())
    }

    fn record_bytes(&mut self, partition: PartitionKey, bytes: &[u8], batch: StoredBatch, direct: bool) {
        let live = self.live.get_mut(&partition).expect("just opened");
        let active = live.state.active().expect("just opened");
        let (segment, start) = (active.id, active.byte_end);
        let memory = live.memory.entry(segment).or_default();
        memory.extend_from_slice(bytes);
        let end = start + bytes.len() as u64;
        let (head, whole_end) = (start.block_ceil().min(end), end.block_floor());
        let from = if core::mem::take(&mut live.padded) {
            start.block_floor()
        } else {
            start
        };
        let slice =
            |from: FilePosition, to: FilePosition| memory[from.get() as usize..to.get() as usize].to_vec();
        let mut pieces = Vec::new();
        if direct && head < whole_end {
            pieces.extend((from < head).then(|| (from, slice(from, head), false)));
            pieces.push((head, slice(head, whole_end), true));
            pieces.extend((whole_end < end).then(|| (whole_end, slice(whole_end, end), false)));
        } else {
            pieces.push((from, slice(from, end), false));
        }
        let last = pieces.len() - 1;
        for (index, (position, bytes, direct)) in pieces.into_iter().enumerate() {
            let batches: &[StoredBatch] = if index == last { &[batch] } else { &[] };
            let record = if direct {
                let (length, crc) = (bytes.len() as u64, crc32c_append(salt(segment), &bytes));
                Record::Extent {
                    partition,
                    segment,
                    position,
                    length,
                    crc,
                    batches,
                }
            } else {
                Record::Tail {
                    partition,
                    segment,
                    position,
                    bytes: &bytes,
                    batches,
                }
            };
            record_to(&mut self.builder, live, &record);
            live.rounds
                .push((self.chain.sequence, segment, position + bytes.len() as u64));
            if direct {
                let round = self.chain.sequence;
                self.directs.push(Direct {
                    key: partition,
                    segment,
                    position,
                    bytes,
                    round,
                });
            }
        }
    }

    /// Closes the round and writes it. Its direct writes may complete now or later.
    pub(super) fn commit(&mut self) -> Result<(), PowerCut> {
        let padded = self.builder.padded_len();
        let at = self.chain.place(padded, RING);
        assert!(self.fits(at, padded), "room is made in time");
        self.write_round(at)?;
        if self.chance.one_in(2) {
            self.complete_directs()?;
        }
        self.acknowledge();
        self.make_room()
    }

    pub(super) fn complete_directs(&mut self) -> Result<(), PowerCut> {
        while !self.directs.is_empty() {
            let direct = &self.directs[0];
            let (segment, position, bytes) = (direct.segment, direct.position, direct.bytes.clone());
            self.write_segment(segment, position, &bytes)?;
            self.directs.remove(0);
        }
        self.acknowledge();
        Ok(())
    }

    /// Writes a partition's full blocks to its segments, and the partial one too where `pad`.
    pub(super) fn write_behind(&mut self, partition: i32, pad: bool) -> Result<(), PowerCut> {
        let busy = self.directs.iter().any(|direct| direct.key == key(partition));
        let Some(live) = self
            .live
            .get(&key(partition))
            .filter(|_| !busy && self.builder.is_empty())
        else {
            return Ok(());
        };
        let manifest: Vec<Segment> = live.state.segments().to_vec();
        for segment in manifest
            .into_iter()
            .filter(|segment| segment.written < segment.byte_end)
        {
            let pad = pad || segment.sealed;
            let from = segment.written.block_floor();
            let to = if pad {
                segment.byte_end
            } else {
                segment.byte_end.block_floor()
            };
            if from >= to {
                continue;
            }
            let live = &self.live[&key(partition)];
            let mut bytes = live.memory[&segment.id][from.get() as usize..to.get() as usize].to_vec();
            bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
            self.write_segment(segment.id, from, &bytes)?;
            let live = self.live.get_mut(&key(partition)).expect("just looked at");
            live.state.written_to(segment.id, to);
            live.padded |= !segment.sealed && !to.is_aligned();
        }
        Ok(())
    }

    /// Collects and writes a checkpoint; the ring's tail moves.
    pub(super) fn checkpoint(&mut self) -> Result<(), PowerCut> {
        if !self.builder.is_empty() {
            self.commit()?;
        }
        self.complete_directs()?;
        let as_of = self.chain.sequence.previous();
        let mut builder = CheckpointBuilder::new(4096);
        let mut tail = self.chain.sequence;
        for live in self.live.values_mut() {
            let floor = live.floor(self.chain.sequence);
            tail = tail.min(floor);
            builder.add(&live.state, as_of, floor, None);
        }
        self.tail = *self
            .points
            .iter()
            .find(|point| point.sequence == tail)
            .expect("points of the ring are kept");
        self.points.retain(|point| point.sequence >= tail);
        self.generation += 1;
        let bytes = builder.finish(&self.head(), &[]).expect("small");
        self.write_slot(Checkpoint::slot(self.generation), bytes)
    }

    pub(super) fn drop_old_segments(&mut self, partition: i32) -> Result<(), PowerCut> {
        if self.builder.room() < 4096 {
            self.commit()?;
        }
        self.commit()?;
        self.complete_directs()?;
        let Some(live) = self.live.get_mut(&key(partition)) else {
            return Ok(());
        };
        let config = LogConfig {
            retention_bytes: Some(96 << 10),
            ..self.config.clone()
        };
        let acked = self.acked.get(&key(partition)).copied().unwrap_or(Offset::ZERO);
        let choice = live.state.retention(&config, acked, NOW);
        if let Some(record) = choice.record(&live.state) {
            record_to(&mut self.builder, live, &record);
            self.commit()?;
            let live = self.live.get_mut(&key(partition)).expect("still there");
            for released in live.state.take_released() {
                self.disk.segments.remove(&released);
                live.memory.remove(&released);
            }
        }
        Ok(())
    }

    /// Recovers from what is on disk, checks it against the truth, and goes on.
    pub(super) fn recover(&mut self) -> Result<(), PowerCut> {
        let recovered = replay(&self.disk);
        assert_eq!(
            alloc::format!("{recovered:?}"),
            alloc::format!("{:?}", replay(&self.disk)),
            "not idempotent"
        );
        let [journal] = recovered.journals[..] else {
            panic!("one journal")
        };
        self.chain = journal.resume.expect("a power cut is no damage");
        self.tail = journal.head.tail;
        self.points = chain_points(&self.disk, &journal);
        self.settled = journal.settled;
        self.incarnation = recovered.incarnation.next();
        self.raised_at = self.chain.sequence;
        self.ids = SegmentIds::new(self.incarnation, 0);
        self.generation = journal.head.generation;
        self.builder = RoundBuilder::new(vec![0; 20 * BLOCK as usize]);
        self.directs.clear();
        self.accepted.clear();
        let mut cuts: Vec<(PartitionKey, Cut)> = Vec::new();
        let mut live = BTreeMap::new();
        for partition in recovered.partitions {
            let key = partition.state.key();
            assert_eq!(partition.damage, None, "a power cut fences nothing");
            cuts.extend(partition.cut.map(|cut| (key, cut)));
            live.insert(key, self.revive(partition));
        }
        for (key, truth) in &mut self.truth {
            if !live.contains_key(key) {
                assert!(
                    !self.acked.contains_key(key),
                    "{key} was acknowledged and is gone"
                );
                truth.clear();
            }
        }
        self.live = live;
        self.cuts += cuts.len() as u64;
        self.raise_incarnation()?;
        for (key, cut) in cuts {
            let record = cut.record(key, self.ids.next());
            record_to(
                &mut self.builder,
                self.live.get_mut(&key).expect("just revived"),
                &record,
            );
        }
        for live in self.live.values_mut() {
            let record = live
                .state
                .epoch_record(LeaderEpoch::new(self.incarnation.get() as i32));
            record_to(&mut self.builder, live, &record.expect("a new epoch"));
        }
        self.commit()
    }

    fn revive(&mut self, partition: RecoveredPartition) -> Live {
        let key = partition.state.key();
        let end = partition
            .cut
            .map_or(partition.state.offsets().end().get(), |cut| cut.end_offset);
        let acked = self.acked.get(&key).copied().unwrap_or(Offset::ZERO);
        assert!(end >= acked, "{key}: acknowledged to {acked}, recovered to {end}");
        let truth = self.truth.get_mut(&key).expect("nothing is invented");
        let before = truth.len();
        truth.retain(|batch| batch.stored.summary.base_offset < end);
        assert_eq!(
            truth
                .last()
                .map_or(Offset::ZERO, |last| last.stored.summary.last_offset.next()),
            end,
            "{key}"
        );
        self.taken_back += (before - truth.len()) as u64;
        let mut live = Live::new(partition.state);
        for segment in live.state.segments() {
            let byte_end = match partition.cut {
                Some(cut) if cut.segment == segment.id => cut.byte_end,
                Some(cut) if cut.end_offset <= segment.base_offset => continue,
                _ => segment.byte_end,
            };
            let mut memory = self.disk.segments.get(&segment.id).cloned().unwrap_or_default();
            memory.resize(memory.len().max(byte_end.get() as usize), 0);
            for run in partition.dirty.iter().filter(|run| run.segment == segment.id) {
                memory[run.position.get() as usize..run.end().get() as usize].copy_from_slice(&run.bytes);
                live.rounds.push((run.round, segment.id, run.end()));
            }
            memory.truncate(byte_end.get() as usize);
            let batches = truth
                .iter()
                .filter(|batch| segment.base_offset <= batch.stored.summary.base_offset);
            let expected: Vec<u8> = batches
                .flat_map(|batch| batch.bytes.iter().copied())
                .take(memory.len())
                .collect();
            assert!(
                memory == expected,
                "{key}: bytes of segment {:x} differ",
                segment.id.get()
            );
            check_index(segment, &memory);
            live.memory.insert(segment.id, memory);
            live.padded =
                !segment.sealed && segment.written == segment.byte_end && !segment.written.is_aligned();
        }
        let stamps = truth.iter().rev().find_map(|batch| batch.stored.summary.producer);
        live.producer_sequence = stamps.map_or(0, |stamp| stamp.last_sequence.advance(1).get());
        live
    }

    /// The first thing that is made durable after a recovery.
    fn raise_incarnation(&mut self) -> Result<(), PowerCut> {
        let newest = newest_slot(&self.disk);
        let mut builder = CheckpointBuilder::new(4096);
        for entry in &newest.entries {
            builder.add(&entry.state, entry.as_of, entry.floor, entry.damage);
        }
        self.generation += 1;
        let bytes = builder.finish(&self.head(), &newest.unlinks).expect("small");
        self.write_slot(Checkpoint::slot(self.generation), bytes)
    }

    fn head(&self) -> CheckpointHead {
        CheckpointHead {
            generation: self.generation,
            journal: JOURNAL,
            ring_bytes: RING,
            incarnation: self.incarnation,
            raised_at: self.raised_at,
            tail: self.tail,
            clean: false,
            retired: false,
            written_at: NOW,
        }
    }

    fn fits(&self, at: u64, padded: u64) -> bool {
        let (tail, head) = (self.tail.position % RING, self.chain.position % RING);
        match () {
            _ if self.tail.sequence == self.chain.sequence => true,
            _ if tail < head => at >= head || at + padded <= tail,
            _ => at >= head && at + padded <= tail,
        }
    }

    /// Once a third of the ring is used, everything goes to the segments and a checkpoint frees the ring.
    fn make_room(&mut self) -> Result<(), PowerCut> {
        let used = (self.chain.position + RING - self.tail.position % RING) % RING;
        if used > RING / 3 {
            self.complete_directs()?;
            for partition in 0..4 {
                self.write_behind(partition, true)?;
            }
            self.checkpoint()?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        let written = self.chain.sequence.previous();
        self.settled = self
            .directs
            .first()
            .map_or(written, |direct| direct.round.previous());
        for (round, key, end) in core::mem::take(&mut self.accepted) {
            let waits = self
                .directs
                .iter()
                .any(|direct| direct.key == key && direct.round <= round);
            if round > written || waits {
                self.accepted.push((round, key, end));
            } else {
                self.acked.insert(key, end);
                self.live
                    .get_mut(&key)
                    .expect("acknowledged")
                    .state
                    .flushed_to(end);
            }
        }
    }

    fn write_round(&mut self, at: u64) -> Result<(), PowerCut> {
        let builder = core::mem::replace(
            &mut self.builder,
            RoundBuilder::new(vec![0xaa; 20 * BLOCK as usize]),
        );
        let settled = self.settled;
        let sealed = builder.finish(JOURNAL, self.incarnation, self.chain, settled, NOW);
        let len = sealed.header.padded_len() as usize;
        let (torn, chance) = (self.power_goes(), &mut self.chance);
        let ring = &mut self.disk.ring[at as usize..at as usize + len];
        write_blocks(ring, &sealed.buffer[..len], torn.then_some(chance));
        if torn {
            self.lose_directs();
            return Err(PowerCut);
        }
        self.chain = ChainPoint::after(&sealed.header, at);
        self.points.push(self.chain);
        Ok(())
    }

    /// Power goes while direct writes are under way: any of their blocks may have reached the disk.
    fn lose_directs(&mut self) {
        for direct in core::mem::take(&mut self.directs) {
            if self.chance.one_in(3) {
                self.put(direct.segment, direct.position, &direct.bytes, false);
            } else if self.chance.one_in(2) {
                self.put(direct.segment, direct.position, &direct.bytes, true);
            }
        }
    }

    fn write_segment(
        &mut self,
        segment: SegmentId,
        position: FilePosition,
        bytes: &[u8],
    ) -> Result<(), PowerCut> {
        let torn = self.power_goes();
        self.put(segment, position, bytes, torn);
        if torn {
            self.lose_directs();
            return Err(PowerCut);
        }
        Ok(())
    }

    fn put(&mut self, segment: SegmentId, position: FilePosition, bytes: &[u8], torn: bool) {
        assert!(
            position.is_aligned() && bytes.len().is_multiple_of(BLOCK as usize),
            "whole blocks only"
        );
        let file = self.disk.segments.entry(segment).or_default();
        let (from, to) = (position.get() as usize, position.get() as usize + bytes.len());
        file.resize(file.len().max(to), 0);
        write_blocks(&mut file[from..to], bytes, torn.then_some(&mut self.chance));
    }

    fn write_slot(&mut self, slot: usize, bytes: Vec<u8>) -> Result<(), PowerCut> {
        let torn = self.power_goes();
        let old = &mut self.disk.slots[slot];
        old.resize(bytes.len(), 0);
        write_blocks(old, &bytes, torn.then_some(&mut self.chance));
        if torn { Err(PowerCut) } else { Ok(()) }
    }

    fn power_goes(&mut self) -> bool {
        match &mut self.writes_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl Live {
    fn new(state: PartitionState) -> Self {
        Self {
            state,
            memory: BTreeMap::new(),
            rounds: Vec::new(),
            padded: false,
            producer_sequence: 0,
        }
    }

    /// The oldest round with bytes of blocks that the segments may lack.
    fn floor(&mut self, next: RoundSequence) -> RoundSequence {
        let state = &self.state;
        self.rounds.retain(|(_, segment, end)| {
            state
                .segment(*segment)
                .is_some_and(|segment| segment.written < *end)
        });
        let image = self
            .state
            .segments()
            .iter()
            .filter(|segment| segment.written < segment.byte_end);
        let from: BTreeMap<SegmentId, FilePosition> = image
            .map(|segment| (segment.id, segment.written.block_floor()))
            .collect();
        let needed = self
            .rounds
            .iter()
            .filter(|(_, segment, end)| from.get(segment).is_some_and(|from| end > from));
        needed.map(|(round, _, _)| *round).min().unwrap_or(next)
    }
}

fn record_to(builder: &mut RoundBuilder<Vec<u8>>, live: &mut Live, record: &Record<'_>) {
    builder.push(record).expect("room was made");
    live.state
        .apply(record, NOW)
        .expect("a record made from the state fits it");
}

/// Writes all blocks, or by chance some of them.
fn write_blocks(to: &mut [u8], from: &[u8], mut torn: Option<&mut Chance>) {
    for (to, from) in to.chunks_mut(BLOCK as usize).zip(from.chunks(BLOCK as usize)) {
        if torn.as_mut().is_none_or(|chance| chance.one_in(2)) {
            to.copy_from_slice(from);
        }
    }
}

fn check_index(segment: &Segment, bytes: &[u8]) {
    let index = segment.index.as_ref().expect("the test unloads none");
    for run in index.runs_within(FilePosition::ZERO, FilePosition::new(bytes.len() as u64)) {
        let covered = &bytes[run.position.get() as usize..run.end.get() as usize];
        assert_eq!(
            crc32c_append(salt(segment.id), covered),
            run.crc,
            "the index vouches for other bytes"
        );
    }
}

pub(super) fn newest_slot(disk: &Disk) -> Checkpoint {
    let [a, b] = &disk.slots;
    Checkpoint::newest(Checkpoint::decode(a), Checkpoint::decode(b)).expect("one slot is whole")
}

pub(super) fn headers(disk: &Disk) -> Vec<(u64, RoundHeader)> {
    let blocks = disk.ring.chunks(BLOCK as usize).enumerate();
    let found =
        blocks.filter_map(|(index, block)| Some((index as u64 * BLOCK, newest_settled(JOURNAL, block)?)));
    found.collect()
}

/// Everything that a boot does without writing.
pub(super) fn replay(disk: &Disk) -> Recovered {
    let mut replay = Replay::new();
    replay.add_checkpoint(newest_slot(disk));
    let mut reader = replay.reader(JOURNAL.id).expect("known");
    let end = loop {
        match reader.step(0, &disk.ring) {
            Step::Need { at, len } => panic!("all of the ring was given, {len} at {at} asked for"),
            Step::Round { round, .. } => replay.apply_round(JOURNAL.id, &round).expect("own records"),
            Step::End(point) => break point,
        }
    };
    if let ChainEnd::Damaged { later } = replay
        .chain_ended(JOURNAL.id, end, &headers(disk))
        .expect("known")
    {
        for position in later {
            if let Ok(round) = Round::decode(&disk.ring[position as usize..]) {
                replay.later_round(JOURNAL.id, &round).expect("own records");
            }
        }
    }
    for check in replay.extents_to_verify() {
        let (from, to) = (
            check.position.get() as usize,
            (check.position + check.length).get() as usize,
        );
        let bytes = disk
            .segments
            .get(&check.segment)
            .and_then(|file| file.get(from..to));
        let crc = bytes.map(|bytes| crc32c_append(salt(check.segment), bytes));
        replay.verified(&check, crc);
    }
    replay.finish()
}

fn chain_points(disk: &Disk, journal: &RecoveredJournal) -> Vec<ChainPoint> {
    let head = &journal.head;
    let mut reader = RoundReader::new(JOURNAL, RING, head.tail, head.raised_at, head.incarnation);
    let mut points = vec![head.tail];
    while let Step::Round { round, at } = reader.step(0, &disk.ring) {
        points.push(ChainPoint::after(&round.header, at));
    }
    points
}
