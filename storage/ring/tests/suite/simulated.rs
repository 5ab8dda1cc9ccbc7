//! The world of the simulated ring.

use std::net::SocketAddr;
use std::path::PathBuf;

use millstream_ring::IoError;
use millstream_ring::simulated::{SimConn, SimOptions, SimRing, SimWorld};

use super::world::{Client, World};

pub struct SimulatedWorld {
    world: SimWorld,
    ring: SimRing,
    second: SimRing,
}

impl SimulatedWorld {
    pub fn new() -> SimulatedWorld {
        let world = SimWorld::new(
            4711,
            SimOptions {
                pool_buffers: 8,
                ..SimOptions::default()
            },
        );
        SimulatedWorld {
            ring: world.ring(),
            second: world.ring(),
            world,
        }
    }
}

impl World for SimulatedWorld {
    type Ring = SimRing;
    type Client = SimConn;

    fn ring(&mut self) -> &mut SimRing {
        &mut self.ring
    }

    fn second(&mut self) -> &mut SimRing {
        &mut self.second
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from("/")
    }

    fn connect(&mut self, addr: SocketAddr) -> SimConn {
        self.world.connect(addr).unwrap()
    }
}

impl Client for SimConn {
    fn write(&mut self, bytes: &[u8]) -> usize {
        SimConn::write(self, bytes).unwrap()
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, IoError> {
        SimConn::read(self)
    }

    fn shutdown_write(&mut self) {
        SimConn::shutdown_write(self);
    }

    fn reset(self) {
        SimConn::reset(self);
    }
}
