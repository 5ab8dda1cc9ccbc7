//! What the host must offer before anything is opened, each refusal with what to do.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{IoErrorKind, Ring, SocketId};

use super::config::{BrokerConfig, CoreSet};
use super::error::StartError;
use crate::limits::{DESCRIPTORS_RESERVED, SHARDS_MAX};

/// Refuses a host or a directory that the broker cannot run on, and tells what only makes it slow. Raises the
/// limits of this process and makes the data directory.
pub fn host(data_dir: &Path, shards: usize) -> Result<(), StartError> {
    for warning in millstream_tuning::checks::before_start(data_dir, shards).map_err(StartError::Host)? {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Makes a ring, or says why this host has none.
pub fn ring(options: UringOptions) -> Result<UringRing, StartError> {
    UringRing::new(options).map_err(|error| StartError::RingUnavailable(error.to_string()))
}

/// Binds all addresses, so that one in use is found before anything is replayed.
pub fn listen(
    ring: &mut UringRing,
    config: &BrokerConfig,
) -> Result<Vec<(SocketId, SocketAddr)>, StartError> {
    if config.listeners.is_empty() {
        return Err(StartError::Config(
            "there is no address to listen on; give one with --listen HOST:PORT".into(),
        ));
    }
    config
        .listeners
        .iter()
        .map(|address| listen_on(ring, *address))
        .collect()
}

/// After a `kill -9` the kernel closes an io_uring's sockets a moment after the process is gone, and a
/// supervisor starts the next one within that moment; so an address in use is asked for again for a while
/// before it is refused.
fn listen_on(ring: &mut UringRing, address: SocketAddr) -> Result<(SocketId, SocketAddr), StartError> {
    let mut attempts = LISTEN_ATTEMPTS;
    loop {
        match ring.listen(address) {
            Ok(listening) => return Ok(listening),
            Err(error) if error.kind() == IoErrorKind::AddressInUse => {
                attempts -= 1;
                if attempts == 0 {
                    return Err(StartError::AddressInUse(address));
                }
                std::thread::sleep(LISTEN_PAUSE);
            }
            Err(error) => {
                return Err(StartError::Listen {
                    address,
                    reason: error.to_string(),
                });
            }
        }
    }
}

/// The cores to run on, out of those that this process may use.
pub fn cores(wanted: &CoreSet) -> Result<Vec<usize>, StartError> {
    let allowed: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    if allowed.is_empty() {
        return Err(StartError::Config(
            "the cores of this host cannot be listed".into(),
        ));
    }
    match wanted {
        CoreSet::All => Ok(allowed),
        CoreSet::List(list) if list.len() > SHARDS_MAX => Err(StartError::Config(format!(
            "at most {SHARDS_MAX} cores can be used"
        ))),
        CoreSet::Count(count) if (1..=allowed.len()).contains(count) => Ok(allowed[..*count].to_vec()),
        CoreSet::Count(count) => Err(StartError::Config(format!(
            "{count} cores are asked for, this process may use {}; choose 1 to {} with --cores",
            allowed.len(),
            allowed.len()
        ))),
        CoreSet::List(list) => match list.iter().find(|core| !allowed.contains(core)) {
            None if !list.is_empty() => Ok(list.clone()),
            None => Err(StartError::Config("the list of cores is empty".into())),
            Some(core) => Err(StartError::Config(format!(
                "core {core} is not one of those that this process may use: {allowed:?}"
            ))),
        },
    }
}

/// Connections that the descriptors of this process allow. The soft limit is raised as far as it goes.
pub fn connections_max() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024) as usize;
    // Files and sockets share them: half for each, and some that stay free.
    let connections = limit.saturating_sub(DESCRIPTORS_RESERVED) / 2;
    if connections < CONNECTIONS_COMFORTABLE {
        tracing::warn!(
            descriptors = limit,
            connections,
            "this process may open few descriptors; raise the limit (ulimit -n, LimitNOFILE) for more connections"
        );
    }
    connections
}

const CONNECTIONS_COMFORTABLE: usize = 1_000;

/// Two seconds in all.
const LISTEN_ATTEMPTS: u32 = 40;
const LISTEN_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_waited_for_while_its_last_owner_goes() {
        let mut ring = ring(UringOptions::default()).expect("a ring");
        let owner = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = owner.local_addr().expect("a bound address");
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(LISTEN_PAUSE * 4);
            drop(owner);
        });
        assert!(listen_on(&mut ring, address).is_ok());
        leaving.join().expect("the owner went");
        let refused = listen_on(&mut ring, address);
        assert!(matches!(refused, Err(StartError::AddressInUse(named)) if named == address));
    }

    #[test]
    fn cores_that_are_not_there_are_refused() {
        assert!(cores(&CoreSet::Count(0)).is_err());
        assert!(cores(&CoreSet::Count(100_000)).is_err());
        assert!(cores(&CoreSet::List(vec![100_000])).is_err());
        assert_eq!(cores(&CoreSet::Count(1)).unwrap().len(), 1);
    }
}
