//! The sockets of a shard: accepting, handing over, receiving, sending, closing.
//! Invariants: a socket moves to another shard only before its first byte; a connection's entry lives until its close
//! has completed, so no late completion meets a stranger.

use std::net::SocketAddr;

use millstream_ring::{Completion, Done, IoError, Op, Ring, Slice, SocketId};
use millstream_storage::Room;
use tracing::debug;

use super::mailbox::ShardId;
use super::messages::PeerMessage;
use super::slab::Key;
use super::state::{Lifecycle, Shard};
use super::token::Tag;
use crate::limits::{
    BYTES_PER_CONNECTION_TURN, FRAMES_PER_CONNECTION_TURN, LITTLE_BYTES, RECEIVE_BYTES_PER_SHARED_TURN,
    RECEIVE_CHUNK_MIN, SEND_BYTES_PER_SHARED_TURN, SEND_BYTES_PER_TURN, SEND_SHARE_MIN,
};
use crate::server::connection::foreign::Foreign;
use crate::server::connection::read::{FrameError, Want};
use crate::server::connection::{Allowance, Connection, NextRequest, Overdue, Phase};
use crate::server::dispatch;

impl Shard {
    /// Arms the accepts of the listeners that this shard owns.
    pub fn listen(&mut self, ring: &mut impl Ring) {
        for listener in 0..self.listening.len() {
            self.arm_accept(ring, listener);
        }
    }

    pub(super) fn accepted(&mut self, ring: &mut impl Ring, listener: usize, completion: Completion) {
        self.listening[listener].armed = completion.more;
        match completion.result {
            Ok(Done::Accepted { socket, .. }) if self.lifecycle != Lifecycle::Running => {
                ring.submit(Tag::Discard.token(), Op::CloseSocket { socket });
            }
            Ok(Done::Accepted { socket, peer }) => self.place(ring, listener, socket, peer),
            Ok(other) => panic!("an accept completed with {other:?}"),
            Err(error) => {
                if self.lifecycle == Lifecycle::Running {
                    self.complain(format_args!("accepting failed: {error}; trying again"));
                }
                // Armed again by the sweep, so that a shortage of descriptors does not spin.
                return;
            }
        }
        if !completion.more && self.lifecycle == Lifecycle::Running {
            self.arm_accept(ring, listener);
        }
    }

    /// Finds a shard for a new connection: the one with the fewest.
    fn place(&mut self, ring: &mut impl Ring, listener: usize, socket: SocketId, peer: SocketAddr) {
        if let Err(reason) = self.table.admit(peer.ip(), &self.connection_limits) {
            self.counters.connections_refused += 1;
            self.complain(format_args!("refused a connection from {peer}: {reason}"));
            ring.submit(Tag::Discard.token(), Op::CloseSocket { socket });
            return;
        }
        let wait = self.charge_connection(peer.ip());
        // One that only waits for its end does so where it came.
        let shard = match wait.is_zero() {
            true => self.table.emptiest(),
            false => self.id,
        };
        self.table.connection_opened(shard);
        if shard == self.id {
            let adopted = self.adopt(ring, socket, peer, listener);
            if let Some(key) = adopted
                && !wait.is_zero()
            {
                self.counters.connections_refused += 1;
                self.complain(format_args!(
                    "refused a connection from {peer}: there are more than its connection_creation_rate allows"
                ));
                self.end_later(key, wait);
            }
        } else {
            let socket = ring.detach_socket(socket);
            self.mail.send(
                shard,
                PeerMessage::Connection {
                    socket,
                    peer,
                    listener,
                },
            );
        }
    }

    /// Makes a connection of a socket that is this shard's own.
    pub(super) fn adopt(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketId,
        peer: SocketAddr,
        listener: usize,
    ) -> Option<Key> {
        // Told to clients where nothing else is advertised; the listener's own address if it is gone already.
        let local = ring
            .local_addr(socket)
            .unwrap_or(self.options.listeners[listener].bound);
        let limit = self.options.request_bytes_max;
        let (in_flight, now) = (self.requests_in_flight_max, self.now.monotonic);
        let connection = Connection::new(socket, peer, local, listener, limit, in_flight, now);
        let Ok(key) = self.connections.insert(connection) else {
            self.table.connection_closed(self.id, peer.ip());
            ring.submit(Tag::Discard.token(), Op::CloseSocket { socket });
            return None;
        };
        self.counters.connections_opened += 1;
        self.mark_dirty(key);
        Some(key)
    }

    pub(super) fn received(&mut self, key: Key, result: Result<Done, IoError>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.receiving = false;
        connection.granted = 0;
        if connection.phase == Phase::Closing {
            return;
        }
        let ended = match result {
            Ok(Done::Received { buf }) => {
                let ended = buf.is_empty();
                self.counters.bytes_in += buf.len() as u64;
                connection.read.received(Slice::from(buf));
                ended
            }
            Ok(Done::ReceivedInto { buf, n }) => {
                self.counters.bytes_in += n as u64;
                connection.read.received_into(buf, n);
                n == 0
            }
            Ok(other) => panic!("a receive completed with {other:?}"),
            Err(error) => {
                debug!(peer = %connection.peer, %error, "a connection broke");
                connection.abandon();
                true
            }
        };
        if !connection.has_input() {
            connection.settle();
        }
        if ended && connection.phase == Phase::Open {
            if connection.waiting_call.is_some() {
                // Nobody is left to tell about new records.
                connection.abandon();
            } else {
                connection.phase = Phase::Draining;
            }
        }
        self.recharge(key);
        self.mark_ready(key);
        self.mark_dirty(key);
    }

    pub(super) fn sent(&mut self, key: Key, result: Result<Done, IoError>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        // Given up in this very turn, or before: nobody counts its bytes any more.
        if connection.phase == Phase::Closing || !connection.write.in_flight() {
            return;
        }
        match result {
            Ok(Done::Sent { n, slices }) => {
                self.counters.bytes_out += n as u64;
                connection.sent(n, slices);
            }
            Ok(other) => panic!("a send completed with {other:?}"),
            Err(error) => {
                debug!(peer = %connection.peer, %error, "a reply could not be sent");
                connection.abandon();
            }
        }
        self.recharge(key);
        self.mark_ready(key);
        self.mark_dirty(key);
    }

    pub(super) fn closed(&mut self, key: Key) {
        let Some(connection) = self.connections.remove(key) else {
            return;
        };
        self.budget.recharge(connection.charged, 0);
        self.budget.release_reserve(key);
        self.give_back_abandoned(connection.read.held_bytes());
        self.cancel_waits(connection.waiting_call);
        self.table.connection_closed(self.id, connection.peer.ip());
        self.counters.connections_closed += 1;
        self.feed_starved();
    }

    /// Handles requests of one connection within its budget; says how many bytes they had.
    pub(super) fn serve(&mut self, key: Key) -> usize {
        let mut bytes = 0;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.is_ready = false;
        }
        for _ in 0..FRAMES_PER_CONNECTION_TURN {
            let room = Allowance {
                room: self.table.room(),
                moment: self.room_changes,
            };
            let Some(connection) = self.connections.get_mut(key) else {
                return bytes;
            };
            match connection.next_request(self.now.monotonic, room) {
                NextRequest::Frame(frame, request) => {
                    bytes += frame.len();
                    self.note_request(frame.len());
                    // Its frame is whole: the next one may need the reserve more.
                    self.budget.release_reserve(key);
                    dispatch::dispatch(self, key, request, &frame);
                }
                NextRequest::None => {
                    connection.settle();
                    break;
                }
                NextRequest::Congested => {
                    connection.settle();
                    self.congested.push(key);
                    break;
                }
                NextRequest::Bad(error) => {
                    self.refuse_frame(key, error);
                    return bytes;
                }
            }
            if bytes >= BYTES_PER_CONNECTION_TURN {
                self.mark_ready(key);
                break;
            }
        }
        self.recharge(key);
        self.mark_dirty(key);
        bytes
    }

    /// Puts a connection on the list of those with input.
    pub(crate) fn mark_ready(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !connection.is_ready && connection.has_input() {
            connection.is_ready = true;
            match connection.input_bytes() <= LITTLE_BYTES {
                true => self.ready.push_back(key),
                false => self.ready_with_much.push_back(key),
            }
        }
    }

    /// Says whether this shard's logs are short of room, and lets held writes go on when none is any more.
    pub(super) fn heed_congestion(&mut self) {
        self.table.set_room(self.id, self.partitions.logs.room());
        let before = std::mem::replace(&mut self.room, self.table.room());
        self.room_changes += u64::from(self.room != before);
        if self.room > before || self.room == Room::Plenty {
            for key in std::mem::take(&mut self.congested) {
                self.mark_ready(key);
            }
        }
    }

    /// Puts a connection on the list of those with something to submit.
    pub(crate) fn mark_dirty(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(key);
        }
    }

    /// Submits what the turn's work left to be sent, received and closed.
    pub(super) fn submit_dirty_connections(&mut self, ring: &mut impl Ring) {
        self.receive_in_turn(ring);
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.submit_connection(ring, key);
        }
        self.dirty = dirty;
        if !self.much_waits {
            self.send_in_turn(ring);
        }
    }

    /// Receives for those that wait with large frames, until the turn's bytes are used up.
    fn receive_in_turn(&mut self, ring: &mut impl Ring) {
        self.receive_bytes_left = match (self.much_waits, self.is_shared()) {
            (true, _) => 0,
            (false, true) => RECEIVE_BYTES_PER_SHARED_TURN,
            (false, false) => usize::MAX,
        };
        while self.receive_bytes_left > 0
            && let Some(key) = self.receives_waiting.pop_front()
        {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.waits_to_receive = false;
                self.arm_receive(ring, key);
            }
        }
    }

    /// Sends for those that have much, each its share, until the turn's bytes are used up.
    fn send_in_turn(&mut self, ring: &mut impl Ring) {
        let mut left = match self.is_shared() {
            true => SEND_BYTES_PER_SHARED_TURN,
            false => SEND_BYTES_PER_TURN,
        };
        let share = (left / self.sends_waiting.len().max(1)).max(SEND_SHARE_MIN);
        for _ in 0..self.sends_waiting.len() {
            let Some(key) = self.sends_waiting.pop_front() else {
                return;
            };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.waits_to_send = false;
                left = left.saturating_sub(connection.submit_send(ring, key, share));
            }
            if left == 0 {
                return;
            }
        }
    }

    fn submit_connection(&mut self, ring: &mut impl Ring, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.is_dirty = false;
        if connection.phase == Phase::Closing {
            return;
        }
        if connection.write.waiting_bytes() <= LITTLE_BYTES {
            connection.submit_send(ring, key, LITTLE_BYTES);
        } else if !connection.waits_to_send && !connection.write.in_flight() {
            connection.waits_to_send = true;
            self.sends_waiting.push_back(key);
        }
        if connection.phase != Phase::Open && connection.is_drained() {
            connection.phase = Phase::Closing;
            ring.submit(
                Tag::Close(key).token(),
                Op::CloseSocket {
                    socket: connection.socket,
                },
            );
            return;
        }
        self.arm_receive(ring, key);
    }

    fn arm_receive(&mut self, ring: &mut impl Ring, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.waits_to_receive {
            return;
        }
        let socket = connection.socket;
        let op = match connection.want() {
            Want::Nothing => return,
            Want::Pooled => {
                self.budget.release_reserve(key);
                Op::RecvPooled { socket }
            }
            Want::Into { buf, limit } => {
                if limit > LITTLE_BYTES && self.receive_bytes_left == 0 {
                    connection.read.unwanted(buf);
                    connection.waits_to_receive = true;
                    self.receives_waiting.push_back(key);
                    return;
                }
                if !self.budget.admit(key, limit) {
                    connection.read.unwanted(buf);
                    connection.starved = true;
                    return;
                }
                if limit > LITTLE_BYTES {
                    self.receive_bytes_left = self.receive_bytes_left.saturating_sub(limit);
                }
                connection.granted = if limit > RECEIVE_CHUNK_MIN { limit } else { 0 };
                Op::RecvInto { socket, buf, limit }
            }
        };
        connection.receiving = true;
        self.recharge(key);
        ring.submit(Tag::Receive(key).token(), op);
    }

    /// Lets connections that waited for memory ask again.
    pub(crate) fn feed_starved(&mut self) {
        while let Some(key) = self.budget.next_waiting() {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.starved = false;
                self.mark_dirty(key);
            }
        }
    }

    /// Brings the budget up to date with what a connection holds.
    pub(crate) fn recharge(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let charge = connection.charge();
        let before = std::mem::replace(&mut connection.charged, charge);
        self.budget.recharge(before, charge);
        if charge < before {
            self.feed_starved();
        }
    }

    /// Closes a connection whatever is in progress on it.
    pub(crate) fn abort(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.phase != Phase::Closing {
            connection.abandon();
            self.mark_dirty(key);
        }
    }

    fn refuse_frame(&mut self, key: Key, error: FrameError) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let peer = connection.peer;
        match error {
            FrameError::Negative(length) => {
                self.complain(format_args!(
                    "closing {peer}: a request of {length} bytes was announced"
                ));
            }
            FrameError::TooLarge { declared, limit } => match Foreign::of(declared) {
                Some(foreign) => self.complain(format_args!("closing {peer}: {foreign}")),
                None => self.complain(format_args!(
                    "closing {peer}: a request of {declared} bytes was announced, the limit \
                     (socket.request.max.bytes) is {limit}; is this a Kafka client?"
                )),
            },
        }
        self.abort(key);
    }

    /// Looks at every connection's deadlines and at the listeners.
    pub(super) fn sweep(&mut self, ring: &mut impl Ring) {
        self.complaints_left = crate::limits::CLIENT_COMPLAINTS_PER_SECOND;
        if !self.health.is_well() {
            self.publish_health();
        }
        self.look_for_metadata_stall();
        let (idle, short) = (self.connection_limits.idle, self.budget.is_short());
        let overdue: Vec<(Key, Overdue)> = self
            .connections
            .keys()
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|key| {
                Some((
                    key,
                    self.connections
                        .get_mut(key)?
                        .sweep(self.now.monotonic, idle, short)?,
                ))
            })
            .collect();
        for (key, reason) in overdue {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let peer = connection.peer;
            match reason {
                Overdue::Idle => debug!(%peer, "closing a connection that is silent"),
                Overdue::SlowFrame => self.complain(format_args!(
                    "closing {peer}: it began a request and does not send the rest of it"
                )),
                Overdue::Hoarding => self.complain(format_args!(
                    "closing {peer}: others wait for memory, and it neither sends the rest of its request nor reads \
                     what it is answered"
                )),
                Overdue::SlowReader => {
                    self.complain(format_args!(
                        "closing {peer}: it does not read what it is answered"
                    ));
                }
            }
            self.abort(key);
        }
        if self.lifecycle == Lifecycle::Running {
            self.listen(ring);
        }
    }

    fn arm_accept(&mut self, ring: &mut impl Ring, listener: usize) {
        let listening = &mut self.listening[listener];
        if !listening.armed {
            listening.armed = true;
            ring.submit(
                Tag::Accept(listener).token(),
                Op::Accept {
                    listener: listening.socket,
                },
            );
        }
    }

    /// Which shard a connection was given to is said by the message; it is ours from here.
    pub(super) fn adopt_from(
        &mut self,
        ring: &mut impl Ring,
        socket: millstream_ring::DetachedSocket,
        peer: SocketAddr,
        listener: usize,
    ) {
        let socket = ring.adopt_socket(socket);
        self.adopt(ring, socket, peer, listener);
    }

    /// A line about a client's misbehaviour, a few a second at most.
    pub(crate) fn complain(&mut self, what: std::fmt::Arguments<'_>) {
        self.counters.client_complaints += 1;
        if self.complaints_left > 0 {
            self.complaints_left -= 1;
            tracing::warn!(shard = self.id.0, "{what}");
        }
    }
}

impl Connection {
    /// Hands the kernel what there is to send, so many bytes at most; says how many.
    fn submit_send(&mut self, ring: &mut impl Ring, key: Key, bytes_max: usize) -> usize {
        if self.phase == Phase::Closing {
            return 0;
        }
        let Some(slices) = self.write.take_send(bytes_max) else {
            return 0;
        };
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        let socket = self.socket;
        ring.submit(Tag::Send(key).token(), Op::Send { socket, slices });
        bytes
    }
}

/// For tests and logs.
impl std::fmt::Display for ShardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
