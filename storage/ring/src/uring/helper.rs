//! One thread for the few calls that the kernel's ring does not carry: directory syncs, listings, truncation.
//!
//! It starts with the first job. Answers wait behind a lock that nobody takes on the hot path: a flag tells
//! whether there are any.

#[cfg(all(loom, test))]
use loom::sync::Mutex;
use std::path::Path;
#[cfg(not(all(loom, test)))]
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::error::IoError;
use crate::limits::LIST_MAX;
use crate::op::{Done, Entry};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::waker::Waker;

pub(crate) type Answer = Result<Done, IoError>;
type Job = Box<dyn FnOnce() -> Answer + Send>;

pub(super) struct Helper {
    waker: Waker,
    worker: Option<Worker>,
    answers: Arc<Answers>,
}

/// What came back and nobody has taken yet.
#[derive(Default)]
pub(crate) struct Answers {
    any: AtomicBool,
    list: Mutex<Vec<(u64, Answer)>>,
}

impl Helper {
    pub(super) fn new(waker: Waker) -> Helper {
        Helper {
            waker,
            worker: None,
            answers: Arc::default(),
        }
    }

    /// Runs `job` on the helper's thread; its answer comes back under `key`.
    pub(super) fn run(&mut self, key: u64, job: impl FnOnce() -> Answer + Send + 'static) {
        let start = || Worker::start(Arc::clone(&self.answers), self.waker.clone());
        let worker = self.worker.get_or_insert_with(start);
        worker
            .jobs
            .send((key, Box::new(job)))
            .expect("the helper lives until it is dropped");
    }

    /// Takes one answer that has arrived.
    pub(super) fn take(&self) -> Option<(u64, Answer)> {
        self.answers.take()
    }
}

impl Answers {
    pub(crate) fn put(&self, key: u64, answer: Answer) {
        let mut list = self.list.lock().expect("nobody panics with the lock");
        list.push((key, answer));
        drop(list);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn take(&self) -> Option<(u64, Answer)> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.list.lock().expect("no job panics with the lock");
        let answer = list.pop();
        self.any.store(!list.is_empty(), Ordering::Release);
        answer
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(Worker { jobs, thread }) = self.worker.take() {
            drop(jobs);
            thread.join().expect("no job panics");
        }
    }
}

struct Worker {
    jobs: Sender<(u64, Job)>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(answers: Arc<Answers>, waker: Waker) -> Worker {
        let (jobs, inbox) = channel::<(u64, Job)>();
        let work = move || {
            while let Ok((key, job)) = inbox.recv() {
                answers.put(key, job());
                waker.wake();
            }
        };
        let thread = std::thread::Builder::new().name("ring-helper".into()).spawn(work);
        Worker {
            jobs,
            thread: thread.expect("a thread can be started"),
        }
    }
}

pub(super) fn sync_dir(path: &Path) -> Answer {
    std::fs::File::open(path)?.sync_all()?;
    Ok(Done::Finished)
}

pub(super) fn list(path: &Path) -> Answer {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Unlinked while we listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        entries.push(Entry {
            name,
            is_dir: metadata.is_dir(),
            size,
        });
        if entries.len() > LIST_MAX {
            return Err(IoError::new(libc::EOVERFLOW));
        }
    }
    entries.sort();
    Ok(Done::Listed(entries))
}
