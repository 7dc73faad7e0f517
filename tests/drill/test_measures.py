"""The measures one by one, on whatever history hypothesis thinks of."""

import math
from itertools import pairwise

import pytest
from ansible_collections.elephant.ha.plugins.module_utils.drill import chance, outage, reigns, rows
from ansible_collections.elephant.ha.plugins.module_utils.drill.history import Attempt, Sample
from hypothesis import given
from hypothesis import strategies as st

outcomes = st.lists(st.sampled_from(["ok", "failed", "unknown"]), min_size=1, max_size=30)
counts = st.lists(st.integers(0, 3), min_size=30, max_size=30)


def attempts(names: list[str]) -> list[Attempt]:
    return [Attempt("any-0", number, number, number + 0.5, name, None, "db-1", 1) for number, name in enumerate(names)]


def acknowledgement(timeline: int, server: str, started: float, ended: float) -> Attempt:
    return Attempt("any-0", 0, started, ended, "ok", None, server, timeline)


@given(outcomes, counts, counts)
def test_every_row_is_accounted_for(names, after, again):
    found = rows.compare(
        attempts(names), {("any-0", n): count for n, count in enumerate(after)}, {("any-0", n): count for n, count in enumerate(again)}
    )
    told = dict(enumerate(names))
    there = {n for n in range(30) if after[n] or again[n]}
    always = {n for n in range(30) if after[n] and again[n]}
    assert {n for _, n in found.lost} == {n for n, name in told.items() if name == "ok"} - always
    assert {n for _, n in found.unexpected} == {n for n in there if told.get(n, "failed") == "failed"}
    assert {n for _, n in found.vanished} == {n for n, name in told.items() if name == "unknown" and after[n] and not again[n]}
    assert found.duplicated == sum(max(after[n], again[n], 1) - 1 for n in range(30))


@given(st.lists(st.floats(0, 100), min_size=4, max_size=40, unique=True), st.floats(0, 100))
def test_the_outage_is_the_longest_pause_around_the_fault(times, injected):
    times.sort()
    found = outage.longest(times, injected, injected, until=200)
    if sum(1 for it in times if it <= injected) < 3 or times[-1] <= injected:
        assert found is None
    else:
        pauses = [later - earlier for earlier, later in pairwise(times) if later > injected]
        assert found.end - found.start == max(pauses)
        assert found.seconds <= max(pauses)


@given(st.permutations([(1, "a", n, n + 0.5) for n in range(5)] + [(2, "b", n, n + 0.5) for n in range(6, 10)]))
def test_one_reign_after_another_never_overlaps(order):
    found = reigns.overlap([acknowledgement(*it) for it in order])
    assert (found.seconds, found.commits, found.twice) == (0, 0, 0)


@given(st.floats(0.6, 5))
def test_an_older_timeline_that_goes_on_overlaps_by_what_it_goes_on(late):
    found = reigns.overlap([acknowledgement(2, "b", 6, 6.5), acknowledgement(1, "a", 6 + late, 9 + late)])
    assert found.commits == 1
    assert found.seconds == pytest.approx(late - 0.5)


def test_back_and_forth_between_nodes_is_fine_when_timelines_rise():
    story = [(1, "a", 0, 1), (2, "b", 2, 3), (3, "a", 4, 5), (4, "b", 6, 7)]
    found = reigns.overlap([acknowledgement(*it) for it in story])
    assert (found.seconds, found.twice) == (0, 0)


def test_a_silent_observer_speaks_for_half_a_second_only():
    leads = Sample(0.0, True, False, 1, ())
    other = [Sample(tick / 10, True, False, 1, ()) for tick in range(100)]
    assert reigns.two_primaries({"a": [leads], "b": other}) == pytest.approx(0.5)


def test_clients_that_do_not_try():
    tried = [Attempt("any-0", 0, 1, 2, "failed", None, None, None), Attempt("any-0", 1, 5, 9, "unknown", None, None, None)]
    assert outage.idle(tried, 1, 10) == 3
    assert outage.idle([], 1, 10) == 9


@pytest.mark.parametrize(("share", "value"), [(0.5, 10), (0.95, 19), (1, 20), (0.01, 1)])
def test_percentiles_are_measured_values(share, value):
    assert chance.percentile(list(range(20, 0, -1)), share) == value


@given(st.integers(1, 200), st.data())
def test_the_bound_is_the_rate_at_which_five_percent_are_left(of, data):
    seen = data.draw(st.integers(0, of - 1))
    rate = chance.upper_bound(seen, of)
    left = sum(math.comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(seen + 1))
    assert left == pytest.approx(0.05, rel=1e-3)
    assert seen / of < rate <= 1


@pytest.mark.parametrize("of", [1, 3, 20, 300])
def test_the_rule_of_three_errs_on_the_safe_side(of):
    assert chance.upper_bound(0, of) <= 3 / of
    assert chance.spoken(0, of).startswith(f"0 of {of}: at most 3/{of}")


def test_published_bounds():
    """Clopper and Pearson, one side, 95 %: 1 of 20 and 0 of 20 (tables of the binomial distribution)."""
    assert chance.upper_bound(1, 20) == pytest.approx(0.2161, abs=1e-4)
    assert chance.upper_bound(0, 20) == pytest.approx(0.1391, abs=1e-4)
    assert chance.upper_bound(5, 5) == 1
