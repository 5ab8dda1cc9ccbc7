//! One life of a seed, crashed at every flush boundary that it has: an image at each, started from and looked at whole,
//! while the life itself goes on unharmed.
//!
//! Place: [`crate::run`] collects the images of every turn before clients hear of what the turn did, so what they know
//! then is what a start must keep.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_ring::simulated::{DiskImage, SimWorld};

/// Images of a life, in order; none any more once this is dropped, although the world may go on.
pub struct Boundaries {
    world: SimWorld,
    images: Rc<RefCell<Vec<DiskImage>>>,
}

impl Boundaries {
    /// Takes an image at each boundary of this world from now on.
    pub fn watch(world: &SimWorld) -> Boundaries {
        let images = Rc::new(RefCell::new(Vec::new()));
        let taken = images.clone();
        world.at_boundaries(move |image| taken.borrow_mut().push(image));
        Boundaries {
            world: world.clone(),
            images,
        }
    }

    /// Those taken since the last call.
    pub fn take(&self) -> Vec<DiskImage> {
        self.images.take()
    }
}

impl Drop for Boundaries {
    fn drop(&mut self) {
        self.world.leave_boundaries();
    }
}

/// One seed in so many has such a life: the second one, which begins with what the first one left.
pub const SEEDS: u64 = 53;
pub const LIFE: u64 = 1;
/// Client requests of such a life: each image costs a start and a look.
pub const REQUESTS: u64 = 40;
