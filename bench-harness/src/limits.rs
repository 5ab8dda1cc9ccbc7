//! Bounds of the load generator, in one place.
//! Invariant: everything that a peer declares is checked against one of these before memory is taken for it.

/// Largest response that the client accepts, in bytes, length prefix excluded.
pub const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// Largest request that the bare loop accepts, in bytes, length prefix excluded.
pub const REQUEST_BYTES_MAX: usize = 100 << 20;

/// Requests joined in one vectored send; each takes two pieces.
pub const SEND_REQUESTS_MAX: usize = 16;

/// Events taken from one wait.
pub const EVENTS_MAX: usize = 256;

/// Size at which a receive buffer starts, in bytes; it grows to the frame that it must hold.
pub const RECEIVE_BYTES: usize = 256 << 10;

/// Longest latency that the histogram tells apart; longer ones count as this long.
pub const LATENCY_NANOS_MAX: u64 = 60_000_000_000;

/// Most points of a series over time; a longer window has longer steps.
pub const SERIES_POINTS_MAX: usize = 600;

/// Most points of the curve "latency by quantile".
pub const CURVE_POINTS_MAX: usize = 256;

/// Seconds of statistics that the generator and the thread that sums them up share, each a histogram.
pub const SECONDS_IN_HAND: usize = 3;

/// Most rounds of a run that is compared with another.
pub const ROUNDS_COMPARED_MAX: usize = 64;

/// How long a run waits for the answers that are missing when its time is over.
pub const DRAIN_SECONDS: u64 = 5;

/// Size of the bare loop's pre-written file, in bytes; writing starts over at its end.
pub const BARE_FILE_BYTES: u64 = 512 << 20;

/// Most bytes that one write of the bare loop carries.
pub const BARE_ROUND_BYTES: usize = 16 << 20;

/// Share of a window's wall time from which a client thread counts as the limit.
pub const CLIENT_BUSY_SHARE: f64 = 0.95;

/// Connections of a load that come from one address of the loopback.
pub const CONNECTIONS_PER_ADDRESS: usize = 3_000;

/// What a scenario file may ask for, counts first.
pub const PARTITIONS_MAX: i64 = 100_000;
pub const CONNECTIONS_MAX: i64 = 60_000;
pub const IN_FLIGHT_MAX: i64 = 1_000;
pub const RECORDS_PER_BATCH_MAX: i64 = 1_000_000;
pub const ROUNDS_MAX: i64 = 1_000;
pub const LOADS_MAX: usize = 64;

/// Largest value of a record in a scenario, in bytes.
pub const RECORD_BYTES_MAX: i64 = 64 << 20;

/// Most bytes of requests that a load builds before its first round.
pub const PREBUILT_BYTES_MAX: usize = 2 << 30;

/// Largest scenario file, in bytes.
pub const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// How long the records that a scenario wants to be there may take to write.
pub const PRELOAD_SECONDS: u64 = 3_600;

const _: () = assert!(BARE_ROUND_BYTES.is_multiple_of(millstream_ring::BLOCK));
const _: () = assert!(BARE_FILE_BYTES >= 4 * BARE_ROUND_BYTES as u64);
