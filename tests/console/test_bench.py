"""The arithmetic of `make bench`, and what it refuses before it makes anything."""

from contextlib import contextmanager

import pytest

from local import bench, bench_backup, bench_host
from local.say import Refusal

MIB = 2**20
# As pgbench --log --rate with two scripts writes it: client, number, microseconds, script, end, its microseconds, lag.
LOG = """\
0 1 4000 0 1000 500000 12
1 1 9000 1 1000 600000 1000
0 2 2000 1 1001 250000 500
1 2 7000 1 1002 0 0
"""
SUMMARY = """\
number of transactions actually processed: 54012
latency average = 8.9 ms
initial connection time = 30.1 ms
tps = 900.234567 (without initial connection time)
"""


def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed():
    hundred = [float(it) for it in range(100, 0, -1)]
    assert bench_host.quantile(hundred, 0.99) == 99
    assert bench_host.quantile(hundred, 0.5) == 50
    assert bench_host.quantile([7.0], 0.99) == 7
    with pytest.raises(SystemExit, match="Nothing was committed"):
        bench_host.quantile([], 0.99)


def test_only_commits_of_that_time_are_counted():
    assert bench_host.logged(LOG.splitlines(), 0, 2000) == [(0.008, 0.009), (0.0015, 0.002), (0.007, 0.007)]
    assert bench_host.logged(LOG.splitlines(), 1000.7, 1001.5) == [(0.0015, 0.002)]


def test_the_rate_is_the_one_of_the_summary():
    assert bench_host.rate(SUMMARY) == 900.234567


def test_each_stream_gets_its_part_of_the_bytes():
    lists = bench_host.dealt({"a": 1000, "b": 1000, "c": 600, "d": 300, "e": 300}, 2)
    assert sorted(name for names in lists for name in names) == ["a", "b", "c", "d", "e"]
    assert [sum({"a": 1000, "b": 1000, "c": 600, "d": 300, "e": 300}[it] for it in names) for names in lists] == [1600, 1600]


def test_memory_is_what_a_process_holds_for_itself():
    assert bench_host.anonymous("Name:\tpgbackrest\nVmRSS:\t   9000 kB\nRssAnon:\t    2048 kB\nRssFile:\t 6952 kB\n") == 2 * MIB
    assert bench_host.anonymous("Name:\tkthreadd\n") == 0


def test_what_something_that_runs_holds_is_seen():
    assert bench_host.memory("no-such-program") == 0
    mine = bench_host.Path("/proc/self/comm").read_text().strip()
    assert bench_host.memory(mine) > MIB


def test_segments_by_second_are_those_until_the_load_ended(monkeypatch):
    # Before, when the load ends, once more, drained: archived so far, and waiting.
    answers = iter([(10, 0), (40, 5), (42, 3), (45, 0)])
    clock = iter([100.0, 130.0, 131.0, 134.0])
    monkeypatch.setattr(bench_host, "archiving", lambda: next(answers))
    monkeypatch.setattr(bench_host.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(bench_host.time, "sleep", lambda _: None)
    found = bench_host.archived_while(lambda: None)
    assert found == {"seconds": 30.0, "segments": 30, "waiting": 5, "drained": 4.0}
    assert bench_backup.archived(found) == ("1.00 segments/s for 30 s", "5 waited at the end, the last for 4.0 s")


def test_what_is_never_archived_ends_the_measure(monkeypatch):
    monkeypatch.setattr(bench_host, "archiving", lambda: (0, 2))
    monkeypatch.setattr(bench_host, "PATIENCE", -1)
    with pytest.raises(SystemExit, match="2 segments still wait"):
        bench_host.archived_while(lambda: None)


def test_figures_have_their_units():
    assert bench_backup.speed(4.0, 2048 * MIB) == "4.0 s, 512 MiB/s"
    assert bench_backup.milliseconds([0.0123, 0.0071, 0.02]) == "12.3 ms (7.1 to 20.0)"
    assert bench_backup.peak({"memory": 60 * MIB}).endswith("at most 60 MiB")


@pytest.mark.parametrize(("processors", "own", "others"), [(1, "0", "0"), (2, "0", "1"), (3, "0", "1,2"), (8, "0,1,2,3", "4,5,6,7")])
def test_a_host_has_half_of_the_processors_for_itself(processors, own, others):
    assert bench_backup.halves(processors) == (own, others)


def test_memory_that_programs_can_have():
    assert bench_backup.available("MemTotal:       24 kB\nMemFree:        1 kB\nMemAvailable:    2048 kB\n") == 2 * MIB


@pytest.mark.parametrize(("part", "megabytes"), [("restore", ""), ("backup", "2G"), ("backup", "0"), ("", "-1")])
def test_what_cannot_be_measured_is_refused(part, megabytes):
    with pytest.raises(Refusal, match="cannot be measured"):
        bench.bench(part, megabytes)


def test_a_cluster_of_its_name_is_left_alone(monkeypatch):
    class Engine:
        def __init__(self):
            self.containers = self

        def list(self, all, filters):
            assert all and filters == {"label": "elephant.cluster=local-bench"}
            return ["a container"]

    monkeypatch.setattr(bench.engine, "provide", Engine)
    monkeypatch.setattr(bench, "down", lambda _: pytest.fail("it is not ours"))
    with pytest.raises(Refusal, match="make down CLUSTER=local-bench"):
        bench.bench()


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt, SystemExit, Refusal])
def test_whatever_ends_it_the_cluster_goes(monkeypatch, ended_by):
    gone = []

    @contextmanager
    def memory(cluster, megabytes):
        try:
            yield True
        finally:
            assert gone == [bench.CLUSTER], "its data goes after the cluster"

    def figures(cluster, megabytes, in_memory):
        assert megabytes == 300 and in_memory
        raise ended_by("in the middle")

    monkeypatch.setenv("ELEPHANT_HOME", "set back after the test")
    monkeypatch.setattr(bench, "_refuse_another", lambda: None)
    monkeypatch.setattr(bench, "_warm", lambda _: None)
    monkeypatch.setattr(bench, "down", gone.append)
    monkeypatch.setattr(bench.bench_backup, "figures", figures)
    monkeypatch.setattr(bench.bench_backup, "storage_in_memory", memory)
    with pytest.raises(ended_by):
        bench.bench("backup", "300")
    assert gone == [bench.CLUSTER]
