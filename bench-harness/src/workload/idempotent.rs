//! Idempotent producers, one for each connection: producer id, epoch and the next sequence of every partition go
//! into each batch that is sent. `BatchPlace` says where the batches of a prebuilt request lie.
//! Invariant: a connection's requests are stamped in the order in which they are sent, so that a partition's
//! sequences go on without a gap.

use std::io;
use std::ops::Range;

use millstream_protocol::record::batch::{BatchView, HEADER_LEN, stamp};
use millstream_protocol::record::crc::crc32c;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence};

use crate::client::admin::Admin;

/// The producers of a run, by connection.
#[derive(Debug)]
pub struct Producers {
    by_connection: Vec<Producer>,
}

#[derive(Debug)]
struct Producer {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// The next one, by partition.
    sequences: Vec<Sequence>,
}

/// A batch within a prebuilt request.
#[derive(Clone, Copy, Debug)]
pub struct BatchPlace {
    partition: usize,
    at: usize,
    len: usize,
    records: i32,
    /// Of the batch's bytes after its header, as it was built.
    pub records_crc: u32,
}

impl BatchPlace {
    /// Where the batch lies in its request's body.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }
}

impl Producers {
    /// Asks the broker for an id for each connection.
    pub fn init(admin: &mut Admin, connections: usize, partitions: usize) -> io::Result<Self> {
        let producer = |_| {
            let (id, epoch) = admin.init_producer_id()?;
            Ok(Producer {
                id,
                epoch,
                sequences: vec![Sequence::new(0); partitions],
            })
        };
        Ok(Self {
            by_connection: (0..connections).map(producer).collect::<io::Result<_>>()?,
        })
    }

    pub fn len(&self) -> usize {
        self.by_connection.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_connection.is_empty()
    }

    /// Makes a batch the next one of this connection's producer. `records_crc` is that of its bytes after the header.
    pub fn stamp(&mut self, connection: usize, batch: &mut [u8], place: &BatchPlace, records_crc: u32) {
        let producer = &mut self.by_connection[connection];
        let sequence = &mut producer.sequences[place.partition];
        stamp(batch, producer.id, producer.epoch, *sequence, records_crc);
        *sequence = sequence.advance(place.records);
    }
}

/// Where the batches of a request lie. Its body ends with them: before each stand its partition and its length,
/// four bytes each.
pub fn places(body: &[u8], partitions: &[(i32, &[u8])]) -> Vec<BatchPlace> {
    let all: usize = partitions.iter().map(|(_, batch)| 8 + batch.len()).sum();
    let mut at = body.len() - all;
    let mut places = Vec::with_capacity(partitions.len());
    for &(partition, batch) in partitions {
        at += 8;
        assert_eq!(
            &body[at..at + batch.len()],
            batch,
            "the batch lies where it should"
        );
        let (view, _) = BatchView::parse(batch).expect("a batch of our own");
        places.push(BatchPlace {
            partition: partition as usize,
            at,
            len: batch.len(),
            records: view.record_count(),
            records_crc: crc32c(&batch[HEADER_LEN..]),
        });
        at += batch.len();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn sequences_go_on_for_each_partition_and_the_checksums_are_right() {
        let batches = [wire::batch(3, 50, 1), wire::batch(3, 50, 2)];
        let partitions = [(4, &batches[0][..]), (1, &batches[1][..])];
        let body = wire::produce_body("t", &partitions, -1);
        let places = places(&body, &partitions);
        let producer = |id| Producer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(7),
            sequences: vec![Sequence::new(0); 5],
        };
        let mut producers = Producers {
            by_connection: vec![producer(10), producer(11)],
        };
        let mut stamps = |connection| {
            let mut stamp = |place: &BatchPlace| {
                let mut batch = body[place.range()].to_vec();
                producers.stamp(connection, &mut batch, place, place.records_crc);
                let (view, _) = BatchView::parse(&batch).unwrap();
                view.verify_crc().unwrap();
                let stamp = view.summary().producer.unwrap();
                (stamp.id.get(), stamp.base_sequence.get())
            };
            places.iter().map(&mut stamp).collect::<Vec<_>>()
        };
        assert_eq!(stamps(0), [(10, 0), (10, 0)]);
        assert_eq!(stamps(0), [(10, 3), (10, 3)]);
        assert_eq!(stamps(1), [(11, 0), (11, 0)]);
    }
}
