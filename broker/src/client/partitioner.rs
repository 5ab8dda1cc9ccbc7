//! Which partition a record goes to, as Kafka's Java client chooses: by the key's murmur2 hash, so that
//! records of one key written by either client lie together; without a key, batch by batch in turn.

#[derive(Debug)]
pub struct Partitioner {
    partitions: u32,
    turn: u32,
}

impl Partitioner {
    /// `partitions`: how many the topic has; at least one.
    pub fn new(partitions: usize) -> Partitioner {
        assert!(partitions > 0, "a topic has a partition");
        Partitioner {
            partitions: u32::try_from(partitions).expect("Kafka counts partitions in 31 bits"),
            turn: 0,
        }
    }

    pub fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        match key {
            // The hash is a signed number there, made positive by clearing its sign.
            Some(key) => ((murmur2(key) & 0x7FFF_FFFF) % self.partitions) as i32,
            None => self.turn as i32,
        }
    }

    /// Records without a key go elsewhere from now on; call it after each batch.
    pub fn next_turn(&mut self) {
        self.turn = (self.turn + 1) % self.partitions;
    }
}

/// Austin Appleby's MurmurHash2 with the seed that Kafka's clients agreed on.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let mut hash: u32 = 0x9747_B28C ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that Kafka's Java client publishes in its own tests, as signed numbers.
    #[test]
    fn hashes_are_those_of_the_java_client() {
        let check = |key: &str, expected: i32| assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check("abc", 479_470_107);
    }

    #[test]
    fn keys_stick_and_the_keyless_take_turns() {
        let mut partitioner = Partitioner::new(3);
        let of_key = partitioner.partition_of(Some(b"k"));
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(partitioner.partition_of(None));
            assert_eq!(partitioner.partition_of(Some(b"k")), of_key);
            partitioner.next_turn();
        }
        assert_eq!(turns, [0, 1, 2, 0]);
        assert!((0..3).contains(&of_key));
    }
}
