// The adapter of kafkajs: a verb a line comes in, its answer goes out. The library reads in groups only, and pushes.
'use strict';

const readline = require('node:readline');
const kafkajs = require('kafkajs');
const lz4 = require('lz4js');
const { ZstdCodec } = require('zstd-codec');

const READ_MS = 20_000;
const COMMIT_MS = 200;
const PIECE = 200;

const kafka = new kafkajs.Kafka({
  clientId: 'compat',
  brokers: [process.argv[2]],
  logLevel: kafkajs.logLevel.NOTHING,
  retry: { retries: 30, initialRetryTime: 50, maxRetryTime: 1000 },
});
const admin = kafka.admin();
const members = new Map();

class Absent extends Error {}

const CODECS = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  snappy: kafkajs.CompressionTypes.Snappy,
  lz4: kafkajs.CompressionTypes.LZ4,
  zstd: kafkajs.CompressionTypes.ZSTD,
};

const VERBS = {
  version: async () => require('kafkajs/package.json').version,
  produce,
  read,
  offset_at: offsetAt,
  join,
  poll,
  commit,
  leave,
  create_topic: createTopic,
  list_topics: () => admin.listTopics(),
  partitions: async ({ topic }) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length,
  add_partitions: ({ topic, total }) => admin.createPartitions({ topicPartitions: [{ topic, count: total }] }),
  delete_topic: ({ topic }) => admin.deleteTopics({ topics: [topic] }),
  describe_config: describeConfig,
  alter_config: alterConfig,
  list_groups: async () => (await admin.listGroups()).groups.map((it) => it.groupId),
  describe_group: describeGroup,
  delete_group: ({ group }) => admin.deleteGroups([group]),
  committed,
  alter_committed: ({ group, topic, partition, offset }) =>
    admin.setOffsets({ groupId: group, topic, partitions: [{ partition, offset: `${offset}` }] }),
  delete_records: deleteRecords,
};

async function main() {
  await addCodecs();
  await admin.connect();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await reply(JSON.parse(line))) + '\n');
  }
  process.exit(0);
}

async function reply(call) {
  try {
    return { answer: (await VERBS[call.verb](call)) ?? null };
  } catch (error) {
    return error instanceof Absent ? { absent: error.message } : { error: said(error) };
  }
}

function said(error) {
  const causes = (error.partitions ?? []).map((it) => it.error.type);
  return [error.type, error.message, ...causes].filter(Boolean).join(' ');
}

// The library has gzip; for the others it takes what it is given.
async function addCodecs() {
  const types = kafkajs.CompressionTypes;
  kafkajs.CompressionCodecs[types.Snappy] = require('kafkajs-snappy');
  kafkajs.CompressionCodecs[types.LZ4] = () => ({
    compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
  });
  const zstd = await new Promise((done) => ZstdCodec.run((it) => done(new it.Simple())));
  kafkajs.CompressionCodecs[types.ZSTD] = () => ({
    compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
  });
}

async function produce({ topic, records, compression, idempotent }) {
  const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : 5 });
  await producer.connect();
  try {
    // One after the other: the library keeps no order between sends that are underway together.
    for (let at = 0; at < records.length; at += PIECE) {
      const messages = records.slice(at, at + PIECE).map(message);
      await producer.send({ topic, messages, compression: CODECS[compression], acks: -1 });
    }
  } finally {
    await producer.disconnect();
  }
}

function message({ partition, key, value, headers, timestamp }) {
  const several = {};
  for (const [name, text] of headers) {
    several[name] = name in several ? [several[name], text].flat() : text;
  }
  return { partition, key, value, headers: several, timestamp: timestamp === null ? undefined : `${timestamp}` };
}

async function read({ topic, partition, offset, count }) {
  const member = await run({ topic, group: `read-${topic}-${offset}`, commit: 'manual' });
  member.consumer.seek({ topic, partition, offset: `${offset}` });
  const deadline = Date.now() + READ_MS;
  let found = [];
  while (found.length < count && Date.now() < deadline) {
    found = found.concat(await take(member, 100));
  }
  await member.consumer.disconnect();
  return found.slice(0, count);
}

async function offsetAt({ topic, partition, timestamp }) {
  const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
  const end = (await admin.fetchTopicOffsets(topic)).find((it) => it.partition === partition);
  const offset = found.find((it) => it.partition === partition).offset;
  // The library gives the end of the partition when no record is that late.
  return offset === end.offset ? null : Number(offset);
}

async function join(call) {
  if (call.protocol === 'cooperative') throw new Absent('the library has no cooperative assignor');
  if (call.protocol === 'consumer') throw new Absent('the library speaks the classic protocol only');
  if (call.instance) throw new Absent('the library has no static members');
  // Joining ends when the group has settled, which others may have to be polled for.
  members.set(call.member, run(call));
}

async function run({ topic, group, commit: mode }) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 100 });
  const member = { consumer, topic, inbox: [], polled: new Map() };
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: mode === 'auto',
    autoCommitInterval: COMMIT_MS,
    eachMessage: async ({ partition, message: it }) => member.inbox.push(told(partition, it)),
  });
  return member;
}

async function poll({ member: name, ms }) {
  const member = await members.get(name);
  const found = await take(member, ms);
  found.forEach((it) => member.polled.set(it.partition, it.offset + 1));
  return found;
}

async function take(member, ms) {
  const deadline = Date.now() + ms;
  do {
    await new Promise((done) => setTimeout(done, 5));
  } while (member.inbox.length === 0 && Date.now() < deadline);
  return member.inbox.splice(0);
}

async function commit({ member: name }) {
  const { consumer, topic, polled } = await members.get(name);
  await consumer.commitOffsets([...polled].map(([partition, offset]) => ({ topic, partition, offset: `${offset}` })));
}

async function leave({ member: name }) {
  const { consumer } = await members.get(name);
  members.delete(name);
  await consumer.disconnect();
}

async function createTopic({ topic, partitions, config }) {
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  const topics = [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }];
  if (!(await admin.createTopics({ topics }))) throw new Error('the topic exists');
}

async function describeConfig({ topic, name }) {
  const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }];
  return (await admin.describeConfigs({ resources })).resources[0].configEntries[0].configValue;
}

async function alterConfig({ topic, name, value }) {
  const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }];
  await admin.alterConfigs({ resources });
}

async function deleteRecords({ topic, partition, offset }) {
  // The library deletes in topics only that it has asked about before.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: `${offset}` }] });
}

async function describeGroup({ group }) {
  const found = (await admin.describeGroups([group])).groups[0];
  return { state: found.state.toLowerCase(), members: found.members.length };
}

async function committed({ group, topic, partition }) {
  const found = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  return Number(found[0].partitions.find((it) => it.partition === partition).offset);
}

function told(partition, { offset, key, value, headers, timestamp }) {
  const flat = Object.entries(headers ?? {}).flatMap(([name, it]) => [it].flat().map((text) => [name, text.toString()]));
  return {
    partition,
    offset: Number(offset),
    key: key?.toString() ?? null,
    value: value?.toString() ?? null,
    headers: flat,
    timestamp: Number(timestamp),
  };
}

main();
