//! `millstream config alter`.

use super::OwnerArgs;
use crate::cli::args::parse_config;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::client::{Cluster, ConfigOwner};

/// Change configs: of all brokers, unless a topic, a broker, a group or a subscription is named
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct AlterArgs {
    /// Set a config, such as log.retention.ms=7d; may be given several times
    #[arg(long, short = 's', value_name = "NAME=VALUE", value_parser = parse_config)]
    set: Vec<(String, String)>,

    /// Take a config back, so that it has its default again; may be given several times
    #[arg(long, short = 'u', value_name = "NAME")]
    unset: Vec<String>,

    /// Let the broker check the changes and make none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    owner: OwnerArgs,
}

pub fn run(args: &AlterArgs) -> Result<(), Failure> {
    let set = args
        .set
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())));
    let unset = args.unset.iter().map(|name| (name.clone(), None));
    let changes: Vec<(String, Option<String>)> = set.chain(unset).collect();
    if changes.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "nothing to change: give --set or --unset",
        ));
    }
    let mut cluster = args.owner.connect()?;
    let owner = args.owner.named().unwrap_or(ConfigOwner::AllBrokers);
    check_names(&mut cluster, owner, &args.set)?;
    cluster.alter_configs(owner, &changes, args.dry_run)?;
    tell(if args.dry_run {
        "It could be changed so."
    } else {
        "Changed."
    });
    Ok(())
}

/// A broker keeps a config of whatever name, as Kafka does: one that it does not know would go unnoticed.
fn check_names(
    cluster: &mut Cluster,
    owner: ConfigOwner<'_>,
    set: &[(String, String)],
) -> Result<(), Failure> {
    let broker = match owner {
        ConfigOwner::Broker(id) => Some(id),
        ConfigOwner::AllBrokers => cluster.nodes().next().map(|node| node.id),
        ConfigOwner::Topic(_) | ConfigOwner::ClientMetrics(_) | ConfigOwner::Group(_) => None,
    };
    let Some(broker) = broker else { return Ok(()) };
    let known = cluster.configs(ConfigOwner::Broker(broker))?;
    let is_unknown = |name: &&str| known.iter().all(|config| config.name != **name);
    match set.iter().map(|(name, _)| name.as_str()).find(is_unknown) {
        Some(name) => Err(Failure::new(
            Exit::Failed,
            format!("no config of brokers is called `{name}`"),
        )),
        None => Ok(()),
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream config alter --set log.retention.ms=7d --set message.max.bytes=4MiB
  millstream config alter --broker 1 --unset log.retention.ms
  millstream config alter --topic orders --set retention.ms=1d --dry-run
  millstream config alter --group readers --set consumer.session.timeout.ms=50s
  millstream config alter --client-metrics some --set metrics=org.apache.kafka. --set match=client_id=orders-.*";
