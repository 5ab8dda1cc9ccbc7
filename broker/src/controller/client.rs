//! A shard's line to the controller.
//! Invariant: asking never waits; a full queue refuses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_machine::cluster::image::ClusterImage;
use millstream_protocol::time::Instant;
use millstream_protocol::types::TopicId;
use millstream_ring::Waker;

use super::command::{Action, Command, Outcome};
use crate::shard::mailbox::ShardId;
use crate::shard::slab::Key;

/// The shard's side.
#[derive(Debug)]
pub struct ControllerClient {
    commands: flume::Sender<Command>,
    inbox: flume::Receiver<ToShard>,
    /// Records of the image that this shard has installed.
    installed: Arc<AtomicU64>,
    /// Calls without an answer, and when each asked; oldest first. As many as there are calls at most.
    asked: VecDeque<(Key, Instant)>,
}

/// The controller's side of one shard.
#[derive(Debug, Clone)]
pub struct ShardLine {
    inbox: flume::Sender<ToShard>,
    installed: Arc<AtomicU64>,
    waker: Waker,
}

/// A line whose shard has no ring yet.
#[derive(Debug, Clone)]
pub struct UnwiredLine {
    inbox: flume::Sender<ToShard>,
    installed: Arc<AtomicU64>,
}

/// What shards are told from outside the data path.
#[derive(Debug)]
pub enum ToShard {
    /// A later image; to be acknowledged by [`ControllerClient::installed`].
    Image(Arc<ClusterImage>),
    /// The answer to a call.
    Answer { call: Key, outcome: Outcome },
    /// Log a line about what the shard holds.
    TellStatus,
    /// End in good order.
    Shutdown,
}

/// The controller's queue is full, or it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// Both ends of one shard's line.
pub fn line(commands: flume::Sender<Command>) -> (ControllerClient, UnwiredLine) {
    // Unbounded: it holds answers to calls, which are bounded, and the images of one controller.
    let (sender, receiver) = flume::unbounded();
    let installed = Arc::new(AtomicU64::new(0));
    let client = ControllerClient {
        commands,
        inbox: receiver,
        installed: installed.clone(),
        asked: VecDeque::new(),
    };
    (
        client,
        UnwiredLine {
            inbox: sender,
            installed,
        },
    )
}

impl ControllerClient {
    /// Asks for a decision; the answer comes to `call`, to be noted by [`ControllerClient::answered`].
    pub fn ask(
        &mut self,
        shard: ShardId,
        call: Key,
        action: Action,
        now: Instant,
    ) -> Result<(), Unavailable> {
        self.commands
            .try_send(Command::Ask { shard, call, action })
            .map_err(|_| Unavailable)?;
        self.asked.push_back((call, now));
        Ok(())
    }

    /// The answer to a call has come.
    pub fn answered(&mut self, call: Key) {
        // Answers come in the order of asking, but for those of other batches: it is among the first.
        if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == call) {
            self.asked.remove(at);
        }
    }

    /// When the oldest call without an answer asked.
    pub fn waits_since(&self) -> Option<Instant> {
        self.asked.front().map(|(_, since)| *since)
    }

    /// Says that every partition of an image can be used on this shard.
    pub fn installed(&self, records: u64) {
        self.installed.store(records, Ordering::Release);
        // Where the queue is full the controller is awake and looks anyway.
        let _ = self.commands.try_send(Command::Look);
    }

    /// Says that the files of one partition of a deleted topic are gone.
    pub fn partition_gone(&self, topic: TopicId) {
        // Where the queue is full the topic is remembered for longer than it need be.
        let _ = self.commands.try_send(Command::PartitionGone(topic));
    }

    pub fn receive(&self) -> Option<ToShard> {
        self.inbox.try_recv().ok()
    }

    pub fn has_mail(&self) -> bool {
        !self.inbox.is_empty()
    }
}

impl UnwiredLine {
    pub fn wire(self, waker: Waker) -> ShardLine {
        ShardLine {
            inbox: self.inbox,
            installed: self.installed,
            waker,
        }
    }
}

impl ShardLine {
    /// Tells the shard and wakes it.
    pub fn tell(&self, message: ToShard) {
        if self.inbox.send(message).is_ok() {
            self.waker.wake();
        }
    }

    /// Records of the image that the shard has installed.
    pub fn installed(&self) -> u64 {
        self.installed.load(Ordering::Acquire)
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}
