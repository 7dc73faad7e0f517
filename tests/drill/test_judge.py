"""The judge finds what a drill must never show, in histories made up for it; and it is green only for one that is whole."""

import json

import pytest
from ansible_collections.elephant.ha.plugins.module_utils.drill import history, judge


def test_a_crash_that_went_well_is_green(tale, judged):
    found = judged(tale)
    assert (found.verdict, found.reasons) == ("green", [])
    # Acknowledged at 9.96 by any-1 and at 11.51 by any-0; 0.05 s is usual.
    assert found.outage.usual == pytest.approx(0.05, abs=1e-4)
    assert found.outage.seconds == pytest.approx(1.55 - 0.05, abs=1e-3)
    assert found.slowest == pytest.approx(1.6 - 0.1, abs=1e-3)
    assert found.standby_back == pytest.approx(8)
    assert found.standby_back_after_healing == pytest.approx(3)
    assert found.two_primaries == 0


def test_a_lost_row(tale, judged):
    lost = tale.first(client="any-1", server="db-1", sequence=99)
    tale.drop(lost)
    found = judged(tale)
    assert found.verdict == "red"
    assert found.rows.lost == (("any-1", 99),)
    assert "1 of 705 acknowledged rows lost, the first any-1 number 99" in found.reasons[0]


def test_a_row_lost_only_after_the_old_primary_led_again(tale, judged):
    tale.drop(tale.first(client="node-db-1", outcome="ok"), after=False)
    found = judged(tale)
    assert (found.verdict, len(found.rows.lost)) == ("red", 1)


def test_an_empty_table_is_all_lost(tale, judged):
    tale.rows = []
    assert len(judged(tale).rows.lost) == 705


def test_a_duplicate(tale, judged):
    tale.rows_again[7]["count"] = 3
    found = judged(tale)
    assert (found.verdict, found.rows.duplicated) == ("red", 2)


def test_a_duplicate_on_two_lines(tale, judged):
    tale.rows.append(dict(tale.rows[0]))
    assert judged(tale).rows.duplicated == 1


def test_a_row_that_failed_and_is_there(tale, judged):
    tale.rows.append(tale.row(tale.first(client="any-0", outcome="failed")))
    found = judged(tale)
    assert (found.verdict, len(found.rows.unexpected)) == ("red", 1)


def test_a_row_that_nobody_wrote(tale, judged):
    tale.rows.append({"client": "stranger", "sequence": 1, "count": 1})
    assert judged(tale).verdict == "red"


def test_an_unknown_that_survived_is_counted_and_fine(tale, judged):
    unknown = tale.first(client="any-0", outcome="unknown")
    tale.rows.append(tale.row(unknown))
    tale.rows_again.append(tale.row(unknown))
    found = judged(tale)
    assert (found.verdict, found.rows.unknown, found.rows.survived) == ("green", 2, 1)


def test_an_unknown_that_was_there_and_is_gone(tale, judged):
    tale.rows.append(tale.row(tale.first(client="any-0", outcome="unknown")))
    found = judged(tale)
    assert (found.verdict, len(found.rows.vanished)) == ("red", 1)


def test_split_brain(tale, judged):
    """db-1 goes on with its own clients for two seconds after db-2 has taken over; no row is lost, and it is red all the same."""
    for sequence in range(1000, 1020):
        it = tale.attempt("node-db-1", sequence, 11.6 + (sequence - 1000) / 10, "ok", server="db-1", timeline=1)
        tale.rows.append(tale.row(it))
        tale.rows_again.append(tale.row(it))
    found = judged(tale)
    assert found.verdict == "red"
    assert found.overlap.commits == 20
    assert found.overlap.seconds == pytest.approx(13.5 - 11.51, abs=1e-3)
    assert found.overlap.twice == pytest.approx(13.5 - 11.51, abs=1e-3)


@pytest.mark.parametrize(("seconds", "verdict"), [(0, "green"), (1, "red")])
def test_two_servers_on_one_timeline(tale, judged, seconds, verdict):
    for it in tale.attempts:
        it["timeline"] = it["server"] and 1
    for sequence in range(1000, 1000 + 10 * seconds):
        it = tale.attempt("node-db-1", sequence, 12 + (sequence - 1000) / 10, "ok", server="db-1", timeline=1)
        tale.rows.append(tale.row(it))
        tale.rows_again.append(tale.row(it))
    found = judged(tale)
    assert found.verdict == verdict
    assert found.overlap.twice == pytest.approx(12.9 - 11.51 if seconds else 0, abs=1e-3)


def test_an_old_timeline_that_comes_back_later_is_no_less_a_split_brain(tale, judged):
    it = tale.attempt("node-db-1", 2000, 20, "ok", server="db-1", timeline=1)
    tale.rows.append(tale.row(it))
    tale.rows_again.append(tale.row(it))
    found = judged(tale)
    assert (found.verdict, found.overlap.commits) == ("red", 1)


def test_a_commit_under_way_while_the_other_took_over_is_no_overlap(tale, judged):
    it = tale.first(client="any-0", outcome="unknown")
    it |= {"outcome": "ok", "server": "db-1", "timeline": 1, "ended": it["started"] + 4}
    tale.rows.append(tale.row(it))
    tale.rows_again.append(tale.row(it))
    found = judged(tale)
    assert found.overlap.commits == 0
    assert found.overlap.twice == 0


def test_two_primaries_are_seen_and_not_red(tale, judged):
    """Held down without a watchdog, an orphan says that it leads; its commits hang."""
    for it in tale.observers["db-1"]:
        if 10 <= it["at"] - tale.attempts[0]["started"] < 13.95:
            it |= {"up": True, "recovery": False, "timeline": 1}
    found = judged(tale)
    assert found.verdict == "green"
    assert found.two_primaries == pytest.approx(14 - 11.2, abs=0.25)


def test_a_clock_that_is_wrong_and_known_makes_no_second_primary(tale, judged):
    tale.clock["db-1"] = 5.0
    for it in tale.observers["db-1"]:
        it["at"] += 5
    assert judged(tale).two_primaries == 0


def test_a_clock_that_nobody_compared(tale, judged):
    del tale.clock["db-2"]
    with pytest.raises(history.Malformed, match=r"clock\.json does not say how far the clock of db-2"):
        judged(tale)


def test_longer_than_promised(tale, judged):
    tale.fault["bound"] = 1.4
    found = judged(tale)
    assert (found.verdict, found.reasons) == ("red", ["1.50 s without an acknowledged write; the settings promise 1.4"])


def test_seconds_are_only_reported_where_the_machine_is_not_ours_alone(tale, judged, tmp_path):
    tale.fault |= {"bound": 1.4, "timed": False}
    stand_still(tale)
    tale.drop(tale.first(outcome="ok"))
    found = judged(tale)
    assert found.outage.seconds > 1.4
    assert found.reasons == [f"1 of {found.rows.acknowledged} acknowledged rows lost, the first any-0 number 0"]


def test_waiting_for_a_standby_that_the_drill_holds_back_is_not_the_faults(tale, judged):
    tale.attempts = [it for it in tale.attempts if not 0 < tale.fault["injected"] - it["ended"] < 3]
    gone = {(it["client"], it["sequence"]) for it in tale.attempts}
    tale.rows, tale.rows_again = ([it for it in rows if (it["client"], it["sequence"]) in gone] for rows in (tale.rows, tale.rows_again))
    tale.fault["parted"] = True
    found = judged(tale)
    assert (found.outage.start, found.outage.seconds) == (tale.fault["injected"], pytest.approx(1.5, abs=0.1))


@pytest.mark.parametrize("timed", [True, False])
def test_a_write_that_fails_where_none_may(tale, judged, timed):
    tale.fault |= {"bound": 0, "old_primary": None, "timed": timed}
    tale.rows_again = None
    assert any("writes failed where none may" in it for it in judged(tale).reasons)


def test_no_bound_is_not_compared(tale, judged):
    tale.fault["bound"] = None
    assert judged(tale).verdict == "green"


def test_a_pause_after_everything_is_whole_is_not_the_faults(tale, judged):
    """The switchover back to the old primary comes after the verdict's time."""
    tale.attempts = [it for it in tale.attempts if not 19 < it["started"] - tale.fault["injected"] + 10 < 24]
    gone = {(it["client"], it["sequence"]) for it in tale.attempts}
    tale.rows = [it for it in tale.rows if (it["client"], it["sequence"]) in gone]
    tale.rows_again = None
    tale.fault["old_primary"] = None
    found = judged(tale)
    assert (found.verdict, found.outage.seconds) == ("green", pytest.approx(1.5, abs=1e-3))


def test_no_standby_came_back(tale, judged):
    tale.fault["whole"] = None
    assert judged(tale).reasons == ["no synchronous standby came back"]


@pytest.mark.parametrize(("moves", "verdict"), [(True, "not judged"), (False, "green")])
def test_a_fault_that_nobody_felt(tale, judged, moves, verdict):
    """A host that was not halted, a rule that cut nothing: the leader goes on, and no promise was put to the test."""
    untouched = type(tale)(crash=30, promoted=30)
    untouched.fault |= {name: tale.fault[name] for name in ("injected", "armed")} | {"moves": moves, "old_primary": None}
    found = judged(untouched)
    assert found.verdict == verdict
    assert found.reasons == (["the fault was not felt: db-1 led on, and no write waited for it"] if moves else [])


def test_a_leader_that_came_back_in_its_place_was_hit_all_the_same(tale, judged):
    """With primary_start_timeout a crashed one may start again."""
    for it in tale.attempts:
        if it["server"] == "db-2":
            it |= {"server": "db-1", "timeline": 1}
    assert judged(tale).verdict == "green"


def test_a_client_that_never_wrote_again(tale, judged):
    for it in tale.attempts:
        if it["client"] == "any-1" and it["server"] == "db-2":
            tale.drop(it)
            it |= {"outcome": "failed", "server": None, "timeline": None}
    assert judged(tale).reasons == ["any-1 never wrote again after healing"]


def without_acks(tale, keep):
    for it in tale.attempts:
        if it["outcome"] == "ok" and not keep(it["ended"] - tale.fault["injected"] + 10):
            tale.drop(it)
            it |= {"outcome": "failed", "server": None, "timeline": None}


def stand_still(tale):
    """The clients do nothing at all for four seconds."""
    for it in [one for one in tale.attempts if 9.95 < one["started"] - tale.fault["injected"] + 10 < 14]:
        tale.attempts.remove(it)
        tale.drop(it)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda it: without_acks(it, lambda at: at > 10), "0 acknowledged commits before the fault"),
        (lambda it: without_acks(it, lambda at: at < 15), "0 acknowledged commits after healing"),
        (lambda it: without_acks(it, lambda at: False), "0 acknowledged commits before the fault"),
        (lambda it: it.observers.pop("db-1"), "nobody observed db-1"),
        (lambda it: it.observers["db-2"].clear(), "nobody observed db-2"),
        (lambda it: it.observers["db-2"].__delitem__(slice(0, 150)), "db-2 was not observed from before the fault"),
        (lambda it: it.observers["db-2"].__delitem__(slice(120, None)), "db-2 was not observed from before the fault"),
        (lambda it: it.etcd.clear(), "etcd's leader key was not observed"),
        (lambda it: setattr(it, "rows_again", None), "the rows were not read again"),
        (lambda it: it.fault["errors"].append("the postmaster was still there"), "the postmaster was still there"),
        (lambda it: it.first(outcome="ok").update(timeline=None), "do not say which server and timeline"),
        (
            lambda it: setattr(it, "attempts", [one for one in it.attempts if one["client"].startswith("node-")]),
            "no client used the whole connection string",
        ),
        (stand_still, "what stood still was the clients' host"),
    ],
)  # fmt: skip
def test_not_judged(tale, judged, spoil, sentence):
    spoil(tale)
    found = judged(tale)
    assert found.verdict in ("not judged", "red")
    assert sentence in " ".join(found.reasons)


@pytest.mark.parametrize("hole", ["observers", "clock"])
def test_a_hole_alone_is_not_judged_rather_than_red(tale, judged, hole):
    if hole == "observers":
        tale.observers["db-1"].clear()
    else:
        tale.fault["errors"] = ["the fault did not take"]
    assert judged(tale).verdict == "not judged"


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("fault.json", "", "fault.json is not JSON"),
        ("fault.json", "[]", "is not an object"),
        ("fault.json", json.dumps({"fault": "crash", "node": "db-1", "armed": 1, "injected": "soon", "healed": 3}), "injected is 'soon'"),
        ("fault.json", json.dumps({"fault": "crash", "node": "db-1", "armed": 1, "injected": 4, "healed": 3}), "not in this order"),
        ("writer-any-0.jsonl", '{"client": "any-0", "sequence": 1', "writer-any-0.jsonl, line 1 is not JSON"),
        ("writer-any-0.jsonl", '{"client": "a", "sequence": 1, "started": 1, "ended": 2, "outcome": "fine"}\n', "outcome is 'fine'"),
        ("writer-any-0.jsonl", '{"client": "a", "sequence": 1, "started": 2, "ended": 1, "outcome": "ok"}\n', "ended before it started"),
        ("writer-any-0.jsonl", '{"client": "a", "sequence": "1", "started": 1, "ended": 2, "outcome": "ok"}\n', "sequence a whole number"),
        ("observer-db-1.jsonl", '{"at": NaN, "up": true, "recovery": null}\n', "must be a number"),
        ("observer-db-1.jsonl", '{"at": 1, "up": 1, "recovery": null}\n', "up must be true or false"),
        ("rows.jsonl", '{"client": "a", "sequence": 1}\n', "count is None"),
        ("clock.json", "{", "clock.json is not JSON"),
    ],
)
def test_what_cannot_be_read_says_where(tale, tmp_path, file, text, sentence):
    folder = tale.write(tmp_path / "crash/01")
    (folder / file).write_text(text)
    with pytest.raises(history.Malformed, match=sentence.replace(".", r"\.")):
        history.read_cycle(folder)


@pytest.mark.parametrize("file", ["fault.json", "clock.json", "rows.jsonl", "observer-etcd.jsonl"])
def test_a_missing_file_is_named(tale, tmp_path, file):
    folder = tale.write(tmp_path / "crash/01")
    (folder / file).unlink()
    with pytest.raises(history.Malformed, match=file.replace(".", r"\.")):
        history.read_cycle(folder)


@pytest.mark.parametrize(("times", "readable"), [(1, True), (5, True), (6, False)])
def test_an_observer_that_died_in_the_middle_of_a_line_is_read(tale, tmp_path, times, readable):
    """Its host came back, and the next one began where the old one broke off; not so often that nobody knows what is left."""
    folder = tale.write(tmp_path / "crash/01")
    with (folder / "observer-db-1.jsonl").open("a") as file:
        file.write('{"at": 17000{"at": 1\n' * times)
    if readable:
        assert len(history.read_cycle(folder).observers["db-1"]) == 250
    else:
        with pytest.raises(history.Malformed, match=r"observer-db-1\.jsonl, line 256 is not JSON"):
            history.read_cycle(folder)


def test_an_empty_run(tmp_path):
    run = judge.judge_run(tmp_path)
    assert (run.red, run.verdict) == (True, "not judged")
    with pytest.raises(history.Malformed):
        judge.judge_run(tmp_path / "nowhere")


def test_a_fault_that_was_not_run_and_a_cycle_too_few(tale, tmp_path):
    tale.write(tmp_path / "crash/01")
    assert not judge.judge_run(tmp_path, ["crash"], 1).red
    assert judge.judge_run(tmp_path, ["crash"], 2).reasons == ["crash: 1 of 2 cycles were run"]
    assert judge.judge_run(tmp_path, ["crash", "freeze"], 1).reasons == ["freeze: 0 of 1 cycles were run"]


def test_one_bad_cycle_reddens_the_run(tale, tmp_path):
    tale.write(tmp_path / "crash/01")
    tale.write(tmp_path / "crash/02")
    (tmp_path / "crash/02/rows.jsonl").write_text("")
    run = judge.judge_run(tmp_path)
    assert (run.verdict, run.faults[0].verdict, run.faults[0].lost) == ("red", "red", 705)
    assert run.faults[0].chance.startswith("1 of 2: at most 97.5 %")


def test_a_cycle_that_cannot_be_read_is_not_judged(tale, tmp_path):
    tale.write(tmp_path / "crash/01")
    tale.write(tmp_path / "crash/02")
    (tmp_path / "crash/02/fault.json").unlink()
    run = judge.judge_run(tmp_path)
    assert (run.verdict, run.faults[0].judged, run.faults[0].chance) == (
        "not judged",
        1,
        "0 of 1: at most 3/1 of all cycles at 95 %, which says nothing yet",
    )
