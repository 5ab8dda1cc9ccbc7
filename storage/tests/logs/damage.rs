//! Journals and checkpoints with damage in them: what a start fences, what it cuts, and what goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_log::{Checkpoint, CheckpointBuilder, JournalId, PartitionKey, Record, Round, layout};
use millstream_protocol::types::{Offset, TopicId};
use millstream_ring::Ring;
use millstream_ring::simulated::{DiskImage, Meddling, OpKind, SimOptions, SimRing, SimWorld};
use millstream_storage::{AppendError, KnownTopics, TopicFate};

use crate::common::{DIR, Host, batch, batch_of, key, only_segment, open, segments, small_options};

const BLOCK: u64 = 4096;

pub fn restart(image: &DiskImage) -> (SimWorld, Host<SimRing>) {
    let world = SimWorld::restart(image, 1, SimOptions::default());
    let host = open(&world);
    (world, host)
}

/// What is acknowledged and nothing later.
pub fn append(host: &mut Host<SimRing>, partition: i32, value: &[u8]) {
    let log = match host.logs().lookup(key(partition)) {
        Some(log) => log,
        None => host.create(partition),
    };
    host.append(log, &batch(&[value])).unwrap();
    host.flush(log);
}

pub fn end(host: &mut Host<SimRing>, partition: i32) -> i64 {
    let log = host.logs().lookup(key(partition)).unwrap();
    host.logs().offsets(log).end.get()
}

pub fn slots() -> [PathBuf; 2] {
    [0, 1].map(|slot| Path::new(DIR).join(layout::checkpoint(JournalId::new(1), slot)))
}

/// The slot that counts.
pub fn newest_slot(image: &DiskImage) -> PathBuf {
    let generation = |path: &PathBuf| {
        let bytes = image.read(path).unwrap_or_default();
        Checkpoint::decode(&bytes).map_or(0, |checkpoint| checkpoint.head.generation)
    };
    slots().into_iter().max_by_key(generation).unwrap()
}

/// A cut stands in both slots: when one of them is lost, the bytes that were cut do not come back.
#[test]
fn a_cut_outlives_the_loss_of_a_checkpoint_slot() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    append(&mut host, 0, &[7; 60_000]);
    drop(host);
    // The direct write of the last round, which nothing has settled yet, is not what it should be.
    let mut image = world.image();
    let segment = only_segment(&image);
    let whole = image.read(&segment).unwrap();
    image.overwrite(&segment, 5 * BLOCK, &[8]);
    let (world, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "{:?}", host.report);
    drop(host);
    let mut image = world.image();
    let newest = newest_slot(&image);
    image.remove(&newest);
    // By now the bytes are what they were meant to be.
    image.overwrite(&segment, 5 * BLOCK, &whole[5 * BLOCK as usize..][..1]);
    let (_, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "what was cut came back: {:?}", host.report);
}

/// The checkpoint of a start that a device forgets leaves that of the orderly end before it, which says that nothing
/// follows.
#[test]
fn what_follows_an_orderly_end_is_found_without_the_checkpoint_that_says_so() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"before");
    host.shut_down();
    world.meddle_when(|op| {
        let is_slot = op.path.to_string_lossy().contains("checkpoint-");
        (op.kind == OpKind::Write && is_slot).then_some(Meddling::Lost)
    });
    let mut host = open(&world);
    for _ in 0..3 {
        append(&mut host, 0, b"after");
    }
    drop(host);
    let (_, mut host) = restart(&world.image());
    assert_eq!(end(&mut host, 0), 4, "{:?}", host.report);
    assert!(host.unclean);
}

/// A slot that the device cannot read is lost like one that is torn, and the other one and the journal tell everything.
#[test]
fn a_checkpoint_slot_that_cannot_be_read_is_as_one_that_is_torn() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    host.shut_down();
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    drop(host);
    for slot in slots() {
        let mut image = world.image();
        image.spoil(&slot, 0);
        let (_, mut host) = restart(&image);
        assert_eq!(end(&mut host, 0), 2, "{:?}", host.report);
        assert!(host.unclean);
        assert!(host.report[0].contains("checkpoint-1-"), "{:?}", host.report);
    }
}

/// Rounds of a later run than the one that wrote the other slot show that a slot was whole: no power cut left it so.
#[test]
fn a_slot_that_was_durable_is_missed_whatever_the_other_one_says() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    host.shut_down();
    // First the other slot is of an orderly end, then it is not.
    for runs in 2..4 {
        let mut host = open(&world);
        append(&mut host, 0, b"kept");
        drop(host);
        let whole = world.image();
        let newest = newest_slot(&whole);
        for slot in slots() {
            let mut image = whole.clone();
            image.overwrite(&slot, 100, &[0xFF; 8]);
            let (_, mut host) = restart(&image);
            assert_eq!(end(&mut host, 0), runs, "{:?}", host.report);
            let says = host.report.iter().any(|line| line.contains("is used instead"));
            assert_eq!(says, slot == newest, "{slot:?}, {:?}", host.report);
        }
    }
}

/// What lies in a slot behind its checkpoint is nobody's, and need not be readable: not at this start, which writes no
/// further than its own checkpoint reaches, and not at the next one.
#[test]
fn a_slot_is_read_as_far_as_its_checkpoint_reaches() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    host.shut_down();
    let host = open(&world);
    drop(host);
    let mut image = world.image();
    for slot in slots() {
        image.spoil(&slot, 2 * BLOCK);
    }
    for entries in 1..4 {
        let (world, mut host) = restart(&image);
        assert!(host.report.is_empty(), "{:?}", host.report);
        append(&mut host, 0, b"kept");
        assert_eq!(end(&mut host, 0), 1 + entries);
        drop(host);
        image = world.image();
    }
}

/// A start that makes a missing slot anew syncs its name as well: else a power cut takes the newest checkpoint away,
/// and what is left is one that the journal has gone on from.
#[test]
fn a_slot_that_was_missing_is_there_after_a_power_cut() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    drop(host);
    let mut image = world.image();
    let newest = newest_slot(&image);
    let older = slots().into_iter().find(|slot| *slot != newest).unwrap();
    image.remove(&older);
    for seed in 0..20 {
        let (world, mut host) = restart(&image);
        append(&mut host, 0, b"kept");
        drop(host);
        let (_, mut host) = restart(&world.crash(seed));
        assert_eq!(end(&mut host, 0), 2, "{:?}", host.report);
    }
}

/// A read that stops in the middle of a file is gone on with; only the file's end is its end.
#[test]
fn reads_of_a_start_that_stop_in_the_middle_cost_nothing() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    // So many that a checkpoint takes several blocks, and a direct write that nothing has settled.
    for partition in 0..60 {
        append(&mut host, partition, b"kept");
    }
    host.shut_down();
    let mut host = open(&world);
    append(&mut host, 0, &[7; 60_000]);
    drop(host);
    let world = SimWorld::restart(&world.image(), 1, SimOptions::default());
    world.meddle_when(|op| (op.kind == OpKind::Read).then_some(Meddling::Short));
    let mut host = open(&world);
    assert!(host.report.is_empty(), "{:?}", host.report);
    assert!((0..60).all(|partition| end(&mut host, partition) == if partition == 0 { 2 } else { 1 }));
}

/// What a slot holds counts only if it is this journal's: space that a file is given may come with what another one
/// left there, and that one's last word was that its journal is retired.
#[test]
fn a_checkpoint_of_another_journal_in_a_slot_does_not_count() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    drop(host);
    let mut image = world.image();
    let newest = newest_slot(&image);
    let mut head = Checkpoint::decode(&image.read(&newest).unwrap()).unwrap().head;
    head.generation += 1;
    head.retired = true;
    head.journal.id = JournalId::new(9);
    let strange = CheckpointBuilder::new(0).finish(&head, &[]).unwrap();
    let other = slots().into_iter().find(|slot| *slot != newest).unwrap();
    image.overwrite(&other, 0, &strange);
    let (_, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "{:?}", host.report);
    assert!(host.report.is_empty(), "{:?}", host.report);
}

/// What a start cuts has to be written down, also where no block is left to write it to, and after a power cut.
#[test]
fn a_start_on_a_disk_without_a_free_block_cuts_and_serves() {
    for seed in 0..10 {
        let world = SimWorld::new(seed, SimOptions::default());
        let mut host = open(&world);
        // A checkpoint of them takes several blocks, and there was none since the first.
        for partition in 0..60 {
            let log = host.create(partition);
            host.append_patiently(log, &batch(&[b"kept"]));
        }
        host.until("all flushed", |host| host.events.len() >= 60);
        append(&mut host, 0, &[7; 60_000]);
        drop(host);
        let mut image = world.crash(seed);
        image.overwrite(&only_segment(&image), 5 * BLOCK, &[8]);
        let space = SimWorld::restart(&image, 1, SimOptions::default())
            .ring()
            .free_space(Path::new(DIR))
            .unwrap();
        image.set_capacity(space.total - space.free);
        let (world, mut host) = restart(&image);
        assert!((0..60).all(|partition| end(&mut host, partition) == 1));
        assert!(host.report[0].contains("cut at offset 1"), "{:?}", host.report);
        let written = slots().map(|slot| Checkpoint::length(&world.image().read(&slot).unwrap()).unwrap());
        assert!(written.iter().all(|len| *len > BLOCK), "{written:?}");
    }
}

/// A client may have five batches in flight, and so does the log remember five of each producer: when a cut takes all
/// of them, it still knows which one comes next.
#[test]
fn what_a_cut_takes_of_a_producer_can_be_sent_again() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    let log = host.create(0);
    let batches: Vec<Vec<u8>> = (0..6)
        .map(|sequence| batch_of(9, sequence, &[&[sequence as u8; 40_000]]))
        .collect();
    host.append(log, &batches[0]).unwrap();
    host.flush(log);
    // A round of another partition, so that this first write is settled.
    append(&mut host, 1, b"kept");
    for batch in &batches[1..] {
        host.append_patiently(log, batch);
    }
    host.flush(log);
    drop(host);
    let mut image = world.image();
    image.overwrite(&only_segment(&image), 15 * BLOCK, &[8]);
    let (_, mut host) = restart(&image);
    assert_eq!(end(&mut host, 0), 1, "{:?}", host.report);
    let log = host.logs().lookup(key(0)).unwrap();
    for (offset, batch) in batches.iter().enumerate().skip(1) {
        let appended = host.append_patiently(log, batch);
        assert_eq!(
            (appended.duplicate, appended.base_offset.get()),
            (false, offset as i64)
        );
    }
}

/// Until a new journal's second slot is written to it holds nothing, whatever its space held before.
#[test]
fn a_power_cut_leaves_a_new_slot_its_space_and_nothing_in_it() {
    let world = SimWorld::new(3, SimOptions::default());
    drop(open(&world));
    let [unwritten, _] = slots();
    for seed in 0..20 {
        let bytes = world.crash(seed).read(&unwritten).unwrap();
        assert_eq!(bytes.len(), 256 << 10);
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}

/// Nor does one of a journal of the same id whose making was interrupted: it was written to the other slot.
#[test]
fn an_interrupted_starts_first_checkpoint_in_the_other_slot_does_not_count() {
    let world = SimWorld::new(4, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"kept");
    drop(host);
    let mut image = world.image();
    let [unwritten, first] = slots();
    let mut head = Checkpoint::decode(&image.read(&first).unwrap()).unwrap().head;
    head.journal.nonce += 1;
    let stale = CheckpointBuilder::new(0).finish(&head, &[]).unwrap();
    image.overwrite(&unwritten, 0, &stale);
    let (_, mut host) = restart(&image);
    assert_eq!(
        (end(&mut host, 0), reads(&mut host, 0, 0)),
        (1, 1),
        "{:?}",
        host.report
    );
}

/// Where the start looks into a segment anyway, it sees whose segment that is.
#[test]
fn a_last_block_in_a_file_that_is_another_segments_is_not_taken_in() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for partition in 0..2 {
        append(&mut host, partition, &[7; 60_000]);
    }
    host.shut_down();
    world.advance(Duration::from_secs(1));
    let mut image = world.image();
    let segments = segments(&image);
    let strange = image.read(&segments[1]).unwrap()[..BLOCK as usize].to_vec();
    image.overwrite(&segments[0], 0, &strange);
    let (_, mut host) = restart(&image);
    let appended: Vec<bool> = (0..2)
        .map(|partition| {
            let log = host.logs().lookup(key(partition)).unwrap();
            host.append(log, &batch(&[b"more"])).is_ok()
        })
        .collect();
    assert_eq!(
        appended.iter().filter(|appended| **appended).count(),
        1,
        "{appended:?}"
    );
}

/// What the metadata knows: these partitions of a topic called `orders`.
struct Known(Vec<i32>);

impl KnownTopics for Known {
    fn fate(&self, _: TopicId) -> TopicFate {
        TopicFate::Live
    }

    fn partitions(&self) -> Vec<PartitionKey> {
        self.0.iter().map(|partition| key(*partition)).collect()
    }

    fn name(&self, _: TopicId) -> Option<String> {
        Some("orders".to_owned())
    }
}

fn restart_knowing(image: &DiskImage, partitions: &[i32]) -> (SimWorld, Host<SimRing>) {
    let world = SimWorld::restart(image, 1, SimOptions::default());
    let known = Known(partitions.to_vec());
    let host = Host::open_knowing(world.ring(), Path::new(DIR), &small_options(), 1, &known).unwrap();
    (world, host)
}

pub fn journal() -> PathBuf {
    Path::new(DIR).join(layout::journal(JournalId::new(1)))
}

/// The partitions and kinds of a round's records.
type Told = Vec<(Option<PartitionKey>, &'static str)>;

/// The rounds of the first journal in order: where each lies, and the partitions and kinds of its records.
fn rounds(image: &DiskImage) -> Vec<(u64, Told)> {
    let ring = image.read(&journal()).unwrap();
    let mut found = Vec::new();
    for at in (0..ring.len()).step_by(BLOCK as usize) {
        let Ok(round) = Round::decode(&ring[at..]) else {
            continue;
        };
        let mut records = round.records();
        let mut told = Vec::new();
        while let Some(record) = records.next() {
            let record = record.unwrap();
            let kind = match record {
                Record::Tail { .. } => "tail",
                Record::LogStart { .. } => "start",
                Record::Opened { .. } => "opened",
                _ => "other",
            };
            told.push((record.partition(), kind));
        }
        found.push((round.header.sequence, (at as u64, told)));
    }
    found.sort_by_key(|(sequence, _)| *sequence);
    found.into_iter().map(|(_, round)| round).collect()
}

/// Where the `nth` round lies that has a record of this kind for this partition.
fn round_with(image: &DiskImage, partition: i32, kind: &str, nth: usize) -> u64 {
    let wanted = |records: &[(Option<PartitionKey>, &str)]| {
        records
            .iter()
            .any(|(of, is)| *of == Some(key(partition)) && *is == kind)
    };
    let found = rounds(image);
    let mut found = found.iter().filter(|(_, records)| wanted(records));
    found.nth(nth).expect("there is such a round").0
}

fn fenced(host: &mut Host<SimRing>, partition: i32) -> Option<i64> {
    host.logs().fenced_at(key(partition)).map(|at| at.get())
}

fn reads(host: &mut Host<SimRing>, partition: i32, from: i64) -> usize {
    let log = host.logs().lookup(key(partition)).unwrap();
    host.read_all(log, from, 1 << 20).unwrap().len()
}

/// Two rounds of each of three partitions, settled.
fn three_partitions() -> DiskImage {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for value in [b"one", b"two"] {
        (0..3).for_each(|partition| append(&mut host, partition, value));
    }
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    world.image()
}

/// A block that cannot be read, in a round that was settled: the start succeeds, partitions that later rounds prove
/// whole go on, the others are fenced, and the report says all that.
#[test]
fn an_unreadable_block_of_the_journal_fences_what_it_may_have_held() {
    let mut image = three_partitions();
    let at = round_with(&image, 1, "tail", 1);
    image.spoil(&journal(), at);
    let (world, mut host) = restart_knowing(&image, &[0, 1, 2]);
    // The round after it is of the third partition and proves that one; nothing proves the others.
    assert_eq!(
        [0, 1, 2].map(|partition| fenced(&mut host, partition)),
        [Some(2), Some(1), None],
        "{:?}",
        host.report
    );
    assert_eq!(reads(&mut host, 2, 0), 2);
    append(&mut host, 2, b"three");
    let report = host.report.join("\n");
    for said in [
        "1 blocks cannot be read",
        "partition orders-1 is damaged from offset 1 on",
        "millstream log repair --accept-loss",
    ] {
        assert!(report.contains(said), "{report}");
    }
    drop(host);
    let (_, mut host) = restart_knowing(&world.image(), &[0, 1, 2]);
    assert_eq!(
        [0, 1, 2].map(|partition| fenced(&mut host, partition)),
        [Some(2), Some(1), None]
    );
    assert_eq!(reads(&mut host, 2, 0), 3);
}

/// Two partitions with a segment each, and a settled round behind it; that of the second one cannot be read.
fn lost_end() -> DiskImage {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for value in [&[7; 60_000][..], b"two"] {
        (0..2).for_each(|partition| append(&mut host, partition, value));
    }
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    let mut image = world.image();
    let at = round_with(&image, 1, "tail", 1);
    image.spoil(&journal(), at);
    image
}

/// A partition that lost its end and a segment besides is damaged from the lower of the two on, and still says that its
/// end is lost: at this start and from what the next one finds of it.
#[test]
fn a_lost_end_is_not_forgotten_over_a_missing_segment() {
    let mut image = lost_end();
    segments(&image).iter().for_each(|segment| image.remove(segment));
    let (world, mut host) = restart_knowing(&image, &[0, 1]);
    assert_eq!(fenced(&mut host, 1), Some(0), "{:?}", host.report);
    drop(host);
    let (_, host) = restart_knowing(&world.image(), &[0, 1]);
    let said = "partition orders-1 is damaged from offset 0 on and not served: a round of the journal";
    assert!(host.report.join("\n").contains(said), "{:?}", host.report);
}

/// Nor over a segment that turns out to be damaged while it is read.
#[test]
fn a_lost_end_is_not_forgotten_over_a_damaged_segment() {
    let mut image = lost_end();
    for segment in segments(&image) {
        image.overwrite(&segment, 5 * BLOCK, &[8]);
    }
    let (_, mut host) = restart_knowing(&image, &[0, 1]);
    assert_eq!(fenced(&mut host, 1), Some(1), "{:?}", host.report);
    let log = host.logs().lookup(key(1)).unwrap();
    assert!(host.read_all(log, 0, 1 << 20).is_err());
    assert_eq!(fenced(&mut host, 1), Some(0));
    assert!(host.logs().unknown_from(key(1)).is_some());
}

/// The same in the last round, of which nothing says that it was settled: an end like that of a power cut.
#[test]
fn an_unreadable_block_at_the_end_of_the_journal_is_cut() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for value in [b"one", b"two"] {
        (0..2).for_each(|partition| append(&mut host, partition, value));
    }
    let mut image = world.image();
    let at = round_with(&image, 1, "tail", 1);
    image.spoil(&journal(), at);
    let (_, mut host) = restart_knowing(&image, &[0, 1]);
    assert_eq!([0, 1].map(|partition| fenced(&mut host, partition)), [None, None]);
    assert_eq!([end(&mut host, 0), end(&mut host, 1)], [2, 1]);
    append(&mut host, 1, b"again");
}

/// The round that told of a partition is damaged: it is not begun anew at offset 0.
#[test]
fn a_partition_that_only_a_damaged_round_told_of_is_fenced() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 0, b"one");
    append(&mut host, 1, b"one");
    append(&mut host, 0, b"two");
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    let whole = world.image();
    let (_, mut host) = restart_knowing(&whole, &[0, 1, 2]);
    assert!(
        host.logs().lookup(key(2)).is_none(),
        "without damage, what is not there never was"
    );
    let mut image = whole.clone();
    let at = round_with(&image, 1, "opened", 0);
    image.overwrite(&journal(), at + 100, &[0xff]);
    let (world, mut host) = restart_knowing(&image, &[0, 1, 2]);
    for partition in [1, 2] {
        assert_eq!(fenced(&mut host, partition), Some(0), "{:?}", host.report);
        let log = host.logs().lookup(key(partition)).unwrap();
        assert_eq!(host.append(log, &batch(&[b"anew"])), Err(AppendError::Fenced));
    }
    assert_eq!((fenced(&mut host, 0), reads(&mut host, 0, 0)), (None, 2));
    drop(host);
    // It is remembered, also where the metadata is asked no more; and a topic made later is none of them.
    let (_, mut host) = restart_knowing(&world.image(), &[0, 1, 2, 3]);
    assert_eq!(
        [1, 2].map(|partition| fenced(&mut host, partition)),
        [Some(0), Some(0)]
    );
    assert!(host.logs().lookup(key(3)).is_none());
}

/// The round that moved a log's start is damaged, and later ones go on where the log ends: the start is in the round
/// after it as well, so that deleted records stay deleted.
#[test]
fn deleted_records_stay_deleted_when_the_round_that_said_so_is_damaged() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    for value in [b"one", b"two", b"six"] {
        append(&mut host, 0, value);
    }
    let (log, now) = (host.logs().lookup(key(0)).unwrap(), host.now);
    host.logs().delete_records(log, Offset::new(2), now).unwrap();
    (0..3).for_each(|_| host.turn(Duration::from_millis(1)));
    append(&mut host, 0, b"ten");
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    let mut image = world.image();
    let at = round_with(&image, 0, "start", 0);
    image.overwrite(&journal(), at + 100, &[0xff]);
    let (_, mut host) = restart_knowing(&image, &[0]);
    let log = host.logs().lookup(key(0)).unwrap();
    let offsets = host.logs().offsets(log);
    assert_eq!(
        (offsets.start.get(), offsets.end.get(), fenced(&mut host, 0)),
        (2, 4, None),
        "{:?}",
        host.report
    );
}

/// So much waits beside it that the next round cannot hold all of it: what goes on in there says the start again first.
#[test]
fn deleted_records_stay_deleted_however_much_waits_behind_the_round_that_said_so() {
    let world = SimWorld::new(3, SimOptions::default());
    let mut host = open(&world);
    append(&mut host, 1, b"one");
    for value in [b"one", b"two", b"six"] {
        append(&mut host, 0, value);
    }
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    let (log, now) = (host.logs().lookup(key(0)).unwrap(), host.now);
    host.logs().delete_records(log, Offset::new(2), now).unwrap();
    host.turn(Duration::ZERO);
    // The round that says so is in flight, and a third of this fits the one after it.
    let beside = host.logs().lookup(key(1)).unwrap();
    for log in [beside, log, log, log] {
        host.append(log, &batch(&[&[7; 9_000]])).unwrap();
    }
    let mut looked_at = 0;
    for _ in 0..50 {
        host.turn(Duration::from_micros(50));
        let mut image = world.image();
        let at = match rounds(&image)
            .iter()
            .any(|(_, records)| records.iter().any(|(_, kind)| *kind == "start"))
        {
            true => round_with(&image, 0, "start", 0),
            false => continue,
        };
        let is_followed = rounds(&image)
            .iter()
            .any(|(later, records)| *later > at && records.contains(&(Some(key(0)), "tail")));
        image.overwrite(&journal(), at + 100, &[0xff]);
        if !is_followed {
            continue;
        }
        looked_at += 1;
        let (_, mut host) = restart_knowing(&image, &[0, 1]);
        let log = host.logs().lookup(key(0)).unwrap();
        assert_eq!(
            (host.logs().offsets(log).start.get(), fenced(&mut host, 0)),
            (2, None),
            "{:?}",
            host.report
        );
    }
    assert!(looked_at > 0);
}

/// More than one round in a row is lost: a record that goes on at the end proves nothing any more.
#[test]
fn a_hole_of_two_rounds_is_proven_harmless_by_nothing() {
    let mut image = three_partitions();
    let lost = [0, 1].map(|partition| round_with(&image, partition, "tail", 1));
    lost.iter().for_each(|at| image.spoil(&journal(), *at));
    let (_, mut host) = restart_knowing(&image, &[0, 1, 2]);
    let all = [0, 1, 2].map(|partition| fenced(&mut host, partition));
    assert_eq!(all, [Some(1); 3], "{:?}", host.report);
}
