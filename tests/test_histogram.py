"""How values are counted by bounds."""

import pytest

from chordme_daemon.histogram import SECONDS, Histogram


def test_a_value_is_in_the_bucket_of_the_first_bound_that_it_does_not_pass() -> None:
    histogram = Histogram()
    for took_s in (0.0, SECONDS[0], 0.0006, 60.0):
        histogram.note(took_s)
    assert histogram.buckets == [2, 1, *[0] * (len(SECONDS) - 2), 1]
    assert histogram.sum == pytest.approx(60.0011)
    assert histogram.count == 4
