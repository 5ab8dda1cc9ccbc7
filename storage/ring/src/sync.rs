//! What threads meet at: the standard library's, or loom's where the crate's models are run (`models`).

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

/// Stands between two sequentially consistent accesses whose order matters. Nothing, save in a model: loom takes such
/// an access for one that acquires and releases, and knows that order of fences only.
#[inline(always)]
pub(crate) fn between_seq_cst() {
    #[cfg(all(loom, test))]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
