//! Operations of a simulated ring while they are in flight, and how each begins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::disk::Ino;
use super::inode::OpNumber;
use super::world::{Event, File, Pending, Socket, World};
use crate::buffer::{AlignedBuf, Slice};
use crate::error::IoError;
use crate::op::{AllocateMode, Done, FileId, Op, OpenOptions, SocketId, Token};
use crate::rules;

pub(super) enum Work {
    Accept,
    RecvPooled {
        socket: u32,
        endpoint: u64,
    },
    RecvInto {
        socket: u32,
        buf: Vec<u8>,
        limit: usize,
    },
    Send {
        socket: u32,
        slices: Vec<Slice>,
        sent: usize,
    },
    /// On an open file: its slot, its number, and what to do.
    File {
        slot: u32,
        ino: Ino,
        path: PathBuf,
        work: FileWork,
        outcome: Option<Result<Done, IoError>>,
    },
    /// On names.
    Names {
        work: NameWork,
        outcome: Option<Result<Done, IoError>>,
    },
}

pub(super) enum FileWork {
    /// The buffer is taken by the outcome.
    Read {
        at: u64,
        buf: Option<AlignedBuf>,
        len: usize,
    },
    /// The slices are taken by the outcome.
    Write {
        at: u64,
        slices: Option<Vec<Slice>>,
        durable: bool,
        len: u64,
    },
    /// Covers operations before `horizon` that were not in flight then.
    Datasync {
        horizon: OpNumber,
        open: BTreeSet<OpNumber>,
    },
    Allocate {
        at: u64,
        len: u64,
    },
    Truncate {
        len: u64,
    },
}

pub(super) enum NameWork {
    Open { path: PathBuf, options: OpenOptions },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    MakeDir { path: PathBuf },
    SyncDir { path: PathBuf },
    List { path: PathBuf },
}

impl Work {
    /// Changes the file, so that a flush that begins meanwhile does not cover it.
    pub(super) fn writes_to(&self, file: Ino) -> bool {
        match self {
            Work::File { ino, work, .. } => {
                *ino == file && !matches!(work, FileWork::Read { .. } | FileWork::Datasync { .. })
            }
            _ => false,
        }
    }
}

impl World {
    pub(super) fn begin(&mut self, ring: usize, token: Token, op: Op) {
        match op {
            Op::Accept { listener } => self.begin_accept(ring, token, listener),
            Op::RecvPooled { socket } => self.begin_receive(ring, token, socket, None),
            Op::RecvInto { socket, buf, limit } => {
                rules::receive_into(&buf, limit);
                self.begin_receive(ring, token, socket, Some((buf, limit)));
            }
            Op::Send { socket, slices } => self.begin_send(ring, token, socket, slices),
            Op::Shutdown { socket } => self.shutdown(ring, token, socket),
            Op::CloseSocket { socket } => self.close_socket(ring, token, socket),
            Op::Read { file, at, buf, len } => {
                let check = |file: &File| rules::read(file.direct, at, len, buf.len());
                let Some(_) = self.file(ring, file).map(|file| check(file)) else {
                    return self.refuse(ring, token);
                };
                self.begin_file(
                    ring,
                    token,
                    file,
                    FileWork::Read {
                        at,
                        buf: Some(buf),
                        len,
                    },
                );
            }
            Op::Write {
                file,
                at,
                slices,
                durable,
            } => self.begin_write(ring, token, file, at, slices, durable),
            Op::Datasync { file } => {
                let Some(ino) = self.file(ring, file).map(|file| file.ino) else {
                    return self.refuse(ring, token);
                };
                let (horizon, open) = (self.next_op, self.writes_in_flight(ino));
                self.begin_file(ring, token, file, FileWork::Datasync { horizon, open });
            }
            Op::CloseFile { file } => self.close_file(ring, token, file),
            Op::Allocate { file, at, len, mode } => {
                let Some(direct) = self.file(ring, file).map(|file| file.direct) else {
                    return self.refuse(ring, token);
                };
                rules::allocate(direct, mode == AllocateMode::Zeroed, at, len);
                self.begin_file(ring, token, file, FileWork::Allocate { at, len });
            }
            Op::Truncate { file, len } => self.begin_file(ring, token, file, FileWork::Truncate { len }),
            Op::FileSize { file } => match self.file(ring, file).map(|file| file.ino) {
                Some(ino) => self.deliver(ring, token, Ok(Done::Size(self.disk.files[&ino].size)), false),
                None => self.refuse(ring, token),
            },
            Op::OpenFile { path, options } => self.begin_names(ring, token, NameWork::Open { path, options }),
            Op::Rename { from, to } => self.begin_names(ring, token, NameWork::Rename { from, to }),
            Op::Unlink { path } => self.begin_names(ring, token, NameWork::Unlink { path }),
            Op::MakeDir { path } => self.begin_names(ring, token, NameWork::MakeDir { path }),
            Op::SyncDir { path } => self.begin_names(ring, token, NameWork::SyncDir { path }),
            Op::List { path } => self.begin_names(ring, token, NameWork::List { path }),
        }
    }

    fn begin_write(
        &mut self,
        ring: usize,
        token: Token,
        file: FileId,
        at: u64,
        slices: Vec<Slice>,
        durable: bool,
    ) {
        let Some(entry) = self.file(ring, file) else {
            return self.refuse(ring, token);
        };
        rules::write(entry.direct, at, &slices);
        let durable = durable || entry.dsync;
        let len = slices.iter().map(|slice| slice.len() as u64).sum();
        self.begin_file(
            ring,
            token,
            file,
            FileWork::Write {
                at,
                slices: Some(slices),
                durable,
                len,
            },
        );
    }

    /// A file operation meets the cache at a random instant before it completes.
    fn begin_file(&mut self, ring: usize, token: Token, file: FileId, work: FileWork) {
        let Some(entry) = self.file(ring, file) else {
            return self.refuse(ring, token);
        };
        entry.operations += 1;
        let (ino, path) = (entry.ino, entry.path.clone());
        let op = self.admit(
            ring,
            token,
            Work::File {
                slot: file.slot,
                ino,
                path,
                work,
                outcome: None,
            },
        );
        self.schedule_disk(op);
    }

    fn begin_names(&mut self, ring: usize, token: Token, work: NameWork) {
        let op = self.admit(ring, token, Work::Names { work, outcome: None });
        self.schedule_disk(op);
    }

    fn schedule_disk(&mut self, op: OpNumber) {
        let duration = self.disk_delay();
        let effect = self.disk_prng.range(0, duration + 1);
        self.schedule(effect, Event::Effect(op));
        self.schedule(duration, Event::Complete(op));
    }

    pub(super) fn admit(&mut self, ring: usize, token: Token, work: Work) -> OpNumber {
        let op = self.next_op;
        self.next_op += 1;
        self.rings[ring].begun += 1;
        self.ops.insert(op, Pending { ring, token, work });
        op
    }

    /// Answers an operation on an id that names nothing any more.
    pub(super) fn refuse(&mut self, ring: usize, token: Token) {
        self.deliver(ring, token, Err(IoError::new(libc::EBADF)), false);
    }

    pub(super) fn file(&mut self, ring: usize, id: FileId) -> Option<&mut File> {
        self.rings[ring]
            .files
            .get(id.slot, id.generation)
            .filter(|file| file.closing.is_none())
    }

    pub(super) fn socket(&mut self, ring: usize, id: SocketId) -> Option<&mut Socket> {
        self.rings[ring]
            .sockets
            .get(id.slot, id.generation)
            .filter(|socket| !socket.closing)
    }

    fn close_file(&mut self, ring: usize, token: Token, file: FileId) {
        let Some(entry) = self.file(ring, file) else {
            return self.refuse(ring, token);
        };
        entry.closing = Some(token);
        if entry.operations == 0 {
            self.close_idle_file(ring, file.slot);
        }
    }

    pub(super) fn close_idle_file(&mut self, ring: usize, slot: u32) {
        let file = self.rings[ring].files.remove(slot);
        self.disk.close(file.ino);
        let token = file.closing.expect("a close was asked for");
        self.deliver(ring, token, Ok(Done::Finished), false);
    }
}
