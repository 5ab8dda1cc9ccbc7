//! What a search has met, seen from outside: from the operations that reach the disk, from answers and from images.
//!
//! Place: watches every file operation of a simulated world, and lets chosen ones fail.
//! Invariant: a mark that no run of the fixed slice meets fails the test, so no corner is covered by hope.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use millstream_log::{Checkpoint, layout};
use millstream_ring::IoError;
use millstream_ring::simulated::{DiskImage, OpKind, OpView, SimWorld};

/// Everything that the fixed slice must meet.
pub const MARKS: &[&str] = &[
    "journal wrapped",
    "direct write",
    "direct write lost, log cut",
    "block written again after padding",
    "checkpoint freed the journal",
    "segment rolled",
    "segment removed",
    "sidecar written",
    "sidecar read",
    "cold read",
    "read from memory",
    "full disk",
    "full disk got over",
    "recovery crashed",
    "killed without a power cut",
    "orderly end",
    "number of shards changed",
    "records deleted",
    "partition deleted",
    "duplicate recognised",
    "duplicate recognised after a restart",
    "unacknowledged suffix gone",
    "unacknowledged suffix kept",
    "partition fenced by an error",
    "damage at rest found",
    "power cut at a boundary",
];

/// What some hundred seeds must meet besides.
pub const RARE_MARKS: &[&str] = &[
    "checkpoint slot torn",
    "writes stopped by an error",
    "read refused by an error",
    "index rebuilt",
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
    armed: Option<Armed>,
    fired: u64,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Journal,
    Checkpoint,
    Segment,
    Sidecar,
}

impl Eyes {
    pub fn mark(&self, mark: &'static str) {
        assert!(MARKS.contains(&mark) || RARE_MARKS.contains(&mark), "{mark}");
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
    }

    pub fn arm(&self, armed: Armed) {
        self.0.borrow_mut().armed = Some(armed);
    }

    pub fn disarm(&self) {
        self.0.borrow_mut().armed = None;
    }

    /// Operations that failed because of [`Eyes::arm`].
    pub fn fired(&self) -> u64 {
        self.0.borrow().fired
    }

    /// Notes what an image shows.
    pub fn look_at(&self, image: &DiskImage) {
        for path in image.paths() {
            let Some(layout::FileName::Checkpoint(..)) = parse(&path) else {
                continue;
            };
            let bytes = image.read(&path).unwrap_or_default();
            if bytes.iter().any(|byte| *byte != 0) && Checkpoint::decode(&bytes).is_err() {
                self.mark("checkpoint slot torn");
            }
        }
    }
}

impl Seen {
    fn look(&mut self, op: &OpView<'_>, direct_bytes_min: u64) -> Option<IoError> {
        let place = match parse(op.path) {
            Some(layout::FileName::Journal(_)) => Place::Journal,
            Some(layout::FileName::Checkpoint(..)) => Place::Checkpoint,
            Some(layout::FileName::Segment(_)) => Place::Segment,
            Some(layout::FileName::Sidecar(_)) => Place::Sidecar,
            _ => return None,
        };
        if let Some(armed) = &mut self.armed
            && armed.kind == op.kind
            && armed.place == place
        {
            if armed.after == 0 {
                let error = IoError::new(armed.errno);
                self.armed = None;
                self.fired += 1;
                return Some(error);
            }
            armed.after -= 1;
        }
        match op.kind {
            OpKind::Write if place != Place::Sidecar => self.look_at_write(op, place, direct_bytes_min),
            OpKind::Write if place == Place::Sidecar => self.mark("sidecar written"),
            OpKind::Read if place == Place::Sidecar => self.mark("sidecar read"),
            OpKind::Unlink if place == Place::Segment => self.mark("segment removed"),
            // Only the segment that is not the last one is cut to its size.
            OpKind::Truncate if place == Place::Segment => self.mark("segment rolled"),
            _ => {}
        }
        None
    }

    fn look_at_write(&mut self, op: &OpView<'_>, place: Place, direct_bytes_min: u64) {
        let end = self.ends.entry(op.path.to_owned()).or_default();
        let again = op.at < *end;
        *end = if place == Place::Journal {
            op.at + op.len
        } else {
            (*end).max(op.at + op.len)
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

pub fn parse(path: &Path) -> Option<layout::FileName> {
    layout::FileName::parse(path.file_name()?.to_str()?)
}

/// As the ring's errors name it.
pub const EIO: i32 = 5;
