//! The bare loop: what this machine can do at all with the same client. It receives, checks CRC-32C, writes
//! whatever has arrived with one direct durable write into written space, and answers a valid response. There
//! is no log, no index, no offset that means anything; nothing could be read back.
//! Place: a process of its own (`millstream-bench bare-loop`), so that its memory and its CPU time are its
//! own. `server` is the loop, `disk` the durable write, `stream` a raw loopback send.

pub mod disk;
pub mod ring_server;
pub mod server;
pub mod stream;
