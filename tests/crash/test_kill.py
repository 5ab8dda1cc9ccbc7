"""A slice of the search of kills.py."""

from kills import Search


def test_nothing_acknowledged_is_lost_by_kill_9_and_sigterm(scratch):
    search = Search(scratch, seed=1)
    try:
        tally = search.run(8)
    finally:
        search.end()
    assert tally["records found and compared"] > 1000
    for way in ("SIGTERM", "of them in or just after a start", "of them after SIGTERM"):
        assert tally[way] > 0, way
