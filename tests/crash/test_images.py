"""A slice of the search of images.py."""

import pytest
from images import search


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_nothing_acknowledged_is_lost_with_a_device_s_cache(scratch, able, kind):
    tally = search(scratch, images=3, seed=1, kind=kind)
    assert tally["records found and compared"] > 1000
