#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Judges the records of a drill and writes the report beside them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Judge the records of a drill, and write them up
version_added: 0.2.0
description:
  - Runs on the controller. Reads every cycle in the dated folder of a drill, judges it, and writes report.json, report.md, report.html and
    a picture of each fault (C(<fault>.svg)) into the same folder.
  - Never fails because of what it finds; O(path) and RV(red) say what to do with it. What cannot be judged is red.
options:
  path:
    description: The dated folder of the drill, with C(<fault>/<NN>/) in it.
    type: path
    required: true
  faults:
    description: Faults that must be there, in the order of the table. Others that are there follow.
    type: list
    elements: str
    default: []
  cycles:
    description: Cycles that each fault must have. 0 takes what is there.
    type: int
    default: 0
  title:
    description: Headline of the page.
    type: str
    default: Failover drill
requirements:
  - matplotlib for the pictures. Without it the rest is made all the same, and RV(pictures_missing) says so.
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: It judges and writes nothing.
  diff_mode:
    support: none
    description: A report is new each time.
"""

EXAMPLES = r"""
- name: Judge the drill
  elephant.ha.drill_report:
    path: "{{ drill_folder }}"
    faults: [crash, switchover]
    cycles: 20
  delegate_to: localhost
  register: drill
"""

RETURN = r"""
red:
  description: Whether anything is not green.
  returned: always
  type: bool
verdict:
  description: green, red, or not judged.
  returned: always
  type: str
headline:
  description: The verdict as a sentence.
  returned: always
  type: str
reasons:
  description: What is wrong, a sentence each.
  returned: always
  type: list
  elements: str
lines:
  description: The report as lines of Markdown, the table first.
  returned: always
  type: list
  elements: str
pictures_missing:
  description: Why there are no pictures; empty when there are.
  returned: always
  type: str
files:
  description: What was written.
  returned: always
  type: list
  elements: str
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.drill.history import Malformed, read_cycle
from ansible_collections.elephant.ha.plugins.module_utils.drill.judge import NOT_JUDGED, Judged, Run, Summary, judge_run
from ansible_collections.elephant.ha.plugins.module_utils.drill.picture import NoMatplotlib, draw
from ansible_collections.elephant.ha.plugins.module_utils.drill.report import document, headline, markdown, page


def worst(summary: Summary) -> Judged | None:
    """The cycle to show: one that lost rows before one that is red before the one with the longest outage."""
    readable = [it for it in summary.cycles if it.fault]
    return max(readable, key=lambda it: (it.loses, it.verdict == "red", it.outage.seconds if it.outage else 0), default=None)


def note(summary: Summary, judged: Judged) -> str:
    """Which cycle it is, and under which settings."""
    fault = judged.fault
    several = len(summary.cycles) > 1
    which = f"the worst of {len(summary.cycles)} cycles (number {Path(judged.path).name})" if several else "one cycle"
    timing = [f"{name} {fault.settings[name]}" for name in ("ttl", "loop_wait", "retry_timeout") if name in fault.settings]
    return " · ".join([f"{fault.name} on {fault.node}", which, *([", ".join(timing)] if timing else [])])


def draw_all(run: Run, folder: Path) -> tuple[dict[str, str], str]:
    """The pictures by fault as SVG, and why there are none."""
    pictures: dict[str, str] = {}
    for summary in run.faults:
        judged, file = worst(summary), folder / f"{summary.name}.svg"
        if judged is not None:
            try:
                draw(read_cycle(Path(judged.path)), judged, note(summary, judged), file)
            except NoMatplotlib as error:
                return pictures, str(error)
            pictures[summary.name] = file.read_text()
    return pictures, ""


def main() -> None:
    """Judge, then write."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "faults": {"type": "list", "elements": "str", "default": []},
            "cycles": {"type": "int", "default": 0},
            "title": {"type": "str", "default": "Failover drill"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    folder, files, missing = Path(asked["path"]), [], ""
    try:
        run = judge_run(folder, asked["faults"], asked["cycles"])
    except Malformed as error:
        run = Run(str(folder), NOT_JUDGED, [], [str(error)])
    lines = markdown(run)
    if folder.is_dir() and not module.check_mode:
        pictures, missing = draw_all(run, folder)
        written: dict[str, Any] = {
            "report.json": json.dumps(document(run), indent=1) + "\n",
            "report.md": "\n".join([f"# {asked['title']}", "", *lines]) + "\n",
            "report.html": page(run, pictures, asked["title"], missing),
        }
        for name, text in written.items():
            (folder / name).write_text(text)
        files = [str(folder / name) for name in [*written, *(f"{name}.svg" for name in pictures)]]
    module.exit_json(
        changed=bool(files),
        red=run.red,
        verdict=run.verdict,
        headline=headline(run),
        reasons=run.reasons,
        lines=lines,
        pictures_missing=missing,
        files=files,
    )


if __name__ == "__main__":
    main()
