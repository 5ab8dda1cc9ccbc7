//! What operations on sockets do, step by step: bytes move in random pieces, after random delays.

use super::inode::OpNumber;
use super::net::{Connection, EndpointId};
use super::work::Work;
use super::world::{Event, Pending, Socket, World};
use crate::buffer::{RecvBuf, Slice};
use crate::error::IoError;
use crate::limits::{PIECES_MAX, POOL_BUF};
use crate::op::{Done, SocketId, Token};

impl World {
    pub(super) fn begin_accept(&mut self, ring: usize, token: Token, id: SocketId) {
        let Some(socket) = self.socket(ring, id) else {
            return self.refuse(ring, token);
        };
        assert!(socket.listening, "only a listener accepts");
        let endpoint = socket.endpoint;
        let op = self.admit(ring, token, Work::Accept);
        let listener = self.net.listeners.get_mut(&endpoint).expect("an open listener");
        assert!(
            listener.accept.replace(op).is_none(),
            "one accept at a time on a listener"
        );
        self.nudge_accept(endpoint);
    }

    pub(super) fn begin_receive(
        &mut self,
        ring: usize,
        token: Token,
        id: SocketId,
        into: Option<(Vec<u8>, usize)>,
    ) {
        let Some(socket) = self.socket(ring, id) else {
            return self.refuse(ring, token);
        };
        assert!(socket.receiving.is_none(), "one receive at a time on a socket");
        let (endpoint, slot) = (socket.endpoint, id.slot);
        let work = match into {
            None => Work::RecvPooled {
                socket: slot,
                endpoint,
            },
            Some((buf, limit)) => Work::RecvInto {
                socket: slot,
                buf,
                limit,
            },
        };
        let op = self.admit(ring, token, work);
        self.rings[ring].sockets.at(slot).receiving = Some(op);
        self.connection(endpoint).receive = Some(op);
        self.nudge_receive(endpoint);
    }

    pub(super) fn begin_send(&mut self, ring: usize, token: Token, id: SocketId, slices: Vec<Slice>) {
        crate::rules::has_bytes(&slices);
        let Some(socket) = self.socket(ring, id) else {
            return self.refuse(ring, token);
        };
        assert!(socket.sending.is_none(), "one send at a time on a socket");
        let (endpoint, slot) = (socket.endpoint, id.slot);
        let op = self.admit(
            ring,
            token,
            Work::Send {
                socket: slot,
                slices,
                sent: 0,
            },
        );
        self.rings[ring].sockets.at(slot).sending = Some(op);
        self.connection(endpoint).send = Some(op);
        self.nudge_send(endpoint);
    }

    pub(super) fn shutdown(&mut self, ring: usize, token: Token, id: SocketId) {
        let Some(socket) = self.socket(ring, id) else {
            return self.refuse(ring, token);
        };
        let endpoint = socket.endpoint;
        let pipe = &mut self.connection(endpoint).to_client;
        let result = if pipe.reset {
            Err(IoError::new(libc::ENOTCONN))
        } else {
            Ok(Done::Finished)
        };
        pipe.ended = true;
        self.nudge_send(endpoint);
        self.deliver(ring, token, result, false);
    }

    /// Cancels what is in flight; the close completes after it.
    pub(super) fn close_socket(&mut self, ring: usize, token: Token, id: SocketId) {
        let Some(socket) = self.socket(ring, id) else {
            return self.refuse(ring, token);
        };
        socket.closing = true;
        let (endpoint, listening) = (socket.endpoint, socket.listening);
        let mut cancelled: Vec<OpNumber> = socket.receiving.iter().chain(&socket.sending).copied().collect();
        if listening {
            let listener = self.net.listeners.get_mut(&endpoint).expect("an open listener");
            cancelled.extend(listener.accept.take());
        } else {
            let connection = self.connection(endpoint);
            (connection.receive, connection.send) = (None, None);
        }
        self.rings[ring].starving.retain(|op| !cancelled.contains(op));
        let mut last = 0;
        for op in cancelled {
            let delay = self.net_delay();
            last = last.max(delay);
            self.schedule(delay, Event::Cancelled(op));
        }
        let delay = last + self.net_delay();
        self.schedule(delay, Event::Closed(ring, id.slot, token));
    }

    /// An operation of a socket that is being closed; a send tells what it has sent.
    pub(super) fn cancelled(&mut self, op: OpNumber) {
        let Pending { ring, token, work } = self.ops.remove(&op).expect("cancelled once");
        self.rings[ring].begun -= 1;
        let result = match work {
            Work::Send { slices, sent, .. } if sent > 0 => Ok(Done::Sent { n: sent, slices }),
            _ => Err(IoError::new(libc::ECANCELED)),
        };
        self.deliver(ring, token, result, false);
    }

    pub(super) fn closed(&mut self, ring: usize, slot: u32, token: Token) {
        let Socket {
            endpoint, listening, ..
        } = self.rings[ring].sockets.remove(slot);
        if listening {
            let listener = self.net.listeners.remove(&endpoint).expect("an open listener");
            for waiting in listener.backlog {
                self.connection(waiting).reset();
                self.net.release(waiting);
            }
        } else {
            let connection = self.connection(endpoint);
            if connection.to_server.bytes.is_empty() {
                connection.to_client.ended = true;
                connection.to_server.reset = true;
            } else {
                // Bytes that nobody will read are answered with a reset.
                connection.reset();
            }
            self.net.release(endpoint);
        }
        self.deliver(ring, token, Ok(Done::Finished), false);
    }

    pub(super) fn step_accept(&mut self, endpoint: EndpointId) {
        let Some(listener) = self.net.listeners.get_mut(&endpoint) else {
            return;
        };
        listener.stepping = false;
        let Some(op) = listener.accept else { return };
        if listener.backlog.is_empty() {
            return;
        }
        if self.fault_prng.per_mille(self.options.faults.accept_errors) {
            self.net.listeners.get_mut(&endpoint).expect("as above").accept = None;
            return self.finish(op, Err(IoError::new(libc::EMFILE)));
        }
        let backlog = &mut self.net.listeners.get_mut(&endpoint).expect("as above").backlog;
        let connection = backlog.pop_front().expect("looked at above");
        let ends = self.fault_prng.per_mille(self.options.faults.ended_accepts);
        let (ring, token) = (self.ops[&op].ring, self.ops[&op].token);
        let peer = self.connection(connection).client;
        let done = Done::Accepted {
            socket: self.insert_socket(ring, connection, false),
            peer,
        };
        if ends {
            self.net.listeners.get_mut(&endpoint).expect("as above").accept = None;
            self.finish(op, Ok(done));
        } else {
            self.deliver(ring, token, Ok(done), true);
            self.nudge_accept(endpoint);
        }
    }

    pub(super) fn step_receive(&mut self, endpoint: EndpointId) {
        if !self.net.connections.contains_key(&endpoint) {
            return;
        }
        self.maybe_reset(endpoint);
        let connection = self.connection(endpoint);
        connection.receive_stepping = false;
        let Some(op) = connection.receive else { return };
        let pipe = &connection.to_server;
        if pipe.bytes.is_empty() && !pipe.ended && !pipe.reset {
            return;
        }
        let ring = self.ops[&op].ring;
        let pooled = matches!(self.ops[&op].work, Work::RecvPooled { .. });
        if pooled && self.starves(endpoint, ring) {
            self.rings[ring].pool.set_starving(true);
            if !self.rings[ring].starving.contains(&op) {
                self.rings[ring].starving.push_back(op);
            }
            return;
        }
        self.rings[ring].starving.retain(|starved| *starved != op);
        self.connection(endpoint).receive = None;
        let mut work = std::mem::replace(&mut self.pending(op).work, Work::Accept);
        let result = match &mut work {
            Work::RecvPooled { .. } => self.receive_pooled(endpoint, ring),
            Work::RecvInto { buf, limit, .. } => self.receive_into(endpoint, std::mem::take(buf), *limit),
            _ => unreachable!("a receive"),
        };
        let (Work::RecvPooled { socket, .. } | Work::RecvInto { socket, .. }) = work else {
            unreachable!()
        };
        self.rings[ring].sockets.at(socket).receiving = None;
        self.finish(op, result);
    }

    /// Moves some bytes into the pipe, as far as there is room; completes when all are in it.
    pub(super) fn step_send(&mut self, endpoint: EndpointId) {
        if !self.net.connections.contains_key(&endpoint) {
            return;
        }
        self.maybe_reset(endpoint);
        let capacity = self.options.socket_buffer;
        let connection = self.connection(endpoint);
        connection.send_stepping = false;
        let Some(op) = connection.send else { return };
        let refused = connection.to_client.reset || connection.to_client.ended;
        let room = capacity.saturating_sub(connection.to_client.bytes.len());
        if room == 0 && !refused {
            return;
        }
        let piece = self.net_prng.range(1, room.max(1) as u64 + 1) as usize;
        let piece = if self.net_prng.coin() { room } else { piece };
        let Work::Send {
            socket, slices, sent, ..
        } = &mut self.pending(op).work
        else {
            unreachable!("a send")
        };
        let socket = *socket;
        let total: usize = slices.iter().take(PIECES_MAX).map(|slice| slice.len()).sum();
        let mut bytes = Vec::new();
        if !refused {
            let len = piece.min(total - *sent);
            bytes = part(slices, *sent, len);
            *sent += bytes.len();
        }
        let (sent, done) = (*sent, refused || *sent == total);
        let slices = if done { std::mem::take(slices) } else { Vec::new() };
        let connection = self.connection(endpoint);
        connection.to_client.bytes.extend(bytes);
        if !done {
            return self.nudge_send(endpoint);
        }
        connection.send = None;
        let ring = self.ops[&op].ring;
        self.rings[ring].sockets.at(socket).sending = None;
        let broken = refused && sent == 0;
        let result = if broken {
            Err(IoError::new(libc::EPIPE))
        } else {
            Ok(Done::Sent { n: sent, slices })
        };
        self.finish(op, result);
    }

    /// Buffers that came back are free again, and receives that waited for one try again.
    pub(super) fn feed(&mut self, ring: usize) {
        let state = &mut self.rings[ring];
        let (pool, free) = (&state.pool, &mut state.free);
        pool.take_returned(|buffer| free.push(buffer));
        for _ in 0..self.rings[ring].free.len() {
            let Some(op) = self.rings[ring].starving.pop_front() else {
                return self.rings[ring].pool.set_starving(false);
            };
            let Work::RecvPooled { endpoint, .. } = self.ops[&op].work else {
                unreachable!("only those starve")
            };
            self.nudge_receive(endpoint);
        }
    }

    pub(super) fn nudge_accept(&mut self, endpoint: EndpointId) {
        let delay = self.net_delay();
        let listener = self.net.listeners.get_mut(&endpoint).expect("an open listener");
        if listener.accept.is_some() && !listener.backlog.is_empty() && !listener.stepping {
            listener.stepping = true;
            self.schedule(delay, Event::Accept(endpoint));
        }
    }

    pub(super) fn nudge_receive(&mut self, endpoint: EndpointId) {
        let delay = self.net_delay();
        let connection = self.connection(endpoint);
        let pipe = &connection.to_server;
        let ready = !pipe.bytes.is_empty() || pipe.ended || pipe.reset;
        if connection.receive.is_some() && ready && !connection.receive_stepping {
            connection.receive_stepping = true;
            self.schedule(delay, Event::Receive(endpoint));
        }
    }

    pub(super) fn nudge_send(&mut self, endpoint: EndpointId) {
        let delay = self.net_delay();
        let capacity = self.options.socket_buffer;
        let connection = self.connection(endpoint);
        let pipe = &connection.to_client;
        let ready = pipe.bytes.len() < capacity || pipe.reset || pipe.ended;
        if connection.send.is_some() && ready && !connection.send_stepping {
            connection.send_stepping = true;
            self.schedule(delay, Event::Send(endpoint));
        }
    }

    pub(super) fn insert_socket(&mut self, ring: usize, endpoint: EndpointId, listening: bool) -> SocketId {
        let socket = Socket {
            endpoint,
            listening,
            receiving: None,
            sending: None,
            closing: false,
        };
        let (slot, generation) = self.rings[ring].sockets.insert(socket);
        SocketId { slot, generation }
    }

    pub(super) fn connection(&mut self, endpoint: EndpointId) -> &mut Connection {
        self.net
            .connections
            .get_mut(&endpoint)
            .expect("a connection of this world")
    }

    fn receive_pooled(&mut self, endpoint: EndpointId, ring: usize) -> Result<Done, IoError> {
        let bytes = self.take_bytes(endpoint, POOL_BUF)?;
        if bytes.is_empty() {
            return Ok(Done::Received {
                buf: RecvBuf::empty(),
            });
        }
        let state = &mut self.rings[ring];
        let buffer = state.free.pop().expect("looked for above");
        // SAFETY: the buffer came from the free list, so it is not leased; it goes back there only from
        // `take_returned`; and the bytes fit (`POOL_BUF` bounds what was taken).
        let buf = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), state.pool.start(buffer), bytes.len());
            state.pool.lease(buffer, bytes.len())
        };
        Ok(Done::Received { buf })
    }

    fn receive_into(
        &mut self,
        endpoint: EndpointId,
        mut buf: Vec<u8>,
        limit: usize,
    ) -> Result<Done, IoError> {
        let bytes = self.take_bytes(endpoint, limit)?;
        buf.extend_from_slice(&bytes);
        Ok(Done::ReceivedInto { buf, n: bytes.len() })
    }

    /// Some of the bytes that are there, one at least; none at the end of the stream.
    fn take_bytes(&mut self, endpoint: EndpointId, limit: usize) -> Result<Vec<u8>, IoError> {
        let pipe = &self.connection(endpoint).to_server;
        if pipe.reset {
            return Err(IoError::new(libc::ECONNRESET));
        }
        let most = pipe.bytes.len().min(limit);
        if most == 0 {
            return Ok(Vec::new());
        }
        let some = self.net_prng.range(1, most as u64 + 1) as usize;
        let len = if self.net_prng.coin() { most } else { some };
        Ok(self.connection(endpoint).to_server.take(len))
    }

    fn starves(&mut self, endpoint: EndpointId, ring: usize) -> bool {
        let needs = !self.connection(endpoint).to_server.bytes.is_empty();
        needs && self.rings[ring].free.is_empty()
    }

    fn maybe_reset(&mut self, endpoint: EndpointId) {
        if self.fault_prng.per_mille(self.options.faults.resets) {
            self.reset(endpoint);
        }
    }

    pub(super) fn reset(&mut self, endpoint: EndpointId) {
        self.connection(endpoint).reset();
        self.nudge_receive(endpoint);
        self.nudge_send(endpoint);
    }

    fn pending(&mut self, op: OpNumber) -> &mut Pending {
        self.ops.get_mut(&op).expect("an operation in flight")
    }
}

/// `len` bytes of the slices from `start` on.
fn part(slices: &[Slice], start: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    let mut skip = start;
    for slice in slices {
        if skip < slice.len() {
            let take = (slice.len() - skip).min(len - bytes.len());
            bytes.extend_from_slice(&slice[skip..skip + take]);
        }
        skip = skip.saturating_sub(slice.len());
        if bytes.len() == len {
            break;
        }
    }
    bytes
}
