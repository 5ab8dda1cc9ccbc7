//! One life of a seed, crashed at every flush boundary that it has: an image at each, started from and looked at whole,
//! while the life itself goes on unharmed.
//!
//! Place: [`crate::run`] collects the images of every turn before clients hear of what the turn did, so what they know
//! then is what a start must keep.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_ring::simulated::{DiskImage, SimWorld};

/// Images of a life, in order.
#[derive(Clone, Default)]
pub struct Boundaries(Rc<RefCell<Vec<DiskImage>>>);

impl Boundaries {
    /// Takes an image at each boundary of this world from now on.
    pub fn watch(world: &SimWorld) -> Boundaries {
        let boundaries = Boundaries::default();
        let images = boundaries.clone();
        world.at_boundaries(move |image| images.0.borrow_mut().push(image));
        boundaries
    }

    /// Those taken since the last call.
    pub fn take(&self) -> Vec<DiskImage> {
        self.0.take()
    }
}

/// One seed in so many has such a life: the second one, which begins with what the first one left.
pub const SEEDS: u64 = 53;
pub const LIFE: u64 = 1;
/// Client requests of such a life: each image costs a start and a look.
pub const REQUESTS: u64 = 40;
