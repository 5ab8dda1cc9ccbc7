//! The controller's thread: decides, makes decisions durable, hands images out, and answers when all shards have them.
//!
//! Invariants: nothing is decided on an image that is not durable or about to be with the same sync; an answer leaves
//! when every shard has installed the image that holds the decision; after a failed write nothing is decided any more,
//! save for one that found no room.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use millstream_log::planted::{self, Bug};
use millstream_machine::cluster::alter_client_quotas::AlterQuotas;
use millstream_machine::cluster::alter_configs::{AlterConfig, AlterResource};
use millstream_machine::cluster::config_resource::ConfigResource;
use millstream_machine::cluster::controller::{Controller, Decision, Refusal};
use millstream_machine::cluster::create_partitions::GrowTopic;
use millstream_machine::cluster::create_topics::{CreatedTopic, NewTopic};
use millstream_machine::cluster::delete_topics::DeleteTopic;
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::cluster::record::{MetadataRecord, encode_batch};
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::limits::ClusterLimits;
use millstream_machine::quota::mutations::{MutationBuckets, MutationQuota};
use millstream_protocol::message::{
    AlterClientQuotasRequest, AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, IncrementalAlterConfigsRequest,
};
use millstream_protocol::time::Duration;
use millstream_protocol::types::{BrokerId, TopicId};

use super::client::{ShardLine, ToShard};
use super::command::{Action, Body, Command, Outcome};
use super::metadata_log::{MetadataStore, is_full};
use crate::limits::QUOTA_WINDOWS_MAX;
use crate::shard::mailbox::ShardId;
use crate::shard::slab::Key;

/// The controller, to be moved to its thread.
pub struct ControllerThread<S> {
    parts: ControllerParts<S>,
    /// In the order of their images.
    waiting: VecDeque<Waiting>,
    /// Topics deleted since the start: partitions whose files are still there.
    deleting: BTreeMap<TopicId, u32>,
    mutations: MutationBuckets,
}

/// What a controller is made of.
pub struct ControllerParts<S> {
    pub store: S,
    pub image: Arc<ClusterImage>,
    pub settings: Arc<BrokerSettings>,
    pub node: BrokerId,
    pub limits: ClusterLimits,
    /// By shard.
    pub shards: Vec<ShardLine>,
    pub commands: flume::Receiver<Command>,
    /// Bytes of the metadata log above which it is replaced by a snapshot.
    pub snapshot_bytes: u64,
    /// Draws a topic id that was never drawn.
    pub new_id: fn() -> TopicId,
}

/// An answer that waits for the shards.
struct Waiting {
    /// Records of the image that must be installed.
    records: u64,
    shard: ShardId,
    call: Key,
    outcome: Outcome,
}

/// What was decided about one request.
struct Decided {
    records: Vec<MetadataRecord>,
    outcome: Outcome,
}

impl Decided {
    fn throttled(self, wait: Duration) -> Self {
        let outcome = match wait.is_zero() {
            true => self.outcome,
            false => Outcome::Throttled {
                wait,
                outcome: Box::new(self.outcome),
            },
        };
        Self { outcome, ..self }
    }
}

impl<S: MetadataStore> ControllerThread<S> {
    pub fn new(parts: ControllerParts<S>) -> Self {
        Self {
            parts,
            waiting: VecDeque::new(),
            deleting: BTreeMap::new(),
            mutations: MutationBuckets::new(QUOTA_WINDOWS_MAX),
        }
    }

    /// The latest image.
    pub fn image(&self) -> &Arc<ClusterImage> {
        &self.parts.image
    }

    /// Starts the thread; it ends with [`Command::Stop`].
    pub fn start(mut self) -> std::io::Result<JoinHandle<()>>
    where
        S: Send + 'static,
    {
        let run = move || {
            while let Ok(first) = self.parts.commands.recv() {
                if !self.step(Some(first)) {
                    return;
                }
            }
        };
        thread::Builder::new().name("controller".into()).spawn(run)
    }

    /// Handles `first` and what else has come; never waits. False: it was told to stop.
    pub fn step(&mut self, first: Option<Command>) -> bool {
        let more = self.parts.commands.try_iter().take(BATCH_MAX);
        let batch: Vec<Command> = first.into_iter().chain(more).collect();
        let go_on = self.handle(batch);
        self.answer_installed();
        go_on
    }

    /// Decides a batch of commands and makes it durable with one sync. False: it was told to stop.
    fn handle(&mut self, batch: Vec<Command>) -> bool {
        let mut image = ClusterImage::clone(&self.parts.image);
        let mut records = Vec::new();
        let mut answers = Vec::new();
        let mut go_on = true;
        for command in batch {
            match command {
                Command::Look => {}
                Command::Stop => go_on = false,
                Command::PartitionGone(id) => {
                    let purged = self.partition_gone(id);
                    image = image.apply(purged.as_slice());
                    records.extend(purged);
                }
                Command::Ask { shard, call, action } => {
                    let decided = self.decide(&image, &action);
                    self.note_deletions(&image, &decided.records);
                    image = image.apply(&decided.records);
                    records.extend(decided.records);
                    answers.push((shard, call, decided.outcome));
                }
            }
        }
        let committed = match records.is_empty() {
            true => Ok(()),
            false => self.commit(image, &records),
        };
        for (shard, call, outcome) in answers {
            let outcome = match &committed {
                Ok(()) => outcome,
                Err(error) => Outcome::Unavailable {
                    stopped: !is_full(error),
                },
            };
            let records = self.parts.image.records();
            self.waiting.push_back(Waiting {
                records,
                shard,
                call,
                outcome,
            });
        }
        go_on
    }

    /// Remembers how many partitions' files a deletion leaves behind.
    fn note_deletions(&mut self, before: &ClusterImage, records: &[MetadataRecord]) {
        for record in records {
            if let MetadataRecord::TopicDeleted { id } = record
                && let Some(topic) = before.topic(*id)
            {
                self.deleting.insert(*id, topic.partitions);
            }
        }
    }

    /// The last partition's files are gone: nothing needs to remember the topic.
    fn partition_gone(&mut self, id: TopicId) -> Option<MetadataRecord> {
        let left = self.deleting.get_mut(&id)?;
        *left -= 1;
        (*left == 0).then(|| {
            self.deleting.remove(&id);
            MetadataRecord::TopicPurged { id }
        })
    }

    fn commit(&mut self, image: ClusterImage, records: &[MetadataRecord]) -> io::Result<()> {
        let is_block = |record: &MetadataRecord| matches!(record, MetadataRecord::ProducerIdBlock { .. });
        let is_forgotten = planted::has(Bug::ProducerIdsNotLogged) && records.iter().all(is_block);
        if !is_forgotten && let Err(error) = self.parts.store.append(&encode_batch(records)) {
            match is_full(&error) {
                true => {
                    tracing::error!(%error, "there is no room for a change of topics or configurations: it is refused")
                }
                false => tracing::error!(
                    %error,
                    "the metadata log cannot be written: topics and configurations stay as they are"
                ),
            }
            return Err(error);
        }
        let parts = &mut self.parts;
        parts.image = Arc::new(image);
        for shard in &parts.shards {
            shard.tell(ToShard::Image(parts.image.clone()));
        }
        if parts.store.log_bytes() > parts.snapshot_bytes
            && let Err(error) = parts.store.replace(&parts.image.encode_snapshot())
        {
            tracing::error!(%error, "a metadata snapshot cannot be written");
        }
        Ok(())
    }

    fn answer_installed(&mut self) {
        let installed = self
            .parts
            .shards
            .iter()
            .map(ShardLine::installed)
            .min()
            .unwrap_or(u64::MAX);
        while self
            .waiting
            .front()
            .is_some_and(|first| first.records <= installed)
        {
            let Some(Waiting {
                shard, call, outcome, ..
            }) = self.waiting.pop_front()
            else {
                return;
            };
            self.parts.shards[shard.0].tell(ToShard::Answer { call, outcome });
        }
    }

    fn decide(&mut self, image: &ClusterImage, action: &Action) -> Decided {
        let controller = Controller {
            image,
            settings: &self.parts.settings,
            limits: &self.parts.limits,
            broker: self.parts.node,
        };
        match action {
            Action::AutoCreate(names, quota) => {
                let decision = self.auto_create(controller, names);
                // Nobody is told to wait: who asks again finds the topic, or has it made then.
                let (decision, _) = limit(&mut self.mutations, quota, image, decision);
                decided(decision, false, Outcome::Created)
            }
            Action::CreateTopics(body, quota) => {
                let (decision, validate_only) = self.create_topics(controller, body);
                let (decision, wait) = limit(&mut self.mutations, quota, image, decision);
                decided(decision, validate_only, Outcome::Created).throttled(wait)
            }
            Action::DeleteTopics(body, quota) => {
                let decision = delete_topics(controller, body);
                let (decision, wait) = limit(&mut self.mutations, quota, image, decision);
                decided(decision, false, Outcome::Deleted).throttled(wait)
            }
            Action::CreatePartitions(body, quota) => {
                let (decision, validate_only) = create_partitions(controller, body);
                let (decision, wait) = limit(&mut self.mutations, quota, image, decision);
                decided(decision, validate_only, Outcome::Grown).throttled(wait)
            }
            Action::AlterConfigs(body) => alter_configs(controller, body),
            Action::IncrementalAlterConfigs(body) => incremental_alter_configs(controller, body),
            Action::AlterClientQuotas(body) => alter_client_quotas(controller, body),
            Action::ProducerIds => match controller.allocate_producer_ids() {
                record @ MetadataRecord::ProducerIdBlock { first, count } => Decided {
                    records: vec![record],
                    outcome: Outcome::ProducerIds { first, count },
                },
                other => unreachable!("producer ids come as a block and not as {other:?}"),
            },
        }
    }

    fn auto_create(&self, controller: Controller<'_>, names: &[String]) -> Decision<CreatedTopic> {
        let mut image = controller.image.clone();
        let mut records = Vec::new();
        let mut answers = Vec::new();
        for name in names {
            let decision = Controller {
                image: &image,
                ..controller
            }
            .auto_create_topic(name, &mut || (self.parts.new_id)());
            image = image.apply(&decision.records);
            records.extend(decision.records);
            answers.extend(decision.answers);
        }
        Decision { records, answers }
    }

    /// And whether that is only asked for.
    fn create_topics(&self, controller: Controller<'_>, body: &Body) -> (Decision<CreatedTopic>, bool) {
        let request: CreateTopicsRequest<'_> = body.decode();
        let assignments: Vec<Vec<(i32, &[i32])>> = request
            .topics
            .iter()
            .map(|topic| {
                topic
                    .assignments
                    .iter()
                    .map(|one| (one.partition_index, &*one.broker_ids))
                    .collect()
            })
            .collect();
        let configs: Vec<Vec<(&str, Option<&str>)>> = request
            .topics
            .iter()
            .map(|topic| {
                topic
                    .configs
                    .iter()
                    .map(|config| (config.name, config.value))
                    .collect()
            })
            .collect();
        let topics: Vec<NewTopic<'_>> = request
            .topics
            .iter()
            .zip(assignments.iter().zip(&configs))
            .map(|(topic, (assignments, configs))| NewTopic {
                name: topic.name,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
                assignments,
                configs,
            })
            .collect();
        let decision = controller.create_topics(&topics, &mut || (self.parts.new_id)());
        (decision, request.validate_only)
    }
}

fn delete_topics(controller: Controller<'_>, body: &Body) -> Decision<(TopicId, String)> {
    let request: DeleteTopicsRequest<'_> = body.decode();
    let by_name = request.topic_names.iter().map(|name| DeleteTopic {
        name: Some(name),
        id: TopicId::ZERO,
    });
    let by_either = request.topics.iter().map(|topic| DeleteTopic {
        name: topic.name,
        id: topic.topic_id,
    });
    let topics: Vec<DeleteTopic<'_>> = by_name.chain(by_either).collect();
    controller.delete_topics(&topics)
}

/// And whether that is only asked for.
fn create_partitions(controller: Controller<'_>, body: &Body) -> (Decision<()>, bool) {
    let request: CreatePartitionsRequest<'_> = body.decode();
    let assignments: Vec<Option<Vec<&[i32]>>> = request
        .topics
        .iter()
        .map(|topic| {
            Some(
                topic
                    .assignments
                    .as_ref()?
                    .iter()
                    .map(|one| &*one.broker_ids)
                    .collect(),
            )
        })
        .collect();
    let topics: Vec<GrowTopic<'_>> = request
        .topics
        .iter()
        .zip(&assignments)
        .map(|(topic, assignments)| GrowTopic {
            name: topic.name,
            partitions: topic.count,
            assignments: assignments.as_deref(),
        })
        .collect();
    (controller.create_partitions(&topics), request.validate_only)
}

/// Leaves out what the client's quota does not allow, and says how long it has to wait.
fn limit<T>(
    buckets: &mut MutationBuckets,
    quota: &Option<MutationQuota>,
    image: &ClusterImage,
    decision: Decision<T>,
) -> (Decision<T>, Duration) {
    match quota {
        Some(quota) => buckets.limit(quota, image, decision),
        None => (decision, Duration::ZERO),
    }
}

fn alter_configs(controller: Controller<'_>, body: &Body) -> Decided {
    let request: AlterConfigsRequest<'_> = body.decode();
    let changed = request.resources.iter().map(|resource| {
        let configs = resource.configs.iter();
        let changes = configs.map(|config| (config.name, SET, config.value));
        (resource.resource_type, resource.resource_name, changes)
    });
    alter(
        &controller,
        changed,
        request.validate_only,
        Controller::alter_configs,
    )
}

/// Entity by entity, each on what those before it leave.
fn alter_client_quotas(controller: Controller<'_>, body: &Body) -> Decided {
    let request: AlterClientQuotasRequest<'_> = body.decode();
    let mut image = controller.image.clone();
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for entry in &request.entries {
        let parts = entry.entity.iter();
        let ops = entry.ops.iter();
        let asked = AlterQuotas {
            entity: parts.map(|part| (part.entity_type, part.entity_name)).collect(),
            changes: ops
                .map(|op| (op.key, (!op.remove).then(|| op.value.get())))
                .collect(),
        };
        let controller = Controller {
            image: &image,
            ..controller
        };
        answers.push(controller.alter_client_quotas(&asked).map(|decided| {
            image = image.apply(&decided);
            records.extend(decided);
        }));
    }
    if request.validate_only {
        records.clear();
    }
    Decided {
        records,
        outcome: Outcome::Altered(answers),
    }
}

fn incremental_alter_configs(controller: Controller<'_>, body: &Body) -> Decided {
    let request: IncrementalAlterConfigsRequest<'_> = body.decode();
    let changed = request.resources.iter().map(|resource| {
        let configs = resource.configs.iter();
        let changes = configs.map(|config| (config.name, config.config_operation, config.value));
        (resource.resource_type, resource.resource_name, changes)
    });
    alter(
        &controller,
        changed,
        request.validate_only,
        Controller::incremental_alter_configs,
    )
}

/// How the changes of resources are decided on.
type Decide<'c> = for<'s, 'r> fn(&'s Controller<'c>, &[AlterResource<'r>]) -> Decision<ConfigResource<'r>>;

/// Decides on changes: of each resource its type, its name and its changes (name, operation, value).
fn alter<'c, 'a, C>(
    controller: &Controller<'c>,
    changed: impl Iterator<Item = (i8, &'a str, C)>,
    validate_only: bool,
    decide: Decide<'c>,
) -> Decided
where
    C: Iterator<Item = (&'a str, i8, Option<&'a str>)>,
{
    let change = |(name, operation, value)| AlterConfig {
        name,
        operation,
        value,
    };
    let changed: Vec<(i8, &str, Vec<AlterConfig<'_>>)> = changed
        .map(|(kind, name, changes)| (kind, name, changes.map(change).collect()))
        .collect();
    let resources: Vec<AlterResource<'_>> = changed
        .iter()
        .map(|(resource_type, resource_name, changes)| AlterResource {
            resource_type: *resource_type,
            resource_name,
            changes,
        })
        .collect();
    let decision = decide(controller, &resources);
    let answers = decision.answers.into_iter().map(|answer| answer.map(|_| ()));
    let decision = Decision {
        records: decision.records,
        answers: answers.collect(),
    };
    decided(decision, validate_only, Outcome::Altered)
}

fn decided<T>(
    decision: Decision<T>,
    validate_only: bool,
    outcome: fn(Vec<Result<T, Refusal>>) -> Outcome,
) -> Decided {
    let records = if validate_only {
        Vec::new()
    } else {
        decision.records
    };
    Decided {
        records,
        outcome: outcome(decision.answers),
    }
}

/// Commands decided with one sync.
const BATCH_MAX: usize = 256;
/// IncrementalAlterConfigs' number for it.
const SET: i8 = 0;
