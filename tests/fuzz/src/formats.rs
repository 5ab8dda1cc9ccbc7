//! What lies on disk, made of any bytes.
//!
//! The first byte of an input picks the structure. Its checksums are put right first, so that a mutation meets the
//! fields behind them; what no checksum guards any more must still be refused or held within bounds.

use millstream_log::{
    Checkpoint, CheckpointBuilder, Identity, JournalId, Replay, Round, RoundHeader, SegmentHeader, Sidecar,
    Step, crc32c, crc32c_append, newest_settled,
};

use crate::memory;

/// Examples of every structure, as inputs. The padding is left out: mutations of it would be wasted.
pub fn format_seeds() -> Vec<Vec<u8>> {
    let seed = |(kind, bytes): (usize, &&[u8])| {
        let used = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        [&[kind as u8], &bytes[..used]].concat()
    };
    EXAMPLES.iter().enumerate().map(seed).collect()
}

/// Decodes a structure; what decodes is used as a start would use it.
pub fn formats(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    match usize::from(*kind) % EXAMPLES.len() {
        ROUND => {
            seal_round(&mut bytes);
            round(&bytes);
        }
        CHECKPOINT => {
            seal_checkpoint(&mut bytes);
            checkpoint(&bytes);
        }
        SIDECAR => {
            seal_sidecar(&mut bytes);
            if let Some(sidecar) = bounded(bytes.len(), || Sidecar::decode(&bytes).ok()) {
                assert_eq!(Sidecar::decode(&sidecar.encode()), Ok(sidecar));
            }
        }
        HEADER => {
            put(&mut bytes, 8, |bytes| crc32c(&bytes[12..bytes.len().min(4096)]));
            if let Ok(header) = SegmentHeader::decode(&bytes) {
                assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
            }
        }
        _ => {
            put(&mut bytes, 8, |bytes| crc32c(&bytes[12..bytes.len().min(4096)]));
            if let Ok(identity) = Identity::decode(&bytes) {
                assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
            }
        }
    }
}

/// A journal that consists of one round, replayed from its start.
fn round(bytes: &[u8]) {
    bounded(bytes.len(), || {
        let Ok(round) = Round::decode(bytes) else { return };
        let mut records = round.records();
        while let Some(Ok(_)) = records.next() {}
    });
    let Ok(header) = RoundHeader::decode(bytes) else {
        return;
    };
    let mut checkpoint = Checkpoint::decode(EXAMPLES[CHECKPOINT]).expect("an example is sound");
    let head = &mut checkpoint.head;
    head.journal = header.journal;
    head.ring_bytes = (bytes.len() as u64).next_multiple_of(4096);
    (head.tail.sequence, head.tail.position, head.tail.previous_crc) =
        (header.sequence, 0, header.previous_crc);
    (head.raised_at, head.incarnation) = (header.sequence, header.incarnation);
    for entry in &mut checkpoint.entries {
        (entry.as_of, entry.floor) = (header.sequence.previous(), header.sequence);
    }
    replay(checkpoint, bytes);
}

fn checkpoint(bytes: &[u8]) {
    let Some(checkpoint) = bounded(bytes.len(), || Checkpoint::decode(bytes).ok()) else {
        return;
    };
    let mut builder = CheckpointBuilder::new(0);
    for entry in &checkpoint.entries {
        builder.add(&entry.state, entry.as_of, entry.floor, entry.damage);
    }
    let again = builder
        .finish(&checkpoint.head, &checkpoint.unlinks)
        .expect("it was small enough before");
    assert_eq!(Checkpoint::decode(&again).as_ref(), Ok(&checkpoint));
    replay(checkpoint, EXAMPLES[ROUND]);
}

/// All that a start decides, over a ring that begins with `ring`. Nothing is asserted but that it ends.
fn replay(checkpoint: Checkpoint, ring: &[u8]) {
    let (id, journal): (JournalId, _) = (checkpoint.head.journal.id, checkpoint.head.journal);
    let mut replay = Replay::new();
    replay.add_checkpoint(checkpoint);
    let Some(mut reader) = replay.reader(id) else {
        return;
    };
    let end = loop {
        match reader.step(0, ring) {
            Step::Round { round, .. } => {
                if replay.apply_round(id, &round).is_err() {
                    return;
                }
            }
            Step::End(point) => break point,
            Step::Need { .. } => return,
        }
    };
    let header = newest_settled(journal, ring).map(|header| (0, header));
    replay
        .chain_ended(id, end, header.as_slice())
        .expect("the journal is known");
    for check in replay.extents_to_verify() {
        replay.verified(&check, None);
    }
    let recovered = replay.finish();
    for partition in recovered.partitions {
        let end = partition.state.offsets().end().get();
        assert!(
            partition.cut.is_none_or(|cut| cut.end_offset <= end),
            "a cut cannot make a log longer"
        );
    }
}

/// Runs `decode` and expects it to take no more memory than a small multiple of the bytes.
fn bounded<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    let (result, used) = memory::measure(decode);
    assert!(used <= 32 * len + 4096, "{used} bytes taken for {len}");
    result
}

fn seal_round(bytes: &mut [u8]) {
    put(bytes, 8, |bytes| crc32c(bytes.get(12..76).unwrap_or_default()));
    let Some(&[a, b, c, d]) = bytes.get(64..68) else {
        return;
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length < 80 || length > bytes.len() {
        return;
    }
    let previous = u32::from_le_bytes([bytes[72], bytes[73], bytes[74], bytes[75]]);
    put(bytes, 76, |bytes| {
        crc32c_append(crc32c_append(previous, &bytes[..76]), &bytes[80..length])
    });
}

fn seal_checkpoint(bytes: &mut [u8]) {
    let Some(&[a, b, c, d]) = bytes.get(16..20) else {
        return;
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    put(bytes, 24, |bytes| {
        crc32c(bytes.get(128..length).unwrap_or_default())
    });
    put(bytes, 8, |bytes| crc32c(bytes.get(12..128).unwrap_or_default()));
}

fn seal_sidecar(bytes: &mut [u8]) {
    let Some(&[a, b, c, d]) = bytes.get(16..20) else {
        return;
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    put(bytes, 8, |bytes| {
        crc32c(bytes.get(12..length).unwrap_or_default())
    });
}

/// Writes a checksum at `at`, if there is room and anything behind it.
fn put(bytes: &mut [u8], at: usize, crc: impl FnOnce(&[u8]) -> u32) {
    if bytes.len() > at + 4 {
        let crc = crc(bytes).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&crc);
    }
}

const ROUND: usize = 0;
const CHECKPOINT: usize = 1;
const SIDECAR: usize = 2;
const HEADER: usize = 3;
const EXAMPLES: [&[u8]; 5] = [
    include_bytes!("../../../storage/log/fixtures/v1/round"),
    include_bytes!("../../../storage/log/fixtures/v1/checkpoint"),
    include_bytes!("../../../storage/log/fixtures/v1/sidecar"),
    include_bytes!("../../../storage/log/fixtures/v1/segment-header"),
    include_bytes!("../../../storage/log/fixtures/v1/identity"),
];
