//! Starts from an image beside the run that it was taken from, which goes on unharmed, and holds what comes of it
//! against what clients know and against itself: recovery once, and recovery crashed on its way and begun again, give
//! the same.

use std::time::Duration;

use millstream_fuzz::memory::measure;
use millstream_ring::simulated::{DiskImage, PowerCut, SimWorld};

use crate::checker::{Checker, Found};
use crate::durable;
use crate::eyes::Eyes;
use crate::machine::Machine;
use crate::prng::Prng;
use crate::swarm::Trouble;
use crate::workload::Workload;

/// See the module's page.
pub struct Aside<'a> {
    pub work: &'a Workload,
    /// Of the machine that the image was taken from, in ms.
    pub wall: i64,
    pub prng: Prng,
    /// Told of what is worth a mark.
    pub eyes: &'a Eyes,
}

impl Aside<'_> {
    /// A start, and all that it serves.
    pub fn look(&mut self, image: &DiskImage) -> Result<(), String> {
        let (mut machine, _) = self.start(image)?;
        let first = self.verify(&mut machine)?;
        if self.prng.one_in(8) && !self.work.model.hurt {
            let again = self.interrupted(image)?;
            let (mut machine, _) = self.start(&again)?;
            let second = self.verify(&mut machine)?;
            self.same_served(&first, &second)?;
        }
        Ok(())
    }

    /// What starts leave on the disk: one that nothing disturbs, and one after others that were crashed.
    pub fn recover_twice(&mut self, image: &DiskImage) -> Result<(), String> {
        let (machine, world) = self.start(image)?;
        let once = durable::partitions(&world.crash(self.prng.next()));
        drop(machine);
        let again = self.interrupted(image)?;
        let (machine, world) = self.start(&again)?;
        let twice = durable::partitions(&world.crash(self.prng.next()));
        drop(machine);
        let (Some(once), Some(twice)) = (once, twice) else {
            return Ok(());
        };
        self.eyes.mark("recovery crashed, and the same found as without");
        let keys = once.keys().chain(twice.keys());
        let mut pairs = keys.map(|key| (key, once.get(key), twice.get(key)));
        match pairs.find(|(_, once, twice)| once != twice) {
            None => Ok(()),
            Some((key, once, twice)) => Err(format!(
                "partition {key}: recovered once {once:?}, after a crash of recovery {twice:?}"
            )),
        }
    }

    pub fn check_sidecars(&self, image: &DiskImage) -> Result<(), String> {
        if durable::check_sidecars(image)? > 0 {
            self.eyes.mark("sidecar index held against its segment");
        }
        Ok(())
    }

    /// The disk after starts that the power cut short, at places that chance gives.
    fn interrupted(&mut self, image: &DiskImage) -> Result<DiskImage, String> {
        let mut image = image.clone();
        for _ in 0..self.prng.range(1, 3) {
            let world = self.world(&image);
            world.cut_power_at(match self.prng.one_in(3) {
                true => PowerCut::AtEvent(self.prng.range(0, 1_000)),
                false => PowerCut::AtBoundary(self.prng.range(0, 30)),
            });
            match Machine::start(&world, &self.work.swarm.build, self.prng.next()) {
                Err(error) if !world.is_off() => return Err(format!("the directory does not open: {error}")),
                _ => image = world.crash(self.prng.next()),
            }
        }
        Ok(image)
    }

    fn world(&mut self, image: &DiskImage) -> SimWorld {
        let world = SimWorld::restart(image, self.prng.next(), self.work.swarm.disk.clone());
        world.set_capacity(u64::MAX / 2);
        world
    }

    /// Within its bounds, and with nothing to report that no device error explains.
    fn start(&mut self, image: &DiskImage) -> Result<(Machine, SimWorld), String> {
        let (world, eyes) = (self.world(image), Eyes::default());
        eyes.watch(&world, u64::MAX);
        let mut build = self.work.swarm.build.clone();
        build.wall = self.wall + 10;
        let seed = self.prng.next();
        let (machine, memory) = measure(|| Machine::start(&world, &build, seed));
        let machine = machine.map_err(|error| format!("the directory does not open: {error}"))?;
        let unexpected = |line: &&String| !self.work.model.hurt && !line.contains("is cut at");
        if let Some(line) = machine.report.iter().find(unexpected) {
            return Err(format!("nothing failed, and the start says: {line}"));
        }
        let bounds = durable::Bounds::of(image, &build);
        let (read, took) = (eyes.bytes_read(), world.now());
        let latency = *self.work.swarm.disk.disk_latency.end();
        let is_slow = self.work.swarm.trouble == Trouble::SlowDevice && took > bounds.time(latency);
        if read > bounds.read || memory as u64 > bounds.memory || took > bounds.time(latency) && !is_slow {
            return Err(format!(
                "a start read {read} bytes, took {memory} bytes of memory and {took:?}: more than {bounds:?}"
            ));
        }
        Ok((machine, world))
    }

    fn verify(&mut self, machine: &mut Machine) -> Result<Vec<Found>, String> {
        let (mut model, waits) = (self.work.model.clone(), self.work.waiting());
        let eyes = Eyes::default();
        let mut checker = Checker::new(machine, &mut model, &eyes, &mut self.prng);
        checker.verify(|batch| waits.contains(&batch))
    }

    fn same_served(&self, first: &[Found], second: &[Found]) -> Result<(), String> {
        // Retention goes on between two looks.
        let retains = |found: &Found| self.work.model.topics[found.topic].retained_min.is_some();
        let same = |first: &Found, second: &Found| match retains(first) {
            true => first.end == second.end,
            false => first == second,
        };
        match first
            .iter()
            .zip(second)
            .find(|(first, second)| !same(first, second))
        {
            _ if first.len() != second.len() => Err("recovered twice, there are other partitions".into()),
            Some((first, second)) => Err(format!("recovered twice: {first:?}, then {second:?}")),
            None => Ok(()),
        }
    }
}

/// So many operations one after the other that a start is not worth a bound.
pub const OPERATIONS_MIN: u32 = 400;

impl durable::Bounds {
    /// As if no two operations of a start overlapped.
    fn time(&self, latency: Duration) -> Duration {
        2 * latency * (OPERATIONS_MIN + self.operations)
    }
}
