//! `millstream produce`: records from the command line or standard input.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use millstream_compress::compress;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::record::record::Header;
use millstream_protocol::types::TimestampMs;

use super::args::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{count, tell};
use super::position::{now, parse_moment};
use super::record_format::{JsonRecord, bytes_of, parse_delimiter};
use crate::client::{Acks, ClientError, Partitioner, Producer};

/// Write records to a topic
///
/// Each line of standard input is a record, or each VALUE that is given. A topic that does not exist is
/// created, if the broker's auto.create.topics.enable allows it.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ProduceArgs {
    /// The topic to write to
    topic: String,

    /// Values to write, instead of standard input
    values: Vec<String>,

    /// The partition to write to [default: by the key's hash, as Kafka's clients; without a key in turn]
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Option<i32>,

    /// The key of every record
    #[arg(long, short = 'k', value_name = "KEY")]
    key: Option<String>,

    /// What divides the key from the value in each line; \t and the like are understood
    #[arg(long, short = 'K', value_name = "DELIMITER", conflicts_with = "key", value_parser = parse_delimiter)]
    #[arg(allow_hyphen_values = true)]
    key_delimiter: Option<std::vec::Vec<u8>>,

    /// What ends a record in standard input
    #[arg(long, short = 'D', value_name = "DELIMITER", default_value = "\\n", value_parser = parse_delimiter)]
    #[arg(allow_hyphen_values = true)]
    delimiter: std::vec::Vec<u8>,

    /// A header of every record; may be given several times
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = parse_header)]
    header: Vec<(String, String)>,

    /// The timestamp of every record: a time such as 2026-11-21T12:00, or @MILLISECONDS [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    timestamp: Option<i64>,

    /// An empty key or value is written as null (a null value deletes its key where a topic is compacted)
    #[arg(long, short = 'Z')]
    null: bool,

    /// Each line is a JSON document with key, value, headers, timestamp and partition, as `consume --json`
    /// prints it
    #[arg(long, conflicts_with_all = ["values", "key", "key_delimiter", "delimiter", "header", "null"])]
    json: bool,

    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none", value_parser = parse_codec)]
    compression: Codec,

    /// What to wait for: all (durable on every in-sync replica), 1 (durable on the leader) or 0 (nothing)
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = parse_acks)]
    acks: Acks,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &ProduceArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let topic = cluster.topic(&args.topic, true)?;
    if let Some(partition) = args.partition {
        cluster.leader(&args.topic, partition)?;
    }
    let mut sender = Sender {
        args,
        producer: Producer::new(&mut cluster, &args.topic, args.acks)?,
        partitioner: Partitioner::new(topic.partitions.len()),
        pending: BTreeMap::new(),
        pending_bytes: 0,
        written: BTreeMap::new(),
    };
    if !args.values.is_empty() {
        for value in &args.values {
            sender.add_line(value.as_bytes())?;
        }
    } else {
        if io::stdin().is_terminal() {
            tell("Each line is a record; Ctrl-D ends.");
        }
        sender.read(&lines_of_stdin(args.delimiter.clone()))?;
    }
    sender.flush()?;
    sender.report();
    Ok(())
}

/// One record on its way.
#[derive(Debug, Default)]
struct Outgoing {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
    partition: Option<i32>,
}

/// Collects records into one batch per partition, and sends them when they are many or nothing more comes.
struct Sender<'a> {
    args: &'a ProduceArgs,
    producer: Producer<'a>,
    partitioner: Partitioner,
    pending: BTreeMap<i32, BatchBuilder>,
    pending_bytes: usize,
    /// Records and first offset by partition.
    written: BTreeMap<i32, (usize, Option<i64>)>,
}

impl Sender<'_> {
    /// Until the input ends. Records wait for company only as long as more input comes at once.
    fn read(&mut self, lines: &Receiver<io::Result<Vec<u8>>>) -> Result<(), Failure> {
        loop {
            match lines.recv_timeout(LINGER) {
                Ok(line) => {
                    let line = line.map_err(|error| Failure::io("standard input cannot be read", &error))?;
                    self.add_line(&line)?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.flush()?;
                    // Nothing is pending any more: wait without a clock.
                    match lines.recv() {
                        Ok(Ok(line)) => self.add_line(&line)?,
                        Ok(Err(error)) => return Err(Failure::io("standard input cannot be read", &error)),
                        Err(_) => return Ok(()),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let record = if self.args.json {
            self.read_json(line)?
        } else {
            self.read_plain(line)
        };
        let Some(record) = record else { return Ok(()) };
        let chosen = record.partition.or(self.args.partition);
        let partition = chosen.unwrap_or_else(|| self.partitioner.partition_of(record.key.as_deref()));
        let size = record.size();
        let fits = self
            .pending
            .get(&partition)
            .is_none_or(|batch| batch.size() + size <= BATCH_BYTES_MAX);
        if !fits || self.pending_bytes + size > PENDING_BYTES_MAX {
            self.flush()?;
        }
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header {
                key,
                value: value.as_deref(),
            })
            .collect();
        let timestamp = TimestampMs::new(record.timestamp.or(self.args.timestamp).unwrap_or_else(now));
        let batch = self.pending.entry(partition).or_default();
        batch.push(
            timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        );
        self.pending_bytes += size;
        Ok(())
    }

    fn read_plain(&self, line: &[u8]) -> Option<Outgoing> {
        let nulled = |bytes: &[u8]| (!self.args.null || !bytes.is_empty()).then(|| bytes.to_vec());
        let split = self
            .args
            .key_delimiter
            .as_deref()
            .and_then(|delimiter| split_once(line, delimiter));
        let (key, value) = match split {
            Some((key, value)) => (nulled(key), nulled(value)),
            None => (
                self.args.key.as_deref().and_then(|key| nulled(key.as_bytes())),
                nulled(line),
            ),
        };
        let headers = self
            .args
            .header
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone().into_bytes())));
        Some(Outgoing {
            key,
            value,
            headers: headers.collect(),
            ..Outgoing::default()
        })
    }

    /// `None` for an empty line.
    fn read_json(&self, line: &[u8]) -> Result<Option<Outgoing>, Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| {
            let start = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
            Failure::new(
                Exit::Usage,
                format!("a line of the input is not a record: {what}: {start}"),
            )
        };
        let json: JsonRecord = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
        let mut headers = Vec::new();
        for header in json.headers {
            let value = bytes_of(header.value.as_deref(), header.value_base64.as_deref());
            headers.push((header.name, value.map_err(|error| wrong(&error))?));
        }
        let both =
            |text: &Option<String>, coded: &Option<String>| bytes_of(text.as_deref(), coded.as_deref());
        Ok(Some(Outgoing {
            key: both(&json.key, &json.key_base64).map_err(|error| wrong(&error))?,
            value: both(&json.value, &json.value_base64).map_err(|error| wrong(&error))?,
            headers,
            timestamp: json.timestamp,
            partition: json.partition,
        }))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.pending_bytes = 0;
        for (partition, builder) in std::mem::take(&mut self.pending) {
            let records = usize::try_from(builder.record_count()).expect("a count is not negative");
            let codec = self.args.compression;
            let batch = match codec {
                Codec::None => builder.build(),
                _ => builder.build_with(codec, |body| compress(codec, body)),
            };
            let sent = self.producer.send(partition, &batch).map_err(|error| {
                let unknown = matches!(error, ClientError::Broken { .. } | ClientError::TimedOut { .. });
                let mut failure = Failure::from(error);
                if unknown {
                    let last = count(records, "record");
                    failure
                        .message
                        .push_str(&format!("; whether the last {last} were written is not known"));
                }
                failure
            });
            let placed = sent?;
            let written = self.written.entry(partition).or_insert((0, placed.base_offset));
            written.0 += records;
        }
        self.partitioner.next_turn();
        Ok(())
    }

    fn report(&self) {
        let all = count(self.written.values().map(|(records, _)| records).sum(), "record");
        let wheres = self.written.iter().map(|(partition, (_, first))| match first {
            Some(offset) => format!("partition {partition} from offset {offset}"),
            None => format!("partition {partition}"),
        });
        let wheres: Vec<String> = wheres.collect();
        tell(&format!(
            "{all} written to {}: {}",
            self.args.topic,
            wheres.join(", ")
        ));
    }
}

impl Outgoing {
    /// About what it takes in a batch, in bytes.
    fn size(&self) -> usize {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + bytes(value) + 10)
            .sum();
        bytes(&self.key) + bytes(&self.value) + headers + RECORD_OVERHEAD_MAX
    }
}

/// A thread reads, so that the sender can see when nothing comes. The channel is short: input that is faster
/// than the broker waits.
fn lines_of_stdin(delimiter: Vec<u8>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let item = next_line(&mut input, &delimiter).transpose();
            let Some(item) = item else { return };
            let failed = item.is_err();
            if sender.send(item).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The next record without its delimiter; what stands after the last delimiter is a record if it is not
/// empty.
fn next_line(input: &mut impl BufRead, delimiter: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let last = *delimiter.last().expect("a delimiter has a byte");
    let mut line = Vec::new();
    loop {
        let limit = (LINE_BYTES_MAX - line.len()) as u64;
        let read = io::Read::take(&mut *input, limit).read_until(last, &mut line)?;
        if line.ends_with(delimiter) {
            line.truncate(line.len() - delimiter.len());
            return Ok(Some(line));
        }
        if line.len() == LINE_BYTES_MAX {
            let message = format!("a record of more than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if read == 0 {
            return Ok((!line.is_empty()).then_some(line));
        }
    }
}

fn split_once<'a>(line: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line
        .windows(delimiter.len())
        .position(|window| window == delimiter)?;
    Some((&line[..at], &line[at + delimiter.len()..]))
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_timestamp(text: &str) -> Result<i64, String> {
    parse_moment(text)
        .ok_or_else(|| "a time such as 2026-11-21T12:00 or @1700000000000 is expected".to_owned())
}

fn parse_codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "none, gzip, snappy, lz4 or zstd is expected".to_owned())
}

fn parse_acks(text: &str) -> Result<Acks, String> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err("all, 1 or 0 is expected".to_owned()),
    }
}

/// How long records wait for more of them.
const LINGER: Duration = Duration::from_millis(5);
/// Well below the usual max.message.bytes of 1 MiB.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Over all partitions.
const PENDING_BYTES_MAX: usize = 4 << 20;
const LINE_BYTES_MAX: usize = 64 << 20;
const LINES_AHEAD: usize = 1024;
/// Lengths, deltas and attributes of a record.
const RECORD_OVERHEAD_MAX: usize = 36;

const AFTER_HELP: &str = "\
Examples:
  millstream produce greetings hello
  echo 'hello' | millstream produce greetings
  millstream produce orders --key-delimiter : < orders.txt
  millstream produce orders --key customer-7 --header source=shop --compression zstd '{\"total\": 12}'
  millstream consume orders --json | millstream produce copy --json";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
        let mut input = text;
        std::iter::from_fn(|| next_line(&mut input, delimiter).unwrap()).collect()
    }

    #[test]
    fn records_end_at_the_delimiter_or_the_end() {
        assert_eq!(lines(b"a\n\nb", b"\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"a\n", b"\n"), [b"a"]);
        assert_eq!(lines(b"", b"\n"), [b""; 0]);
        assert_eq!(lines(b"a;b--c--;d", b"--"), [&b"a;b"[..], b"c", b";d"]);
        assert_eq!(lines(b"a-b", b"--"), [b"a-b"]);
    }

    #[test]
    fn keys_are_split_at_the_first_delimiter() {
        assert_eq!(split_once(b"k::v::w", b"::"), Some((&b"k"[..], &b"v::w"[..])));
        assert_eq!(split_once(b"kv", b":"), None);
        assert_eq!(split_once(b":v", b":"), Some((&b""[..], &b"v"[..])));
    }

    #[test]
    fn acks_by_kafkas_names() {
        assert_eq!(parse_acks("all"), Ok(Acks::All));
        assert_eq!(parse_acks("-1"), Ok(Acks::All));
        assert_eq!(parse_acks("0"), Ok(Acks::None));
        assert!(parse_acks("2").is_err());
    }
}
