//! One suite for every ring: what `Ring` promises, held by the real one and by the simulated one alike.

mod suite;

mod on_uring {
    use crate::suite;
    use crate::suite::uring::UringWorld;

    crate::contract!(UringWorld::new());
}

#[cfg(feature = "sim")]
mod on_simulated {
    use crate::suite;
    use crate::suite::simulated::SimulatedWorld;

    crate::contract!(SimulatedWorld::new());
}
