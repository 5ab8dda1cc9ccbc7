//! The few Kafka messages that a load needs, as bytes.
//! Invariant: a body starts right after the correlation id, and an answer is judged from there on too.

use crate::recorder::Work;

pub const PRODUCE_KEY: i16 = 0;
pub const PRODUCE_VERSION: i16 = 7;

/// A batch of `records` records with values of `record_bytes` bytes, distinct for each `seed`.
pub fn batch(records: usize, record_bytes: usize, seed: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let mut noise = Noise::new(seed);
    for delta in 0..records {
        let mut record = vec![0u8];
        varint(&mut record, 0);
        varint(&mut record, delta as i64);
        varint(&mut record, -1);
        varint(&mut record, record_bytes as i64);
        let at = record.len();
        record.resize(at + record_bytes, 0);
        noise.fill(&mut record[at..]);
        varint(&mut record, 0);
        varint(&mut body, record.len() as i64);
        body.extend_from_slice(&record);
    }
    let mut tail = Vec::with_capacity(body.len() + 40);
    tail.extend_from_slice(&0i16.to_be_bytes());
    tail.extend_from_slice(&(records as i32 - 1).to_be_bytes());
    tail.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
    tail.extend_from_slice(&1_700_000_000_000i64.to_be_bytes());
    tail.extend_from_slice(&(-1i64).to_be_bytes());
    tail.extend_from_slice(&(-1i16).to_be_bytes());
    tail.extend_from_slice(&(-1i32).to_be_bytes());
    tail.extend_from_slice(&(records as i32).to_be_bytes());
    tail.extend_from_slice(&body);
    let mut batch = Vec::with_capacity(tail.len() + 21);
    batch.extend_from_slice(&0i64.to_be_bytes());
    batch.extend_from_slice(&(tail.len() as i32 + 9).to_be_bytes());
    batch.extend_from_slice(&(-1i32).to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c::crc32c(&tail).to_be_bytes());
    batch.extend_from_slice(&tail);
    batch
}

/// A Produce request for one topic, a batch for each partition named.
pub fn produce_body(topic: &str, batches: &[(i32, &[u8])], acks: i16) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, "millstream-bench");
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&acks.to_be_bytes());
    body.extend_from_slice(&30_000i32.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    string(&mut body, topic);
    body.extend_from_slice(&(batches.len() as i32).to_be_bytes());
    for (index, bytes) in batches {
        body.extend_from_slice(&index.to_be_bytes());
        body.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        body.extend_from_slice(bytes);
    }
    body
}

/// Whether every partition of a Produce answer was accepted.
pub fn check_produce(payload: &[u8]) -> Result<(), String> {
    let mut cursor = Cursor(payload);
    for _ in 0..cursor.i32()? {
        let name = cursor.i16()?;
        cursor.take(name as usize)?;
        for _ in 0..cursor.i32()? {
            let index = cursor.i32()?;
            let error = cursor.i16()?;
            if error != 0 {
                return Err(format!("partition {index}: error {error}"));
            }
            cursor.take(24)?;
        }
    }
    Ok(())
}

/// Visit the records of every partition of a Produce request (a frame without its length prefix), then append the answer's
/// frame to `answer`.
pub fn serve_produce(
    frame: &[u8],
    answer: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Work, String> {
    let mut cursor = Cursor(frame);
    let (key, version) = (cursor.i16()?, cursor.i16()?);
    if (key, version) != (PRODUCE_KEY, PRODUCE_VERSION) {
        return Err(format!("request {key} version {version}"));
    }
    let start = answer.len();
    answer.extend_from_slice(&[0; 4]);
    answer.extend_from_slice(cursor.take(4)?);
    let client = cursor.i16()?;
    cursor.take(client as usize)?;
    cursor.take(8)?;
    let topics = cursor.take(4)?;
    answer.extend_from_slice(topics);
    let mut work = Work::default();
    for _ in 0..i32::from_be_bytes(topics.try_into().unwrap()) {
        let name = cursor.take(2)?;
        answer.extend_from_slice(name);
        answer.extend_from_slice(cursor.take(u16::from_be_bytes(name.try_into().unwrap()).into())?);
        let partitions = cursor.take(4)?;
        answer.extend_from_slice(partitions);
        for _ in 0..i32::from_be_bytes(partitions.try_into().unwrap()) {
            answer.extend_from_slice(cursor.take(4)?);
            answer.extend_from_slice(&[0; 2 + 8]);
            answer.extend_from_slice(&[0xff; 8]);
            answer.extend_from_slice(&[0; 8]);
            let length = cursor.i32()?;
            let records = cursor.take(length as usize)?;
            work.bytes += records.len() as u64;
            visit(records)?;
        }
    }
    answer.extend_from_slice(&[0; 4]);
    let length = (answer.len() - start - 4) as i32;
    answer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(work)
}

/// Whether the CRC-32C of every batch is right.
pub fn check_batches(mut records: &[u8]) -> Result<(), String> {
    while !records.is_empty() {
        let mut cursor = Cursor(records);
        cursor.take(8)?;
        let length = cursor.i32()?;
        cursor.take(5)?;
        let crc = cursor.i32()?.cast_unsigned();
        let covered = cursor.take((length - 9) as usize)?;
        if crc32c::crc32c(covered) != crc {
            return Err("a batch with a wrong CRC".into());
        }
        records = cursor.0;
    }
    Ok(())
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("a short message")?;
        self.0 = rest;
        Ok(head)
    }

    fn i16(&mut self) -> Result<i16, String> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into().unwrap()))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().unwrap()))
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as i16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Cheap bytes that do not repeat (SplitMix64).
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Noise(seed)
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
