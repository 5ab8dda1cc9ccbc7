//! millstream-machine.
