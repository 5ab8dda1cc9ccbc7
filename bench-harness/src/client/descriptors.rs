//! File descriptors: as many as a run needs, as far as this process may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raise the soft limit so that `connections` sockets fit. Fails where the hard limit is below that.
pub fn reserve(connections: usize) -> Result<(), String> {
    let needed = (connections + OTHERS) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if let Some(hard) = limit.maximum.filter(|&hard| hard < needed) {
        return Err(format!(
            "{connections} connections need {needed} file descriptors, this process may have {hard}: raise the limit \
             (`ulimit -Hn {needed}` as root, or LimitNOFILE= of a service) or have fewer connections"
        ));
    }
    let wanted = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted)
        .map_err(|error| format!("raising the limit of file descriptors: {error}"))
}

/// Epolls, files, the admin's connection, standard streams.
const OTHERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_may_be_is_refused_with_what_to_do() {
        reserve(1).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = reserve(usize::MAX >> 2).unwrap_err();
            assert!(error.contains("raise the limit"), "{error}");
        }
    }
}
