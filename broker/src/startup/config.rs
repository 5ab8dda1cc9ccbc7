//! What a broker needs to know before it starts; parsed elsewhere (flags, environment, `millstream.toml`).
//! Invariant: everything in here is already well-formed; what the machine refuses (a port in use, a directory
//! without rights) is found out by [`super::run`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The settings of one broker process.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where segments, journals and the metadata log live. Created when missing.
    pub data_dir: PathBuf,
    /// Every address to listen on, at least one. Port 0 takes a free one.
    pub listeners: Vec<SocketAddr>,
    /// What clients are told to connect to. `None`: the address they reached us on, or the first listener.
    pub advertised: Option<HostPort>,
    /// The cores to run on, one shard each.
    pub cores: CoreSet,
    /// The node id that clients see.
    pub node_id: i32,
    /// Memory that all shards together may use for requests, replies and the batch cache, in bytes.
    /// `None`: a share of the machine's memory.
    pub memory_bytes: Option<u64>,
    /// Free space of the data directory's file system, in bytes, below which appends are refused.
    pub free_space_bytes_min: u64,
    /// Kafka's broker settings by their Kafka names (`num.partitions`, `log.retention.ms`, …), as set by the file, the
    /// environment or flags. Settings altered at run time stand above them.
    pub settings: BTreeMap<String, String>,
}

/// A host and port as clients are told it; the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// Which cores carry shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreSet {
    /// Every core that this process may run on.
    All,
    /// The first so many of them, at least one.
    Count(usize),
    /// Exactly these, by the kernel's numbering.
    List(Vec<usize>),
}

impl BrokerConfig {
    /// What clients of a listener that was bound to `bound` are told; `None`: the address by which they reached it.
    pub fn advertised_for(&self, bound: SocketAddr) -> Option<HostPort> {
        self.advertised.clone().or_else(|| {
            let named = !bound.ip().is_unspecified();
            named.then(|| HostPort {
                host: bound.ip().to_string(),
                port: bound.port(),
            })
        })
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./millstream-data"),
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))],
            advertised: None,
            cores: CoreSet::All,
            node_id: DEFAULT_NODE_ID,
            memory_bytes: None,
            free_space_bytes_min: FREE_SPACE_BYTES_MIN_DEFAULT,
            settings: BTreeMap::new(),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub use millstream_storage::limits::FREE_SPACE_BYTES_MIN_DEFAULT;

/// Kafka's port.
pub const DEFAULT_PORT: u16 = 9092;
/// Node 0 is legal but reads like "unset" in many tools.
pub const DEFAULT_NODE_ID: i32 = 1;
