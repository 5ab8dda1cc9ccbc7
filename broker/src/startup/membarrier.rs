//! Membarrier, registered before any thread sleeps: without it the first sleep in the process stalls for 30 to 50 ms.

#![expect(unsafe_code, reason = "the standard library does not know this system call")]

/// To be called first thing in the process. A kernel without it only makes that first sleep slow.
pub fn register() {
    // SAFETY: the call takes numbers only and changes nothing but the process's registration.
    unsafe {
        libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0);
    }
}

const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
