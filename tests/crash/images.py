"""What a power cut may leave on a device: images made of the log of its writes and flushes (blklogwrites, in the format
of dm-log-writes), and the search over them.

    tests/crash/run images [IMAGES] [SEED]

It writes its section of docs/crashes.md. A flush makes durable what was written before it. An image holds all of that, and of what was written since any part:
some writes, some not, some torn between sectors. What was acknowledged before the cut must be there.
"""

import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter

import page
from conftest import on
from disks import Device, Disk, missing, run
from load import Load

SECTOR = 512
SUPER = struct.Struct("<QQQI")
MAGIC = 0x6A736677736872
ENTRY = struct.Struct("<QQQQ")
FLUSH, DISCARD = 1, 4
LOAD_SECONDS = 4
IMAGES_A_LIFE = 25


class WriteLog:
    """The entries of a log, each with the size that the log had when it was whole."""

    def __init__(self, path):
        self.file = open(path, "rb")
        magic, _, _, sector = SUPER.unpack_from(self.file.read(SECTOR))
        assert magic == MAGIC and sector == SECTOR, (hex(magic), sector)
        self.entries, at, end = [], SECTOR, os.path.getsize(path)
        while at + SECTOR <= end:
            self.file.seek(at)
            first, count, flags, _ = ENTRY.unpack(self.file.read(ENTRY.size))
            data = at + SECTOR
            at = data + (0 if flags & DISCARD else count * SECTOR)
            self.entries.append((first, count, flags, data, at))

    def write(self, entry, image, chosen=None):
        """Writes an entry into an image: all of it, or the sectors `chosen`."""
        first, count, flags, data, _ = entry
        image.seek(first * SECTOR)
        if flags & DISCARD:
            image.write(bytes(count * SECTOR))
            return
        self.file.seek(data)
        bytes_ = self.file.read(count * SECTOR)
        if chosen is None:
            image.write(bytes_)
            return
        for sector in chosen:
            image.seek((first + sector) * SECTOR)
            image.write(bytes_[sector * SECTOR:(sector + 1) * SECTOR])


class Images:
    """Images of one log, in the order of their cuts."""

    def __init__(self, start, log, chance):
        self.log, self.chance = log, chance
        # The device as it was before the log, and then with all that is durable at the last cut.
        self.durable, self.done = start, 0

    def make(self, cut, path):
        """The device after a power cut before entry `cut`; returns how many writes were in doubt."""
        flushes = self.flushes(cut)
        last = flushes[-1] if flushes else self.done
        with open(self.durable, "r+b") as durable:
            for entry in self.log.entries[self.done:last]:
                self.log.write(entry, durable)
        self.done = last
        run("cp", "--sparse=always", self.durable, path)
        doubtful = self.log.entries[last:cut]
        with open(path, "r+b") as image:
            for entry in doubtful:
                fate = self.chance.random()
                if fate < 0.5:
                    self.log.write(entry, image)
                elif fate < 0.75 and not entry[2] & DISCARD:
                    self.log.write(entry, image, [sector for sector in range(entry[1]) if self.chance.random() < 0.5])
        return len(doubtful)

    def flushes(self, cut):
        """Those between the last cut and this one that count."""
        return [number for number in range(self.done, cut) if self.log.entries[number][2] & FLUSH]


class Forgetful(Images):
    """Of a device whose last flushes before the cut made nothing durable, although it said so. Three: what the last one
    was for may not be acknowledged yet."""

    def flushes(self, cut):
        return super().flushes(cut)[:-3]


class Life:
    """A life under load on a device that logs."""

    def __init__(self, scratch, seed, kind="ext4"):
        self.scratch, self.kind, self.chance, self.tally = scratch, kind, random.Random(seed), Counter()
        self.start = os.path.join(scratch, "start.img")
        device = Device(scratch, kind, log=True)
        try:
            device.mount()
            broker = on(device, scratch, self.chance.choice("12"))
            broker.start()
            broker.stop()
            device.unmount()
            run("cp", "--sparse=always", device.image, self.start)
            device.mount()
            broker.start()
            self.load = Load(broker, "cut", segment_bytes=1 << 20, clock=lambda: os.path.getsize(device.log))
            self.load.wait_for(100)
            begun = os.path.getsize(device.log)
            time.sleep(LOAD_SECONDS)
            self.load.finish()
            broker.kill()
        finally:
            device.end()
        self.log = WriteLog(device.log)
        entries = self.log.entries
        self.first = next(number for number, entry in enumerate(entries) if entry[4] > begun)
        self.flushes = [number + 1 for number in range(self.first, len(entries)) if entries[number][2] & FLUSH]
        self.tally.update({"writes": len(entries), "flushes": len(self.flushes),
                           "records acknowledged": self.load.acknowledged})

    def search(self, images, maker=Images, say=lambda line: None):
        """Starts a broker on images of it, and holds what is there against what was acknowledged."""
        image, durable = (os.path.join(self.scratch, name) for name in ("cut.img", "durable.img"))
        run("cp", "--sparse=always", self.start, durable)
        # Half of them at a flush.
        cuts = self.chance.choices(self.flushes, k=images // 2)
        cuts += self.chance.choices(range(self.first, len(self.log.entries)), k=images - images // 2)
        made = maker(durable, self.log, self.chance)
        for cut in sorted(cuts):
            self.tally["writes in doubt"] += made.make(cut, image)
            disk = Disk(self.scratch, self.kind, image=image).mount()
            broker = on(disk, self.scratch, "2")
            try:
                broker.start()
                self.tally["records found and compared"] += self.load.check(broker, by=self.log.entries[cut - 1][4])
                assert b"damage" not in broker.said() and b"fenced" not in broker.said(), broker.tail()
            finally:
                broker.end()
                disk.end()
            self.tally["images"] += 1
            say(f"{self.tally['images']} images")
        return self.tally


def main(images=200, seed=None):
    seed = int(seed) if seed else random.SystemRandom().randrange(1 << 32)
    lacking = missing()
    assert not lacking, f"this mounts file systems of its own, and here is no {', '.join(lacking)}"
    command = f"tests/crash/run images {images} {seed}"
    print(command, flush=True)
    tally = Counter()
    while tally["images"] < int(images):
        kind = ("ext4", "xfs")[tally["lives"] % 2]
        with tempfile.TemporaryDirectory(prefix="millstream-images-", dir=os.environ.get("MILLSTREAM_SCRATCH")) as scratch:
            count = min(IMAGES_A_LIFE, int(images) - tally["images"])
            print(f"{kind}, seed {seed + tally['lives']}", flush=True)
            tally += Life(scratch, seed + tally["lives"], kind).search(count)
        tally["lives"] += 1
        print(", ".join(f"{count} {name}" for name, count in tally.items()), flush=True)
    page.write("power cuts of a device that loses its cache", command,
               [*tally.items(), ("acknowledged records lost, changed or there twice", 0)])
    print("passed: nothing acknowledged lost, nothing changed, nothing twice")


if __name__ == "__main__":
    main(*sys.argv[1:])
