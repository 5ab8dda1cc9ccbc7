//! How many partitions a client may create and delete: KIP-599.
//!
//! Place: the controller's thread, on what its machine has decided.
//!
//! As Kafka measures it: a bucket that holds what the quota allows in eleven seconds, and may be overdrawn once. Who
//! overdrew it waits until nothing is owed. Clients that know the error are refused what they ask meanwhile, topic by
//! topic; what others ask is done.
//!
//! Invariant: there are no more buckets than were asked for at the start; of clients beyond that, one is shared.

use alloc::collections::BTreeMap;
use alloc::string::String;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};

use super::Rate;
use super::entity::QuotaEntity;
use crate::cluster::controller::{Decision, Refusal};
use crate::cluster::image::ClusterImage;
use crate::cluster::record::MetadataRecord;

/// What limits a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutationQuota {
    /// For whom it is counted.
    pub client: QuotaEntity,
    /// Partitions a second.
    pub rate: Rate,
    /// The client knows THROTTLING_QUOTA_EXCEEDED.
    pub strict: bool,
    pub now: Instant,
}

/// What clients with quotas may yet change.
#[derive(Debug)]
pub struct MutationBuckets {
    by_client: BTreeMap<QuotaEntity, Bucket>,
    buckets_max: usize,
}

/// Partitions that may be created or deleted; owed ones below 0.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    /// When there were so many.
    at: Instant,
}

impl MutationBuckets {
    pub fn new(buckets_max: usize) -> Self {
        Self {
            by_client: BTreeMap::new(),
            buckets_max,
        }
    }

    /// Leaves out of a decision on `image` what the quota does not allow; and how long the client has to wait. The
    /// decision has a record for each of its answers that is no refusal.
    pub fn limit<T>(
        &mut self,
        quota: &MutationQuota,
        image: &ClusterImage,
        decision: Decision<T>,
    ) -> (Decision<T>, Duration) {
        let bucket = self.bucket(quota);
        let mut wait = Duration::ZERO;
        let mut limited = Decision {
            records: alloc::vec::Vec::with_capacity(decision.records.len()),
            answers: alloc::vec::Vec::with_capacity(decision.answers.len()),
        };
        let mut records = decision.records.into_iter();
        for answer in decision.answers {
            let answer = answer.and_then(|answer| {
                let record = records.next().expect("a record for each answer");
                let owed = bucket.wait(quota.rate);
                if quota.strict && !owed.is_zero() {
                    wait = wait.max(owed);
                    return Err(exceeded());
                }
                bucket.tokens -= mutations(image, &record) as f64;
                if !quota.strict {
                    wait = wait.max(bucket.wait(quota.rate));
                }
                limited.records.push(record);
                Ok(answer)
            });
            limited.answers.push(answer);
        }
        assert!(records.next().is_none(), "an answer for each record");
        (limited, wait)
    }

    fn bucket(&mut self, quota: &MutationQuota) -> &mut Bucket {
        let burst = quota.rate.get() * BURST_SECONDS;
        let mut client = quota.client.clone();
        if !self.by_client.contains_key(&client) && self.by_client.len() >= self.buckets_max {
            // Who has not asked for so long owes nothing that counts.
            let idle =
                |bucket: &Bucket| quota.now.saturating_since(bucket.at) >= IDLE && bucket.tokens >= 0.0;
            self.by_client.retain(|_, bucket| !idle(bucket));
            if self.by_client.len() >= self.buckets_max {
                client = QuotaEntity::default();
            }
        }
        let full = Bucket {
            tokens: burst,
            at: quota.now,
        };
        let bucket = self.by_client.entry(client).or_insert(full);
        let seconds = quota.now.saturating_since(bucket.at).as_nanos() as f64 / NANOS_PER_SECOND;
        bucket.tokens = (bucket.tokens + quota.rate.get() * seconds).min(burst);
        bucket.at = bucket.at.max(quota.now);
        bucket
    }
}

impl Bucket {
    /// How long it takes until nothing is owed.
    fn wait(&self, rate: Rate) -> Duration {
        match self.tokens < 0.0 {
            true => Duration::from_nanos((-self.tokens / rate.get() * NANOS_PER_SECOND) as u64).min(WAIT_MAX),
            false => Duration::ZERO,
        }
    }
}

/// How many partitions a record creates or deletes.
fn mutations(image: &ClusterImage, record: &MetadataRecord) -> u32 {
    let present = |id| image.topic(id).map_or(0, |topic| topic.partitions);
    match record {
        MetadataRecord::TopicCreated { partitions, .. } => *partitions,
        MetadataRecord::TopicDeleted { id } => present(*id),
        MetadataRecord::PartitionsAdded { id, partitions } => partitions.saturating_sub(present(*id)),
        _ => 0,
    }
}

fn exceeded() -> Refusal {
    Refusal {
        code: ErrorCode::ThrottlingQuotaExceeded,
        message: String::new(),
    }
}

/// Kafka's `controller.quota.window.num` of `controller.quota.window.size.seconds`.
const BURST_SECONDS: f64 = 11.0;
const IDLE: Duration = Duration::from_secs(11);
const NANOS_PER_SECOND: f64 = 1e9;
/// As many milliseconds as clients can be told.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::entity::Name;
    use crate::testing::topic_created;
    use std::vec::Vec;

    fn quota(client: &str, strict: bool, millis: u64) -> MutationQuota {
        MutationQuota {
            client: QuotaEntity {
                client_id: Some(Name::Is(client.into())),
                ..QuotaEntity::default()
            },
            rate: Rate::new(2.0),
            strict,
            now: Instant::ZERO + Duration::from_millis(1_000_000 + millis),
        }
    }

    /// Topics of so many partitions are created: which of them are, and the wait in milliseconds.
    fn create(buckets: &mut MutationBuckets, quota: &MutationQuota, partitions: &[u32]) -> (Vec<bool>, u64) {
        let decision = Decision {
            records: partitions
                .iter()
                .map(|count| topic_created(1, "t", *count))
                .collect(),
            answers: partitions.iter().map(|_| Ok(())).collect(),
        };
        let (limited, wait) = buckets.limit(quota, &ClusterImage::empty(), decision);
        let done: Vec<bool> = limited.answers.iter().map(Result::is_ok).collect();
        let records = partitions.iter().zip(&done).filter(|(_, done)| **done);
        let records: Vec<_> = records.map(|(count, _)| topic_created(1, "t", *count)).collect();
        assert_eq!(limited.records, records);
        for refused in limited.answers.into_iter().filter_map(Result::err) {
            assert_eq!(refused.code, ErrorCode::ThrottlingQuotaExceeded);
        }
        (done, wait.as_millis())
    }

    #[test]
    fn a_bucket_is_overdrawn_once_and_then_refuses() {
        let mut buckets = MutationBuckets::new(10);
        let strict = |millis| quota("a", true, millis);
        // It holds 22: after the first topic 2 are left, after the second 4 are owed.
        let (done, wait) = create(&mut buckets, &strict(0), &[20, 6, 1]);
        assert_eq!((done, wait), (std::vec![true, true, false], 2_000));
        assert_eq!(
            create(&mut buckets, &strict(1_500), &[1]),
            (std::vec![false], 500)
        );
        assert_eq!(create(&mut buckets, &strict(2_000), &[1]), (std::vec![true], 0));
        assert_eq!(
            create(&mut buckets, &quota("b", true, 2_000), &[22, 1, 1]),
            (std::vec![true, true, false], 500),
            "another client has a bucket of its own"
        );
        let full = create(&mut buckets, &strict(100_000), &[23, 1]);
        assert_eq!(
            full,
            (std::vec![true, false], 500),
            "it holds no more than eleven seconds' worth"
        );
    }

    #[test]
    fn who_does_not_know_the_error_only_waits() {
        let mut buckets = MutationBuckets::new(10);
        let old = |millis| quota("a", false, millis);
        assert_eq!(create(&mut buckets, &old(0), &[22]), (std::vec![true], 0));
        assert_eq!(
            create(&mut buckets, &old(0), &[4, 4]),
            (std::vec![true, true], 4_000)
        );
        assert_eq!(create(&mut buckets, &old(0), &[]), (Vec::new(), 0));
    }

    #[test]
    fn what_is_refused_for_another_reason_costs_nothing() {
        let mut buckets = MutationBuckets::new(10);
        let refused = Decision {
            records: std::vec![topic_created(1, "t", 22)],
            answers: std::vec![
                Err(Refusal {
                    code: ErrorCode::TopicAlreadyExists,
                    message: String::new(),
                }),
                Ok(()),
            ],
        };
        let strict = quota("a", true, 0);
        let (limited, wait) = buckets.limit(&strict, &ClusterImage::empty(), refused.clone());
        assert_eq!((limited, wait), (refused, Duration::ZERO));
        assert_eq!(
            create(&mut buckets, &strict, &[1, 1]),
            (std::vec![true, false], 500)
        );
    }

    #[test]
    fn deletions_and_additions_count_by_what_there_is() {
        let image = ClusterImage::empty().apply(&[topic_created(1, "t", 20)]);
        let id = image.topic_by_name("t").unwrap().id;
        assert_eq!(mutations(&image, &MetadataRecord::TopicDeleted { id }), 20);
        let added = MetadataRecord::PartitionsAdded { id, partitions: 25 };
        assert_eq!(mutations(&image, &added), 5);
    }

    #[test]
    fn who_finds_no_room_shares_a_bucket() {
        let mut buckets = MutationBuckets::new(2);
        for client in ["a", "b"] {
            assert_eq!(create(&mut buckets, &quota(client, true, 0), &[30]).1, 0);
        }
        assert_eq!(create(&mut buckets, &quota("c", true, 0), &[30]).1, 0);
        assert_eq!(create(&mut buckets, &quota("d", true, 0), &[1]).1, 4_000);
        assert_eq!(buckets.by_client.len(), 3, "and the one that is shared");
    }
}
