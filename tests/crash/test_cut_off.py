"""A file system that is cut off under the broker, as by a power cut: FS_IOC_SHUTDOWN, unmount, mount, start."""

import random
import time

import pytest
from conftest import after_power_returns
from disks import CUTS, Disk
from load import Load

CUTS_A_TEST = 3


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_was_acknowledged_survives_a_file_system_that_is_cut_off(scratch, mounted, kind):
    chance = random.Random(kind)
    disk = Disk(scratch, kind)
    broker = mounted(disk)
    load = Load(broker, "cut", segment_bytes=1 << 20)
    for cut in [CUTS["nothing"]] + chance.sample(list(CUTS.values()), CUTS_A_TEST - 1):
        load.wait_for(300)
        time.sleep(chance.uniform(0, 0.2))
        disk.shut_down(cut)
        time.sleep(0.3)
        assert broker.process.poll() is None, f"it does not outlive its disk: {broker.tail()}"
        assert b"no more appends on this shard" in broker.said()
        after_power_returns(broker, disk)
    load.wait_for(100)
    load.finish()
    after_power_returns(broker, disk)
    load.check()
