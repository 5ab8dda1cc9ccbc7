//! What a search has met, seen from outside: from the operations that reach the disk, from answers and from images.
//!
//! Invariant: a mark that no seed of a long enough search meets fails it, so no corner is covered by hope.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use millstream_log::{Checkpoint, Record, Round, layout};
use millstream_ring::IoError;
use millstream_ring::simulated::{DiskImage, Meddling, OpKind, OpView, SimWorld};

use crate::media::{Place, place_of, place_of_names};

/// Everything that a search must meet.
pub const MARKS: &[&str] = &[
    "journal wrapped",
    "round that only tells what is settled",
    "direct write",
    "direct write torn, log cut",
    "block written again after padding",
    "checkpoint freed the journal",
    "checkpoint slot lost",
    "segment sealed",
    "segment removed",
    "cold read",
    "operation refused by a full disk",
    "append acknowledged after a full disk",
    "recovery crashed",
    "recovery crashed, and the same found as without",
    "life crashed at every boundary",
    "sidecar index held against its segment",
    "power cut at a boundary",
    "power cut between boundaries",
    "killed without a power cut",
    "orderly end",
    "number of shards changed",
    "metadata snapshot",
    "metadata log torn",
    "records deleted",
    "records removed by retention",
    "topic deleted",
    "topic recreated",
    "topic grown",
    "config changed",
    "outcome of a creation found out",
    "outcome of a deletion found out",
    "duplicate recognised",
    "duplicate recognised after a restart",
    "batch sent again after a crash",
    "unacknowledged suffix gone",
    "unacknowledged suffix kept",
    "device error of a write",
    "device error of a read",
    "device error of a flush",
    "device error of names",
    "device error of an open",
    "partition refused after an error",
    "slow operation",
    "write forgotten by the device",
    "write put elsewhere by the device",
    "sector gone bad",
    "bytes changed at rest",
    "partition refused for what the device did",
    "start refused for what the device did",
    "transfer stopped in the middle",
    "end of an older epoch told",
    "records removed for their age",
    "batch with the time of its arrival",
    "segment file put aside",
    "no descriptor",
    "start refused for want of a descriptor",
    "incremental fetch",
    "partition forgotten by a fetch session",
    "compressed batch read",
    "record found by its time",
];

/// Shared by the worlds of one run.
#[derive(Clone, Default)]
pub struct Eyes(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    marks: BTreeMap<&'static str, u64>,
    /// Per file: the exclusive end of the furthest write of this world.
    ends: BTreeMap<PathBuf, u64>,
    checkpoints: BTreeSet<PathBuf>,
    /// Bytes read from the disk.
    read: u64,
    armed: Option<Armed>,
    fired: u64,
    starved: u64,
    meddling: Option<ArmedMeddling>,
    lies: u64,
}

/// An operation that is to fail once.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    pub kind: OpKind,
    pub place: Place,
    pub errno: i32,
    /// So many matching operations go well before.
    pub after: u64,
}

/// A transfer that the device is to meddle with, once.
#[derive(Clone, Copy, Debug)]
pub struct ArmedMeddling {
    pub what: Meddling,
    pub place: Place,
    /// So many matching transfers go well before.
    pub after: u64,
}

impl Eyes {
    pub fn mark(&self, mark: &'static str) {
        debug_assert!(MARKS.contains(&mark), "{mark}");
        self.0.borrow_mut().mark(mark);
    }

    pub fn marks(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().marks.clone()
    }

    /// Watches a world from now on.
    pub fn watch(&self, world: &SimWorld, direct_bytes_min: u64) {
        self.0.borrow_mut().ends.clear();
        let seen = Rc::clone(&self.0);
        world.fail_when(move |op| seen.borrow_mut().look(op, direct_bytes_min));
        let seen = Rc::clone(&self.0);
        world.meddle_when(move |op| seen.borrow_mut().meddle(op));
    }

    pub fn arm(&self, armed: Option<Armed>) {
        self.0.borrow_mut().armed = armed;
    }

    pub fn arm_meddling(&self, armed: Option<ArmedMeddling>) {
        self.0.borrow_mut().meddling = armed;
    }

    /// Writes about which the device lied.
    pub fn lies(&self) -> u64 {
        self.0.borrow().lies
    }

    /// Operations that failed because of [`Eyes::arm`].
    pub fn fired(&self) -> u64 {
        self.0.borrow().fired
    }

    /// Those of them that found no descriptor.
    pub fn starved(&self) -> u64 {
        self.0.borrow().starved
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.0.borrow().read
    }

    /// Notes what an image shows.
    pub fn look_at(&self, image: &DiskImage) {
        for path in image.paths() {
            let Some(name) = parse(&path) else { continue };
            let bytes = image.read(&path).unwrap_or_default();
            match name {
                layout::FileName::Checkpoint(..)
                    if !bytes.is_empty() && Checkpoint::decode(&bytes).is_err() =>
                {
                    self.mark("checkpoint slot lost");
                }
                layout::FileName::Journal(_) if bytes.chunks(4096).any(is_settle) => {
                    self.mark("round that only tells what is settled");
                }
                _ => {}
            }
        }
    }
}

/// A round of its own that says what is settled.
fn is_settle(block: &[u8]) -> bool {
    let Ok(round) = Round::decode(block) else {
        return false;
    };
    matches!(round.records().next(), Some(Ok(Record::Settle)))
}

impl Seen {
    fn look(&mut self, op: &OpView<'_>, direct_bytes_min: u64) -> Option<IoError> {
        if op.kind == OpKind::Read {
            self.read += op.len;
        }
        let place = match op.kind {
            OpKind::SyncDir => place_of_names(op.path),
            _ => place_of(op.path),
        }?;
        if let Some(armed) = &mut self.armed
            && armed.kind == op.kind
            && armed.place == place
        {
            if armed.after == 0 {
                let error = IoError::new(armed.errno);
                self.armed = None;
                if error.errno == EMFILE {
                    self.starved += 1;
                    self.mark("no descriptor");
                } else {
                    self.fired += 1;
                    self.mark(device_error(op.kind));
                }
                return Some(error);
            }
            armed.after -= 1;
        }
        match (op.kind, place) {
            (OpKind::Write, _) => self.look_at_write(op, place, direct_bytes_min),
            (OpKind::Read, Place::Segment) => self.mark("cold read"),
            (OpKind::Unlink, Place::Segment) => self.mark("segment removed"),
            // Only a segment that is not the last one is cut to its size.
            (OpKind::Truncate, Place::Segment) => self.mark("segment sealed"),
            (OpKind::Rename, Place::Metadata) => self.mark("metadata snapshot"),
            _ => {}
        }
        None
    }

    fn meddle(&mut self, op: &OpView<'_>) -> Option<Meddling> {
        let armed = self.meddling.as_mut()?;
        let is_short = armed.what == Meddling::Short;
        let fits = op.kind == OpKind::Write || is_short && op.kind == OpKind::Read;
        if !fits || place_of(op.path) != Some(armed.place) || is_short && op.len <= layout::BLOCK {
            return None;
        }
        if armed.after > 0 {
            armed.after -= 1;
            return None;
        }
        let what = armed.what;
        self.meddling = None;
        self.mark(match what {
            Meddling::Lost => "write forgotten by the device",
            Meddling::Misdirected => "write put elsewhere by the device",
            Meddling::Spoilt => "sector gone bad",
            Meddling::Short => "transfer stopped in the middle",
        });
        match what {
            // The host's file system goes on with the metadata where it stopped; everywhere else it is an error.
            Meddling::Short if op.kind == OpKind::Write && place_of(op.path) != Some(Place::Metadata) => {
                self.fired += 1;
            }
            Meddling::Short => {}
            _ => self.lies += 1,
        }
        Some(what)
    }

    fn look_at_write(&mut self, op: &OpView<'_>, place: Place, direct_bytes_min: u64) {
        let end = self.ends.entry(op.path.to_owned()).or_default();
        let again = op.at < *end;
        *end = match place {
            Place::Journal => op.at + op.len,
            _ => (*end).max(op.at + op.len),
        };
        let mark = match place {
            Place::Journal if again => "journal wrapped",
            Place::Segment if again && op.at > 0 => "block written again after padding",
            Place::Segment if op.len >= direct_bytes_min => "direct write",
            Place::Checkpoint if !self.checkpoints.insert(op.path.to_owned()) => {
                "checkpoint freed the journal"
            }
            _ => return,
        };
        self.mark(mark);
    }

    fn mark(&mut self, mark: &'static str) {
        *self.marks.entry(mark).or_default() += 1;
    }
}

/// The mark of an operation that a device failed.
fn device_error(kind: OpKind) -> &'static str {
    match kind {
        OpKind::Write => "device error of a write",
        OpKind::Read => "device error of a read",
        OpKind::Datasync => "device error of a flush",
        OpKind::SyncDir => "device error of names",
        OpKind::Open => "device error of an open",
        other => unreachable!("nobody lets {other:?} fail"),
    }
}

/// As the ring's errors name it.
const EMFILE: i32 = 24;

fn parse(path: &Path) -> Option<layout::FileName> {
    layout::FileName::parse(path.file_name()?.to_str()?)
}
