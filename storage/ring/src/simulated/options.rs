//! How hostile a simulated world is.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A world's character. The default reorders everything and transfers in pieces, but nothing fails.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Time that an operation on a file takes.
    pub disk_latency: RangeInclusive<Duration>,
    /// Time that a slow operation on a file takes.
    pub slow_latency: RangeInclusive<Duration>,
    /// Time between two steps of an operation on a socket.
    pub network_latency: RangeInclusive<Duration>,
    /// Receive buffers of each ring.
    pub pool_buffers: u16,
    /// Bytes that a connection holds in each direction.
    pub socket_buffer: usize,
    /// Bytes of the disk.
    pub capacity: u64,
    /// Opening with `direct` fails with `EINVAL`.
    pub refuse_direct: bool,
    pub faults: Faults,
}

/// Rates of what goes wrong, each in operations of 1,000.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A write of several blocks writes only some of its first ones.
    pub short_writes: u32,
    /// A read of several blocks brings only some of its first ones.
    pub short_reads: u32,
    /// An open finds no descriptor (EMFILE).
    pub open_errors: u32,
    /// An accept finds no descriptor (EMFILE) and must be armed again.
    pub accept_errors: u32,
    pub read_errors: u32,
    pub write_errors: u32,
    pub sync_errors: u32,
    /// A write lands at another block of its file, or in another file, and says nothing.
    pub misdirected_writes: u32,
    /// A write goes nowhere, and says nothing.
    pub lost_writes: u32,
    /// A written block cannot be read (EIO) until it is written again.
    pub latent_read_errors: u32,
    /// An operation on a file takes [`SimOptions::slow_latency`].
    pub slow_operations: u32,
    /// An accept ends after a connection and must be armed again.
    pub ended_accepts: u32,
    /// A step of a connection finds it reset.
    pub resets: u32,
}

/// An operation that is about to take effect, for a hook that makes it fail: see `SimWorld::fail_when`.
#[derive(Debug)]
pub struct OpView<'a> {
    pub kind: OpKind,
    /// Of the file when it was opened, or of the name that is changed.
    pub path: &'a Path,
    /// Bytes; zero where it has no meaning.
    pub at: u64,
    pub len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    Open,
    Read,
    Write,
    Datasync,
    Allocate,
    Truncate,
    Rename,
    Unlink,
    MakeDir,
    SyncDir,
    List,
}

/// What a device may do to a transfer instead of what it was asked: see `SimWorld::meddle_when`. It answers as if
/// nothing was, save for `Short`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// A write goes nowhere.
    Lost,
    /// A write lands at another block of its file, or in another file.
    Misdirected,
    /// One of the sectors that are written cannot be read (EIO) until it is written again.
    Spoilt,
    /// Only some of the first blocks are transferred, and it says so; one block is transferred whole.
    Short,
}

/// A sector that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lie {
    pub path: PathBuf,
    /// Where the sector begins in its file.
    pub at: u64,
}

/// What operations on files have met so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Operations that ended because the disk was full.
    pub full: u64,
    /// Operations that took [`SimOptions::slow_latency`].
    pub slow: u64,
}

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// At this flush boundary, counted from zero: each flush has two, one just before its bytes are durable and
    /// one just after, before its completion is seen. See `SimWorld::boundaries`.
    AtBoundary(u64),
    /// Before this event of the world, counted from zero. See `SimWorld::events`.
    AtEvent(u64),
}

impl Default for SimOptions {
    fn default() -> SimOptions {
        SimOptions {
            disk_latency: Duration::from_micros(20)..=Duration::from_micros(400),
            slow_latency: Duration::from_millis(20)..=Duration::from_secs(2),
            network_latency: Duration::from_micros(1)..=Duration::from_micros(60),
            pool_buffers: 64,
            socket_buffer: 64 * 1024,
            capacity: 1 << 40,
            refuse_direct: false,
            faults: Faults::default(),
        }
    }
}
