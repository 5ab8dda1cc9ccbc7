//! What several test modules need.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use millstream_protocol::types::{BrokerId, ProducerId, TopicId};

use crate::cluster::record::{ConfigChange, MetadataRecord};
use crate::config::map::ConfigMap;
use crate::quota::Rate;
use crate::quota::entity::{Name, QuotaEntity};

/// A small seeded generator (splitmix64): tests replay by their seed.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end`, exclusive.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Small ones as likely as large ones: 0 to 2^bits, exclusive.
    pub fn of_any_size(&mut self, bits: u64) -> u64 {
        let end = 1 << self.below(bits + 1);
        self.below(end)
    }
}

/// A topic without configurations whose id is `number` sixteen times.
pub fn topic_created(number: u8, name: &str, partitions: u32) -> MetadataRecord {
    let (id, configs) = (TopicId::new([number; 16]), ConfigMap::new());
    MetadataRecord::TopicCreated {
        id,
        name: name.to_string(),
        partitions,
        configs,
    }
}

/// Every kind of metadata record, in an order that leaves something of each in the image.
pub fn one_of_each_record() -> Vec<MetadataRecord> {
    let text = str::to_string;
    let id = |number| TopicId::new([number; 16]);
    let changes = vec![
        ConfigChange {
            name: text("retention.ms"),
            value: Some(text("5")),
        },
        ConfigChange {
            name: text("segment.ms"),
            value: None,
        },
    ];
    let configs = [
        (text("cleanup.policy"), text("compact")),
        (text("segment.ms"), text("9")),
    ];
    vec![
        MetadataRecord::ClusterCreated {
            cluster_id: text("AAAAAAAAAAAAAAAAAAAAAQ"),
        },
        MetadataRecord::UncleanStart {
            broker: BrokerId::new(1),
        },
        MetadataRecord::TopicCreated {
            id: id(1),
            name: text("orders"),
            partitions: 3,
            configs: configs.into_iter().collect(),
        },
        topic_created(2, "old", 7),
        topic_created(3, "older", 1),
        MetadataRecord::PartitionsAdded {
            id: id(1),
            partitions: 6,
        },
        MetadataRecord::TopicDeleted { id: id(2) },
        MetadataRecord::TopicDeleted { id: id(3) },
        MetadataRecord::TopicPurged { id: id(3) },
        MetadataRecord::TopicConfigChanged {
            id: id(1),
            changes: changes.clone(),
        },
        MetadataRecord::BrokerConfigChanged {
            broker: None,
            changes: changes.clone(),
        },
        MetadataRecord::BrokerConfigChanged {
            broker: Some(BrokerId::new(4)),
            changes,
        },
        MetadataRecord::UncleanStart {
            broker: BrokerId::new(1),
        },
        MetadataRecord::ProducerIdBlock {
            first: ProducerId::new(1_000),
            count: 1_000,
        },
        MetadataRecord::ClientQuotaChanged {
            entity: QuotaEntity {
                user: Some(Name::Default),
                client_id: Some(Name::Is("c".into())),
                ip: None,
            },
            key: text("producer_byte_rate"),
            value: Some(Rate::new(1_000.0)),
        },
        MetadataRecord::ClientMetricsChanged {
            name: text("all"),
            changes: vec![ConfigChange {
                name: text("metrics"),
                value: Some(text("*")),
            }],
        },
        MetadataRecord::GroupConfigChanged {
            group: text("g"),
            changes: vec![ConfigChange {
                name: text("consumer.session.timeout.ms"),
                value: Some(text("50000")),
            }],
        },
    ]
}
