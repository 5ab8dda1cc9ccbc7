//! Crash sequences, each named after what breaks without its rule, and random ones.

mod fenced;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use millstream_protocol::types::Offset;

use super::world::{PowerCut, World};
use crate::layout::BLOCK;
use crate::testing::{NOW, key, stored, summary};
use crate::*;

#[test]
fn power_cuts_at_random_writes_lose_nothing_acknowledged_and_fence_nothing() {
    // A release build has the time for more.
    cut_power_at_random(0..if cfg!(debug_assertions) { 60 } else { 1_000 });
}

/// Random work with power going at a random write, several times over.
fn cut_power_at_random(seeds: Range<u64>) {
    let (mut cuts, mut taken_back) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..4 {
            let until = world.chance.below(40);
            world.writes_left = Some(until);
            while let Ok(()) = step(&mut world) {}
            world.writes_left = world.chance.one_in(3).then_some(1);
            while let Err(PowerCut) = world.recover() {
                world.writes_left = None;
            }
        }
        cuts += world.cuts;
        taken_back += world.taken_back;
    }
    assert!(
        cuts > count / 2,
        "only {cuts} cuts: the test does not reach what it is for"
    );
    assert!(
        taken_back > count,
        "only {taken_back} appends were lost to a power cut"
    );
}

fn step(world: &mut World) -> Result<(), PowerCut> {
    let partition = world.chance.below(4) as i32;
    match world.chance.below(16) {
        0 => world.checkpoint(),
        1 => world.drop_old_segments(partition),
        2..=4 => {
            let pad = world.chance.one_in(2);
            world.write_behind(partition, pad)
        }
        5 => world.complete_directs(),
        6..=9 => world.commit(),
        10..=12 => {
            let size = 1 + world.chance.below(30_000) as usize;
            world.append(partition, size, true)
        }
        _ => {
            let size = 61 + world.chance.below(3000) as usize;
            world.append(partition, size, false)
        }
    }
}

/// A journal written by hand: two-block ring positions do not matter here, the order of rounds does.
struct Script {
    ring: Vec<u8>,
    chain: ChainPoint,
    incarnation: Incarnation,
    journal: JournalIdentity,
    states: BTreeMap<PartitionKey, PartitionState>,
    /// Where each round lies, by its number from 0.
    rounds: Vec<(u64, RoundHeader)>,
}

impl Script {
    fn new(journal: u64) -> Self {
        let journal = JournalIdentity {
            id: JournalId::new(journal),
            nonce: 0xa11ce + journal,
        };
        Self {
            ring: vec![0; 32 * BLOCK as usize],
            chain: ChainPoint::first(journal),
            incarnation: Incarnation::new(1),
            journal,
            states: BTreeMap::new(),
            rounds: Vec::new(),
        }
    }

    /// Writes a round of these records; the states follow.
    fn round(&mut self, settled: u64, records: &[Record<'_>]) {
        let mut builder = RoundBuilder::new(vec![0; 8 * BLOCK as usize]);
        for record in records {
            builder.push(record).unwrap();
            if let Some(key) = record.partition() {
                let state = self.states.entry(key).or_insert_with(|| PartitionState::new(key));
                state.apply(record, NOW).unwrap();
            }
        }
        let sealed = builder.finish(
            self.journal,
            self.incarnation,
            self.chain,
            RoundSequence::new(settled),
            NOW,
        );
        let (at, len) = (self.chain.position as usize, sealed.header.padded_len() as usize);
        self.ring[at..at + len].copy_from_slice(&sealed.buffer[..len]);
        self.rounds.push((at as u64, sealed.header));
        self.chain = ChainPoint::after(&sealed.header, at as u64);
    }

    fn damage_round(&mut self, round: usize) {
        self.ring[self.rounds[round].0 as usize + RoundHeader::LEN] ^= 1;
    }

    fn head(&self) -> CheckpointHead {
        CheckpointHead {
            generation: 1,
            journal: self.journal,
            ring_bytes: self.ring.len() as u64,
            incarnation: Incarnation::new(1),
            raised_at: RoundSequence::new(1),
            tail: ChainPoint::first(self.journal),
            clean: false,
            retired: false,
            written_at: NOW,
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            head: self.head(),
            entries: Vec::new(),
            unlinks: Vec::new(),
        }
    }

    /// Replays this journal into `replay`, whose checkpoints are there.
    fn replay_into(&self, replay: &mut Replay) {
        let id = self.journal.id;
        let mut reader = replay.reader(id).unwrap();
        let end = loop {
            match reader.step(0, &self.ring) {
                Step::Round { round, .. } => replay.apply_round(id, &round).unwrap(),
                Step::End(point) => break point,
                Step::Need { .. } => unreachable!("the whole ring is given"),
            }
        };
        let blocks = self.ring.chunks(BLOCK as usize).enumerate();
        let headers: Vec<_> = blocks
            .filter_map(|(index, block)| Some((index as u64 * BLOCK, newest_settled(self.journal, block)?)))
            .collect();
        if let ChainEnd::Damaged { later } = replay.chain_ended(id, end, &headers).unwrap() {
            for position in later {
                if let Ok(round) = Round::decode(&self.ring[position as usize..]) {
                    replay.later_round(id, &round).unwrap();
                }
            }
        }
    }

    fn replay(&self) -> Replay {
        let mut replay = Replay::new();
        replay.add_checkpoint(self.checkpoint());
        self.replay_into(&mut replay);
        replay
    }

    fn recover(&self) -> Recovered {
        self.replay().finish()
    }
}

fn segment(number: u64) -> SegmentId {
    SegmentId::new(number)
}

fn opened(partition: i32, number: u64) -> Record<'static> {
    Record::Opened {
        partition: key(partition),
        segment: segment(number),
        base_offset: Offset::ZERO,
    }
}

/// One record in a batch of 100 bytes at `offset`, which is also its number of hundreds in the segment.
fn batch(offset: i64) -> StoredBatch {
    stored(summary(1, 100, 5), offset, &[offset as u8; 100])
}

fn tail<'a>(partition: i32, number: u64, bytes: &'a [u8], batches: &'a [StoredBatch]) -> Record<'a> {
    let position = FilePosition::new(100 * batches[0].summary.base_offset.get() as u64);
    Record::Tail {
        partition: key(partition),
        segment: segment(number),
        position,
        bytes,
        batches,
    }
}

/// A direct write of one batch that fills `blocks` blocks of zeros from `position` on.
fn extent(number: u64, position: u64, blocks: u64, batches: &[StoredBatch]) -> Record<'_> {
    let bytes = vec![0; (blocks * BLOCK) as usize];
    Record::Extent {
        partition: key(0),
        segment: segment(number),
        position: FilePosition::new(position),
        length: blocks * BLOCK,
        crc: crc32c_append(salt(segment(number)), &bytes),
        batches,
    }
}

fn blocks(offset: i64, blocks: u64) -> StoredBatch {
    stored(summary(1, 0, 5), offset, &vec![0; (blocks * BLOCK) as usize])
}

fn end_of(recovered: &Recovered, partition: i32) -> i64 {
    of(recovered, partition).state.offsets().end().get().get()
}

fn of(recovered: &Recovered, partition: i32) -> &RecoveredPartition {
    recovered
        .partitions
        .iter()
        .find(|found| found.state.key() == key(partition))
        .expect("the partition is there")
}

const A: [u8; 100] = [1; 100];

/// Two rounds in flight: N torn, N+1 intact. N is written again, as long as before; the stale N+1 must not
/// follow it.
#[test]
fn torn_round_then_intact_stale_next_round() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let before = (script.chain, script.states.clone());
    script.round(0, &[tail(0, 1, &A, &[batch(1)])]);
    script.round(0, &[tail(0, 1, &A, &[batch(2)])]);
    script.damage_round(1);
    assert_eq!(
        end_of(&script.recover(), 0),
        1,
        "the torn round and what follows it are no part of the log"
    );

    // Written again in the same incarnation, so that the CRC alone tells.
    (script.chain, script.states) = before;
    script.round(0, &[tail(0, 1, &[9; 100], &[batch(1)])]);
    assert_eq!(
        end_of(&script.recover(), 0),
        2,
        "the stale round after it is refused"
    );
}

/// A round that the last recovery found torn, and that reads well today: the checkpoint's incarnation refuses
/// it.
#[test]
fn round_of_an_older_incarnation_where_a_newer_one_was_promised() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    script.round(0, &[tail(0, 1, &A, &[batch(1)])]);
    let mut checkpoint = script.checkpoint();
    checkpoint.head.incarnation = Incarnation::new(2);
    checkpoint.head.raised_at = RoundSequence::new(2);
    let mut replay = Replay::new();
    replay.add_checkpoint(checkpoint);
    script.replay_into(&mut replay);
    let recovered = replay.finish();
    assert_eq!(end_of(&recovered, 0), 1);
    assert_eq!(recovered.incarnation, Incarnation::new(2));
}

/// X1 torn, X2 intact, crash. Y1 of equal size is acknowledged, crash. A scan would find Y1 and then the
/// stale X2.
#[test]
fn direct_write_torn_then_overwritten_by_one_of_equal_size() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), extent(1, 0, 1, &[blocks(0, 1)])]);
    script.round(0, &[extent(1, BLOCK, 1, &[blocks(1, 1)])]);
    let mut replay = script.replay();
    let checks = replay.extents_to_verify();
    assert_eq!(checks.len(), 2);
    replay.verified(&checks[0], Some(0));
    replay.verified(&checks[1], Some(checks[1].crc));
    let recovered = replay.finish();
    let cut = of(&recovered, 0).cut.expect("cut at the first bad byte");
    assert_eq!(
        cut,
        Cut {
            segment: segment(1),
            byte_end: FilePosition::ZERO,
            end_offset: Offset::ZERO
        }
    );

    script.incarnation = Incarnation::new(2);
    script.round(0, &[cut.record(key(0), segment(2))]);
    script.round(3, &[extent(2, 0, 1, &[blocks(0, 1)])]);
    script.round(4, &[Record::Settle]);
    let replay = script.replay();
    assert_eq!(
        replay.extents_to_verify(),
        [],
        "the cut extents are never looked at again"
    );
    let recovered = replay.finish();
    assert_eq!(
        of(&recovered, 0).state.offsets().end().get(),
        Offset::new(1),
        "Y1 and nothing of X2"
    );
    assert_eq!(
        of(&recovered, 0).state.active().map(|active| active.id),
        Some(segment(2))
    );
    assert_eq!(of(&recovered, 0).cut, None);
}

/// A direct write that was not settled is read back; one that was is not, however many there are.
#[test]
fn start_reads_only_direct_writes_that_nobody_settled() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), extent(1, 0, 1, &[blocks(0, 1)])]);
    script.round(1, &[extent(1, BLOCK, 1, &[blocks(1, 1)])]);
    let checks = script.replay().extents_to_verify();
    assert_eq!(
        checks
            .iter()
            .map(|check| check.position.get())
            .collect::<Vec<_>>(),
        [BLOCK]
    );
}

/// The device cannot read a direct write that may have been acknowledged: neither trusted nor cut.
#[test]
fn direct_write_that_cannot_be_read() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let roll = script.states[&key(0)].roll_record(segment(2));
    script.round(1, &[roll, extent(2, 0, 1, &[blocks(1, 1)])]);
    let mut replay = script.replay();
    let check = replay.extents_to_verify()[0];
    replay.unreadable(&check);
    let recovered = replay.finish();
    let found = of(&recovered, 0);
    let damage = Damage {
        at: Offset::new(1),
        reason: DamageReason::Segment,
    };
    assert_eq!((found.cut, found.damage), (None, Some(damage)));
    assert_eq!(end_of(&recovered, 0), 2, "what it claimed is still told");
}

/// A batch straddles the journal's head piece and the direct write, which is bad: the cut falls before the
/// batch.
#[test]
fn direct_write_torn_in_the_middle_of_a_batch() {
    let mut script = Script::new(1);
    let straddling = stored(summary(1, 0, 5), 1, &vec![0; 2 * BLOCK as usize - 100]);
    let head = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::new(100),
        bytes: &[0; BLOCK as usize - 100],
        batches: &[],
    };
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    script.round(1, &[head, extent(1, BLOCK, 1, &[straddling])]);
    let mut replay = script.replay();
    let check = replay.extents_to_verify()[0];
    replay.verified(&check, None);
    let recovered = replay.finish();
    let found = of(&recovered, 0);
    let expected = Cut {
        segment: segment(1),
        byte_end: FilePosition::new(100),
        end_offset: Offset::new(1),
    };
    assert_eq!(found.cut, Some(expected));
    assert_eq!(found.dirty.len(), 1);
    assert_eq!(found.dirty[0].bytes, A, "only what is kept is dirty");
}

/// A direct write failed live: the seal that cuts it off is logged before a later round settles it.
#[test]
fn failed_direct_write_cut_off_before_it_is_settled() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let cut = Cut {
        segment: segment(1),
        byte_end: FilePosition::new(100),
        end_offset: Offset::new(1),
    };
    let head = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::new(100),
        bytes: &[0; BLOCK as usize - 100],
        batches: &[],
    };
    let big = stored(summary(1, 0, 5), 1, &vec![0; 2 * BLOCK as usize - 100]);
    script.round(1, &[head, extent(1, BLOCK, 1, &[big])]);
    script.round(1, &[cut.record(key(0), segment(2))]);
    script.round(3, &[Record::Settle]);
    let replay = script.replay();
    assert_eq!(replay.extents_to_verify(), []);
    let recovered = replay.finish();
    assert_eq!((of(&recovered, 0).cut, of(&recovered, 0).damage), (None, None));
    assert_eq!(end_of(&recovered, 0), 1);
    assert_eq!(of(&recovered, 0).dirty[0].bytes, A);
}

/// Damage at a settled round: who goes on exactly where he stood has lost nothing, the others are fenced.
#[test]
fn settled_round_damaged_fences_only_who_may_have_lost_something() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), opened(1, 2), opened(2, 3)]);
    script.round(1, &[tail(0, 1, &A, &[batch(0)])]);
    script.round(2, &[tail(0, 1, &A, &[batch(1)]), tail(1, 2, &A, &[batch(0)])]);
    script.round(3, &[opened(3, 4)]);
    script.damage_round(1);
    let recovered = script.recover();
    let lost = Some(Damage {
        at: Offset::ZERO,
        reason: DamageReason::JournalRound,
    });
    assert_eq!(
        of(&recovered, 0).damage,
        lost,
        "its next record does not continue"
    );
    assert_eq!(of(&recovered, 1).damage, None, "its next record proves it whole");
    assert_eq!(end_of(&recovered, 1), 1);
    assert_eq!(of(&recovered, 2).damage, lost, "nothing proves it whole");
    assert_eq!(of(&recovered, 3).damage, None, "opened later");
    assert_eq!(
        recovered.journals[0].resume, None,
        "a damaged journal is not continued"
    );
}

/// Bad at the end, and a torn round after it whose header alone survived: the header still tells what was
/// settled.
#[test]
fn settled_round_damaged_and_the_next_one_torn() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1)]);
    script.round(1, &[tail(0, 1, &A, &[batch(0)])]);
    script.round(2, &[tail(0, 1, &A, &[batch(1)])]);
    script.damage_round(1);
    script.damage_round(2);
    assert!(
        of(&script.recover(), 0).damage.is_some(),
        "settled by the torn round's header"
    );

    script.damage_round(2);
    let at = script.rounds[2].0 as usize;
    script.ring[at + 20] ^= 1;
    let recovered = script.recover();
    assert_eq!(
        of(&recovered, 0).damage,
        None,
        "nothing says that the bad round was settled: an unacknowledged end"
    );
    assert_eq!(end_of(&recovered, 0), 0);
}

/// Two lost rounds: a partition proven whole after the first is in doubt again after the second.
#[test]
fn two_settled_rounds_damaged() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), opened(1, 2)]);
    script.round(1, &[Record::Settle]);
    script.round(2, &[tail(0, 1, &A, &[batch(0)]), tail(1, 2, &A, &[batch(0)])]);
    script.round(3, &[Record::Settle]);
    script.round(4, &[tail(0, 1, &A, &[batch(1)])]);
    script.damage_round(1);
    script.damage_round(3);
    let recovered = script.recover();
    assert_eq!((of(&recovered, 0).damage, end_of(&recovered, 0)), (None, 2));
    let doubted = Some(Damage {
        at: Offset::new(1),
        reason: DamageReason::JournalRound,
    });
    assert_eq!(of(&recovered, 1).damage, doubted);
}

/// The newest checkpoint is unreadable, and the ring that the older one needs was written over: nobody is served a
/// log with a hole, and nobody is told that a clean end was found.
#[test]
fn newest_checkpoint_lost_after_the_ring_moved_on() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let state = script.states[&key(0)].clone();
    let tail_point = script.chain;
    script.round(1, &[tail(0, 1, &A, &[batch(1)])]);
    script.round(2, &[tail(0, 1, &A, &[batch(2)])]);
    script.round(3, &[Record::Settle]);
    let (from, at) = (script.rounds[3].0 as usize, script.rounds[1].0 as usize);
    script.ring.copy_within(from..from + BLOCK as usize, at);
    let mut older = script.checkpoint();
    older.head.tail = tail_point;
    let (as_of, floor) = (RoundSequence::new(1), RoundSequence::new(2));
    older.entries.push(PartitionEntry {
        state,
        as_of,
        floor,
        damage: None,
    });
    let mut replay = Replay::new();
    replay.add_checkpoint(older);
    script.replay_into(&mut replay);
    let expected = Some(Damage {
        at: Offset::new(1),
        reason: DamageReason::JournalRound,
    });
    assert_eq!(of(&replay.finish(), 0).damage, expected);
}

/// The checkpoint knows all records of a lost round, but only that round held the bytes of one of them.
#[test]
fn bytes_that_only_a_lost_round_held_are_missed() {
    let mut script = Script::new(1);
    let block = vec![0; BLOCK as usize];
    let first = [blocks(0, 1)];
    let at = |position: u64, bytes, batches| Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::new(position),
        bytes,
        batches,
    };
    script.round(0, &[opened(0, 1), at(0, &block, &first)]);
    script.round(1, &[at(BLOCK, &A, &[batch(1)])]);
    script.round(2, &[Record::Settle]);
    script.damage_round(0);
    for (floor, written, lost) in [(1, 0, Some(Offset::ZERO)), (2, BLOCK, None)] {
        let mut state = script.states[&key(0)].clone();
        state.written_to(segment(1), FilePosition::new(written));
        let mut checkpoint = script.checkpoint();
        checkpoint.entries.push(PartitionEntry {
            state,
            as_of: RoundSequence::new(2),
            floor: RoundSequence::new(floor),
            damage: None,
        });
        let mut replay = Replay::new();
        replay.add_checkpoint(checkpoint);
        script.replay_into(&mut replay);
        let found = replay.finish();
        let damage = of(&found, 0).damage;
        assert_eq!(damage.map(|damage| damage.at), lost, "written up to {written}");
    }
}

/// A batch may carry bytes that look like a round, at a block's start; without the nonce they are nothing.
#[test]
fn batch_that_looks_like_a_round() {
    let mut forged = Script::new(1);
    forged.journal.nonce ^= 1;
    forged.chain = ChainPoint::first(forged.journal);
    forged.chain.sequence = RoundSequence::new(9);
    forged.round(8, &[Record::Settle]);

    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1)]);
    script.round(0, &[tail(0, 1, &A, &[batch(0)])]);
    script.damage_round(1);
    let at = 5 * BLOCK as usize;
    script.ring[at..at + BLOCK as usize].copy_from_slice(&forged.ring[..BLOCK as usize]);
    assert_eq!(
        of(&script.recover(), 0).damage,
        None,
        "a forged settled round is believed"
    );
}

/// The number of shards changed and power went before the old journal was retired: two checkpoints hold the
/// partition.
#[test]
fn partition_in_two_checkpoints_belongs_to_the_newer_incarnation() {
    let mut old = Script::new(1);
    old.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    old.round(1, &[tail(0, 1, &A, &[batch(1)])]);
    let entry = |state: &PartitionState, as_of: u64| PartitionEntry {
        state: state.clone(),
        as_of: RoundSequence::new(as_of),
        floor: RoundSequence::new(as_of + 1),
        damage: None,
    };
    let mut first = PartitionState::new(key(0));
    first.apply(&opened(0, 1), NOW).unwrap();
    let mut old_checkpoint = old.checkpoint();
    old_checkpoint.entries.push(entry(&first, 0));

    let mut new = Script::new(2);
    new.states = old.states.clone();
    new.round(0, &[tail(0, 1, &A, &[batch(2)])]);
    let mut new_checkpoint = new.checkpoint();
    new_checkpoint.head.incarnation = Incarnation::new(2);
    new_checkpoint.head.raised_at = RoundSequence::new(9);
    let mut moved = old.states[&key(0)].clone();
    moved.written_to(segment(1), FilePosition::new(200));
    new_checkpoint.entries.push(entry(&moved, 0));
    // The tail record goes on in a block that was flushed, so it must be an image to be written: here only
    // structure counts.
    for swapped in [false, true] {
        let mut replay = Replay::new();
        let mut checkpoints = [old_checkpoint.clone(), new_checkpoint.clone()];
        if swapped {
            checkpoints.reverse();
        }
        checkpoints
            .into_iter()
            .for_each(|checkpoint| replay.add_checkpoint(checkpoint));
        old.replay_into(&mut replay);
        new.replay_into(&mut replay);
        let recovered = replay.finish();
        assert_eq!(of(&recovered, 0).home, JournalId::new(2));
        assert_eq!(end_of(&recovered, 0), 3);
    }
}

/// Deleted, and then a checkpoint: old rounds still in the ring must not bring it back.
#[test]
fn deleted_partition_stays_deleted() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    script.round(1, &[tail(0, 1, &A, &[batch(1)])]);
    script.round(2, &[Record::Removed { partition: key(0) }]);
    let recovered = script.recover();
    assert!(recovered.partitions.is_empty());
    assert_eq!(recovered.unlinks, [segment(1)], "its file may go");

    // The ring's tail has passed the round that opened it.
    let mut replay = Replay::new();
    let mut checkpoint = script.checkpoint();
    checkpoint.head.tail = ChainPoint::after(&script.rounds[0].1, script.rounds[0].0);
    replay.add_checkpoint(checkpoint);
    script.replay_into(&mut replay);
    let recovered = replay.finish();
    assert!(recovered.partitions.is_empty());
    assert_eq!(recovered.orphans, 1);
}

/// A partial block was flushed and freed; the image that the next append logs holds all of the block's bytes.
#[test]
fn flushed_partial_block_is_rewritten_from_its_image() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let mut state = script.states[&key(0)].clone();
    state.written_to(segment(1), FilePosition::new(100));
    let image = [A, [2; 100]].concat();
    let record = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::ZERO,
        bytes: &image,
        batches: &[batch(1)],
    };
    script.round(1, &[record]);
    let mut checkpoint = script.checkpoint();
    checkpoint.head.tail = ChainPoint::after(&script.rounds[0].1, script.rounds[0].0);
    let (as_of, floor) = (RoundSequence::new(1), RoundSequence::new(2));
    checkpoint.entries.push(PartitionEntry {
        state,
        as_of,
        floor,
        damage: None,
    });
    let mut replay = Replay::new();
    replay.add_checkpoint(checkpoint);
    script.replay_into(&mut replay);
    let recovered = replay.finish();
    let [run] = &of(&recovered, 0).dirty[..] else {
        panic!("one run")
    };
    assert_eq!((run.position, &run.bytes), (FilePosition::ZERO, &image));
    assert_eq!(of(&recovered, 0).floor, RoundSequence::new(2));
}

/// An image that differs from the bytes it repeats says that one of the two is wrong.
#[test]
fn image_that_contradicts_recorded_bytes_fences() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), opened(1, 2), tail(0, 1, &A, &[batch(0)])]);
    let image = [[3; 100], [2; 100]].concat();
    let record = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::ZERO,
        bytes: &image,
        batches: &[batch(1)],
    };
    script.round(1, &[record]);
    let recovered = script.recover();
    assert_eq!(
        of(&recovered, 0).damage.map(|damage| damage.reason),
        Some(DamageReason::Inconsistent)
    );
    assert_eq!(of(&recovered, 1).damage, None, "the other partition goes on");
}

/// Retention dropped a segment and the file is gone; a cut of the unacknowledged end must not bring it back.
#[test]
fn segments_dropped_before_a_cut_stay_dropped() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let roll = script.states[&key(0)].roll_record(segment(2));
    script.round(1, &[roll, extent(2, 0, 1, &[blocks(1, 1)])]);
    let dropped = Record::Dropped {
        partition: key(0),
        segments: &[segment(1)],
        log_start: Offset::new(1),
    };
    script.round(1, &[dropped]);
    let mut replay = script.replay();
    let check = replay.extents_to_verify()[0];
    replay.verified(&check, None);
    let recovered = replay.finish();
    let found = of(&recovered, 0);
    assert_eq!(found.cut.map(|cut| cut.end_offset), Some(Offset::new(1)));
    assert_eq!(found.state.segments().len(), 1);
    assert_eq!(found.state.offsets().start().get(), Offset::new(1));
    assert_eq!(recovered.unlinks, [segment(1)]);
    let mut state = found.state.clone();
    state
        .apply(&found.cut.unwrap().record(key(0), segment(3)), NOW)
        .unwrap();
    assert_eq!(state.offsets().end().get(), Offset::new(1));
}
