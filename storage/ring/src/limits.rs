//! Bounds of a ring. Every queue, table and pool below has one of these.

/// Bytes of one pooled receive buffer: the most that one [`crate::Op::RecvPooled`] can bring.
pub const POOL_BUF: usize = 16 * 1024;

/// Receive buffers of one ring unless its options say otherwise: 8 MiB of address space, touched on demand.
pub const POOL_BUFFERS: u16 = 512;

/// Operations in flight on one ring. More is a programmer's error: connections and files are bounded above.
pub const OPS_MAX: usize = 64 * 1024;

/// Sockets and files that one ring can hold open at a time, each.
pub const DESCRIPTORS_MAX: usize = 64 * 1024;

/// Pieces of one vectored send or write (the kernel's UIO_MAXIOV); what lies beyond is left to a partial result.
pub const PIECES_MAX: usize = 1024;

/// Entries that [`crate::Op::List`] returns; a directory with more answers `EOVERFLOW`.
pub const LIST_MAX: usize = 1 << 20;

/// Bytes of one write of zeroes by [`crate::Op::Allocate`].
pub const ZEROES: usize = 1 << 20;

const _: () = assert!(POOL_BUF.is_multiple_of(4096) && POOL_BUFFERS.is_power_of_two());
const _: () = assert!(OPS_MAX <= 1 << 24 && DESCRIPTORS_MAX <= 1 << 24);
