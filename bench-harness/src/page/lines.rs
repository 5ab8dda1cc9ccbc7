//! The plots of a run: every load of every round is a line of its own.

use crate::plot::Plot;
use crate::plot::axis::{Axis, Scale};
use crate::plot::line::Line;
use crate::report::count;
use crate::result::{NamedOutcome, Round, RunResult};
use crate::scenario::Spread;
use crate::series::Point;
use crate::server_series::ServerPoint;

/// Latency by percentile and over time.
pub fn latency(result: &RunResult) -> Vec<Plot> {
    vec![
        by_percentile(result),
        over_time(result, "Median latency (p50) over time", |point| point.p50_us),
        over_time(result, "p99 latency over time", |point| point.p99_us),
        over_time(result, "Highest latency over time", |point| point.max_us),
    ]
}

/// Throughput over time, and what the server used meanwhile where that is known.
pub fn load_and_server(result: &RunResult) -> Vec<Plot> {
    let mut plots = vec![throughput(result)];
    if result.rounds.iter().any(|round| round.server.is_some()) {
        plots.push(server(result, "Server CPU, of one core", percent, |point| {
            Some(point.cpu_share)
        }));
        plots.push(server(result, "Server disk writes, MB/s", short, |point| {
            let bytes = point.disk_write_bytes? as f64;
            (point.seconds > 0.0).then(|| bytes / point.seconds / 1e6)
        }));
        plots.push(server(result, "Server memory (RSS), MiB", short, |point| {
            Some(point.rss as f64 / f64::from(1 << 20))
        }));
    }
    plots
}

fn by_percentile(result: &RunResult) -> Plot {
    let lines = loads(result, |_, load| {
        let outcome = &load.outcome;
        // The maximum is the quantile of which the slower share is one request.
        let slowest = outcome.latency.samples.max(2) as f64;
        let slower = |quantile: f64| (1.0 / (1.0 - quantile).max(1e-12)).min(slowest);
        let points = outcome.curve.iter();
        points
            .map(|point| (slower(point.quantile), Some(point.us)))
            .collect()
    });
    let curves = result.rounds.iter().flat_map(|round| &round.loads);
    let samples = curves.map(|load| load.outcome.latency.samples).max().unwrap_or(0);
    Plot {
        title: "Latency by percentile".into(),
        note: "Each step to the right leaves out ten times fewer requests.".into(),
        x: Axis::new("percentile", Scale::log(1.0, samples.max(10) as f64), percentile),
        y: Axis::new("", Scale::around(values(&lines)), latency_text),
        lines,
    }
}

fn over_time(result: &RunResult, title: &str, of: fn(&Point) -> Option<f64>) -> Plot {
    let lines = loads(result, |round, load| series(round, load, of));
    Plot {
        title: title.into(),
        note: String::new(),
        x: time_axis(result),
        y: Axis::new("", Scale::around(values(&lines)), latency_text),
        lines,
    }
}

fn throughput(result: &RunResult) -> Plot {
    let per_second = |point: &Point| (point.seconds > 0.0).then(|| point.records as f64 / point.seconds);
    let lines = loads(result, |round, load| series(round, load, per_second));
    Plot {
        title: "Records a second".into(),
        note: String::new(),
        x: time_axis(result),
        y: Axis::new("", rate_scale(&lines), count),
        lines,
    }
}

fn server(
    result: &RunResult,
    title: &str,
    text: fn(f64) -> String,
    of: fn(&ServerPoint) -> Option<f64>,
) -> Plot {
    let names = result.load_names();
    let lines: Vec<Line> = result
        .rounds
        .iter()
        .enumerate()
        .filter_map(|(index, round)| {
            let series = round.server.as_ref()?;
            let offset = series.started_at - round_start(round);
            let points = series.points.iter().map(|point| {
                let middle = offset + point.at_seconds + point.seconds / 2.0;
                (middle, of(point))
            });
            // The warm-up and the end of the answers are no part of what the loads measured.
            let measured = points.filter(|point| (0.0..=round_seconds(round)).contains(&point.0));
            let label = format!("round {}", index + 1);
            let (colour, dash) = look(&names, SERVER_COLOUR, index);
            Some(Line::new(label, colour, dash, measured.collect()))
        })
        .collect();
    Plot {
        title: title.into(),
        note: String::new(),
        x: time_axis(result),
        y: Axis::new("", Scale::from_zero(values(&lines)), text),
        lines,
    }
}

/// Colour and dash. Several loads have a colour each and their rounds a dash; the rounds of one load have a colour
/// each.
fn look(names: &[&str], load: usize, round: usize) -> (usize, usize) {
    match names.len() {
        1 => (round, round / COLOURS_TOLD_APART),
        _ => (load, round),
    }
}

/// One line for each load of each round.
fn loads(result: &RunResult, points: impl Fn(&Round, &NamedOutcome) -> Vec<(f64, Option<f64>)>) -> Vec<Line> {
    let names = result.load_names();
    let mut lines = Vec::new();
    for (load_index, name) in names.iter().enumerate() {
        for (round_index, round) in result.rounds.iter().enumerate() {
            for load in round.loads.iter().filter(|load| load.name == *name) {
                let (colour, dash) = look(&names, load_index, round_index);
                let label = format!("{name}, round {}", round_index + 1);
                lines.push(Line::new(label, colour, dash, points(round, load)));
            }
        }
    }
    lines
}

fn series(round: &Round, load: &NamedOutcome, of: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
    let series = &load.outcome.series;
    let offset = load.outcome.started_at - round_start(round);
    // A rest that is much shorter than a step says little and sticks out.
    let shortest = series.step_seconds as f64 * 0.25;
    let enough = |point: &&Point| point.seconds >= shortest || series.points.len() == 1;
    let points = series.points.iter().filter(enough);
    points
        .map(|point| (offset + point.at_seconds + point.seconds / 2.0, of(point)))
        .collect()
}

/// When the first load's window began, in seconds since the Unix epoch.
fn round_start(round: &Round) -> f64 {
    let starts = round.loads.iter().map(|load| load.outcome.started_at);
    starts.fold(f64::INFINITY, f64::min)
}

fn round_seconds(round: &Round) -> f64 {
    let start = round_start(round);
    let ends = round.loads.iter();
    ends.map(|load| load.outcome.started_at - start + load.outcome.seconds)
        .fold(0.0, f64::max)
}

fn time_axis(result: &RunResult) -> Axis {
    let seconds = result.rounds.iter().map(round_seconds).fold(0.0, f64::max);
    Axis::new("seconds", Scale::linear(0.0, seconds), short)
}

/// Linear from zero, so that a dip looks as deep as it is; but logarithmic where the loads are so far apart that the
/// slower ones would lie on the ground.
fn rate_scale(lines: &[Line]) -> Scale {
    let middles = lines.iter().filter_map(|line| Spread::of(line.values()));
    let middles = middles.map(|spread| spread.median).filter(|&middle| middle > 0.0);
    match Scale::around(middles) {
        Scale::Log { .. } => Scale::around(values(lines)),
        Scale::Linear { .. } => Scale::from_zero(values(lines)),
    }
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> + Clone {
    lines.iter().flat_map(Line::values)
}

/// `slower` is one over the share of the requests that are slower.
fn percentile(slower: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / slower);
    let decimals = (slower.log10().round() as usize).saturating_sub(2);
    format!("{percent:.decimals$} %")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// As few digits as tell it: one after the point below ten, none where it would be a zero.
fn short(value: f64) -> String {
    let text = if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// In the unit that makes the number small, so that the marks of an axis are short.
fn latency_text(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{} µs", short(us)),
        us if us < 1e6 => format!("{} ms", short(us / 1e3)),
        us => format!("{} s", short(us / 1e6)),
    }
}

/// A grey, so that the server looks like none of several loads.
const SERVER_COLOUR: usize = 7;

/// Rounds of one load that differ by colour alone.
const COLOURS_TOLD_APART: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    #[test]
    fn percentiles_are_named_as_people_name_them() {
        let named = [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0].map(percentile);
        assert_eq!(named, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
    }

    #[test]
    fn marks_are_short() {
        let marks = [0.0, 0.5, 300.0, 1000.0, 2500.0, 40_000.0, 2e6].map(latency_text);
        assert_eq!(
            marks,
            ["0 µs", "0.5 µs", "300 µs", "1 ms", "2.5 ms", "40 ms", "2 s"]
        );
    }

    #[test]
    fn rates_start_at_zero_unless_the_loads_are_far_apart() {
        let line = |rates: &[f64]| {
            let points = rates.iter().map(|&rate| (0.0, Some(rate)));
            Line::new("load".into(), 0, 0, points.collect())
        };
        let dip = line(&[1000.0, 10.0, 1000.0]);
        assert!(matches!(
            rate_scale(std::slice::from_ref(&dip)),
            Scale::Linear { min: 0.0, .. }
        ));
        let slow = line(&[20.0, 20.0, 0.0]);
        assert!(matches!(rate_scale(&[dip, slow]), Scale::Log { min, .. } if min < 10.0));
    }

    #[test]
    fn the_rounds_lie_on_one_time_axis_and_the_warm_up_is_left_out() {
        let mut run = sample::run(&["load"], &[1000.0, 2000.0]);
        let server = run.rounds[0].server.as_mut().unwrap();
        server.started_at -= 1.0;
        let plots = load_and_server(&run);
        let points =
            |plot: &Plot| -> Vec<usize> { plot.lines.iter().map(|line| line.values().count()).collect() };
        assert_eq!(points(&plots[0]), [2, 2]);
        assert_eq!(points(&plots[1]), [1, 2]);
        let rates: Vec<f64> = plots[0].lines.iter().flat_map(Line::values).collect();
        assert_eq!(rates, [1000.0, 1000.0, 2000.0, 2000.0]);
    }
}
