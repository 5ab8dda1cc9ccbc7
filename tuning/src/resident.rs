//! The memory that this process has in RAM at a moment.

/// Bytes in RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// All: what is ours and what is mapped of files.
    pub total_bytes: u64,
    /// Of that what no file stands behind.
    pub anonymous_bytes: u64,
}

impl Resident {
    /// Of this process; `None` where /proc does not tell.
    pub fn read() -> Option<Resident> {
        crate::probe::host::status().and_then(|text| parse(&text))
    }
}

/// From /proc/PID/status.
fn parse(status: &str) -> Option<Resident> {
    let bytes = |name: &str| -> Option<u64> {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes = value.trim().strip_suffix("kB")?.trim();
        Some(kibibytes.parse::<u64>().ok()? * 1024)
    };
    Some(Resident {
        total_bytes: bytes("VmRSS:")?,
        anonymous_bytes: bytes("RssAnon:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "VmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nRssAnon:\t    4096 kB\nRssFile:\t 1 kB\n";
        let expected = Resident {
            total_bytes: 8 << 20,
            anonymous_bytes: 4 << 20,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("VmRSS: 5 kB"), None);
        let own = Resident::read().unwrap();
        assert!(own.anonymous_bytes > 0 && own.anonymous_bytes <= own.total_bytes);
    }
}
