//! Everything of this crate that touches the kernel: it reads, it tries, and it raises this process's own
//! limits.

pub mod disk;
pub mod host;
pub mod limits;
pub mod uring;
