"""A slice of the search of images.py, and whether it finds what it is there for."""

import pytest
from confluent_kafka import KafkaException
from images import Forgetful, Life


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_nothing_acknowledged_is_lost_with_a_device_s_cache_and_a_flush_that_is_none_is_found(scratch, able, kind):
    life = Life(scratch, seed=1, kind=kind)
    tally = life.search(images=3)
    assert tally["records found and compared"] > 1000
    if kind == "ext4":
        with pytest.raises((AssertionError, KafkaException), match="was acknowledged|ready|damage|fenced|STORAGE_ERROR"):
            life.search(images=40, maker=Forgetful)
