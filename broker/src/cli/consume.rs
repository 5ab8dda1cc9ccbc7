//! `millstream consume`: records to standard output.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::Failure;
use super::args::ClientArgs;
use super::exit::{Exit, output_failed};
use super::interrupt::Interrupt;
use super::position::parse_position;
use super::record_format::{JsonRecord, RecordFormat};
use crate::client::{Cluster, Consumer, FetchedRecord, GroupOffsets, Member, Position};

/// Read records from a topic
///
/// Reads what is there and stops, unless --follow is given. Partitions are read side by side: the order holds
/// within each of them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ConsumeArgs {
    /// The topic to read
    topic: String,

    /// Only this partition; may be given several times [default: all]
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Vec<i32>,

    /// Read as a member of this group: beside its other members, from where it has come to, and with what was read
    /// committed, after Ctrl-C too
    #[arg(long, short = 'g', value_name = "GROUP", conflicts_with = "partition")]
    group: Option<String>,

    /// Where to begin: beginning, end, an offset, -N for the last N, a time such as 2026-11-21T12:00, or 30m
    /// (ago); in a group only where it has committed nothing
    #[arg(long, value_name = "POSITION", default_value = "beginning", value_parser = parse_position)]
    #[arg(allow_hyphen_values = true)]
    from: Position,

    /// Stay and print records as they come
    #[arg(long, short = 'f')]
    follow: bool,

    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,

    /// How to print a record, as kcat: %s value, %k key, %h headers, %T timestamp, %D as a date, %t topic,
    /// %p partition, %o offset, %S and %K sizes
    #[arg(long, short = 'F', value_name = "FORMAT", default_value = "%s\\n", value_parser = RecordFormat::parse)]
    format: RecordFormat,

    /// What stands for a key or value that is null
    #[arg(long, value_name = "TEXT", default_value = "")]
    null: String,

    /// Print one JSON document a line, which `produce --json` reads back
    #[arg(long, conflicts_with_all = ["format", "null"])]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &ConsumeArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let topic = cluster.topic(&args.topic, false)?;
    if let Some(group) = &args.group {
        return run_in_group(args, group, &mut cluster);
    }
    let all = topic.partitions.iter().map(|partition| partition.index);
    let partitions: Vec<i32> = if args.partition.is_empty() {
        all.collect()
    } else {
        args.partition.clone()
    };
    let mut consumer = Consumer::new(&mut cluster, &args.topic, &partitions, args.from)?;
    let patience = args.client.timeout;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut printer = Printer {
        args,
        text: Vec::new(),
    };
    let mut progress = (consumer.read_so_far(), Instant::now());
    while left > 0 && (args.follow || !consumer.at_end()) {
        consumer.poll(POLL_WAIT, |record| {
            printer.add(&record);
            left -= 1;
            left > 0
        })?;
        printer.flush()?;
        if consumer.read_so_far() != progress.0 {
            progress = (consumer.read_so_far(), Instant::now());
        } else if !args.follow && !consumer.at_end() && progress.1.elapsed() > patience {
            let message = "the broker gives no more records, although there are some; its log may tell why";
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(())
}

/// Reads what the group leaves to this member. Without --follow it ends where all of that was read; told to end, it
/// commits what it has shown and leaves the group first.
fn run_in_group(args: &ConsumeArgs, group: &str, cluster: &mut Cluster) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let mut member = Member::join(cluster, group, &args.topic)?;
    let mut consumer = Consumer::new(cluster, &args.topic, &[], args.from)?;
    assign(args, &member, &mut consumer)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut printer = Printer {
        args,
        text: Vec::new(),
    };
    let given_until = Instant::now() + args.client.timeout;
    let mut commit_at = Instant::now() + COMMIT_INTERVAL;
    while left > 0 && !interrupt.is_asked() {
        let read = read_so_far(args, &consumer);
        if member.keep_alive(consumer.cluster(), &read)? {
            assign(args, &member, &mut consumer)?;
        }
        if member.assigned().is_empty() {
            if !args.follow && Instant::now() > given_until {
                let message =
                    format!("the other members of `{group}` have all partitions; --follow waits for some");
                member.leave(consumer.cluster())?;
                return Err(Failure::new(Exit::Failed, message));
            }
            std::thread::sleep(ASSIGNMENT_PAUSE);
            continue;
        }
        if !args.follow && consumer.at_end() {
            break;
        }
        consumer.poll(POLL_WAIT, |record| {
            printer.add(&record);
            left -= 1;
            left > 0
        })?;
        printer.flush()?;
        if Instant::now() >= commit_at {
            commit_at = Instant::now() + COMMIT_INTERVAL;
            let read = read_so_far(args, &consumer);
            member.commit(consumer.cluster(), &read)?;
        }
    }
    let read = read_so_far(args, &consumer);
    member.commit(consumer.cluster(), &read)?;
    Ok(member.leave(consumer.cluster())?)
}

/// Goes on where the group has come to; where it has committed nothing, as was asked for.
fn assign(args: &ConsumeArgs, member: &Member, consumer: &mut Consumer<'_>) -> Result<(), Failure> {
    let cluster = consumer.cluster();
    let committed = member.committed(cluster)?;
    let partitions = member.assigned();
    let marks = cluster.watermarks(&args.topic, partitions)?;
    let times = match args.from {
        Position::Time(at) => cluster.offsets_at(&args.topic, partitions, at)?,
        _ => BTreeMap::new(),
    };
    let positions = marks.into_iter().map(|(partition, marks)| {
        let time = times.get(&partition).copied().flatten();
        let committed = committed.get(&partition).copied();
        (
            partition,
            committed.unwrap_or_else(|| args.from.within(marks, time)),
        )
    });
    let positions = positions.collect();
    Ok(consumer.assign(&positions)?)
}

fn read_so_far(args: &ConsumeArgs, consumer: &Consumer<'_>) -> GroupOffsets {
    let positions = consumer.positions().into_iter();
    positions
        .map(|(partition, next)| ((args.topic.clone(), partition), next))
        .collect()
}

struct Printer<'a> {
    args: &'a ConsumeArgs,
    text: Vec<u8>,
}

impl Printer<'_> {
    fn add(&mut self, record: &FetchedRecord) {
        if self.args.json {
            let json = JsonRecord::new(&self.args.topic, record);
            serde_json::to_writer(&mut self.text, &json).expect("our own type serialises into memory");
            self.text.push(b'\n');
        } else {
            self.args
                .format
                .write(&self.args.topic, record, &self.args.null, &mut self.text);
        }
    }

    /// One fetch's records leave together.
    fn flush(&mut self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(&self.text)
            .and_then(|()| out.flush())
            .map_err(|error| output_failed(&error))?;
        self.text.clear();
        Ok(())
    }
}

const POLL_WAIT: Duration = Duration::from_millis(500);
const ASSIGNMENT_PAUSE: Duration = Duration::from_millis(100);
/// As often as other consumers commit by themselves.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

const AFTER_HELP: &str = "\
Examples:
  millstream consume greetings
  millstream consume orders --from end --follow
  millstream consume orders --group billing --follow
  millstream consume orders --from -10 --format '%p/%o %D %k: %s\\n'
  millstream consume orders --from 1h --partition 3 --count 100 --json";
