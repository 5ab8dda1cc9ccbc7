//! What the tests of the whole broker share: the real process, and a client that hides nothing.

#![forbid(unsafe_code)]

pub mod process;
pub mod wire;
