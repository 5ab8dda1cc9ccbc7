//! What the program asks of its allocator beyond memory.

#![expect(unsafe_code, reason = "the allocator's interface is C")]

/// Has the allocator give back to the system what this thread does not use, with what other threads freed of it, and
/// what no thread uses. Takes milliseconds; without effect where the process has another allocator.
pub fn collect() {
    // SAFETY: the call passes no memory, and any thread may make it at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
