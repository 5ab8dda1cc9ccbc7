//! The states of a group.

/// Where a group of the classic protocol stands.
///
/// ```text
///            a member joins                 all joined, or time is up
///   Empty ────────────────► PreparingRebalance ────────────────► CompletingRebalance
///     ▲                       ▲     │                              │        │
///     │   nobody joined       │     │                  leader syncs│        │ a member comes or goes
///     └───────────────────────┼─────┘                              ▼        │
///     │                       └───────────────────────────────── Stable     │
///     │                       ▲     a member comes or goes                  │
///     ▼                       └─────────────────────────────────────────────┘
///   Dead: deleted, or nothing left to keep
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for the members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Gone: what a group that does not exist is described as.
    Dead,
}

impl GroupState {
    pub const ALL: [GroupState; 5] = [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
    ];

    /// As Kafka shows it.
    pub const fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}
