//! `millstream group describe`: who is in a group, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{failure, unknown};
use crate::cli::args::ClientArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Page, count, print_json};
use crate::client::{AsMember, Cluster, GroupDescription, GroupMember, GroupOffsets};

/// Show a group's members, its offsets and how far they are behind
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DescribeArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    names: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Description {
    name: String,
    state: String,
    kind: &'static str,
    assignor: String,
    coordinator: i32,
    members: Vec<MemberRow>,
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct MemberRow {
    id: String,
    instance: Option<String>,
    client: String,
    host: String,
    partitions: usize,
}

#[derive(Serialize)]
struct PartitionRow {
    topic: String,
    partition: i32,
    /// The next one to be read; `None` where nothing was committed.
    committed: Option<i64>,
    /// Exclusive; `None` where the partition is gone or does not answer.
    end: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
}

pub fn run(args: &DescribeArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let mut described = Vec::new();
    let mut missing = None;
    for name in &args.names {
        match describe(&mut cluster, name) {
            Ok(description) => described.push(description),
            // A group that there is not must not hide the others.
            Err(failure) if failure.exit == Exit::NotFound => missing = missing.or(Some(failure)),
            Err(failure) => return Err(failure),
        }
    }
    if args.json {
        print_json(&described)?;
    } else {
        let mut page = Page::new();
        for description in &described {
            description.show(&mut page);
        }
        page.print()?;
    }
    missing.map_or(Ok(()), Err)
}

fn describe(cluster: &mut Cluster, name: &str) -> Result<Description, Failure> {
    let group = cluster.describe_group(name);
    let group = group.map_err(|error| failure(name, error))?;
    let offsets = cluster.group_offsets(name, AsMember::default());
    let offsets = offsets.map_err(|error| failure(name, error))?;
    if group.state == "Dead" && offsets.is_empty() {
        return Err(unknown(name));
    }
    Ok(Description::new(cluster, group, &offsets))
}

impl Description {
    fn new(cluster: &mut Cluster, group: GroupDescription, offsets: &GroupOffsets) -> Description {
        let assigned = group.members.iter().flat_map(|member| {
            let partitions = member.assigned.iter();
            partitions.map(|partition| (partition.clone(), member.id.clone()))
        });
        let owners: BTreeMap<(String, i32), String> = assigned.collect();
        let places: BTreeSet<_> = owners.keys().chain(offsets.keys()).collect();
        let partitions = places.into_iter().map(|place| {
            let (topic, partition) = place;
            let end = end_of(cluster, topic, *partition);
            let committed = offsets.get(place).copied();
            PartitionRow {
                topic: topic.clone(),
                partition: *partition,
                committed,
                end,
                lag: end
                    .zip(committed)
                    .map(|(end, committed)| (end - committed).max(0)),
                member: owners.get(place).cloned(),
            }
        });
        Description {
            partitions: partitions.collect(),
            name: group.id,
            state: group.state,
            kind: group.kind,
            assignor: group.assignor,
            coordinator: group.coordinator,
            members: group.members.into_iter().map(MemberRow::new).collect(),
        }
    }

    fn show(&self, page: &mut Page) {
        let members = count(self.members.len(), "member");
        page.heading(&format!(
            "{} ({}, {}, {members})",
            self.name, self.state, self.kind
        ));
        if !self.members.is_empty() {
            let rows: Vec<[String; 5]> = self.members.iter().map(MemberRow::cells).collect();
            page.table(["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"], &rows);
        }
        if self.partitions.is_empty() {
            page.line("Nothing was committed, and nobody reads.");
            return;
        }
        page.heading("Partitions");
        let rows: Vec<[String; 6]> = self.partitions.iter().map(PartitionRow::cells).collect();
        page.table(["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"], &rows);
    }
}

/// Where a partition ends; `None` where nobody can say, as of a topic that is gone.
fn end_of(cluster: &mut Cluster, topic: &str, partition: i32) -> Option<i64> {
    cluster.topic(topic, false).ok()?;
    let marks = cluster.watermarks(topic, &[partition]).ok()?;
    marks.get(&partition).map(|marks| marks.end)
}

impl MemberRow {
    fn new(member: GroupMember) -> MemberRow {
        MemberRow {
            partitions: member.assigned.len(),
            id: member.id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.host,
        }
    }

    fn cells(&self) -> [String; 5] {
        [
            self.id.clone(),
            self.instance.clone().unwrap_or_else(|| "-".to_owned()),
            self.client.clone(),
            self.host.trim_start_matches('/').to_owned(),
            self.partitions.to_string(),
        ]
    }
}

impl PartitionRow {
    fn cells(&self) -> [String; 6] {
        let number = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
        [
            self.topic.clone(),
            self.partition.to_string(),
            number(self.committed),
            number(self.end),
            number(self.lag),
            self.member.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream group describe billing
  millstream group describe billing shipping --json";
