//! `millstream start`: configuration and logging are made ready here, then the broker has the process.

use std::io::Write;

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;

use super::args::ConfigArgs;
use super::exit::output_failed;
use super::{Exit, Failure};
use crate::config::{Config, Key, Raw, Sources};
use crate::startup::{self, BrokerConfig};
use crate::telemetry::logging::{self, LogHandle};

/// Start a broker
///
/// Every setting can be given as a flag, as an environment variable or in millstream.toml; a flag prevails
/// over the environment, the environment over the file. `--print-config` shows what applies and where it
/// comes from.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct StartArgs {
    /// Where the records live [default: ./millstream-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Address to serve Kafka clients on; may be given several times [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<String>,

    /// Address that clients are told to connect to [default: the one they reached the broker on]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,

    /// How many cores to run on, or which: 2, "0-3,6", all [default: all]
    #[arg(long, value_name = "N|LIST")]
    cores: Option<String>,

    /// Memory that the broker may use, such as 2GiB [default: a part of the machine's]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,

    /// Free space of the file system below which producing is refused [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    free_space_min: Option<String>,

    /// What log lines look like: human or json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,

    /// error, warn, info, debug, trace, or "info,millstream.server=debug" [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// A broker setting under Kafka's name, such as num.partitions=3; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print the configuration that applies, with the source of each value, and exit
    #[arg(long)]
    print_config: bool,
}

pub fn run(args: StartArgs) -> Result<(), Failure> {
    let print_config = args.print_config;
    let sources = args.into_sources();
    let config = Config::load(&sources)?;
    if print_config {
        let shown = config.to_toml();
        return std::io::stdout()
            .write_all(shown.as_bytes())
            .map_err(|error| output_failed(&error));
    }
    let log = logging::init(config.log_format.value, &config.log_level.value)
        .map_err(|error| Failure::new(Exit::Failed, format!("logging cannot be set up: {error}")))?;
    let broker = config
        .to_broker_config()
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    warn_if_open(&broker);
    reload_level_on_hangup(sources, log.clone())?;
    let served = startup::run(broker).map_err(|error| Failure::new(Exit::Failed, error.to_string()));
    log.flush();
    served
}

impl StartArgs {
    fn into_sources(self) -> Sources {
        let text = Raw::Text;
        let mut flags = Vec::new();
        let mut push = |key: Key, value: Option<Raw>| flags.extend(value.map(|raw| (key, raw)));
        push(Key::DataDir, self.data_dir.map(text));
        let listen = self.listen.into_iter().map(text).collect::<Vec<_>>();
        push(Key::Listen, (!listen.is_empty()).then_some(Raw::List(listen)));
        push(Key::Advertise, self.advertise.map(text));
        push(Key::Cores, self.cores.map(text));
        push(Key::Memory, self.memory.map(text));
        push(Key::FreeSpaceMin, self.free_space_min.map(text));
        push(Key::LogFormat, self.log_format.map(text));
        push(Key::LogLevel, self.log_level.map(text));
        Sources {
            config_file: self.config.config,
            flags,
            broker_flags: self.set,
            ..Sources::from_environment()
        }
    }
}

/// Whoever reaches an open listener may read, write and delete everything.
fn warn_if_open(broker: &BrokerConfig) {
    let open: Vec<String> = broker
        .listeners
        .iter()
        .filter(|address| !address.ip().is_loopback())
        .map(ToString::to_string)
        .collect();
    if !open.is_empty() {
        tracing::warn!(
            "NO AUTHENTICATION: {} can be reached from other machines, and whoever reaches it may read, write and \
             delete every topic; keep it behind a firewall, or listen on 127.0.0.1",
            open.join(", ")
        );
    }
}

/// SIGHUP reads the configuration again and takes its log level; everything else needs a restart.
fn reload_level_on_hangup(sources: Sources, log: LogHandle) -> Result<(), Failure> {
    let fail = |error: &std::io::Error| Failure::io("the handler of SIGHUP cannot be set up", error);
    let mut signals = Signals::new([SIGHUP]).map_err(|error| fail(&error))?;
    let watch = move || {
        for _ in signals.forever() {
            let set = match Config::load(&sources) {
                Ok(config) => log.set_level(&config.log_level.value).map(|()| config.log_level),
                Err(error) => Err(error.to_string()),
            };
            match set {
                Ok(set) => tracing::warn!("the log level is now {} ({})", set.value, set.source),
                Err(error) => tracing::error!("the log level stays as it is: {error}"),
            }
        }
    };
    let thread = std::thread::Builder::new().name("hangup".to_owned()).spawn(watch);
    thread.map(|_| ()).map_err(|error| fail(&error))
}

const AFTER_HELP: &str = "\
Examples:
  millstream start
  millstream start --data-dir /var/lib/millstream
  millstream start --listen 0.0.0.0:9092 --advertise broker-1.example:9092
  millstream start --cores 0-3 --memory 4GiB --set num.partitions=8
  millstream start --config /etc/millstream/millstream.toml --print-config

SIGTERM and Ctrl-C flush and stop; SIGHUP reads log.level from the configuration again; SIGUSR1 logs what the broker
holds: connections, partitions, memory, journal. Kafka's admin calls change the log's levels as well: the resource type
is BROKER_LOGGER, the loggers are root and parts such as millstream.server.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Source;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: StartArgs,
    }

    #[test]
    fn every_flag_reaches_the_configuration() {
        let line = "x --data-dir /d --listen [::1]:1 --listen 127.0.0.1:2 --advertise b:3 --cores 2 --memory 1GiB \
                    --free-space-min 2GiB --log-format json --log-level debug --set num.partitions=3";
        let mut sources = Line::parse_from(line.split_whitespace()).args.into_sources();
        sources.environment.clear();
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.data_dir.value, std::path::PathBuf::from("/d"));
        assert_eq!(config.listen.value.len(), 2);
        assert_eq!(config.listen.source, Source::Flag("--listen"));
        assert_eq!(config.advertise.unwrap().value.to_string(), "b:3");
        assert_eq!(config.memory.unwrap().value, 1 << 30);
        assert_eq!(config.free_space_min.value, 2 << 30);
        assert_eq!(config.log_level.value, "debug");
        assert_eq!(config.broker["num.partitions"].value, "3");
    }
}
