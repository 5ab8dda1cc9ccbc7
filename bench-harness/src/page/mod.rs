//! A run as one HTML page that needs nothing else: no network, no script, light and dark as the reader's system is.
//! Place: `lines` makes plots of the run; this file has the facts and the table around them.

mod lines;

use std::fmt::Write;

use crate::plot::escape;
use crate::recorder::Outcome;
use crate::report::{caution, count, host_text, micros};
use crate::result::RunResult;
use crate::scenario::Spread;

/// The whole page.
pub fn page(result: &RunResult) -> String {
    let name = escape(&result.scenario.name);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"/>\n<title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<h1>{name}</h1>\n<p class=\"title\">{}</p>\n",
        escape(&result.scenario.title)
    );
    facts(result, &mut html);
    html.push_str("<h2>Results</h2>\n");
    table(result, &mut html);
    cautions(result, &mut html);
    html.push_str("<h2>Latency</h2>\n<div class=\"plots\">\n");
    for plot in lines::latency(result) {
        html.push_str(&plot.render());
    }
    html.push_str("</div>\n<h2>Load and server</h2>\n<div class=\"plots\">\n");
    for plot in lines::load_and_server(result) {
        html.push_str(&plot.render());
    }
    let _ = write!(
        html,
        "</div>\n<footer>millstream-bench {}</footer>\n</body>\n</html>\n",
        escape(&result.stamp.version)
    );
    html
}

fn facts(result: &RunResult, html: &mut String) {
    let target = &result.target;
    let facts = [
        ("Date", Some(result.stamp.date.clone())),
        ("Machine", Some(host_text(&result.stamp.host))),
        ("Broker", target.broker.clone()),
        ("Address", Some(target.address.clone())),
        ("An acknowledgement means", target.durability.clone()),
        ("Rounds", Some(result.rounds.len().to_string())),
    ];
    html.push_str("<dl>\n");
    for (name, fact) in facts {
        if let Some(fact) = fact {
            let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&fact));
        }
    }
    let _ = write!(
        html,
        "<dt>Command</dt><dd><code>millstream-bench {}</code></dd>\n</dl>\n<details><summary>The scenario in \
         full</summary>\n<pre>{}</pre>\n</details>\n",
        escape(&result.stamp.arguments.join(" ")),
        escape(&result.scenario.text)
    );
}

fn table(result: &RunResult, html: &mut String) {
    html.push_str("<div class=\"wide\">\n<table>\n<tr>");
    for (column, _) in COLUMNS {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr>\n");
    let names = result.load_names();
    // The server's CPU time cannot be dealt out to several loads.
    let alone = names.len() == 1;
    for name in names {
        let outcomes: Vec<&Outcome> = result.outcomes(name).collect();
        for (index, &outcome) in outcomes.iter().enumerate() {
            let label = format!("{name}, round {}", index + 1);
            row(html, "round", &label, alone, &|cell| cell(outcome));
        }
        if outcomes.len() > 1 {
            let median = |cell: Figure| {
                let values = outcomes.iter().filter_map(|outcome| cell(outcome));
                Some(Spread::of(values)?.median)
            };
            row(html, "median", &format!("{name}, median"), alone, &median);
        }
    }
    html.push_str("</table>\n</div>\n");
}

type Figure = fn(&Outcome) -> Option<f64>;

fn row(html: &mut String, class: &str, label: &str, alone: bool, value: &dyn Fn(Figure) -> Option<f64>) {
    let _ = write!(html, "<tr class=\"{class}\"><td>{}</td>", escape(label));
    for (column, (figure, text)) in COLUMNS.iter().skip(1) {
        let known = value(*figure).filter(|_| alone || *column != CPU_PER_GIGABYTE);
        let cell = known.map_or_else(|| "–".to_owned(), text);
        let _ = write!(html, "<td>{cell}</td>");
    }
    html.push_str("</tr>\n");
}

fn cautions(result: &RunResult, html: &mut String) {
    if result.interrupted {
        html.push_str("<p class=\"warn\">Interrupted: the last round is shorter than asked for.</p>\n");
    }
    for (index, round) in result.rounds.iter().enumerate() {
        for load in &round.loads {
            if let Some(note) = caution(&load.outcome) {
                let note = format!("{}, round {}: {note}", load.name, index + 1);
                let _ = writeln!(html, "<p class=\"warn\">{}</p>", escape(&note));
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / f64::from(1 << 20))
}

fn three_digits(value: f64) -> String {
    format!("{value:.3}")
}

const CPU_PER_GIGABYTE: &str = "CPU-s/GB";

type Text = fn(f64) -> String;

const COLUMNS: [(&str, (Figure, Text)); 14] = [
    ("load", (|_| None, count)),
    ("records/s", (|outcome| Some(outcome.records_per_second), count)),
    (
        "GB/s",
        (|outcome| Some(outcome.gigabytes_per_second), three_digits),
    ),
    ("p50", (|outcome| Some(outcome.latency.p50_us), micros)),
    ("p90", (|outcome| Some(outcome.latency.p90_us), micros)),
    ("p99", (|outcome| Some(outcome.latency.p99_us), micros)),
    ("p99.9", (|outcome| Some(outcome.latency.p999_us), micros)),
    ("p99.99", (|outcome| Some(outcome.latency.p9999_us), micros)),
    ("p99.999", (|outcome| Some(outcome.latency.p99999_us), micros)),
    ("max", (|outcome| Some(outcome.latency.max_us), micros)),
    (
        "client CPU",
        (|outcome| Some(outcome.cost.client_cpu_share), percent),
    ),
    ("server CPU", (|outcome| outcome.cost.server_cpu_share, percent)),
    (CPU_PER_GIGABYTE, (Outcome::server_cpu_per_gigabyte, three_digits)),
    (
        "server RSS",
        (|outcome| outcome.cost.server_rss.map(|rss| rss as f64), mebibytes),
    ),
];

const STYLE: &str = include_str!("style.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    fn parsed<T>(html: &str, check: impl FnOnce(&roxmltree::Document<'_>) -> T) -> T {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        check(&roxmltree::Document::parse_with_options(html, options).unwrap())
    }

    #[test]
    fn the_page_is_well_formed_and_has_every_load_and_round_in_table_and_plots() {
        let html = page(&sample::run(&["write <1>", "read & check"], &[1000.0, 2000.0]));
        parsed(&html, |document| {
            let cells = |tag: &str| -> Vec<String> {
                let nodes = document.descendants().filter(|node| node.has_tag_name(tag));
                nodes
                    .map(|node| {
                        node.descendants()
                            .filter(|child| child.is_text())
                            .filter_map(|child| child.text())
                            .collect()
                    })
                    .collect()
            };
            let (rows, legends) = (cells("td"), cells("li"));
            for load in ["write <1>", "read & check"] {
                assert!(rows.contains(&format!("{load}, median")), "{rows:?}");
                for round in ["round 1", "round 2"] {
                    assert!(rows.contains(&format!("{load}, {round}")), "{rows:?}");
                    let label = format!("{load}, {round}");
                    let plots = legends.iter().filter(|legend| **legend == label).count();
                    assert_eq!(plots, 5, "{label} in {legends:?}");
                }
            }
            let plots = document.descendants().filter(|node| node.has_tag_name("figure"));
            assert_eq!(plots.count(), 8);
        });
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page(&sample::run(&["load"], &[1000.0]));
        for outside in ["http:", "https:", "<script", "url(", "@import", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn the_servers_cpu_for_a_gigabyte_is_told_of_a_single_load_only() {
        let told = |loads: &[&str]| {
            page(&sample::run(loads, &[1000.0]))
                .matches("<td>5000.000</td>")
                .count()
        };
        assert_eq!((told(&["one"]), told(&["one", "other"])), (1, 0));
    }

    #[test]
    fn a_remote_server_and_an_interrupted_run_make_a_page_too() {
        let mut run = sample::run(&["load"], &[1000.0]);
        run.rounds[0].server = None;
        run.rounds[0].loads[0].outcome.curve.clear();
        run.interrupted = true;
        run.target.durability = None;
        let html = page(&run);
        assert!(!html.contains("acknowledgement"), "what is not known is not told");
        parsed(&html, |document| {
            let plots = document.descendants().filter(|node| node.has_tag_name("figure"));
            assert_eq!(plots.count(), 5, "none of the server");
        });
        assert!(html.contains("Interrupted"));
        run.rounds.clear();
        parsed(&page(&run), |_| ());
    }
}
