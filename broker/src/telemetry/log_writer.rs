//! The way of log lines to standard error, on a thread of its own: a shard never waits for whoever reads the
//! log.
//!
//! Invariants: lines keep their order; at most [`LINES_WAITING_MAX`] wait, and those that come then are
//! dropped and counted, and the count is a line itself; [`LogWriter::flush`] returns in bounded time.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Hands lines over; one for all threads.
#[derive(Debug, Clone)]
pub struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread; it ends with the process.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(out, &waiting, &counted))?;
        Ok(LogWriter { lines, dropped })
    }

    /// Waits until what was logged before is written, but not for ever.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let deadline = Instant::now() + FLUSH_WAIT_MAX;
        let mut request = Message::Flush(done);
        while let Err(TrySendError::Full(again)) = self.lines.try_send(request) {
            if Instant::now() >= deadline {
                return;
            }
            request = again;
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// `tracing` makes one for each event and writes the whole line at once.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A failed write has nowhere to be reported: the next one may do better.
fn write_lines(mut out: impl Write, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    for message in waiting {
        match message {
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "({lost} log lines were dropped: nobody reads standard error fast enough)"
            );
        }
    }
}

const LINES_WAITING_MAX: usize = 4096;
const FLUSH_WAIT_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Collects, and can be held up.
    #[derive(Clone, Default)]
    struct Pipe {
        text: Arc<Mutex<Vec<u8>>>,
        stuck: Arc<Mutex<()>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _unstuck = self.stuck.lock().unwrap();
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_arrive_in_order_by_the_time_of_a_flush() {
        let pipe = Pipe::default();
        let mut writer = LogWriter::start(pipe.clone()).unwrap();
        let mut expected = String::new();
        for number in 0..100 {
            let line = format!("line {number}\n");
            writer.write_all(line.as_bytes()).unwrap();
            expected.push_str(&line);
        }
        LogWriter::flush(&writer);
        assert_eq!(
            String::from_utf8(pipe.text.lock().unwrap().clone()).unwrap(),
            expected
        );
    }

    #[test]
    fn a_stuck_reader_stops_nobody_and_what_is_lost_is_counted() {
        let pipe = Pipe::default();
        let mut writer = LogWriter::start(pipe.clone()).unwrap();
        let stuck = pipe.stuck.lock().unwrap();
        for _ in 0..LINES_WAITING_MAX + 100 {
            writer.write_all(b"x\n").unwrap();
        }
        drop(stuck);
        LogWriter::flush(&writer);
        let text = String::from_utf8(pipe.text.lock().unwrap().clone()).unwrap();
        let written = text.lines().filter(|line| *line == "x").count();
        let lost = text
            .lines()
            .find_map(|line| line.strip_prefix('(')?.split(' ').next()?.parse::<usize>().ok());
        assert_eq!(written + lost.expect("a count"), LINES_WAITING_MAX + 100);
    }
}
