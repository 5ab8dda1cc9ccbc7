//! A run on a device that lies: what is done to its disk, and what a start on it may refuse.

use std::path::Path;

use millstream_log::layout;
use millstream_ring::simulated::{DiskImage, Meddling, OpKind, SimWorld};

use super::Run;
use crate::eyes::{Armed, ArmedMeddling};
use crate::machine::{DIR, Machine};
use crate::media::{Concerned, Place, forgive, rot};
use crate::swarm::Trouble;

impl Run {
    /// One of the next writes will not be what the device says that it is.
    pub(super) fn arm_lie(&mut self) {
        let kinds = [Meddling::Lost, Meddling::Misdirected, Meddling::Spoilt];
        let places = [
            Place::Journal,
            Place::Checkpoint,
            Place::Segment,
            Place::Segment,
            Place::Segment,
            Place::Sidecar,
            Place::Metadata,
        ];
        self.eyes.arm_meddling(Some(ArmedMeddling {
            what: kinds[self.prng.index(kinds.len())],
            place: places[self.prng.index(places.len())],
            after: self.prng.range(0, 8),
        }));
    }

    /// One of the next transfers stops in the middle, or a file finds no descriptor.
    pub(super) fn arm_shortage(&mut self) {
        let places = [Place::Segment, Place::Sidecar, Place::Metadata];
        if self.prng.one_in(3) {
            return self.eyes.arm(Some(Armed {
                kind: OpKind::Open,
                place: places[self.prng.index(places.len())],
                errno: EMFILE,
                after: self.prng.range(0, 6),
            }));
        }
        let places = [Place::Segment, Place::Segment, Place::Journal, Place::Metadata];
        self.eyes.arm_meddling(Some(ArmedMeddling {
            what: Meddling::Short,
            place: places[self.prng.index(places.len())],
            after: self.prng.range(0, 40),
        }));
    }

    /// One of the next start's files finds no descriptor.
    pub(super) fn starve_start(&mut self) {
        if self.work.swarm.trouble != Trouble::Shortage || !self.prng.one_in(3) {
            return;
        }
        let places = [
            Place::Journal,
            Place::Checkpoint,
            Place::Metadata,
            Place::Segment,
            Place::Sidecar,
        ];
        self.eyes.arm(Some(Armed {
            kind: OpKind::Open,
            place: places[self.prng.index(places.len())],
            errno: EMFILE,
            after: self.prng.range(0, 6),
        }));
    }

    /// What the device has done by now concerns these partitions.
    pub(super) fn note_lies(&mut self, world: &SimWorld) {
        if !self.count_lies() {
            return;
        }
        let concerned = Concerned::by(&world.lies(), |path| world.truth(path, 0, 4096));
        self.work.model.touched.extend(concerned.partitions());
    }

    /// Changes bytes of a disk without power, and notes what a start may find wrong with it.
    pub(super) fn spoil(&mut self, image: &mut DiskImage) {
        if self.work.swarm.trouble != Trouble::Media {
            return;
        }
        self.count_lies();
        self.judged = false;
        if self.prng.one_in(2) && rot(image, &mut self.prng) {
            self.eyes.mark("bytes changed at rest");
            self.lies += 1;
        }
        self.judge_lies(image);
    }

    /// Takes back the lies that nothing gives away, and notes whom the others concern. A power cut may bring one back
    /// that a write had hidden, with what the write was to take the place of.
    pub(super) fn judge_lies(&mut self, image: &mut DiskImage) {
        if self.lies > 0 {
            forgive(image);
            self.note_concerned(image);
        }
    }

    /// Whether there are new ones.
    fn count_lies(&mut self) -> bool {
        let new = self.eyes.lies() - self.lies_seen;
        self.lies += new;
        self.lies_seen += new;
        new > 0
    }

    fn note_concerned(&mut self, image: &DiskImage) {
        let concerned = Concerned::by(&image.lies(), |path| {
            let mut bytes = image.truth(path)?;
            bytes.truncate(4096);
            Some(bytes)
        });
        let model = &mut self.work.model;
        model.sound = match (model.sound.take(), concerned.held_by_others(image)) {
            (Some(before), Some(now)) if self.judged => Some(before.intersection(&now).copied().collect()),
            (Some(before), None) if self.judged => Some(before),
            (_, now) => now,
        };
        model.touched.extend(concerned.partitions());
        self.may_refuse = concerned.may_refuse();
    }

    /// What a start says that it put aside is there.
    pub(super) fn check_put_aside(&self, machine: &Machine) -> Result<(), String> {
        for line in &machine.report {
            let Some(words) = line.strip_prefix("segment file ") else {
                continue;
            };
            let path = Path::new(words.split(' ').next().unwrap_or_default());
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let aside = Path::new(DIR).join(layout::QUARANTINE).join(name);
            if machine.world.image().size(&aside).is_none() {
                return Err(format!("the start says: {line}; and there is no such file"));
            }
            self.eyes.mark("segment file put aside");
        }
        Ok(())
    }

    /// A start refused what the device did to the directory. Once everything is as it should be, nothing is lost: the
    /// refusal did no harm. What an earlier start has taken out of service stays so.
    pub(super) fn put_right(&mut self, world: SimWorld, error: String) -> Result<Machine, String> {
        if self.work.swarm.trouble == Trouble::Shortage && self.eyes.starved() > self.starved {
            self.eyes.mark("start refused for want of a descriptor");
            return self.start(&world);
        }
        if !self.may_refuse {
            return Err(error);
        }
        self.eyes.mark("start refused for what the device did");
        let mut image = world.image();
        image.lies().iter().for_each(|lie| image.heal(lie));
        self.may_refuse = false;
        if !self.judged {
            self.work.model.sound = None;
        }
        let world = SimWorld::restart(&image, self.prng.next(), self.work.swarm.disk.clone());
        self.watch(&world);
        match self.start(&world) {
            Ok(machine) => Ok(machine),
            Err(again) => Err(format!(
                "a start was refused ({error}), everything was put right, and it is refused: {again}"
            )),
        }
    }
}

/// As the ring's errors name it.
const EMFILE: i32 = 24;
