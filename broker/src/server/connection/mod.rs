//! One client connection, without its socket: bytes in, order, bytes out.

pub mod pipeline;
pub mod read;
pub mod write;
