//! The states of a group.

/// Where a group of the classic protocol stands.
///
/// ```text
///            a member joins                 all joined, or time is up
///   Empty ────────────────► PreparingRebalance ────────────────► CompletingRebalance
///     ▲                       ▲     │                              │        │
///     │   nobody joined       │     │                  leader syncs│        │ a member comes or goes
///     └───────────────────────┼─────┘                              ▼        │
///                             └───────────────────────────────── Stable     │
///                             ▲     a member comes or goes                  │
///                             └─────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ClassicState {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for the members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

/// What is shown of a group of either protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Of the classic protocol: waiting for the members to join.
    PreparingRebalance,
    /// Of the classic protocol: waiting for the leader's assignment.
    CompletingRebalance,
    /// Of the consumer protocol: its members, or their topics, changed since the last assignment.
    Assigning,
    /// Of the consumer protocol: members move to what they are to have.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
    /// What a group that does not exist is described as.
    Dead,
}

impl GroupState {
    /// As Kafka shows it.
    pub const fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

impl From<ClassicState> for GroupState {
    fn from(state: ClassicState) -> Self {
        match state {
            ClassicState::Empty => GroupState::Empty,
            ClassicState::PreparingRebalance => GroupState::PreparingRebalance,
            ClassicState::CompletingRebalance => GroupState::CompletingRebalance,
            ClassicState::Stable => GroupState::Stable,
        }
    }
}
