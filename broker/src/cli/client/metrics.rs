//! `millstream client metrics`: what clients pushed last.

use serde::Serialize;

use crate::cli::args::ClientArgs;
use crate::cli::exit::Failure;
use crate::cli::output::{Page, print_json};
use crate::shard::client_metrics::{ClientMetric, ClientMetricPoint, ClientMetrics, MeasuredClient};
use crate::telemetry::civil_time::format_millis;

/// Show the metrics that clients pushed last
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct MetricsArgs {
    /// Only metrics whose names begin so
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,

    /// Only clients with this client id; may be given several times
    #[arg(long, value_name = "ID")]
    client_id: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

/// A client and what it told, as JSON.
#[derive(Serialize)]
struct Row {
    broker: i32,
    #[serde(flatten)]
    client: MeasuredClient,
    #[serde(flatten)]
    told: ClientMetrics,
}

pub fn run(args: &MetricsArgs) -> Result<(), Failure> {
    let rows = gather(args)?;
    if args.json {
        return print_json(&rows);
    }
    let mut page = Page::new();
    if rows.is_empty() {
        page.line(
            "No such client is asked for metrics, or none has come since; `millstream config alter --client-metrics` \
             asks.",
        );
    }
    rows.iter().for_each(|row| row.show(&mut page));
    page.print()
}

fn gather(args: &MetricsArgs) -> Result<Vec<Row>, Failure> {
    let mut cluster = args.client.connect()?;
    let brokers: Vec<i32> = cluster.nodes().map(|node| node.id).collect();
    let wanted =
        |client: &MeasuredClient| args.client_id.is_empty() || args.client_id.contains(&client.client_id);
    let begins = |metric: &ClientMetric| {
        let mut prefixes = args.prefixes.iter();
        args.prefixes.is_empty() || prefixes.any(|prefix| metric.name.starts_with(prefix))
    };
    let mut rows = Vec::new();
    for broker in brokers {
        for client in cluster.measured_clients(broker)?.into_iter().filter(wanted) {
            let mut told = cluster
                .client_metrics(broker, &client.client_instance_id)?
                .unwrap_or_default();
            told.metrics.retain(begins);
            rows.push(Row { broker, client, told });
        }
    }
    Ok(rows)
}

impl Row {
    fn show(&self, page: &mut Page) {
        let client = &self.client;
        page.heading(&format!(
            "{} ({})",
            match client.client_id.as_str() {
                "" => "A client without an id",
                id => id,
            },
            client.client_instance_id
        ));
        let pushed = match client.pushed_at_ms {
            Some(at) => format!("pushed {}", format_millis(at)),
            None => "has pushed nothing yet".to_owned(),
        };
        page.line(&format!(
            "{} {} at {}:{}, {pushed}{}",
            client.client_software_name,
            client.client_software_version,
            client.client_source_address,
            client.client_source_port,
            if client.terminating { ", has ended" } else { "" }
        ));
        let points = self.told.metrics.iter();
        let cells = points.flat_map(|metric| metric.points.iter().map(|point| cells(metric, point)));
        let cells: Vec<[String; 3]> = cells.collect();
        if !cells.is_empty() {
            page.table(["METRIC", "ATTRIBUTES", "VALUE"], &cells);
        }
    }
}

fn cells(metric: &ClientMetric, point: &ClientMetricPoint) -> [String; 3] {
    let attributes = point.attributes.iter();
    let attributes: Vec<String> = attributes
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let value = match (&point.value, point.count) {
        (Some(number), _) => number.to_string(),
        (None, Some(count)) => match point.sum {
            Some(sum) => format!("{count} times, {sum} in all"),
            None => format!("{count} times"),
        },
        (None, None) => "(none)".to_owned(),
    };
    [metric.name.clone(), attributes.join(" "), value]
}

const AFTER_HELP: &str = "\
Clients that can (KIP-714: librdkafka since 2.5, Java since 3.7) push what a subscription asks them for. Counts are
those since the client's start. What a client told is forgotten when it is not heard of for three intervals.

Examples:
  millstream config alter --client-metrics everything --set metrics=* --set interval.ms=10s
  millstream client metrics
  millstream client metrics org.apache.kafka.producer --client-id orders --json";
