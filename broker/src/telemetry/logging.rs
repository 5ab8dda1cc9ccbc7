//! Log lines: human or JSON, on standard error, with a level that can change while the broker runs.
//!
//! Place: set up once by `cli::start`; every room then speaks through `tracing`'s macros. How levels are written
//! says [`super::levels`]; they are changed by SIGHUP and by Kafka's admin calls.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::civil_time;
use super::levels::Levels;
use super::log_writer::LogWriter;
use crate::config::LogFormat;

/// The log of a running process: its level can change, and it can be waited for.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, tracing_subscriber::Registry>,
    /// What the filter was made of. Locked by admin calls and signals only.
    levels: Arc<Mutex<Levels>>,
    writer: LogWriter,
}

impl LogHandle {
    /// Takes effect with the next event of every thread.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        self.set_levels(Levels::parse(level)?)
    }

    /// As [`LogHandle::set_level`], for levels that are parsed.
    pub fn set_levels(&self, levels: Levels) -> Result<(), String> {
        let mut present = self.levels.lock().expect("nothing panics while it is held");
        self.filter
            .reload(levels.targets())
            .map_err(|error| error.to_string())?;
        *present = levels;
        Ok(())
    }

    /// The levels that hold now.
    pub fn levels(&self) -> Levels {
        self.levels
            .lock()
            .expect("nothing panics while it is held")
            .clone()
    }

    /// Returns when everything that was logged before is written, or after a moment.
    pub fn flush(&self) {
        self.writer.flush();
    }
}

/// Once per process; a panic waits for what was logged before it. The error is that something else logs
/// already, or a level that [`check_level`] refuses.
pub fn init(format: LogFormat, level: &str) -> Result<LogHandle, String> {
    let levels = Levels::parse(level)?;
    let (filter, handle) = reload::Layer::new(levels.targets());
    let registry = tracing_subscriber::registry().with(filter);
    let writer = LogWriter::start(io::stderr()).map_err(|error| error.to_string())?;
    let lines = writer.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || lines.clone());
    let done = match format {
        LogFormat::Human => {
            let colour = use_colour(io::stderr().is_terminal());
            registry
                .with(layer.event_format(HumanFormat { colour }))
                .try_init()
        }
        LogFormat::Json => {
            let layer = layer
                .json()
                .flatten_event(true)
                .with_timer(Utc)
                .with_current_span(false);
            registry.with(layer.with_span_list(false)).try_init()
        }
    };
    done.map_err(|error: TryInitError| error.to_string())?;
    let log = LogHandle {
        filter: handle,
        levels: Arc::new(Mutex::new(levels)),
        writer,
    };
    flush_before_panics(log.clone());
    Ok(RUNNING.get_or_init(|| log).clone())
}

/// The log of this process, if it has one.
pub fn running() -> Option<&'static LogHandle> {
    RUNNING.get()
}

static RUNNING: OnceLock<LogHandle> = OnceLock::new();

/// A panic ends the process: the lines that led to it must be out before its message.
fn flush_before_panics(log: LogHandle) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log.flush();
        usual(panic);
    }));
}

/// Whether the text is a level, and if not, why.
pub fn check_level(text: &str) -> Result<(), String> {
    Levels::parse(text).map(|_| ())
}

/// Colour belongs on a terminal, and nowhere when `NO_COLOR` (no-color.org) is set.
pub fn use_colour(terminal: bool) -> bool {
    terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// `2026-11-21T11:20:00.123Z WARN  server: message key=value`
struct HumanFormat {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for HumanFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let paint = |style: Style| if self.colour { style } else { Style::new() };
        let dim = paint(Style::new().dimmed());
        let strong = paint(level_style(level));
        write!(out, "{dim}{}{dim:#} {strong}{level:<5}{strong:#} ", now_text())?;
        let room = room_of(event.metadata().target());
        if !room.is_empty() {
            write!(out, "{dim}{room}:{dim:#} ")?;
        }
        let mut fields = HumanFields {
            out: &mut out,
            dim,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writeln!(out)
    }
}

/// The message first, as `tracing` records it, then `key=value`.
struct HumanFields<'a, 'w> {
    out: &'a mut Writer<'w>,
    dim: Style,
    result: fmt::Result,
}

impl HumanFields<'_, '_> {
    fn put(&mut self, field: &Field, value: &str) {
        // A line is one line, and shows no escape sequence that a client sent.
        let clean: String = value.chars().flat_map(escape_control).collect();
        let dim = self.dim;
        self.result = self.result.and(if field.name() == "message" {
            write!(self.out, "{clean}")
        } else {
            write!(self.out, " {dim}{}={dim:#}{clean}", field.name())
        });
    }
}

impl Visit for HumanFields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

fn escape_control(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// `millstream::server::listener` → `server`: the room is enough for a reader, `json` has the whole path.
fn room_of(target: &str) -> &str {
    let mut parts = target.split("::");
    match parts.next() {
        Some("millstream") => parts.next().unwrap_or_default(),
        Some(other) => other.strip_prefix("millstream_").unwrap_or(other),
        None => "",
    }
}

fn level_style(level: Level) -> Style {
    match level {
        Level::ERROR => AnsiColor::Red.on_default().bold(),
        Level::WARN => AnsiColor::Yellow.on_default().bold(),
        Level::INFO => AnsiColor::Green.on_default(),
        _ => AnsiColor::Blue.on_default(),
    }
}

/// Time in the JSON lines.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.write_str(&now_text())
    }
}

fn now_text() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    civil_time::format_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::levels::READY_TARGET;

    /// What one event looks like, and that the level in force decides whether it is written.
    #[test]
    fn a_line_holds_room_message_and_fields_and_obeys_the_level() {
        let lines = Lines::default();
        let levels = Levels::default();
        let (filter, handle) = reload::Layer::new(levels.targets());
        let writer = LogWriter::start(lines.clone()).unwrap();
        let sink = writer.clone();
        let log = LogHandle {
            filter: handle,
            levels: Arc::new(Mutex::new(levels)),
            writer,
        };
        let layer = tracing_subscriber::fmt::layer().with_writer(move || sink.clone());
        let layer = layer.event_format(HumanFormat { colour: false });
        let subscriber = tracing_subscriber::registry().with(filter).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "millstream::server::listener", port = 9092, peer = "a\nb\x1b[31m", "ready");
            tracing::debug!("not yet");
            log.set_level("debug").unwrap();
            tracing::debug!(target: "other", "now");
            log.set_level("error").unwrap();
            tracing::warn!("no more");
            tracing::info!(target: READY_TARGET, "whatever the level");
            assert!(log.set_level("nonsense").is_err());
        });
        log.flush();
        let text = lines.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].ends_with("Z INFO  server: ready port=9092 peer=a\\nb\\u{1b}[31m"),
            "{}",
            lines[0]
        );
        assert!(lines[1].ends_with("Z DEBUG other: now"), "{}", lines[1]);
        assert!(
            lines[2].ends_with("Z INFO  startup: whatever the level"),
            "{}",
            lines[2]
        );
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
