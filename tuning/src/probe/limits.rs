//! This process's resource limits: read, and the soft ones raised to the hard ones.

#![expect(unsafe_code, reason = "the C library is the only door to the kernel here")]

use crate::profile::Limit;

pub fn memory_lock() -> Limit {
    read(libc::RLIMIT_MEMLOCK)
}

pub fn open_files() -> Limit {
    read(libc::RLIMIT_NOFILE)
}

pub fn raise_memory_lock() {
    raise(libc::RLIMIT_MEMLOCK);
}

pub fn raise_open_files() {
    raise(libc::RLIMIT_NOFILE);
}

/// The type that libc gives to resources differs between C libraries.
type Resource = libc::__rlimit_resource_t;

fn read(resource: Resource) -> Limit {
    let Some(raw) = get(resource) else {
        return Limit {
            soft: None,
            hard: None,
        };
    };
    let finite = |value: libc::rlim_t| (value != libc::RLIM_INFINITY).then_some(value);
    Limit {
        soft: finite(raw.rlim_cur),
        hard: finite(raw.rlim_max),
    }
}

/// A failure changes nothing; the checks read the limits afterwards and judge those.
fn raise(resource: Resource) {
    if let Some(raw) = get(resource)
        && raw.rlim_cur != raw.rlim_max
    {
        let raised = libc::rlimit {
            rlim_cur: raw.rlim_max,
            rlim_max: raw.rlim_max,
        };
        // SAFETY: the kernel reads one rlimit from a live local; nothing else is touched.
        unsafe { libc::setrlimit(resource, &raised) };
    }
}

fn get(resource: Resource) -> Option<libc::rlimit> {
    let mut raw = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit into a live local.
    let done = unsafe { libc::getrlimit(resource, &mut raw) };
    (done == 0).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_files_reaches_the_hard_one() {
        raise_open_files();
        let limit = open_files();
        assert_eq!(limit.soft, limit.hard);
        assert!(limit.allows(64));
    }
}
