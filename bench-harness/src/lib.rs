//! millstream-bench.
