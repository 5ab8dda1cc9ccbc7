//! From an operation to a submission.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use io_uring::types::{CancelBuilder, Fd, FsyncFlags};
use io_uring::{opcode, squeue, types};

use super::descriptors::{self, File, Socket};
use super::in_flight::{InFlight, Work};
use super::provided::GROUP;
use super::{UringRing, helper, name};
use crate::buffer::{AlignedBuf, Slice};
use crate::commit::{self, Commit};
use crate::error::IoError;
use crate::limits::{POOL_BUF, ZEROES};
use crate::op::{AllocateMode, Completion, Done, FileId, Op, OpenOptions, SocketId, Token};
use crate::rules;

impl UringRing {
    pub(super) fn start(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener } => self.accept(token, listener),
            Op::RecvPooled { socket } => self.recv_pooled(token, socket),
            Op::RecvInto { socket, buf, limit } => self.recv_into(token, socket, buf, limit),
            Op::Send { socket, slices } => self.send(token, socket, slices),
            Op::Shutdown { socket } => self.shutdown(token, socket),
            Op::CloseSocket { socket } => self.close_socket(token, socket),
            Op::Read { file, at, buf, len } => self.read(token, file, at, buf, len),
            Op::Write {
                file,
                at,
                slices,
                durable,
            } => self.write(token, file, at, slices, durable),
            Op::Datasync { file } => self.datasync(token, file),
            Op::OpenFile { path, options } => self.open(token, path, options),
            Op::CloseFile { file } => self.close_file(token, file),
            Op::Allocate { file, at, len, mode } => self.allocate(token, file, at, len, mode),
            Op::Truncate { file, len } => self.truncate(token, file, len),
            Op::FileSize { file } => self.file_size(token, file),
            Op::Rename { from, to } => self.rename(token, from, to),
            Op::Unlink { path } => self.unlink(token, path),
            Op::MakeDir { path } => self.make_dir(token, path),
            Op::SyncDir { path } => self.help(token, None, move || helper::sync_dir(&path)),
            Op::List { path } => self.help(token, None, move || helper::list(&path)),
        }
    }

    fn accept(&mut self, token: Token, listener: SocketId) {
        let Some(entry) = self.socket(listener) else {
            return self.refuse(token);
        };
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let key = self.begin(
            token,
            Work::Accept {
                listener: listener.slot,
            },
        );
        self.push(
            opcode::AcceptMulti::new(fd)
                .flags(libc::SOCK_CLOEXEC)
                .build()
                .user_data(key),
        );
    }

    fn recv_pooled(&mut self, token: Token, socket: SocketId) {
        if !self.begin_receive(socket) {
            return self.refuse(token);
        }
        let key = self.begin(token, Work::RecvPooled { socket: socket.slot });
        let entry = self.receive_entry(socket.slot);
        self.push(entry.user_data(key));
    }

    /// Submits a pooled receive again that found no buffer.
    pub(super) fn retry_receive(&mut self, slot: u32) {
        let Work::RecvPooled { socket } = self.ops.at(slot).work else {
            unreachable!("only pooled receives starve")
        };
        let entry = self.receive_entry(socket);
        let key = self.ops.key(slot);
        self.push(entry.user_data(key));
    }

    fn receive_entry(&mut self, socket: u32) -> squeue::Entry {
        let socket = self.sockets.at(socket);
        let receive = opcode::Recv::new(Fd(socket.fd.as_raw_fd()), std::ptr::null_mut(), POOL_BUF as u32);
        let receive = receive.buf_group(GROUP).ioprio(poll_first(socket));
        receive.build().flags(squeue::Flags::BUFFER_SELECT)
    }

    fn recv_into(&mut self, token: Token, socket: SocketId, mut buf: Vec<u8>, limit: usize) {
        rules::receive_into(&buf, limit);
        if !self.begin_receive(socket) {
            return self.refuse(token);
        }
        let room = buf.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        let key = self.begin(
            token,
            Work::RecvInto {
                socket: socket.slot,
                buf,
            },
        );
        let entry = self.sockets.at(socket.slot);
        let receive = opcode::Recv::new(Fd(entry.fd.as_raw_fd()), room, transfer_len(limit));
        let receive = receive.ioprio(poll_first(entry));
        self.push(receive.build().user_data(key));
    }

    fn send(&mut self, token: Token, socket: SocketId, slices: Vec<Slice>) {
        rules::has_bytes(&slices);
        let Some(entry) = self.socket(socket) else {
            return self.refuse(token);
        };
        assert!(!entry.sending, "one send at a time on a socket");
        entry.sending = true;
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let (send, vector) = match &slices[..] {
            [only] => {
                let send = opcode::Send::new(fd, only.as_ptr(), transfer_len(only.len())).flags(flags);
                (send.build(), None)
            }
            _ => {
                let vector = self.vectors.describe(&slices);
                let send = opcode::SendMsg::new(fd, &raw const vector.header).flags(flags as u32);
                (send.build(), Some(vector))
            }
        };
        let key = self.begin(
            token,
            Work::Send {
                socket: socket.slot,
                slices,
                vector,
            },
        );
        self.push(send.user_data(key));
    }

    fn shutdown(&mut self, token: Token, socket: SocketId) {
        let Some(entry) = self.socket(socket) else {
            return self.refuse(token);
        };
        let result = descriptors::shutdown(&entry.fd, libc::SHUT_WR).map(|()| Done::Finished);
        self.ready.push(Completion {
            token,
            result,
            more: false,
        });
    }

    fn close_socket(&mut self, token: Token, socket: SocketId) {
        let Some(entry) = self.socket(socket) else {
            return self.refuse(token);
        };
        entry.closing = Some(token);
        if entry.operations == 0 {
            return self.close_idle_socket(socket.slot);
        }
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let key = self.begin_own(Work::Cancel { socket: socket.slot });
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::fd(fd).all());
        self.push(cancel.build().user_data(key));
        self.cancel_starving(socket.slot);
    }

    /// Closes a socket that was asked to and has nothing in flight any more.
    pub(super) fn close_idle_socket(&mut self, slot: u32) {
        let socket = self.sockets.remove(slot);
        let token = socket.closing.expect("a close was asked for");
        let key = self.begin(token, Work::CloseSocket);
        self.push(close(socket.fd).user_data(key));
    }

    /// A receive that waits for a buffer is not with the kernel, which therefore cannot cancel it.
    fn cancel_starving(&mut self, socket: u32) {
        let position = self.starving.iter().position(
            |slot| matches!(self.ops.at(*slot).work, Work::RecvPooled { socket: of } if of == socket),
        );
        let Some(position) = position else { return };
        let slot = self.starving.remove(position).expect("a position in the queue");
        let token = self.ops.remove(slot).token;
        self.ready.push(Completion {
            token,
            result: Err(IoError::new(libc::ECANCELED)),
            more: false,
        });
        self.sockets.at(socket).receiving = false;
        self.release_socket(socket);
    }

    fn read(&mut self, token: Token, file: FileId, at: u64, mut buf: AlignedBuf, len: usize) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        rules::read(entry.direct, at, len, buf.len());
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let room = buf.as_mut_ptr();
        let key = self.begin(token, Work::Read { file: file.slot, buf });
        self.push(
            opcode::Read::new(fd, room, transfer_len(len))
                .offset(at)
                .build()
                .user_data(key),
        );
    }

    fn write(&mut self, token: Token, file: FileId, at: u64, slices: Vec<Slice>, durable: bool) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        rules::write(entry.direct, at, &slices);
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let (place, end) = (
            place(),
            at + slices.iter().map(|slice| slice.len() as u64).sum::<u64>(),
        );
        let grows = end > entry.laid_out;
        entry.laid_out = entry.laid_out.max(end);
        let (write, vector) = match &slices[..] {
            [only] => {
                let write = opcode::Write::new(fd, only.as_ptr(), transfer_len(only.len()));
                (write.offset(at).rw_flags(flags).build(), None)
            }
            _ => {
                let vector = self.vectors.describe(&slices);
                let write = opcode::Writev::new(fd, vector.pieces.as_ptr(), vector.pieces.len() as u32);
                (write.offset(at).rw_flags(flags).build(), Some(vector))
            }
        };
        let key = self.begin(
            token,
            Work::Write {
                file: file.slot,
                slices,
                vector,
                _commit: (durable && grows).then(Commit::begin),
            },
        );
        self.push(write.flags(place).user_data(key));
    }

    fn datasync(&mut self, token: Token, file: FileId) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let work = Work::Datasync {
            file: file.slot,
            _commit: Commit::begin(),
        };
        let key = self.begin(token, work);
        self.push(
            opcode::Fsync::new(fd)
                .flags(FsyncFlags::DATASYNC)
                .build()
                .user_data(key),
        );
    }

    fn open(&mut self, token: Token, path: PathBuf, options: OpenOptions) {
        let path = match name(&path) {
            Ok(path) => path,
            Err(error) => return self.fail(token, error),
        };
        let address = path.as_ptr();
        let key = self.begin(token, Work::Open { _path: path, options });
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), address)
            .flags(open_flags(&options))
            .mode(FILE_MODE);
        self.push(open.build().user_data(key));
    }

    fn close_file(&mut self, token: Token, file: FileId) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        entry.closing = Some(token);
        if entry.operations == 0 {
            self.close_idle_file(file.slot);
        }
    }

    /// Closes a file that was asked to and has nothing in flight any more.
    pub(super) fn close_idle_file(&mut self, slot: u32) {
        let file = self.files.remove(slot);
        let token = file.closing.expect("a close was asked for");
        let key = self.begin(token, Work::CloseFile);
        self.push(close(file.fd).user_data(key));
    }

    fn allocate(&mut self, token: Token, file: FileId, at: u64, len: u64, mode: AllocateMode) {
        let zeroed = mode == AllocateMode::Zeroed;
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        rules::allocate(entry.direct, zeroed, at, len);
        entry.operations += 1;
        let fd = Fd(entry.fd.as_raw_fd());
        let work = Work::Allocate {
            file: file.slot,
            at,
            end: at + len,
            zeroed,
            reserved: false,
        };
        let key = self.begin(token, work);
        self.push(opcode::Fallocate::new(fd, len).offset(at).build().user_data(key));
    }

    /// Writes the next piece of zeroes of an allocation that goes on.
    pub(super) fn push_zeroes(&mut self, key: u64, file: u32, at: u64, len: usize) {
        let zeroes = self
            .zeroes
            .get_or_insert_with(|| AlignedBuf::zeroed(ZEROES).freeze())
            .as_ptr();
        let fd = Fd(self.files.at(file).fd.as_raw_fd());
        self.push(
            opcode::Write::new(fd, zeroes, len as u32)
                .offset(at)
                .build()
                .flags(place())
                .user_data(key),
        );
    }

    fn truncate(&mut self, token: Token, file: FileId, len: u64) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        entry.operations += 1;
        let fd = entry.fd.as_raw_fd();
        self.help(token, Some(file.slot), move || {
            descriptors::truncate(fd, len)?;
            Ok(Done::Finished)
        });
    }

    fn file_size(&mut self, token: Token, file: FileId) {
        let Some(entry) = self.file(file) else {
            return self.refuse(token);
        };
        let result = descriptors::file_size(entry.fd.as_raw_fd()).map(Done::Size);
        self.ready.push(Completion {
            token,
            result,
            more: false,
        });
    }

    fn rename(&mut self, token: Token, from: PathBuf, to: PathBuf) {
        self.change_names(token, [from, to], |[from, to]| {
            opcode::RenameAt::new(CWD, from, CWD, to).build()
        });
    }

    fn unlink(&mut self, token: Token, path: PathBuf) {
        self.change_names(token, [path, PathBuf::new()], |[path, _]| {
            opcode::UnlinkAt::new(CWD, path).build()
        });
    }

    fn make_dir(&mut self, token: Token, path: PathBuf) {
        self.change_names(token, [path, PathBuf::new()], |[path, _]| {
            opcode::MkDirAt::new(CWD, path).mode(DIR_MODE).build()
        });
    }

    fn change_names(
        &mut self,
        token: Token,
        paths: [PathBuf; 2],
        entry: impl FnOnce([*const libc::c_char; 2]) -> squeue::Entry,
    ) {
        let names = match (name(&paths[0]), name(&paths[1])) {
            (Ok(first), Ok(second)) => [first, second],
            (Err(error), _) | (_, Err(error)) => return self.fail(token, error),
        };
        let entry = entry([names[0].as_ptr(), names[1].as_ptr()]);
        let key = self.begin(token, Work::Names { _names: names });
        self.push(entry.user_data(key));
    }

    fn help(
        &mut self,
        token: Token,
        file: Option<u32>,
        job: impl FnOnce() -> helper::Answer + Send + 'static,
    ) {
        let key = self.begin(token, Work::Helped { file });
        let commit = Commit::begin();
        self.helper.run(key, move || {
            let answer = job();
            drop(commit);
            answer
        });
    }

    /// Enters an operation of the caller; the key comes back with its completions.
    fn begin(&mut self, token: Token, work: Work) -> u64 {
        let (slot, generation) = self.ops.insert(InFlight { token, work });
        u64::from(generation) << 32 | u64::from(slot)
    }

    /// Enters an operation of our own.
    pub(super) fn begin_own(&mut self, work: Work) -> u64 {
        self.own_ops += 1;
        self.begin(Token(0), work)
    }

    fn begin_receive(&mut self, id: SocketId) -> bool {
        let Some(socket) = self.socket(id) else {
            return false;
        };
        assert!(!socket.receiving, "one receive at a time on a socket");
        socket.receiving = true;
        socket.operations += 1;
        true
    }

    /// Answers an operation on an id that names nothing any more.
    fn refuse(&mut self, token: Token) {
        self.fail(token, IoError::new(libc::EBADF));
    }

    fn fail(&mut self, token: Token, error: IoError) {
        self.ready.push(Completion {
            token,
            result: Err(error),
            more: false,
        });
    }

    fn socket(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets
            .get(id.slot, id.generation)
            .filter(|socket| socket.closing.is_none())
    }

    fn file(&mut self, id: FileId) -> Option<&mut File> {
        self.files
            .get(id.slot, id.generation)
            .filter(|file| file.closing.is_none())
    }

    pub(super) fn insert_socket(&mut self, fd: OwnedFd) -> SocketId {
        let (slot, generation) = self.sockets.insert(Socket::new(fd));
        SocketId { slot, generation }
    }

    pub(super) fn insert_file(&mut self, file: File) -> FileId {
        let (slot, generation) = self.files.insert(file);
        FileId { slot, generation }
    }
}

fn close(fd: OwnedFd) -> squeue::Entry {
    use std::os::fd::IntoRawFd;
    opcode::Close::new(Fd(fd.into_raw_fd())).build()
}

/// IORING_RECVSEND_POLL_FIRST where a look at once would find nothing.
fn poll_first(socket: &Socket) -> u16 {
    if socket.drained { 1 } else { 0 }
}

fn transfer_len(len: usize) -> u32 {
    assert!(len <= i32::MAX as usize, "{len} bytes in one transfer");
    len as u32
}

/// Where a write begins: on this thread, unless that might have to wait.
fn place() -> squeue::Flags {
    match commit::is_under_way() {
        true => squeue::Flags::ASYNC,
        false => squeue::Flags::empty(),
    }
}

fn open_flags(options: &OpenOptions) -> libc::c_int {
    let mut flags = libc::O_CLOEXEC
        | if options.write {
            libc::O_RDWR
        } else {
            libc::O_RDONLY
        };
    let chosen = [
        (options.create, libc::O_CREAT),
        (options.create_new, libc::O_CREAT | libc::O_EXCL),
        (options.direct, libc::O_DIRECT),
        (options.dsync, libc::O_DSYNC),
    ];
    for (_, flag) in chosen.iter().filter(|(wanted, _)| *wanted) {
        flags |= flag;
    }
    flags
}

const CWD: types::Fd = Fd(libc::AT_FDCWD);
const FILE_MODE: libc::mode_t = 0o640;
const DIR_MODE: libc::mode_t = 0o750;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_begin_elsewhere_while_a_journal_is_committed() {
        let commit = Commit::begin();
        assert_eq!(place(), squeue::Flags::ASYNC);
        drop(commit);
    }
}
