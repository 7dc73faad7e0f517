"""The drill can be red: with no synchronous standby, rows are lost that clients were told are safe, and the verdict says how many."""

import re


def test_lost_rows_are_found_and_counted(drill):
    # The standby misses what the leader writes last; the clients do not even wait for the leader's disk.
    drilled = drill("postmaster-killed", drill_timed=False, drill_part_each=1, drill_session="SET synchronous_commit = off")
    assert drilled.run.status != 0
    assert "postmaster-killed/01" in drilled.cycles(), drilled.run.output[-6000:]
    found = re.search(r"(\d+) of (\d+) acknowledged rows lost", drilled.run.output)
    assert found, drilled.run.output[-6000:]
    assert 0 < int(found[1]) < int(found[2])
