//! What the loads do at this moment, for a person who waits: one line each on the terminal, rewritten each second.
//! Place: the threads that sum up seconds post here; a thread of the view draws. The generators' threads know nothing
//! of it, so that looking costs them nothing.
//! Invariant: nothing is drawn where standard error is no terminal, and what was drawn is gone before the results come.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::report::{count, micros};

/// The last second of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glimpse {
    /// When it ended, in seconds since the window began.
    pub seconds: u64,
    pub records: u64,
    pub bytes: u64,
    /// `None` without an answer.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
}

/// The lines of all loads of a round. They are taken away when it is dropped.
#[derive(Debug)]
pub struct LiveView {
    state: Arc<Mutex<State>>,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One load's line.
#[derive(Clone, Debug)]
pub struct LiveLine {
    state: Arc<Mutex<State>>,
    index: usize,
}

#[derive(Debug)]
struct State {
    /// Of all lines; may be empty.
    title: String,
    loads: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    name: String,
    /// And when it was posted.
    last: Option<(Glimpse, Instant)>,
}

impl LiveView {
    /// `None` where standard error is no terminal, or where nobody wants it.
    pub fn open(title: String, loads: &[&str], quiet: bool) -> Option<Self> {
        let stderr = io::stderr();
        (!quiet && stderr.is_terminal()).then(|| LiveView::draw_on(stderr, title, loads))
    }

    fn draw_on(mut terminal: impl Write + Send + 'static, title: String, loads: &[&str]) -> Self {
        let seen = |name: &&str| Seen {
            name: (*name).to_owned(),
            last: None,
        };
        let state = Arc::new(Mutex::new(State {
            title,
            loads: loads.iter().map(seen).collect(),
        }));
        let (end, ended) = channel::<()>();
        let drawn = state.clone();
        let thread = std::thread::spawn(move || {
            let mut lines = 0;
            loop {
                let text = lock(&drawn).text(Instant::now());
                // A terminal that is gone is no reason to end a run.
                let _ = redraw(&mut terminal, lines, &text);
                lines = text.len();
                if ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                    let _ = redraw(&mut terminal, lines, &[]);
                    return;
                }
            }
        });
        LiveView {
            state,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// The line of the load of this number, in the order in which they were named.
    pub fn line(&self, index: usize) -> LiveLine {
        LiveLine {
            state: self.state.clone(),
            index,
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say when it panicked: the run goes on.
            let _ = thread.join();
        }
    }
}

impl LiveLine {
    /// Never called by a generator's thread.
    pub fn post(&self, glimpse: Glimpse) {
        if let Some(seen) = lock(&self.state).loads.get_mut(self.index) {
            seen.last = Some((glimpse, Instant::now()));
        }
    }
}

impl State {
    fn text(&self, now: Instant) -> Vec<String> {
        let width = self.loads.iter().map(|seen| seen.name.chars().count()).max();
        let width = width.unwrap_or(0).min(NAME_COLUMNS);
        let title = (!self.title.is_empty()).then(|| self.title.clone());
        let loads = self.loads.iter().map(|seen| seen.text(width, now));
        let fit = |line: String| line.chars().take(COLUMNS).collect();
        title.into_iter().chain(loads).map(fit).collect()
    }
}

impl Seen {
    fn text(&self, width: usize, now: Instant) -> String {
        let name: String = self.name.chars().take(width).collect();
        let Some((glimpse, posted)) = self.last else {
            return format!("{name:<width$}  begins");
        };
        let silent = now.saturating_duration_since(posted);
        if silent > SILENCE {
            return format!("{name:<width$}  no answer for {} s", silent.as_secs());
        }
        let latency = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), micros);
        format!(
            "{name:<width$} {:>5} s {:>7} records/s {:>7.3} GB/s  p50 {:>7}  p99 {:>7}",
            glimpse.seconds,
            count(glimpse.records as f64),
            glimpse.bytes as f64 / 1e9,
            latency(glimpse.p50_us),
            latency(glimpse.p99_us),
        )
    }
}

/// Writes `text` over the `before` lines that were written last, in one call so that nothing flickers.
fn redraw(terminal: &mut impl Write, before: usize, text: &[String]) -> io::Result<()> {
    let mut drawing = String::new();
    if before > 0 {
        // Up to the first of the lines, and clear from there on.
        drawing.push_str(&format!("\x1b[{before}F\x1b[J"));
    }
    for line in text {
        drawing.push_str(line);
        drawing.push('\n');
    }
    terminal.write_all(drawing.as_bytes())?;
    terminal.flush()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const PERIOD: Duration = Duration::from_secs(1);

/// Seconds are posted when the next one's first answer comes.
const SILENCE: Duration = Duration::from_millis(2500);

/// A line that is wrapped could not be rewritten.
const COLUMNS: usize = 79;
const NAME_COLUMNS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn glimpse() -> Glimpse {
        Glimpse {
            seconds: 12,
            records: 30_000,
            bytes: 6_000_000,
            p50_us: Some(521.0),
            p99_us: None,
        }
    }

    #[test]
    fn a_line_tells_the_last_second_a_stall_and_a_beginning() {
        let now = Instant::now();
        let seen = |name: &str, last| Seen {
            name: name.into(),
            last,
        };
        let state = State {
            title: "round 1 of 3".into(),
            loads: vec![
                seen("write", Some((glimpse(), now))),
                seen("a name that is far too long", Some((glimpse(), now))),
                seen("read", None),
            ],
        };
        let text = state.text(now);
        assert_eq!(text[0], "round 1 of 3");
        for told in [
            "write ",
            "12 s",
            "30.0k records/s",
            "0.006 GB/s",
            "p50  521 µs",
            "p99       -",
        ] {
            assert!(text[1].contains(told), "{told} in {}", text[1]);
        }
        assert!(
            text.iter().all(|line| line.chars().count() <= COLUMNS),
            "{text:?}"
        );
        assert!(text[3].ends_with("begins"), "{text:?}");
        let later = state.text(now + Duration::from_secs(7));
        assert!(later[1].ends_with("no answer for 7 s"), "{later:?}");
    }

    #[test]
    fn what_was_drawn_is_written_over_and_taken_away_in_the_end() {
        #[derive(Clone, Default)]
        struct Screen(Arc<Mutex<Vec<u8>>>);
        impl Write for Screen {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let screen = Screen::default();
        let view = LiveView::draw_on(screen.clone(), String::new(), &["write", "read"]);
        view.line(1).post(glimpse());
        view.line(7).post(glimpse());
        drop(view);
        let written = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("write  begins\n"), "{written:?}");
        assert!(written.ends_with("\n\x1b[2F\x1b[J"), "{written:?}");
    }

    #[test]
    fn nothing_is_drawn_for_those_who_want_quiet() {
        assert!(LiveView::open(String::new(), &["load"], true).is_none());
    }
}
