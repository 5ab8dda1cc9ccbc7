//! Bounds of the broker. Every queue, table and count of the shell has one here; what a configuration may change is
//! said beside it.

use std::time::Duration;

/// Shards of one process: a fetch session's id names its shard.
pub const SHARDS_MAX: usize = millstream_machine::fetch_session::SHARDS_MAX as usize;

/// Connections of one shard. More are closed as they arrive.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections from one address over all shards, where `max.connections.per.ip` allows more.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;
/// Descriptors that accepting leaves for files, journals and the metadata log.
pub const DESCRIPTORS_RESERVED: usize = 64;

/// Bytes of unparsed requests that one connection may hold beyond the frame it is receiving.
pub const READ_AHEAD_MAX: usize = 64 * 1024;
/// Reply bytes of one connection not yet taken by the kernel, above which it starts no new request: who does not read
/// his answers has no more of them made.
pub const REPLY_BACKLOG_MAX: usize = 64 << 10;
/// Slices handed to the kernel in one send.
pub const SEND_PIECES_MAX: usize = 512;
/// Replies up to this size are copied together, so that consecutive ones leave in one piece.
pub const SMALL_REPLY_MAX: usize = 4 * 1024;

/// Records of one partition up to this size are copied into an answer where they would keep [`KEPT_SHARE`] times as
/// much memory alive.
pub const COPIED_RECORDS_MAX: usize = 64 * 1024;
/// See [`COPIED_RECORDS_MAX`]; and the most that a slice of records is charged, in multiples of its length.
pub const KEPT_SHARE: usize = 4;

/// Memory for requests and replies that a shard must have for each element (topic, partition …) of one request.
pub const REQUEST_ELEMENT_BYTES: usize = 1024;

/// Room behind a frame in its buffer, so that the next frame's length arrives along.
pub const FRAME_SPARE: usize = 4 * 1024;
/// Bytes of one receive into a frame's buffer: as many as it has already, within these. Memory is taken for each
/// before it is begun, except for the least: a thousand connections that announce much and send nothing take none.
pub const RECEIVE_CHUNK_MIN: usize = 16 * 1024;
/// See [`RECEIVE_CHUNK_MIN`].
pub const RECEIVE_CHUNK_MAX: usize = 256 << 10;

/// Frames of one connection handled in one turn.
pub const FRAMES_PER_CONNECTION_TURN: usize = 64;
/// Bytes of frames of one connection handled in one turn, but for a frame that passes it.
pub const BYTES_PER_CONNECTION_TURN: usize = 256 << 10;
/// Bytes of frames of all connections handled in one turn, but for a frame that passes it.
pub const BYTES_PER_TURN: usize = 4 << 20;
/// The same while somebody with little is about; see [`LITTLE_BYTES`].
pub const BYTES_PER_SHARED_TURN: usize = 1 << 20;
/// Who asked with a small request is about for this long: time enough to be answered and to ask again.
pub const LITTLE_REMEMBERED: Duration = Duration::from_millis(100);
/// A connection that has no more than this to be looked at, or to be sent, goes before those with more; and while the
/// logs are short of room, it may append this much where others wait.
pub const LITTLE_BYTES: usize = 64 << 10;
/// Bytes handed to the kernel in one turn for connections that have more than [`LITTLE_BYTES`] to send: it copies them
/// before it comes back.
pub const SEND_BYTES_PER_TURN: usize = 4 << 20;
/// The same while somebody with little is about.
pub const SEND_BYTES_PER_SHARED_TURN: usize = 1 << 20;
/// Bytes of large frames that the kernel is asked for in one turn while somebody with little is about: it copies what
/// it has of them before it comes back.
pub const RECEIVE_BYTES_PER_SHARED_TURN: usize = 1 << 20;
/// The least part of [`SEND_BYTES_PER_TURN`] that one connection is given.
pub const SEND_SHARE_MIN: usize = 128 << 10;
/// Bytes from the disk that one turn looks at for fetches, but for a run of batches that passes it: it checks them.
pub const COLD_BYTES_PER_TURN: u64 = 4 << 20;
/// The same while somebody with little is about: within 100 µs.
pub const COLD_BYTES_PER_SHARED_TURN: u64 = 256 << 10;
/// Messages of other shards handled in one turn.
pub const MESSAGES_PER_TURN: usize = 1_024;

/// Messages in flight from one shard to another.
pub const MAILBOX_SLOTS: usize = 1_024;
/// Calls (requests that wait for a flush, another shard, data or the controller) of one shard, where
/// `max.waiting.requests.per.core` allows as many.
pub const CALLS_MAX: usize = 256 * 1024;
/// Commands waiting for the controller.
pub const CONTROLLER_QUEUE: usize = 4_096;

/// Incremental fetch sessions of one shard.
pub const FETCH_SESSIONS_MAX: usize = 1_000;
/// Partitions of all incremental fetch sessions of one shard.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 1_000_000;
/// Memory for requests that there must be for each of them.
pub const FETCH_SESSION_PARTITION_BYTES: usize = 512;
/// Longest wait that a fetch may ask for.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(300);
/// A fetch that found too many reads waiting for the disk asks again after this long.
pub const POSTPONED_READ_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of records in one fetch response, whatever the client asks for.
pub const FETCH_BYTES_MAX: usize = 55 * 1024 * 1024;

/// A change of metadata that has waited for so long is told of, to a [`SWEEP_INTERVAL`]; as flushes of the journal are.
pub const METADATA_STALL: Duration = Duration::from_secs(2);

/// The pace of the sweep over connections: deadlines of connections are exact to this.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A connection without any request for so long is closed, where `connections.max.idle.ms` says nothing else.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(600);
/// Time for one frame to arrive, while we receive, plus [`FRAME_RATE_MIN`] for large ones.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes a second that a large frame must keep up.
pub const FRAME_RATE_MIN: usize = 64 * 1024;
/// Time for the kernel to take a send; a client that does not read for so long is closed.
pub const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// While memory is short: time for a frame to grow by [`FRAME_RATE_MIN`], or for a client to read anything.
pub const HOARDING_DEADLINE: Duration = Duration::from_secs(2);
/// Who keeps less is left alone.
pub const HOARDED_BYTES_MIN: usize = 4 * 1024;

/// Time that connections have to get their last replies at the end.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(3);

/// Largest request (Kafka's `socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Log lines about misbehaving clients a second and shard; the rest is counted.
pub const CLIENT_COMPLAINTS_PER_SECOND: u32 = 5;

/// Offsets partitions that a shard reads at a time, to load their coordinators.
pub const COORDINATOR_LOADS_MAX: usize = 4;
/// Bytes of an offsets partition that are replayed in one turn, but for a batch that passes it.
pub const GROUP_LOAD_PIECE_BYTES: u32 = 64 << 10;
/// A coordinator that was given up is loaded anew after this long.
pub const COORDINATOR_PAUSE: Duration = Duration::from_secs(1);
/// One whose partition cannot be read is tried again after this long.
pub const LOAD_PAUSE: Duration = Duration::from_secs(30);
/// Largest batch that a coordinator appends, in bytes: Kafka's `max.message.bytes`.
pub const GROUP_BATCH_BYTES_MAX: usize = 1_048_588;
/// Decisions of groups go into one append up to this size, and beyond it with one.
pub const GROUP_APPEND_BYTES: usize = 256 << 10;
/// How soon a log that had no room is asked again.
pub const APPEND_PAUSE: Duration = Duration::from_millis(1);
/// Bytes of an offsets partition below which no snapshot is taken of its groups.
pub const OFFSETS_LOG_BYTES_MIN: u64 = 1 << 20;
/// The same in multiples of what its groups take.
pub const OFFSETS_LOG_FACTOR: u64 = 4;
/// Bytes of a snapshot that are appended in one turn.
pub const SNAPSHOT_PIECE_BYTES: usize = 64 << 10;
/// The part of a shard's memory for requests that groups may take is one of so many; as much may their answers that
/// wait for the log, and the answers to one request.
pub const GROUP_STATE_SHARE: usize = 4;

/// Least segment of an internal topic: a batch of groups fits.
pub const INTERNAL_SEGMENT_BYTES_MIN: u32 = 2 << 20;
/// Largest segment of an internal topic: what a snapshot made superfluous is deleted segment by segment.
pub const INTERNAL_SEGMENT_BYTES_MAX: u32 = 8 << 20;

/// The metadata log is replaced by a snapshot when it is longer than this.
pub const METADATA_LOG_BYTES_MAX: u64 = 4 << 20;

/// Clients with quotas that are counted each for itself.
pub const QUOTA_WINDOWS_MAX: usize = 10_000;

/// What one client's metrics may be when they are decompressed, in bytes: they are on the shard's thread.
pub const CLIENT_METRICS_BYTES_MAX: usize = 1 << 20;
/// Metrics, points and attributes of one push together.
pub const CLIENT_METRICS_PARTS_MAX: usize = 20_000;
/// Bytes of a client's software's name, and of its version, beyond which they are not remembered.
pub const SOFTWARE_NAME_BYTES_MAX: usize = 128;

/// Producer ids that a shard takes from the controller at a time.
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

const _: () = assert!(READ_AHEAD_MAX > FRAME_SPARE);
const _: () = assert!(SEND_PIECES_MAX <= millstream_ring::limits::PIECES_MAX);
