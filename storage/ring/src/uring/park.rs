//! Sleeping outside the ring: a host that runs other work waits on an eventfd instead of in `enter`.

use std::os::fd::RawFd;

use super::UringRing;
use super::setup::SetupError;
use crate::op::Completion;
use crate::ring::{Ring, Wait};
use crate::waker::Sleep;

impl UringRing {
    /// The eventfd that becomes readable when something happens after [`UringRing::prepare_park`] said yes. It
    /// blocks when read, as hosts that read it through a ring of their own need it. It may be readable for nothing.
    pub fn park_fd(&self) -> RawFd {
        self.waker.park_fd()
    }

    /// Submits everything and arms the eventfd. True: nothing is there, the host may sleep until `park_fd` is
    /// readable. False: there are completions in `out`, or a wake came in; go on.
    pub fn prepare_park(&mut self, out: &mut Vec<Completion>) -> bool {
        let before = out.len();
        self.ring.completion().enable_eventfd();
        let asleep = self.waker.fall_asleep(Sleep::InHost);
        self.enter(Wait::No, out);
        // Completions may have queued new steps of their own (a close, a retry), which must not wait for the
        // sleep's end.
        self.enter(Wait::No, out);
        let parked = asleep && out.len() == before && self.ring.submission().is_empty();
        if !parked {
            self.unpark();
        }
        parked
    }

    /// The host is awake again. Call it before the next `enter`.
    pub fn unpark(&mut self) {
        self.waker.wake_up();
        self.ring.completion().disable_eventfd();
    }

    pub(super) fn register_park(&mut self) -> Result<(), SetupError> {
        self.ring.submitter().register_eventfd(self.waker.park_fd())?;
        self.ring.completion().disable_eventfd();
        Ok(())
    }
}
