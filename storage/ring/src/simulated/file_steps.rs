//! What operations on files and names do to the simulated disk, step by step.

use super::disk::{Disk, Ino};
use super::inode::{OpNumber, PAGE, SECTOR};
use super::options::{Meddling, OpKind, OpView};
use super::prng::Prng;
use super::work::{FileWork, NameWork, Work};
use super::world::{File, World};
use crate::buffer::{AlignedBuf, Slice};
use crate::error::IoError;
use crate::limits::PIECES_MAX;
use crate::op::{Done, FileId, OpenOptions};

impl World {
    /// The operation meets the disk's cache: bytes are taken from, or put into, its buffers at this instant.
    pub(super) fn effect(&mut self, op: OpNumber) {
        let pending = self.ops.get_mut(&op).expect("an operation in flight");
        let ring = pending.ring;
        match &mut pending.work {
            Work::File { ino, path, work, .. } => {
                let (ino, path) = (*ino, path.clone());
                let mut work = std::mem::replace(work, FileWork::Truncate { len: 0 });
                let result = self.file_effect(op, ino, &path, &mut work);
                let Work::File {
                    work: place, outcome, ..
                } = self.work(op)
                else {
                    unreachable!("as above")
                };
                (*place, *outcome) = (work, Some(result));
            }
            Work::Names { work, .. } => {
                let mut work = std::mem::replace(
                    work,
                    NameWork::List {
                        path: Default::default(),
                    },
                );
                let result = self.name_effect(ring, &mut work);
                let Work::Names { work: place, outcome } = self.work(op) else {
                    unreachable!("as above")
                };
                (*place, *outcome) = (work, Some(result));
            }
            _ => unreachable!("sockets have steps of their own"),
        }
    }

    /// The operation is done; a durable one makes its promise true first.
    pub(super) fn complete(&mut self, op: OpNumber) {
        let ring = self.ops[&op].ring;
        let (slot, result) = match self.work(op) {
            Work::File {
                slot,
                ino,
                work,
                outcome,
                ..
            } => {
                let (slot, ino) = (*slot, *ino);
                let result = outcome.take().expect("the effect came first");
                let flush = match (work, &result) {
                    (_, Err(_)) => None,
                    (
                        FileWork::Write {
                            at, durable: true, ..
                        },
                        Ok(Done::Written { n, .. }),
                    ) => Some(Flush::Range(*at, *n as u64)),
                    (FileWork::Datasync { horizon, open }, _) => {
                        Some(Flush::File(*horizon, std::mem::take(open)))
                    }
                    _ => None,
                };
                if flush.is_some_and(|flush| !self.flush(op, ino, flush)) {
                    return;
                }
                (Some(slot), result)
            }
            Work::Names {
                work: NameWork::SyncDir { path },
                outcome,
            } => {
                let path = path.clone();
                let mut result = outcome.take().expect("the effect came first");
                if result.is_ok() {
                    if !self.boundary() {
                        return;
                    }
                    result = self.disk.sync_dir(&path).map(|()| Done::Finished);
                    if !self.boundary() {
                        return;
                    }
                }
                (None, result)
            }
            Work::Names { outcome, .. } => (None, outcome.take().expect("the effect came first")),
            _ => unreachable!("sockets have steps of their own"),
        };
        self.finish(op, result);
        if let Some(slot) = slot {
            self.release_file(ring, slot);
        }
    }

    /// The disk as the end of everything in flight finds it, by a power cut or a kill: operations that had not met the
    /// cache yet may have, all the same; no flush has come to its end.
    pub(super) fn interrupted_disk(&self, prng: &mut Prng) -> Disk {
        let mut disk = self.disk.clone();
        for (op, pending) in &self.ops {
            match &pending.work {
                Work::File {
                    ino,
                    work,
                    outcome: None,
                    ..
                } if prng.coin() => interrupt(&mut disk, *op, *ino, work, prng),
                Work::Names { work, outcome: None } if prng.coin() => interrupt_names(&mut disk, work),
                _ => {}
            }
        }
        disk
    }

    fn file_effect(
        &mut self,
        op: OpNumber,
        ino: Ino,
        path: &std::path::Path,
        work: &mut FileWork,
    ) -> Result<Done, IoError> {
        match work {
            FileWork::Read { at, buf, len } => {
                let (at, len, buf) = (*at, *len, buf.take().expect("one effect"));
                self.fail(OpKind::Read, path, at, len as u64)?;
                self.read(ino, path, at, buf, len)
            }
            FileWork::Write { at, slices, len, .. } => {
                let slices = slices.take().expect("one effect");
                if let Err(error) = self.fail(OpKind::Write, path, *at, *len) {
                    // A write that is refused has not begun.
                    if error.errno == libc::EIO {
                        let bytes = joined(&slices);
                        let len = sectors_begun(bytes.len(), &mut self.fault_prng);
                        put(&mut self.disk, op, ino, *at, &bytes[..len]);
                    }
                    return Err(error);
                }
                let n = self.write(op, ino, path, *at, &slices)?;
                Ok(Done::Written { n, slices })
            }
            FileWork::Datasync { horizon, open } => {
                let failed = self.fail(OpKind::Datasync, path, 0, 0);
                if failed.is_err() {
                    let file = self.disk.files.get_mut(&ino).expect("an open file");
                    file.fail_flush(|other| other < *horizon && !open.contains(&other));
                }
                failed.map(|()| Done::Synced)
            }
            FileWork::Allocate { at, len } => {
                self.fail(OpKind::Allocate, path, *at, *len)?;
                self.disk.allocate(op, ino, *at, *len)?;
                Ok(Done::Finished)
            }
            FileWork::Truncate { len } => {
                self.fail(OpKind::Truncate, path, *len, 0)?;
                self.disk.truncate(op, ino, *len);
                Ok(Done::Finished)
            }
        }
    }

    fn name_effect(&mut self, ring: usize, work: &mut NameWork) -> Result<Done, IoError> {
        match work {
            NameWork::Open { path, options } => {
                self.fail(OpKind::Open, path, 0, 0)?;
                return self.open(ring, path, options);
            }
            NameWork::Rename { from, to } => {
                self.fail(OpKind::Rename, from, 0, 0)?;
                self.disk.rename(from, to)?;
            }
            NameWork::Unlink { path } => {
                self.fail(OpKind::Unlink, path, 0, 0)?;
                self.disk.unlink(path)?;
            }
            NameWork::MakeDir { path } => {
                self.fail(OpKind::MakeDir, path, 0, 0)?;
                self.disk.make_dir(path)?;
            }
            // Takes effect when it completes, between two boundaries. After one that failed the next covers its names,
            // too: unlike data pages they stay in the file system's journal, or that takes nothing any more.
            NameWork::SyncDir { path } => {
                self.fail(OpKind::SyncDir, path, 0, 0)?;
                self.disk.list(path)?;
            }
            NameWork::List { path } => {
                self.fail(OpKind::List, path, 0, 0)?;
                return Ok(Done::Listed(self.disk.list(path)?));
            }
        }
        Ok(Done::Finished)
    }

    fn open(&mut self, ring: usize, path: &std::path::Path, options: &OpenOptions) -> Result<Done, IoError> {
        if options.direct && self.options.refuse_direct {
            return Err(IoError::new(libc::EINVAL));
        }
        let ino = self
            .disk
            .open(path, options.write, options.create, options.create_new)?;
        let file = File {
            ino,
            path: path.to_owned(),
            direct: options.direct,
            dsync: options.dsync,
            operations: 0,
            closing: None,
        };
        let (slot, generation) = self.rings[ring].files.insert(file);
        Ok(Done::Opened {
            file: FileId { slot, generation },
            size: self.disk.files[&ino].size,
        })
    }

    fn read(
        &mut self,
        ino: Ino,
        path: &std::path::Path,
        at: u64,
        mut buf: AlignedBuf,
        len: usize,
    ) -> Result<Done, IoError> {
        let len = match self.meddling(OpKind::Read, path, at, len as u64) {
            Some(Meddling::Short) => self.shortened(1000, len),
            _ => self.shortened(self.options.faults.short_reads, len),
        };
        let n = self.disk.files[&ino]
            .read_into(at, &mut buf[..len])
            .ok_or(IoError::new(libc::EIO))?;
        Ok(Done::Read { buf, n })
    }

    fn write(
        &mut self,
        op: OpNumber,
        ino: Ino,
        path: &std::path::Path,
        at: u64,
        slices: &[Slice],
    ) -> Result<usize, IoError> {
        let bytes = joined(slices);
        let meddling = self.meddling(OpKind::Write, path, at, bytes.len() as u64);
        let len = match meddling {
            Some(Meddling::Short) => self.shortened(1000, bytes.len()),
            _ => self.shortened(self.options.faults.short_writes, bytes.len()),
        };
        match meddling.or_else(|| self.lying()) {
            Some(Meddling::Lost) => {
                let file = self.disk.files.get_mut(&ino).expect("an open file");
                file.lose(at, &bytes[..len]);
                Ok(len)
            }
            Some(Meddling::Misdirected) => {
                self.disk
                    .misdirect(op, ino, at, &bytes[..len], &mut self.fault_prng);
                Ok(len)
            }
            Some(Meddling::Spoilt) => {
                let n = self.disk.write(op, ino, at, &bytes[..len])?;
                let sector = (at + self.fault_prng.below(n as u64)) / SECTOR as u64;
                self.disk.files.get_mut(&ino).expect("an open file").spoil(sector);
                Ok(n)
            }
            Some(Meddling::Short) | None => self.disk.write(op, ino, at, &bytes[..len]),
        }
    }

    fn meddling(&mut self, kind: OpKind, path: &std::path::Path, at: u64, len: u64) -> Option<Meddling> {
        let hook = self.meddler.as_mut()?;
        hook(&OpView { kind, path, at, len })
    }

    /// What the rates make of a write.
    fn lying(&mut self) -> Option<Meddling> {
        let faults = &self.options.faults;
        let rates = [
            (faults.misdirected_writes, Meddling::Misdirected),
            (faults.lost_writes, Meddling::Lost),
            (faults.latent_read_errors, Meddling::Spoilt),
        ];
        let mut drawn = None;
        for (rate, meddling) in rates {
            if self.fault_prng.per_mille(rate) {
                drawn = drawn.or(Some(meddling));
            }
        }
        drawn
    }

    /// Fewer blocks than asked for, one at least, at this rate.
    fn shortened(&mut self, rate: u32, len: usize) -> usize {
        if len > PAGE && self.fault_prng.per_mille(rate) {
            PAGE * (1 + self.fault_prng.index((len - 1) / PAGE))
        } else {
            len
        }
    }

    /// Makes bytes durable between two boundaries. False: the power went at one of them.
    fn flush(&mut self, op: OpNumber, ino: Ino, flush: Flush) -> bool {
        if !self.boundary() {
            return false;
        }
        let file = self.disk.files.get_mut(&ino).expect("an open file");
        match flush {
            Flush::Range(at, len) => file.flush(Some((at, len)), |other| other == op),
            Flush::File(horizon, open) => {
                file.flush(None, |other| other < horizon && !open.contains(&other));
            }
        }
        self.boundary()
    }

    fn fail(&mut self, kind: OpKind, path: &std::path::Path, at: u64, len: u64) -> Result<(), IoError> {
        self.fails(kind, path, at, len).map_or(Ok(()), Err)
    }

    fn release_file(&mut self, ring: usize, slot: u32) {
        let file = self.rings[ring].files.at(slot);
        file.operations -= 1;
        if file.operations == 0 && file.closing.is_some() {
            self.close_idle_file(ring, slot);
        }
    }

    fn work(&mut self, op: OpNumber) -> &mut Work {
        &mut self.ops.get_mut(&op).expect("an operation in flight").work
    }
}

/// What one operation takes of the pieces.
fn joined(slices: &[Slice]) -> Vec<u8> {
    let mut bytes = Vec::new();
    slices
        .iter()
        .take(PIECES_MAX)
        .for_each(|slice| bytes.extend_from_slice(slice));
    bytes
}

/// Bytes that a write that stopped somewhere has put into the cache: whole sectors, maybe none.
fn sectors_begun(len: usize, prng: &mut Prng) -> usize {
    (SECTOR * prng.index(len.div_ceil(SECTOR) + 1)).min(len)
}

/// What nobody is told of.
fn put(disk: &mut Disk, op: OpNumber, ino: Ino, at: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = disk.write(op, ino, at, bytes);
    }
}

/// An interrupted operation may fail, as it may have done nothing: nobody was told.
fn interrupt(disk: &mut Disk, op: OpNumber, ino: Ino, work: &FileWork, prng: &mut Prng) {
    match work {
        FileWork::Write {
            at,
            slices: Some(slices),
            ..
        } => {
            let bytes = joined(slices);
            let len = match prng.coin() {
                true => bytes.len(),
                false => sectors_begun(bytes.len(), prng),
            };
            put(disk, op, ino, *at, &bytes[..len]);
        }
        FileWork::Allocate { at, len } => drop(disk.allocate(op, ino, *at, *len)),
        FileWork::Truncate { len } => disk.truncate(op, ino, *len),
        _ => {}
    }
}

fn interrupt_names(disk: &mut Disk, work: &NameWork) {
    let _ = match work {
        NameWork::Open { path, options } => disk
            .open(path, options.write, options.create, options.create_new)
            .map(|_| ()),
        NameWork::Rename { from, to } => disk.rename(from, to),
        NameWork::Unlink { path } => disk.unlink(path),
        NameWork::MakeDir { path } => disk.make_dir(path),
        NameWork::SyncDir { .. } | NameWork::List { .. } => Ok(()),
    };
}

enum Flush {
    /// A durable write: its own bytes, nothing else's.
    Range(u64, u64),
    /// A datasync: what was complete when it was submitted.
    File(OpNumber, std::collections::BTreeSet<OpNumber>),
}
