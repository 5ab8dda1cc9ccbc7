//! What the process tells the kernel about itself, first thing.

#![expect(unsafe_code, reason = "the standard library does not know these system calls")]

/// Registers membarrier, to be done before any thread sleeps: without it the first sleep in the process stalls for
/// 30 to 50 ms. A kernel without it only makes that first sleep slow.
pub fn register_membarrier() {
    // SAFETY: the call takes numbers only and changes nothing but the process's registration.
    unsafe {
        libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0);
    }
}

/// No transparent huge pages, whatever the host's setting is: what is left in use after a load would keep the two
/// megabytes around it. Measured: 92 MiB beyond the batch cache at rest instead of 23 to 37, and the same CPU for a
/// gigabyte. To be called before there is much memory; where the kernel refuses, memory at rest is larger.
pub fn refuse_huge_pages() {
    // SAFETY: the call takes numbers only and changes nothing but how this process's memory is backed.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
