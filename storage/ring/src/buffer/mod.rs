//! Buffers that the ring moves, all of them owned or reference-counted, none of them copied.
//!
//! | type | who writes | who reads | end of life |
//! |---|---|---|---|
//! | [`AlignedBuf`] | its one owner, or the kernel while an operation owns it | the owner | `freeze` into a [`Slice`] |
//! | [`AppendBuf`] | its one owner, behind what is shared | anyone, through slices of what is written | last slice |
//! | [`Slice`] | nobody | any thread, the kernel | last clone |
//! | [`RecvBuf`] | the kernel before, the holder after | the holder | back to its ring's pool |

mod aligned;
mod append;
mod recv;
mod region;
mod slice;

pub use aligned::AlignedBuf;
pub use append::AppendBuf;
pub use recv::RecvBuf;
pub(crate) use recv::RecvPool;
pub use region::BLOCK;
pub(crate) use region::Region;
pub use slice::Slice;
