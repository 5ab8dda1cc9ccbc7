//! Recovers what a power cut left and holds it against the model.
//!
//! What must hold after every image: each acknowledged record is there with its bytes at its offset; nothing that was
//! never sent; offsets without holes; what was deleted stays deleted; a power cut alone fences nothing; recovery
//! interrupted anywhere and begun again, or run twice, gives the same logs. Of a partition that is fenced what lies
//! below the fence is served, with its bytes, and nothing above it.

use std::time::Duration;

use millstream_log::{SegmentHeader, layout};
use millstream_protocol::record::batch::HEADER_LEN;
use millstream_protocol::types::Offset;
use millstream_ring::simulated::{DiskImage, PowerCut, Prng, SimOptions, SimWorld};
use millstream_storage::{LogEvent, OpenError, ReadError, StorageOptions};

use crate::eyes::{Eyes, Place, parse};
use crate::host::{Host, Unread};
use crate::model::{Model, Partition};

/// A partition as a start found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub index: usize,
    pub start: i64,
    /// Exclusive. Both zero where there is no log.
    pub end: i64,
    pub is_there: bool,
    pub fenced: Option<Offset>,
}

/// How a start is made.
#[derive(Clone)]
pub struct Start {
    pub options: StorageOptions,
    pub shards: usize,
}

/// Checks one image in every way; the run that it was taken from goes on unharmed.
pub fn check_image(
    image: &DiskImage,
    model: &Model,
    start: &Start,
    prng: &mut Prng,
    eyes: &Eyes,
) -> Result<(), String> {
    eyes.look_at(image);
    let (world, mut host) = restart(image, model, start, prng, None)?;
    let found = verify(&mut host, model)?;
    note_suffixes(model, &found, eyes);
    if host.report.iter().any(|line| line.contains("is cut")) {
        eyes.mark("direct write lost, log cut");
    }
    if prng.one_in(2) {
        let (_, mut host) = restart(image, model, start, prng, Some(eyes))?;
        same(
            &found,
            &verify(&mut host, model)?,
            "after an interrupted recovery",
        )?;
    }
    if prng.one_in(3) {
        let again = world.crash(prng.next());
        let (_, mut host) = restart(&again, model, start, prng, None)?;
        same(&found, &verify(&mut host, model)?, "recovered a second time")?;
    }
    Ok(())
}

/// Checks what a kill of the process left: what a start finds there and serves is there after a power cut, too.
pub fn check_killed(
    image: &DiskImage,
    model: &Model,
    start: &Start,
    prng: &mut Prng,
    eyes: &Eyes,
) -> Result<(), String> {
    let (world, mut host) = restart(image, model, start, prng, None)?;
    let found = verify(&mut host, model)?;
    let cut = world.crash(prng.next());
    let (_, mut host) = restart(&cut, model, start, prng, None)?;
    same(
        &found,
        &verify(&mut host, model)?,
        "after a kill, a start and a power cut",
    )?;
    let (_, mut host) = restart(image, model, start, prng, Some(eyes))?;
    verify(&mut host, model).map(drop)
}

/// Starts from an image; with `eyes`, the power goes during the start, up to three times, before one succeeds.
pub fn restart(
    image: &DiskImage,
    model: &Model,
    start: &Start,
    prng: &mut Prng,
    interrupted: Option<&Eyes>,
) -> Result<(SimWorld, Host), String> {
    let mut image = image.clone();
    if let Some(eyes) = interrupted {
        for _ in 0..prng.range(1, 4) {
            let world = SimWorld::restart(&image, prng.next(), SimOptions::default());
            let cut = match prng.one_in(3) {
                true => PowerCut::AtEvent(prng.range(0, 1300)),
                false => PowerCut::AtBoundary(prng.range(0, 30)),
            };
            world.cut_power_at(cut);
            match Host::start(&world, &start.options, start.shards, model) {
                Err(_) if world.is_off() => {
                    eyes.mark("recovery crashed");
                    image = world.crash(prng.next());
                }
                Err(error) => return Err(format!("the directory does not open: {error}")),
                Ok(_) => image = world.crash(prng.next()),
            }
        }
    }
    let world = SimWorld::restart(&image, prng.next(), SimOptions::default());
    match Host::start(&world, &start.options, start.shards, model) {
        Ok(host) => Ok((world, host)),
        Err(error) => Err(format!("the directory does not open: {error}")),
    }
}

/// Holds a host that has just started against the model.
pub fn verify(host: &mut Host, model: &Model) -> Result<Vec<Found>, String> {
    let hurt = model.partitions.iter().any(|partition| partition.hurt);
    if let Some(line) = host
        .report
        .iter()
        .find(|line| !hurt && !line.contains("is cut at"))
    {
        return Err(format!("a power cut alone, and the report says: {line}"));
    }
    let mut found = Vec::new();
    for (index, partition) in model.partitions.iter().enumerate() {
        found.push(verify_partition(host, index, &partition.at_start())?);
    }
    let rebuilt = rebuilds(host);
    if !hurt && rebuilt > 0 {
        return Err(format!(
            "a power cut alone, and {rebuilt} indexes had to be rebuilt"
        ));
    }
    Ok(found)
}

/// Sidecars that were of no use, as the shards told.
pub fn rebuilds(host: &Host) -> usize {
    let told = host.events.iter().filter(|(_, event)| match event {
        LogEvent::Warning { reason } => reason.contains("it is rebuilt"),
        _ => false,
    });
    told.count()
}

fn verify_partition(host: &mut Host, index: usize, partition: &Partition) -> Result<Found, String> {
    let key = partition.key;
    let fail = |what: String| Err(format!("partition {index}: {what}"));
    let mut found = Found {
        index,
        start: 0,
        end: 0,
        is_there: false,
        fenced: None,
    };
    let Some(offsets) = host.offsets(key) else {
        return match partition.deleted || partition.flushed == 0 {
            true => Ok(found),
            false => fail(format!("its log is gone, {} was acknowledged", partition.flushed)),
        };
    };
    if partition.deleted {
        return fail("a deleted partition is back".to_owned());
    }
    (found.start, found.end, found.is_there) = (offsets.start.get(), offsets.end.get(), true);
    found.fenced = host.of(key).fenced_at(key);
    if let Some(at) = found.fenced {
        if !partition.hurt {
            return fail(format!("fenced at {at} by a power cut alone: {:?}", host.report));
        }
        let (next, _) = read_what_is_served(host, partition, found.start)?;
        // To read may find more damage, further down.
        let at = host.of(key).fenced_at(key).unwrap_or(at);
        ends_at_fence(partition, found.start, next, at)?;
        return nothing_above(host, partition, at).map(|()| found);
    }
    if offsets.flushed != offsets.end {
        return fail(format!("recovered as {offsets:?}: not all of it is flushed"));
    }
    if !(partition.flushed..=partition.end()).contains(&found.end) {
        let (acknowledged, sent) = (partition.flushed, partition.end());
        return fail(format!(
            "the log ends at {}, acknowledged {acknowledged}, sent {sent}",
            found.end
        ));
    }
    if !(partition.start_durable..=partition.start_latest).contains(&found.start) {
        let (durable, asked) = (partition.start_durable, partition.start_latest);
        return fail(format!(
            "the log starts at {}, moved to {durable}, asked for {asked}",
            found.start
        ));
    }
    let at_batch = found.end == 0 || partition.sent.iter().any(|sent| sent.last + 1 == found.end);
    if !at_batch {
        return fail(format!("the log ends at {}, inside a batch", found.end));
    }
    match read_what_is_served(host, partition, found.start)? {
        (next, None) if next == found.end => Ok(found),
        (next, Some(ReadError::Fenced { at })) if partition.hurt => {
            ends_at_fence(partition, found.start, next, at)?;
            nothing_above(host, partition, at).map(|()| found)
        }
        (next, error) => fail(format!("reads end at {next} of {}: {error:?}", found.end)),
    }
}

/// What lies below a fence and was acknowledged is served, and nothing that lies above it.
fn ends_at_fence(partition: &Partition, start: i64, next: i64, at: Offset) -> Result<(), String> {
    let ends = partition.sent.iter().map(|sent| sent.last + 1);
    let below = ends.filter(|end| *end <= at.get()).max().unwrap_or(0);
    let served = below.min(partition.flushed).max(start);
    match (served..=at.get().max(start)).contains(&next) {
        true => Ok(()),
        false => Err(format!(
            "partition {}: reads from {start} end at {next}, the fence is at {at}, and {} was acknowledged",
            partition.key, partition.flushed
        )),
    }
}

/// Who asks for offsets above the fence is refused as well, however whole they are.
fn nothing_above(host: &mut Host, partition: &Partition, fence: Offset) -> Result<(), String> {
    for sent in partition.sent.iter().filter(|sent| sent.last >= fence.get()) {
        match host.read(partition.key, sent.last, READ_BYTES) {
            Ok((bytes, _)) if bytes.is_empty() => {}
            Err(Unread::Refused(_)) => {}
            Ok(_) => {
                return Err(format!(
                    "partition {}: offset {} is served, the fence is at {fence}",
                    partition.key, sent.last
                ));
            }
            Err(other) => {
                return Err(format!(
                    "partition {}: a read above the fence: {other:?}",
                    partition.key
                ));
            }
        }
    }
    Ok(())
}

/// Reads up to the flushed end or the first refusal.
fn read_what_is_served(
    host: &mut Host,
    partition: &Partition,
    mut from: i64,
) -> Result<(i64, Option<ReadError>), String> {
    let fail = |what: String| Err(format!("partition {}: {what}", partition.key));
    loop {
        match host.read(partition.key, from, READ_BYTES) {
            Ok((bytes, _)) if bytes.is_empty() => return Ok((from, None)),
            Ok((bytes, _)) => match partition.compare(from, &bytes) {
                Ok(next) => from = next,
                Err(lie) => return fail(lie),
            },
            Err(Unread::Refused(error)) => return Ok((from, Some(error))),
            Err(Unread::PowerLost) => return fail("the power went while a check was reading".to_owned()),
            Err(Unread::Stuck(what)) => return fail(format!("a read from {from} never ended: {what}")),
        }
    }
}

fn same(first: &[Found], second: &[Found], when: &str) -> Result<(), String> {
    match first.iter().zip(second).find(|(first, second)| first != second) {
        None => Ok(()),
        Some((first, second)) => Err(format!("{when} the logs differ: {first:?}, then {second:?}")),
    }
}

fn note_suffixes(model: &Model, found: &[Found], eyes: &Eyes) {
    for found in found.iter().filter(|found| found.is_there) {
        let partition = &model.partitions[found.index];
        if found.end < partition.end() {
            eyes.mark("unacknowledged suffix gone");
        }
        if found.end > partition.flushed {
            eyes.mark("unacknowledged suffix kept");
        }
    }
}

/// Flips bits in what was settled, and sees that no wrong byte is served and no loss goes unsaid.
pub fn check_rot(
    image: &DiskImage,
    model: &Model,
    start: &Start,
    prng: &mut Prng,
    eyes: &Eyes,
) -> Result<(), String> {
    let mut image = image.clone();
    let mut model = model.clone();
    model
        .partitions
        .iter_mut()
        .for_each(|partition| partition.hurt = true);
    // A damaged journal is retired; the new one needs room.
    image.set_capacity(CAPACITY);
    let mut what = Vec::new();
    for _ in 0..prng.range(1, 4) {
        what.push(rot(&mut image, &model, prng));
    }
    let world = SimWorld::restart(&image, prng.next(), SimOptions::default());
    let mut host = match Host::start(&world, &start.options, start.shards, &model) {
        Ok(host) => host,
        Err(OpenError::Damaged { .. }) => {
            eyes.mark("damage at rest found");
            return Ok(());
        }
        Err(error) => {
            return Err(format!(
                "bits flipped in {what:?}: the directory does not open: {error}"
            ));
        }
    };
    let found = verify(&mut host, &model).map_err(|error| format!("bits flipped in {what:?}: {error}"))?;
    if found.iter().any(|found| {
        host.of(model.partitions[found.index].key)
            .fenced_at(model.partitions[found.index].key)
            .is_some()
    }) {
        eyes.mark("damage at rest found");
    }
    if rebuilds(&host) > 0 {
        eyes.mark("index rebuilt");
    }
    host.turn(Duration::from_millis(1));
    Ok(())
}

/// Flips one bit of a segment, journal or checkpoint, often in the header of a batch; tells where.
fn rot(image: &mut DiskImage, model: &Model, prng: &mut Prng) -> String {
    let wanted = [
        Place::Segment,
        Place::Segment,
        Place::Segment,
        Place::Journal,
        Place::Checkpoint,
        Place::Sidecar,
    ];
    let wanted = wanted[prng.index(wanted.len())];
    let paths: Vec<_> = image
        .paths()
        .into_iter()
        .filter(|path| place_of(path) == Some(wanted))
        .collect();
    if paths.is_empty() {
        return "nothing".to_owned();
    }
    let path = &paths[prng.index(paths.len())];
    let bytes = image.read(path).unwrap_or_default();
    let Some(used) = bytes.iter().rposition(|byte| *byte != 0) else {
        return "nothing".to_owned();
    };
    let headers = batches_in(&bytes, model);
    let at = match headers.is_empty() || prng.one_in(2) {
        true => prng.index(used + 1),
        false => headers[prng.index(headers.len())] + prng.index(HEADER_LEN),
    };
    let Some(byte) = bytes.get(at) else {
        return "nothing".to_owned();
    };
    let flipped = byte ^ 1 << prng.range(0, 8);
    image.overwrite(path, at as u64, &[flipped]);
    format!("{} at {at}", path.display())
}

/// Where batches begin in a file, if it is a segment.
fn batches_in(bytes: &[u8], model: &Model) -> Vec<usize> {
    let data_at = layout::SEGMENT_DATA_AT as usize;
    let header = bytes.get(..data_at).map(SegmentHeader::decode);
    let Some(Ok(header)) = header else {
        return Vec::new();
    };
    let sent = &model.find(header.partition).sent;
    let mut at = data_at;
    let mut found = Vec::new();
    for sent in sent.iter().filter(|sent| sent.base >= header.base_offset.get()) {
        found.push(at);
        at += sent.stored.len();
    }
    found
}

fn place_of(path: &std::path::Path) -> Option<Place> {
    use layout::FileName;
    match parse(path)? {
        FileName::Journal(_) => Some(Place::Journal),
        FileName::Checkpoint(..) => Some(Place::Checkpoint),
        FileName::Segment(_) => Some(Place::Segment),
        FileName::Sidecar(_) => Some(Place::Sidecar),
        _ => None,
    }
}

const READ_BYTES: u32 = 200_000;
pub const CAPACITY: u64 = 1 << 40;
