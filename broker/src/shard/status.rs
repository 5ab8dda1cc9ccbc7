//! One line about what a shard holds, for whoever asks (SIGUSR1).

use millstream_ring::Ring;

use super::state::Shard;

impl Shard {
    /// Logs the line. Walks all partitions and connections: for a person's question.
    pub(super) fn tell_status(&self, ring: &impl Ring) {
        let storage = self.partitions.logs.status();
        let buffers = ring.receive_buffers();
        let connections = || {
            let keys = self.connections.keys();
            keys.filter_map(|key| self.connections.get(key))
        };
        let requests_parked = connections().filter(|connection| connection.waiting_call.is_some());
        tracing::info!(
            shard = self.id.0,
            connections = self.connections.len(),
            requests_parked = requests_parked.count(),
            groups_bytes = self.coordinators.state_bytes(),
            partitions_led = self.partitions.keys().count(),
            partitions_open = storage.partitions,
            segments_open = storage.open_segments,
            cache_held_bytes = storage.cache_held,
            cache_reserved_bytes = storage.cache_reserved,
            cache_limit_bytes = storage.cache_limit,
            requests_bytes = self.budget.used(),
            receive_buffers_leased = buffers.leased,
            receive_buffers = buffers.total,
            dirty_bytes = storage.dirty,
            journal_live_bytes = storage.journal_live,
            journal_bytes = storage.journal_size,
            round_lasts_ms = self.partitions.logs.round_lasts(self.now.monotonic).as_millis(),
            others_last_ms = self.partitions.logs.others_last(self.now.monotonic).as_millis(),
            requests = self.counters.requests,
            under_way = self.partitions.logs.describe(),
            "status of a shard"
        );
    }
}
