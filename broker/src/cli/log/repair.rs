//! `millstream log repair`: what is damaged, and, if the operator accepts the loss, its end.
//!
//! A cluster repairs a partition from a replica; a single broker has none. A damaged partition is cut at the
//! last batch that can be read; nothing else is touched. The start that follows is an unclean one, so that
//! leader epochs rise over the offsets that are given out anew.

use std::time::Instant as Clock;

use millstream_log::{Cut, Damage, DamageReason, FilePosition, RecoveredPartition, layout};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_storage::boot::{self, AcceptedLoss, Means};
use millstream_storage::{Now, StorageOptions};
use serde::Serialize;

use super::directory::{DataDirectory, ring};
use super::dump::data_dir;
use super::partition_bytes::{Found, SegmentBytes};
use super::sink::Sink;
use crate::cli::args::ConfigArgs;
use crate::cli::{Exit, Failure, position};
use crate::startup::metadata::TopicsOf;

/// Show which partitions are damaged, and make them usable again without what is lost
///
/// Without --accept-loss it only shows what is damaged and what would be lost. No broker may be running.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RepairArgs {
    /// Cut every damaged partition at its last readable batch, for good
    #[arg(long)]
    accept_loss: bool,

    /// Read every batch and check its CRC, instead of believing what was found damaged so far; may take long
    #[arg(long)]
    scan: bool,

    /// The data directory [default: the one that `millstream start` would use]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Print one JSON document a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// One damaged partition.
#[derive(Serialize)]
struct Loss {
    topic: String,
    partition: i32,
    reason: &'static str,
    /// The first offset that is lost.
    from: i64,
    /// Exclusive; what the log knew of its end.
    end: i64,
    /// How many offsets that is. Where journal rounds are lost, more records may be, of which nothing is
    /// known.
    offsets: i64,
    more_is_unknown: bool,
    /// A log cannot be cut below its start.
    #[serde(skip)]
    below_start: bool,
    #[serde(skip)]
    accepted: AcceptedLoss,
}

pub fn run(args: &RepairArgs) -> Result<(), Failure> {
    let path = data_dir(&args.data_dir, &args.config)?;
    let directory = DataDirectory::open(&path)?;
    if let Some(finding) = directory
        .damage
        .iter()
        .find(|finding| finding.means == Means::Refused)
    {
        let message = format!(
            "{}: {}; this is nothing that partitions can be repaired from, `millstream log verify` says what to do",
            finding.file, finding.what
        );
        return Err(Failure::new(Exit::Damaged, message));
    }
    let losses = find_losses(&directory, args.scan)?;
    let mut sink = Sink::new(args.json);
    for loss in &losses {
        sink.put(loss, || loss.to_text(args.accept_loss))?;
    }
    if losses.is_empty() {
        sink.note("No partition is damaged.")?;
        return sink.finish().map(|_| ());
    }
    if !args.accept_loss {
        sink.finish()?;
        let message =
            "damaged partitions were found; --accept-loss makes them usable again without the above";
        return Err(Failure::new(Exit::Damaged, message));
    }
    if let Some(loss) = losses.iter().find(|loss| loss.below_start) {
        let message = format!(
            "{}-{} is damaged at the very start of what it serves: nothing would be left; delete the topic instead",
            loss.topic, loss.partition
        );
        return Err(Failure::new(Exit::Damaged, message));
    }
    accept(&directory, &losses)?;
    let left = find_losses(&DataDirectory::open(&path)?, args.scan)?;
    if !left.is_empty() {
        sink.finish()?;
        return Err(Failure::new(
            Exit::Damaged,
            format!("{} partitions are still damaged", left.len()),
        ));
    }
    sink.note("The partitions above can be used again.")?;
    sink.finish().map(|_| ())
}

/// Writes the cuts the way a start does, and stops there.
fn accept(directory: &DataDirectory, losses: &[Loss]) -> Result<(), Failure> {
    let mut ring = ring()?;
    // The shards and journals as they are: nothing moves that need not.
    let heads = directory
        .recovered
        .journals
        .iter()
        .map(|journal| journal.head)
        .filter(|head| !head.retired);
    let heads: Vec<_> = heads.collect();
    let shards = heads.len().max(1);
    let mut options = StorageOptions::for_shards(shards);
    if let Some(head) = heads.first() {
        options.journal_bytes = head.ring_bytes;
    }
    let topics = TopicsOf::new(&directory.image);
    let wall = position::now();
    let seed = wall as u64 ^ (u64::from(std::process::id()) << 32);
    let now = Now {
        monotonic: Instant::from_nanos(0),
        wall: TimestampMs::new(wall),
    };
    let accepted: Vec<AcceptedLoss> = losses.iter().map(|loss| loss.accepted).collect();
    let started = Clock::now();
    let booted = boot::open_accepting(
        &mut ring,
        &directory.path,
        &options,
        shards,
        &topics,
        seed,
        now,
        &accepted,
    );
    let booted = booted.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    tracing::debug!("{} after {:?}", booted.report.join("; "), started.elapsed());
    Ok(())
}

fn find_losses(directory: &DataDirectory, scan: bool) -> Result<Vec<Loss>, Failure> {
    let mut losses = Vec::new();
    for (topic, partition) in directory.partitions(None, None) {
        let damage = match partition.damage {
            Some(damage) => Some(damage),
            None => missing_file(directory, partition),
        };
        if damage.is_none() && !scan {
            continue;
        }
        let readable = readable_end(directory, partition, damage)?;
        if let Some(loss) = Loss::new(topic, partition, damage, readable) {
            losses.push(loss);
        }
    }
    Ok(losses)
}

/// A start finds this out too, before it serves anything.
fn missing_file(directory: &DataDirectory, partition: &RecoveredPartition) -> Option<Damage> {
    let missing = boot::first_missing(partition, |id| directory.path.join(layout::segment(id)).is_file())?;
    Some(Damage {
        at: missing.base_offset,
        reason: DamageReason::Segment,
    })
}

/// The end of the last batch that reads and lies below the damage; `None` where all of the log is readable.
fn readable_end(
    directory: &DataDirectory,
    partition: &RecoveredPartition,
    damage: Option<Damage>,
) -> Result<Option<Cut>, Failure> {
    let limit = damage.map_or(Offset::MAX, |damage| damage.at);
    for segment in partition.state.segments() {
        let mut good = Cut {
            segment: segment.id,
            byte_end: FilePosition::ZERO,
            end_offset: segment.base_offset,
        };
        let mut stopped = segment.base_offset > limit;
        let bytes = SegmentBytes::open(&directory.path, segment, &partition.dirty);
        let walked = bytes.map(|bytes| {
            bytes.walk(|found| {
                let whole = match found {
                    Found::Batch { position, bytes, .. } => {
                        sound_batch(&bytes, limit).map(|end| (position, bytes.len(), end))
                    }
                    Found::Unreadable { .. } => None,
                };
                let (position, len, end) = whole.ok_or(())?;
                good.byte_end = FilePosition::new(position + len as u64);
                good.end_offset = end;
                Ok::<(), ()>(())
            })
        });
        stopped |= !matches!(walked, Ok(Ok(())));
        if stopped {
            return Ok(Some(good));
        }
    }
    Ok(None)
}

/// The offset after a batch that is sound and lies below `limit`.
fn sound_batch(bytes: &[u8], limit: Offset) -> Option<Offset> {
    let (batch, _) = BatchView::parse(bytes).ok()?;
    let sound = batch.verify_crc().is_ok() && batch.last_offset() < limit;
    sound.then(|| batch.last_offset().next())
}

impl Loss {
    /// `None` where nothing is damaged.
    fn new(
        topic: String,
        partition: &RecoveredPartition,
        damage: Option<Damage>,
        readable: Option<Cut>,
    ) -> Option<Loss> {
        if damage.is_none() && readable.is_none() {
            return None;
        }
        let state = &partition.state;
        let end = state.offsets().end().get();
        let from = readable.map_or(damage.map_or(end, |damage| damage.at), |cut| cut.end_offset);
        let reason = damage.map_or(DamageReason::Segment, |damage| damage.reason);
        Some(Loss {
            topic,
            partition: state.key().partition.get(),
            reason: match reason {
                DamageReason::JournalRound => "a round of the journal that was acknowledged cannot be read",
                DamageReason::Inconsistent => "the journal contradicts what came before",
                DamageReason::Segment => {
                    "bytes of a segment file are damaged, missing or could not be written"
                }
            },
            from: from.get(),
            end: end.get().max(from.get()),
            offsets: (end.get() - from.get()).max(0),
            more_is_unknown: reason != DamageReason::Segment,
            below_start: readable.is_some_and(|cut| cut.end_offset < state.offsets().start().get()),
            accepted: AcceptedLoss {
                key: state.key(),
                cut: readable,
            },
        })
    }

    fn to_text(&self, done: bool) -> String {
        let verb = if done { "are lost" } else { "would be lost" };
        let what = match self.offsets {
            0 => "no offset that is known of".to_owned(),
            1 => format!("offset {}", self.from),
            count => format!("offsets {} to {} ({count})", self.from, self.end - 1),
        };
        let more = if self.more_is_unknown {
            format!(
                "; records from offset {} on that only the lost rounds held, too, and nothing tells how many",
                self.end
            )
        } else {
            String::new()
        };
        format!(
            "{}-{}: {}: {what} {verb}{more}",
            self.topic, self.partition, self.reason
        )
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream log repair
  millstream log repair --scan --data-dir /var/lib/millstream
  millstream log repair --accept-loss";
