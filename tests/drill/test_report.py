"""What people get to read: a page that stands alone, a table of what the judge found, a picture, and a sentence where it is missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.elephant.ha.plugins.module_utils.drill import history, judge, picture, report

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tale, tmp_path):
    """A run with a green cycle and one that lost rows."""
    tale.fault["title"] = "PostgreSQL <killed> | on the primary"
    tale.write(tmp_path / "run/crash/01")
    tale.rows = tale.rows[3:]
    tale.write(tmp_path / "run/crash/02")
    return tmp_path / "run"


def module(folder: Path, **parameters) -> dict:
    """The module as Ansible runs it on the controller."""
    given = json.dumps({"ANSIBLE_MODULE_ARGS": {"path": str(folder), **parameters}})
    code = (
        "from ansible.plugins.loader import init_plugin_loader\n"
        f"init_plugin_loader([{str(ROOT / '.collections')!r}])\n"
        "from ansible_collections.elephant.ha.plugins.modules import drill_report\n"
        "import ansible.module_utils.basic as basic\n"
        f"basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = {given.encode()!r}, 'legacy'\n"
        "drill_report.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Page(HTMLParser):
    """What a browser would fetch, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            if name in given:
                (self.linked if given[name].startswith("#") else self.fetched).append(given[name])
        assert tag not in ("script", "link", "iframe", "object")


def test_the_whole_report(folder):
    said = module(folder, title="Drill of elephant")
    assert (said["red"], said["verdict"], said["pictures_missing"]) == (True, "red", "")
    assert "3 of 1410 acknowledged rows lost" in said["headline"]
    assert {Path(it).name for it in said["files"]} == {"report.json", "report.md", "report.html", "crash.svg"}
    assert [line for line in said["lines"] if line.startswith("| crash | red | 2 |") and "| 3 of 1410 |" in line]
    data = json.loads((folder / "report.json").read_text())
    assert (data["red"], data["faults"][0]["lost"], data["faults"][0]["cycles"][1]["rows"]["lost"][0]) == (True, 3, ["any-0", 0])
    assert said["headline"] in (folder / "report.md").read_text()


def test_the_page_stands_alone(folder):
    module(folder)
    text = (folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids))
    assert {it[1:] for it in page.linked} <= set(page.ids)
    assert "PostgreSQL <killed>" not in text
    assert text.count("<svg") == 1


def test_every_row_of_the_table_has_all_columns(folder):
    lines = report.markdown(judge.judge_run(folder, ["crash", "freeze"], 2))
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(report.COLUMNS) + 1}
    assert "- freeze: 0 of 2 cycles were run" in lines


def test_check_mode_writes_nothing(folder):
    said = module(folder, _ansible_check_mode=True)
    assert (said["red"], said["changed"], said["files"]) == (True, False, [])
    assert not (folder / "report.html").exists()


def test_no_folder_is_red_and_no_failure(tmp_path):
    said = module(tmp_path / "nowhere")
    assert (said["red"], said["verdict"], said["files"]) == (True, "not judged", [])
    assert "is not a folder" in said["reasons"][0]


def test_without_matplotlib_the_rest_is_made(folder, monkeypatch, tmp_path):
    (tmp_path / "hidden/matplotlib").mkdir(parents=True)
    (tmp_path / "hidden/matplotlib/__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    said = module(folder)
    assert "pip install -r requirements-drill.txt" in said["pictures_missing"]
    assert {Path(it).name for it in said["files"]} == {"report.json", "report.md", "report.html"}
    assert "requirements-drill.txt" in (folder / "report.html").read_text()


def words(tale, tmp_path, monkeypatch, name="one"):
    """Every text of a picture."""
    from matplotlib.figure import Figure

    seen, save = [], Figure.savefig

    def keep(self, *given, **named):
        seen.append(self)
        save(self, *given, **named)

    monkeypatch.setattr(Figure, "savefig", keep)
    cycle = history.read_cycle(tale.write(tmp_path / name / "01"))
    picture.draw(cycle, judge.judge_cycle(cycle), "crash on db-1", tmp_path / f"{name}.svg")
    assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")
    figure = seen[-1]
    return [it.get_text() for it in [*figure.texts, *figure.axes[0].texts, *figure.axes[0].get_yticklabels()]]


def test_the_picture_names_what_happened(tale, tmp_path, monkeypatch):
    said = words(tale, tmp_path, monkeypatch)
    assert {"fault", "db-2 promoted +1.2 s", "healed +5.0 s", "synchronous standby back +8.0 s", "1.50 s", "db-1", "db-2"} <= set(said)
    assert {"leads", "follows", "no answer"} <= set(said)
    assert "1.50 s without an acknowledged write (promised: at most 3.5 s) · 0 of 705 acknowledged rows lost" in said


def test_long_names_are_not_cut_off(tale, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    seen = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: seen.append(figure))
    folder = tale.write(tmp_path / "one/01")
    for file in folder.iterdir():
        file.write_text(file.read_text().replace('"db-', '"local-production-postgresql-'))
        file.rename(file.with_name(file.name.replace("observer-db-", "observer-local-production-postgresql-")))
    cycle = history.read_cycle(folder)
    picture.draw(cycle, judge.judge_cycle(cycle), "crash", tmp_path / "one.svg")
    labels = seen[0].axes[0].get_yticklabels()
    # 28 letters are shown, longer names by their end.
    assert "…cal-production-postgresql-1" in [it.get_text() for it in labels]
    assert min(it.get_window_extent().x0 for it in labels) >= 0


def test_what_lies_beyond_the_edge_is_said(tale, tmp_path, monkeypatch):
    tale.fault["whole"] = tale.fault["injected"] + 300
    assert "synchronous standby back +300.0 s →" in words(tale, tmp_path, monkeypatch)


@pytest.mark.parametrize("spoil", ["no acknowledgement", "no observers", "no standby", "nobody leads etcd"])
def test_any_cycle_that_can_be_read_can_be_drawn(tale, tmp_path, monkeypatch, spoil):
    if spoil == "no acknowledgement":
        tale.attempts, tale.rows, tale.rows_again = [it for it in tale.attempts if it["outcome"] != "ok"], [], []
    elif spoil == "no observers":
        tale.observers, tale.etcd = {}, []
    elif spoil == "no standby":
        tale.fault |= {"whole": None, "bound": None}
    else:
        tale.etcd = [it | {"leader": None} for it in tale.etcd]
    assert words(tale, tmp_path, monkeypatch)


def test_seconds_that_were_not_judged_are_marked(tale, tmp_path):
    tale.fault |= {"bound": 1.4, "timed": False}
    tale.write(tmp_path / "run/crash/01")
    said = dict(zip(report.COLUMNS, report.row(judge.judge_run(tmp_path / "run").faults[0]), strict=True))
    assert (said["verdict"], said["promised"]) == ("green", "1.4 (not judged)")


def test_the_load_is_told(tale, tmp_path):
    """Two cycles with one load, one with another: two sentences, on the page as well."""
    for number, size in (("01", 2 * 2**30), ("02", 2 * 2**30), ("03", 2**30)):
        tale.fault["load"] = {"scale": 140, "bytes": size, "most": 801.0, "rate": 400.5, "bulk_rows": 20000}
        tale.write(tmp_path / "run/crash" / number)
    run = judge.judge_run(tmp_path / "run")
    said = [it for it in report.markdown(run) if it.startswith("Beside the clients")]
    assert said == report.loads(run)
    pattern = r"on (.*) GiB \(scale 140\), 400 of at most 801 transactions a second, and a transaction of 20000 rows"
    assert [re.search(pattern, it)[1] for it in said] == ["2.0", "1.0"]
    assert all(it in report.page(run, {}, "A drill") for it in said)


def test_no_load_no_sentence(folder):
    assert report.loads(judge.judge_run(folder)) == []
