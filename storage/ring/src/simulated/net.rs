//! The simulated network: listeners, and connections made of two bounded pipes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::error::IoError;

/// Names a listener or a connection of the world, for ever.
pub(super) type EndpointId = u64;

#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) listeners: BTreeMap<EndpointId, Listener>,
    pub(super) connections: BTreeMap<EndpointId, Connection>,
    next_endpoint: EndpointId,
    next_port: u16,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    /// Connections that wait to be accepted.
    pub(super) backlog: VecDeque<EndpointId>,
    /// The armed accept.
    pub(super) accept: Option<u64>,
    /// A step of the accept is on its way.
    pub(super) stepping: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) server: SocketAddr,
    pub(super) client: SocketAddr,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
    /// The ring's receive and send that wait for bytes or for room.
    pub(super) receive: Option<u64>,
    pub(super) send: Option<u64>,
    /// A step of the receive, or of the send, is on its way.
    pub(super) receive_stepping: bool,
    pub(super) send_stepping: bool,
    /// Ends that are still held: the client's and the ring's. Forgotten at zero.
    holders: u8,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) bytes: VecDeque<u8>,
    /// The writer has ended.
    pub(super) ended: bool,
    pub(super) reset: bool,
}

impl Pipe {
    /// Takes the first `len` bytes out.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let (first, second) = self.bytes.as_slices();
        let mut taken = Vec::with_capacity(len);
        taken.extend_from_slice(&first[..len.min(first.len())]);
        taken.extend_from_slice(&second[..len - taken.len()]);
        self.bytes.drain(..len);
        taken
    }
}

impl Net {
    pub(super) fn listen(&mut self, addr: SocketAddr) -> Result<(EndpointId, SocketAddr), IoError> {
        let port = if addr.port() == 0 {
            self.port()
        } else {
            addr.port()
        };
        let addr = SocketAddr::new(addr.ip(), port);
        if self.listeners.values().any(|listener| listener.addr == addr) {
            return Err(IoError::new(libc::EADDRINUSE));
        }
        let id = self.endpoint();
        self.listeners.insert(
            id,
            Listener {
                addr,
                backlog: VecDeque::new(),
                accept: None,
                stepping: false,
            },
        );
        Ok((id, addr))
    }

    /// Queues a connection at the listener of `addr`; both ids.
    pub(super) fn connect(&mut self, addr: SocketAddr) -> Result<(EndpointId, EndpointId), IoError> {
        let found = self.listeners.iter().find(|(_, listener)| listener.addr == addr);
        let listener = *found.ok_or(IoError::new(libc::ECONNREFUSED))?.0;
        let (id, port) = (self.endpoint(), self.port());
        let connection = Connection {
            server: addr,
            client: SocketAddr::new(addr.ip(), port),
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            receive: None,
            send: None,
            receive_stepping: false,
            send_stepping: false,
            holders: 2,
        };
        self.connections.insert(id, connection);
        self.listeners
            .get_mut(&listener)
            .expect("found above")
            .backlog
            .push_back(id);
        Ok((listener, id))
    }

    /// One end is given up.
    pub(super) fn release(&mut self, id: EndpointId) {
        let connection = self.connections.get_mut(&id).expect("an end is held");
        connection.holders -= 1;
        if connection.holders == 0 {
            self.connections.remove(&id);
        }
    }

    fn endpoint(&mut self) -> EndpointId {
        self.next_endpoint += 1;
        self.next_endpoint
    }

    fn port(&mut self) -> u16 {
        self.next_port = self.next_port.wrapping_add(1) % 20_000;
        40_000 + self.next_port
    }
}

impl Connection {
    pub(super) fn reset(&mut self) {
        for pipe in [&mut self.to_server, &mut self.to_client] {
            pipe.bytes.clear();
            pipe.reset = true;
        }
    }
}
