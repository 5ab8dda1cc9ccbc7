//! Partitions that were taken out of service while they lived, as a checkpoint has them.

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
