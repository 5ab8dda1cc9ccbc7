//! CRC-32C (Castagnoli, RFC 3720), by the processor's own instruction where it has one.

/// The checksum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The checksum of what `crc` covers and then `bytes`.
#[inline]
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// The checksum of two runs of bytes, one after the other, from the checksum of each and the second one's
/// length in bytes. Takes time that grows with the logarithm of the length.
pub fn combine(first: u32, second: u32, second_len: usize) -> u32 {
    ::crc32c::crc32c_combine(first, second, second_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_check_value_however_it_is_split() {
        let bytes = b"123456789";
        assert_eq!(crc32c(bytes), 0xe306_9283);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(extend(crc32c(first), second), crc32c(bytes));
            assert_eq!(
                combine(crc32c(first), crc32c(second), second.len()),
                crc32c(bytes)
            );
        }
    }
}
