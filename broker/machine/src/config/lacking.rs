//! Broker configurations that Kafka documents and that are not to be had here: what they are about is not there yet, or
//! is no setting.
//!
//! Place: DescribeConfigs reports them with Kafka's defaults beside those of [`super::broker`], for tools that look for
//! them by name. Nobody can set them: a setting that does nothing would promise something.
//!
//! Invariants: sorted by name; none is in the other table. Names, types and defaults are Kafka's 4.3.

use super::definition::{ConfigDefinition, ConfigType, Effect, Validator};

macro_rules! lacking {
    ($($name:literal: $kind:ident = $default:tt, $doc:literal;)*) => {
        /// Sorted by name.
        pub const LACKING_CONFIGS: &[ConfigDefinition] = &[$(ConfigDefinition {
            name: $name,
            kind: ConfigType::$kind,
            default: lacking!(@default $default),
            validator: Validator::Anything,
            effect: Effect::Lacking,
            synonyms: &[],
            documentation: concat!($doc, ". It cannot be set here; the value is Kafka's default."),
        },)*];
    };
    (@default null) => { None };
    (@default $default:literal) => { Some($default) };
}

lacking! {
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100",
        "The longest wait for a partition to be added to a transaction";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20",
        "The pause before a partition is tried again for a transaction";
    "alter.config.policy.class.name": Class = null, "A class that judges changes of configurations";
    "alter.log.dirs.replication.quota.window.num": Int = "11", "Samples of the quota for moves between directories";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", "How long such a sample is";
    "authorizer.class.name": String = "", "A class that decides who may do what";
    "broker.heartbeat.interval.ms": Int = "2000", "How often brokers tell the controller that they live";
    "client.quota.callback.class": Class = null, "A class that decides on clients' quotas";
    "config.providers": List = "", "Where placeholders in configurations are looked up";
    "connection.failed.authentication.delay.ms": Int = "100",
        "How late a connection closes whose client is not who it says";
    "controller.listener.names": List = null, "The listeners of controllers";
    "controller.quorum.append.linger.ms": Int = "25", "How long metadata waits for company before it is flushed";
    "controller.quorum.auto.join.enable": Boolean = "false", "Whether a new controller joins by itself";
    "controller.quorum.bootstrap.servers": List = "", "Where the controllers are found first";
    "controller.quorum.election.backoff.max.ms": Int = "1000",
        "The longest pause before another election of a controller";
    "controller.quorum.election.timeout.ms": Int = "1000", "How long no leader may be heard of before an election";
    "controller.quorum.fetch.max.bytes": Int = "1048576", "The most metadata that is fetched at once";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576",
        "The most of a snapshot of metadata that is fetched at once";
    "controller.quorum.fetch.timeout.ms": Int = "2000", "How long a follower of the metadata may fetch in vain";
    "controller.quorum.request.timeout.ms": Int = "2000", "How long controllers wait for each other's answers";
    "controller.quorum.retry.backoff.ms": Int = "20", "The pause before controllers ask each other again";
    "controller.quorum.voters": List = "", "Who votes for the controller";
    "controller.quota.window.num": Int = "11", "Samples of the quota for changes of topics";
    "controller.quota.window.size.seconds": Int = "1", "How long such a sample is";
    "controller.socket.timeout.ms": Int = "30000", "How long a controller's connection to a broker may be silent";
    "cordoned.log.dirs": List = "", "Directories that no new partition goes to";
    "create.topic.policy.class.name": Class = null, "A class that judges new topics";
    "delegation.token.expiry.check.interval.ms": Long = "3600000",
        "How often it is looked for tokens that have expired";
    "delegation.token.expiry.time.ms": Long = "86400000", "How long a token is good until it is renewed";
    "delegation.token.max.lifetime.ms": Long = "604800000", "How long a token can be renewed at all";
    "delegation.token.secret.key": Password = null, "What tokens are signed with";
    "delete.records.purgatory.purge.interval.requests": Int = "1",
        "After how many deletions of records those that ended are cleared";
    "early.start.listeners": List = null, "Listeners that open before the authorizer is ready";
    "fetch.purgatory.purge.interval.requests": Int = "1000", "After how many fetches those that ended are cleared";
    "group.consumer.assignors": List = "uniform,range",
        "How partitions can be assigned to members of the consumer protocol";
    "group.consumer.max.assignment.interval.ms": Int = "15000",
        "The longest interval between assignments that a group may have";
    "group.consumer.min.assignment.interval.ms": Int = "0",
        "The shortest interval between assignments that a group may have";
    "group.coordinator.append.linger.ms": Int = "-1",
        "How long decisions of groups wait for company; here they share a flush anyway";
    "group.coordinator.background.threads": Int = "2",
        "Threads for the side work of coordinators; here it is the cores'";
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams",
        "The protocols that groups may speak; here classic and consumer";
    "group.coordinator.threads": Int = "4", "Threads of coordinators; here groups belong to the cores";
    "group.share.assignors": List = "simple", "How partitions can be assigned to members of a share group";
    "group.share.delivery.count.limit": Int = "5", "How often a record is delivered to a share group";
    "group.share.heartbeat.interval.ms": Int = "5000",
        "How often members are told to be heard of, in a share group";
    "group.share.max.assignment.interval.ms": Int = "15000",
        "The most that a share group may have as time between two assignments";
    "group.share.max.delivery.count.limit": Int = "10", "The most that a share group may have for that";
    "group.share.max.heartbeat.interval.ms": Int = "15000",
        "The most that a share group may have as time between two heartbeats";
    "group.share.max.partition.max.record.locks": Int = "4000", "The most that a share group may have for that";
    "group.share.max.record.lock.duration.ms": Int = "60000", "The most that a share group may have for that";
    "group.share.max.session.timeout.ms": Int = "60000",
        "The most that a share group may have as silence of members";
    "group.share.max.share.sessions": Int = "2000", "The most sessions of share groups";
    "group.share.max.size": Int = "200", "The most members of a share group";
    "group.share.min.assignment.interval.ms": Int = "0",
        "The least that a share group may have as time between two assignments";
    "group.share.min.delivery.count.limit": Int = "2", "The least that a share group may have for that";
    "group.share.min.heartbeat.interval.ms": Int = "5000",
        "The least that a share group may have as time between two heartbeats";
    "group.share.min.partition.max.record.locks": Int = "100", "The least that a share group may have for that";
    "group.share.min.record.lock.duration.ms": Int = "15000", "The least that a share group may have for that";
    "group.share.min.session.timeout.ms": Int = "45000",
        "The least that a share group may have as silence of members";
    "group.share.partition.max.record.locks": Int = "2000",
        "How many records of a partition a share group may hold";
    "group.share.record.lock.duration.ms": Int = "30000", "How long a member of a share group may hold a record";
    "group.share.session.timeout.ms": Int = "45000", "How long a member may be silent, in a share group";
    "group.streams.heartbeat.interval.ms": Int = "5000",
        "How often members are told to be heard of, in a streams group";
    "group.streams.initial.rebalance.delay.ms": Int = "3000", "How long a new streams group waits for more members";
    "group.streams.max.assignment.interval.ms": Int = "15000",
        "The most that a streams group may have as time between two assignments";
    "group.streams.max.heartbeat.interval.ms": Int = "15000",
        "The most that a streams group may have as time between two heartbeats";
    "group.streams.max.session.timeout.ms": Int = "60000",
        "The most that a streams group may have as silence of members";
    "group.streams.max.size": Int = "2147483647", "The most members of a streams group";
    "group.streams.max.standby.replicas": Int = "2", "The most standby replicas that a streams group may have";
    "group.streams.min.assignment.interval.ms": Int = "0",
        "The least that a streams group may have as time between two assignments";
    "group.streams.min.heartbeat.interval.ms": Int = "5000",
        "The least that a streams group may have as time between two heartbeats";
    "group.streams.min.session.timeout.ms": Int = "45000",
        "The least that a streams group may have as silence of members";
    "group.streams.num.standby.replicas": Int = "0", "Standby replicas of each task of a streams group";
    "group.streams.session.timeout.ms": Int = "45000", "How long a member may be silent, in a streams group";
    "initial.broker.registration.timeout.ms": Int = "60000", "How long a new broker tries to be registered";
    "kafka.metrics.polling.interval.secs": Int = "10", "How often reporters of metrics look";
    "kafka.metrics.reporters": List = "", "Classes that report metrics";
    "leader.imbalance.check.interval.seconds": Long = "300",
        "How often it is looked whether leaders are where they should be";
    "log.dir.failure.timeout.ms": Long = "30000",
        "How long a failed directory may stay untold before the broker stops";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000",
        "How often it is written down what was flushed; here each flush does";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000",
        "How often it is written down where logs begin; here at once";
    "metadata.log.dir": String = null, "Where the metadata lies; here in the data directory";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520",
        "How much metadata there may be before a snapshot";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", "How long there may be no snapshot of the metadata";
    "metadata.log.segment.bytes": Int = "1073741824", "The largest file of the metadata log";
    "metadata.log.segment.ms": Long = "604800000", "The oldest file of the metadata log that is still written to";
    "metadata.max.idle.interval.ms": Int = "500", "How often an idle controller writes a record that says nothing";
    "metadata.max.retention.bytes": Long = "104857600", "How much old metadata is kept";
    "metadata.max.retention.ms": Long = "604800000", "How long old metadata is kept";
    "metrics.num.samples": Int = "2", "How many samples a metric is made of";
    "metrics.recording.level": String = "INFO", "How detailed metrics are";
    "metrics.sample.window.ms": Long = "30000", "How long a metric's sample is";
    "num.replica.alter.log.dirs.threads": Int = null, "Threads that move replicas between directories";
    "principal.builder.class": Class =
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        "A class that says who a client is";
    "producer.purgatory.purge.interval.requests": Int = "1000",
        "After how many writes those that ended are cleared";
    "quota.window.num": Int = "11", "Samples of clients' quotas";
    "quota.window.size.seconds": Int = "1", "How long such a sample is";
    "remote.log.manager.copy.quota.window.num": Int = "11",
        "Samples of how fast segments are copied to remote storage";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", "How long such a sample is";
    "remote.log.manager.fetch.quota.window.num": Int = "11",
        "Samples of how fast is read from remote storage";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", "How long such a sample is";
    "remote.log.manager.task.interval.ms": Long = "30000",
        "How often it is looked what is to be copied to remote storage";
    "remote.log.manager.thread.pool.size": Int = "2", "Threads for remote storage";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128",
        "The most that a plugin of remote storage may add to a segment's metadata";
    "remote.log.metadata.manager.class.name": String =
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
        "A class that keeps what is known of remote segments";
    "remote.log.metadata.manager.class.path": String = null, "Where that class is found";
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config.", "How configurations of that class begin";
    "remote.log.metadata.manager.listener.name": String = null,
        "The listener by which that class reaches the broker";
    "remote.log.reader.max.pending.tasks": Int = "100", "How many reads may wait for remote storage";
    "remote.log.storage.manager.class.name": String = null, "A class that is the way to remote storage";
    "remote.log.storage.manager.class.path": String = null, "Where that class is found";
    "remote.log.storage.manager.impl.prefix": String = "rsm.config.", "How configurations of that class begin";
    "remote.log.storage.system.enable": Boolean = "false", "Whether there is remote storage";
    "replica.fetch.backoff.ms": Int = "1000", "The pause of a follower after an error";
    "replica.fetch.min.bytes": Int = "1", "The least that a follower waits for";
    "replica.fetch.response.max.bytes": Int = "10485760", "The most that a follower is answered at once";
    "replica.fetch.wait.max.ms": Int = "500", "How long a follower waits for records";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", "How often high watermarks are written down";
    "replica.selector.class": String = null, "A class that says from which replica a consumer reads";
    "replica.socket.receive.buffer.bytes": Int = "65536", "The receive buffer of a follower's connection";
    "replica.socket.timeout.ms": Int = "30000", "How long a follower's connection may be silent";
    "replication.quota.window.num": Int = "11", "Samples of the quota for replication";
    "replication.quota.window.size.seconds": Int = "1", "How long such a sample is";
    "sasl.client.callback.handler.class": Class = null, "A class that answers a SASL client's questions";
    "sasl.jaas.config": Password = null, "Who this is for SASL, in JAAS's form";
    "sasl.kerberos.kinit.cmd": String = "/usr/bin/kinit", "The program that logs in to Kerberos";
    "sasl.kerberos.min.time.before.relogin": Long = "60000", "The shortest time between two logins to Kerberos";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", "How Kerberos principals become names of users";
    "sasl.kerberos.service.name": String = null, "The principal that the broker runs as";
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", "How much chance there is in when tickets are renewed";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", "After which share of its life a ticket is renewed";
    "sasl.login.callback.handler.class": Class = null, "A class that answers a SASL login's questions";
    "sasl.login.class": Class = null, "A class that logs in";
    "sasl.login.connect.timeout.ms": Int = null, "How long a connection to who vouches for a login may take";
    "sasl.login.read.timeout.ms": Int = null, "How long an answer of who vouches for a login may take";
    "sasl.login.refresh.buffer.seconds": Short = "300",
        "How long before its end a credential is renewed at the latest";
    "sasl.login.refresh.min.period.seconds": Short = "60", "How long a credential is left alone at least";
    "sasl.login.refresh.window.factor": Double = "0.8", "After which share of its life a credential is renewed";
    "sasl.login.refresh.window.jitter": Double = "0.05", "How much chance there is in when credentials are renewed";
    "sasl.login.retry.backoff.max.ms": Long = "10000", "The longest pause between two logins";
    "sasl.login.retry.backoff.ms": Long = "100", "The shortest pause between two logins";
    "sasl.mechanism.controller.protocol": String = "GSSAPI", "The SASL mechanism towards controllers";
    "sasl.mechanism.inter.broker.protocol": String = "GSSAPI", "The SASL mechanism between brokers";
    "sasl.oauthbearer.assertion.algorithm": String = "RS256", "What OAuth assertions are signed with";
    "sasl.oauthbearer.assertion.claim.aud": String = null, "Whom an OAuth assertion is for";
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", "How long an OAuth assertion is good";
    "sasl.oauthbearer.assertion.claim.iss": String = null, "Who issues an OAuth assertion";
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false", "Whether an OAuth assertion has an id";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", "How long ago an OAuth assertion begins to be good";
    "sasl.oauthbearer.assertion.claim.sub": String = null, "Whom an OAuth assertion is about";
    "sasl.oauthbearer.assertion.file": String = null, "A file with an OAuth assertion";
    "sasl.oauthbearer.assertion.private.key.file": String = null,
        "A file with the key that OAuth assertions are signed with";
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null, "The passphrase of that key";
    "sasl.oauthbearer.assertion.template.file": String = null, "A file that OAuth assertions are made from";
    "sasl.oauthbearer.client.credentials.client.id": String = null, "The OAuth client's id";
    "sasl.oauthbearer.client.credentials.client.secret": Password = null, "The OAuth client's secret";
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", "How far OAuth's clocks may be apart";
    "sasl.oauthbearer.expected.audience": List = "", "Whom OAuth tokens must be for";
    "sasl.oauthbearer.expected.issuer": String = null, "Who must have issued OAuth tokens";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", "How often OAuth's keys are fetched";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000",
        "The longest pause before OAuth's keys are asked for again";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100",
        "The shortest pause before OAuth's keys are asked for again";
    "sasl.oauthbearer.jwks.endpoint.url": String = null, "Where OAuth's keys are";
    "sasl.oauthbearer.jwt.retriever.class": Class =
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        "A class that fetches OAuth tokens";
    "sasl.oauthbearer.jwt.validator.class": Class =
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
        "A class that checks OAuth tokens";
    "sasl.oauthbearer.scope": String = null, "What an OAuth token is asked for";
    "sasl.oauthbearer.scope.claim.name": String = "scope", "The claim that says what an OAuth token is good for";
    "sasl.oauthbearer.sub.claim.name": String = "sub", "The claim that says whom an OAuth token is about";
    "sasl.oauthbearer.token.endpoint.url": String = null, "Where OAuth tokens are fetched";
    "sasl.server.callback.handler.class": Class = null, "A class that answers a SASL server's questions";
    "sasl.server.max.receive.size": Int = "524288", "The most bytes that are taken from who is not known yet";
    "security.providers": String = null, "Classes that bring security algorithms";
    "share.coordinator.append.linger.ms": Int = "-1",
        "How long the state of share groups waits for company before it is written";
    "share.coordinator.load.buffer.size": Int = "5242880",
        "How much is read at once when the state of share groups is loaded";
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500",
        "Changes of a share group's state before a snapshot";
    "share.coordinator.state.topic.compression.codec": Int = "0", "How the state of share groups is compressed";
    "share.coordinator.state.topic.min.isr": Short = "2", "In-sync replicas that the state of share groups needs";
    "share.coordinator.state.topic.num.partitions": Int = "50", "Partitions of the state of share groups";
    "share.coordinator.state.topic.replication.factor": Short = "3", "Replicas of the state of share groups";
    "share.coordinator.state.topic.segment.bytes": Int = "104857600",
        "The segment size of the state of share groups";
    "share.coordinator.threads": Int = "1", "Threads that coordinate share groups";
    "share.coordinator.write.timeout.ms": Int = "5000",
        "How long the state of a share group may take to be written";
    "share.fetch.purgatory.purge.interval.requests": Int = "1000",
        "After how many fetches of share groups those that ended are cleared";
    "socket.connection.setup.timeout.max.ms": Long = "30000",
        "The longest that a connection to another broker may take to open";
    "socket.connection.setup.timeout.ms": Long = "10000",
        "How long a connection to another broker may take to open at first";
    "ssl.allow.dn.changes": Boolean = "false", "Whether a new certificate may have another name";
    "ssl.allow.san.changes": Boolean = "false", "Whether a new certificate may have other alternative names";
    "ssl.cipher.suites": List = "", "The cipher suites of TLS";
    "ssl.client.auth": String = "none", "Whether clients show certificates";
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", "The versions of TLS";
    "ssl.endpoint.identification.algorithm": String = "https",
        "How a server's name is held against its certificate";
    "ssl.engine.factory.class": Class = null, "A class that makes TLS engines";
    "ssl.key.password": Password = null, "The password of the TLS key";
    "ssl.keymanager.algorithm": String = "SunX509", "How TLS keys are managed";
    "ssl.keystore.certificate.chain": Password = null, "The TLS certificate itself";
    "ssl.keystore.key": Password = null, "The TLS key itself";
    "ssl.keystore.location": String = null, "Where the TLS key is";
    "ssl.keystore.password": Password = null, "The password of the TLS key store";
    "ssl.keystore.type": String = "JKS", "The form of the TLS key store";
    "ssl.principal.mapping.rules": String = "DEFAULT", "How names of certificates become names of users";
    "ssl.protocol": String = "TLSv1.3", "The version of TLS that is asked for first";
    "ssl.provider": String = null, "Who brings TLS";
    "ssl.secure.random.implementation": String = null, "Where TLS has its chance from";
    "ssl.trustmanager.algorithm": String = "PKIX", "How trust in TLS certificates is managed";
    "ssl.truststore.certificates": Password = null, "The TLS certificates that are trusted themselves";
    "ssl.truststore.location": String = null, "Where the TLS certificates are that are trusted";
    "ssl.truststore.password": Password = null, "The password of the TLS trust store";
    "ssl.truststore.type": String = "JKS", "The form of the TLS trust store";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000",
        "How often transactions that took too long are aborted";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000",
        "How often forgotten transactional ids are removed";
    "transaction.state.log.load.buffer.size": Int = "5242880",
        "How much is read at once when transactions are loaded";
    "transaction.two.phase.commit.enable": Boolean = "false", "Whether transactions can be part of somebody else's";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker::BROKER_CONFIGS;
    use crate::config::definition::find;

    #[test]
    fn what_lacks_is_sorted_reads_and_is_not_there() {
        assert!(LACKING_CONFIGS.is_sorted_by(|one, next| one.name < next.name));
        for definition in LACKING_CONFIGS {
            assert!(
                find(BROKER_CONFIGS, definition.name).is_none(),
                "{}",
                definition.name
            );
            if let Some(default) = definition.default {
                let value = definition.parse(default).expect(definition.name);
                assert_eq!(value.to_text(), default, "{} is canonical", definition.name);
            }
        }
    }
}
