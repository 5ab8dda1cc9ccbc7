//! From a kernel completion to the caller's.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::cqueue;

use super::descriptors::{self, File};
use super::helper::Answer;
use super::in_flight::{InFlight, Work};
use super::{CANCELLED, UringRing, WOKEN};
use crate::buffer::RecvBuf;
use crate::error::IoError;
use crate::limits::{DESCRIPTORS_MAX, ZEROES};
use crate::op::{Completion, Done, OpenOptions, Token};
use crate::waker::Sleep;

impl UringRing {
    pub(super) fn complete(&mut self, entry: &cqueue::Entry, out: &mut Vec<Completion>) {
        let (key, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        match key {
            WOKEN => return self.woken(flags, result),
            CANCELLED => return,
            _ => {}
        }
        let slot = key as u32;
        match self.ops.get(slot, (key >> 32) as u32).map(|op| &op.work) {
            Some(Work::Accept { listener }) => {
                let listener = *listener;
                return self.accepted(slot, listener, result, flags, out);
            }
            Some(Work::RecvPooled { socket }) => {
                let socket = *socket;
                return self.received(slot, socket, result, flags, out);
            }
            Some(Work::Allocate { .. }) => return self.allocated(key, result, out),
            Some(_) => {}
            None => unreachable!("a completion of an operation that is not in flight"),
        }
        let InFlight { token, work } = self.ops.remove(slot);
        let callers = work.is_callers();
        let result = self.finish(work, result, flags);
        if callers {
            out.push(Completion {
                token,
                result,
                more: false,
            });
        } else {
            self.own_ops -= 1;
        }
    }

    pub(super) fn complete_helped(&mut self, key: u64, answer: Answer, out: &mut Vec<Completion>) {
        let InFlight { token, work } = self.ops.remove(key as u32);
        if let Work::Helped { file: Some(file) } = work {
            self.release_file(file);
        }
        out.push(Completion {
            token,
            result: answer,
            more: false,
        });
    }

    /// An operation that has exactly one completion.
    fn finish(&mut self, work: Work, result: i32, flags: u32) -> Result<Done, IoError> {
        match work {
            Work::RecvInto { socket, mut buf } => {
                self.received_on(socket, flags);
                let n = check(result)?;
                // SAFETY: the receive was submitted with the spare capacity as its room, so the kernel initialised
                // the `n` bytes behind `len` and no more than that capacity.
                unsafe { buf.set_len(buf.len() + n) };
                Ok(Done::ReceivedInto { buf, n })
            }
            Work::Send {
                socket,
                slices,
                vector,
            } => {
                self.vectors.put_back(vector);
                self.sockets.at(socket).sending = false;
                self.release_socket(socket);
                check(result).map(|n| Done::Sent { n, slices })
            }
            Work::Cancel { socket } => {
                self.cancelled(socket);
                Ok(Done::Finished)
            }
            Work::Read { file, buf } => {
                self.release_file(file);
                check(result).map(|n| Done::Read { buf, n })
            }
            Work::Write {
                file, slices, vector, ..
            } => {
                self.vectors.put_back(vector);
                self.release_file(file);
                check(result).map(|n| Done::Written { n, slices })
            }
            Work::Datasync { file, .. } => {
                self.release_file(file);
                check(result).map(|_| Done::Synced)
            }
            Work::Open { options, .. } => self.opened(check(result)? as RawFd, &options),
            Work::CloseSocket | Work::CloseFile | Work::Names { .. } => check(result).map(|_| Done::Finished),
            Work::Knock { peer } => {
                if result < 0 {
                    peer.knock(Sleep::InRing);
                }
                Ok(Done::Finished)
            }
            Work::Accept { .. } | Work::RecvPooled { .. } | Work::Allocate { .. } | Work::Helped { .. } => {
                unreachable!("completed elsewhere")
            }
        }
    }

    fn accepted(&mut self, slot: u32, listener: u32, result: i32, flags: u32, out: &mut Vec<Completion>) {
        let more = cqueue::more(flags);
        let token = self.ops.at(slot).token;
        let result = check(result).and_then(|fd| self.admit(fd as RawFd));
        if !more {
            self.ops.remove(slot);
            self.release_socket(listener);
        }
        out.push(Completion { token, result, more });
    }

    fn admit(&mut self, fd: RawFd) -> Result<Done, IoError> {
        // SAFETY: the kernel made this descriptor for us just now.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if self.sockets.len() == DESCRIPTORS_MAX {
            return Err(IoError::new(libc::EMFILE));
        }
        let peer = descriptors::peer_addr(&fd)?;
        Ok(Done::Accepted {
            socket: self.insert_socket(fd),
            peer,
        })
    }

    fn received(&mut self, slot: u32, socket: u32, result: i32, flags: u32, out: &mut Vec<Completion>) {
        let closing = self.sockets.at(socket).closing.is_some();
        if result == -libc::ENOBUFS && !closing && !self.stopping {
            self.pool.set_starving(true);
            self.starving.push_back(slot);
            return;
        }
        let n = check(result);
        let buf = match cqueue::buffer_select(flags) {
            // SAFETY: the completion hands this buffer of our group to us; the kernel offers it to nobody until it
            // is put into the provided ring again, which `replenish` does only after the lease has ended.
            Some(buffer) => unsafe {
                self.provided.taken(buffer);
                self.pool.lease(buffer, n.unwrap_or(0))
            },
            None => RecvBuf::empty(),
        };
        let token = self.ops.remove(slot).token;
        self.received_on(socket, flags);
        out.push(Completion {
            token,
            result: n.map(|_| Done::Received { buf }),
            more: false,
        });
    }

    fn received_on(&mut self, socket: u32, flags: u32) {
        let entry = self.sockets.at(socket);
        entry.receiving = false;
        entry.drained = !cqueue::sock_nonempty(flags);
        self.release_socket(socket);
    }

    fn opened(&mut self, fd: RawFd, options: &OpenOptions) -> Result<Done, IoError> {
        // SAFETY: the kernel made this descriptor for us just now.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = descriptors::file_size(fd.as_raw_fd())?;
        descriptors::leave_access_time(fd.as_raw_fd());
        let file = self.insert_file(File::new(fd, options.direct, size));
        Ok(Done::Opened { file, size })
    }

    /// The space is reserved, or a piece of zeroes is written: go on, or finish.
    fn allocated(&mut self, key: u64, result: i32, out: &mut Vec<Completion>) {
        let slot = key as u32;
        let stopping = self.stopping;
        let InFlight {
            token,
            work:
                Work::Allocate {
                    file,
                    at,
                    end,
                    zeroed,
                    reserved,
                },
        } = self.ops.at(slot)
        else {
            unreachable!("an allocation")
        };
        let (token, file): (Token, u32) = (*token, *file);
        let mut error = check(result).err();
        if *reserved && error.is_none() {
            *at += result as u64;
            error = (result == 0).then_some(IoError::new(libc::EIO));
        }
        *reserved = true;
        if error.is_none() && *zeroed && *at < *end && !stopping {
            let (at, len) = (*at, (*end - *at).min(ZEROES as u64) as usize);
            return self.push_zeroes(key, file, at, len);
        }
        if *zeroed {
            let (file, at) = (self.files.at(file), *at);
            file.laid_out = file.laid_out.max(at);
        }
        self.ops.remove(slot);
        self.release_file(file);
        out.push(Completion {
            token,
            result: error.map_or(Ok(Done::Finished), Err),
            more: false,
        });
    }

    /// The cancellation has run. What it missed (a receive just between two polls) ends with the connection.
    fn cancelled(&mut self, socket: u32) {
        let entry = self.sockets.at(socket);
        if entry.operations > 1 {
            // A listener, or a connection that the peer ended first, may refuse: then nothing waits on it.
            let _ = descriptors::shutdown(&entry.fd, libc::SHUT_RDWR);
        }
        self.release_socket(socket);
    }

    /// One operation less on a socket; the last one of a socket that is being closed closes it.
    pub(super) fn release_socket(&mut self, slot: u32) {
        let socket = self.sockets.at(slot);
        socket.operations -= 1;
        if socket.operations == 0 && socket.closing.is_some() && !self.stopping {
            self.close_idle_socket(slot);
        }
    }

    fn release_file(&mut self, slot: u32) {
        let file = self.files.at(slot);
        file.operations -= 1;
        if file.operations == 0 && file.closing.is_some() && !self.stopping {
            self.close_idle_file(slot);
        }
    }

    /// Somebody knocked. The watch on the eventfd may have ended, by an overflow or an error: watch again.
    fn woken(&mut self, flags: u32, result: i32) {
        let from_peer = flags == 0 && result == 0;
        if !cqueue::more(flags) && !from_peer && !self.stopping {
            self.watch_event();
        }
    }
}

/// The count of a completion, or its error.
fn check(result: i32) -> Result<usize, IoError> {
    if result < 0 {
        Err(IoError::new(-result))
    } else {
        Ok(result as usize)
    }
}
