//! Clients that fetch incrementally (KIP-227): each has one session at most, names in each request what changed, and is
//! told what changed.
//!
//! What must hold: a partition that was forgotten, or never named, is not answered; one whose end has moved beyond what
//! the session was told is; and what is served is what any other fetch would be served.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use millstream_protocol::message::{FetchRequest, FetchResponse};

use crate::answers::FetchAsked;
use crate::client::open;
use crate::model::TopicState;
use crate::workload::*;

/// A client's session.
#[derive(Default)]
pub struct Session {
    /// As the broker gave it; 0 before it has.
    id: i32,
    epoch: i32,
    partitions: BTreeMap<Place, Position>,
    /// Those whose position the broker does not know yet.
    changed: BTreeSet<Place>,
}

/// A topic and a partition of it.
type Place = (usize, usize);

/// How far a client has read.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Of the topic, when the partition was added.
    version: u32,
    from: i64,
    /// The high watermark that the session was told last.
    told: i64,
}

/// What a request asked for, beside what the session knew.
#[derive(Clone, Debug)]
pub struct AskedInSession {
    is_full: bool,
    /// Per partition of the session: where it reads, and where the log ended at least.
    expected: BTreeMap<Place, FetchAsked>,
}

impl Workload {
    /// The next request of the client's session, or the first one of a new one.
    pub fn fetch_in_session(&mut self, client: usize) {
        if self.clients[client].session_asked {
            return;
        }
        let mut session = self.clients[client].session.take().unwrap_or_default();
        let is_full = session.epoch == 0;
        let forgotten = self.forget_some(&mut session);
        for _ in 0..if is_full { 3 } else { 1 } {
            if session.partitions.len() < SESSION_PARTITIONS_MAX {
                let added = self.add_one(&mut session, &forgotten);
                session.changed.extend(added);
            }
        }
        if session.partitions.is_empty() {
            // The broker forgets it in time.
            return;
        }
        let mut changed = std::mem::take(&mut session.changed);
        changed.retain(|place| session.partitions.contains_key(place));
        let named: Vec<Place> = match is_full {
            true => session.partitions.keys().copied().collect(),
            false => changed.into_iter().collect(),
        };
        let bytes_max = 1 << self.prng.range(8, 17);
        let names: Vec<String> = self.model.topics.iter().map(|topic| topic.name.clone()).collect();
        let topics = named.iter().map(|place| FetchTopic {
            topic: &names[place.0],
            partitions: vec![FetchPartition {
                partition: place.1 as i32,
                fetch_offset: session.partitions[place].from,
                partition_max_bytes: bytes_max,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        });
        let forgotten_topics = forgotten.iter().filter(|_| !is_full).map(|place| ForgottenTopic {
            topic: &names[place.0],
            partitions: vec![place.1 as i32],
            ..ForgottenTopic::default()
        });
        let request = FetchRequest {
            max_wait_ms: self.prng.range(0, 20) as i32,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_id: session.id,
            session_epoch: session.epoch,
            topics: topics.collect(),
            forgotten_topics_data: forgotten_topics.collect(),
            ..FetchRequest::default()
        };
        if !is_full && !forgotten.is_empty() {
            self.eyes.mark("partition forgotten by a fetch session");
        }
        let expected = session.partitions.iter().map(|(place, position)| {
            let known = self.model.topics[place.0].partitions.get(place.1);
            let expected = FetchAsked {
                version: position.version,
                from: position.from,
                end_min: known.map_or(0, |known| known.end_min),
                is_alone: false,
            };
            (*place, expected)
        });
        let asked = AskedInSession {
            is_full,
            expected: expected.collect(),
        };
        self.ask(client, &request, FETCH, Asked::FetchInSession(asked));
        self.clients[client].session = Some(session);
        self.clients[client].session_asked = true;
    }

    pub fn session_answered(
        &mut self,
        client: usize,
        (correlation, frame): (i32, &[u8]),
        asked: AskedInSession,
    ) -> Result<(), String> {
        let (found, answer) = open::<FetchResponse<'_>>(frame, ApiKey::Fetch, FETCH)?;
        if found != correlation {
            return Err(format!("answer {found} came, {correlation} was next"));
        }
        self.clients[client].session_asked = false;
        let Some(mut session) = self.clients[client].session.take() else {
            return Ok(());
        };
        if answer.error_code != 0 {
            return Err(format!("fetch session {}: {}", session.id, answer.error_code));
        }
        if !asked.is_full {
            self.eyes.mark("incremental fetch");
            if answer.session_id != session.id {
                return Err(format!(
                    "session {} is answered as {}",
                    session.id, answer.session_id
                ));
            }
        }
        session.id = answer.session_id;
        session.epoch += 1;
        let mut open: BTreeMap<Place, FetchAsked> = asked.expected;
        for topic in &answer.responses {
            let index = self
                .model
                .topics
                .iter()
                .position(|known| known.name == topic.topic);
            for data in &topic.partitions {
                let place = (index.unwrap_or(usize::MAX), data.partition_index as usize);
                let Some(expected) = open.remove(&place) else {
                    return Err(format!(
                        "fetch session {}: {}-{} was not asked for, or is answered twice",
                        session.id, topic.topic, data.partition_index
                    ));
                };
                let next = self.fetched(place, expected, data)?;
                let Some(position) = session.partitions.get_mut(&place) else {
                    continue;
                };
                position.told = data.high_watermark;
                if next != position.from {
                    position.from = next;
                    session.changed.insert(place);
                }
            }
        }
        if !asked.is_full {
            self.check_left_out(&session, &open)?;
        }
        if session.id != 0 {
            self.clients[client].session = Some(session);
        }
        Ok(())
    }

    /// What an answer does not tell of is as it was told before.
    fn check_left_out(
        &self,
        session: &Session,
        left_out: &BTreeMap<Place, FetchAsked>,
    ) -> Result<(), String> {
        for ((topic, partition), expected) in left_out {
            let of = &self.model.topics[*topic];
            let is_known = of.version == expected.version && !self.model.may_refuse(*topic, *partition);
            let told = session
                .partitions
                .get(&(*topic, *partition))
                .map_or(i64::MAX, |position| position.told);
            if is_known && told < expected.end_min {
                return Err(format!(
                    "fetch session {}: {}-{partition} ends at {} at least, it was told {told} and now nothing",
                    session.id, of.name, expected.end_min
                ));
            }
        }
        Ok(())
    }

    /// Partitions of the session that are read no more: one that chance takes, and those of topics that are others now.
    fn forget_some(&mut self, session: &mut Session) -> Vec<Place> {
        let topics = &self.model.topics;
        let drawn = match self.prng.one_in(6) && session.partitions.len() > 1 {
            true => session
                .partitions
                .keys()
                .nth(self.prng.index(session.partitions.len()))
                .copied(),
            false => None,
        };
        let is_gone = |place: &Place, position: &Position| {
            topics[place.0].version != position.version || drawn == Some(*place)
        };
        let positions = session.partitions.iter();
        let forgotten: Vec<Place> = positions
            .filter(|(place, position)| is_gone(place, position))
            .map(|(place, _)| *place)
            .collect();
        session.partitions.retain(|place, _| !forgotten.contains(place));
        forgotten
    }

    /// A partition that is read from somewhere on from now on, if there is one to be found that was not just forgotten.
    fn add_one(&mut self, session: &mut Session, forgotten: &[Place]) -> Option<Place> {
        let topic = self.prng.index(self.model.topics.len());
        if self.model.topics[topic].state != TopicState::Live {
            return None;
        }
        let partition = self.prng.index(self.model.topics[topic].partitions.len());
        let place = (topic, partition);
        if session.partitions.contains_key(&place) || forgotten.contains(&place) {
            return None;
        }
        let known = &self.model.topics[topic].partitions[partition];
        let (start, end_min) = (known.start_asked, known.end_min);
        let position = Position {
            version: self.model.topics[topic].version,
            from: self.prng.range(start as u64, end_min as u64 + 1) as i64,
            told: -1,
        };
        session.partitions.insert(place, position);
        Some(place)
    }
}

/// Partitions of one session, beyond which none is added.
const SESSION_PARTITIONS_MAX: usize = 6;
