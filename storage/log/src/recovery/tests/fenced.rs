//! Partitions that are out of service: taken out while they lived, as a checkpoint has them, or by a lost round.

use super::*;

/// A direct write failed and its partition was fenced, durably; what took it back is in the journal behind.
#[test]
fn what_a_fenced_partition_took_back_is_taken_back() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let head = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::new(100),
        bytes: &[0; BLOCK as usize - 100],
        batches: &[],
    };
    let big = stored(summary(1, 0, 5), 1, &vec![0; 2 * BLOCK as usize - 100]);
    script.round(1, &[head, extent(1, BLOCK, 1, &[big])]);
    let damage = Some(Damage {
        at: Offset::new(1),
        reason: DamageReason::Segment,
    });
    let mut checkpoint = script.checkpoint();
    let mut fenced = script.states[&key(0)].clone();
    checkpoint.entries.push(PartitionEntry {
        state: fenced.clone(),
        as_of: RoundSequence::new(2),
        floor: RoundSequence::new(1),
        damage,
    });
    let cut = Cut {
        segment: segment(1),
        byte_end: FilePosition::new(100),
        end_offset: Offset::new(1),
    };
    let take_back = cut.record(key(0), segment(2));
    script.round(1, &[take_back]);
    let replay = |checkpoint| {
        let mut replay = Replay::new();
        replay.add_checkpoint(checkpoint);
        script.replay_into(&mut replay);
        replay.finish()
    };
    let recovered = replay(checkpoint.clone());
    let found = of(&recovered, 0);
    assert_eq!((end_of(&recovered, 0), found.damage), (1, damage));
    assert_eq!(found.state.segments().len(), 2, "the log goes on elsewhere");
    assert_eq!(
        found.dirty.iter().map(|run| &run.bytes[..]).collect::<Vec<_>>(),
        [A]
    );
    // A checkpoint that has taken it back itself: the record comes again, and changes nothing.
    fenced.apply(&take_back, NOW).unwrap();
    checkpoint.entries[0].state = fenced;
    let recovered = replay(checkpoint);
    assert_eq!((end_of(&recovered, 0), of(&recovered, 0).damage), (1, damage));
    assert_eq!(of(&recovered, 0).state.segments().len(), 2);
}

/// A segment file failed, its bytes moved to the rescue file, and the journal went on and forgot them.
#[test]
fn rescued_bytes_of_a_failed_segment() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let mut rescue = Script::new(9);
    rescue.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let mut checkpoint = script.checkpoint();
    checkpoint.head.tail = script.chain;
    let damage = Some(Damage {
        at: Offset::ZERO,
        reason: DamageReason::Segment,
    });
    let state = script.states[&key(0)].clone();
    let (as_of, floor) = (RoundSequence::new(5), rescue.rounds[0].1.sequence);
    checkpoint.entries.push(PartitionEntry {
        state,
        as_of,
        floor,
        damage,
    });
    let mut replay = Replay::new();
    replay.add_checkpoint(checkpoint);
    replay
        .rescued_round(&Round::decode(&rescue.ring).unwrap())
        .unwrap();
    script.replay_into(&mut replay);
    let recovered = replay.finish();
    let found = of(&recovered, 0);
    assert_eq!(
        found.dirty.iter().map(|run| &run.bytes[..]).collect::<Vec<_>>(),
        [A]
    );
    assert_eq!((found.damage, found.floor), (damage, floor));
}

/// A fenced partition's bytes are in the rescue file: they count once the checkpoint says that the journal need not
/// hold them, and until then what the journal holds does.
#[test]
fn a_rescue_counts_once_the_checkpoint_tells_of_it() {
    let mut script = Script::new(1);
    let bytes = vec![7; 2 * BLOCK as usize];
    let batch = [stored(summary(1, 0, 5), 0, &bytes)];
    script.round(0, &[opened(0, 1), tail(0, 1, &bytes, &batch)]);
    let mut state = script.states[&key(0)].clone();
    let mut builder = RoundBuilder::new(vec![0; 8 * BLOCK as usize]);
    let rescued = Record::Tail {
        partition: key(0),
        segment: segment(1),
        position: FilePosition::new(BLOCK),
        bytes: &bytes[BLOCK as usize..],
        batches: &[],
    };
    builder.push(&rescued).unwrap();
    let (incarnation, settled) = (script.incarnation, RoundSequence::new(1));
    let rescue = builder.finish(script.journal, incarnation, script.chain, settled, NOW);
    let rescue = Round::decode(&rescue.buffer).unwrap();
    let dirty = |state: &PartitionState, floor: u64| {
        let mut checkpoint = script.checkpoint();
        checkpoint.entries.push(PartitionEntry {
            state: state.clone(),
            as_of: RoundSequence::new(1),
            floor: RoundSequence::new(floor),
            damage: None,
        });
        let mut replay = Replay::new();
        replay.add_checkpoint(checkpoint);
        replay.rescued_round(&rescue).unwrap();
        script.replay_into(&mut replay);
        let recovered = replay.finish();
        let found = of(&recovered, 0);
        assert_eq!(found.damage, None);
        let runs = found.dirty.iter();
        runs.map(|run| (run.position.get(), run.end().get()))
            .collect::<Vec<_>>()
    };
    assert_eq!(dirty(&state, 1), [(0, 2 * BLOCK)]);
    state.written_to(segment(1), FilePosition::new(BLOCK));
    assert_eq!(dirty(&state, 2), [(BLOCK, 2 * BLOCK)]);
}

/// What is lost is the round that ended a segment, and what follows goes on in the next one: the lost round is to
/// blame.
#[test]
fn a_lost_end_of_a_segment_is_damage_of_the_journal() {
    let mut script = Script::new(1);
    script.round(0, &[opened(0, 1), tail(0, 1, &A, &[batch(0)])]);
    let seal = Record::Seal {
        partition: key(0),
        segment: segment(1),
        byte_end: FilePosition::new(100),
        end_offset: Offset::new(1),
        successor: segment(2),
    };
    script.round(1, &[seal]);
    let next = Record::Tail {
        partition: key(0),
        segment: segment(2),
        position: FilePosition::ZERO,
        bytes: &A,
        batches: &[batch(1)],
    };
    script.round(2, &[next]);
    script.damage_round(1);
    let recovered = script.recover();
    let damage = Damage {
        at: Offset::new(1),
        reason: DamageReason::JournalRound,
    };
    assert_eq!(of(&recovered, 0).damage, Some(damage));
}
