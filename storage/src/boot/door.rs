//! The ring, used one step at a time: how a start reaches the disk before any shard's loop runs.

use std::collections::VecDeque;
use std::path::Path;

use millstream_ring::{
    AlignedBuf, Completion, Done, Entry, FileId, IoError, IoErrorKind, Op, OpenOptions, Ring, Token, Wait,
};

use crate::error::OpenError;
use crate::limits::BLOCK;

/// A ring with nothing else in flight.
pub(crate) struct Door<'a, R> {
    ring: &'a mut R,
    completions: Vec<Completion>,
    /// What [`Door::begin`] started and is under way; and what ended while others were waited for.
    beginning: Vec<u64>,
    begun: VecDeque<(u64, Result<Done, IoError>)>,
    /// The ring does not answer any more.
    lost: bool,
    /// Nothing is changed, see [`Door::to_look`].
    looks: bool,
    /// The file system has no direct I/O, which only a look does without.
    is_buffered: bool,
}

impl<'a, R: Ring> Door<'a, R> {
    pub(crate) fn new(ring: &'a mut R) -> Door<'a, R> {
        assert!(ring.in_flight() == 0, "a start has the ring to itself");
        Door {
            ring,
            completions: Vec::new(),
            beginning: Vec::new(),
            begun: VecDeque::new(),
            lost: false,
            looks: false,
            is_buffered: false,
        }
    }

    /// For a look at a directory that may belong to anybody: what a start would remove or make durable stays as it is,
    /// and an operation that would write is a bug.
    pub(crate) fn to_look(ring: &'a mut R) -> Door<'a, R> {
        Door {
            looks: true,
            ..Door::new(ring)
        }
    }

    /// Carries out one operation.
    pub(crate) fn run(&mut self, op: Op) -> Result<Done, IoError> {
        let mut result = None;
        self.run_all(std::iter::once(op), |_, done| result = Some(done));
        result.expect("every operation completes")
    }

    /// Carries out all operations, many at a time, and tells each one's end with its index. A disk that
    /// does not answer for a minute ends this, and everything after it, with an error.
    pub(crate) fn run_all(
        &mut self,
        ops: impl Iterator<Item = Op>,
        mut each: impl FnMut(usize, Result<Done, IoError>),
    ) {
        let mut ops = ops.enumerate();
        let mut in_flight = 0;
        loop {
            while in_flight < DEPTH
                && let Some((index, op)) = ops.next()
            {
                self.check(&op);
                self.ring.submit(Token(index as u64), op);
                in_flight += 1;
            }
            if in_flight == 0 {
                return;
            }
            if !self.wait() {
                return each(0, Err(IoError::new(ETIMEDOUT)));
            }
            for Completion { token, result, .. } in self.completions.drain(..) {
                if token.0 & BEGUN != 0 {
                    self.begun.push_back((token.0 & !BEGUN, result));
                } else {
                    in_flight -= 1;
                    each(token.0 as usize, result);
                }
            }
        }
    }

    /// Starts an operation whose end [`Door::begun`] tells; others go on beside it.
    pub(crate) fn begin(&mut self, number: u64, op: Op) {
        self.check(&op);
        self.beginning.push(number);
        self.ring.submit(Token(number | BEGUN), op);
    }

    /// Waits for the end of one of the operations that [`Door::begin`] started. There is one.
    pub(crate) fn begun(&mut self) -> (u64, Result<Done, IoError>) {
        loop {
            if let Some((number, result)) = self.begun.pop_front() {
                self.beginning.retain(|known| *known != number);
                return (number, result);
            }
            if !self.wait() {
                let number = self.beginning.pop().expect("something was begun");
                return (number, Err(IoError::new(ETIMEDOUT)));
            }
            let ended = self
                .completions
                .drain(..)
                .map(|ended| (ended.token.0 & !BEGUN, ended.result));
            self.begun.extend(ended);
        }
    }

    /// Waits for completions; false when the disk has not answered for a minute.
    fn wait(&mut self) -> bool {
        for _ in 0..SILENT_STEPS_MAX {
            if self.lost {
                return false;
            }
            self.ring.enter(Wait::Until(STEP), &mut self.completions);
            if !self.completions.is_empty() {
                return true;
            }
        }
        self.lost = true;
        false
    }

    /// As [`Door::run`]; an error says what was being done.
    pub(crate) fn must(&mut self, what: &str, path: &Path, op: Op) -> Result<Done, OpenError> {
        self.run(op).map_err(|error| failed(what, path, error))
    }

    /// Makes a directory unless it is there; tells whether it was made.
    pub(crate) fn make_dir(&mut self, path: &Path) -> Result<bool, OpenError> {
        match self.run(Op::MakeDir {
            path: path.to_owned(),
        }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == IoErrorKind::Exists => Ok(false),
            Err(error) => Err(failed("cannot make the directory", path, error)),
        }
    }

    /// Makes what was written to the file durable.
    pub(crate) fn flush(&mut self, path: &Path, file: FileId) -> Result<(), OpenError> {
        if self.looks {
            return Ok(());
        }
        self.must("cannot flush", path, Op::Datasync { file }).map(drop)
    }

    pub(crate) fn sync_dir(&mut self, path: &Path) -> Result<(), OpenError> {
        if self.looks {
            return Ok(());
        }
        self.must(
            "cannot sync the directory",
            path,
            Op::SyncDir {
                path: path.to_owned(),
            },
        )
        .map(drop)
    }

    /// How files are opened: past the page cache.
    pub(crate) fn options(&self, create: bool) -> OpenOptions {
        OpenOptions {
            write: !self.looks,
            create,
            direct: !self.is_buffered,
            ..OpenOptions::default()
        }
    }

    /// Opens a file past the page cache; tells its size. A look takes what a file system without direct I/O has.
    pub(crate) fn open(&mut self, path: &Path, create: bool) -> Result<(FileId, u64), OpenError> {
        let open = |options| Op::OpenFile {
            path: path.to_owned(),
            options,
        };
        let mut opened = self.run(open(self.options(create)));
        if self.looks && matches!(&opened, Err(error) if error.kind() == IoErrorKind::Unsupported) {
            self.is_buffered = true;
            opened = self.run(open(self.options(create)));
        }
        match opened {
            Ok(Done::Opened { file, size }) => Ok((file, size)),
            Ok(other) => unreachable!("opening completes as opened, not {other:?}"),
            Err(error) if error.kind() == IoErrorKind::Unsupported => Err(OpenError::NoDirectIo {
                path: path.display().to_string(),
            }),
            Err(error) => Err(failed("cannot open", path, error)),
        }
    }

    /// The names in a directory.
    pub(crate) fn list(&mut self, path: &Path) -> Result<Vec<Entry>, OpenError> {
        match self.must(
            "cannot list",
            path,
            Op::List {
                path: path.to_owned(),
            },
        )? {
            Done::Listed(entries) => Ok(entries),
            other => unreachable!("listing completes as listed, not {other:?}"),
        }
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), OpenError> {
        let op = Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        self.must("cannot rename", from, op).map(drop)
    }

    /// Removes a file, if it is there.
    pub(crate) fn unlink(&mut self, path: &Path) -> Result<(), OpenError> {
        if self.looks {
            return Ok(());
        }
        match self.run(Op::Unlink {
            path: path.to_owned(),
        }) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("cannot remove", path, error)),
        }
    }

    pub(crate) fn close(&mut self, file: FileId) {
        // Nothing depends on it: what had to be durable was synced.
        let _ = self.run(Op::CloseFile { file });
    }

    /// Reads a whole file of at most `bytes_max`, in large pieces, many at a time.
    pub(crate) fn read_all(
        &mut self,
        path: &Path,
        file: FileId,
        size: u64,
    ) -> Result<Vec<AlignedBuf>, OpenError> {
        let pieces = size.div_ceil(PIECE);
        let ops = (0..pieces).map(|piece| {
            let len = PIECE.min((size - piece * PIECE).next_multiple_of(BLOCK)) as usize;
            Op::Read {
                file,
                at: piece * PIECE,
                buf: AlignedBuf::zeroed(len),
                len,
            }
        });
        let mut bufs: Vec<Option<AlignedBuf>> = (0..pieces).map(|_| None).collect();
        let mut stopped = Vec::new();
        let mut failure = None;
        self.run_all(ops, |index, result| match result {
            Ok(Done::Read { buf, n }) => {
                let wanted = PIECE.min(size - index as u64 * PIECE);
                stopped.extend(((n as u64) < wanted).then_some(index));
                bufs[index] = Some(buf);
            }
            Ok(other) => unreachable!("a read completes as a read, not {other:?}"),
            Err(error) => failure = Some(error),
        });
        for index in stopped {
            let buf = bufs[index].as_mut().expect("it was read, in part");
            failure = failure.or(self.read_blocks(file, index as u64 * PIECE, buf).err());
        }
        match failure {
            Some(error) => Err(failed("cannot read", path, error)),
            None => Ok(bufs
                .into_iter()
                .map(|buf| buf.expect("every read completed"))
                .collect()),
        }
    }

    /// Reads block by block, where a read brought only a part: a device may stop in the middle. Tells how many bytes
    /// there are before the file's end; beyond it `buf` stays as it is.
    pub(crate) fn read_blocks(
        &mut self,
        file: FileId,
        at: u64,
        buf: &mut AlignedBuf,
    ) -> Result<usize, IoError> {
        let ops = (0..buf.len() as u64 / BLOCK).map(|block| Op::Read {
            file,
            at: at + block * BLOCK,
            buf: AlignedBuf::zeroed(BLOCK as usize),
            len: BLOCK as usize,
        });
        let (mut end, mut failure) = (0, None);
        self.run_all(ops, |block, result| match result {
            Ok(Done::Read { buf: read, n }) => {
                let from = block * BLOCK as usize;
                buf[from..from + n].copy_from_slice(&read[..n]);
                end = end.max(if n > 0 { from + n } else { 0 });
            }
            Ok(other) => unreachable!("a read completes as a read, not {other:?}"),
            Err(error) => failure = Some(error),
        });
        failure.map_or(Ok(end), Err)
    }

    /// Writes whole blocks, durably.
    pub(crate) fn write(
        &mut self,
        path: &Path,
        file: FileId,
        at: u64,
        buf: AlignedBuf,
    ) -> Result<(), OpenError> {
        let len = buf.len();
        let op = Op::Write {
            file,
            at,
            slices: vec![buf.freeze()],
            durable: true,
        };
        match self.must("cannot write", path, op)? {
            Done::Written { n, .. } if n == len => Ok(()),
            _ => Err(OpenError::Io {
                what: format!("cannot write all of {}", path.display()),
                errno: ENOSPC,
            }),
        }
    }
}

impl<R> Door<'_, R> {
    /// Whether nothing may be changed.
    pub(crate) fn looks(&self) -> bool {
        self.looks
    }

    fn check(&self, op: &Op) {
        let reads = match op {
            Op::OpenFile { options, .. } => !(options.write || options.create || options.create_new),
            Op::Read { .. } | Op::CloseFile { .. } | Op::List { .. } => true,
            _ => false,
        };
        assert!(reads || !self.looks, "a look changes nothing");
    }
}

pub(crate) fn failed(what: &str, path: &Path, error: IoError) -> OpenError {
    OpenError::Io {
        what: format!("{what} {}: {error}", path.display()),
        errno: error.errno,
    }
}

/// In the tokens of what [`Door::begin`] starts.
const BEGUN: u64 = 1 << 63;
/// Operations in flight: deep enough for any device.
const DEPTH: usize = 32;
const PIECE: u64 = 1 << 20;
const STEP: std::time::Duration = std::time::Duration::from_millis(100);
/// A minute.
const SILENT_STEPS_MAX: u32 = 600;
const ETIMEDOUT: i32 = 110;
/// What a short write at a start means.
const ENOSPC: i32 = 28;
